#!/bin/bash
# Runs the commands of every README and of host/model/FORMAT.md: those in fenced sh or bash blocks, and lines indented
# by four spaces that begin with a program. They run in a folder that holds the built program, configs and headers, and
# generated files in place of data sets. Models, training and images are made small. Commands that need a cluster, a
# GPU, the network or minutes are skipped.
root=$(realpath "$(dirname "$0")/../..")
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

if [ "$device" != cpu ]; then
    skip "the commands of the READMEs" "they run on the CPU"
    finish
    exit
fi

# ---- The folder ----

built=$(dirname "$program")
mkdir repository && cd repository || exit 1
for name in configs include host kernels tests bench Makefile; do ln -s "$root/$name" .; done
mkdir -p build bin data runs photos
ln -s "$built"/libpixelrnn* build

# build/pixelrnn and the pixelrnn on the PATH run the program with settings that make it quick.
cat >bin/pixelrnn <<END
#!/bin/bash
arguments=()
while [ \$# -gt 0 ]; do
    if [ "\$1" = -n ]; then
        arguments+=(-n 2) && shift # few images
    elif [ "\$1" = --range ]; then
        arguments+=(--range 0:2) && shift
    elif [[ \$1 == --size && \${arguments[0]} == bench ]]; then
        shift
    elif [ "\$1" != --seconds ]; then
        arguments+=("\$1")
    else
        shift
    fi
    shift
done
model=(--set device=cpu --set model.hidden=4 --set model.head=4 --set model.layers=1)
training=(--set train.steps=2 --set train.batch_size=2 --set train.samples=1 --set train.evaluate_images=2 --set train.warmup_steps=0)
case \${arguments[0]:-}:\${arguments[1]:-} in
train:*.yaml) arguments+=("\${model[@]}" "\${training[@]}") ;;
info:*.yaml) arguments+=("\${model[@]}") ;;
bench:*) arguments+=("\${model[@]}" --seconds 0.01 --size 4 --set train.batch_size=2) ;;
train:* | eval:* | sample:* | complete:*) arguments+=(--set device=cpu --set eval.batch_size=2) ;;
esac
exec "$program" "\${arguments[@]}"
END
chmod +x bin/pixelrnn && ln -s ../bin/pixelrnn build/pixelrnn || exit 1
export PATH=$PWD/bin:$PATH

# ---- Data ----

idx() { # 8 images of 28 x 28
    printf '\0\0\10\3\0\0\0\10\0\0\0\34\0\0\0\34'
    noise $((8 * 784))
}

amat() { # COUNT: this many lines of 784 zeros and ones
    awk -v n="$1" 'BEGIN { for (; n > 0; n--) { line = ""; for (i = 0; i < 784; i++) line = line (i * n % 7 < 3) " "; print line } }'
}

cifar() { # COUNT: this many records of a label and 3 x 32 x 32 values
    local i
    for ((i = 1; i <= $1; i++)); do printf '\003' && noise 3072 $i; done
}

arrays() { # FOLDER SIDE: train.npy, validation.npy, val.npy and test.npy
    local name
    mkdir -p "$1"
    for name in train validation val test; do noise $((2 * $2 * $2 * 3)) | npy_write "2, $2, $2, 3" >"$1/$name.npy"; done
}

for name in train t10k; do
    idx | gzip >data/$name-images-idx3-ubyte.gz
    printf '\0\0\10\1\0\0\0\10\5\0\4\1\11\2\1\3' | gzip >data/$name-labels-idx1-ubyte.gz
done
for name in train valid test; do amat 4 | gzip >data/binarized_mnist_$name.amat.gz; done
mkdir cifar-10-batches-bin
for name in data_batch_{1,2,3,4,5} test_batch; do cifar 1 >"cifar-10-batches-bin/$name.bin"; done
tar czf cifar-10-binary.tar.gz cifar-10-batches-bin && cp -r cifar-10-binary.tar.gz cifar-10-batches-bin data
arrays data/cifar10 32
arrays data/imagenet32 32
arrays data/imagenet64 64
for name in train_data_batch_1 val_data; do # as the archives of downsampled ImageNet
    noise $((2 * 64 * 64 * 3)) | npy_write '2, 12288' >data.npy && python3 -m zipfile -c $name.npz data.npy
done 2>/dev/null
rm -f data.npy
pixelrnn_demo() { # trains the run that stands for those which the READMEs train in minutes
    "$program" train configs/demo.yaml -o runs/demo --set device=cpu --set model.hidden=4 --set model.layers=1 --set train.steps=1 \
        --set train.evaluate_images=2 --set train.samples=100
}
check "a small model is trained for the commands" pixelrnn_demo
cp runs/demo/samples/*.png photos # a grid of 10 x 10 images: 160 pixels a side

# ---- Commands ----

# Prints the commands of a README, one a line.
commands() {
    awk '
        function add(line) {
            sub(/^ +/, "", line)
            more = sub(/ *\\$/, "", line)
            command = command (command == "" ? "" : " ") line
            if (!more) { print command; command = "" }
        }
        /^```/ { fence = fence == "" ? $0 : ""; command = ""; next }
        fence != "" && /^#!/ { fence = "a script" }
        fence ~ /^```(sh|bash|shell)$/ && $0 != "" && $0 !~ /^#/ { add($0) }
        fence != "" { next }
        /^    / && (command != "" || /^    (([A-Z_]+=[^ ]* )*((build|bench|tests|\.ci)\/|pixelrnn |make( |$)|mpirun |srun |cc |mkdir |tensorboard |curl ))/) { add($0) }' "$1" |
        sed -E 's/ +# .*//'
}

# Prints why a command cannot be run here, or nothing.
reason() {
    case $1 in
    *srun\ * | *--host\ *) echo "needs a cluster" ;;
    *curl\ * | *wget\ * | *git\ clone* | *pip\ install* | *apt-get*) echo "needs the network" ;;
    *test-gpu* | *device=cuda* | *PX_TEST_DEVICE=cuda* | *PX_PARITY* | *compute-sanitizer*) echo "needs a GPU" ;;
    *baselines* | *plot.py*) echo "needs PyTorch or matplotlib" ;;
    *tensorboard*) echo "starts a server" ;;
    *compare\ *\ -o\ *) ldconfig -p | grep -q libplplot.so.17 || echo "needs PLplot" ;;
    *make\ help) ;;
    cc\ * | ./example*) [ -e build/libpixelrnn.a ] && ! ldd "$program" | grep -q 'libasan\|libtsan' && "$program" --version | grep -q '^oneDNN *[0-9]' || echo "needs a release build with oneDNN" ;;
    make | make\ * | *\ make\ *) echo "builds, measures or tests" ;;
    *model_forward.py*) python3 -c 'import numpy' 2>/dev/null || echo "needs python3 with numpy" ;;
    .ci/run* | *tests/run* | *tests/*/run* | *build/fuzz/* | *tests/commands/* | *build/tests/* | build/debug/* | build/sanitize/* | \
        build/bundle/* | *bench/sweep*) echo "runs tests, measurements or another build" ;;
    *.npz*) [ -e val_data.npz ] || echo "needs python3" ;;
    *tests/golden/*) echo "creates the golden cases" ;;
    *mpirun\ *) [[ $1 != *build/bench/* ]] && ranks_start || echo "needs MPI and takes minutes" ;;
    esac
}

run() {
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
    timeout 20 bash -euc "$(sed -E 's/mpirun -n [0-9]+/mpirun --oversubscribe -n 2/' <<<"$1")" </dev/null
}

for readme in README.md {host,host/distributed,configs,kernels,tests,bench}/README.md host/model/FORMAT.md; do
    [ -e "$root/$readme" ] || continue
    while IFS= read -r command <&3; do
        why=$(reason "$command")
        if [ -n "$why" ]; then
            skip "$readme: $command" "$why"
        else
            check "$readme: $command" run "$command"
        fi
    done 3< <(commands "$root/$readme")
done
finish

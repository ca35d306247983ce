#!/bin/bash
# Checks before the work of a command: whether its output can be written, how its data are converted, the size of
# images, and limits of the machine. Also --version.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

noise $((6 * 8 * 8)) | npy_write '6, 8, 8' >grey.npy
noise $((2 * 12 * 10 * 3)) | npy_write '2, 12, 10, 3' >colour.npy
noise $((3 * 28 * 28)) | npy_write '3, 28, 28' >large.npy
cat >tiny.yaml <<END
name: tiny
device: $device
model: {kind: pixelcnn, layers: 1, hidden: 2, head: 2}
data: {train: grey.npy, levels: 2}
train: {steps: 1, batch_size: 2, samples: 0}
END
pixelrnn train tiny.yaml -o run >run.log || cat run.log

# ---- Outputs ---------------------------------------------------------------------------------------------------------

# The message names the output and not the missing input, so the output is checked first.
refuses() { # PATTERN ARGUMENT...
    fails 1 "^pixelrnn: $1" "${@:2}" && same "$(ls -d absent* ./*.partial ./*.journal 2>/dev/null)" ""
}
nowhere='No such file or directory'
check "eval: a folder that is not there, before the model" refuses "absent/nats.npy: $nowhere" eval absent --per-image absent/nats.npy
check "sample: the same" refuses "absent/sampled.npy: $nowhere" sample absent -o absent/sampled.npy
check "sample: the same of a PNG" refuses "absent/sampled.png: $nowhere" sample absent -o absent/sampled.png
check "complete: the same" refuses "absent/sampled.npy: $nowhere" complete absent --data absent.npy --keep top:0.5 -o absent/sampled.npy
check "pack: the same, before the source" refuses "absent/packed.npy: $nowhere" pack absent.npy -o absent/packed.npy
check "bench: the same, before the config" refuses "absent/bench.json: $nowhere" bench absent.yaml --json absent/bench.json
touch file
check "train: a run folder under a file, before the data" refuses 'file/run: Not a directory' train tiny.yaml -o file/run --set data.train=absent.npy
check "train: a file in its place, before the data" refuses 'file: Not a directory' train tiny.yaml -o file --set data.train=absent.npy

mkdir -p folder.npy folder.png taken.npy.sfv
check "eval: a folder in the output's place" refuses 'folder.npy: Is a directory' eval absent --per-image folder.npy
check "sample: the same" refuses 'folder.png: Is a directory' sample absent -o folder.png
check "pack: a folder in the checksum's place" refuses 'taken.npy.sfv: Is a directory' pack absent.npy -o taken.npy
long=$(printf '%0250d' 0)
check "sample: a name that leaves no room for a temporary one" refuses '0*.npy: File name too long' sample absent -o "$long.npy"

locked_folder() {
    mkdir -p locked && chmod 755 . && chmod 555 locked
    local as_nobody=()
    [ "$(id -u)" -ne 0 ] || as_nobody=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    "${as_nobody[@]}" "$program" eval absent --per-image locked/nats.npy >out 2>err
    same $? 1 && one_message && contains err 'locked/nats.npy: Permission denied' || return
    "${as_nobody[@]}" "$program" train tiny.yaml -o locked/a/b --set data.train=absent.npy >out 2>err
    same $? 1 && one_message && contains err 'locked/a/b: Permission denied'
}
if [ "$(id -u)" -ne 0 ] || { chmod 755 . && setpriv --reuid 65534 --regid 65534 --clear-groups "$program" keys; } >/dev/null 2>&1; then
    check "a folder without the right to write" locked_folder
else
    skip "a folder without the right to write" "user 65534 cannot run the program"
fi

writes_devices() { # a pipe's reader gets all of it: the check before does not open and close it
    mkfifo pipe && { cat pipe >got & } && pixelrnn eval run --data grey.npy --per-image pipe && wait &&
        pixelrnn eval run --data grey.npy --per-image nats.npy && cmp got nats.npy && pixelrnn eval run --data grey.npy --per-image /dev/null
}
check "eval: a pipe and a device as outputs" writes_devices

# A noun after 1 is singular.
singular() {
    noise 64 | npy_write '1, 8, 8' >one.npy && pixelrnn sample run -n 1 -o one.png && contains out '^1 image in one.png$' &&
        pixelrnn sample run -n 2 -o two.png && contains out '^2 images in two.png$' &&
        pixelrnn eval run --data one.npy && contains out '^1 image of one.npy$' && pixelrnn pack one.npy -o packed.npy && contains out '^1 image of 8 x 8 x 1 in ' &&
        pixelrnn complete run --data one.npy --keep top:0.5 --completions 1 -n 1 -o one.png && contains out '^1 completion of 1 image in one.png$' &&
        pixelrnn complete run --data one.npy --keep top:0.5 --completions 2 -n 1 -o two.png && contains out '^2 completions of 1 image in two.png$' &&
        rm -rf single && pixelrnn train tiny.yaml -o single && contains err '^tiny: pixelcnn, 1 layer, hidden 2'
}
check "singular and plural" singular

# ---- Conversions of data ---------------------------------------------------------------------------------------------

# says LINE ARGUMENT...: the command succeeds and prints exactly this line about conversions.
says() {
    local line=$1
    shift
    pixelrnn "$@" && same "$(grep -E '^[^ ]+( and [0-9]+ more)?: .* to [0-9]+' err)" "$line"
}
check "eval prints downsampling and quantisation" says 'large.npy: 28 x 28 x 1 to 8 x 8, 256 to 2 levels' eval run --data large.npy --set data.size=8
check "eval: one line for several files" says 'large.npy and 1 more: 28 x 28 x 1 to 8 x 8, 256 to 2 levels' eval run --data large.npy large.npy --set data.size=8
check "eval: quantisation alone" says 'grey.npy: 256 to 2 levels' eval run --data grey.npy
check "eval: colour to grey" says 'colour.npy: 12 x 10 x 3 to 8 x 8 x 1, 256 to 2 levels' eval run --data colour.npy --set data.size=8 --set data.channels=1
check "complete prints it" says 'large.npy: 28 x 28 x 1 to 8 x 8, 256 to 2 levels' complete run --data large.npy --set data.size=8 --keep top:0.5 -n 1 --completions 1 -o sampled.npy
check "pack prints resizing" says 'large.npy: 28 x 28 x 1 to 8 x 8' pack large.npy --size 8 -o packed.npy
check "pack prints nothing if it copies" says '' pack large.npy -o packed.npy
check "train prints it for each set" says 'large.npy: 28 x 28 x 1 to 8 x 8, 256 to 2 levels
grey.npy: 256 to 2 levels' train tiny.yaml -o said --set data.train=large.npy --set data.test=grey.npy --set data.size=8
check "train prints it once for one set" says 'grey.npy: 256 to 2 levels' train tiny.yaml -o once --set data.test=grey.npy
check "bench prints it" says 'grey.npy: 256 to 2 levels' bench tiny.yaml --phases evaluate --seconds 0.01
check "train: 8 bits as 256 levels are not converted" says '' train tiny.yaml -o whole --set data.levels=256 --set data.test=grey.npy
check "train: a binary set as 2 levels is not converted" says '' train tiny.yaml -o ising --set data.train=builtin:ising
for image in 1 2; do printf '0 1 1 0\n' >>binary.amat; done
check "eval: binary text as 2 levels is not converted" says '' train tiny.yaml -o amat --set data.train=binary.amat

images() { # sizes may differ: only the first image is examined, and none of a compressed tar, which is read once
    mkdir -p images && pixelrnn sample run -n 1 -o images/one.png && tar cf images.tar images && gzip -k images.tar &&
        says 'images: 66 x 66 x 3 (the first image) to 16 x 16' pack images --size 16 -o packed.npy &&
        says 'images.tar: 66 x 66 x 3 (the first image) to 16 x 16' pack images.tar --size 16 -o packed.npy &&
        says 'images.tar.gz: various sizes to 16 x 16' pack images.tar.gz --size 16 -o packed.npy &&
        says '' pack images --size 66 -o packed.npy && says '' pack images -o packed.npy
}
check "pack: a folder and tars of images" images

# ---- Sizes -----------------------------------------------------------------------------------------------------------

# informs SIZE ARGUMENT...
informs() {
    local size=$1
    shift
    pixelrnn info "$@" && contains out "^images  *$size, 2 levels\$"
}
check "info: the data's size" informs '12 x 10 x 3' tiny.yaml --set data.train=colour.npy
check "info: the data's size after data.size and data.channels" informs '6 x 6 x 1' tiny.yaml --set data.train=colour.npy --set data.size=6 --set data.channels=1
check "info: --height overrides only itself" informs '7 x 10 x 3' tiny.yaml --set data.train=colour.npy --height 7
check "info: --channels overrides only itself" informs '12 x 10 x 1' tiny.yaml --set data.train=colour.npy --channels 1
check "info: data.size and data.channels where there are no data" informs '9 x 9 x 3' tiny.yaml --set data.train=absent.npy --set data.size=9 --set data.channels=3
check "info: options where there are no data" informs '9 x 5 x 3' tiny.yaml --set data.train=absent.npy --height 9 --width 5 --channels 3
check "info: the message names options for an unknown size" fails 2 'tiny.yaml: absent.npy: .*No such file or directory; .*; give the images. size by --height, --width and --channels, or by --set data.size=SIDE' \
    info tiny.yaml --set data.train=absent.npy --height 28 --width 28
check "info: a model has its size" fails 2 'expected none with a model' info run --height 7
check "info: a size above what a model takes" fails 2 'found images of 4294967300 x 8 x 1, expected sides up to 65535' info tiny.yaml --height 4294967300
check "info: channels that a model does not take" fails 2 'x 4294967297, expected .* 1 or 3 channels' info tiny.yaml --channels 4294967297

# ---- The machine -----------------------------------------------------------------------------------------------------

capped() {
    local usable
    usable=$(env -u OMP_NUM_THREADS nproc) # which would count them too
    OMP_NUM_THREADS=1000 pixelrnn info tiny.yaml && contains err "^OMP_NUM_THREADS: found 1000, which is more than the [0-9]+ processors? that this process may use" &&
        contains out '^device ' && [ "$(sed -nE 's/^device .*, ([0-9]+) threads?,.*/\1/p' out)" -le "$usable" ] &&
        OMP_NUM_THREADS=1 pixelrnn info tiny.yaml && ! grep OMP_NUM_THREADS err
}
if [ "$device" = cpu ]; then
    check "OMP_NUM_THREADS is capped at the processors there are, in a line" capped
else
    skip "OMP_NUM_THREADS is capped" "the device is not the CPU"
fi

# A training step needs address space for the buffers of the BLAS. Under any limit it succeeds or prints one message.
ends() { # THREADS KIB: within ten seconds
    (ulimit -v "$2" && OMP_NUM_THREADS=$1 timeout -s KILL 10 "$program" train tiny.yaml -o limited --set model.hidden=8 >out 2>err)
    local status=$?
    rm -rf limited
    [ $status -eq 0 ] && return
    same $status 1 && one_message && contains err 'address space limit \(ulimit -v\)'
}
ends_under_any_limit() {
    local kib
    for kib in 150000 200000 260000 300000 360000; do ends 1 $kib && ends 2 $kib || { echo "$kib KiB:" && cat err && return 1; }; done
    ! grep -q '^BLAS  *OpenBLAS' version || { ends 1 200000 && contains err '1 thread with the BLAS.s buffers needs 0.13 GiB of address space, the address space limit'; }
}
"$program" --version >version
if [ "$device" = cpu ] && (ulimit -v 150000 && "$program" keys) >/dev/null 2>&1; then
    check "train ends under any limit on address space, and names it" ends_under_any_limit
else
    skip "train ends under any limit on address space" "the program does not start in little address space, or another device"
fi

# ---- The program -----------------------------------------------------------------------------------------------------

version() {
    pixelrnn --version && same "$(wc -c <err)" 0 && same "$(head -n 1 out | grep -cE '^pixelrnn [0-9]+\.[0-9]+\.[0-9]+')" 1 || return
    for library in options BLAS libarchive zlib libyaml cJSON protobuf-c MPI CUDA; do contains out "^$library  *[^ ]" || return; done
    contains out '^build  .*float' && fails 2 'found "more"' --version more
}
check "--version: program, build, libraries" version

makefile=$golden/../../Makefile
demo() { # the commands of make -n
    (cd "$(dirname "$makefile")" && env -u MAKEFLAGS -u MAKELEVEL make -n demo CUDA=0) >commands 2>err || { cat err && return 1; }
    contains commands 'train configs/demo.yaml -o runs/demo --resume' && ! grep -E 'rm .*runs' commands
}
scaling() {
    (cd "$(dirname "$makefile")" && env -u MAKEFLAGS -u MAKELEVEL make -n scaling CUDA=0) >commands 2>err || { cat err && return 1; }
    contains commands 'pixelrnn bench configs/bench_row_lstm.yaml --phases train --json build/scaling.json$' &&
        contains commands 'bench/scaling build/scaling.json configs/bench_row_lstm.yaml$'
}
if [ -e "$makefile" ] && command -v make >/dev/null; then
    check "make demo goes on with its run, and deletes none" demo
    check "make scaling measures, then predicts" scaling
else
    skip "make demo goes on with its run" "there is no Makefile here"
    skip "make scaling measures, then predicts" "there is no Makefile here"
fi

finish

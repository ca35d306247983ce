#!/bin/bash
# Distributed jobs: the results of one process, checkpoints that any number of ranks can resume, and after a fault one
# message and the end of the job within its timeout. Real processes, started by mpirun. The last section uses two hosts,
# which are network namespaces connected by a bridge.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

test_ranks=$(dirname "$program")/tests/test_ranks
silence=2 # parallel.silence_s, in seconds
slack=6   # seconds that mpirun and other work on the machine may add

# Prints why these tests cannot run here.
unavailable() {
    command -v mpirun >/dev/null || { echo "no mpirun" && return; }
    [ -e "$(dirname "$program")/libpixelrnn_mpi.so" ] || [ -e "$(dirname "$program")/../lib/libpixelrnn_mpi.so" ] ||
        { echo "built without MPI" && return; }
    ldd "$program" | grep -q 'libasan\|libtsan' && echo "MPI does not run under a sanitizer"
}
reason=$(unavailable)
[ -z "$reason" ] || { echo "SKIP: $reason" && exit 77; }

# ranks COUNT ARGUMENT...: the program as so many ranks, otherwise like pixelrnn
ranks() {
    "${mpi[@]}" -n "$1" "$program" "${@:2}" >out 2>err </dev/null
    local status=$?
    cat out err
    return $status
}

# All ranks together have printed one message, and it matches.
one_message_of_all() {
    same "$(grep -c '^pixelrnn: ' err)" 1 && contains err "^pixelrnn: .*$1"
}

# ranks_fail COUNT STATUS PATTERN ARGUMENT...: the job ends with STATUS and one message that matches PATTERN
ranks_fail() {
    local status
    ranks "$1" "${@:4}"
    status=$?
    [ $status -eq "$2" ] || { echo "exit status: found $status, expected $2"; return 1; }
    one_message_of_all "$3"
}

# config NAME KIND OPTIMIZER [LINE...]: batches of 7, which 2 to 4 ranks do not divide evenly
config() {
    cat >"$1.yaml" <<END
name: $1
device: $device
model:
  kind: $2
  layers: 2
  hidden: 4
  head: 6
data:
  train: images.npy
  test: images.npy
  levels: 4
train:
  steps: 50
  batch_size: 7
  optimizer: $3
  learning_rate: 0.003
  log_every: 1
  evaluate_every: 10
  sample_every: 0
  checkpoint_every: 10
  keep_checkpoints: 0
  samples: 1
parallel:
  bucket_mib: 0.004
  silence_s: $silence
END
    printf '  %s\n' "${@:4}" >>"$1.yaml"
}
noise 900 | npy_write '30, 6, 5' >images.npy
config rmsprop diagonal_bilstm rmsprop
config adam row_lstm adam
config sgd pixelcnn sgd
printf 'train.ema_decay: 0.9\ndata.flip: true\n' >>rmsprop.yaml
printf 'model.skip: true\ntrain.clip_norm: 0.01\n' >>adam.yaml
printf 'data.shuffle: false\ntrain.clip_norm: 0\n' >>sgd.yaml

# ---- On a GPU: one rank with NCCL, and two ranks on one GPU ----------------------------------------------------------

if [ "$device" = cuda ]; then
    pixelrnn train rmsprop.yaml -o single >log || { cat log; exit 77; }
    one_rank_equals_single_process() {
        ranks 1 train rmsprop.yaml -o one && contains one/metrics.jsonl reduce_ms &&
            cmp {single,one}/checkpoints/newest/model.safetensors
    }
    check "one rank with NCCL equals a single process bit for bit" one_rank_equals_single_process
    check "two ranks on one GPU" ranks_fail 2 '(1|2)' 'device: found GPU|no CUDA device: found' train rmsprop.yaml -o two
    finish
    exit
fi

# ---- Collective calls ------------------------------------------------------------------------------------------------

for n in 1 2 3 4; do
    check "test_ranks on $n ranks" "${mpi[@]}" -n $n "$test_ranks"
done

# ---- Training equals a single process --------------------------------------------------------------------------------

# curve RUN: prints steps and NLLs of training and test, one a line
curve() {
    grep -oE '"step": [0-9]+|"(train|test)/nats_per_image": [^,}]*' "$1/metrics.jsonl" | awk '{ print $NF }'
}

# curves_agree WANT GOT: the curves of two runs agree to a relative 1e-5
curves_agree() {
    curve "$1" >want && curve "$2" >got && [ -s want ] && paste want got | awk -v tolerance=1e-5 '
        { far = $1 > $2 ? $1 - $2 : $2 - $1; if (!($2 != "" && far <= tolerance * $1)) { print NR ": " $2 ", expected " $1; failed = 1 } }
        { if ($1 > 0 && far / $1 > worst) worst = far / $1 }
        END { print "largest relative difference " worst; exit failed }'
}

trains_equally() { # NAME COUNT: and writes the same files
    ranks "$2" train "$1.yaml" -o "$1-$2" && contains out '^trained to step 50 ' && curves_agree "$1" "$1-$2" || return
    same "$(cd "$1-$2" && find . ! -name 'events.*' | sort)" "$(cd "$1" && find . ! -name 'events.*' | sort)"
}
for name in rmsprop adam sgd; do
    pixelrnn train $name.yaml -o $name >log || cat log
done
for one in rmsprop:1 rmsprop:2 rmsprop:3 rmsprop:4 adam:4 sgd:3 ${PX_TEST_LONG:+adam:1 adam:2 adam:3 sgd:1 sgd:2 sgd:4}; do
    check "${one%:*}: ${one#*:} ranks agree with one process to 1e-5 over 50 steps" trains_equally "${one%:*}" "${one#*:}"
done

is_reproducible() { # NAME COUNT
    ranks "$2" train "$1.yaml" -o again && cmp {again,"$1-$2"}/checkpoints/newest/model.safetensors &&
        cmp {again,"$1-$2"}/checkpoints/newest/optimizer.safetensors && rm -r again
}
check "rmsprop: 3 ranks are bitwise reproducible" is_reproducible rmsprop 3
check "adam: 4 ranks are bitwise reproducible" is_reproducible adam 4

logs_reduction_times() { # in every record of 50 steps
    grep '"reduce_ms"' rmsprop-3/metrics.jsonl | grep '"reduce_exposed_ms"' | grep -c . | { read -r n && same "$n" 50; }
}
check "metrics contain the durations of reductions" logs_reduction_times

initialises_from() { # only rank 0 reads the model
    pixelrnn train sgd.yaml -o init --set train.steps=10 --init rmsprop --set model.kind=diagonal_bilstm &&
        ranks 3 train sgd.yaml -o init-3 --set train.steps=10 --init rmsprop --set model.kind=diagonal_bilstm && curves_agree init init-3
}
check "--init" initialises_from

# Open MPI binds one or two ranks to a core each by default. taskset binds here, since mpirun may not in a container.
warns_of_binding() { # RANKS CPUS EXPECTED: how many lines the ranks print if they are bound to these processors
    rm -rf bound
    "${mpi[@]}" -n "$1" taskset -c "$2" "$program" train sgd.yaml -o bound --set train.steps=1 >out 2>err || return
    same "$(grep -c '^pixelrnn: warning: found each rank bound to 1 of .* expected [0-9]*; start mpirun with --bind-to none' err)" "$3"
}
processors=$(getconf _NPROCESSORS_ONLN)
if command -v taskset >/dev/null && taskset -c 0 true 2>/dev/null && [ "$(env -u OMP_NUM_THREADS nproc)" -eq "$processors" ]; then
    check "a rank on one of several processors is reported" warns_of_binding 1 0 $((processors > 1))
    check "two ranks are, if the host has more for each" warns_of_binding 2 0 $((processors / 2 > 1))
    check "ranks that are not bound are not reported" warns_of_binding 2 "0-$((processors - 1))" 0
else
    skip "a rank on one of several processors is reported" "there is no taskset, or this script is bound"
fi

# ---- Evaluation ------------------------------------------------------------------------------------------------------

evaluates_equally() { # COUNT
    pixelrnn eval rmsprop --json --per-image want.npy --set eval.batch_size=4 && mv out want.json &&
        ranks "$1" eval rmsprop --json --per-image got.npy --set eval.batch_size=4 && cmp want.npy got.npy && cmp want.json out
}
for n in 3 ${PX_TEST_LONG:+2 4}; do
    check "eval: $n ranks equal one process bit for bit" evaluates_equally $n
done
check "eval: more ranks than batches" evaluates_equally 5

# ---- Resuming --------------------------------------------------------------------------------------------------------

# cut_off RUN NEW: copies a run without its checkpoints after step 20
cut_off() {
    rm -rf "$2" && cp -r "$1" "$2" && rm -rf "$2"/checkpoints/0000000[345]0 && ln -sfn 000000020 "$2/checkpoints/newest"
}

resumes() { # FROM COUNT
    cut_off "$1" resumed && ranks "$2" train rmsprop.yaml -o resumed --resume && contains out '^trained to step 50 ' && curves_agree rmsprop resumed
}
resumes_exactly() {
    resumes rmsprop-4 4 && cmp {resumed,rmsprop-4}/checkpoints/newest/model.safetensors &&
        cmp {resumed,rmsprop-4}/checkpoints/newest/optimizer.safetensors
}
check "a checkpoint of 4 ranks, resumed on 4, bit for bit" resumes_exactly
for n in 1 2 3; do
    check "a checkpoint of 4 ranks, resumed on $n" resumes rmsprop-4 $n
done
check "a checkpoint of one process, resumed on 4 ranks" resumes rmsprop 4
check "a checkpoint of 4 ranks, resumed by one process" eval 'cut_off rmsprop-4 resumed && pixelrnn train rmsprop.yaml -o resumed --resume && curves_agree rmsprop resumed'

# ---- Consistency checks ----------------------------------------------------------------------------------------------

# pair FIRST... -- SECOND...: runs two ranks, each with its own command
pair() {
    local first=()
    while [ "$1" != -- ]; do first+=("$1") && shift; done
    "${mpi[@]}" -n 1 "${first[@]}" : -n 1 "${@:2}" >out 2>err </dev/null
    local status=$?
    cat out err
    return $status
}

# disagree PATTERN FIRST... -- SECOND...: the job ends with status 2 and one message, and writes no checkpoint
disagree() {
    local pattern=$1
    shift
    pair "$@"
    same $? 2 && one_message_of_all "$pattern" && same "$(find pair -name '*.safetensors' 2>/dev/null)" ""
}
train_pair=("$program" train sgd.yaml -o pair)
noise 900 7 | npy_write '30, 6, 5' >others.npy
head -c $((128 + 870)) images.npy | tail -c 870 | npy_write '29, 6, 5' >fewer.npy
cp images.npy copied.npy

check "another config" disagree 'rank 1 on .*: train.learning_rate: found 0.1, expected 0.003 as on rank 0' \
    "${train_pair[@]}" -- "${train_pair[@]}" --set train.learning_rate=0.1
check "other images" disagree 'rank 1 on .*others.npy: found 30 images of 6 x 5 x 1, checksum [0-9a-f]{8}; expected' \
    "${train_pair[@]}" -- "${train_pair[@]}" --set data.train=others.npy
check "fewer test images" disagree 'rank 1 on .*fewer.npy: found 29 images' \
    "${train_pair[@]}" -- "${train_pair[@]}" --set data.test=fewer.npy
check "the same images elsewhere" eval 'pair "${train_pair[@]}" -- "${train_pair[@]}" --set data.train=copied.npy && rm -r pair'

another_program() {
    mkdir -p bin && cp "$program" bin && printf x >>bin/pixelrnn && cp "$(dirname "$program")"/libpixelrnn*.so bin || return
    [ ! -d "$(dirname "$program")/../lib" ] || cp -r "$(dirname "$program")/../lib" .
    disagree "rank 1 on .*: the program's file: found" "${train_pair[@]}" -- bin/pixelrnn train sgd.yaml -o pair
}
check "another build of the program" another_program

check "more ranks than images in a batch" ranks_fail 4 2 'train.batch_size: found 3, expected at least one image for each of 4 ranks' \
    train sgd.yaml -o pair --set train.batch_size=3
check "a wrong argument is printed once" ranks_fail 3 2 'found unknown option --fast' train sgd.yaml --fast
check "a missing file is printed once" ranks_fail 3 1 'nothing.npy' train sgd.yaml -o pair --set data.train=nothing.npy
check "an existing run is not overwritten" ranks_fail 3 2 'already holds a run' train rmsprop.yaml -o rmsprop-3
check "a command that has no ranks" ranks_fail 3 2 'info: found 3 ranks, started by a launcher, expected one' info sgd.yaml

without_mpi() { # several single processes must not train in one folder
    mkdir -p single_process && cp "$program" single_process && ! ldd single_process/pixelrnn | grep -q 'libpixelrnn.so' || return
    "${mpi[@]}" -n 2 single_process/pixelrnn train sgd.yaml -o pair >out 2>err
    same $? 1 && one_message_of_all 'started 2 ranks, but MPI cannot be loaded, or is not built in' && [ ! -e pair ] || return
    single_process/pixelrnn train sgd.yaml -o single_process/run >out 2>err # without a launcher MPI is not needed
}
if ldd "$program" | grep -q libpixelrnn.so; then
    skip "libpixelrnn_mpi.so is missing" "the program is a bundle"
else
    check "libpixelrnn_mpi.so is missing" without_mpi
fi

# ---- Faults ----------------------------------------------------------------------------------------------------------

config long diagonal_bilstm rmsprop
sed -i 's/steps: .*/steps: 1000000/; s/log_every: .*/log_every: 100/; s/evaluate_every: .*/evaluate_every: 0/; s/checkpoint_every: .*/checkpoint_every: 50/
    s/keep_checkpoints: .*/keep_checkpoints: 2/' long.yaml

# begin RUN COUNT: starts a job in the background and waits for its first checkpoint; $job is mpirun
begin() {
    rm -rf "$1"
    "${mpi[@]}" -n "$2" "$program" train long.yaml -o "$1" >out 2>err </dev/null &
    job=$!
    wait_until [ -e "$1/checkpoints/newest" ]
}

# ends_within SECONDS: the job fails within that time and leaves no process; writes its duration to ./took
ends_within() {
    local since=$EPOCHREALTIME status took
    { sleep $((${1%.*} + 10)) && kill -KILL "$job"; } 2>/dev/null &
    local guard=$!
    wait "$job" 2>/dev/null
    status=$?
    kill $guard 2>/dev/null
    took=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $since }")
    cat out err
    echo "$took s" >took
    [ $status -ne 0 ] || { echo "exit status: found 0"; return 1; }
    awk "BEGIN { exit !($took <= $1) }" || { echo "the job ended after $took s, expected at most $1"; return 1; }
    same "$(for n in 0 1 2 3; do rank_process $n; done)" ""
}

# whole RUN: its newest checkpoint opens and can be resumed, and there is no partial file
whole() {
    local step
    "$program" eval "$1" --data images.npy >opened 2>&1 || { cat opened && return 1; }
    step=$((10#$(readlink "$1/checkpoints/newest") + 10))
    pixelrnn train long.yaml -o "$1" --resume --set train.steps=$step && no_partial_files "$1"
}

# ends_after SIGNAL RANK SECONDS PATTERN: a rank gets a signal; the job ends within SECONDS with a message about it
ends_after() {
    begin fault 4 && kill -s "$1" "$(rank_process "$2")" && ends_within "$3" && one_message_of_all "$4" && whole fault
}
check_fault() { # as check, and prints the duration
    check "$@"
    [ ! -e took ] || echo "# ended after $(cat took)"
    rm -f took
}
host=$(hostname)
check_fault "kill -9 of a rank" ends_after KILL 2 $slack "rank 2 on $host ended unexpectedly: its process was killed or crashed"
check_fault "kill -9 of rank 0" ends_after KILL 0 $slack "rank 0 on $host ended unexpectedly: its process was killed or crashed"
check_fault "a crash of a rank" ends_after SEGV 3 $slack "rank 3 on $host ended unexpectedly: its process was killed or crashed"
check_fault "SIGSTOP of a rank" ends_after STOP 1 $((silence + slack)) "rank 1 on $host has sent no heartbeat for 2 s: its process is stopped .its host responds."
check_fault "SIGSTOP of rank 0" ends_after STOP 0 $((silence + slack)) "rank 0 on $host has sent no heartbeat for 2 s: its process is stopped .its host responds."

# A scheduler suspends all ranks: no fault. Rank 0 is stopped last and continued first, so that no heartbeat arrives at
# it during the suspension.
suspended() {
    begin paused 3 || return
    local process=() n
    for n in 0 1 2; do process[n]=$(rank_process $n) || return; done
    kill -STOP "${process[2]}" "${process[1]}"
    sleep 0.2
    kill -STOP "${process[0]}"
    sleep $((silence + 1))
    kill -CONT "${process[0]}"
    sleep 0.5
    kill -CONT "${process[1]}" "${process[2]}"
    sleep 1
    kill -TERM "$(rank_process 1)"
    wait "$job"
    same $? 3 && contains out '^saved at step' && same "$(grep -c '^pixelrnn: ' err)" 0
}
check "a job that is suspended and continued" suspended

truncated_data() { # of one rank
    cp images.npy mine.npy
    rm -rf fault
    "${mpi[@]}" -n 2 "$program" train long.yaml -o fault : -n 1 "$program" train long.yaml -o fault --set data.train=mine.npy \
        >out 2>err </dev/null &
    job=$!
    wait_until [ -e fault/checkpoints/newest ] || return
    truncate -s 200 mine.npy
    ends_within $slack && one_message_of_all "rank 2 on $host: mine.npy: shrank while it was read: found 200 bytes, expected" && whole fault
}
check_fault "a rank whose data file is truncated" truncated_data

# put TENSOR FIRST COUNT NUMBER: overwrites elements of a tensor in steep.safetensors with a number of four bytes
put() {
    local at
    at=$(head -c 20000 steep.safetensors | grep -aoE "\"$1\":\{[^}]*\"data_offsets\":\[[0-9]+" | grep -oE '[0-9]+$')
    at=$((at + 8 + $(od -An -tu8 -N8 steep.safetensors) + 4 * $2))
    # shellcheck disable=SC2059 # the bytes are the format
    for _ in $(seq "$3"); do printf "$4"; done | dd of=steep.safetensors bs=1 seek=$at conv=notrunc status=none
}

# not_finite WHAT STEM [HEAD_1 HEAD_2]: weights that overflow for a bright image, while a dark image makes every relu
# zero. Only the third image is bright; it belongs to rank 2.
not_finite() {
    local output
    { head -c 60 /dev/zero; yes "$(printf '\377')" | tr -d '\n' | head -c 30; head -c 30 /dev/zero; } | npy_write '4, 6, 5' >bright.npy
    pixelrnn train sgd.yaml -o seed --set train.steps=0 --set data.train=bright.npy --set data.test= || return
    cp seed/checkpoints/newest/model.safetensors steep.safetensors && rm -r seed
    for output in 0 1 2 3 4 5 6 7; do put stem.weight $((28 * output)) 24 "$2"; done # the last 4 of 28 are masked
    [ $# -eq 2 ] || { put head.1.weight 0 36 "$3" && put head.2.weight 0 6 "$4"; }
    ranks_fail 4 1 "step 1: the $1 of rank 2 on $host is not finite; last good checkpoint: none" \
        train sgd.yaml -o steep --set train.batch_size=4 --set data.train=bright.npy --set data.test= --init steep.safetensors
}
check "a loss that is not finite names the rank" not_finite loss '\231\166\226\176' # 1e38
# 1e-30, 1e10, 1e38: the logits are 1e18, and the backward pass multiplies 1e38 by 1e10
check "a gradient that is not finite names the rank" \
    not_finite 'norm of the gradients' '\140\102\242\015' '\371\002\025\120' '\231\166\226\176'

# ---- Stop requests ---------------------------------------------------------------------------------------------------

# stops SIGNAL WHO [STATUS]: a signal to rank 1 or to mpirun; the job saves and ends with STATUS (default 3)
stops() {
    begin stopped 3 || return
    kill -s "$1" "$([ "$2" = mpirun ] && echo $job || rank_process 1)"
    wait "$job"
    same $? "${3:-3}" && contains out '^saved at step [0-9]+; go on with: pixelrnn train stopped --resume$' && whole stopped
}
check "SIGTERM to one rank stops all" stops TERM rank
[ -z "${PX_TEST_LONG:-}" ] || check "SIGINT to one rank stops all" stops INT rank 130
check "SIGUSR1 to mpirun stops all" stops USR1 mpirun

# ---- Two hosts -------------------------------------------------------------------------------------------------------

export network=px$$ # unique, so that this script can run twice at the same time; on_host reads it

hosts_down() {
    ip netns del "${network}1" && ip netns del "${network}2"
    ip link del "$network"
}

# Creates two namespaces connected by a bridge: node1 is 10.77.0.1, node2 is 10.77.0.2.
hosts_up() {
    ip link add "$network" type bridge && ip link set "$network" up || return
    local n
    for n in 1 2; do
        ip netns add "$network$n" && ip link add "$network-$n" type veth peer name eth0 netns "$network$n" &&
            ip link set "$network-$n" master "$network" up && ip -n "$network$n" addr add 10.77.0.$n/24 dev eth0 &&
            ip -n "$network$n" link set eth0 up && ip -n "$network$n" link set lo up || return
    done
    ip netns exec "${network}1" unshare --uts true
}

# mpirun calls this script instead of ssh.
cat >on_host <<'END'
#!/bin/sh
n=${1##*.}
shift
exec ip netns exec "$network$n" unshare --uts sh -c "hostname node$n; $*"
END
chmod +x on_host

on_two_hosts() {
    # shellcheck disable=SC2016 # for the inner shell
    mpi=(ip netns exec "${network}1" unshare --uts sh -c 'hostname node1; exec mpirun "$@"' mpirun --allow-run-as-root --oversubscribe --bind-to none
        --mca plm_rsh_agent "$work/on_host" --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0
        --mca oob_tcp_keepalive_time 1 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3
        --host 10.77.0.1:2,10.77.0.2:2)
}

two_hosts_equal_one() {
    rm -rf over && ranks 4 train rmsprop.yaml -o over && curves_agree rmsprop over && cmp {over,rmsprop-4}/checkpoints/newest/model.safetensors
}

link_down() {
    begin fault 4 && ip link set "$network-2" nomaster && ends_within $((silence + 5 + slack))
    local status=$?
    ip link set "$network-2" master "$network"
    [ $status -eq 0 ] && one_message_of_all "rank 2 on node2 has sent no heartbeat for 2 s: its host or the network link to it is down" && whole fault
}

if hosts_up >/dev/null 2>&1; then
    trap 'hosts_down >/dev/null 2>&1; leave' EXIT
    on_two_hosts
    check "four ranks on two hosts equal four on one, bit for bit" two_hosts_equal_one
    check_fault "kill -9 on the other host" ends_after KILL 3 $slack "rank 3 on node2 ended unexpectedly: its process was killed or crashed"
    check_fault "kill -9 of rank 0, with others on another host" ends_after KILL 0 $slack "rank 0 on node1 ended unexpectedly: its process was killed or crashed"
    check_fault "the link between the hosts goes down" link_down
else
    hosts_down >/dev/null 2>&1
    skip "two hosts" "creating network namespaces needs root"
fi

finish

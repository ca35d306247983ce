#!/bin/bash
# Ranks on CUDA, on mocks of CUDA and NCCL (tests/mock_cuda, tests/mock_nccl): they train as one process does, and after
# a failure of NCCL the job ends at once with one message. MOCK_CUDA is the folder of the program linked with the mocks.
mock=$(realpath "${MOCK_CUDA:-.}")
here=$(realpath "$(dirname "$0")/../support")
# shellcheck source=tests/support/shell.sh
. "$here/shell.sh"
# shellcheck source=tests/support/mock.sh
. "$here/mock.sh"

if [ ! -x "$mock/pixelrnn" ] || ! ranks_start; then
    skip "ranks on mocks of CUDA and NCCL" "CUDA, NCCL or MPI was not found"
    finish
    exit
fi
program=$mock/pixelrnn
export TMPDIR=$work # for the mock of NCCL

cat >train.yaml <<END
name: mock
device: cuda
model: {kind: row_lstm, layers: 1, hidden: 8, head: 8}
data: {train: builtin:digits, test: builtin:digits, levels: 2, size: 8}
train: {steps: 20, batch_size: 6, evaluate_every: 0, evaluate_images: 20, samples: 0, log_every: 5}
parallel: {bucket_mib: 0.004}
END

final_nll() {
    sed -nE 's/^test NLL +([0-9.]+) .*/\1/p' out
}

agrees() { # RANKS
    local one many
    rm -rf one many
    pixelrnn train train.yaml -o one && one=$(final_nll) && together "$1" train train.yaml -o many && many=$(final_nll) || return
    contains many/metrics.jsonl '"reduce_ms"' && awk -v one="$one" -v many="$many" 'BEGIN { print one, many; d = one / many - 1; exit !(d < 1e-4 && d > -1e-4) }'
}
check "one rank trains as a single process" agrees 1
check "three ranks train as a single process" agrees 3

# trains_on NAME STEPS [VAR=VALUE...] [ARGUMENT...]: a run of two ranks; the counts of rank R are in NAME.R.counts
trains_on() {
    local name=$1 steps=$2 variables=()
    shift 2
    while [[ ${1:-} == *=* ]]; do variables+=("$1") && shift; done
    # shellcheck disable=SC2016 # the ranks expand it
    "${mpi[@]}" -n 2 env "${variables[@]}" bash -c 'export PX_MOCK_COUNTS=$0.$OMPI_COMM_WORLD_RANK.counts; exec "$@"' "$name" \
        "$program" train train.yaml -o "$name" --set train.log_every=1 --set train.steps="$steps" "$@" >out 2>err || { cat err; return 1; }
}

# captures GRAPHS LAUNCHES [--set KEY=VALUE...]: two ranks have the same weights with captured graphs as without, if the
# graphs of one rank are wrong, and if the run was resumed. After step 2, a step is so many graphs and launches.
captures() {
    local weights=checkpoints/newest/model.safetensors graphs=$1 launches=$2
    shift 2
    rm -rf direct graphs one resumed longer
    trains_on direct 6 PX_MOCK_GRAPHS=wrong "$@" && same "$(grep -c '^warning' err)" 1 &&
        contains err '^warning: a captured graph gives other results than its operations; graphs are not used' || return
    trains_on graphs 6 "$@" && ! grep '^warning' err && cmp {direct,graphs}/$weights || return
    trains_on one 6 PX_MOCK_GRAPHS=wrong:1 "$@" && counted one.0 some graphs && cmp {direct,one}/$weights || return
    trains_on resumed 3 "$@" && trains_on resumed 6 --resume "$@" && counted resumed.0 some graphs && cmp {direct,resumed}/$weights || return
    trains_on longer 7 "$@" && same $(($(value longer.1 graphs) - $(value graphs.1 graphs))) "$graphs" &&
        same $(($(value longer.1 launches) - $(value graphs.1 launches))) "$launches"
}
# A graph for each of two buckets, for the norm and for the update. Other launches: two uploads, three downloads and
# their event, five for the sum of a bucket, and two at the end of the sums. A micro-batch adds an upload, a graph and a
# copy; several also a clear and a copy.
check "captured steps of two ranks give the same bits" captures 4 $((4 + 2 + 4 + 2 * 5 + 2))
check "and with micro-batches" captures 6 $((22 + 2 * 3 + 2)) --set train.accumulate=3

# on_gpus NAME [VAR=VALUE...] -- [ARGUMENT...]: a run of two ranks whose GPUs have clusters. The variables are those of
# rank 1; the counts of rank R are in NAME.R.counts.
on_gpus() {
    local name=$1 variables=()
    shift
    while [ "$1" != -- ]; do variables+=("$1") && shift; done
    local common=(env XDG_CACHE_HOME="$PWD/cache" PX_MOCK_CAPABILITY=90)
    local train=("$program" train train.yaml --set precision=bfloat16 --set model.hidden=16 --set train.log_every=1 "${@:2}")
    "${mpi[@]}" -n 1 "${common[@]}" PX_MOCK_COUNTS="$name.0.counts" "${train[@]}" : -n 1 "${common[@]}" PX_MOCK_COUNTS="$name.1.counts" "${variables[@]}" \
        "${train[@]}" >out 2>err || { cat err; return 1; }
}

# Ranks take recurrences on clusters only if all have them, by a verdict of `pixelrnn check` on each GPU. A run goes on
# with what it began with.
agree_on_clusters() {
    local other verdict
    rm -rf with without
    checks use 'us a step' PX_MOCK_STEP=slow || return
    verdict=$(echo cache/pixelrnn/verdict-*00.json) && other=${verdict%00.json}01.json # the GPU of rank 1 has another UUID
    on_gpus none -- -o without --set train.steps=2 && counted none.0 none clusters && counted none.1 none clusters || return
    sed 's/"use"/"avoid"/' "$verdict" >"$other" && rm -rf without && on_gpus avoid -- -o without --set train.steps=2 &&
        counted avoid.0 none clusters && counted avoid.1 none clusters || return
    cp "$verdict" "$other" && on_gpus old PX_MOCK_CAPABILITY=80 -- -o old --set train.steps=2 && counted old.0 none clusters && counted old.1 none clusters || return
    on_gpus both -- -o with --set train.steps=2 && counted both.0 some clusters && counted both.1 some clusters &&
        contains with/checkpoints/newest/state.json '"clusters":	true' || return
    on_gpus again -- -o without --resume --set train.steps=3 && counted again.0 none clusters && counted again.1 none clusters || return
    on_gpus on -- -o with --resume --set train.steps=3 && ! grep '^warning' err && counted on.0 some clusters && counted on.1 some clusters || return
    rm "$other" && on_gpus gone -- -o with --resume --set train.steps=4 && counted gone.0 none clusters && counted gone.1 none clusters &&
        same "$(grep -c '^warning' err)" 1 && contains err '^warning: this run used recurrences on clusters, which have no verdict' &&
        ! grep '"clusters"' with/checkpoints/newest/state.json
}
check "ranks take clusters only if all have them" agree_on_clusters

# Rank 1 has a driver, but its GPU is too old.
other_device() {
    mkdir -p driver && echo | cc -shared -x c -o driver/libcuda.so.1 - || return
    local train=("$program" train train.yaml -o run --set device=auto)
    "${mpi[@]}" -n 1 "${train[@]}" : -n 1 env LD_LIBRARY_PATH="$work/driver" PX_MOCK_CAPABILITY=75 "${train[@]}" >out 2>err
    same $? 2 && same "$(grep -c '^pixelrnn: ' err)" 1 && contains err \
        '^pixelrnn: rank 1 on .*: device: found cpu, expected cuda as rank 0 on .*; warning: device: auto uses the CPU: .* has compute capability 7.5'
}
check "a rank whose GPU cannot be used says why" other_device

# ends_at_once STEP RANK PATTERN: this step of NCCL fails on this rank of three. The others must not wait for it, which
# would take up to parallel.stall_s, 30 minutes.
ends_at_once() {
    rm -rf run
    export PX_MOCK_NCCL=$1:$2
    timeout 30 "${mpi[@]}" -n 3 "$program" train train.yaml -o run >out 2>err
    same $? 1 && same "$(grep -c '^pixelrnn: ' err)" 1 && contains err "^pixelrnn: $3"
}
name='rank 1 on [^ ]*: NCCL: '
check "rank 1 cannot set NCCL up" ends_at_once open 1 "${name}cudaEventCreate.*: error"
check "rank 0 cannot set NCCL up" ends_at_once open 0 'rank 0 on .*: NCCL: cudaEventCreate.*: error'
check "rank 1 cannot join the communicator" ends_at_once join 1 "${name}ncclCommInitRankConfig: system error"
check "rank 0 cannot join the communicator" ends_at_once join 0 'NCCL: ncclCommInitRankConfig: system error'
check "an asynchronous error, while all ranks wait for a sum" ends_at_once error 1 "${name}asynchronous error: remote error"
finish

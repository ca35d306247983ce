#!/bin/bash
# Ranks on CUDA, on mocks of CUDA and NCCL (tests/mock_cuda, tests/mock_nccl): they train as one process does, and after
# a failure of NCCL the job ends at once with one message. MOCK_CUDA is the folder of the program linked with the mocks.
mock=$(realpath "${MOCK_CUDA:-.}")
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

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

#!/bin/bash
# Fast paths of CUDA on the mock of its libraries (tests/mock_cuda): captured graphs, fused recurrences and recurrences
# on clusters are used only if they agree with the plain paths. MOCK_CUDA is the folder of the program linked with the
# mock. PX_TEST_SHORT runs a part only.
mock=$(realpath "${MOCK_CUDA:-.}")
here=$(realpath "$(dirname "$0")/../support")
# shellcheck source=tests/support/shell.sh
. "$here/shell.sh"
# shellcheck source=tests/support/mock.sh
. "$here/mock.sh"

if [ ! -x "$mock/pixelrnn" ]; then
    skip "fast paths of CUDA on a mock" "CUDA or NCCL was not found"
    finish
    exit
fi
write_config

# recurs [--set KEY=VALUE...]: a short run of a Row LSTM whose steps can be fused
recurs() {
    rm -rf run
    PX_MOCK_COUNTS=recurs.counts "$mock/pixelrnn" train train.yaml -o run --set precision=bfloat16 --set model.kind=row_lstm \
        --set model.hidden=16 "$@" >out 2>err || { cat err; return 1; }
    model=run/checkpoints/newest/model.safetensors
}

# The fused recurrence is used once it agrees with the stepwise one. If it does not, or cannot be launched, one line
# says so, and the results are those of the stepwise one.
proves_steps() {
    local differs='^warning: the fused recurrence differs from the stepwise one by [0-9.]+ of the largest value \(at most 0.04\); recurrences run stepwise'
    recurs --set paths=plain && counted recurs none steps graphs || return
    recurs && ! grep warning err && counted recurs some steps graphs || return
    PX_MOCK_STEP=fail recurs && same "$(grep -c '^warning' err)" 1 && contains err '^warning: cuda: fused: one kernel a step: .*; recurrences run stepwise' &&
        counted recurs none steps && cp $model stepwise || return
    PX_MOCK_STEP=wrong recurs && same "$(grep -c '^warning' err)" 1 && contains err "$differs" && counted recurs some graphs steps && cmp $model stepwise
}

# samples NAME COUNT [VAR=VALUE...]: samples images of 8 x 8 pixels to NAME.npy, 3 at a time; counts are in NAME.counts
samples() {
    rm -f "$1.npy"*
    env PX_MOCK_COUNTS="$1.counts" "${@:3}" "$mock/pixelrnn" sample run -n "$2" --seed 3 --set eval.batch_size=3 -o "$1.npy" >out 2>err || { cat err; return 1; }
}

# The first row is issued directly, and the second one proves the graph. From then on, a row is an upload, a graph and
# an event, and a batch a clear and two downloads. A graph that gives other results than its operations leads to a
# warning, and not to other samples.
proves_rows() {
    trains float32 && samples twice 6 && same "$(value twice graphs)" 16 && cp out summary &&
        samples thrice 9 && ! grep warning err && same "$(value thrice graphs)" 24 &&
        same $(($(value thrice launches) - $(value twice launches))) $((8 * 3 + 3)) || return
    samples wrong 6 PX_MOCK_GRAPHS=wrong && same "$(grep -c '^warning' err)" 1 &&
        contains err '^warning: a captured graph gives other results than its operations; graphs are not used' &&
        same "$(value wrong graphs)" 1 && cmp wrong.npy twice.npy && diff <(tail -1 out) <(tail -1 summary)
}

# Clusters that hang, crash, give other results or take longer than the fused recurrence are avoided.
judges_clusters() {
    limit=2 checks avoid 'did not come to its end|did not end in 2 seconds' PX_MOCK_CLUSTERS=hang &&
        checks avoid 'ended by signal 6' PX_MOCK_CLUSTERS=crash && checks avoid 'cluster recurrence \[rows, 1 images' PX_MOCK_CLUSTERS=wrong &&
        checks avoid '[0-9.]+ us a step, forward and backward; fused [0-9.]+ us' PX_MOCK_CLUSTERS=slow
}

# on_clusters FILE [ARGUMENT...]: trains on a GPU that has clusters; its counts are in FILE.counts
on_clusters() {
    XDG_CACHE_HOME="$PWD/cache" PX_MOCK_CAPABILITY=90 PX_MOCK_COUNTS="$1.counts" "$mock/pixelrnn" train train.yaml \
        --set precision=bfloat16 --set model.kind=row_lstm --set model.hidden=16 --set train.checkpoint_every=1 "${@:2}" >out 2>err || { cat err; return 1; }
}

# Clusters are used after a verdict of this driver alone, and a run goes on with what it began with.
heeds_verdicts() {
    rm -rf cache run && on_clusters none -o run && counted none none clusters && contains err '^hint: .*`pixelrnn check` decides' || return
    checks avoid 'ended by signal 6' PX_MOCK_CLUSTERS=crash && on_clusters avoided -o avoided && counted avoided none clusters && ! grep '^hint: this GPU' err || return
    checks use '[0-9.]+ us a step, forward and backward; fused [0-9.]+ us' PX_MOCK_STEP=slow || return
    on_clusters again -o run --resume --set train.steps=4 && counted again none clusters || return
    rm -rf run && on_clusters some -o run && counted some some clusters && ! grep '^hint: this GPU' err && contains run/checkpoints/newest/state.json '"clusters":	true' || return
    sed -i 's/CUDA 12/CUDA 11/' cache/pixelrnn/verdict-*.json
    on_clusters stale -o run --resume --set train.steps=4 && counted stale none clusters &&
        contains err '^warning: this run used recurrences on clusters, which have no verdict'
}

# A wrong fused step is found by its own check; all operations and models, which then do without it, agree.
finds_a_wrong_step() {
    PX_MOCK_STEP=wrong "$mock/pixelrnn" check --device cuda --brief >out 2>err
    same "$?" 1 && contains out '^fused recurrence .* differs' && contains out '^model diagonal_bilstm +tf32 .* agrees' &&
        contains err '^pixelrnn: check: 1 of [0-9]+ comparisons differ'
}

check 'the fused recurrence is used only if it agrees with the stepwise one' proves_steps
check 'rows are sampled as graphs only if these agree with their operations' proves_rows
check 'recurrences on clusters that hang, crash, are wrong or slow are avoided' judges_clusters
check 'a verdict allows them, for its driver' heeds_verdicts
[ -n "${PX_TEST_SHORT:-}" ] || check 'a wrong fused step is found, and nothing else' finds_a_wrong_step
finish

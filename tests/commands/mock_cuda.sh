#!/bin/bash
# Tests the host code of the CUDA backend on a mock of its libraries (tests/mock_cuda): every operation compared with
# the CPU, with and without fused epilogues, and whole models, as graphs and as command buffers. They show that the host
# makes correct calls; they show nothing about a GPU. MOCK_CUDA is the folder of the programs linked with the mock.
# PX_TEST_SHORT runs a part only.
mock=$(realpath "${MOCK_CUDA:-.}")
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

if [ -z "${MOCK_CUDA:-}" ]; then
    skip "CUDA's host half on a mock" "make test builds it, where CUDA's headers are"
    finish
    exit
fi

declare -A process
# start RUN PROGRAM [VAR=VALUE...]: begins a program; it prints to RUN.log and leaves its counts in RUN.counts
start() {
    env PX_TEST_DEVICE=cuda PX_TEST_SHORT=1 PX_GOLDEN="$golden" PX_MOCK_COUNTS="$1.counts" "${@:3}" \
        "$mock/test_$2" >"$1.log" 2>&1 &
    process[$1]=$!
}

passes() {
    wait "${process[$1]}" || { grep -v '^ok' "$1.log"; return 1; }
}

# counted RUN some|none COUNT...: how often the mock did what tests/mock_cuda/mock.h lists
counted() {
    local name found wrong=0
    for name in "${@:3}"; do
        found=$(awk -v name="$name" '$1 == name { print $2 }' "$1.counts")
        [ -n "$found" ] && { [ "$2" = some ] && [ "$found" -gt 0 ] || { [ "$2" = none ] && [ "$found" -eq 0 ]; }; } && continue
        echo "$name: found ${found:-no count}, expected $2"
        wrong=1
    done
    return $wrong
}

fused='products_with_bias products_with_relu
    convolutions_with_bias convolutions_with_relu_mask convolutions_with_add convolutions_with_relu'
refused='products_refused convolutions_refused'
plain='products convolutions epilogues'
tf32='products_in_tf32 convolutions_in_tf32'

# Two at a time
# shellcheck disable=SC2086 # counts are words
each_way() {
    start all parity
    start none parity PX_MOCK_ENDS=none
    check 'operations, epilogues fused by the libraries' passes all
    check 'all requested epilogues were fused' counted all some $fused products_with_add $plain
    check 'they refused nothing' counted all none $refused
    start off golden PX_TEST_PATHS=plain
    check 'operations, epilogues not fused' passes none
    check 'all epilogues were refused' counted none some $refused $plain
    check 'no epilogue was fused' counted none none $fused
    start model model
    check 'golden cases, plain paths' passes off
    check 'the libraries were asked for products alone' counted off some products epilogues
    check 'no epilogue and no convolution was requested' counted off none $fused products_with_add $refused convolutions steps
    start golden golden
    check 'models' passes model
    check 'golden cases' passes golden
}

too_old() {
    PX_TEST_DEVICE=cuda PX_GOLDEN="$golden" PX_MOCK_CAPABILITY=75 "$mock/test_golden" >old.log 2>&1 && return 1
    contains old.log 'no CUDA device: .* has compute capability 7.5, want 8.0 or later \(driver for CUDA 12.4, runtime 1[0-9].[0-9]\)'
}

no_product() {
    PX_TEST_DEVICE=cuda PX_GOLDEN="$golden" PX_MOCK_PRODUCTS=none "$mock/test_golden" >product.log 2>&1 && return 1
    contains product.log 'cuBLASLt: GEMM of '
}

# value RUN COUNT
value() { awk -v name="$2" '$1 == name { print $2 }' "$1.counts"; }

# A training step makes no call that waits for the device, but for the event of the step before. Each program trains
# with whole batches, and with micro-batches.
ahead() {
    passes short && passes long && same "$(value long synchronizations)" "$(value short synchronizations)" &&
        same "$(($(value long event_waits) - $(value short event_waits)))" 40 &&
        echo "launches a step: $((($(value long launches) - $(value short launches)) / 40))"
}

# ---- The program -----------------------------------------------------------------------------------------------------

# 64 hidden features: a float32 model that is large enough for the hint
cat >train.yaml <<END
name: mock
device: cuda
model: {kind: pixelcnn, layers: 1, hidden: 64, head: 16}
data: {train: builtin:digits, levels: 2, size: 8}
train: {steps: 3, batch_size: 4, samples: 0, log_every: 1}
END

# trains PRECISION [VAR=VALUE...]: a short run of the program on the mock; its counts are in PRECISION.counts
trains() {
    rm -rf run
    env PX_MOCK_COUNTS="$1.counts" "${@:2}" "$mock/pixelrnn" train train.yaml -o run --set precision="$1" >out 2>err || { cat err; return 1; }
    model=run/checkpoints/newest/model.safetensors
}

hint='hint: products in float32 do not use tensor cores; those of precision: tf32 or bfloat16 do'
# shellcheck disable=SC2086
precisions() {
    trains float32 && same "$(grep -c '^hint' err)" 1 && contains err "$hint" && counted float32 none $tf32 && cp $model plain || return
    trains float32 && cmp $model plain || return
    trains tf32 && ! grep hint err && counted tf32 some $tf32 convolutions && ! cmp -s $model plain || return
    trains bfloat16 && ! grep hint err && counted bfloat16 none $tf32
}

# The product of a cuDNN that cannot plan is the im2col's, up to rounding.
warns_once() {
    trains bfloat16 PX_MOCK_PLANS=fail && same "$(grep -c '^warning' err)" 1 &&
        contains err '^warning: cuDNN [0-9]* cannot plan a convolution: error \(mock\); im2col and cuBLASLt compute it' &&
        counted bfloat16 none convolutions && counted bfloat16 some products || return
    "$mock/pixelrnn" eval run --data builtin:digits --set data.size=8 --set eval.batch_size=100 >out 2>err && ! grep warning err || return
    PX_MOCK_PLANS=fail "$mock/pixelrnn" eval run --data builtin:digits --set eval.batch_size=100 >out 2>err && contains err '^warning: cuDNN'
}

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
    trains float32 && samples twice 6 && same "$(value twice graphs)" 15 && cp out summary &&
        samples thrice 9 && ! grep warning err && same "$(value thrice graphs)" 23 &&
        same $(($(value thrice launches) - $(value twice launches))) $((8 * 3 + 3)) || return
    samples wrong 6 PX_MOCK_GRAPHS=wrong && same "$(grep -c '^warning' err)" 1 &&
        contains err '^warning: a captured graph gives other results than its operations; graphs are not used' &&
        same "$(value wrong graphs)" 1 && cmp wrong.npy twice.npy && diff <(tail -1 out) <(tail -1 summary)
}

# checks MESSAGE [VAR=VALUE...]: the verdict on recurrences on clusters that fail is to avoid them, for this reason
checks() {
    local message=$1
    rm -rf cache
    env XDG_CACHE_HOME="$PWD/cache" PX_MOCK_CAPABILITY=90 "${@:2}" "$mock/pixelrnn" check --device cuda --clusters --limit 2 --json >out 2>err
    contains out "\"clusters\":	false" && contains out "$message" && contains cache/pixelrnn/verdict-*.json '"avoid"' && contains cache/pixelrnn/verdict-*.json "$message"
}

judges_clusters() {
    checks 'did not come to its end|did not end in 2 seconds' PX_MOCK_CLUSTERS=hang &&
        checks 'ended by signal 6' PX_MOCK_CLUSTERS=crash && checks 'cluster recurrence \[rows, 1 images' PX_MOCK_CLUSTERS=wrong
}

# on_clusters FILE [ARGUMENT...]: trains on a GPU that has clusters; its counts are in FILE.counts
on_clusters() {
    XDG_CACHE_HOME="$PWD/cache" PX_MOCK_CAPABILITY=90 PX_MOCK_COUNTS="$1.counts" "$mock/pixelrnn" train train.yaml \
        --set precision=bfloat16 --set model.kind=row_lstm --set model.hidden=16 --set train.checkpoint_every=1 "${@:2}" >out 2>err || { cat err; return 1; }
}

# Clusters are used after a verdict of this driver alone, and a run goes on with what it began with.
heeds_verdicts() {
    rm -rf cache run && on_clusters none -o run && counted none none clusters && contains err '^hint: .*`pixelrnn check` decides' || return
    checks 'ended by signal 6' PX_MOCK_CLUSTERS=crash && sed -i 's/"avoid"/"use"/' cache/pixelrnn/verdict-*.json || return
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

works_without_plans() {
    PX_TEST_DEVICE=cuda PX_TEST_SHORT=1 PX_GOLDEN="$golden" PX_MOCK_PLANS=fail "$mock/test_golden"
}

# shellcheck disable=SC2086
mixed() {
    start even parity PX_MOCK_ENDS=even
    start decoder decoder
    check 'sampling' passes decoder
    start refusing golden PX_MOCK_ENDS=even
    check 'golden cases, epilogues fused for even channels' passes refusing
    start graph graph
    start rows sample_graph
    check 'training steps as graphs' passes graph
    check 'sampled rows as graphs' passes rows
    start short train PX_TEST_STEPS=10
    start long train PX_TEST_STEPS=30
    check 'training steps wait for events alone' ahead
    check 'graphs were launched' counted graph some graphs
    check 'also to sample' counted rows some graphs
    check 'nothing of the libraries was left behind by training steps' counted graph none left
    check 'nor by sampling' counted decoder none left
    check 'nor by sampled rows' counted rows none left
    check 'nor by golden cases' counted refusing none left
    check 'a device that is too old is refused' too_old
    check 'a product that there is no algorithm for is an error' no_product
    check 'golden cases where cuDNN fails to plan' works_without_plans
    if [ -x "$mock/pixelrnn" ]; then
        check 'tf32 multiplies in TF32, float32 does not and prints a hint' precisions
        check 'a cuDNN that fails to plan is reported once' warns_once
        check 'the fused recurrence is used only if it agrees with the stepwise one' proves_steps
        check 'rows are sampled as graphs only if these agree with their operations' proves_rows
        check 'recurrences on clusters that hang, crash or are wrong are avoided' judges_clusters
        check 'a verdict allows them, for its driver' heeds_verdicts
        if [ -z "${PX_TEST_SHORT:-}" ]; then
            check 'a wrong fused step is found, and nothing else' finds_a_wrong_step
        fi
    else
        skip 'the program on the mock' 'NCCL was not found'
    fi
    check 'operations, epilogues fused for even channels' passes even
    check 'they did some of each' counted even some $fused products_with_add $refused $plain
}

mixed
[ -n "${PX_TEST_SHORT:-}" ] || each_way # under sanitizers the mixture will do
finish

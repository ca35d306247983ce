#!/bin/bash
# Tests the host code of the CUDA backend on a mock of its libraries (tests/mock_cuda): every operation compared with
# the CPU, with and without fused epilogues, and whole models, as graphs and as command buffers. They show that the host
# makes correct calls; they show nothing about a GPU. MOCK_CUDA is the folder of the programs linked with the mock.
# PX_TEST_SHORT runs a part only.
mock=$(realpath "${MOCK_CUDA:-.}")
here=$(realpath "$(dirname "$0")/../support")
# shellcheck source=tests/support/shell.sh
. "$here/shell.sh"
# shellcheck source=tests/support/mock.sh
. "$here/mock.sh"

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

# A training step makes no call that waits for the device, but for the event of the step before. Each program trains
# with whole batches, and with micro-batches.
ahead() {
    passes short && passes long && same "$(value long synchronizations)" "$(value short synchronizations)" &&
        same "$(($(value long event_waits) - $(value short event_waits)))" 40 &&
        echo "launches a step: $((($(value long launches) - $(value short launches)) / 40))"
}

# ---- The program -----------------------------------------------------------------------------------------------------

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
    else
        skip 'the program on the mock' 'NCCL was not found'
    fi
    check 'operations, epilogues fused for even channels' passes even
    check 'they did some of each' counted even some $fused products_with_add $refused $plain
}

mixed
[ -n "${PX_TEST_SHORT:-}" ] || each_way # under sanitizers the mixture will do
finish

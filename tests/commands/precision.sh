#!/bin/bash
# precision: bfloat16 is compared with float32 for every operation, training of each kind of model, resuming, sampling,
# memory.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

check "every operation in bfloat16 is its float32 result, rounded" env PX_PARITY=precision "$(dirname "$program")/tests/gpu/test_parity"

# train KIND PRECISION RUN [ARGUMENT...]
train() {
    local kind=$1 precision=$2 run=$3
    shift 3
    cat >"$kind.yaml" <<END
name: $kind
device: $device
model: {kind: $kind, layers: 2, hidden: 8, head: 16}
data: {train: builtin:digits, test: builtin:digits, levels: 2, size: 10}
train: {steps: 150, batch_size: 16, optimizer: adam, learning_rate: 0.001, ema_decay: 0.9, evaluate_every: 0, checkpoint_every: 60,
        evaluate_images: 500, samples: 0}
END
    pixelrnn train "$kind.yaml" --set precision="$precision" -o "$run" "$@"
}

# near FOUND EXPECTED RELATIVE_TOLERANCE
near() {
    awk -v found="$1" -v expected="$2" -v tolerance="$3" 'BEGIN {
        printf "found %s, expected %s within a relative %g\n", found, expected, tolerance
        d = found / expected - 1
        exit !(found > 0 && d < tolerance && d > -tolerance)
    }'
}

test_nll() { # printed by training
    sed -nE 's/^test NLL +([0-9.]+) .*/\1/p' out
}

# After 1,000 steps NLLs must agree within 0.5 %. Here 150 steps use a learning rate at which rounding errors do not
# grow: at 0.005, six seeds differ by 1 % (root mean square; the mean is at most 0.3 %), at 0.001 by at most 0.14 %.
trains_to_the_same_nll() {
    local full half
    train "$1" float32 "$1.full" && full=$(test_nll) && train "$1" bfloat16 "$1.half" && half=$(test_nll) || return
    ! cmp -s "$1".{full,half}/checkpoints/000000150/model.safetensors && near "$half" "$full" 0.005
}

# A run in two parts, on another number of threads, gives the same bits.
resumes_exactly() {
    OMP_NUM_THREADS=2 train "$1" bfloat16 "$1.parts" || return
    rm -r "$1.parts/checkpoints/000000150" "$1.parts/checkpoints/000000120"
    train "$1" bfloat16 "$1.parts" --resume || return
    local file
    for file in model optimizer; do
        cmp "$1.half/checkpoints/000000150/$file.safetensors" "$1.parts/checkpoints/000000150/$file.safetensors" || return
    done
}

# Sampling and eval agree on the NLL of the samples. A model file holds float32 weights, so eval can also run in
# float32.
samples_agree_with_eval() {
    local sampled half full
    pixelrnn sample "$1.half" -n 64 -o "$1.npy" --set device="$device" || return
    sampled=$(sed -n 's/^NLL: \([0-9.]*\) nats each.*/\1/p' out)
    half=$(nats "$1.half" --data "$1.npy") && full=$(nats "$1.half" --data "$1.npy" --set precision=float32) || return
    near "$sampled" "$half" 0.004 && differ "$half" "$full" && near "$half" "$full" 0.004
}

for kind in pixelcnn row_lstm diagonal_bilstm; do
    check "$kind trains to the NLL of float32" trains_to_the_same_nll $kind
    check "$kind resumes to the same bits" resumes_exactly $kind
    check "$kind: sample and eval agree on the NLL" samples_agree_with_eval $kind
done

# tf32 is float32 on a CPU, bit for bit, and close to it on a GPU.
trains_in_tf32() {
    local full tf32
    train row_lstm tf32 row_lstm.tf32 && tf32=$(test_nll) && contains row_lstm.tf32/config.yaml '^precision: tf32$' || return
    if [ "$device" = cpu ]; then
        cmp row_lstm.{full,tf32}/checkpoints/000000150/optimizer.safetensors
    else
        train row_lstm float32 again && full=$(test_nll) && near "$tf32" "$full" 0.005
    fi
}
check "row_lstm in tf32" trains_in_tf32

# All ranks refresh their compute weights from the checkpoint that rank 0 reads.
ranks_resume() {
    local train=(train row_lstm.yaml --set precision=bfloat16 --set train.steps=90)
    together 2 "${train[@]}" -o ranks.whole && together 2 "${train[@]}" -o ranks.parts || return
    rm -r ranks.parts/checkpoints/000000090 && together 2 "${train[@]}" -o ranks.parts --resume &&
        cmp ranks.{whole,parts}/checkpoints/000000090/model.safetensors
}
if ranks_start; then
    check "two ranks resume to the same bits" ranks_resume
else
    skip "two ranks resume to the same bits" "no mpirun, or no MPI in this build, or one GPU for all"
fi

# planned PRECISION: planned MiB of activations in training
planned() {
    pixelrnn info row_lstm.yaml --set model.hidden=64 --set train.batch_size=64 --set precision="$1" >/dev/null || return
    awk '$1 == "activations" { print $2; exit }' out
}

plans_less() {
    local full half
    full=$(planned float32) && half=$(planned bfloat16) || return
    awk -v full="$full" -v half="$half" 'BEGIN { print full, half; exit !(half > 0 && half < 0.65 * full) }'
}
check "activations need little more than half the memory" plans_less
finish

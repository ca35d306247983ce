#!/bin/bash
# precision: bfloat16 beside float32: every operation, training of each kind of model, resuming, sampling, memory.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

check "every operation in bfloat16 is its float32 result, rounded" env PX_PARITY=precision "$(dirname "$program")/tests/gpu/test_parity"

# train KIND PRECISION RUN [WORDS...]
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

# near FOUND WANT SHARE
near() {
    awk -v found="$1" -v want="$2" -v share="$3" 'BEGIN {
        printf "found %s, want %s within %g of it\n", found, want, share
        d = found / want - 1
        exit !(found > 0 && d < share && d > -share)
    }'
}

test_nll() { # as training printed it
    sed -nE 's/^test NLL +([0-9.]+) .*/\1/p' out
}

# After 1,000 steps NLLs are to be within 0.5 %. Here 150 steps at a rate at which roundings do not grow into other runs:
# at 0.005 six seeds scatter by 1 % (root of the mean square; their mean is 0.3 % and less), at 0.001 by 0.14 % and less.
trains_alike() {
    local full half
    train "$1" float32 "$1.full" && full=$(test_nll) && train "$1" bfloat16 "$1.half" && half=$(test_nll) || return
    differ "$half" "$full" && near "$half" "$full" 0.005
}

# The same bits on another number of threads, in two parts.
resumes_exactly() {
    OMP_NUM_THREADS=2 train "$1" bfloat16 "$1.parts" || return
    rm -r "$1.parts/checkpoints/000000150" "$1.parts/checkpoints/000000120"
    train "$1" bfloat16 "$1.parts" --resume || return
    local file
    for file in model optimizer; do
        cmp "$1.half/checkpoints/000000150/$file.safetensors" "$1.parts/checkpoints/000000150/$file.safetensors" || return
    done
}

# What sampling says of its images is what eval says of them; and a file's weights are float32 and can be read as such.
samples_alike() {
    local drawn half full
    pixelrnn sample "$1.half" -n 64 -o "$1.npy" --set device="$device" || return
    drawn=$(sed -n 's/^NLL: \([0-9.]*\) nats each.*/\1/p' out)
    half=$(nats "$1.half" --data "$1.npy") && full=$(nats "$1.half" --data "$1.npy" --set precision=float32) || return
    near "$drawn" "$half" 0.004 && differ "$half" "$full" && near "$half" "$full" 0.004
}

for kind in pixelcnn row_lstm diagonal_bilstm; do
    check "$kind trains to the NLL of float32" trains_alike $kind
    check "$kind resumes to the same bits" resumes_exactly $kind
    check "$kind scores what it draws" samples_alike $kind
done

# What rank 0 reads from a checkpoint, the others' products read, too.
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

# planned PRECISION: MiB that training is planned to take
planned() {
    pixelrnn info row_lstm.yaml --set model.hidden=64 --set train.batch_size=64 --set precision="$1" >/dev/null || return
    awk '$1 == "activations" { print $2; exit }' out
}

plans_less() {
    local full half
    full=$(planned float32) && half=$(planned bfloat16) || return
    awk -v full="$full" -v half="$half" 'BEGIN { print full, half; exit !(half > 0 && half < 0.65 * full) }'
}
check "activations take little more than half the memory" plans_less
finish

#!/bin/bash
# On the CPU, a command gives the same bytes each time and for any number of threads: checkpoints, metrics, images,
# packed files. The models are just large enough that every product and every kernel is divided among threads.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

threads="1 2 3"
[ -n "${PX_TEST_LONG:-}" ] && threads="1 2 3 4 5 7 8 16"
noise $((20 * 12 * 11 * 3)) | npy_write '20, 12, 11, 3' >images.npy

# config NAME KIND LEVELS TRAIN [DATA]: writes a config of a few steps that logs, evaluates, samples and saves
config() {
    cat >"$1.yaml" <<END
name: $1
device: cpu
model: {kind: $2, layers: 2, hidden: 12, head: 16, skip: true}
data: {train: ../images.npy, test: ../images.npy, levels: $3${5:-}}
train: {steps: 5, batch_size: 9, log_every: 2, evaluate_every: 2, checkpoint_every: 2, sample_every: 4, samples: 2, learning_rate: 0.01, $4}
END
}
config pixelcnn pixelcnn 256 'optimizer: rmsprop, clip_norm: 0.5, ema_decay: 0.9' ', flip: true'
config row_lstm row_lstm 4 'optimizer: adam, schedule: cosine, warmup_steps: 2' ', flip: true'
config diagonal_bilstm diagonal_bilstm 2 'optimizer: sgd, clip_norm: 1, ema_decay: 0.5' ', binarize: true'

# Prints checksums of all that a run writes, without times. TensorBoard events hold times in every record.
fingerprint() {
    (cd "$1" && timeless run/metrics.jsonl && find . -type f ! -name 'events.*' ! -name metrics.jsonl ! -name '*.out' ! -name err | LC_ALL=C sort | xargs sha256sum &&
        readlink run/checkpoints/best run/checkpoints/newest && cat ./*.out)
}

# all_commands NAME THREADS FOLDER: trains, evaluates, samples and completes in a new folder
all_commands() {
    rm -rf "$3" && mkdir "$3" && cd "$3" || return
    export OMP_NUM_THREADS=$2 OPENBLAS_NUM_THREADS=$2
    "$program" train "../$1.yaml" -o run >train.out 2>err && "$program" eval run --per-image nats.npy --json >eval.out 2>err &&
        "$program" sample run -n 2 --seed 5 -o samples.npy >sample.out 2>err && "$program" sample run -n 2 -o samples.png >>sample.out 2>err &&
        "$program" complete run --data ../images.npy --keep top:0.5 -n 2 --completions 1 -o completed.png >complete.out 2>err && return
    cat err
    return 1
}

same_bytes() {
    (all_commands "$1" 1 first) && fingerprint first >expected || return
    [ "$(wc -l <expected)" -gt 20 ] || { cat expected && return 1; }
    for many in $threads; do
        (all_commands "$1" "$many" next) && fingerprint next >found && diff expected found || { echo "with $many threads" && return 1; }
    done
}
for name in pixelcnn row_lstm diagonal_bilstm; do
    check "$name: train, eval, sample and complete, again and with $threads threads" same_bytes $name
done

packs_same_bytes() {
    local many
    mkdir -p pack && cd pack || return
    for many in 1 $threads; do
        OMP_NUM_THREADS=$many "$program" pack builtin:ising --set data.size=2 -o packed.npy >out 2>err && cat err && sha256sum packed.npy packed.npy.sfv >found || return
        [ -e expected ] || mv found expected
        [ ! -e found ] || diff expected found || return
    done
}
packs() {
    (packs_same_bytes)
}
check "pack, again and with $threads threads" packs

finish

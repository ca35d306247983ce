#!/bin/bash
# pixelrnn info: what a run will cost equals what the run then takes (files, evaluations, checkpoints); sizes without
# data, ranks, rate, the command line for bench, JSON, and wrong arguments.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

noise $((9 * 8 * 8)) | npy_write '9, 8, 8' >train.npy
noise $((5 * 8 * 8)) | npy_write '5, 8, 8' >test.npy
cat >tiny.yaml <<END
name: tiny
device: $device
model: {kind: row_lstm, layers: 2, hidden: 3, head: 4}
data: {train: train.npy, test: test.npy, levels: 2}
train: {steps: 6, batch_size: 3, evaluate_every: 2, checkpoint_every: 3, samples: 0, keep_checkpoints: 0}
END
tiny() { pixelrnn info tiny.yaml "$@"; }

# ---- The run as announced --------------------------------------------------------------------------------------------

# Trains with these settings, and compares the run with what info prints: the files of the last checkpoint, whose state
# is small beside them, evaluations, and checkpoints.
announced() {
    local last=run/checkpoints/000000006
    rm -rf run && pixelrnn train tiny.yaml -o run "$@" && tiny --json "$@" || return
    same "$(json model_file_bytes) $(json optimizer_file_bytes)" \
        "$(stat -c %s $last/model.safetensors) $(stat -c %s $last/optimizer.safetensors)" || return
    [ "$(stat -c %s $last/state.json)" -lt 4096 ] || { echo "state.json: found 4 KiB or more"; return 1; }
    same "$(json evaluations)" "$(grep -cE '"(validation|test)/nats_per_image"' run/metrics.jsonl)" &&
        [ "$(find run/checkpoints -name '0*' -type d | wc -l)" -le "$(json checkpoints_kept)" ]
}
check "files of RMSProp" announced
check "files of Adam with averaged weights" announced --set train.optimizer=adam --set train.ema_decay=0.9
check "files of SGD" announced --set train.optimizer=sgd
check "files of SGD with averaged weights, of a config with a long name" announced --set train.optimizer=sgd --set train.ema_decay=0.5 \
    --set name="$(printf '%0100d' 0)"
check "evaluations and checkpoints at other steps" announced --set train.evaluate_every=0 --set train.checkpoint_every=4
check "checkpoints that are kept" announced --set train.keep_checkpoints=1 --set train.checkpoint_every=1

figures() { # 6 steps of 3 images, 9 images a pass; evaluations of 5 images after steps 2, 4, 6
    tiny && contains out '^run  *6 steps of 3 images$' && contains out '^  epochs  *2 of 9 images$' && contains out '^  evaluations  *3 of 5 images$' &&
        contains out '^  checkpoint  *[0-9]+ bytes \(model.safetensors [0-9]+, optimizer.safetensors [0-9]+\)$' &&
        contains out '^  checkpoints kept  *at most 4, ' && contains out '^  operations  *[0-9.e+]+ FLOP in training, [0-9.e+]+ FLOP in evaluations$' &&
        contains out '^memory, training, 3 images$' || return
    tiny --json && same "$(json trained_images) $(json epochs) $(json evaluations) $(json evaluation_images) $(json checkpoints_kept)" '18 2 3 5 4' || return
    same "$(json checkpoints_bytes)" $((4 * ($(json model_file_bytes) + $(json optimizer_file_bytes)))) &&
        same "$(json training_flops)" $((18 * $(json training_flops_per_image))) && same "$(json evaluation_flops)" $((15 * $(json evaluation_flops_per_image)))
}
check "epochs, evaluations, operations, disk" figures

validates() { # 3 evaluations of 2 of 9 images, and a test of all 5
    local settings=(--set data.validation=train.npy --set train.evaluate_images=2)
    tiny "${settings[@]}" && contains out '^  evaluations  *3 of 2 images$' && contains out '^  test  *5 images$' &&
        tiny "${settings[@]}" --json && same "$(json evaluation_images) $(json test_images)" '2 5' &&
        same "$(json evaluation_flops)" $((11 * $(json evaluation_flops_per_image))) && rm -rf run &&
        pixelrnn train tiny.yaml -o run "${settings[@]}" &&
        same "$(grep -c '"validation/nats_per_image"' run/metrics.jsonl) $(grep -c '"test/nats_per_image"' run/metrics.jsonl)" '3 1'
}
check "a validation set and a test" validates

accumulates() { # 4 images a micro-batch, 2 of each rank
    tiny --set train.batch_size=12 --set train.accumulate=3 --ranks 2 &&
        contains out '^memory, training, 2 images of a rank \(12 over 2 ranks in 3 micro-batches\)$' && contains out '^  sum of gradients ' &&
        contains out '^    pixelrnn bench tiny.yaml .* --set train.batch_size=2 --set train.accumulate=1 --phases train,evaluate$' &&
        fails 2 'train.batch_size: found 12 in 6 micro-batches \(train.accumulate\), expected at least one image for each of 3 ranks' \
            info tiny.yaml --set train.batch_size=12 --set train.accumulate=6 --ranks 3
}
check "micro-batches" accumulates

singular() {
    tiny --set train.steps=1 --set train.batch_size=1 --set model.layers=1 --set eval.batch_size=1 && contains out '^run  *1 step of 1 image$' &&
        contains out '^memory, training, 1 image$' && contains out '^memory, evaluation, 1 image$' && contains out ', 1 layer, ' && ! grep -E '\b1 (image|step|layer)s' out
}
check "one step of one image" singular

# ---- Rate and ranks --------------------------------------------------------------------------------------------------

hours() { # (18 trained + 15 evaluated images, which count by their FLOPs) / 0.001 images/s
    tiny --rate 0.001 --json && awk -v found="$(json hours)" -v train="$(json training_flops)" -v evaluate="$(json evaluation_flops)" \
        -v image="$(json training_flops_per_image)" 'BEGIN { want = (train + evaluate) / image / 0.001 / 3600; print found, want; exit !(found / want > 0.999 && found / want < 1.001) }' || return
    local alone
    alone=$(json hours)
    tiny --rate 0.001 --ranks 3 --json && awk -v found="$(json hours)" -v alone="$alone" 'BEGIN { exit !(found * 3 / alone > 0.999 && found * 3 / alone < 1.001) }' &&
        tiny --rate 0.001 --ranks 3 && contains out '^  time  *[0-9.]+ hours at 0.001 images/s a rank, sampling not counted$' &&
        contains out '^memory, training, 1 image of a rank \(3 over 3 ranks\)$'
}
check "hours at --rate, of several --ranks too" hours

evaluation_hours() { # 18 trained images at 0.001 images/s, 15 evaluated ones at 0.01
    tiny --rate 0.001 --evaluation-rate 0.01 --json && contains out '"evaluation_rate":0.01' &&
        awk -v found="$(json hours)" 'BEGIN { want = (18 / 0.001 + 15 / 0.01) / 3600; print found, want; exit !(found / want > 0.999 && found / want < 1.001) }'
}
check "hours at --rate and --evaluation-rate" evaluation_hours
check "--evaluation-rate goes with --rate" fails 2 '--evaluation-rate: found no --rate, expected both' info tiny.yaml --evaluation-rate 1
check "--evaluation-rate must be above 0" fails 2 '--evaluation-rate: found "-1", expected a number above 0' info tiny.yaml --evaluation-rate -1

rank_memory() { # a rank needs what one process needs for its share
    local share
    tiny --json --set train.batch_size=3 && share=$(json memory_bytes) && tiny --json --set train.batch_size=6 --ranks 2 && same "$(json memory_bytes)" "$share"
}
check "memory of a rank" rank_memory

# The command line that info prints runs, and has the given settings, the size and a rank's batch.
bench_line() {
    tiny --ranks 3 --set name="it's" && same "$(sed -n '/^  time  *give --rate/{n;s/^ *//p}' out)" \
        "pixelrnn bench tiny.yaml --set 'name=it'\\''s' --set train.batch_size=1 --phases train,evaluate" || return
    tiny --height 6 --width 6 --channels 1 --json && local line
    line=$(sed -n 's/.*"bench":"\([^"]*\)".*/\1/p' out)
    same "$line" 'pixelrnn bench tiny.yaml --size 6 --channels 1 --phases train,evaluate' || return
    eval "\"\$program\" ${line#pixelrnn } --seconds 0.001" >out 2>err && contains out 'images of 6 x 6 x 1' &&
        pixelrnn info run && contains out '^    pixelrnn bench run/config.yaml --size 8 --channels 1 --phases train,evaluate$' &&
        pixelrnn info run/checkpoints/newest && contains out '^ *.pixelrnn bench CONFIG --phases train,evaluate. measures$' &&
        pixelrnn info run/checkpoints/newest --json && contains out '"bench":null'
}
check "the command line of bench, for a config, a run and a model" bench_line

# ---- Without data ----------------------------------------------------------------------------------------------------

blind() {
    fails 2 'tiny.yaml: absent.npy: .*; give the images. size by --height, --width and --channels, or by --set data.size=SIDE --set data.channels=1 \(or 3\)$' \
        info tiny.yaml --set data.train=absent.npy && tiny --set data.train=absent.npy --set data.test=absent.npy --set data.size=8 --set data.channels=3 &&
        contains out '^images  *8 x 8 x 3' && contains out '^  epochs  *not known, give --images \(absent.npy: ' && contains out '^  evaluations  *3, not counted below' || return
    tiny --set data.train=absent.npy --height 8 --width 4 --channels 1 --images 9 && contains out '^images  *8 x 4 x 1' && contains out '^  epochs  *2 of 9 images$' &&
        tiny --images 18 && contains out '^  epochs  *1 of 18 images$' && tiny --set data.train=absent.npy --height 8 --width 4 --channels 1 --json && contains out '"epochs":null,'
}
check "the size and the number of images without data" blind

# ---- Verbose ---------------------------------------------------------------------------------------------------------

details() {
    tiny && contains out '^recurrence  *[a-z]+ forward, [a-z]+ backward \(--verbose: why\)$' && ! grep -E 'requires|not taken|^recurrence, training' out || return
    tiny --verbose && contains out '^recurrence, training, 3 images: the first strategy whose requirements are met$' && contains out '^  forward  ' && contains out '^  backward  '
}
check "details of the recurrence only with --verbose" details

check "--rate must be above 0" fails 2 '--rate: found "0", expected a number above 0' info tiny.yaml --rate 0
check "--ranks must be at least 1" fails 2 '--ranks: found "0", expected an integer from 1 to 65536' info tiny.yaml --ranks 0
check "more ranks than images of a batch" fails 2 'train.batch_size: found 3, expected at least one image for each of 4 ranks' info tiny.yaml --ranks 4
check "--images must be at least 1" fails 2 '--images: found "many", expected an integer of 1 or more' info tiny.yaml --images many

if command -v python3 >/dev/null; then
    valid_json() { tiny --json --verbose && same "$(wc -l <out)" 1 && python3 -m json.tool <out >/dev/null; }
    check "--json is one line of valid JSON" valid_json
else
    skip "--json is one line of valid JSON" "python3 is not installed"
fi
finish

#!/bin/bash
# A day of a user: an own config, Ctrl-C, a resume with another learning rate, a few runs over rate and size, and then
# eval, sample, complete, the weights in NumPy, and info for a large run. Each step must say what the next one needs.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"
configs=$(realpath "$golden/../../configs")
forward=$(realpath "$golden/../commands/model_forward.py")

cat >my.yaml <<END
name: my
device: $device
model: {kind: row_lstm, layers: 1, hidden: 4, head: 8}
data: {train: train.npy, validation: validation.npy, test: test.npy, levels: 2}
train: {steps: 300, batch_size: 8, optimizer: adam, learning_rate: 0.003, evaluate_every: 50, sample_every: 100, samples: 2, checkpoint_every: 50}
END

prepares() {
    pixelrnn pack builtin:digits --size 8 --range 0:300 -o train.npy && contains out '^300 images of 8 x 8 x 1 in train.npy$' &&
        pixelrnn pack builtin:digits --size 8 --range 300:40 -o validation.npy && pixelrnn pack builtin:digits --size 8 --split test --range 0:50 -o test.npy
}
check "morning: three sets are packed" prepares

# ---- A run, interrupted and resumed ----------------------------------------------------------------------------------

interrupted() {
    "${unignored[@]}" "$program" train my.yaml --set train.steps=100000 --set train.log_every=1 >out 2>err &
    job=$!
    wait_until grep -q '"step": 60,' runs/my/metrics.jsonl && kill -INT $job
    wait $job
    same $? 130 && same "$(wc -l <out)" 1 && contains out '^saved at step [0-9]+; go on with: pixelrnn train runs/my --resume$'
}
check "Ctrl-C: status 130, and the last line is the command that goes on" interrupted
step=$(sed -nE 's/^saved at step ([0-9]+);.*/\1/p' out)

# The printed command, with a changed learning rate and an end.
resumed() {
    local words
    read -ra words <<<"$(sed 's/.*go on with: pixelrnn //' out)"
    pixelrnn "${words[@]}" --set train.learning_rate=0.001 --set train.steps=$((step + 40)) &&
        contains err "^resumed from step $step; train.steps 100000, now $((step + 40)); train.learning_rate 0.003, now 0.001\$" &&
        contains out "^trained to step $((step + 40)) in runs/my\$" && contains out '^validation NLL .*, 40 images\)$' && contains out '^test NLL .*, 50 images\)$'
}
check "the printed command, with a changed key: what changed, and the results" resumed

# Records of both starts, with the checksums of the images, and lines that can be plotted.
recorded() {
    same "$(starts runs/my | wc -l)" 2 && starts runs/my | head -n 1 | grep -q '^{"start":0,"time":"20.*"version":".*"command":\["train","my.yaml".*"checksum":' &&
        starts runs/my | tail -n 1 | grep -q "^{\"start\":$step,.*\"changed\":{\"train.steps\":\[\"100000\",\"$((step + 40))\"\],\"train.learning_rate\":\[\"0.003\",\"0.001\"\]}" &&
        contains runs/my/metrics.jsonl '^\{"step": 50, "validation/nats_per_image": [0-9.]+, .*"validation/standard_error": [0-9.]+, "epoch": 1.33333[0-9]*, "time": "20'
}
check "metrics.jsonl: both starts, epochs and times" recorded

finished() {
    cp out result && pixelrnn train runs/my --resume && contains err "^complete at step $((step + 40))\$" && diff result out
}
check "--resume of the finished run prints its result" finished

# A cosine schedule that ends later has another learning rate at the same step.
longer() {
    pixelrnn train my.yaml -o runs/cosine --set train.schedule=cosine --set train.steps=60 &&
        pixelrnn train runs/cosine --resume --set train.steps=90 && same "$(grep -c '^warning: ' err)" 1 &&
        contains err '^warning: train.steps 60, now 90, moves the schedule: the learning rate jumps from 0 to 0.00075$' &&
        pixelrnn train runs/cosine --resume --set train.steps=95 --set train.schedule=constant && ! contains err '^warning'
}
check "more steps move a cosine schedule: one warning" longer

# SIGUSR1 is what a batch system sends: the status differs, so that a script resumes while it is 3.
preempted() {
    "${unignored[@]}" "$program" train my.yaml -o 'runs/two words' --set train.steps=100000 --set train.log_every=1 >out 2>err &
    job=$!
    wait_until grep -q '"step": 5,' 'runs/two words/metrics.jsonl' && kill -USR1 $job
    wait $job
    same $? 3 && contains out "^saved at step [0-9]+; go on with: pixelrnn train 'runs/two words' --resume\$" || return
    # A resume that is stopped before its first step has not saved its settings: the command has them.
    rm -rf due && cp -r 'runs/two words' due && sed -i 's/"samples_due":\s*true,//; s/{/{"samples_due": true,/' due/checkpoints/newest/state.json || return
    "${unignored[@]}" "$program" train due --resume --set train.samples=5000 --set 'name=a b' >out 2>err &
    job=$!
    wait_until grep -q '^resumed from' err && kill -TERM $job
    wait $job
    same $? 3 && contains out "^saved at step [0-9]+; go on with: pixelrnn train due --resume --set train.samples=5000 --set 'name=a b'\$"
}
check "another signal: status 3, and a command that is complete" preempted

# ---- A few runs over rate and size -----------------------------------------------------------------------------------

sweeps() {
    local rate hidden
    for hidden in 4 8; do
        for rate in 0.001 0.01; do
            pixelrnn train my.yaml -o "runs/h$hidden-$rate" --set train.steps=60 --set model.hidden=$hidden --set train.learning_rate=$rate &&
                contains out '^test NLL' && awk '/^validation NLL/ { print $3 }' out >>figures || return
        done
    done
    # A batch that does not fit in memory: the same run in micro-batches.
    pixelrnn train my.yaml -o runs/parts --set train.steps=60 --set model.hidden=8 --set train.accumulate=4 && awk '/^validation NLL/ { print $3 }' out >>figures &&
        awk '{ printf "%s ", $1; bad = bad || seen[$1]++ } END { exit bad || NR != 5 }' figures
}
check "five runs, each with its results" sweeps

# ---- Using the best one ----------------------------------------------------------------------------------------------

evaluates() {
    pixelrnn eval runs/h8-0.01 && contains out '^runs/h8-0.01/checkpoints/0000000(50|60)/model.safetensors, step (50|60)$' && contains out '^50 images of test.npy$' &&
        pixelrnn eval runs/h8-0.01 --data validation.npy --json && same "$(json images)" 40 && contains out '"checkpoint":"runs/h8-0.01/checkpoints/0000000[56]0/model.safetensors","data":"validation.npy"'
}
check "eval: checkpoint, step, file, count of images" evaluates

samples() {
    pixelrnn sample runs/h8-0.01 -n 9 -o nine.png && contains out '^9 images in nine.png$' && contains out '^NLL: .* nats each' &&
        pixelrnn complete runs/h8-0.01 --data test.npy --keep top:0.5 -n 3 -o three.png && contains out '^12 completions of 3 images in three.png$' &&
        pixelrnn complete runs/h8-0.01 --data test.npy --keep top:1 --completions 1 --first 10 -n 2 -o two.npy && cmp <(npy_data two.npy) <(npy_data test.npy | tail -c +641 | head -c 128)
}
check "sample and complete" samples

# The weights in NumPy: the forward pass of host/model/FORMAT.md gives the NLL that eval prints.
in_numpy() {
    pixelrnn eval runs/h8-0.01 --data test.npy --json && python3 "$forward" "$(json checkpoint)" test.npy >nats &&
        same "$(printf %.3f "$(json nats_per_image)")" "$(sed -nE 's/^mean: ([0-9.]+) nats.*/\1/p' nats | xargs printf %.3f)"
}
if python3 -c 'import numpy' 2>/dev/null; then check "the same NLL in NumPy" in_numpy; else skip "the same NLL in NumPy" "needs python3 with numpy"; fi

plans() {
    pixelrnn info "$configs/imagenet64_row_lstm.yaml" --ranks 8 --images 1271167 --height 64 --width 64 --channels 3 --rate 100 --set device=cpu &&
        contains out '^memory, training, 4 images of a rank \(32 over 8 ranks\)$' && contains out 'epochs  .* of 1271167 images' && contains out 'hours at 100 images/s a rank'
}
check "evening: what ImageNet 64 needs on 8 GPUs" plans

finish

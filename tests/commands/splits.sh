#!/bin/bash
# Training, validation and test sets: which one is evaluated when, with which weights, and what is said about it; `pack
# --range`, which cuts such sets from one source; and train.accumulate, the micro-batches of a step.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

# 40 images, which pack cuts into 28, 7 and 5.
noise 1200 | npy_write '40, 6, 5' >all.npy
cat >three.yaml <<END
name: three
device: $device
model: {kind: pixelcnn, layers: 1, hidden: 4, head: 6}
data: {train: train.npy, validation: validation.npy, test: test.npy, levels: 2}
train: {steps: 8, batch_size: 12, optimizer: rmsprop, learning_rate: 0.3, epsilon: 0.01, clip_norm: 0, log_every: 2, evaluate_every: 2, evaluate_images: 3, sample_every: 0, samples: 0, checkpoint_every: 4}
END

# ---- pack --range ----------------------------------------------------------------------------------------------------

packs_ranges() {
    pixelrnn pack all.npy --range 0:28 -o train.npy && contains out '^28 images of 6 x 5 x 1 in train.npy$' &&
        pixelrnn pack all.npy --range 28:7 -o validation.npy && pixelrnn pack all.npy --range 35:5 -o test.npy &&
        cmp <(npy_data all.npy) <(npy_data train.npy && npy_data validation.npy && npy_data test.npy)
}
check "pack --range: three parts are the whole" packs_ranges

packs_a_range_of_several() { # sources and splits are joined first
    pixelrnn pack train.npy validation.npy --range 26:4 -o joined.npy &&
        cmp <(npy_data joined.npy) <(npy_data all.npy | tail -c +$((26 * 30 + 1)) | head -c 120) &&
        pixelrnn pack builtin:ising --split test --range 4998:2 --set data.size=2 -o ising.npy &&
        pixelrnn pack builtin:ising --split test --set data.size=2 -o whole.npy && cmp <(npy_data ising.npy) <(npy_data whole.npy | tail -c 8)
}
check "pack --range: a part of joined sources, and of a split" packs_a_range_of_several

check "pack --range: too many images" fails 2 'range: found images 38 to 40, expected a part of the 40 images of all.npy$' pack all.npy --range 38:3 -o no.npy
for range in 3 3: :3 a:3 -1:3 3:0 3:4:5 3:4x; do
    check "pack --range $range" fails 2 "range: found $range, expected FIRST:COUNT, such as 45000:5000\$" pack all.npy --range "$range" -o no.npy
done

# ---- Three sets ------------------------------------------------------------------------------------------------------

trains_on_three() {
    pixelrnn train three.yaml -o three && ! contains err 'data.validation is empty' &&
        contains err '^evaluating 3 of the 7 images of validation.npy, chosen by the seed$' &&
        contains err '^step 2: validation [0-9.]+ nats/image, [0-9.]+ bits/dim \(independent pixels [0-9.]+\)$' &&
        contains out '^validation NLL +[0-9.]+ nats/image .*, 3 images\)$' && contains out '^test NLL +[0-9.]+ nats/image .*, 5 images\)$'
}
check "train: validation chooses, and test is evaluated at the end" trains_on_three

# The learning rate is too large, so that the best step is not the last one.
tests_the_best() {
    local best
    best=$(readlink three/checkpoints/best)
    differ "$best" 000000008 && contains err "^step 8: test [0-9.]+ nats/image, [0-9.]+ bits/dim \(checkpoint of step ${best##*0}\)\$" &&
        contains out "^best checkpoint +[0-9.]+ nats/image  step ${best##*0}\$" || return
    awk '/^test NLL/ { print $3 }' out >printed
    pixelrnn eval three && contains out '^5 images of test.npy$' && same "$(awk '/^NLL/ { print $2 }' out)" "$(cat printed)"
}
check "train: the test NLL is that of the best checkpoint, as eval prints it" tests_the_best

logs_the_splits() { # in TensorBoard once more in the list of metrics
    same "$(grep -c '"validation/nats_per_image".*"validation/bits_per_dim".*"validation/standard_error"' three/metrics.jsonl)" 4 &&
        same "$(grep -c '"test/nats_per_image".*"test/bits_per_dim".*"test/standard_error"' three/metrics.jsonl)" 1 &&
        same "$(grep -c '^{"step": 0, "validation/independent_nats_per_image": ' three/metrics.jsonl)" 1 &&
        same "$(grep -ao 'validation/nats_per_image' three/events* | wc -l)" 5 && same "$(grep -ao 'test/nats_per_image' three/events* | wc -l)" 2 &&
        starts three | grep -q '"data":{"train":{"images":28,.*"test":{"images":5,.*"validation":{"images":7,'
}
check "train: metrics.jsonl and TensorBoard name the splits" logs_the_splits

# A run that ended after its last step, before the result of the test was saved: its lines are written again.
tests_after_a_stop() {
    rm -rf stopped && cp -r three stopped && sed -i '/^\t"test":\s*{/,/}/ s/"images":\s*[0-9]*/"images": 0/' stopped/checkpoints/000000008/state.json || return
    pixelrnn train stopped --resume && contains err '^step 8: test ' && same "$(awk '/^test NLL/ { print $3 }' out)" "$(cat printed)" &&
        timeless stopped/metrics.jsonl | diff - <(timeless three/metrics.jsonl)
}
check "train --resume: a test that is missing is made up for" tests_after_a_stop

resumes_to_the_same() {
    pixelrnn train three.yaml -o parts --set train.steps=4 && contains out '^test NLL' && pixelrnn train parts --resume --set train.steps=8 &&
        cmp {parts,three}/checkpoints/000000008/model.safetensors && same "$(awk '/^test NLL/ { print $3 }' out)" "$(cat printed)"
}
check "train --resume: with more steps, the test is evaluated again" resumes_to_the_same

without_validation() {
    pixelrnn train three.yaml -o two --set data.validation= && contains err '^data.validation is empty: data.test chooses the best checkpoint$' &&
        contains err '^evaluating 3 of the 5 images of test.npy' && contains out '^test NLL .*, 3 images\)$' && ! grep '"validation/' two/metrics.jsonl &&
        same "$(grep -c '"test/nats_per_image"' two/metrics.jsonl)" 4
}
check "train: without data.validation, data.test does what it does" without_validation

without_test() {
    pixelrnn train three.yaml -o untested --set data.test= && contains out '^validation NLL' && ! contains out '^test NLL' &&
        pixelrnn eval untested && contains out '^7 images of validation.npy$'
}
check "train: without data.test; eval then takes data.validation" without_test

# The best NLL of a run belongs to the set that chose it.
adds_validation() {
    pixelrnn train three.yaml -o grown --set data.validation= --set train.steps=4 &&
        pixelrnn train grown --resume --set train.steps=6 --set data.validation=validation.npy &&
        contains err '^resumed from step 4; data.validation "", now validation.npy; train.steps 4, now 6$' &&
        same "$(readlink grown/checkpoints/best)" 000000006
}
check "train --resume: a validation set that was added chooses anew" adds_validation

changed_data() {
    rm -rf other && cp -r three other && mkdir -p kept && cp validation.npy* kept && pixelrnn pack all.npy --range 0:7 -o validation.npy || return
    fails 2 'data.validation: found validation.npy with 7 images of 6 x 5 x 1, checksum [0-9a-f]{8}; expected' train other --resume --set train.steps=10 &&
        pixelrnn train other --resume --set train.steps=10 --accept-data && same "$(readlink other/checkpoints/best)" 000000010
    local status=$?
    cp kept/* . && return $status
}
check "train --resume: other validation images are refused, or accepted and choose anew" changed_data
noise 300 | npy_write '10, 5, 6' >turned.npy
check "train: validation images of another size" fails 2 'turned.npy: found images of 5 x 6 x 1, expected 6 x 5 x 1' train three.yaml -o no --set data.validation=turned.npy

# ---- train.accumulate ------------------------------------------------------------------------------------------------

# near RUN RUN: their metrics differ by rounding alone
near() {
    numbers() { timeless "$1/metrics.jsonl" | grep -oE '"[a-z/_]+": [0-9.e-]+' | grep -v reduce; }
    paste <(numbers "$1") <(numbers "$2") |
        awk '$1 != $3 || ($2 - $4) ^ 2 > 1e-8 * $4 ^ 2 { print; bad = 1 } END { exit bad || NR < 20 }'
}

accumulates() {
    local settings=(--set train.learning_rate=0.1 --set train.optimizer=adam --set train.epsilon=0.01 --set train.ema_decay=0.5 --set train.clip_norm=0.01)
    pixelrnn train three.yaml -o at_once "${settings[@]}" && pixelrnn train three.yaml -o summed "${settings[@]}" --set train.accumulate=4 &&
        near summed at_once && ! cmp -s {summed,at_once}/checkpoints/000000008/model.safetensors &&
        pixelrnn train three.yaml -o resumed "${settings[@]}" --set train.accumulate=4 --set train.steps=4 &&
        pixelrnn train resumed --resume --set train.steps=8 && cmp {resumed,summed}/checkpoints/000000008/optimizer.safetensors &&
        pixelrnn train three.yaml -o mixed "${settings[@]}" --set train.steps=4 &&
        pixelrnn train mixed --resume --set train.steps=8 --set train.accumulate=2 && contains err 'train.accumulate 1, now 2' && near mixed at_once
}
check "train.accumulate: micro-batches give the results of the batch, also after a resume" accumulates

check "train.accumulate that does not divide the batch" fails 2 'train.accumulate: found 5, expected a divisor of train.batch_size, 12$' \
    train three.yaml -o no --set train.accumulate=5
check "train.accumulate: 0" fails 2 'train.accumulate.*0' train three.yaml -o no --set train.accumulate=0

if ranks_start; then
    ranks_test() {
        together 3 train three.yaml -o ranks && same "$(awk '/^test NLL/ { print $3 }' out)" "$(cat printed)" && near ranks three
    }
    check "three ranks evaluate and test as one process" ranks_test

    ranks_accumulate() { # micro-batches of 3 images: two for rank 0, one for rank 1
        local settings=(--set train.learning_rate=0.1 --set train.clip_norm=0.01 --set train.batch_size=15)
        pixelrnn train three.yaml -o single "${settings[@]}" && together 2 train three.yaml -o pair "${settings[@]}" --set train.accumulate=5 &&
            near pair single
    }
    check "ranks share each micro-batch" ranks_accumulate

    too_small() {
        ! together 3 train three.yaml -o small --set train.accumulate=6 &&
            contains err 'train.batch_size: found 12 in 6 micro-batches \(train.accumulate\), expected at least one image for each of 3 ranks'
    }
    check "a micro-batch with fewer images than ranks" too_small
else
    skip "ranks share validation, test and micro-batches" "no mpirun, or no MPI in this build"
fi

finish

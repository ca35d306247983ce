#!/bin/bash
# Run folders: copies that follow links, damaged checkpoints, other images under the same name, records of starts, and
# times of training steps without other actions.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

noise 900 | npy_write '30, 6, 5' >images.npy
noise 900 7 | npy_write '30, 6, 5' >others.npy
cat >tiny.yaml <<END
name: tiny
device: cpu
model: {kind: pixelcnn, layers: 1, hidden: 4, head: 6}
data: {train: images.npy, test: images.npy, levels: 2}
train: {steps: 12, batch_size: 7, optimizer: adam, learning_rate: 0.01, checkpoint_every: 3, log_every: 3, evaluate_every: 3, samples: 0, keep_checkpoints: 0}
END
pixelrnn train tiny.yaml -o whole >log || cat log

# ended_after RUN STEP: copies the run `whole` as it was after that step
ended_after() {
    rm -rf "$1" && cp -r whole "$1" || return
    find "$1"/checkpoints -maxdepth 1 -name '0*' | awk -F/ -v step="$2" '$NF + 0 > step' | xargs rm -rf
    ln -sfn "$(printf %09d "$2")" "$1/checkpoints/newest" && ln -sfn "$(printf %09d "$2")" "$1/checkpoints/best"
}

# The parts of a run that must not depend on its history.
result() {
    (cd "$1" && sha256sum checkpoints/000000012/* && readlink checkpoints/best checkpoints/newest && timeless metrics.jsonl)
}

# same_result RUN ARGUMENT...: resumes to the last step, and compares with the run `whole`
same_result() {
    pixelrnn train tiny.yaml -o "$1" --resume "${@:2}" && result whole >want && result "$1" >got && diff want got &&
        same "$(find "$1" -name '*.partial')" ""
}

# ---- Links -----------------------------------------------------------------------------------------------------------

copied_with_links_followed() {
    ended_after followed 6 && rm -rf copy && cp -rL followed copy && [ -d copy/checkpoints/best ] && [ ! -L copy/checkpoints/best ] || return
    same_result copy
}
check "a copy with links followed is resumed" copied_with_links_followed

stale_names() {
    ended_after stale 6 && ln -sfn 000000099 stale/checkpoints/best && rm stale/checkpoints/newest && echo 3 >stale/checkpoints/newest &&
        same_result stale
}
check "a dangling link, and a file with the name of a link, are replaced" stale_names

# The best step is 6: the test NLL falls until then, and rises with a learning rate that is far too large.
finds_the_best() {
    local best run=found
    ended_after found 6 && pixelrnn train tiny.yaml -o found --resume --set train.learning_rate=10 || return
    best=$(nats found/checkpoints/000000006)
    differ "$(nats found/checkpoints/000000012)" "$best" && same "$(nats $run)" "$best" || return
    rm found/checkpoints/best found/checkpoints/newest && same "$(nats $run)" "$best" || return # no links
    cp -r found/checkpoints/000000012 found/checkpoints/best && same "$(nats $run)" "$best" || return # a stale folder
    head -c 500 whole/checkpoints/000000012/model.safetensors >found/checkpoints/000000012/model.safetensors &&
        same "$(nats $run)" "$best" || return # the newest checkpoint is damaged
    rm -r found/checkpoints/000000006 && same "$(nats $run)" "$(nats found/checkpoints/000000009)" # the best checkpoint is missing
}
check "the best model is found without links" finds_the_best

# ---- Damaged checkpoints ---------------------------------------------------------------------------------------------

# damaged FILE COMMAND...: a run of 9 steps; the command damages FILE of the newest checkpoint, in its folder
damaged() {
    ended_after hurt 9 && (cd hurt/checkpoints/000000009 && "${@:2}") || return
    same_result hurt && contains err "^warning: checkpoint of step 9 is damaged: hurt/checkpoints/000000009/$1" &&
        contains err '^warning: checkpoint of step 9 is now hurt/checkpoints/000000009.rejected$' &&
        contains err '^resumed from step 6(;|$)' && [ -e hurt/checkpoints/000000009.rejected ] && [ -e hurt/checkpoints/000000009 ]
}
not_a_number() { # the first number of the moments
    printf '\377\377\377\377' |
        dd of=optimizer.safetensors bs=1 seek=$((8 + $(od -An -tu8 -N8 optimizer.safetensors))) conv=notrunc status=none
}
check "damaged weights: resumes from the checkpoint before" damaged model.safetensors truncate -s 500 model.safetensors
check "a moment that is not finite: resumes from the checkpoint before" damaged optimizer.safetensors not_a_number
check "a missing state: resumes from the checkpoint before" damaged state.json rm state.json
check "a truncated state: resumes from the checkpoint before" damaged state.json truncate -s 40 state.json

two_damaged() { # twice; the second time, names of rejected checkpoints exist already
    local n
    for n in 1 2; do
        [ $n -eq 2 ] || ended_after hurt 9
        rm -rf hurt/checkpoints/000000012 && truncate -s 99 hurt/checkpoints/00000000[69]/model.safetensors || return
        same_result hurt && contains err '^resumed from step 3(;|$)' || return
    done
    same "$(cd hurt/checkpoints && echo ./*.rejected*)" "./000000006.rejected ./000000006.rejected.2 ./000000009.rejected ./000000009.rejected.2"
}
check "two damaged checkpoints, twice: they are renamed, and none is removed" two_damaged

all_damaged() {
    ended_after hurt 9 && truncate -s 99 hurt/checkpoints/0*/model.safetensors && find hurt -type f -print0 | sort -z | xargs -0 sha256sum >before &&
        fails 1 'hurt/checkpoints/000000009/model.safetensors: .*; found no whole checkpoint' train tiny.yaml -o hurt --resume &&
        find hurt -type f -print0 | sort -z | xargs -0 sha256sum | diff before -
}
check "no complete checkpoint: an error, and nothing is changed" all_damaged

damaged_on_ranks() {
    local ranked=(--set train.batch_size=7 -o ranked)
    together 2 train tiny.yaml "${ranked[@]}" && cp -r ranked ranked-whole &&
        truncate -s 99 ranked/checkpoints/000000012/state.json && together 2 train tiny.yaml "${ranked[@]}" --resume &&
        contains err '^warning: checkpoint of step 12 is damaged' && contains err '^resumed from step 9(;|$)' &&
        cmp {ranked,ranked-whole}/checkpoints/000000012/model.safetensors
}
if ranks_start; then
    check "two ranks: resume from the checkpoint before" damaged_on_ranks
else
    skip "two ranks: resume from the checkpoint before" "no mpirun, or built without MPI"
fi

# ---- A loss that is not finite ---------------------------------------------------------------------------------------

# diverges RUN ARGUMENT...: resumes with a learning rate that is too large. The checkpoint after the first step holds
# finite weights whose loss is not finite.
diverges() {
    fails 1 'step 8: the loss is not finite; last good checkpoint: .*/000000006$' train tiny.yaml -o "$1" --resume \
        --set train.clip_norm=0 --set train.learning_rate=1e30 --set train.checkpoint_every=1 --set train.evaluate_every=0 "${@:2}"
}
recovers() {
    ended_after burst 6 && diverges burst && [ -d burst/checkpoints/000000007.rejected ] || return
    same_result burst && contains err '^resumed from step 6(;|$)'
}
check "--resume after a loss that is not finite continues from the last good checkpoint" recovers

recovers_without_rename() { # as if the failed run had been killed before it renamed the checkpoint
    ended_after burst 6 && diverges burst && mv burst/checkpoints/000000007{.rejected,} || return
    fails 1 'step 8: the loss is not finite' train tiny.yaml -o burst --resume && same_result burst
}
check "the same if the bad checkpoint was not renamed: fails once more, then continues" recovers_without_rename

# ---- Other data -----------------------------------------------------------------------------------------------------

shape='30 images of 6 x 5 x 1, checksum [0-9a-f]{8}'
# other_data KEY: the file that KEY names has other contents than before
other_data() {
    cp images.npy mine.npy && rm -rf mine && pixelrnn train tiny.yaml -o mine --set train.steps=6 --set "$1=mine.npy" || return
    cp others.npy mine.npy && find mine -type f -print0 | sort -z | xargs -0 sha256sum >before &&
        fails 2 "$1: found mine.npy with $shape; expected $shape, as the run had in mine.npy; --accept-data" \
            train tiny.yaml -o mine --resume --set "$1=mine.npy" &&
        find mine -type f -print0 | sort -z | xargs -0 sha256sum | diff before - || return
    pixelrnn train tiny.yaml -o mine --resume --set train.steps=9 --set "$1=mine.npy" --accept-data && contains out 'to step 9' || return
    pixelrnn train tiny.yaml -o mine --resume --set "$1=mine.npy" # from then on these images belong to the run
}
check "other training images under the same name are refused, unless accepted" other_data data.train
check "other test images likewise" other_data data.test

another_file() {
    ended_after mine 6 && fails 2 "data.train: found others.npy with $shape; expected $shape, as the run had in images.npy" \
        train tiny.yaml -o mine --resume --set data.train=others.npy
}
check "another file with other images is refused, and both are named" another_file

same_bytes() {
    ended_after mine 6 && cp images.npy elsewhere.npy || return
    pixelrnn train tiny.yaml -o mine --resume --set data.train=elsewhere.npy --set data.test=elsewhere.npy &&
        contains err '; data.train images.npy, now elsewhere.npy;' &&
        cmp {mine,whole}/checkpoints/000000012/optimizer.safetensors
}
check "the same images under another path are accepted" same_bytes

older_checkpoint() { # of a version that did not store the digests
    ended_after mine 6 && sed -i -z 's/,[^,]*"data":.*/}/' mine/checkpoints/000000006/state.json && ! grep -q data mine/checkpoints/000000006/state.json &&
        same_result mine
}
check "a checkpoint without digests is resumed" older_checkpoint

other_test_set() { # a best NLL of other test images (here all equal, so it is very low) must not be kept
    head -c 900 /dev/zero | npy_write '30, 6, 5' >dark.npy
    rm -rf dark && pixelrnn train tiny.yaml -o dark --set train.steps=6 --set data.test=dark.npy && same "$(readlink dark/checkpoints/best)" 000000006 &&
        pixelrnn train tiny.yaml -o dark --resume --set train.steps=9 --accept-data && same "$(readlink dark/checkpoints/best)" 000000009
}
check "the best NLL of other test images is forgotten" other_test_set

# ---- Subsets ---------------------------------------------------------------------------------------------------------

# 100 dark images, then 100 bright ones, so the first 40 are not representative. The model is trained on dark ones.
subset_is_spread() {
    { head -c 3000 /dev/zero; head -c 3000 /dev/zero | tr '\0' '\377'; } | npy_write '200, 6, 5' >sorted.npy
    head -c 3000 /dev/zero | npy_write '100, 6, 5' >dark.npy
    pixelrnn train tiny.yaml -o spread --set data.train=dark.npy --set data.test=sorted.npy --set train.steps=200 \
        --set train.evaluate_every=0 --set train.evaluate_images=40 &&
        contains err '^evaluating 40 of the 200 images of sorted.npy, chosen by the seed$' && contains out 'standard error [0-9.]*, 40 images' || return
    # The first 40 images would give about 0 and 1 nats. Of 40 images chosen at random, 10 to 30 are bright, except in
    # one of a thousand cases.
    awk '/^test NLL|^independent pixels/ { print $3 }' out >parts
    nats spread --data sorted.npy >>parts
    tr '\n' ' ' <parts | awk '{ print; exit !($3 > 1 && $1 > $3 / 2 && $1 < 1.5 * $3 && $2 > 30) }'
}
check "evaluate_images chooses images from the whole file, for independent pixels too" subset_is_spread

subset_on_ranks() {
    together 3 train tiny.yaml -o spread-3 --set train.evaluate_images=11 && figures=$(grep -o '"test/nats[^,]*' spread-3/metrics.jsonl) &&
        pixelrnn train tiny.yaml -o spread-1 --set train.evaluate_images=11 &&
        paste <(echo "$figures") <(grep -o '"test/nats[^,]*' spread-1/metrics.jsonl) |
        awk '{ far = $2 - $4; if (far < 0) far = -far; if (far > 1e-4 * $2) bad = 1 } END { exit bad || NR != 4 }' # float32 sums usually differ by 1e-5
}
if ranks_start; then
    check "the same images on three ranks" subset_on_ranks
else
    skip "the same images on three ranks" "no mpirun, or built without MPI"
fi

completes_a_subset() { # of images sorted by brightness, from the whole file
    for n in $(seq 0 99); do head -c 30 /dev/zero | tr '\0' "\\$(printf %03o $((n * 2)))"; done | npy_write '100, 6, 5' >steps.npy
    pixelrnn complete whole --data steps.npy --keep top:1 --completions 1 -n 10 -o completed.npy || return
    npy_data completed.npy | od -An -v -tu1 -w30 | awk '
        { if (NR > 1 && $1 <= last) bad = 1; last = $1; if ($1 < 100) low++; else high++ }
        END { print low, high, bad; exit !(NR == 10 && low && high && !bad) }'
}
check "complete chooses images from the whole file, in file order" completes_a_subset

# ---- Times -----------------------------------------------------------------------------------------------------------

# A step has one image, an evaluation 2,000: step_ms must not include the evaluation.
steps_are_timed_alone() {
    noise 60000 | npy_write '2000, 6, 5' >many.npy
    pixelrnn train tiny.yaml -o timed --set data.test=many.npy --set train.batch_size=1 --set train.steps=6 --set train.log_every=1 \
        --set train.evaluate_every=1 --set train.samples=2 --set train.sample_every=2 || return
    same "$(grep -c '"evaluate_s"' timed/metrics.jsonl)" 6 && same "$(grep -c '"sample_s"' timed/metrics.jsonl)" 3 &&
        same "$(grep -c '"checkpoint_s"' timed/metrics.jsonl)" "$(find timed/checkpoints -name '0*' | wc -l)" &&
        same "$(grep -ao evaluate_s timed/events* | wc -l)" 6 || return
    median() { grep -o "\"$1\": [0-9.e-]*" timed/metrics.jsonl | cut -d' ' -f2 | sort -g | sed -n 4p; }
    awk -v step="$(median step_ms)" -v rate="$(median images_per_second)" -v evaluation="$(median evaluate_s)" \
        'BEGIN { print step, rate, evaluation; exit !(step < 500 * evaluation && rate > 2 / evaluation) }'
}
check "step_ms and images_per_second measure training steps alone; evaluate_s, sample_s, checkpoint_s the other actions" steps_are_timed_alone

# ---- Starts ----------------------------------------------------------------------------------------------------------

# field N KEY: a field of the N-th start record of the run `begun`, except its config
field() {
    starts begun | sed -n "$1p" | sed 's/,"config":.*//' | grep -oE "\"$2\":(\"[^\"]*\"|\[[^]]*\]|\{[^}]*\}|[^,}]*)" | cut -d: -f2-
}

records_its_start() {
    pixelrnn train tiny.yaml -o begun --set train.steps=6 && same "$(head -n 1 begun/metrics.jsonl)" "$(starts begun)" &&
        same "$(field 1 start)" 0 && same "$(field 1 command)" '["train","tiny.yaml","-o","begun","--set","train.steps=6"]' &&
        field 1 version | grep -E '^"0\.9\.0 \(.+\)"$' && same "$(field 1 host)" "\"$(hostname)\"" && same "$(field 1 device)" '"cpu"' &&
        same "$(field 1 threads)" "$OMP_NUM_THREADS" && field 1 test | grep '"images":30,' && field 1 time | grep '^"20..-' || return
    starts begun | sed 's/.*,"config":"//; s/"}$//; s/\\n/\n/g; s/\\"/"/g' | diff -B - begun/config.yaml
}
check "metrics.jsonl begins with the record of the start" records_its_start

# The results of a complete run are printed, and no file is added or changed but its lock.
prints_its_result() {
    cp out result && files() { find begun -type f ! -name lock | sort | xargs sha256sum; }
    files >before && pixelrnn train tiny.yaml -o begun --resume --set train.steps=6 --set train.learning_rate=0.5 &&
        contains err '^complete at step 6; train.learning_rate 0.01, now 0.5$' && diff result out && files | diff before -
}
check "train --resume of a complete run prints its result, and changes nothing" prints_its_result

resumes_by_its_folder() {
    pixelrnn train begun --resume --set train.steps=12 && contains err '; train.steps 6, now 12$' &&
        contains begun/config.yaml '^  steps: 12$' && same "$(field 2 start)" 6 && same "$(field 2 changed)" '{"train.steps":["6","12"]}' &&
        timeless begun/metrics.jsonl | diff - <(timeless whole/metrics.jsonl) && same "$(starts begun | wc -l)" 2
}
check "train RUN --resume uses RUN/config.yaml" resumes_by_its_folder

folder_is_checked() {
    fails 2 'begun: already holds a run, trained to step 12; --resume' train begun && mkdir -p bare &&
        fails 1 'bare: found a folder without config.yaml' train bare --resume && pixelrnn train begun/ -o elsewhere && ls elsewhere/config.yaml
}
check "train RUN without --resume, and a folder without config.yaml" folder_is_checked

records_init() {
    pixelrnn train tiny.yaml -o initial --init whole --set train.steps=1 && starts initial | grep '"init":"whole/checkpoints/000000012/model.safetensors"' || return
    pixelrnn train tiny.yaml -o initial --init whole --set train.steps=2 --resume && same "$(starts initial | grep -c '"init":')" 1
}
check "the record of a start names --init only if its weights were used" records_init

starts_stay() { # although the lines of later steps are removed
    ended_after stay 12 && rm -r stay/checkpoints/0000000{09,12} && same_result stay && same "$(starts stay | wc -l)" 2
}
check "records of starts stay when the lines of later steps are removed" starts_stay

finish

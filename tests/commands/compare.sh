#!/bin/bash
# compare: runs of two learning rates, a resumed run, runs under way and without evaluations; the table, JSON, the plot.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

[ "$device" = cpu ] || { skip "compare" "it does not depend on the device"; finish; exit; }

cat >tiny.yaml <<END
name: tiny
device: cpu
model: {kind: pixelcnn, layers: 1, hidden: 2, head: 2}
data: {train: builtin:digits, validation: builtin:digits, test: builtin:digits, size: 8, levels: 2}
train: {steps: 12, batch_size: 2, log_every: 3, evaluate_every: 4, evaluate_images: 20, sample_every: 0, samples: 0, checkpoint_every: 4}
END
train() { "$program" train tiny.yaml -o "$@" >log 2>&1 || { cat log; return 1; }; }
train runs/slow && train runs/fast --set train.learning_rate=0.01 && train runs/wide --set model.hidden=3 || exit 1

# line NAME: the cells of a line of the table, separated by single blanks
line() {
    sed -n "s/^$1  *//p" out | sed 's/   */ /g'
}

# metric RUN NAME [STEP]: a value of metrics.jsonl
metric() {
    grep "^{\"step\": ${3:-[0-9]*}, .*\"$2\"" "$1/metrics.jsonl" | tail -n 1 | sed -E "s|.*\"$2\": ([^,]*),.*|\1|"
}

# ---- The table -------------------------------------------------------------------------------------------------------

table() {
    pixelrnn compare runs/slow runs/fast && same "$(wc -c <err)" 0 && same "$(line run)" 'slow fast' && same "$(line train.learning_rate)" '0.001 0.01' &&
        ! grep -E '^(model|data|seed|name)' out && same "$(line step)" '12 of 12 12 of 12' && same "$(line 'images seen')" '24 24' || return
    local parameters
    parameters=$("$program" info runs/slow | sed -nE 's/^parameters +([0-9]+) .*/\1/p')
    same "$(line parameters)" "$parameters $parameters" && same "$(line 'evaluated images')" 'validation validation' || return
    for run in slow fast; do metric runs/$run validation/nats_per_image 12; done | xargs printf '%.3f ' >nats
    for run in slow fast; do metric runs/$run validation/standard_error 12; done | xargs printf '%.3f ' >errors
    for run in slow fast; do metric runs/$run test/nats_per_image; done | xargs printf '%.3f ' >tests
    same "$(line 'best NLL, nats.image') " "$(cat nats)" && same "$(line '  standard error, nats') " "$(cat errors)" &&
        same "$(line '  at step')" '12 12' && same "$(line 'final test NLL, nats.image') " "$(cat tests)" && contains out '^version +0.9.0 \(.* in all runs$' &&
        contains out '^ranks x device +1 x .* in all runs$' || return
    sed 's/"ranks":1,/"ranks":2,/' runs/fast/metrics.jsonl >two && mkdir -p two_ranks && mv two two_ranks/metrics.jsonl &&
        pixelrnn compare runs/fast two_ranks && contains out '^ranks x device +1 x .*  2 x ' && contains out '^version .* in all runs$'
}
check "the table has the keys that differ, and the results" table

best_is_not_the_last() { # a learning rate that is too high at the end
    train runs/steep --set train.learning_rate=2 && pixelrnn compare runs/steep || return
    local best
    best=$(grep '"validation/nats' runs/steep/metrics.jsonl | sed -E 's/.*"step": ([0-9]+), "validation\/nats_per_image": ([^,]*),.*/\2 \1/' | sort -g | head -n 1)
    same "$(line '  at step')" "${best#* }" && same "$(line 'best NLL, nats.image')" "$(printf %.3f "${best% *}")"
}
check "the best evaluation is the one with the lowest NLL" best_is_not_the_last

labels() {
    pixelrnn compare runs/slow/ ./runs/fast && same "$(line run)" 'runs/slow ./runs/fast' && pixelrnn compare runs/slow/// && same "$(line run)" slow &&
        pixelrnn compare "$work/runs/slow" "$work/runs/fast" && same "$(line run)" 'slow fast' && cp -r runs/slow runs/slower &&
        pixelrnn compare runs/slow runs/slower && same "$(line run)" 'slow slower' && cp -r runs runt &&
        pixelrnn compare runs/slow runt/fast && same "$(line run)" 'runs/slow runt/fast'
}
check "labels are the paths without their common folders" labels

blocks() { # on a narrow terminal, the columns of all runs stand below each other, once
    local columns
    for columns in 20 1000; do
        COLUMNS=$columns pixelrnn compare runs/slow runs/fast runs/wide && same "$(line run | xargs)" 'slow fast wide' &&
            same "$(grep -c '^run ' out)" $((columns == 20 ? 3 : 1)) && same "$(grep -c '^$' out)" $((columns == 20 ? 2 : 0)) || return
    done
    columns=$(($(grep -v ' in all runs$' out | wc -L) - 1)) # one column less than all runs need
    COLUMNS=$columns pixelrnn compare runs/slow runs/fast runs/wide && same "$(grep -c '^run ' out)" 2 && [ "$(grep -v ' in all runs$' out | wc -L)" -le "$columns" ]
}
check "a table that is wider than the terminal becomes several" blocks

# ---- Runs that are not complete --------------------------------------------------------------------------------------

# figures RUN: what --json says of a run, without the times
figures() {
    "$program" compare "$1" --json | sed -E 's/"run":"[^"]*"//; s/"(hours|images_per_second|starts)":[^,]*,//g'
}

resumed() { # killed after step 11; the steps after the checkpoint of step 8 are repeated
    cp -r runs/slow cut && rm -r cut/checkpoints/000000012 && ln -sfn 000000008 cut/checkpoints/newest && ln -sfn 000000008 cut/checkpoints/best || return
    sed -i '/"step": 12,/d' cut/metrics.jsonl && cp -r cut under_way && printf '{"step": 12, "train/na' >>under_way/metrics.jsonl || return
    pixelrnn compare under_way && same "$(line step)" '9 of 12' && same "$(line 'final test NLL, nats.image')" - && same "$(line '  at step')" 8 &&
        pixelrnn train cut --resume && same "$(starts cut | wc -l)" 2 && same "$(figures cut)" "$(figures runs/slow)" || return
    # the same before --resume has removed the repeated lines
    { sed -n '1,/"step": 11,/p' runs/fast/metrics.jsonl | sed '/^{"step": 8, .*checkpoint_s/q'
        grep '^{"step": \(9\|12\),' runs/fast/metrics.jsonl; starts cut | tail -n 1; sed -n '/^{"start":8/,$p' cut/metrics.jsonl | sed 1d; } >both
    mkdir -p repeated && cp both repeated/metrics.jsonl && pixelrnn compare repeated && same "$(line step)" '12 of 12' &&
        same "$(line 'final test NLL, nats.image')" "$(metric cut test/nats_per_image | xargs printf %.3f)"
}
check "a resumed run is the same as an uninterrupted one, and a run under way is read up to its last complete line" resumed

without_evaluation() {
    train untested --set data.validation= --set data.test= && train tested --set data.validation= && pixelrnn compare untested tested &&
        same "$(line 'evaluated images')" '- test' && same "$(line 'best NLL, nats.image')" "- $(metric tested test/nats_per_image 12 | xargs printf %.3f)" &&
        same "$(line 'final test NLL, nats.image')" '- -' && same "$(line data.test)" '- builtin:digits' || return
    head -n 1 untested/metrics.jsonl >first && mkdir -p began && cp first began/metrics.jsonl && pixelrnn compare began && same "$(line step)" '0 of 12'
}
check "runs without a validation set, without evaluations, and without a step" without_evaluation

older() { # of a version that did not record the parameters
    mkdir -p old && sed 's/"parameters":[0-9]*,//' runs/slow/metrics.jsonl >old/metrics.jsonl && pixelrnn compare old && same "$(line parameters)" -
}
check "a record without parameters" older

# ---- JSON ------------------------------------------------------------------------------------------------------------

in_json() {
    pixelrnn compare runs/slow runs/wide --json && same "$(wc -l <out)" 1 && same "$(grep -o '"config":{[^}]*}' out)" "$(printf '"config":{"model.hidden":%d}\n' 2 3)" &&
        same "$(grep -o '"curve":\[[^]]*\]' out | head -n 1 | grep -o '"step":[0-9]*,"images":[0-9]*')" "$(printf '"step":%d,"images":%d\n' 4 8 8 16 12 24)" || return
    same "$(grep -o '"test":{[^}]*' out | sed -E 's/.*"nats_per_image":([^,]*),.*/\1/' | head -n 1 | cut -c1-12)" "$(metric runs/slow test/nats_per_image | cut -c1-12)"
    ! command -v python3 >/dev/null || python3 -m json.tool <out >/dev/null
}
check "--json: the keys that differ, the curve, the test" in_json

# ---- What is refused -------------------------------------------------------------------------------------------------

mkdir -p empty broken && { cat first; echo nonsense; } >broken/metrics.jsonl
refuses() {
    fails 1 '^pixelrnn: empty: found no metrics.jsonl in it, expected a run folder$' compare runs/slow empty && same "$(wc -c <out)" 0 &&
        fails 1 '^pixelrnn: tiny.yaml: found no metrics.jsonl in it, expected a run folder$' compare tiny.yaml &&
        fails 1 '^pixelrnn: broken/metrics.jsonl:2: found no JSON object' compare broken && fails 2 'found no RUN' compare &&
        fails 2 '^pixelrnn: -o: found curves.pdf, expected OUT.png' compare runs/slow -o curves.pdf && fails 1 'nowhere/curves.png' compare runs/slow -o nowhere/curves.png
}
check "folders that are no runs, and other outputs" refuses

# ---- The plot --------------------------------------------------------------------------------------------------------

no_library() { # the loader finds a file that is no library
    mkdir -p fake && : >fake/libplplot.so.17 && : >fake/libplplot.so &&
        LD_LIBRARY_PATH=$PWD/fake fails 1 '^pixelrnn: plot: found no libplplot.so.17, expected .*libplplot-dev plplot-driver-cairo\)$' compare runs/slow -o curves.png &&
        same "$(wc -c <out)" 0 && [ ! -e curves.png ]
}
check "-o without PLplot names the packages" no_library

# What is drawn, printed by a libplplot of the tests. Binary images have nats/image, others bits/dim.
recorded() {
    mkdir -p recorder && cc -shared -fPIC -o recorder/libplplot.so.17 "$golden/../commands/plplot_recorder.c" || return
    LD_LIBRARY_PATH=$PWD/recorder pixelrnn compare runs/slow runs/fast -o curves.png && same "$(grep -c '^[xy] numbers of 9 characters, 0$' out)" 2 || return
    local step points=
    for step in 4 8 12; do points+=" $((2 * step)),$(metric runs/slow validation/nats_per_image $step | xargs printf %.5g)"; done
    same "$(grep -A 1 '^label l' out | head -n 2)" "$(printf 'label l: validation NLL (nats/image)\n%s' "${points# }")" && same "$(grep -cxF "${points# }" out)" 1 &&
        same "$(sed -n 's/^label b: //p' out)" "$(printf 'images seen\ntime (seconds)')" && same "$(sed -n 's/^legend: //p' out)" "$(printf 'slow\nfast')" || return
    train grey --set data.levels=4 --set train.steps=4 && LD_LIBRARY_PATH=$PWD/recorder pixelrnn compare grey tested -o curves.png || return
    contains out '^label l: NLL \(bits/dim\)$'
}
check "-o gives the plot the right curves and labels" recorded

draws() {
    pixelrnn compare runs/slow runs/fast runs/wide untested -o curves.png && same "$(wc -c <err)" 0 && contains out '^run ' &&
        same "$(head -c 8 curves.png | od -An -tx1 | tr -d ' ')" 89504e470d0a1a0a && no_partial_files . || return
    mkdir -p drawn && cp curves.png drawn && pixelrnn pack drawn -o curves.npy && npy_data curves.npy | od -An -v -tu1 -w3 | sort | uniq -c | sort -rn >colours || return
    # the page, the text, and the colours of the first three curves
    for colour in '255 255 255' '30 30 30' '0 114 178' '213 94 0' '0 158 115'; do
        grep -E "^ *[0-9]{2,} +${colour// / +}\$" colours || { echo "no pixel is $colour"; return 1; }
    done
}
no_points() {
    fails 1 '^pixelrnn: none.png: found no evaluation in the runs, expected at least one$' compare untested -o none.png && [ ! -e none.png ]
}
# fontconfig, which PLplot uses, never frees its tables: a build with BUILD=sanitize would report them
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
if "$program" compare runs/slow -o probe.png >/dev/null 2>probe; then
    check "-o draws the curves" draws
    check "-o without an evaluation" no_points
else
    skip "-o draws the curves" "$(sed 's/^pixelrnn: //' probe)"
fi

finish

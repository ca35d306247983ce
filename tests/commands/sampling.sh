#!/bin/bash
# Sampling and completion into files: the images do not depend on interruptions, and their NLL is that of eval.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

model=$golden/row_lstm_rgb_skip/model.safetensors # 3 x 7 x 3, 4 levels

sample_images() { # COUNT SEED OUT ARGUMENT...
    pixelrnn sample "$model" -n "$1" --seed "$2" -o "$3" --set device="$device" "${@:4}"
}

sample_images 400 5 whole.npy --set eval.batch_size=50 || cat err

nll_is_that_of_eval() {
    local sampled
    sample_images 300 3 scored.npy && sampled=$(sed -n 's/^NLL: \([0-9.]*\) nats each.*/\1/p' out) &&
        pixelrnn eval "$model" --data scored.npy --json --set device="$device" &&
        awk -v sampled="$sampled" -v found="$(json nats_per_image)" 'BEGIN { exit !(sampled > 0 && (sampled - found) ^ 2 < 1e-6) }'
}
check "sample: the NLL printed is what eval finds, to 0.001 nats" nll_is_that_of_eval

# Kills the sampling of 400 images, 50 at a time, when its journal has this many bytes. Fails if it finished first in
# five tries: a busy machine may check too late.
kill_sampling() { # BYTES OUT
    local child size try
    for try in {1..5}; do
        rm -f "$2" "$2.journal"
        "$program" sample "$model" -n 400 --seed 5 -o "$2" --set device="$device" --set eval.batch_size=50 >killed.log 2>&1 &
        child=$! size=0
        while kill -0 $child 2>/dev/null; do
            size=$(stat -c %s "$2.journal" 2>/dev/null || echo 0)
            [ "$size" -gt "$1" ] && kill -KILL $child
        done
        wait $child
        [ -e "$2.journal" ] && [ ! -e "$2" ] && return
    done
    echo "not killed in time, $try times"
    return 1
}

goes_on() {
    local bytes
    for bytes in 300 4000 12000 20000; do
        rm -f cut.npy cut.npy.journal
        kill_sampling $bytes cut.npy || continue # too late: try the next size
        sample_images 400 5 cut.npy --set eval.batch_size=33 && contains err 'going on after [0-9]+ images' || return
        cmp cut.npy whole.npy && same "$(ls cut.npy*)" cut.npy || return
        resumed=yes
    done
    same "${resumed:-no}" yes
}
check "sample: killed, it goes on where it stopped, with the same images" goes_on

torn_record() {
    rm -f torn.npy
    kill_sampling 300 torn.npy || { echo "not killed in time"; return 1; }
    truncate -s -7 torn.npy.journal
    sample_images 400 5 torn.npy && cmp torn.npy whole.npy
}
check "sample: an incomplete record of the journal is sampled again" torn_record

longer() {
    rm -f longer.npy
    kill_sampling 300 longer.npy || { echo "not killed in time"; return 1; }
    sample_images 30 5 longer.npy && cmp <(npy_data longer.npy) <(npy_data whole.npy | head -c $((30 * 63)))
}
check "sample: an interrupted run may go on with another count" longer

refuses_other_work() {
    rm -f other.npy
    kill_sampling 300 other.npy || { echo "not killed in time"; return 1; }
    cp other.npy.journal before
    fails 2 'other.npy.journal: holds unfinished work of another' sample "$model" -n 400 --seed 6 -o other.npy --set device="$device" &&
        fails 2 'other.npy.journal' sample "$model" -n 400 --seed 5 --temperature 2 -o other.npy --set device="$device" &&
        fails 2 'other.npy.journal' sample "$golden/row_lstm_rgb_h2_column/model.safetensors" -n 400 --seed 5 -o other.npy --set device="$device" &&
        cmp before other.npy.journal && [ ! -e other.npy ]
}
check "sample: another seed, temperature or model does not go on with a journal, nor harm it" refuses_other_work

refuses_other_weights() { # a model that differs in the lowest bits of one weight, and the same model in bfloat16
    rm -f weights.npy && cp "$model" touched.safetensors &&
        printf '\x55' | dd of=touched.safetensors bs=1 seek=$(($(stat -c %s touched.safetensors) - 4)) conv=notrunc status=none || return
    ! cmp -s "$model" touched.safetensors || { echo "the weight is the same"; return 1; }
    kill_sampling 300 weights.npy || { echo "not killed in time"; return 1; }
    fails 2 'weights.npy.journal: holds unfinished work of another' sample touched.safetensors -n 400 --seed 5 -o weights.npy --set device="$device" &&
        fails 2 'weights.npy.journal' sample "$model" -n 400 --seed 5 -o weights.npy --set device="$device" --set precision=bfloat16 &&
        sample_images 400 5 weights.npy && cmp weights.npy whole.npy
}
check "sample: other weights or another precision do not go on with a journal" refuses_other_weights

refuses_company() {
    echo "process 1 on elsewhere" >busy.npy.lock
    exec 9<busy.npy.lock
    flock 9 && fails 1 'busy.npy.lock: process 1 on elsewhere is at work here' sample "$model" -n 1 -o busy.npy --set device="$device"
    local status=$?
    exec 9<&-
    return $status
}
check "sample: two at once on one file: the second says so" refuses_company

runs_out_of_room() { # a limit on file sizes simulates a full disk; the first batches fit
    (trap '' XFSZ && ulimit -f 8 && fails 1 'room.npy.journal: File too large' sample "$model" -n 400 --seed 5 -o room.npy \
        --set device="$device" --set eval.batch_size=50) && [ ! -e room.npy ] && sample_images 400 5 room.npy &&
        contains err 'going on after 1[0-9]* images' && cmp room.npy whole.npy
}
check "sample: a full disk keeps the finished images, and the next run goes on" runs_out_of_room

constant_memory() { # 20,000 images take no more than 2,000 do
    local few many
    few=$(peak 2000) && many=$(peak 20000) && [ "$many" -lt $((few + 2000)) ] || { echo "found $few and $many KiB"; return 1; }
}
peak() { # COUNT: KiB
    /usr/bin/time -f %M -o peak "$program" sample "$golden/diagonal_grey/model.safetensors" -n "$1" -o many.npy --set device="$device" >/dev/null 2>&1 &&
        cat peak
}
if [ -x /usr/bin/time ]; then
    check "sample: memory does not grow with the number of images" constant_memory
else
    skip "sample: memory does not grow with the number of images" "there is no /usr/bin/time"
fi

too_large_for_png() {
    fails 1 'too large for one PNG.*\.npy' sample "$model" -n 2000000 -o large.png --set device="$device" && [ ! -e large.png.journal ]
}
check "sample: more images than a PNG holds is reported before sampling" too_large_for_png

# ---- Completions -----------------------------------------------------------------------------------------------------

keeps_left() {
    sample_images 5 1 originals.npy && pixelrnn complete "$model" --data originals.npy --keep left:0.5 --completions 1 --seed 9 -o left.npy --set device="$device" &&
        cmp -l <(npy_data originals.npy) <(npy_data left.npy) | awk '{ i = ($1 - 1) % 63; if (int(i % 21 / 3) < 4) exit 1; n++ } END { exit !n }'
}
check "complete: --keep left:0.5 leaves the left half as it was, to the byte" keeps_left

completion_goes_on() {
    sample_images 90 1 many.npy && pixelrnn complete "$model" --data many.npy --keep top:0.4 --completions 3 -n 90 -o all.npy --set device="$device" || return
    (trap '' XFSZ && ulimit -f 8 && fails 1 'some.npy.journal: File too large' complete "$model" --data many.npy --keep top:0.4 \
        --completions 3 -n 90 -o some.npy --set device="$device" --set eval.batch_size=20) &&
        fails 2 'some.npy.journal' complete "$model" --data many.npy --keep top:0.7 --completions 3 -n 90 -o some.npy --set device="$device" &&
        pixelrnn complete "$model" --data many.npy --keep top:0.4 --completions 3 -n 90 -o some.npy --set device="$device" &&
        contains err 'going on after' && cmp all.npy some.npy && contains out '^what was drawn: [0-9.]+ nats each'
}
check "complete: interrupted, it goes on where it stopped" completion_goes_on

# ---- Ranks -----------------------------------------------------------------------------------------------------------

ranks_sample_the_same() { # in the last round, two of three ranks have no images
    together 3 sample "$model" -n 31 --seed 5 -o ranks.npy --set device="$device" --set eval.batch_size=10 &&
        cmp <(npy_data ranks.npy) <(npy_data whole.npy | head -c $((31 * 63))) && same "$(grep -c '^NLL' out)" 1
}

ranks_go_on() {
    rm -f cut.npy cut.npy.journal
    kill_sampling 4000 cut.npy || { echo "not killed in time"; return 1; }
    together 2 sample "$model" -n 400 --seed 5 -o cut.npy --set device="$device" && contains err 'going on after' && cmp cut.npy whole.npy
}

ranks_complete_the_same() {
    pixelrnn complete "$model" --data originals.npy --keep top:0.4 --completions 3 -o single.png --set device="$device" &&
        together 2 complete "$model" --data originals.npy --keep top:0.4 --completions 3 -o distributed.png --set device="$device" && cmp single.png distributed.png
}
if ranks_start; then
    check "sample: three ranks sample the images of one" ranks_sample_the_same
    check "sample: two ranks go on with what one began" ranks_go_on
    check "complete: two ranks sample the images of one" ranks_complete_the_same
else
    skip "sample, complete: ranks sample the images of one" "no mpirun, or no MPI in this build, or one GPU for all"
fi

finish

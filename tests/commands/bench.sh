#!/bin/bash
# pixelrnn bench: its output, its JSON, and the scripts that read it. The measured values are not tested.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

bench=$(realpath "$golden/../../bench")
for kind in pixelcnn row_lstm diagonal_bilstm; do
    cat >$kind.yaml <<END
name: tiny_$kind
device: $device
model.kind: $kind
model.layers: 2
model.hidden: 5
model.head: 6
data.train: builtin:digits
data.test: builtin:digits
data.levels: 4
train.batch_size: 2
END
done

# values KEY: all values of a key in bench.json, in order
values() {
    grep -oE "\"$1\":[[:space:]]*(\"[^\"]*\"|[0-9.e+-]+)" bench.json | sed -E 's/^[^:]*:[[:space:]]*//; s/"//g'
}

tiny() {
    rm -f bench.json
    pixelrnn bench "$@" --size 4 --channels 1 --seconds 0.01 --json bench.json
}

everything() {
    local phases='train evaluate sample sample_plain'
    tiny pixelcnn.yaml row_lstm.yaml diagonal_bilstm.yaml --breakdown || return
    same "$(values phase | xargs)" "$phases $phases $phases" && same "$(values kind | xargs)" "$device pixelcnn row_lstm diagonal_bilstm" &&
        same "$(values precision | xargs)" 'float32 float32 float32' && same "$(values product_flops_per_second | wc -l)" 15 &&
        same "$(values images_per_pass | head -n 4 | xargs)" '2 2 2 0.125' &&
        same "$(values useful_flops_per_pass | awk 'NR > 1 && NR < 5 { print $1 / first } NR == 2 { first = $1; print 1 }' | tail -n 2 | xargs)" '1 0.0625'
}
check "all phases of three models, as JSON" everything

# The last row of the table: the third model's layers and sizes, and for each phase its images a second, also as a
# multiple of the first's.
side_by_side() {
    contains out '^config  *model  *layers  *h  *batch  *precision  *size  *train  *evaluate  *sample  *sample_plain$' &&
        contains out '^tiny_diagonal_bilstm  *diagonal_bilstm  *2  *5  *2  *float32  *4 x 4 x 1  ' || return
    values images_per_second | xargs | awk -v line="$(tail -n 1 out)" '{
        gsub(/[()]/, "", line)
        split(line, cell)
        for (i = 1; i <= 4; i++) {
            rate = cell[9 + 3 * i]; multiple = cell[10 + 3 * i]
            if (rate / $(8 + i) > 1.05 || rate / $(8 + i) < 0.95) { print "rate " i ": found " rate ", expected " $(8 + i); exit 1 }
            if (multiple - $(8 + i) / $i > 0.006 || multiple - $(8 + i) / $i < -0.006) { print "multiple " i ": found " multiple; exit 1 }
        }
    }'
}
check "the table compares with the first" side_by_side

# --markdown prints the table alone; a vertical bar in a name does not end a cell.
markdown() {
    tiny pixelcnn.yaml row_lstm.yaml --phases train,evaluate --markdown --set 'name=a|b' && same "$(wc -l <out)" 6 &&
        contains <(sed -n 1p out) "^images/s on $device: .*\\([0-9]{4}-[0-9]{2}-[0-9]{2}\\); in parentheses, multiples of the first config\$" && same "$(sed -n 2p out)" '' &&
        same "$(sed -n 3p out)" '| config | model | layers | h | batch | precision | size | train | evaluate |' &&
        same "$(sed -n 4p out)" '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |' &&
        contains <(sed -n 6p out) '^\| a\\\|b \| row_lstm \| 2 \| 5 \| 2 \| float32 \| 4 x 4 x 1 \| [0-9.]+ \([0-9.]+ x\) \| [0-9.]+ \([0-9.]+ x\) \|$' || return
    tiny pixelcnn.yaml --phases train --markdown && same "$(wc -l <out)" 5 && contains out '^images/s on [^;]*$' &&
        fails 2 'found --breakdown and --markdown, expected at most one' bench pixelcnn.yaml --markdown --breakdown
}
check "the table in Markdown" markdown

# A phase is named in a warning if, and only if, p90 - p10 is above a tenth of the median.
warns_of_spread() {
    tiny pixelcnn.yaml --phases train,evaluate,sample || return
    paste <(values phase) <(values pass_ms_p10) <(values pass_ms_median) <(values pass_ms_p90) | awk '($4 - $2) / $3 > 0.1 { print $1 }' >wide
    sed -nE 's/^warning: tiny_pixelcnn: from p10 to p90, times differ by more than 10 % of the median: (.*); measure longer.*/\1/p' err |
        tr ',' '\n' | awk '{ print $1 }' >warned
    same "$(cat warned)" "$(cat wide)"
}
check "a warning for times that vary" warns_of_spread

# The load is read from the system before and after. Near the limit, either is right.
warns_of_load() {
    local before after limit
    limit=$(($(getconf _NPROCESSORS_ONLN) * 110))
    before=$(awk '{ print int(100 * $1) }' /proc/loadavg) && tiny pixelcnn.yaml --phases evaluate && after=$(awk '{ print int(100 * $1) }' /proc/loadavg) || return
    if [ "$before" -gt $((limit + 10)) ] && [ "$after" -gt $((limit + 10)) ]; then
        contains err '^warning: load average [0-9.]+ on [0-9]+ processors?: other processes slow the measurement$'
    elif [ "$before" -lt $((limit - 10)) ] && [ "$after" -lt $((limit - 10)) ]; then
        ! grep 'load average' err
    fi && contains bench.json '"load_average":[[:space:]]*[0-9.]+,$'
}
check "a warning on a busy machine" warns_of_load

# A Row LSTM of two layers calls two recurrences, each of which calls matrix products on the CPU.
breakdown() {
    tiny row_lstm.yaml --phases train || return
    local own whole
    own=$(sed -n '/training_by_operation/,/training_by_call/p' bench.json) whole=$(sed -n '/training_by_call/,$p' bench.json)
    for list in "$own" "$whole"; do
        same "$(grep -A1 '"recurrence_forward"' <<<"$list" | grep -oE 'calls_per_step":[[:space:]]*[0-9]+' | grep -oE '[0-9]+$')" 2 || return
    done
    [ "$device" != cpu ] || { contains <(echo "$own") '"lstm_cell_forward"' && ! contains <(echo "$whole") '"lstm_cell_forward"'; }
}
check "time by operation, and by the model's call" breakdown

# The bytes of a step are the sum over its calls; tests/unit/test_work.c tests the counts.
moved() {
    tiny row_lstm.yaml --phases train || return
    sed -n '/training_by_call/,$p' bench.json | grep -oE '"bytes_per_step":[[:space:]]*[0-9.e+]+' | awk -v want="$(values moved_bytes_per_training_step)" '
        { sum += $2 } END { print sum, want; exit !(sum > 0 && sum == want) }' &&
        contains out 'tensors of a training step, .* GB/s'
}
check "bytes of a training step" moved

chosen() {
    tiny pixelcnn.yaml --phases sample,evaluate || return
    same "$(values phase | xargs)" 'evaluate sample' && same "$(values product_flops_per_second | wc -l)" 3 && same "$(values operation)" ''
}
check "phases by choice" chosen
check "an unknown phase is refused" fails 2 '--phases: found "drain", expected some of train' bench pixelcnn.yaml --phases train,drain
check "a phase without a name is refused" fails 2 '--phases: found "", expected some of train' bench pixelcnn.yaml --phases train,

of_data() { # the size of each config's data; --channels overrides only the channels
    noise $((2 * 5 * 4 * 3)) | npy_write '2, 5, 4, 3' >images.npy
    sed 's/builtin:digits/images.npy/' pixelcnn.yaml >images.yaml
    rm -f bench.json
    pixelrnn bench images.yaml pixelcnn.yaml --phases evaluate --seconds 0.001 --channels 1 --json bench.json || return
    same "$(paste -d' ' <(values height) <(values width) <(values channels) | paste -sd,)" '5 4 1,28 28 1' &&
        contains out 'images of 5 x 4 x 1, 4 levels, 2 a batch' && contains out '^tiny_pixelcnn .*  5 x 4 x 1  ' &&
        contains out '^tiny_pixelcnn .*  28 x 28 x 1  '
}
check "images are of the size of the config's data" of_data
check "without data and a size it asks for one" fails 2 'absent.npy: .*No such file or directory; .*; give the images. size by --size and --channels, or by --set data.size=SIDE' \
    bench pixelcnn.yaml --set data.train=absent.npy

own_configs() { # their data are missing; info determines the size as bench does
    local config side
    for config in "$bench"/../configs/bench*.yaml; do
        case $config in */bench64_*) side=64 ;; *) side=32 ;; esac
        pixelrnn info "$config" --set data.train=absent.npy --set device="$device" && contains out "^images  *$side x $side x 3, 256 levels\$" || return
    done
}
check "the bench's configs say their size" own_configs

# One point fails; the others are still measured.
sweep() {
    rm -rf sweep
    ! PIXELRNN=$program "$bench/sweep" -c pixelcnn.yaml -b '0 3' -l 1 -s 5 -- --channels 1 --seconds 0.01 >out 2>err || return
    same "$(cd sweep && echo *)" 'batch_3.json layers_1.json size_5.json' && contains err '1 points? failed' &&
        contains sweep/batch_3.json '"batch_size":.*3,' && contains sweep/layers_1.json '"layers":.*1,' && contains sweep/size_5.json '"height":.*5,'
}
check "a sweep over batch, layers and size, with a point that fails" sweep

if python3 -c 'import matplotlib' 2>/dev/null; then
    plot() {
        python3 "$bench/plot.py" sweep -o sweep.png && same "$(head -c 8 sweep.png | od -An -tx1 | tr -d ' ')" 89504e470d0a1a0a
    }
    check "the sweep's plot" plot
else
    skip "the sweep's plot" "python3 with matplotlib is not installed"
fi
finish

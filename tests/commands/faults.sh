#!/bin/bash
# What goes wrong at run time: status 1, one line that says what, and nothing half-written that could be taken for whole.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

noise 900 | npy_write '30, 6, 5' >images.npy
cat >tiny.yaml <<END
name: tiny
device: cpu
model:
  kind: diagonal_bilstm
  layers: 1
  hidden: 4
  head: 6
data:
  train: images.npy
  test: images.npy
  levels: 2
train:
  steps: 30
  batch_size: 7
  optimizer: sgd
  checkpoint_every: 3
  log_every: 3
  evaluate_every: 6
  sample_every: 6
  samples: 2
  keep_checkpoints: 0
END

# Every folder that is named like a checkpoint opens, and the run folder too, if there is one.
checkpoints_open() {
    local folder found=0
    for folder in "$1"/checkpoints/[0-9]*[0-9]; do
        [ -d "$folder" ] || continue
        found=1
        "$program" eval "$folder" --data images.npy >opened 2>&1 || { echo "$folder:" && cat opened && return 1; }
    done
    [ $found -eq 0 ] || "$program" eval "$1" --data images.npy >opened 2>&1 || { cat opened && return 1; }
}

# nothing_half_written FOLDER: no temporary name is left in it by a run that failed but could still tidy up
nothing_half_written() {
    same "$(find "$1" -name '*.partial')" ""
}

# ---- Figures that are not finite ---------------------------------------------------------------------------------------

explodes() { # RUN, then words
    fails 1 'step [0-9]+.* not finite' train tiny.yaml -o "$1" --set train.clip_norm=0 --set train.learning_rate=1e30 "${@:2}"
}

# The step is named, and the checkpoint named as good is one: a whole model whose figures are finite.
names_good_checkpoint() {
    local named
    named=$(sed -n 's/.*last good checkpoint: //p' err)
    [ "$named" = none ] && return
    [ -d "$named" ] || { echo "found \"$named\", expected a checkpoint's folder"; return 1; }
    pixelrnn eval "$named" --data images.npy
}

explodes_at_once() {
    explodes at_once && contains err 'step 2: .*last good checkpoint: none$' && nothing_half_written at_once
}
check "a loss that is not finite names the step, with no checkpoint yet" explodes_at_once

explodes_later() { # a good run of 12 steps goes on with a rate that is too large
    pixelrnn train tiny.yaml -o later --set train.steps=12 && explodes later --resume &&
        contains err 'step 14: .*last good checkpoint: later/checkpoints/000000012$' && names_good_checkpoint &&
        checkpoints_open later && nothing_half_written later
}
check "a loss that is not finite names the step and the last good checkpoint" explodes_later

explodes_after_checkpoint() { # the checkpoint of the very weights that then fail is not a good one
    pixelrnn train tiny.yaml -o after --set train.steps=12 && explodes after --resume --set train.checkpoint_every=1 \
        --set train.evaluate_every=0 && names_good_checkpoint
}
check "a checkpoint of weights whose loss is not finite is not called good" explodes_after_checkpoint

explodes_in_evaluation() {
    pixelrnn train tiny.yaml -o tested --set train.steps=12 && explodes tested --resume --set train.evaluate_every=1 --set train.checkpoint_every=1 &&
        contains err 'step 13.*last good checkpoint: tested/checkpoints/000000012$' &&
        same "$(readlink tested/checkpoints/newest)" 000000012 && [ ! -e tested/checkpoints/000000013 ]
}
check "an evaluation that is not finite names the step and the last good checkpoint" explodes_in_evaluation

goes_on_after() {
    pixelrnn train tiny.yaml -o later --resume && checkpoints_open later
}
check "--resume with a sound rate goes on from there" goes_on_after

# ---- No room, no permission --------------------------------------------------------------------------------------------

# A model of images that are not quite so small.
noise 3000 | npy_write '3, 20, 50' >wide.npy
pixelrnn train tiny.yaml -o wide --set data.train=wide.npy --set data.test= --set train.steps=1 --set train.batch_size=1 --set train.samples=0 >wide.log || cat wide.log

# What an uninterrupted run of tiny.yaml ends in.
pixelrnn train tiny.yaml -o whole >whole.log || cat whole.log

ends_whole() {
    pixelrnn train tiny.yaml -o "$1" --resume && nothing_half_written "$1" && checkpoints_open "$1" &&
        cmp "$1/checkpoints/newest/model.safetensors" whole/checkpoints/newest/model.safetensors &&
        timeless "$1/metrics.jsonl" | diff - <(timeless whole/metrics.jsonl)
}

# A limit on the size of files stands for a full disk where none can be mounted; a checkpoint's model is larger than it.
file_limit() {
    pixelrnn train tiny.yaml -o limited --set train.steps=12 || return
    (trap '' XFSZ && ulimit -f 2 && fails 1 'limited/.*File too large' train tiny.yaml -o limited --resume) &&
        checkpoints_open limited && same "$(readlink limited/checkpoints/newest)" 000000012 && ends_whole limited
}
check "a file that cannot grow: the earlier checkpoints open, --resume goes on" file_limit

output_limit() {
    (trap '' XFSZ && ulimit -f 1 && fails 1 'drawn.npy.*File too large' sample whole -n 200 -o drawn.npy) && same "$(ls drawn* 2>/dev/null)" ""
}
check "a file of samples that cannot grow leaves nothing" output_limit

# disk SIZE: a file system of that size in ./disk
disk() {
    mkdir -p disk && mount -t tmpfs -o size="$1" tmpfs disk
}

fills_disk() { # KIB
    disk "$1k" || return
    fails 1 'disk/run.*No space left on device' train tiny.yaml -o disk/run && checkpoints_open disk/run &&
        mount -o remount,size=4m disk && ends_whole disk/run
    local status=$?
    umount disk
    return $status
}

read_only_disk() {
    disk 1m && pixelrnn train tiny.yaml -o disk/run --set train.steps=6 && mount -o remount,ro disk || return
    fails 1 'disk/run.*Read-only' train tiny.yaml -o disk/run --resume && fails 1 'disk/new.*Read-only' train tiny.yaml -o disk/new &&
        fails 1 'disk/.*Read-only' sample disk/run -n 1 -o disk/drawn.png && checkpoints_open disk/run
    local status=$?
    umount disk
    return $status
}

full_disk() {
    disk 4k && head -c 9000 /dev/zero >disk/filler 2>/dev/null
    fails 1 'disk/.*No space left' "${@}" && same "$(ls disk)" filler
    local status=$?
    umount disk
    return $status
}

if mkdir -p disk && mount -t tmpfs -o size=4k tmpfs disk 2>/dev/null && umount disk; then
    for kib in 8 20 44 72 100 140; do
        check "disk full at $kib KiB: what was whole opens; with room again --resume ends as if nothing had been" fills_disk $kib
    done
    check "a file system that is read-only: the run in it still opens" read_only_disk
    check "disk full: sample" full_disk sample whole -n 40 -o disk/drawn.npy
    check "disk full: sample, a picture" full_disk sample whole -n 200 -o disk/drawn.png
    check "disk full: complete" full_disk complete whole --data images.npy --keep top:0.5 --images 30 -n 20 -o disk/drawn.npy
    check "disk full: pack" full_disk pack images.npy -o disk/packed.npy
    check "disk full: eval --per-image" full_disk eval whole --data images.npy --per-image disk/nats.npy
else
    skip "disk full, read-only file system" "mounting needs root"
fi

# as_nobody WORD...: the program without the right to write here
as_nobody() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid 65534 --regid 65534 --clear-groups "$program" "$@"
    else
        "$program" "$@"
    fi
}

folder_refuses() {
    mkdir -p locked && chmod 755 . && chmod 555 locked
    as_nobody train tiny.yaml -o locked/run >out 2>err
    same $? 1 && one_message && contains err 'locked/run: Permission denied' && same "$(ls locked)" ""
}
if [ "$(id -u)" -ne 0 ] || { chmod 755 . && setpriv --reuid 65534 --regid 65534 --clear-groups "$program" keys; } >/dev/null 2>&1; then
    check "a folder without the right to write" folder_refuses
else
    skip "a folder without the right to write" "root may write everywhere, and nobody cannot run the program"
fi

unreadable_file() {
    cp images.npy unreadable.npy && chmod 000 unreadable.npy
    as_nobody eval whole --data unreadable.npy >out 2>err
    same $? 1 && one_message && contains err 'unreadable.npy: cannot be opened: Permission denied'
}
if [ "$(id -u)" -ne 0 ] || { chmod 755 . && setpriv --reuid 65534 --regid 65534 --clear-groups "$program" keys; } >/dev/null 2>&1; then
    check "a file without the right to read" unreadable_file
else
    skip "a file without the right to read" "root may read everything, and nobody cannot run the program"
fi

no_folder() {
    touch file
    fails 1 'file.*Not a directory' train tiny.yaml -o file/run && fails 1 'file' train tiny.yaml -o file
}
check "a run folder under, or in place of, a file" no_folder

# ---- No memory ---------------------------------------------------------------------------------------------------------

# A plan above what the machine has is refused before any of it is asked for, wherever the system would hand it out.
no_memory() { # PATTERN WORD...
    fails 1 "^pixelrnn: out of memory: $1" "${@:2}" && same "$(ls -d new* drawn.npy* packed.npy* 2>/dev/null)" ""
}
check "train: a batch above all memory" no_memory '1000000 images need [0-9.]+ GiB .*; lower train.batch_size, ' \
    train tiny.yaml -o new --set train.batch_size=1000000 --set model.hidden=400 --set data.test=
check "train: weights above all memory" no_memory 'the model needs [0-9.]+ GiB .*; lower model.hidden' \
    train tiny.yaml -o new --set model.layers=1000 --set model.hidden=16384
check "eval: a batch above all memory" no_memory '1000000 images need [0-9.]+ GiB .*; lower eval.batch_size, ' \
    eval wide --data wide.npy --set eval.batch_size=1000000

# A limit on the address space stands for a machine whose memory others have taken.
limited_memory() { # KIB PATTERN WORD...
    (ulimit -v "$1" && no_memory "${@:2}")
}
packs_without_memory() {
    (ulimit -v 400000 && fails 1 '^pixelrnn: vast.npy: out of memory, cannot allocate [0-9]+ bytes$' pack vast.npy -o packed.npy) &&
        same "$(ls -d packed.npy* 2>/dev/null)" ""
}
if (ulimit -v 400000 && pixelrnn keys) >/dev/null 2>&1; then
    check "no memory: train, activations" limited_memory 400000 '2000 images need [0-9.]+ GiB .*; lower train.batch_size, ' \
        train tiny.yaml -o new --set train.batch_size=2000 --set model.hidden=200 --set data.test=
    check "no memory: train, weights" limited_memory 400000 'the model needs [0-9.]+ GiB .*the address space limit .ulimit -v. leaves; lower model.hidden' \
        train tiny.yaml -o new --set model.layers=20 --set model.hidden=1000
    check "no memory: train, moments" limited_memory 400000 'the optimiser needs [0-9.]+ GiB beside .* leaves; lower model.hidden' \
        train tiny.yaml -o new --set train.batch_size=1 --set model.layers=1 --set model.hidden=600 --set train.optimizer=adam --set train.ema_decay=0.9
    check "no memory: eval" limited_memory 400000 '900000 images need [0-9.]+ GiB .*; lower eval.batch_size, ' \
        eval wide --data wide.npy --set eval.batch_size=900000
    check "no memory: sample" limited_memory 400000 'decoding 900000 images at a time needs [0-9.]+ GiB .*; lower eval.batch_size' \
        sample wide -n 9000000 -o drawn.npy --set eval.batch_size=900000
    npy_write '1, 32768, 32768' </dev/null >vast.npy && truncate -s $((128 + (1 << 30))) vast.npy
    check "no memory: pack" packs_without_memory
else
    skip "no memory" "the program does not start in little address space (a sanitizer's takes terabytes)"
fi

# ---- Input that goes away, output that is refused ----------------------------------------------------------------------

shrinking_data() {
    cp images.npy shrinking.npy
    "$program" train tiny.yaml -o shrunk --set data.train=shrinking.npy --set data.test= --set train.samples=0 --set train.steps=900000 \
        --set train.checkpoint_every=0 --set train.log_every=1 >out 2>err &
    local tries
    for ((tries = 0; tries < 2000; tries++)); do
        [ -s shrunk/metrics.jsonl ] && break
        sleep 0.005
    done
    head -c 200 images.npy >half && truncate -s 200 shrinking.npy
    for ((tries = 0; tries < 2000; tries++)); do
        kill -0 $! 2>/dev/null || break
        sleep 0.005
    done
    kill $! 2>/dev/null
    wait $!
    same $? 1 && one_message && contains err 'shrinking.npy: shrank while it was read: found 200 bytes, expected 1028$'
}
check "a data file that shrinks during training" shrinking_data

unreadable_config() {
    fails 1 'disk: ' train disk && : >empty.yaml && fails 2 'data.train' train empty.yaml && head -c 100 /dev/zero >zeros.yaml &&
        fails 2 'zeros.yaml' train zeros.yaml
}
check "a config that is a folder, empty, or not a text" unreadable_config

# no_output WORD...: standard output takes nothing
no_output() {
    "$program" "$@" >/dev/full 2>err
    same $? 1 && one_message && contains err 'standard output'
}
check "standard output is full: eval" no_output eval whole --data images.npy
check "standard output is full: eval --json" no_output eval whole --data images.npy --json
check "standard output is full: info" no_output info whole
check "standard output is full: sample" no_output sample whole -n 1 -o drawn.png
check "standard output is full: train" no_output train tiny.yaml -o whole --resume
check "standard output is full: keys" no_output keys
check "standard output is full: --help" no_output --help

closed_output() {
    "$program" eval whole --data images.npy >&- 2>err
    same $? 1 && one_message
}
check "standard output is closed: eval" closed_output

deaf_errors() { # what is lost is the progress, not the result
    "$program" eval whole --data images.npy >out 2>/dev/full && contains out '^NLL '
}
check "standard error is full: eval still answers" deaf_errors

closed_errors() { # or the progress would land in the first file that is opened
    local words=(--set data.train=builtin:digits --set data.test=builtin:digits --set data.size=8 --set train.evaluate_images=9)
    pixelrnn train tiny.yaml -o open "${words[@]}" && (exec 2>&- && "$program" train tiny.yaml -o closed "${words[@]}" >out) &&
        timeless closed/metrics.jsonl | diff - <(timeless open/metrics.jsonl)
}
check "standard error is closed: train writes no progress into its files" closed_errors

device_stays() {
    pixelrnn eval whole --data images.npy --per-image /dev/null && [ -c /dev/null ]
}
check "a device is written where it stands" device_stays

# ---- The bar -----------------------------------------------------------------------------------------------------------

# on_terminal COLUMNS WORD...: what the program writes to a terminal that wide
on_terminal() {
    local columns=$1
    shift
    script -qec "stty cols $columns rows 20 && $(printf '%q ' "$program" "$@")" /dev/null </dev/null
}

# Every drawing of the bar begins with a return and the clearing of the line; none may be as wide as the terminal.
# Characters are counted by their first bytes.
bar_fits() {
    local columns=$1
    shift
    on_terminal "$columns" "$@" >terminal || { cat terminal && return 1; }
    tr -d '\n' <terminal | LC_ALL=C sed 's/\r\x1b\[K/\n&/g' | LC_ALL=C sed -nE 's/^\r\x1b\[K//p' | LC_ALL=C sed -E 's/\r.*//; s/[\x80-\xbf]//g' |
        LC_ALL=C awk -v columns="$columns" '/%/ { bars++ } /%/ && length($0) >= columns + 0 { print length($0) ": " $0; wide = 1 }
            END { print bars " bars"; exit wide || !bars }'
}

if script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    for columns in 20 40 80; do
        check "the bar of train fits $columns columns" bar_fits $columns train tiny.yaml -o bar$columns --set train.steps=300
        LC_ALL=C.UTF-8 check "the bar of sample fits $columns columns, in UTF-8" bar_fits $columns sample whole -n 100 -o drawn.png
    done
else
    skip "the bar fits the terminal" "no script(1)"
fi

plain_lines() { # elsewhere no escapes
    pixelrnn train tiny.yaml -o plain && ! grep -q $'\x1b\|\r' err && contains err '^step 30: test '
}
check "without a terminal: plain lines" plain_lines

finish

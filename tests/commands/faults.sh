#!/bin/bash
# Failures at run time: non-finite values, full disks, missing permissions, too little memory, damaged input. Each ends
# with status 1, one message, and no partial file that could be taken for a complete one.
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

# Every checkpoint folder of a run opens, and so does the run folder if it has a checkpoint.
checkpoints_open() {
    local folder found=0
    for folder in "$1"/checkpoints/[0-9]*[0-9]; do
        [ -d "$folder" ] || continue
        found=1
        "$program" eval "$folder" --data images.npy >opened 2>&1 || { echo "$folder:" && cat opened && return 1; }
    done
    [ $found -eq 0 ] || "$program" eval "$1" --data images.npy >opened 2>&1 || { cat opened && return 1; }
}

# ---- Values that are not finite --------------------------------------------------------------------------------------

# diverges RUN [ARGUMENT...]: trains with a learning rate that makes the loss infinite
diverges() {
    fails 1 'step [0-9]+.* not finite' train tiny.yaml -o "$1" --set train.clip_norm=0 --set train.learning_rate=1e30 "${@:2}"
}

# The checkpoint that the message names as good is a complete model with finite results.
names_good_checkpoint() {
    local named
    named=$(sed -n 's/.*last good checkpoint: //p' err)
    [ "$named" = none ] && return
    [ -d "$named" ] || { echo "found \"$named\", expected a checkpoint's folder"; return 1; }
    pixelrnn eval "$named" --data images.npy
}

diverges_at_once() {
    diverges at_once && contains err 'step 2: .*last good checkpoint: none$' && no_partial_files at_once
}
check "a loss that is not finite names the step, with no checkpoint yet" diverges_at_once

diverges_later() { # 12 good steps, then a learning rate that is too large
    pixelrnn train tiny.yaml -o later --set train.steps=12 && diverges later --resume &&
        contains err 'step 14: .*last good checkpoint: later/checkpoints/000000012$' && names_good_checkpoint &&
        checkpoints_open later && no_partial_files later
}
check "a loss that is not finite names the step and the last good checkpoint" diverges_later

diverges_after_checkpoint() { # a checkpoint of the weights that fail in the next step is not good
    pixelrnn train tiny.yaml -o after --set train.steps=12 && diverges after --resume --set train.checkpoint_every=1 \
        --set train.evaluate_every=0 && names_good_checkpoint
}
check "a checkpoint of weights whose loss is not finite is not called good" diverges_after_checkpoint

diverges_in_evaluation() {
    pixelrnn train tiny.yaml -o tested --set train.steps=12 && diverges tested --resume --set train.evaluate_every=1 --set train.checkpoint_every=1 &&
        contains err 'step 13.*last good checkpoint: tested/checkpoints/000000012$' &&
        same "$(readlink tested/checkpoints/newest)" 000000012 && [ ! -e tested/checkpoints/000000013 ]
}
check "an evaluation that is not finite names the step and the last good checkpoint" diverges_in_evaluation

resumes_after_divergence() {
    pixelrnn train tiny.yaml -o later --resume && checkpoints_open later
}
check "--resume with a smaller learning rate continues from there" resumes_after_divergence

# ---- Full disks and missing permissions ------------------------------------------------------------------------------

# A model of larger images.
noise 3000 | npy_write '3, 20, 50' >wide.npy
pixelrnn train tiny.yaml -o wide --set data.train=wide.npy --set data.test= --set train.steps=1 --set train.batch_size=1 --set train.samples=0 >wide.log || cat wide.log

# An uninterrupted run of tiny.yaml.
pixelrnn train tiny.yaml -o whole >whole.log || cat whole.log

resumes_to_the_end() {
    pixelrnn train tiny.yaml -o "$1" --resume && no_partial_files "$1" && checkpoints_open "$1" &&
        cmp "$1/checkpoints/newest/model.safetensors" whole/checkpoints/newest/model.safetensors &&
        timeless "$1/metrics.jsonl" | diff - <(timeless whole/metrics.jsonl)
}

# A limit on the size of files replaces a full disk where none can be mounted. A checkpoint's model is larger than the
# limit.
file_limit() {
    pixelrnn train tiny.yaml -o limited --set train.steps=12 || return
    (trap '' XFSZ && ulimit -f 2 && fails 1 'limited/.*File too large' train tiny.yaml -o limited --resume) &&
        checkpoints_open limited && same "$(readlink limited/checkpoints/newest)" 000000012 && resumes_to_the_end limited
}
check "file size limit: the earlier checkpoints open, --resume continues" file_limit

output_limit() {
    (trap '' XFSZ && ulimit -f 1 && fails 1 'samples.npy.*File too large' sample whole -n 200 -o samples.npy) && same "$(ls samples.npy* 2>/dev/null)" ""
}
check "file size limit: sample leaves no file" output_limit

# disk SIZE: mounts a file system of that size at ./disk
disk() {
    mkdir -p disk && mount -t tmpfs -o size="$1" tmpfs disk
}

fills_disk() { # KIB
    disk "$1k" || return
    fails 1 'disk/run.*No space left on device' train tiny.yaml -o disk/run && checkpoints_open disk/run &&
        mount -o remount,size=4m disk && resumes_to_the_end disk/run
    local status=$?
    umount disk
    return $status
}

read_only_disk() {
    disk 1m && pixelrnn train tiny.yaml -o disk/run --set train.steps=6 && mount -o remount,ro disk || return
    fails 1 'disk/run.*Read-only' train tiny.yaml -o disk/run --resume && fails 1 'disk/new.*Read-only' train tiny.yaml -o disk/new &&
        fails 1 'disk/.*Read-only' sample disk/run -n 1 -o disk/samples.png && checkpoints_open disk/run
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
        check "disk full at $kib KiB: checkpoints open; with more space, --resume produces the same result" fills_disk $kib
    done
    check "read-only file system: the run in it opens" read_only_disk
    check "disk full: sample" full_disk sample whole -n 40 -o disk/samples.npy
    check "disk full: sample, an image" full_disk sample whole -n 200 -o disk/samples.png
    check "disk full: complete" full_disk complete whole --data images.npy --keep top:0.5 -n 30 --completions 20 -o disk/samples.npy
    check "disk full: pack" full_disk pack images.npy -o disk/packed.npy
    check "disk full: eval --per-image" full_disk eval whole --data images.npy --per-image disk/nats.npy
else
    skip "disk full, read-only file system" "mounting needs root"
fi

# as_nobody ARGUMENT...: runs the program as a user without write permission here
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
    check "a folder without write permission" folder_refuses
else
    skip "a folder without write permission" "root can write everywhere, and user nobody cannot run the program"
fi

unreadable_file() {
    cp images.npy unreadable.npy && chmod 000 unreadable.npy
    as_nobody eval whole --data unreadable.npy >out 2>err
    same $? 1 && one_message && contains err 'unreadable.npy: cannot be opened: Permission denied'
}
if [ "$(id -u)" -ne 0 ] || { chmod 755 . && setpriv --reuid 65534 --regid 65534 --clear-groups "$program" keys; } >/dev/null 2>&1; then
    check "a file without read permission" unreadable_file
else
    skip "a file without read permission" "root can read everything, and user nobody cannot run the program"
fi

no_folder() {
    touch file
    fails 1 'file.*Not a directory' train tiny.yaml -o file/run && fails 1 'file' train tiny.yaml -o file
}
check "a run folder under, or in place of, a file" no_folder

# ---- Out of memory ---------------------------------------------------------------------------------------------------

# no_memory PATTERN ARGUMENT...: a plan that exceeds the memory is refused before anything is allocated
no_memory() {
    fails 1 "^pixelrnn: out of memory: $1" "${@:2}" && same "$(ls -d new* samples.npy* packed.npy* 2>/dev/null)" ""
}
check "train: a batch that exceeds the memory" no_memory '1000000 images need [0-9.]+ GiB .*; lower train.batch_size, ' \
    train tiny.yaml -o new --set train.batch_size=1000000 --set model.hidden=400 --set data.test=
check "train: weights that exceed the memory" no_memory 'the model needs [0-9.]+ GiB .*; lower model.hidden' \
    train tiny.yaml -o new --set model.layers=1000 --set model.hidden=16384
check "eval: a batch that exceeds the memory" no_memory '1000000 images need [0-9.]+ GiB .*; lower eval.batch_size, ' \
    eval wide --data wide.npy --set eval.batch_size=1000000

# limited_memory KIB PATTERN ARGUMENT...: the same under a limit on the address space
limited_memory() {
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
    check "no memory: train, moments" limited_memory 440000 'the optimiser needs [0-9.]+ GiB beside .* leaves; lower model.hidden' \
        train tiny.yaml -o new --set train.batch_size=1 --set model.layers=1 --set model.hidden=600 --set train.optimizer=adam --set train.ema_decay=0.9
    check "no memory: eval" limited_memory 400000 '900000 images need [0-9.]+ GiB .*; lower eval.batch_size, ' \
        eval wide --data wide.npy --set eval.batch_size=900000
    check "no memory: sample" limited_memory 400000 'decoding 900000 images at a time needs [0-9.]+ GiB .*; lower eval.batch_size' \
        sample wide -n 9000000 -o samples.npy --set eval.batch_size=900000
    npy_write '1, 32768, 32768' </dev/null >vast.npy && truncate -s $((128 + (1 << 30))) vast.npy
    check "no memory: pack" packs_without_memory
else
    skip "no memory" "the program does not start with a limited address space (a sanitizer reserves terabytes)"
fi

# ---- Input that is truncated, output that fails ----------------------------------------------------------------------

shrinking_data() {
    cp images.npy shrinking.npy
    "$program" train tiny.yaml -o shrunk --set data.train=shrinking.npy --set data.test= --set train.samples=0 --set train.steps=900000 \
        --set train.checkpoint_every=0 --set train.log_every=1 >out 2>err &
    job=$!
    wait_until [ -s shrunk/metrics.jsonl ] && truncate -s 200 shrinking.npy
    wait_until false # until the process has ended
    kill "$job" 2>/dev/null
    wait "$job"
    same $? 1 && one_message && contains err 'shrinking.npy: shrank while it was read: found 200 bytes, expected 1028$'
}
check "a data file that shrinks during training" shrinking_data

unreadable_config() {
    fails 1 'disk: ' train disk && : >empty.yaml && fails 2 'data.train' train empty.yaml && head -c 100 /dev/zero >zeros.yaml &&
        fails 2 'zeros.yaml' train zeros.yaml
}
check "a config that is a folder, empty, or not text" unreadable_config

# no_output ARGUMENT...: standard output is a full device
no_output() {
    "$program" "$@" >/dev/full 2>err
    same $? 1 && one_message && contains err 'standard output'
}
check "standard output is full: eval" no_output eval whole --data images.npy
check "standard output is full: eval --json" no_output eval whole --data images.npy --json
check "standard output is full: info" no_output info whole
check "standard output is full: sample" no_output sample whole -n 1 -o samples.png
check "standard output is full: train" no_output train tiny.yaml -o whole --resume
check "standard output is full: keys" no_output keys
check "standard output is full: --help" no_output --help

closed_output() {
    "$program" eval whole --data images.npy >&- 2>err
    same $? 1 && one_message
}
check "standard output is closed: eval" closed_output

full_errors() { # progress is lost, the result is not
    "$program" eval whole --data images.npy >out 2>/dev/full && contains out '^NLL '
}
check "standard error is full: eval prints its result" full_errors

closed_errors() { # progress must not go to the first file that is opened, which gets descriptor 2
    local options=(--set data.train=builtin:digits --set data.test=builtin:digits --set data.size=8 --set train.evaluate_images=9)
    pixelrnn train tiny.yaml -o open "${options[@]}" && (exec 2>&- && "$program" train tiny.yaml -o closed "${options[@]}" >out) &&
        timeless closed/metrics.jsonl | diff - <(timeless open/metrics.jsonl)
}
check "standard error is closed: train writes no progress into its files" closed_errors

writes_to_device() {
    pixelrnn eval whole --data images.npy --per-image /dev/null && [ -c /dev/null ]
}
check "an output that is a device is not replaced by a file" writes_to_device

# ---- The progress bar ------------------------------------------------------------------------------------------------

# on_terminal COLUMNS ARGUMENT...: prints the program's output to a terminal of that width
on_terminal() {
    local columns=$1
    shift
    script -qec "stty cols $columns rows 20 && $(printf '%q ' "$program" "$@")" /dev/null </dev/null
}

# Each update of the bar starts with a carriage return and an erase-line sequence, and must be narrower than the
# terminal. UTF-8 characters are counted by their first bytes.
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
        check "the progress bar of train fits $columns columns" bar_fits $columns train tiny.yaml -o bar$columns --set train.steps=300
        LC_ALL=C.UTF-8 check "the progress bar of sample fits $columns columns, in UTF-8" bar_fits $columns sample whole -n 100 -o samples.png
    done
else
    skip "the progress bar fits the terminal" "no script(1)"
fi

plain_lines() { # no escape sequences
    pixelrnn train tiny.yaml -o plain && ! grep -q $'\x1b\|\r' err && contains err '^step 30: test '
}
check "without a terminal: plain lines" plain_lines

finish

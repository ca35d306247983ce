#!/bin/bash
# pixelrnn pack that is killed, fills the disk, or whose source is truncated, and labels that are packed. The older file
# stays or is replaced completely, always with its own checksum, and the next pack removes what the last one left.
#
# PX_TEST_LONG=1: a hundred kills. PX_TEST_SEED: seed of the moments of the kills.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

kills=6
[ -n "${PX_TEST_LONG:-}" ] && kills=100
RANDOM=${PX_TEST_SEED:-$$}
echo "# PX_TEST_SEED=${PX_TEST_SEED:-$$}, $kills kills"

# Two sets of 3 MB: one is packed before, the other is being packed when the pack is interrupted.
for set in old new; do
    { npy_write '3000, 10, 100' </dev/null && head -c 3000000 /dev/zero | tr '\0' ${set:0:1}; } >$set.set.npy
    "$program" pack $set.set.npy -o $set.npy >$set.out || exit 1
done

# The CRC-32 of a file, taken from the end of its gzip.
crc() {
    gzip -1c "$1" | tail -c 8 | od -An -tx4 -N4 --endian=little | tr -d ' ' | tr a-f A-F
}

packs_right() {
    cmp <(npy_data "$1.set.npy") <(npy_data "$1.npy") && same "$(cat "$1.npy.sfv")" "$1.npy $(crc "$1.npy")"
}
check "the packed file has the data and their CRC-32" packs_right old
check "the same for another set" packs_right new

# whole FOLDER: packed.npy is the old or the new file, and a checksum beside it matches it
whole() {
    local is=new
    cmp -s "$1/packed.npy" old.npy && is=old
    cmp "$1/packed.npy" $is.npy || return
    [ ! -e "$1/packed.npy.sfv" ] || same "$(cat "$1/packed.npy.sfv")" "packed.npy $(cut -d' ' -f2 $is.npy.sfv)"
}

# packs FOLDER: packs, and checks that the folder has the file, its checksum, and nothing else
packs() {
    pixelrnn pack new.set.npy -o "$1/packed.npy" && cmp "$1/packed.npy" new.npy && whole "$1" &&
        same "$(ls "$1")" "$(printf 'packed.npy\npacked.npy.sfv')"
}

# with_old FOLDER: makes a folder with the packed old set
with_old() {
    rm -rf "$1" && mkdir -p "$1" && pixelrnn pack old.set.npy -o "$1/packed.npy" && whole "$1"
}

# ---- Killed ----------------------------------------------------------------------------------------------------------

begun=$EPOCHREALTIME
mkdir whole
check "a pack of 3 MB, with nothing there" packs whole
seconds=$(awk "BEGIN { print $EPOCHREALTIME - $begun }")

# All packs write to the same folder, so that leftovers of killed ones would accumulate.
killed() {
    local kill
    with_old killed || return
    for ((kill = 0; kill < kills; kill++)); do
        "$program" pack new.set.npy -o killed/packed.npy >out 2>err &
        sleep "$(awk "BEGIN { print $seconds * $RANDOM / 32768 }")"
        kill -KILL $! 2>/dev/null
        wait $! 2>/dev/null
        whole killed || return
        [ "$(find killed -name '*.partial' | wc -l)" -le 2 ] || { ls killed && return 1; }
        cp old.npy killed/packed.npy && sed 's/^old/packed/' old.npy.sfv >killed/packed.npy.sfv
    done
    packs killed
}
check "kill -9 at $kills random moments" killed

# A kill between any two system calls that change names leaves the old or the new file.
killed_at() { # CALL N
    with_old placed || return
    { strace -f -qq -o strace.log -e trace="$1" -e inject="$1":signal=KILL:when="$2" "$program" pack new.set.npy -o placed/packed.npy >out 2>err; } 2>/dev/null
    same $? 137 && whole placed && packs placed
}
can_trace() {
    command -v strace >/dev/null && ! ldd "$program" | grep -q 'libasan\|libtsan' || return
    { strace -f -qq -o strace.log -e trace=openat -e inject=openat:signal=KILL:when=1 cat /dev/null; } 2>/dev/null
    [ $? -eq 137 ]
}
if can_trace; then
    check "kill -9 as the old checksum goes" killed_at unlink 1
    check "kill -9 as the file takes its name" killed_at rename 1
    check "kill -9 as the checksum takes its name" killed_at rename 2
else
    skip "kill -9 as names change" "no strace, or a program that cannot be traced"
fi

# ---- Labels ----------------------------------------------------------------------------------------------------------

# Two labelled sets of 20 images, whose labels are all 3 or all 7.
for label in 3 7; do
    noise 400 $label | npy_write '20, 4, 5' >set$label.npy
    head -c 20 /dev/zero | tr '\0' "\\$label" | npy_write '20,' >set$label.labels.npy
done

# labels_of FILE: its labels, one a word
labels_of() {
    npy_data "$1" | od -An -v -tu2 -w2 | tr -d ' ' | sort -u
}

# one_set FOLDER: packed.npy has one of the two sets, and the labels beside it, if there are any, are its own
one_set() {
    local label=3
    cmp -s <(npy_data set7.npy) <(npy_data "$1/packed.npy") && label=7
    cmp <(npy_data set$label.npy) <(npy_data "$1/packed.npy") || return
    [ ! -e "$1/packed.labels.npy" ] || same "$(labels_of "$1/packed.labels.npy")" $label
}

packs_labels() { # FOLDER LABEL
    mkdir -p "$1" && pixelrnn pack "set$2.npy" -o "$1/packed.npy" && contains out "^labels in $1/packed.labels.npy\$" &&
        one_set "$1" && same "$(labels_of "$1/packed.labels.npy")" "$2" && same "$(npy_shape "$1/packed.labels.npy")" '(20,)' &&
        same "$(cat "$1/packed.npy.sfv")" "$(printf 'packed.npy %s\npacked.labels.npy %s' "$(crc "$1/packed.npy")" "$(crc "$1/packed.labels.npy")")" &&
        same "$(ls "$1")" "$(printf 'packed.labels.npy\npacked.npy\npacked.npy.sfv')"
}
check "labels are packed, with their CRC-32" packs_labels labels 3
check "the same over older ones" packs_labels labels 7

labels_killed_at() { # CALL N
    packs_labels between 3 || return
    { strace -f -qq -o strace.log -e trace="$1" -e inject="$1":signal=KILL:when="$2" "$program" pack set7.npy -o between/packed.npy >out 2>err; } 2>/dev/null
    same $? 137 && one_set between && packs_labels between 7
}
if can_trace; then
    for at in 'unlink 1' 'unlink 2' 'rename 1' 'rename 2' 'rename 3'; do
        # shellcheck disable=SC2086 # two words
        check "kill -9 at $at: never the labels of other images" labels_killed_at $at
    done
else
    skip "kill -9 as names change, with labels" "no strace, or a program that cannot be traced"
fi

keeps_labels_apart() {
    noise 400 9 | npy_write '20, 4, 5' >unlabelled.npy && packs_labels apart 3 &&
        fails 1 '^pixelrnn: apart/packed.labels.npy: found labels, expected none beside images of unlabelled.npy, which have none: remove it$' \
            pack unlabelled.npy -o apart/packed.npy && one_set apart && rm apart/packed.labels.npy && pixelrnn pack unlabelled.npy -o apart/packed.npy
}
check "images without labels are not packed beside older labels" keeps_labels_apart

leaves_out_wrong_labels() {
    cp unlabelled.npy wrong.npy && head -c 19 /dev/zero | npy_write '19,' >wrong.labels.npy && pixelrnn pack wrong.npy -o out.npy &&
        contains err '^left out labels: wrong.labels.npy: found 19 labels, expected 20, one for each image of wrong.npy$' && [ ! -e out.labels.npy ]
}
check "labels that are wrong are left out, and a line says so" leaves_out_wrong_labels

# ---- No room ---------------------------------------------------------------------------------------------------------

# untouched FOLDER: it has the old file and its checksum, and nothing else
untouched() {
    cmp "$1/packed.npy" old.npy && whole "$1" && same "$(ls "$1")" "$(printf 'packed.npy\npacked.npy.sfv')"
}

file_limit() { # KIB: stands for a full disk where none can be mounted
    with_old limited && (trap '' XFSZ && ulimit -f "$1" && fails 1 '^pixelrnn: limited/packed.npy: File too large$' pack new.set.npy -o limited/packed.npy) &&
        untouched limited && packs limited
}
for kib in 1 1000 2929; do
    check "a file that cannot grow above $kib KiB: the old one stays" file_limit $kib
done

disk_full() { # KIB: room for the old pack and its lock, and so much of the new one
    mkdir -p disk && mount -t tmpfs -o size="$((2940 + $1))k" tmpfs disk || return
    pixelrnn pack old.set.npy -o disk/packed.npy && fails 1 '^pixelrnn: disk/packed.npy(.sfv)?: No space left on device$' pack new.set.npy -o disk/packed.npy &&
        untouched disk && mount -o remount,size=32m disk && packs disk
    local status=$?
    umount disk
    return $status
}
if mkdir -p disk && mount -t tmpfs -o size=4k tmpfs disk 2>/dev/null && umount disk; then
    for kib in 0 4 1000 2928 2932; do
        check "disk full after $kib KiB: the old pack stays" disk_full $kib
    done
else
    skip "disk full" "mounting needs root"
fi

# ---- A source that is truncated --------------------------------------------------------------------------------------

# cut_while COMMAND...: runs it on a sparse set of 400 MB, which is truncated while it is read
cut_while() {
    local tries ready=$1
    shift
    npy_write '400000, 10, 100' </dev/null >shrinking.npy && truncate -s $((128 + 400000000)) shrinking.npy
    "$program" "$@" >out 2>err &
    for ((tries = 0; tries < 2000; tries++)); do
        $ready $! && break
        sleep 0.005
    done
    truncate -s 5000 shrinking.npy
    wait $!
    same $? 1 && one_message && contains err '^pixelrnn: shrinking.npy: shrank while it was read: found 5000 bytes, expected 400000128$'
}
writes() { [ -s cut/packed.npy.partial ]; }
reads() { [ -e "/proc/$1/fd" ] && readlink "/proc/$1/fd/"* | grep -q shrinking.npy && [ "$(awk '/^rchar/ { print $2 }' "/proc/$1/io")" -gt 1000000 ]; }

pack_cut() {
    with_old cut && cut_while writes pack shrinking.npy -o cut/packed.npy && untouched cut
}
check "pack: a truncated source gives one message, and the old file stays" pack_cut

tiny() {
    printf '%s\n' 'device: cpu' 'model: {kind: pixelcnn, layers: 1, hidden: 2, head: 2}' 'data: {train: few.npy, test: few.npy, levels: 2}' \
        'train: {steps: 1, batch_size: 8, samples: 1}' >tiny.yaml
    noise 2000 | npy_write '2, 10, 100' >few.npy && pixelrnn train tiny.yaml -o tiny
}
eval_cut() {
    tiny && cut_while reads eval tiny --data shrinking.npy --per-image nats.npy && same "$(ls nats.npy* 2>/dev/null)" ""
}
check "eval: truncated data give one message" eval_cut

finish

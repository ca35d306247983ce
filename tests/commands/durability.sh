#!/bin/bash
# Output files survive a loss of power. By the order of system calls: a file is synced before it is renamed, and the
# folder is synced after the rename, before the replaced files are removed and before the program exits.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

if ! command -v strace >/dev/null || ldd "$program" | grep -q 'libasan\|libtsan' || ! strace -qq -o strace.log true 2>/dev/null; then
    skip "durability" "no strace, or a program that cannot be traced"
    finish
    exit
fi

cat >order.awk <<'END'
# Reads a log of strace -y. A file is dirty from a write to the next sync, a folder from a rename to the next sync.
function of_descriptor(line) { return match(line, /<[^>]*>/) ? substr(line, RSTART + 1, RLENGTH - 2) : "" }
function folder_of(path) { sub(/\/[^\/]*$/, "", path); return path }
function fault(text) { print text ": " $0; faults++ }
/ = -1 / { next }
/^[^(]*(write|pwrite64|writev)\(/ {
    file = of_descriptor($0)
    if (index(file, folder) == 1) dirty[file] = 1
}
/^[^(]*(fsync|fdatasync)\(/ { file = of_descriptor($0); delete dirty[file]; delete named[file]; synced[file]++ }
/^[^(]*rename(at2?)?\(/ {
    split($0, quoted, "\""); from = quoted[2]; to = quoted[4]
    for (file in dirty) if (file == from || index(file, from "/") == 1) fault("renamed before it was synced")
    for (name in named) if (name == from) fault("renamed before its folder was synced")
    named[folder_of(to)] = to; renames++
}
/^[^(]*unlink(at)?\(.*journal"/ { for (name in named) fault("the journal was removed before the folder of " named[name] " was synced") }
END {
    for (file in dirty) if (file !~ unsynced) { print "never synced: " file; faults++ }
    for (name in named) { print "never synced: the folder of " named[name]; faults++ }
    if (renames < min_renames) { print "found " renames + 0 " renames, expected at least " min_renames; faults++ }
    exit faults > 0
}
END

# durable RENAMES ARGUMENT...: the command succeeds, renames at least RENAMES files, and syncs its output, except
# metrics, events and the lock.
durable() {
    local min_renames=$1
    shift
    strace -f -y -qq -o strace.log -e trace=write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat \
        "$program" "$@" >out 2>err || { cat err && return 1; }
    awk -v folder="$work/kept" -v min_renames="$min_renames" -v unsynced='metrics[.]jsonl|tfevents|lock$' -f order.awk strace.log
}

mkdir kept
noise 1500 | npy_write '60, 5, 5' >images.npy
cat >tiny.yaml <<END
device: cpu
model: {kind: pixelcnn, layers: 1, hidden: 2, head: 2}
data: {train: images.npy, test: images.npy, levels: 2}
train: {steps: 6, batch_size: 4, evaluate_every: 2, checkpoint_every: 3, sample_every: 4, samples: 2, keep_checkpoints: 2}
END
check "train: checkpoints, links, samples, config" durable 20 train tiny.yaml -o "$work/kept/run"
check "train: after a resume" durable 5 train tiny.yaml -o "$work/kept/run" --resume --set train.steps=9
check "sample: an array" durable 1 sample kept/run -n 70 -o "$work/kept/drawn.npy"
check "sample: an image grid" durable 1 sample kept/run -n 4 -o "$work/kept/drawn.png"
check "complete" durable 1 complete kept/run --data images.npy --keep top:0.5 -n 2 --completions 1 -o "$work/kept/completed.npy"
check "pack" durable 2 pack images.npy -o "$work/kept/packed.npy"
replaces_its_checksum() { # or the new file would have the checksum of the old one
    durable 2 pack images.npy -o "$work/kept/packed.npy" && contains <(grep -E '(unlink|rename)' strace.log | head -n 1) 'unlink.*packed.npy.sfv"'
}
check "pack: the old checksum file is removed before the file is replaced" replaces_its_checksum
check "eval: NLL of each image" durable 1 eval kept/run --per-image "$work/kept/nats.npy"

# The check itself detects a missing sync
finds_a_missing_sync() {
    grep -v 'fsync([0-9]*<.*/kept>' strace.log >without.log
    ! awk -v folder="$work/kept" -v min_renames=1 -v unsynced=none -f order.awk without.log
}
check "a folder that is not synced is detected" finds_a_missing_sync

finish

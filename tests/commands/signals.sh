#!/bin/bash
# Signals: a command that receives SIGINT, SIGTERM, SIGHUP, SIGUSR1 or SIGUSR2 saves its work and ends soon, however
# often the signal comes. Locks: two processes never write to the same run folder or file.
#
# PX_TEST_LONG=1: fifty runs under timeout.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

tries=8
[ -n "${PX_TEST_LONG:-}" ] && tries=50

# config NAME TEST [LINE...]: a run that would take hours and evaluates the images in TEST
config() {
    cat >"$1.yaml" <<END
name: $1
device: $device
model:
  kind: row_lstm
  layers: 1
  hidden: 4
  head: 6
data:
  train: images.npy
  test: $2
  levels: 2
train:
  steps: 10000000
  batch_size: 7
  learning_rate: 0.01
END
    printf '  %s\n' "${@:3}" >>"$1.yaml"
}
noise 900 | npy_write '30, 6, 5' >images.npy
{ npy_write '400000, 6, 5' </dev/null && head -c 12000000 /dev/zero; } >many.npy
no_reports=('evaluate_every: 0' 'sample_every: 0' 'samples: 0')
config long "''" "${no_reports[@]}" 'checkpoint_every: 0'

# ---- Running and stopping --------------------------------------------------------------------------------------------

# background ARGUMENT...: starts the program in the background; $job is its process
background() {
    "${unignored[@]}" "${with_mocks[@]}" "$@" >out 2>err &
    job=$!
}

has() { grep -q -- "$2" "$1"; }       # FILE PATTERN
trains() { [ -e "$1/metrics.jsonl" ]; } # RUN
catches_signals() { # $job has installed the handler of SIGALRM, which it does last
    local mask
    [ "$(readlink "/proc/$job/exe")" = "$program" ] && mask=$(sed -n 's/^SigCgt:\s*//p' "/proc/$job/status") &&
        [ $((0x$mask >> 13 & 1)) -eq 1 ]
}

# ends STATUS SECONDS: the job ends with STATUS within so many seconds; otherwise it is killed
ends() {
    local begun=$EPOCHREALTIME status
    while kill -0 "$job" 2>/dev/null; do
        awk "BEGIN { exit !($EPOCHREALTIME - $begun > $2) }" && kill -KILL "$job" && echo "found running after $2 s"
        sleep 0.05
    done
    wait "$job" 2>/dev/null
    status=$?
    cat out err
    same $status "$1"
}

# saved RUN [DATA]: the program printed the step at which it stopped, and the checkpoint of that step opens
saved() {
    local step
    step=$(sed -nE "s|^saved at step ([0-9]+); go on with: pixelrnn .*\$|\\1|p" out)
    [ -n "$step" ] || { echo "out: found no line \"saved at step\"" && return 1; }
    same "$(readlink "$1/checkpoints/newest")" "$(printf %09d "$step")" && [ ! -e "$1/lock" ] &&
        { "$program" eval "$1/checkpoints/newest" --data "${2:-images.npy}" >opened 2>&1 || { cat opened && return 1; }; } &&
        no_partial_files "$1"
}

# start_training RUN [ARGUMENT...]: starts a run in the background and waits for its first metrics
start_training() {
    rm -rf "$1"
    background train long.yaml -o "$@"
    wait_until trains "$1"
}

# ---- Mocks -----------------------------------------------------------------------------------------------------------

# Replacements of libc functions: reads block while a file named hang exists, a sync takes the milliseconds that a file
# named slow contains, and locks are not supported while a file named unlocked exists.
cat >mock.c <<'END'
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>
ssize_t pread64(int file, void *to, size_t bytes, off_t offset) {
    while (access("hang", F_OK) == 0) usleep(10000);
    return syscall(SYS_pread64, file, to, bytes, offset);
}
ssize_t pread(int file, void *to, size_t bytes, off_t offset) {
    return pread64(file, to, bytes, offset);
}
int fsync(int file) {
    unsigned milliseconds = 0;
    FILE *slow = fopen("slow", "r");
    if (slow) {
        if (fscanf(slow, "%u", &milliseconds) == 1) usleep(1000 * milliseconds);
        fclose(slow);
    }
    return syscall(SYS_fsync, file);
}
int flock(int file, int operation) {
    if (access("unlocked", F_OK) != 0) return syscall(SYS_flock, file, operation);
    errno = ENOLCK;
    return -1;
}
END
mocks=
ldd "$program" | grep -q 'libasan\|libtsan' || { cc -shared -fPIC -o mock.so mock.c 2>cc.log && mocks=yes; }

with_mocks=("$program") # the program, with the mocks if they could be built
[ -z "$mocks" ] || with_mocks=(env LD_PRELOAD="$work/mock.so" "$program")

# check_mocked NAME COMMAND...
check_mocked() {
    [ -n "$mocks" ] && { check "$@" && return; }
    skip "$1" "no C compiler, or a program under a sanitizer"
}

# hang_in FOLDER: starts a training run in a new folder, then blocks its reads
hang_in() {
    mkdir "$1" && cd "$1" && cp ../long.yaml ../images.npy . || return
    background train long.yaml -o run --set train.checkpoint_every=1
    wait_until [ -e run/checkpoints/newest ] && : >hang && sleep 0.5
    local status=$?
    cd ..
    return $status
}

# This run gets SIGTERM now. The last test checks it, after its timeout of ten seconds.
[ -z "$mocks" ] || { hang_in hung && kill -TERM "$job" && hung=$job hung_since=$EPOCHREALTIME; } || cat hung/err

# ---- Training --------------------------------------------------------------------------------------------------------

# GNU timeout sends SIGTERM to the program, and at once again to its process group, which contains the program.
under_timeout() {
    local n status seconds=0.4
    echo 30 >slow
    for ((n = 0; n < tries; n++)); do
        rm -rf timed
        timeout --preserve-status $seconds "${unignored[@]}" "${with_mocks[@]}" train long.yaml -o timed --resume >out 2>err
        status=$?
        if ! has err '^run folder: ' && [ "${seconds%.*}" -lt 60 ]; then # the machine is too slow: the run had not started
            seconds=$(awk "BEGIN { print 2 * $seconds }")
            n=$((n - 1))
        elif has err 'stopped before its first step$'; then
            same $status 3 && [ ! -e timed ] || return
        else
            { same $status 3 && saved timed; } || { echo "try $n" && cat out err && return 1; }
        fi
    done
    rm slow
    echo "$n runs, of $seconds s"
}
check "timeout, $tries times: every run saves a checkpoint" under_timeout

one_signal() { # NAME STATUS
    start_training one && kill -s "$1" "$job" && ends "$2" 10 && saved one
}
for name in TERM:3 USR1:3 USR2:3 HUP:3 INT:130; do
    check "SIG${name%:*} saves and ends with status ${name#*:}" one_signal "${name%:*}" "${name#*:}"
done

repeated_signals() { # also after the run has saved
    local n signals=(TERM USR1 USR2 HUP)
    start_training again && echo 100 >slow || return
    for ((n = 0; n < 80; n++)); do
        kill -s "${signals[n % 4]}" "$job" 2>/dev/null
        sleep 0.005
    done
    rm slow
    ends 3 10 && saved again
}
check "80 repeated signals do not interrupt the save" repeated_signals

two_interrupts_at_once() { # as sent by a terminal, or by timeout -s INT
    start_training twice && echo 30 >slow && kill -INT "$job" && sleep 0.01 && kill -INT "$job"
    rm slow
    ends 130 10 && saved twice && contains err '^stopping; Ctrl-C again ends at once, without saving$' &&
        ! contains err 'second Ctrl-C'
}
check "two SIGINT at once count as one: the run saves and prints what another SIGINT does" two_interrupts_at_once

second_interrupt() { # more than half a second after the first, while the run hangs
    hang_in interrupted && kill -INT "$job" && sleep 0.7 && kill -INT "$job" && cd interrupted || return
    ends 130 3 && contains err '^ended by the second Ctrl-C, without saving$' && [ -e run/checkpoints/newest/state.json ]
    local status=$?
    cd ..
    return $status
}
check_mocked "a second SIGINT ends the process at once" second_interrupt

interrupted_after_a_stop() { # so that Ctrl-C ends a loop that resumes while the status is 3
    start_training both && kill -TERM "$job" && kill -INT "$job"
    ends 130 10 && saved both
}
check "SIGINT after SIGTERM: status 130" interrupted_after_a_stop

ignored() { # SIGHUP by nohup, SIGUSR1 by the shell
    rm -rf nohup
    (trap '' USR1 && exec env --default-signal=TERM nohup "$program" train long.yaml -o nohup >out 2>err) &
    job=$!
    wait_until trains nohup && kill -HUP "$job" && kill -USR1 "$job" && sleep 0.3 && kill -0 "$job" &&
        same "$(cat out)" "" && kill -TERM "$job" && ends 3 10 && saved nohup
}
check "signals that were ignored at the start stay ignored" ignored

closed_pipe() { # pixelrnn train | tee log: Ctrl-C also ends tee, so messages go to a closed pipe
    rm -rf piped && mkfifo pipe || return
    "${unignored[@]}" "$program" train long.yaml -o piped >out 2>pipe &
    job=$!
    : >err
    head -n 1 pipe >first && wait_until trains piped && sleep 0.1 && kill -INT "$job" && ends 130 10 && saved piped
}
check "a closed pipe does not interrupt the save" closed_pipe

during_setup() {
    rm -rf early
    background train long.yaml -o early --set data.test=many.npy
    wait_until catches_signals && kill -TERM "$job" && ends 3 10 && one_message &&
        contains err 'train: stopped before its first step; early is as it was$' && [ ! -e early ]
}
check "SIGTERM before the first step" during_setup

# ---- Evaluation and sampling during training -------------------------------------------------------------------------

config evaluates many.npy 'evaluate_every: 3' 'checkpoint_every: 3' 'samples: 0'
stops_in_evaluation() { # of 400,000 images, which takes far longer
    rm -rf evaluated
    background train evaluates.yaml -o evaluated
    wait_until has evaluated/checkpoints/000000003/state.json evaluation_due && sleep 0.3 && kill -TERM "$job" && ends 3 5 &&
        contains out '^saved at step 3;' && saved evaluated && ! has evaluated/metrics.jsonl '"test/nats_per_image"'
}
check "the checkpoint is written before the evaluation, which a stop ends" stops_in_evaluation

stops_in_test() { # after the last step and its evaluation
    rm -rf tested
    background train evaluates.yaml -o tested --set data.validation=images.npy --set train.steps=3
    wait_until has err '^step 3: validation' && sleep 0.3 && kill -TERM "$job" && ends 3 5 && contains out '^saved at step 3;' && saved tested &&
        ! has tested/metrics.jsonl '"test/' && pixelrnn train tested --resume --set data.test=images.npy --accept-data &&
        contains err '^step 3: test ' && contains out '^test NLL '
}
check "a stop ends the test of the best checkpoint, which a resume makes up for" stops_in_test

# Prints the parts of a run that must not depend on interruptions.
result() {
    (cd "$1" && sha256sum checkpoints/*/* samples/* config.yaml && readlink checkpoints/best checkpoints/newest &&
        timeless metrics.jsonl)
}

# Four steps. Steps 2 and 4 evaluate and sample, which takes a fraction of a second each.
noise 76800 | npy_write '300, 16, 16' >large.npy
config cut large.npy 'evaluate_every: 2' 'sample_every: 2' 'ema_decay: 0.9' 'keep_checkpoints: 1' 'log_every: 1' 'samples: 300'
sed -i 's/steps: .*/steps: 4/; s/layers: .*/layers: 4/; s/hidden: .*/hidden: 24/; s/train: images.npy/train: large.npy/' cut.yaml

# cut_short CONDITION ARGUMENT...: a run that is stopped while CONDITION holds and then resumed equals an uninterrupted
# run
cut_short() {
    local n
    rm -rf whole && pixelrnn train cut.yaml -o whole "${@:2}" || return
    for n in 1 2 3 4 5; do
        rm -rf cut
        background train cut.yaml -o cut "${@:2}"
        wait_until "$1" && kill -TERM "$job" && ends 3 10 && "$1" && break # otherwise the signal came too late
    done
    contains out '^saved at step 2;' && saved cut large.npy && pixelrnn train cut.yaml -o cut --resume "${@:2}" &&
        result whole >want && result cut >got && diff want got
}
state=cut/checkpoints/000000002/state.json
evaluates() { has $state evaluation_due; }
samples() { has $state samples_due && ! has $state evaluation_due; }
reports() { has cut/metrics.jsonl '"step": 2' && ! has cut/metrics.jsonl '"test/nats_per_image"'; }
check "stopped during the evaluation and resumed, a run equals an uninterrupted one" cut_short evaluates --set train.checkpoint_every=2
check "the same during sampling" cut_short samples --set train.checkpoint_every=2
check "the same during the evaluation at a step without a checkpoint" cut_short reports --set train.checkpoint_every=0

killed_in_evaluation() { # the results of the evaluation may already be in the metrics
    rm -rf cut
    background train cut.yaml -o cut --set train.checkpoint_every=2
    wait_until evaluates && kill -KILL "$job"
    wait "$job" 2>/dev/null
    echo '{"step": 2, "test/nats_per_image": 1.5, "test/bits_per_dim": 1}' >>cut/metrics.jsonl
    pixelrnn train cut.yaml -o cut --resume --set train.checkpoint_every=2 && pixelrnn train cut.yaml -o uncut --set train.checkpoint_every=2 &&
        result uncut >want && result cut >got && diff want got
}
check "the same after kill -9 during the evaluation" killed_in_evaluation

# ---- Other commands --------------------------------------------------------------------------------------------------

model=$golden/row_lstm_rgb_skip/model.safetensors # 3 x 7 x 3, 4 levels
sampling=(sample "$model" -n 3000 --seed 5 --set device="$device" --set eval.batch_size=20)
stops_sampling() {
    background "${sampling[@]}" -o samples.npy
    wait_until [ -s samples.npy.journal ] && sleep 0.1 && kill -TERM "$job" && ends 3 5 && one_message || return
    contains err 'sample: stopped; samples.npy.journal holds [0-9]+ of 3000 images, and the same command goes on$' &&
        same "$(echo samples.npy*)" samples.npy.journal && pixelrnn "${sampling[@]}" -o samples.npy &&
        contains err 'going on after' && pixelrnn "${sampling[@]}" -o whole.npy && cmp samples.npy whole.npy
}
check "sample: stopped, it keeps its journal and continues from it" stops_sampling

stops_eval() {
    background eval "$1" --data "$2" --json --per-image nats.npy
    wait_until catches_signals && sleep 0.3 && kill -"$3" "$job" && ends "$4" 5 && same "$(cat out)" "" && [ ! -e nats.npy ] &&
        contains err 'many.npy: stopped after [0-9]+ of 400000 images, without a result$'
}
check "eval: stopped, it prints its progress and no result" stops_eval one many.npy TERM 3
check "eval: Ctrl-C" stops_eval one many.npy INT 130

stops_packing() { # the partial file is removed, an existing output is kept
    mkdir -p packed && npy_write '1000000, 10, 10' </dev/null >sparse.npy && truncate -s $((128 + 100000000)) sparse.npy &&
        cp images.npy packed/out.npy || return
    background pack sparse.npy -o packed/out.npy
    wait_until [ -s packed/out.npy.partial ] && kill -TERM "$job" && ends 3 5 && one_message &&
        contains err 'pack: stopped after [0-9]+ of 1000000 images; packed/out.npy is as it was$' &&
        same "$(ls packed)" out.npy && cmp images.npy packed/out.npy
}
check "pack: stopped, it leaves no partial file" stops_packing

# ---- Ranks -----------------------------------------------------------------------------------------------------------

# start_ranks COUNT RUN CONFIG [ARGUMENT...]: starts a training job with the mocks in the background
start_ranks() {
    rm -rf "$2"
    "${mpi[@]}" -n "$1" "${with_mocks[@]}" train "$3.yaml" -o "$2" "${@:4}" >out 2>err </dev/null &
    job=$!
}

# mpirun ends all ranks one second after the first has exited, so no rank may exit before rank 0 has saved.
ranks_save_slowly() {
    start_ranks 3 late long && wait_until trains late && sleep 0.2 && echo 500 >slow && kill -USR1 "$job" && ends 3 30 && saved late
    local status=$?
    rm -f slow
    return $status
}

# stops_one_rank PHASE DATA ARGUMENT...: rank 1 gets SIGTERM while PHASE is in progress at step 3
stops_one_rank() {
    start_ranks 2 stopped evaluates --set data.train="$2" "${@:3}" && wait_until has stopped/checkpoints/000000003/state.json "$1" && sleep 0.3 &&
        kill -TERM "$(rank_process 1)" && ends 3 10 && contains out '^saved at step 3;' && saved stopped "$2" &&
        has stopped/checkpoints/000000003/state.json "$1" && ! has err '^pixelrnn: '
}

if ranks_start; then
    check "ranks: SIGUSR1 to mpirun, with a slow save" ranks_save_slowly
    check "ranks: SIGTERM to one during a distributed evaluation" stops_one_rank evaluation_due images.npy
    check "ranks: SIGTERM to one while another samples" stops_one_rank samples_due builtin:digits \
        --set data.test= --set model.layers=8 --set model.hidden=32 --set train.sample_every=3 --set train.samples=600
else
    skip "ranks" "no mpirun, no MPI in this build, or the device is a GPU"
fi

# ---- Locks -----------------------------------------------------------------------------------------------------------

two_runs() {
    start_training shared || return
    cp out first.out
    fails 1 "shared/lock: process $job on $(hostname) is at work here; wait for it, end it, or choose another -o\$" \
        train long.yaml -o shared --resume --set train.steps=1 || return
    cp first.out out && kill -TERM "$job" && wait "$job"
    same $? 3 && [ ! -e shared/lock ] && pixelrnn train long.yaml -o shared --resume --set train.steps=1
}
check "train: a second process in a run folder is refused, and the first one is named" two_runs

killed_holder() {
    start_training dead && kill -KILL "$job"
    wait "$job" 2>/dev/null
    [ -e dead/lock ] && pixelrnn train long.yaml -o dead --resume --set train.steps=1 && [ ! -e dead/lock ]
}
check "train: the lock of a killed process is released" killed_holder

two_packs() {
    background pack sparse.npy -o packed/out.npy
    wait_until [ -e packed/out.npy.lock ] && fails 1 'packed/out.npy.lock: process [0-9]+ on .* is at work here' pack images.npy -o packed/out.npy
    local status=$?
    kill -TERM "$job"
    wait "$job"
    return $status
}
check "pack: a second process with the same output is refused" two_packs

without_locks() {
    : >unlocked
    background train long.yaml -o unsafe --set train.steps=1
    wait "$job"
    same $? 0 && contains err '^unsafe/lock: this file system has no locks \(No locks available\)' || return
    background pack images.npy -o unsafe.npy
    wait "$job"
    same $? 0 && contains err '^unsafe.npy.lock: this file system has no locks \(No locks available\)' && rm unlocked
}
check_mocked "a file system without locks is reported and used" without_locks

# ---- Overdue stop request --------------------------------------------------------------------------------------------

overdue() { # ten seconds, up to one until the next check, and a tolerance for other work on the machine
    job=$hung
    cd hung && ends 3 20 || return
    awk "BEGIN { took = $EPOCHREALTIME - $hung_since; exit !(took >= 10) }" && one_message && contains err 'asked to stop, but the current work has not ended' &&
        rm hang && "$program" eval run --data images.npy && pixelrnn train long.yaml -o run --resume --set train.steps=1
    local status=$?
    cd ..
    return $status
}
check_mocked "a step that hangs is ended after ten seconds, and the last checkpoint can be resumed" overdue

finish

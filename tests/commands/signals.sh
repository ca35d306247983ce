#!/bin/bash
# Signals: a command that is asked to stop does so soon, with everything saved, whatever the signal and however often it
# comes; and two processes never work in one place.
#
# PX_TEST_LONG=1: fifty runs under timeout.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

tries=8
[ -n "${PX_TEST_LONG:-}" ] && tries=50

# config NAME TEST [LINE...]: a run that would take hours; TEST are the images it evaluates
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
nothing=('evaluate_every: 0' 'sample_every: 0' 'samples: 0')
config long "''" "${nothing[@]}" 'checkpoint_every: 0'

# ---- Running and stopping ----------------------------------------------------------------------------------------------

# background WORD...: the program; $job is its process
background() {
    "${unignored[@]}" "${with_mocks[@]}" "$@" >out 2>err &
    job=$!
}

# until_true COMMAND...: waits up to a minute for it, as long as the job runs
until_true() {
    local n
    for ((n = 0; n < 6000; n++)); do
        "$@" 2>/dev/null && return
        kill -0 "$job" 2>/dev/null || break
        sleep 0.01
    done
    cat out err
    echo "never true: $*"
    return 1
}

has() { grep -q -- "$2" "$1"; }       # FILE PATTERN
trains() { [ -e "$1/metrics.jsonl" ]; } # RUN
catches_signals() { # the handler of SIGALRM is set last
    local mask
    [ "$(readlink "/proc/$job/exe")" = "$program" ] && mask=$(sed -n 's/^SigCgt:\s*//p' "/proc/$job/status") &&
        [ $((0x$mask >> 13 & 1)) -eq 1 ]
}

# ends STATUS SECONDS: the job, within so many seconds; it is killed otherwise
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

# saved RUN [DATA]: what the program says of its end is true: the checkpoint of that step opens, and nothing is half-written
saved() {
    local step
    step=$(sed -nE "s|^stopped after step ([0-9]+); saved in $1, --resume goes on\$|\\1|p" out)
    [ -n "$step" ] || { echo "out: found no line that says where it stopped" && return 1; }
    same "$(readlink "$1/checkpoints/newest")" "$(printf %09d "$step")" && [ ! -e "$1/lock" ] &&
        { "$program" eval "$1/checkpoints/newest" --data "${2:-images.npy}" >opened 2>&1 || { cat opened && return 1; }; } &&
        same "$(find "$1" -name '*.partial')" ""
}

# begun RUN [WORD...]: a training run, at its steps
begun() {
    rm -rf "$1"
    background train long.yaml -o "$@"
    until_true trains "$1"
}

# ---- Mocks -------------------------------------------------------------------------------------------------------------

# A disk that answers no read while there is a file named hang, and for each sync takes the milliseconds that a file named
# slow says; a file system without locks while there is a file named unlocked.
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

with_mocks=("$program") # a command with the mocks, where there are some
[ -z "$mocks" ] || with_mocks=(env LD_PRELOAD="$work/mock.so" "$program")

# check_mocked NAME COMMAND...
check_mocked() {
    [ -n "$mocks" ] && { check "$@" && return; }
    skip "$1" "no C compiler, or a program under a sanitizer"
}

# hang_in FOLDER: a training run, in a folder of its own, whose disk no longer answers
hang_in() {
    mkdir "$1" && cd "$1" && cp ../long.yaml ../images.npy . || return
    background train long.yaml -o run --set train.checkpoint_every=1
    until_true [ -e run/checkpoints/newest ] && : >hang && sleep 0.5
    local status=$?
    cd ..
    return $status
}

# This one is asked to stop now, and looked at again at the end, when its ten seconds are over.
[ -z "$mocks" ] || { hang_in hung && kill -TERM "$job" && hung=$job hung_since=$EPOCHREALTIME; } || cat hung/err

# ---- Training ----------------------------------------------------------------------------------------------------------

# GNU timeout sends SIGTERM to the program, and at once to its group, of which the program is one.
under_timeout() {
    local n status seconds=0.4
    echo 30 >slow
    for ((n = 0; n < tries; n++)); do
        rm -rf timed
        timeout --preserve-status $seconds "${unignored[@]}" "${with_mocks[@]}" train long.yaml -o timed --resume >out 2>err
        status=$?
        if ! has err '^run folder: ' && [ "${seconds%.*}" -lt 60 ]; then # so slow a machine that nothing had begun
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
check "timeout, $tries times: no run ends without its checkpoint" under_timeout

one_signal() { # NAME STATUS
    begun one && kill -s "$1" "$job" && ends "$2" 10 && saved one
}
for name in TERM:3 USR1:3 USR2:3 HUP:3 INT:130; do
    check "SIG${name%:*} saves and ends with status ${name#*:}" one_signal "${name%:*}" "${name#*:}"
done

same_signals_again() { # until long after it has saved
    local n signals=(TERM USR1 USR2 HUP)
    begun again && echo 100 >slow || return
    for ((n = 0; n < 80; n++)); do
        kill -s "${signals[n % 4]}" "$job" 2>/dev/null
        sleep 0.005
    done
    rm slow
    ends 3 10 && saved again
}
check "signals that come 80 times do not cut the save" same_signals_again

two_interrupts_at_once() { # as from a terminal, and from timeout -s INT
    begun twice && echo 30 >slow && kill -INT "$job" && sleep 0.01 && kill -INT "$job"
    rm slow
    ends 130 10 && saved twice && contains err '^stopping; Ctrl-C again ends at once, without saving$' &&
        ! contains err 'second Ctrl-C'
}
check "two SIGINT at once are one: it saves, and says what another one does" two_interrupts_at_once

second_interrupt() { # half a second after the first, which nothing answers
    hang_in interrupted && kill -INT "$job" && sleep 0.7 && kill -INT "$job" && cd interrupted || return
    ends 130 3 && contains err '^ended by the second Ctrl-C, without saving$' && [ -e run/checkpoints/newest/state.json ]
    local status=$?
    cd ..
    return $status
}
check_mocked "a second SIGINT ends at once" second_interrupt

interrupted_after_a_stop() { # so a loop that resumes while the status is 3 is ended by hand
    begun both && kill -TERM "$job" && kill -INT "$job"
    ends 130 10 && saved both
}
check "SIGINT after SIGTERM: status 130" interrupted_after_a_stop

ignored() { # by nohup, and by a shell's trap
    rm -rf nohup
    (trap '' USR1 && exec env --default-signal=TERM nohup "$program" train long.yaml -o nohup >out 2>err) &
    job=$!
    until_true trains nohup && kill -HUP "$job" && kill -USR1 "$job" && sleep 0.3 && kill -0 "$job" &&
        same "$(cat out)" "" && kill -TERM "$job" && ends 3 10 && saved nohup
}
check "signals that were ignored at the start stay ignored" ignored

reader_gone() { # pixelrnn train | tee log: Ctrl-C ends tee, too, and what the program says of it finds nobody
    rm -rf piped && mkfifo pipe || return
    "${unignored[@]}" "$program" train long.yaml -o piped >out 2>pipe &
    job=$!
    : >err
    head -n 1 pipe >first && until_true trains piped && sleep 0.1 && kill -INT "$job" && ends 130 10 && saved piped
}
check "a pipe whose reader has gone does not cut the save" reader_gone

in_set_up() {
    rm -rf early
    background train long.yaml -o early --set data.test=many.npy
    until_true catches_signals && kill -TERM "$job" && ends 3 10 && one_message &&
        contains err 'train: stopped before its first step; early is as it was$' && [ ! -e early ]
}
check "SIGTERM before there is anything to save" in_set_up

# ---- Long phases -------------------------------------------------------------------------------------------------------

config evaluates many.npy 'evaluate_every: 3' 'checkpoint_every: 3' 'samples: 0'
stops_in_evaluation() { # of 400,000 images, which takes far longer
    rm -rf evaluated
    background train evaluates.yaml -o evaluated
    until_true has evaluated/checkpoints/000000003/state.json evaluation_due && sleep 0.3 && kill -TERM "$job" && ends 3 5 &&
        contains out '^stopped after step 3;' && saved evaluated && ! has evaluated/metrics.jsonl '"test/'
}
check "the checkpoint comes before the evaluation, which a stop ends" stops_in_evaluation

# What of a run must not depend on how often it was interrupted.
result() {
    (cd "$1" && sha256sum checkpoints/*/* samples/* config.yaml && readlink checkpoints/best checkpoints/newest &&
        timeless metrics.jsonl)
}

# Four steps, of which the second and the fourth report all they can, each for a part of a second.
noise 76800 | npy_write '300, 16, 16' >large.npy
config cut large.npy 'evaluate_every: 2' 'sample_every: 2' 'ema_decay: 0.9' 'keep_checkpoints: 1' 'log_every: 1' 'samples: 300'
sed -i 's/steps: .*/steps: 4/; s/layers: .*/layers: 4/; s/hidden: .*/hidden: 24/; s/train: images.npy/train: large.npy/' cut.yaml

# cut_short WHEN WORD...: stopped when that is true of the run, it ends as one that was not
cut_short() {
    local n
    rm -rf whole && pixelrnn train cut.yaml -o whole "${@:2}" || return
    for n in 1 2 3 4 5; do
        rm -rf cut
        background train cut.yaml -o cut "${@:2}"
        until_true "$1" && kill -TERM "$job" && ends 3 10 && "$1" && break # else it was too late
    done
    contains out '^stopped after step 2;' && saved cut large.npy && pixelrnn train cut.yaml -o cut --resume "${@:2}" &&
        result whole >want && result cut >got && diff want got
}
state=cut/checkpoints/000000002/state.json
evaluates() { has $state evaluation_due; }
samples() { has $state samples_due && ! has $state evaluation_due; }
reports() { has cut/metrics.jsonl '"step": 2' && ! has cut/metrics.jsonl '"test/'; }
check "a stop in the evaluation: resumed, the run ends as a whole one" cut_short evaluates --set train.checkpoint_every=2
check "a stop in the samples, likewise" cut_short samples --set train.checkpoint_every=2
check "a stop in an evaluation at a step without a checkpoint, likewise" cut_short reports --set train.checkpoint_every=0

killed_in_evaluation() { # nothing can be said then, and the evaluation's figures may stand in the metrics already
    rm -rf cut
    background train cut.yaml -o cut --set train.checkpoint_every=2
    until_true evaluates && kill -KILL "$job"
    wait "$job" 2>/dev/null
    echo '{"step": 2, "test/nats_per_image": 1.5, "test/bits_per_dim": 1}' >>cut/metrics.jsonl
    pixelrnn train cut.yaml -o cut --resume --set train.checkpoint_every=2 && pixelrnn train cut.yaml -o uncut --set train.checkpoint_every=2 &&
        result uncut >want && result cut >got && diff want got
}
check "kill -9 in the evaluation, likewise" killed_in_evaluation

# ---- Other commands ----------------------------------------------------------------------------------------------------

model=$golden/row_lstm_rgb_skip/model.safetensors # 3 x 7 x 3, 4 levels
sampling=(sample "$model" -n 3000 --seed 5 --set device="$device" --set eval.batch_size=20)
stops_sampling() {
    background "${sampling[@]}" -o samples.npy
    until_true [ -s samples.npy.journal ] && sleep 0.1 && kill -TERM "$job" && ends 3 5 && one_message || return
    contains err 'sample: stopped; samples.npy.journal holds [0-9]+ of 3000 images, and the same command goes on$' &&
        same "$(echo samples.npy*)" samples.npy.journal && pixelrnn "${sampling[@]}" -o samples.npy &&
        contains err 'going on after' && pixelrnn "${sampling[@]}" -o whole.npy && cmp samples.npy whole.npy
}
check "sample: stopped, it keeps its journal and goes on" stops_sampling

stops_eval() {
    background eval "$1" --data "$2" --json --per-image nats.npy
    until_true catches_signals && sleep 0.3 && kill -"$3" "$job" && ends "$4" 5 && same "$(cat out)" "" && [ ! -e nats.npy ] &&
        contains err 'many.npy: stopped after [0-9]+ of 400000 images, without a result$'
}
check "eval: stopped, it says how far it came, and prints no result" stops_eval one many.npy TERM 3
check "eval: Ctrl-C" stops_eval one many.npy INT 130

stops_packing() { # what it has written is removed, what was there before stays
    mkdir -p packed && npy_write '1000000, 10, 10' </dev/null >sparse.npy && truncate -s $((128 + 100000000)) sparse.npy &&
        cp images.npy packed/out.npy || return
    background pack sparse.npy -o packed/out.npy
    until_true [ -s packed/out.npy.partial ] && kill -TERM "$job" && ends 3 5 && one_message &&
        contains err 'pack: stopped after [0-9]+ of 1000000 images; packed/out.npy is as it was$' &&
        same "$(ls packed)" out.npy && cmp images.npy packed/out.npy
}
check "pack: stopped, it leaves nothing half-written" stops_packing

# ---- Ranks -------------------------------------------------------------------------------------------------------------

# rank_begin COUNT RUN CONFIG [WORD...]: so many ranks, with the mocks
rank_begin() {
    rm -rf "$2"
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun --oversubscribe --bind-to none -n "$1" \
        "${with_mocks[@]}" train "$3.yaml" -o "${@:2:1}" "${@:4}" >out 2>err </dev/null &
    job=$!
}

# The launcher ends all ranks a second after one of them has ended: none does before rank 0 has saved.
ranks_save_slowly() {
    rank_begin 3 late long && until_true trains late && sleep 0.2 && echo 500 >slow && kill -USR1 "$job" && ends 3 30 && saved late
    local status=$?
    rm -f slow
    return $status
}

# one_rank_is_asked WHAT DATA WORD...: while that is due at step 3, of which the other rank does a share or all
one_rank_is_asked() {
    rank_begin 2 asked evaluates --set data.train="$2" "${@:3}" && until_true has asked/checkpoints/000000003/state.json "$1" && sleep 0.3 &&
        kill -TERM "$(rank_process 1)" && ends 3 10 && contains out '^stopped after step 3;' && saved asked "$2" &&
        has asked/checkpoints/000000003/state.json "$1" && ! has err '^pixelrnn: '
}

if ranks_start; then
    check "ranks: SIGUSR1 to mpirun, and a save of seconds" ranks_save_slowly
    check "ranks: SIGTERM to one, in an evaluation that they share" one_rank_is_asked evaluation_due images.npy
    check "ranks: SIGTERM to one, while another one samples" one_rank_is_asked samples_due builtin:digits \
        --set data.test= --set model.layers=8 --set model.hidden=32 --set train.sample_every=3 --set train.samples=600
else
    skip "ranks" "no mpirun, or no MPI in this build, or one GPU for all"
fi

# ---- Two processes in one place ----------------------------------------------------------------------------------------

two_runs() {
    begun shared || return
    cp out first.out
    fails 1 "shared/lock: process $job on $(hostname) is at work here; wait for it, end it, or choose another -o\$" \
        train long.yaml -o shared --resume --set train.steps=1 || return
    cp first.out out && kill -TERM "$job" && wait "$job"
    same $? 3 && [ ! -e shared/lock ] && pixelrnn train long.yaml -o shared --resume --set train.steps=1
}
check "train: a second process in a run folder says who is at work there" two_runs

killed_holder() {
    begun dead && kill -KILL "$job"
    wait "$job" 2>/dev/null
    [ -e dead/lock ] && pixelrnn train long.yaml -o dead --resume --set train.steps=1 && [ ! -e dead/lock ]
}
check "train: a lock ends with its process" killed_holder

two_packs() {
    background pack sparse.npy -o packed/out.npy
    until_true [ -e packed/out.npy.lock ] && fails 1 'packed/out.npy.lock: process [0-9]+ on .* is at work here' pack images.npy -o packed/out.npy
    local status=$?
    kill -TERM "$job"
    wait "$job"
    return $status
}
check "pack: a second process for one file is refused" two_packs

without_locks() {
    : >unlocked
    background train long.yaml -o unsafe --set train.steps=1
    wait "$job"
    same $? 0 && contains err '^unsafe/lock: this file system has no locks \(No locks available\)' || return
    background pack images.npy -o unsafe.npy
    wait "$job"
    same $? 0 && contains err '^unsafe.npy.lock: this file system has no locks \(No locks available\)' && rm unlocked
}
check_mocked "a file system without locks is said, and used" without_locks

# ---- No answer ---------------------------------------------------------------------------------------------------------

no_answer() { # ten seconds, the second in which that is seen, and what a machine with other work may add
    job=$hung
    cd hung && ends 3 20 || return
    awk "BEGIN { took = $EPOCHREALTIME - $hung_since; exit !(took >= 10) }" && one_message && contains err 'asked to stop, but the current work has not ended' &&
        rm hang && "$program" eval run --data images.npy && pixelrnn train long.yaml -o run --resume --set train.steps=1
    local status=$?
    cd ..
    return $status
}
check_mocked "a step that never ends is ended after ten seconds, at the last checkpoint" no_answer

finish

#!/bin/bash
# A run that is stopped or killed at any moment and then resumed gives the same weights, optimiser state, metrics and
# sample images as an uninterrupted run, byte for byte on the CPU.
#
# PX_TEST_SHORT=1: fewer kills. PX_TEST_LONG=1: a hundred kills for each optimiser. PX_TEST_SEED: seed of their times.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

kills=5 calls_tested=2 stride=5
[ -n "${PX_TEST_SHORT:-}" ] && kills=3 calls_tested=2 stride=9
[ -n "${PX_TEST_LONG:-}" ] && kills=100 calls_tested=60 stride=1
RANDOM=${PX_TEST_SEED:-$$}
echo "# PX_TEST_SEED=${PX_TEST_SEED:-$$}, $kills kills"

# config NAME KIND OPTIMIZER CHECKPOINT_EVERY [LINE...]: 40 steps; actions are due at different intervals
config() {
    cat >"$1.yaml" <<END
name: $1
device: cpu
model:
  kind: $2
  layers: 1
  hidden: 4
  head: 6
data:
  train: images.npy
  test: images.npy
  levels: 2
train:
  steps: 40
  batch_size: 7
  optimizer: $3
  learning_rate: 0.01
  checkpoint_every: $4
  log_every: 5
  evaluate_every: 4
  sample_every: 9
  samples: 2
END
    printf '  %s\n' "${@:5}" >>"$1.yaml"
}
noise 900 | npy_write '30, 6, 5' >images.npy
config rmsprop diagonal_bilstm rmsprop 3 'ema_decay: 0.9'
config adam row_lstm adam 1 'schedule: cosine' 'warmup_steps: 5' 'keep_checkpoints: 1'
config sgd pixelcnn sgd 2 'schedule: step' 'decay_every: 20' 'clip_norm: 0'
printf 'data.shuffle: false\n' >>sgd.yaml

# ---- Running and comparing -------------------------------------------------------------------------------------------

# begin NAME RUN: resumes or starts in the background; $job is the process
begin() {
    "${unignored[@]}" "$program" train "$1.yaml" -o "$2" --resume >out 2>err &
    job=$!
}

# The parts of a run that must not depend on interruptions.
result() {
    (cd "$1" && sha256sum checkpoints/newest/* samples/* config.yaml && readlink checkpoints/best checkpoints/newest &&
        timeless metrics.jsonl)
}

# same_result NAME RUN: resumes to the last step, and compares with the uninterrupted run NAME
same_result() {
    pixelrnn train "$1.yaml" -o "$2" --resume >ended || { cat ended; return 1; }
    result "$1" >want && result "$2" >got && diff want got &&
        no_partial_files "$2"
}

# If there is a checkpoint, eval opens the run folder and the newest checkpoint folder.
opens() {
    local newest
    newest=$(find "$1/checkpoints" -maxdepth 1 -name '[0-9]*[0-9]' 2>/dev/null | sort | tail -n 1)
    [ -z "$newest" ] && return
    "$program" eval "$1" --json >opened 2>&1 && "$program" eval "$newest" --json >opened 2>&1 && return
    echo "$newest:" && cat opened
    return 1
}

# ---- Stopped by a signal ---------------------------------------------------------------------------------------------

# stops NAME RUN SIGNAL: sends the signal once a checkpoint exists; returns 3 if the run ended before the signal
stops() {
    local status want=3
    [ "$3" = INT ] && want=130
    begin "$1" "$2"
    wait_until [ -e "$2/checkpoints/newest" ]
    kill -s "$3" "$job"
    wait "$job"
    status=$?
    cat out err
    [ $status -eq 0 ] && contains out '^trained to' && return 3
    [ $status -eq $want ] || { echo "exit status: found $status, expected $want"; return 1; }
    contains out "^saved at step [0-9]+; go on with: pixelrnn train $2 --resume\$" && opens "$2"
}

stops_and_resumes() {
    local status
    for _ in 1 2 3 4 5; do
        rm -rf "$2"
        stops "$1" "$2" "$3"
        status=$?
        [ $status -eq 3 ] || break
    done
    [ $status -eq 0 ] && same_result "$1" "$2"
}

# ---- Killed ----------------------------------------------------------------------------------------------------------

# killed NAME RUN: kills the run repeatedly, each time after a random part of the duration of an uninterrupted run
killed() {
    local kill
    for ((kill = 0; kill < kills; kill++)); do
        [ $((RANDOM % 8)) -eq 0 ] && rm -rf "$2" # start again, so that kills hit all parts of the run
        begin "$1" "$2"
        sleep "$(awk "BEGIN { print $seconds * $RANDOM / 32768 }")"
        kill -KILL "$job" 2>/dev/null
        wait "$job" 2>/dev/null
        opens "$2" || return
    done
    same_result "$1" "$2"
}

# The system calls that change a folder. Kills between the same two of them leave the same files.
folder_calls="rename symlink mkdir unlink"

# Without --seccomp-bpf, which is faster but loses the injected signals (strace 6.1).
trace() {
    strace -f -qq -o strace.log "$@"
}

can_trace() {
    command -v strace >/dev/null && ! ldd "$program" | grep -q 'libasan\|libtsan' || return
    { trace -e trace=openat -e inject=openat:signal=KILL:when=1 cat /dev/null; } 2>/dev/null
    [ $? -eq 137 ]
}

# killed_at NAME RUN CALL N: kills at the N-th system call of that name
killed_at() {
    local status
    {
        trace -e trace="$3" -e inject="$3":signal=KILL:when="$4" "$program" train "$1.yaml" -o "$2" --resume >out 2>err
    } 2>/dev/null # the shell's message about the kill
    status=$?
    same $status 137 && opens "$2"
}

# calls NAME CALL: the number of these system calls in an uninterrupted run
calls() {
    if [ ! -e "$1.calls" ]; then
        trace -e trace="${folder_calls// /,}" "$program" train "$1.yaml" -o "$1-traced" >out 2>err
        mv strace.log "$1.calls"
    fi
    grep -c "$2(" "$1.calls"
}

# resumes_after_call NAME CALL N: starts a run, kills it at that call, and resumes it
resumes_after_call() {
    rm -rf killed-at-call
    killed_at "$1" killed-at-call "$2" "$3" && same_result "$1" killed-at-call && return
    echo "killed at call $3 of $2, of $(calls "$1" "$2")"
    return 1
}

# killed_at_calls NAME CALL: kills at the first such call, and at some or all of the others
killed_at_calls() {
    local total step at
    total=$(calls "$1" "$2")
    [ "$total" -gt 0 ] || { echo "found no call of $2"; return 1; }
    step=$(((total + calls_tested - 1) / calls_tested))
    for ((at = 1; at <= total; at += 1 + RANDOM % (2 * step))); do
        resumes_after_call "$1" "$2" $at || return
    done
}

# killed_at_samples NAME: kills at a step where all actions are due, before its sample image is renamed
killed_at_samples() {
    calls "$1" rename && resumes_after_call "$1" rename "$(grep 'rename(' "$1.calls" | grep -n '/000000036.png"' | cut -d: -f1)"
}

for name in rmsprop adam sgd; do
    started=$EPOCHREALTIME
    check "$name: --resume starts a new run if no checkpoint exists" pixelrnn train $name.yaml -o $name --resume
    seconds=$(awk "BEGIN { print $EPOCHREALTIME - $started }")
    check "$name: a second run gives the same result" same_result $name $name-again
    check "$name: SIGTERM, then --resume" stops_and_resumes $name $name-term TERM
    check "$name: SIGINT, then --resume" stops_and_resumes $name $name-int INT
    check "$name: kill -9 at $kills random moments" killed $name $name-kill
done

if can_trace; then
    check "rmsprop: kill -9 before a sample image is renamed" killed_at_samples rmsprop
else
    skip "kill -9 before a sample image is renamed" "no strace, or a program that cannot be traced"
fi
# Tracing is slow, so each call is tested in one run only, unless PX_TEST_LONG is set.
for target in adam:rename rmsprop:symlink rmsprop:mkdir adam:unlink rmsprop:rename adam:symlink adam:mkdir rmsprop:unlink; do
    [ $target = rmsprop:rename ] && [ -z "${PX_TEST_LONG:-}" ] && break
    name=${target%:*} call=${target#*:}
    if can_trace; then
        check "$name: kill -9 at calls of $call" killed_at_calls "$name" "$call"
    else
        skip "$name: kill -9 at calls of $call" "no strace, or a program that cannot be traced"
    fi
done

# ---- From each checkpoint --------------------------------------------------------------------------------------------

# cut_off STEP: makes `cut`, the run `every` as it was after the checkpoint of that step.
cut_off() {
    local name
    rm -rf cut
    mkdir -p cut/checkpoints cut/samples && cp every/config.yaml every/metrics.jsonl cut || return
    for name in $(seq -f %09.0f 1 "$1"); do
        cp -r every/checkpoints/"$name" cut/checkpoints
        cp every/samples/"$name".png cut/samples 2>/dev/null
    done
    ln -s "$(printf %09d "$1")" cut/checkpoints/newest
}

resumes_from_each() {
    local step
    pixelrnn train every.yaml -o every >log || { cat log; return 1; }
    for ((step = 1 + RANDOM % stride; step < 40; step += stride)); do
        cut_off $step && opens cut && same_result every cut && continue
        echo "cut off after step $step"
        return 1
    done
}
config every diagonal_bilstm rmsprop 1 'keep_checkpoints: 0' 'ema_decay: 0.9'
check "--resume from the checkpoint of every ${stride}th step gives the same result" resumes_from_each

# ---- Other resumes -----------------------------------------------------------------------------------------------

refused_without_resume() {
    result rmsprop >before
    fails 2 'rmsprop: already holds a run, trained to step 40; --resume' train rmsprop.yaml -o rmsprop && result rmsprop | diff before -
}
check "an existing run is refused without --resume" refused_without_resume

refuses_another_config() {
    local setting
    result rmsprop >before
    for setting in model.hidden=5 model.kind=pixelcnn model.layers=2 data.levels=4 train.batch_size=6 train.optimizer=adam seed=3; do
        fails 2 "config.yaml: ${setting%=*}: found ${setting#*=}, expected .* as when the run was started" \
            train rmsprop.yaml -o rmsprop --resume --set "$setting" || return
    done
    result rmsprop | diff before -
}
check "--resume refuses another model, data or optimiser, and changes nothing" refuses_another_config

resumes_a_finished_run() {
    result sgd >before
    pixelrnn train sgd.yaml -o sgd --resume && contains out '^trained to step 40 ' && result sgd | diff before -
}
check "--resume of a finished run changes nothing" resumes_a_finished_run

extends_the_run() { # 20 steps and 20 more give the same weights as 40
    pixelrnn train sgd.yaml -o further --set train.steps=20 && pixelrnn train sgd.yaml -o further --resume || return
    cmp further/checkpoints/newest/model.safetensors sgd/checkpoints/newest/model.safetensors
}
check "--resume with more train.steps extends the run" extends_the_run

removes_partial_files() { # as a kill may leave them: of a checkpoint, a link, a sample image, and a line of metrics
    cp -r sgd partial && rm -rf partial/checkpoints/000000040 && mkdir partial/checkpoints/000000040.partial || return
    printf 'half' >partial/checkpoints/000000040.partial/model.safetensors
    ln -sfn 000000038 partial/checkpoints/newest && ln -sfn 000000036 partial/checkpoints/best
    ln -s 000000040 partial/checkpoints/newest.partial
    printf 'half' | tee partial/metrics.jsonl.partial partial/config.yaml.partial partial/samples/000000040.png.partial >/dev/null
    printf '{"step": 40, "tra' >>partial/metrics.jsonl
    opens partial && same_result sgd partial
}
check "partial files and a partial line of metrics are removed" removes_partial_files

accepts_an_empty_folder() { # a folder without a checkpoint
    mkdir -p bare/checkpoints && pixelrnn train sgd.yaml -o bare && result sgd >want && result bare | diff want -
}
check "a run can start in an empty run folder" accepts_an_empty_folder

finish

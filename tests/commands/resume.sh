#!/bin/bash
# A run that was stopped, or killed at any moment, and resumed ends as one that was not: weights, optimiser, metrics and
# pictures, byte for byte on the CPU.
#
# PX_TEST_SHORT=1: fewer kills; PX_TEST_LONG=1: a hundred for each optimiser; PX_TEST_SEED: of the moments.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

kills=5 places=2 stride=5
[ -n "${PX_TEST_SHORT:-}" ] && kills=3 places=2 stride=9
[ -n "${PX_TEST_LONG:-}" ] && kills=100 places=60 stride=1
RANDOM=${PX_TEST_SEED:-$$}
echo "# PX_TEST_SEED=${PX_TEST_SEED:-$$}, $kills kills"

# config NAME KIND OPTIMIZER CHECKPOINT_EVERY [LINE...]: 40 steps, each thing due at steps of its own
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

# ---- Running and comparing ---------------------------------------------------------------------------------------------

# begin NAME RUN: resumes or begins in the background; $job is the program
begin() {
    "${unignored[@]}" "$program" train "$1.yaml" -o "$2" --resume >out 2>err &
    job=$!
}

# What of a run must not depend on how often it was interrupted.
result() {
    (cd "$1" && sha256sum checkpoints/newest/* samples/* config.yaml && readlink checkpoints/best checkpoints/newest &&
        timeless metrics.jsonl)
}

# ends_alike NAME RUN: resumes until the end, and compares with the run NAME that nothing interrupted
ends_alike() {
    pixelrnn train "$1.yaml" -o "$2" --resume >ended || { cat ended; return 1; }
    result "$1" >want && result "$2" >got && diff want got &&
        no_partial_files "$2"
}

# If there is a checkpoint, eval opens it, and the newest one by its name; nothing else is taken for one.
opens() {
    local newest
    newest=$(find "$1/checkpoints" -maxdepth 1 -name '[0-9]*[0-9]' 2>/dev/null | sort | tail -n 1)
    [ -z "$newest" ] && return
    "$program" eval "$1" --json >opened 2>&1 && "$program" eval "$newest" --json >opened 2>&1 && return
    echo "$newest:" && cat opened
    return 1
}

# ---- Stopped by a signal -----------------------------------------------------------------------------------------------

# stops NAME RUN SIGNAL: once there is a checkpoint; returns 3 if the run had come to its end before the signal did
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
    contains out "^stopped after step [0-9]+; saved in $2, --resume goes on\$" && opens "$2"
}

stops_and_goes_on() {
    local status
    for _ in 1 2 3 4 5; do
        rm -rf "$2"
        stops "$1" "$2" "$3"
        status=$?
        [ $status -eq 3 ] || break
    done
    [ $status -eq 0 ] && ends_alike "$1" "$2"
}

# ---- Killed ------------------------------------------------------------------------------------------------------------

# killed NAME RUN: again and again after a random part of the time that a whole run takes
killed() {
    local kill
    for ((kill = 0; kill < kills; kill++)); do
        [ $((RANDOM % 8)) -eq 0 ] && rm -rf "$2" # begin anew, so that no part of the run is left out
        begin "$1" "$2"
        sleep "$(awk "BEGIN { print $seconds * $RANDOM / 32768 }")"
        kill -KILL "$job" 2>/dev/null
        wait "$job" 2>/dev/null
        opens "$2" || return
    done
    ends_alike "$1" "$2"
}

# The system calls that change what lies in a folder: between two of them a kill leaves the same files.
places_to_die="rename symlink mkdir unlink"

# Not with --seccomp-bpf, which is faster but lets the signals be forgotten (strace 6.1).
trace() {
    strace -f -qq -o strace.log "$@"
}

can_trace() {
    command -v strace >/dev/null && ! ldd "$program" | grep -q 'libasan\|libtsan' || return
    { trace -e trace=openat -e inject=openat:signal=KILL:when=1 cat /dev/null; } 2>/dev/null
    [ $? -eq 137 ]
}

# killed_at NAME RUN CALL N: on the n-th call of that name
killed_at() {
    local status
    {
        trace -e trace="$3" -e inject="$3":signal=KILL:when="$4" "$program" train "$1.yaml" -o "$2" --resume >out 2>err
    } 2>/dev/null # the shell's own word on the kill
    status=$?
    same $status 137 && opens "$2"
}

# calls NAME CALL: how many of that name a whole run makes
calls() {
    if [ ! -e "$1.calls" ]; then
        trace -e trace="${places_to_die// /,}" "$program" train "$1.yaml" -o "$1-traced" >out 2>err
        mv strace.log "$1.calls"
    fi
    grep -c "$2(" "$1.calls"
}

# dies_alike NAME CALL N: a run begun anew and killed there, then resumed
dies_alike() {
    rm -rf placed
    killed_at "$1" placed "$2" "$3" && ends_alike "$1" placed && return
    echo "killed at call $3 of $2, of $(calls "$1" "$2")"
    return 1
}

# killed_between NAME CALL: at the first, and at some or all others, of a run's calls
killed_between() {
    local many step at
    many=$(calls "$1" "$2")
    [ "$many" -gt 0 ] || { echo "found no call of $2"; return 1; }
    step=$(((many + places - 1) / places))
    for ((at = 1; at <= many; at += 1 + RANDOM % (2 * step))); do
        dies_alike "$1" "$2" $at || return
    done
}

# killed_at_picture NAME: at a step where everything is due, before its picture has its name
killed_at_picture() {
    calls "$1" rename && dies_alike "$1" rename "$(grep 'rename(' "$1.calls" | grep -n '/000000036.png"' | cut -d: -f1)"
}

for name in rmsprop adam sgd; do
    begun=$EPOCHREALTIME
    check "$name: a whole run; --resume with nothing there begins" pixelrnn train $name.yaml -o $name --resume
    seconds=$(awk "BEGIN { print $EPOCHREALTIME - $begun }")
    check "$name: the same again is the same" ends_alike $name $name-again
    check "$name: SIGTERM, then --resume" stops_and_goes_on $name $name-term TERM
    check "$name: SIGINT, then --resume" stops_and_goes_on $name $name-int INT
    check "$name: kill -9 at $kills random moments" killed $name $name-kill
done

if can_trace; then
    check "rmsprop: kill -9 before a picture has its name" killed_at_picture rmsprop
else
    skip "kill -9 before a picture has its name" "no strace, or a program that cannot be traced"
fi
# Tracing is slow: each call in one run only, unless there is time.
for place in adam:rename rmsprop:symlink rmsprop:mkdir adam:unlink rmsprop:rename adam:symlink adam:mkdir rmsprop:unlink; do
    [ $place = rmsprop:rename ] && [ -z "${PX_TEST_LONG:-}" ] && break
    name=${place%:*} call=${place#*:}
    if can_trace; then
        check "$name: kill -9 at calls of $call" killed_between "$name" "$call"
    else
        skip "$name: kill -9 at calls of $call" "no strace, or a program that cannot be traced"
    fi
done

# ---- From each checkpoint ----------------------------------------------------------------------------------------------

# The run `every`, cut off after the checkpoint of a step.
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

goes_on_from_each() {
    local step
    pixelrnn train every.yaml -o every >log || { cat log; return 1; }
    for ((step = 1 + RANDOM % stride; step < 40; step += stride)); do
        cut_off $step && opens cut && ends_alike every cut && continue
        echo "cut off after step $step"
        return 1
    done
}
config every diagonal_bilstm rmsprop 1 'keep_checkpoints: 0' 'ema_decay: 0.9'
check "--resume goes on from each step's checkpoint alike, every $stride steps" goes_on_from_each

# ---- Other ways to go on -----------------------------------------------------------------------------------------------

refused_without_resume() {
    result rmsprop >before
    fails 2 'rmsprop: already holds a run, trained to step 40; --resume' train rmsprop.yaml -o rmsprop && result rmsprop | diff before -
}
check "a run folder is not begun anew without --resume" refused_without_resume

refuses_another_config() {
    local setting
    result rmsprop >before
    for setting in model.hidden=5 model.kind=pixelcnn model.layers=2 data.levels=4 train.batch_size=6 train.optimizer=adam seed=3; do
        fails 2 "config.yaml: ${setting%=*}: found ${setting#*=}, expected .* as when the run was started" \
            train rmsprop.yaml -o rmsprop --resume --set "$setting" || return
    done
    result rmsprop | diff before -
}
check "--resume refuses another model, data or optimiser, and leaves the run as it was" refuses_another_config

resumes_what_is_done() {
    result sgd >before
    pixelrnn train sgd.yaml -o sgd --resume && contains out '^trained to step 40 ' && result sgd | diff before -
}
check "--resume of a finished run changes nothing" resumes_what_is_done

goes_further() { # 20 steps, then 20 more, are 40
    pixelrnn train sgd.yaml -o further --set train.steps=20 && pixelrnn train sgd.yaml -o further --resume || return
    cmp further/checkpoints/newest/model.safetensors sgd/checkpoints/newest/model.safetensors
}
check "--resume with more steps goes further" goes_further

sweeps_up() { # what a kill may have left: half a checkpoint, half a link, half a picture, half a line
    cp -r sgd swept && rm -rf swept/checkpoints/000000040 && mkdir swept/checkpoints/000000040.partial || return
    printf 'half' >swept/checkpoints/000000040.partial/model.safetensors
    ln -sfn 000000038 swept/checkpoints/newest && ln -sfn 000000036 swept/checkpoints/best
    ln -s 000000040 swept/checkpoints/newest.partial
    printf 'half' | tee swept/metrics.jsonl.partial swept/config.yaml.partial swept/samples/000000040.png.partial >/dev/null
    printf '{"step": 40, "tra' >>swept/metrics.jsonl
    opens swept && ends_alike sgd swept
}
check "half-written files are swept up, half a line of metrics is cut off" sweeps_up

needs_no_state_of_its_own() { # a folder without a checkpoint holds nothing to go on with
    mkdir -p bare/checkpoints && pixelrnn train sgd.yaml -o bare && result sgd >want && result bare | diff want -
}
check "an empty run folder is begun in" needs_no_state_of_its_own

finish

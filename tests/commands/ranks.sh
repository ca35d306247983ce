#!/bin/bash
# Several ranks are one: the same figures, checkpoints that any number of them goes on from, one line when one of them
# fails, and an end in time. Real processes, started by mpirun; in the last part on two hosts, which are network
# namespaces with a cable between them.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

test_ranks=$(dirname "$program")/tests/test_ranks
silence=2 # seconds of patience in these tests
slack=6   # seconds that mpirun, and a machine with other work, may add

why_not() {
    command -v mpirun >/dev/null || { echo "no mpirun" && return; }
    [ -e "$(dirname "$program")/libpixelrnn_mpi.so" ] || [ -e "$(dirname "$program")/../lib/libpixelrnn_mpi.so" ] ||
        { echo "built without MPI" && return; }
    ldd "$program" | grep -q 'libasan\|libtsan' && echo "MPI under a sanitizer"
}
reason=$(why_not)
[ -z "$reason" ] || { echo "SKIP: $reason" && exit 77; }

# Root may run it, more ranks than cores too, and no rank is bound to a core that another has.
run=(mpirun --allow-run-as-root --oversubscribe --bind-to none)

# ranks COUNT WORD...: the program on so many ranks; like pixelrnn otherwise
ranks() {
    "${run[@]}" -n "$1" "$program" "${@:2}" >out 2>err </dev/null
    local status=$?
    cat out err
    return $status
}

# The program's own lines, of all ranks: one, that matches.
one_line() {
    same "$(grep -c '^pixelrnn: ' err)" 1 && contains err "^pixelrnn: .*$1"
}

# ranks_fail COUNT STATUS PATTERN WORD...
ranks_fail() {
    local status
    ranks "$1" "${@:4}"
    status=$?
    [ $status -eq "$2" ] || { echo "exit status: found $status, expected $2"; return 1; }
    one_line "$3"
}

# config NAME KIND OPTIMIZER [LINE...]: batches of 7, which no number of ranks but one divides
config() {
    cat >"$1.yaml" <<END
name: $1
device: $device
model:
  kind: $2
  layers: 2
  hidden: 4
  head: 6
data:
  train: images.npy
  test: images.npy
  levels: 4
train:
  steps: 50
  batch_size: 7
  optimizer: $3
  learning_rate: 0.003
  log_every: 1
  evaluate_every: 10
  sample_every: 0
  checkpoint_every: 10
  keep_checkpoints: 0
  samples: 1
parallel:
  bucket_mib: 0.004
  silence_s: $silence
END
    printf '  %s\n' "${@:4}" >>"$1.yaml"
}
noise 900 | npy_write '30, 6, 5' >images.npy
config rmsprop diagonal_bilstm rmsprop
config adam row_lstm adam
config sgd pixelcnn sgd
printf 'train.ema_decay: 0.9\ndata.flip: true\n' >>rmsprop.yaml
printf 'model.skip: true\ntrain.clip_norm: 0.01\n' >>adam.yaml
printf 'data.shuffle: false\ntrain.clip_norm: 0\n' >>sgd.yaml

# ---- On a GPU: one rank takes the whole path, and two do not share the card ----------------------------------------------

if [ "$device" = cuda ]; then
    pixelrnn train rmsprop.yaml -o alone >log || { cat log; exit 77; }
    one_rank_is_alone() {
        ranks 1 train rmsprop.yaml -o one && contains one/metrics.jsonl reduce_ms &&
            cmp {alone,one}/checkpoints/newest/model.safetensors
    }
    check "NCCL with one rank gives the bits of none" one_rank_is_alone
    check "two ranks on one GPU" ranks_fail 2 '(1|2)' 'device: found GPU|no CUDA device: found' train rmsprop.yaml -o two
    finish
    exit
fi

# ---- What ranks tell each other ----------------------------------------------------------------------------------------

for n in 1 2 3 4; do
    check "test_ranks on $n" "${run[@]}" -n $n "$test_ranks"
done

# ---- One result --------------------------------------------------------------------------------------------------------

# curve RUN: training and test NLL, line by line
curve() {
    grep -oE '"step": [0-9]+|"(train|test)/nats_per_image": [^,}]*' "$1/metrics.jsonl" | awk '{ print $NF }'
}

# near A B: two curves agree to 1e-5
near() {
    curve "$1" >want && curve "$2" >got && [ -s want ] && paste want got | awk -v most=1e-5 '
        { far = $1 > $2 ? $1 - $2 : $2 - $1; if (!($2 != "" && far <= most * $1)) { print NR ": " $2 ", expected " $1; bad = 1 } }
        { if ($1 > 0 && far / $1 > worst) worst = far / $1 }
        END { print "largest relative difference " worst; exit bad }'
}

trains_alike() { # NAME COUNT
    ranks "$2" train "$1.yaml" -o "$1-$2" && contains out '^trained to step 50 ' && near "$1" "$1-$2" || return
    same "$(cd "$1-$2" && find . ! -name 'events.*' | sort)" "$(cd "$1" && find . ! -name 'events.*' | sort)"
}
for name in rmsprop adam sgd; do
    pixelrnn train $name.yaml -o $name >log || cat log
done
for one in rmsprop:1 rmsprop:2 rmsprop:3 rmsprop:4 adam:4 sgd:3 ${PX_TEST_LONG:+adam:1 adam:2 adam:3 sgd:1 sgd:2 sgd:4}; do
    check "${one%:*}: ${one#*:} ranks train as one, to 1e-5 over 50 steps" trains_alike "${one%:*}" "${one#*:}"
done

same_bits_again() { # NAME COUNT
    ranks "$2" train "$1.yaml" -o again && cmp {again,"$1-$2"}/checkpoints/newest/model.safetensors &&
        cmp {again,"$1-$2"}/checkpoints/newest/optimizer.safetensors && rm -r again
}
check "rmsprop: 3 ranks, the same bits again" same_bits_again rmsprop 3
check "adam: 4 ranks, the same bits again" same_bits_again adam 4

hides_reduction() { # the metrics say what reductions took, and what of it nothing hid
    grep '"reduce_ms"' rmsprop-3/metrics.jsonl | grep '"reduce_exposed_ms"' | grep -c . | { read -r n && same "$n" 50; }
}
check "metrics hold the time of reductions" hides_reduction

starts_from() { # --init on rank 0's word
    pixelrnn train sgd.yaml -o init --set train.steps=10 --init rmsprop --set model.kind=diagonal_bilstm &&
        ranks 3 train sgd.yaml -o init-3 --set train.steps=10 --init rmsprop --set model.kind=diagonal_bilstm && near init init-3
}
check "--init" starts_from

# ---- Evaluation --------------------------------------------------------------------------------------------------------

evaluates_alike() { # COUNT
    pixelrnn eval rmsprop --json --per-image want.npy --set eval.batch_size=4 && mv out want.json &&
        ranks "$1" eval rmsprop --json --per-image got.npy --set eval.batch_size=4 && cmp want.npy got.npy && cmp want.json out
}
for n in 3 ${PX_TEST_LONG:+2 4}; do
    check "eval: $n ranks give the figures of one, bit for bit" evaluates_alike $n
done
check "eval: more ranks than batches" evaluates_alike 5

# ---- Going on ----------------------------------------------------------------------------------------------------------

# cut_off RUN NEW: as if it had been ended after step 20
cut_off() {
    rm -rf "$2" && cp -r "$1" "$2" && rm -rf "$2"/checkpoints/0000000[345]0 && ln -sfn 000000020 "$2/checkpoints/newest"
}

resumes() { # FROM COUNT
    cut_off "$1" went && ranks "$2" train rmsprop.yaml -o went --resume && contains out '^trained to step 50 ' && near rmsprop went
}
resumes_exactly() {
    resumes rmsprop-4 4 && cmp {went,rmsprop-4}/checkpoints/newest/model.safetensors &&
        cmp {went,rmsprop-4}/checkpoints/newest/optimizer.safetensors
}
check "a checkpoint of 4 ranks, resumed on 4, to the bit" resumes_exactly
for n in 1 2 3; do
    check "a checkpoint of 4 ranks, resumed on $n" resumes rmsprop-4 $n
done
check "a checkpoint of one process, resumed on 4 ranks" resumes rmsprop 4
check "a checkpoint of 4 ranks, resumed by one process" eval 'cut_off rmsprop-4 went && pixelrnn train rmsprop.yaml -o went --resume && near rmsprop went'

# ---- What must agree ---------------------------------------------------------------------------------------------------

# pair FIRST... -- SECOND...: rank 0 and rank 1 are given words of their own
pair() {
    local first=()
    while [ "$1" != -- ]; do first+=("$1") && shift; done
    "${run[@]}" -n 1 "${first[@]}" : -n 1 "${@:2}" >out 2>err </dev/null
    local status=$?
    cat out err
    return $status
}

# disagree PATTERN FIRST... -- SECOND...: both end with status 2, and nothing is begun
disagree() {
    local pattern=$1
    shift
    pair "$@"
    same $? 2 && one_line "$pattern" && same "$(find torn -name '*.safetensors' 2>/dev/null)" ""
}
train_torn=("$program" train sgd.yaml -o torn)
noise 900 7 | npy_write '30, 6, 5' >others.npy
head -c $((128 + 870)) images.npy | tail -c 870 | npy_write '29, 6, 5' >fewer.npy
cp images.npy copied.npy

check "another config" disagree 'rank 1 on .*: train.learning_rate: found 0.1, expected 0.003 as on rank 0' \
    "${train_torn[@]}" -- "${train_torn[@]}" --set train.learning_rate=0.1
check "other images" disagree 'rank 1 on .*others.npy: found 30 images of 6 x 5 x 1, checksum [0-9a-f]{8}; expected' \
    "${train_torn[@]}" -- "${train_torn[@]}" --set data.train=others.npy
check "fewer test images" disagree 'rank 1 on .*fewer.npy: found 29 images' \
    "${train_torn[@]}" -- "${train_torn[@]}" --set data.test=fewer.npy
check "the same images elsewhere" eval 'pair "${train_torn[@]}" -- "${train_torn[@]}" --set data.train=copied.npy && rm -r torn'

another_program() {
    mkdir -p bin && cp "$program" bin && printf x >>bin/pixelrnn && cp "$(dirname "$program")"/libpixelrnn*.so bin || return
    [ ! -d "$(dirname "$program")/../lib" ] || cp -r "$(dirname "$program")/../lib" .
    disagree "rank 1 on .*: the program's file: found" "${train_torn[@]}" -- bin/pixelrnn train sgd.yaml -o torn
}
check "another build of the program" another_program

check "more ranks than images in a batch" ranks_fail 4 2 'train.batch_size: found 3, expected at least one image for each of 4 ranks' \
    train sgd.yaml -o torn --set train.batch_size=3
check "wrong words are said once" ranks_fail 3 2 'found unknown option --fast' train sgd.yaml --fast
check "a missing file is said once" ranks_fail 3 1 'nothing.npy' train sgd.yaml -o torn --set data.train=nothing.npy
check "a run that is there is not begun anew" ranks_fail 3 2 'already holds a run' train rmsprop.yaml -o rmsprop-3
check "a command for one" ranks_fail 3 2 'info: found 3 ranks, started by a launcher, expected one' info sgd.yaml

without_mpi() { # many lone processes in one folder would be the worst
    mkdir -p lone && cp "$program" lone && ! ldd lone/pixelrnn | grep -q 'libpixelrnn.so' || return
    "${run[@]}" -n 2 lone/pixelrnn train sgd.yaml -o torn >out 2>err
    same $? 1 && one_line 'started 2 ranks, but MPI cannot be loaded, or is not built in' && [ ! -e torn ] || return
    lone/pixelrnn train sgd.yaml -o lone/run >out 2>err # alone it needs none
}
if ldd "$program" | grep -q libpixelrnn.so; then
    skip "no MPI beside the program" "a bundle"
else
    check "no MPI beside the program" without_mpi
fi

# ---- Faults ------------------------------------------------------------------------------------------------------------

config long diagonal_bilstm rmsprop
sed -i 's/steps: .*/steps: 1000000/; s/log_every: .*/log_every: 100/; s/evaluate_every: .*/evaluate_every: 0/; s/checkpoint_every: .*/checkpoint_every: 50/
    s/keep_checkpoints: .*/keep_checkpoints: 2/' long.yaml

# begun RUN: waits until it has a checkpoint
begun() {
    local tries
    for ((tries = 0; tries < 2000; tries++)); do
        [ -e "$1/checkpoints/newest" ] && return
        kill -0 $job 2>/dev/null || break
        sleep 0.01
    done
    echo "no checkpoint of $1" && cat err && kill $job
    return 1
}

# begin RUN COUNT: in the background
begin() {
    rm -rf "$1"
    "${run[@]}" -n "$2" "$program" train long.yaml -o "$1" >out 2>err </dev/null &
    job=$!
    begun "$1"
}

# ends_within SECONDS: the job, badly; says how long that took
ends_within() {
    local since=$EPOCHREALTIME status took
    { sleep $((${1%.*} + 10)) && kill -KILL "$job"; } 2>/dev/null &
    local guard=$!
    wait "$job" 2>/dev/null
    status=$?
    kill $guard 2>/dev/null
    took=$(awk "BEGIN { printf \"%.1f\", $EPOCHREALTIME - $since }")
    cat out err
    echo "$took s" >took
    [ $status -ne 0 ] || { echo "exit status: found 0"; return 1; }
    awk "BEGIN { exit !($took <= $1) }" || { echo "the job ended after $took s, expected at most $1"; return 1; }
    same "$(for n in 0 1 2 3; do rank_process $n; done)" "" # none is left
}

whole() { # RUN: its newest checkpoint opens, and a run goes on from it
    local step
    "$program" eval "$1" --data images.npy >opened 2>&1 || { cat opened && return 1; }
    step=$((10#$(readlink "$1/checkpoints/newest") + 10))
    pixelrnn train long.yaml -o "$1" --resume --set train.steps=$step && same "$(find "$1" -name '*.partial')" ""
}

# after SIGNAL RANK SECONDS PATTERN
after() {
    begin hurt 4 && kill -s "$1" "$(rank_process "$2")" && ends_within "$3" && one_line "$4" && whole hurt
}
hurt() { # NAME, then as after
    check "$@"
    [ ! -e took ] || echo "# ended after $(cat took)"
    rm -f took
}
host=$(hostname)
hurt "kill -9 of a rank" after KILL 2 $slack "rank 2 on $host ended unexpectedly: its process was killed or crashed"
hurt "kill -9 of rank 0" after KILL 0 $slack "rank 0 on $host ended unexpectedly: its process was killed or crashed"
hurt "a crash of a rank" after SEGV 3 $slack "rank 3 on $host ended unexpectedly: its process was killed or crashed"
hurt "SIGSTOP of a rank" after STOP 1 $((silence + slack)) "rank 1 on $host has sent no heartbeat for 2 s: its process is stopped .its host responds."
hurt "SIGSTOP of rank 0" after STOP 0 $((silence + slack)) "rank 0 on $host has sent no heartbeat for 2 s: its process is stopped .its host responds."

# All of them, as by a scheduler: no fault. Rank 0 is stopped last and goes on first, so that it finds no heartbeat of the
# others which came before or during the stop.
suspended() {
    begin paused 3 || return
    local process=() n
    for n in 0 1 2; do process[n]=$(rank_process $n) || return; done
    kill -STOP "${process[2]}" "${process[1]}"
    sleep 0.2
    kill -STOP "${process[0]}"
    sleep $((silence + 1))
    kill -CONT "${process[0]}"
    sleep 0.5
    kill -CONT "${process[1]}" "${process[2]}"
    sleep 1
    kill -TERM "$(rank_process 1)"
    wait "$job"
    same $? 3 && contains out '^stopped after step' && same "$(grep -c '^pixelrnn: ' err)" 0
}
check "a job that is suspended and goes on" suspended

torn_data() { # only one rank's file
    cp images.npy mine.npy
    rm -rf hurt
    "${run[@]}" -n 2 "$program" train long.yaml -o hurt : -n 1 "$program" train long.yaml -o hurt --set data.train=mine.npy \
        >out 2>err </dev/null &
    job=$!
    begun hurt || return
    truncate -s 200 mine.npy
    ends_within $slack && one_line "rank 2 on $host: mine.npy: shrank while it was read: found 200 bytes, expected" && whole hurt
}
hurt "a rank whose data goes away" torn_data

# put TENSOR FIRST COUNT NUMBER: elements of a tensor in steep.safetensors; the number as four bytes
put() {
    local at
    at=$(head -c 20000 steep.safetensors | grep -aoE "\"$1\":\{[^}]*\"data_offsets\":\[[0-9]+" | grep -oE '[0-9]+$')
    at=$((at + 8 + $(od -An -tu8 -N8 steep.safetensors) + 4 * $2))
    # shellcheck disable=SC2059 # the bytes are the format
    for _ in $(seq "$3"); do printf "$4"; done | dd of=steep.safetensors bs=1 seek=$at conv=notrunc status=none
}

# not_finite WHAT STEM [HEAD_1 HEAD_2]: weights that let a bright image's numbers grow without end, while a dark one shuts
# every relu. Only the third image is bright, and in this order it is rank 2's.
not_finite() {
    local output
    { head -c 60 /dev/zero; yes "$(printf '\377')" | tr -d '\n' | head -c 30; head -c 30 /dev/zero; } | npy_write '4, 6, 5' >bright.npy
    pixelrnn train sgd.yaml -o seed --set train.steps=0 --set data.train=bright.npy --set data.test= || return
    cp seed/checkpoints/newest/model.safetensors steep.safetensors && rm -r seed
    for output in 0 1 2 3 4 5 6 7; do put stem.weight $((28 * output)) 24 "$2"; done # of 28, the last 4 are masked
    [ $# -eq 2 ] || { put head.1.weight 0 36 "$3" && put head.2.weight 0 6 "$4"; }
    ranks_fail 4 1 "step 1: the $1 of rank 2 on $host is not finite; last good checkpoint: none" \
        train sgd.yaml -o steep --set train.batch_size=4 --set data.train=bright.npy --set data.test= --init steep.safetensors
}
check "a loss that is not finite names the rank" not_finite loss '\231\166\226\176' # 1e38
# 1e-30, 1e10, 1e38: logits of 1e18, and on the way back 1e38 times 1e10
check "a gradient that is not finite names the rank" \
    not_finite 'norm of the gradients' '\140\102\242\015' '\371\002\025\120' '\231\166\226\176'

# ---- Asked to stop -----------------------------------------------------------------------------------------------------

stops() { # SIGNAL WHO [STATUS]: rank 1's process, or mpirun's; it ends with STATUS (3)
    begin asked 3 || return
    kill -s "$1" "$([ "$2" = mpirun ] && echo $job || rank_process 1)"
    wait "$job"
    same $? "${3:-3}" && contains out '^stopped after step [0-9]+; saved in asked, --resume goes on$' && whole asked
}
check "SIGTERM to one rank stops all" stops TERM rank
[ -z "${PX_TEST_LONG:-}" ] || check "SIGINT to one rank stops all" stops INT rank 130
check "SIGUSR1 to mpirun stops all" stops USR1 mpirun

# ---- Two hosts ---------------------------------------------------------------------------------------------------------

export network=px$$ # a name of its own, so that two runs of this script can share a machine; on_host reads it

hosts_down() {
    ip netns del "${network}1" && ip netns del "${network}2"
    ip link del "$network"
}

# Two namespaces at one switch; node1 is 10.77.0.1, node2 10.77.0.2
hosts_up() {
    ip link add "$network" type bridge && ip link set "$network" up || return
    local n
    for n in 1 2; do
        ip netns add "$network$n" && ip link add "$network-$n" type veth peer name eth0 netns "$network$n" &&
            ip link set "$network-$n" master "$network" up && ip -n "$network$n" addr add 10.77.0.$n/24 dev eth0 &&
            ip -n "$network$n" link set eth0 up && ip -n "$network$n" link set lo up || return
    done
    ip netns exec "${network}1" unshare --uts true
}

# What mpirun calls in place of ssh.
cat >on_host <<'END'
#!/bin/sh
n=${1##*.}
shift
exec ip netns exec "$network$n" unshare --uts sh -c "hostname node$n; $*"
END
chmod +x on_host

on_two_hosts() {
    # shellcheck disable=SC2016 # for the inner shell
    run=(ip netns exec "${network}1" unshare --uts sh -c 'hostname node1; exec mpirun "$@"' mpirun --allow-run-as-root --oversubscribe --bind-to none
        --mca plm_rsh_agent "$work/on_host" --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0
        --mca oob_tcp_keepalive_time 1 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3
        --host 10.77.0.1:2,10.77.0.2:2)
}

two_hosts_are_one() {
    rm -rf over && ranks 4 train rmsprop.yaml -o over && near rmsprop over && cmp {over,rmsprop-4}/checkpoints/newest/model.safetensors
}

cable_cut() {
    begin hurt 4 && ip link set "$network-2" nomaster && ends_within $((silence + 5 + slack))
    local status=$?
    ip link set "$network-2" master "$network"
    [ $status -eq 0 ] && one_line "rank 2 on node2 has sent no heartbeat for 2 s: its host or the network link to it is down" && whole hurt
}

if hosts_up >/dev/null 2>&1; then
    trap 'hosts_down >/dev/null 2>&1; leave' EXIT
    on_two_hosts
    check "two hosts train as one, to the bit of four ranks on one" two_hosts_are_one
    hurt "kill -9 on the other host" after KILL 3 $slack "rank 3 on node2 ended unexpectedly: its process was killed or crashed"
    hurt "kill -9 of rank 0, with others on another host" after KILL 0 $slack "rank 0 on node1 ended unexpectedly: its process was killed or crashed"
    hurt "the link between hosts is cut" cable_cut
else
    hosts_down >/dev/null 2>&1
    skip "two hosts" "network namespaces need root"
fi

finish

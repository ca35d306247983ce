# What the tests/commands/*.sh scripts share. Source it first; it moves to a folder of its own, which is removed at the
# end.
#
#   check NAME COMMAND...   one TAP line; the command's output is shown only if it fails
#   skip NAME REASON        one TAP line
#   finish                  the plan; the script's last command
set -u
umask 022
export LC_ALL=C
# The models are tiny: more threads would only wait for each other.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
device=${PX_TEST_DEVICE:-cpu}

program=$(realpath "${PIXELRNN:-build/pixelrnn}") || exit 1
# shellcheck disable=SC2034 # for the scripts
golden=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../golden") || exit 1
[ -x "$program" ] || { echo "$program: found no program; make builds it, PIXELRNN names another" >&2; exit 1; }
work=$(mktemp -d) || exit 1
trap 'leave' EXIT
trap 'exit 1' INT TERM
cd "$work" || exit 1

leave() {
    local begun
    begun=$(jobs -p)
    # shellcheck disable=SC2086 # one word each
    [ -z "$begun" ] || kill -KILL $begun 2>/dev/null
    cd / && { mountpoint -q "$work/disk" 2>/dev/null && umount "$work/disk"; rm -rf "$work"; }
}

# ---- Counting --------------------------------------------------------------------------------------------------------

count=0 failures=0

check() {
    local name=$1
    shift
    count=$((count + 1))
    if "$@" >"$work/check.log" 2>&1; then
        echo "ok $count - $name"
    else
        failures=$((failures + 1))
        echo "not ok $count - $name"
        echo "# $*"
        tail -n 30 "$work/check.log" | sed 's/^/#   /'
    fi
}

skip() {
    count=$((count + 1))
    echo "ok $count - $1 # SKIP $2"
}

finish() {
    echo "1..$count"
    [ "$failures" -eq 0 ]
}

# ---- Running ---------------------------------------------------------------------------------------------------------

# pixelrnn WORD...: standard output in ./out, standard error in ./err; both are shown, and its status is returned.
pixelrnn() {
    "$program" "$@" >out 2>err
    local status=$?
    cat out err
    return $status
}

# Standard error must say what is wrong, once: a line of the program's own, the last one.
one_message() {
    [ "$(grep -c '^pixelrnn: ' err)" -eq 1 ] && tail -n 1 err | grep -q '^pixelrnn: ' && return
    echo "standard error: found the lines above, expected one line that begins with pixelrnn:, at the end"
    return 1
}

# fails STATUS PATTERN WORD...: the program ends with STATUS and one message that matches PATTERN.
fails() {
    local want=$1 pattern=$2 status
    shift 2
    pixelrnn "$@"
    status=$?
    [ "$status" -eq "$want" ] || { echo "exit status: found $status, expected $want"; return 1; }
    one_message && contains err "$pattern"
}

# Runs a command that does not ignore signals, although a shell in the background, or nohup, ignores some.
# shellcheck disable=SC2034 # for the scripts
unignored=(env --default-signal=HUP,INT,TERM,USR1,USR2)

# ---- Looking at things -----------------------------------------------------------------------------------------------

same() {
    [ "$1" = "$2" ] || { printf 'found\n%s\nexpected\n%s\n' "$1" "$2"; return 1; }
}

differ() {
    [ "$1" != "$2" ] || { printf 'found twice\n%s\n' "$1"; return 1; }
}

contains() {
    grep -Eq -- "$2" "$1" || { echo "$1: found no line that matches $2"; return 1; }
}

# no_partial_files FOLDER: there is no temporary file in it, which only a killed process leaves.
no_partial_files() {
    same "$(find "$1" -name '*.partial')" ""
}

# All lines of FILE match PATTERN, and there is one.
all_lines() {
    [ -s "$1" ] || { echo "$1: found nothing in it"; return 1; }
    ! grep -Evn -- "$2" "$1" || { echo "$1: these lines do not match $2"; return 1; }
}

# json KEY: a key's value in the JSON object in ./out.
json() {
    grep -oE "\"$1\": *(\"[^\"]*\"|[^,}]*)" out | sed -E 's/^[^:]*: *//; s/"//g'
}

# nats MODEL WORD...: nats per image as eval --json prints them.
nats() {
    "$program" eval "$@" --set device="$device" --json >out 2>err || { cat err >&2; return 1; }
    json nats_per_image
}

# wait_until COMMAND...: waits up to a minute until the command succeeds, while the process $job runs
wait_until() {
    local tries
    for ((tries = 0; tries < 6000; tries++)); do
        "$@" 2>/dev/null && return
        kill -0 "$job" 2>/dev/null || break
        sleep 0.01
    done
    cat out err
    echo "not reached: $*"
    return 1
}

# Open MPI's launcher: also as root, with more ranks than cores, and without binding ranks to cores.
mpi=(mpirun --allow-run-as-root --oversubscribe --bind-to none)

# together RANKS ARGUMENT...: runs the program as so many ranks. ranks_start: whether that is possible here.
together() {
    "${mpi[@]}" -n "$1" "$program" "${@:2}" >out 2>err || { cat out err && return 1; }
}

ranks_start() {
    [ "$device" = cpu ] && command -v mpirun >/dev/null && [ -e "$(dirname "$program")/libpixelrnn_mpi.so" ] &&
        ! ldd "$program" | grep -q 'libasan\|libtsan' # MPI does not run under a sanitizer
}

# rank_process N: prints the process id of rank N that runs in this script's folder
rank_process() {
    local folder
    for folder in /proc/[0-9]*; do
        [ "$(readlink "$folder/exe")" = "$program" ] && [ "$(readlink "$folder/cwd")" = "$work" ] &&
            tr '\0' '\n' <"$folder/environ" | grep -qx "OMPI_COMM_WORLD_RANK=$1" && basename "$folder" && return
    done 2>/dev/null
    return 1
}

# A run's metrics without what depends on the clock, and without the records of its starts.
timeless() {
    sed -E '/^\{"start":/d; /^\{"step": [0-9]+, "(evaluate|sample|checkpoint|test)_s":/d
        s/, "(step_ms|images_per_second)": [^,}]*//g; s/, "time": "[^"]*"//' "$1"
}

# The records of a run's starts.
starts() {
    grep '^{"start":' "$1/metrics.jsonl"
}

# ---- npy files -------------------------------------------------------------------------------------------------------

npy_header() { od -An -tu2 -j8 -N2 "$1" | tr -d ' '; }
npy_data()   { tail -c +$((11 + $(npy_header "$1"))) "$1"; }
npy_shape()  { head -c $((10 + $(npy_header "$1"))) "$1" | grep -aoE '\([0-9, ]*\)'; }

# npy_write SHAPE: standard input as uint8 of that shape, like '3, 4, 5'.
npy_write() {
    printf '\x93NUMPY\x01\x00\x76\x00%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': ($1), }"
    cat
}

# noise COUNT [SEED]: so many bytes, the same ones each time.
noise() {
    # shellcheck disable=SC2059 # the bytes are the format
    printf "$(awk -v n="$1" -v x="${2:-1}" 'BEGIN { for (; n > 0; n--) { x = x * 48271 % 2147483647; printf "\\%03o", x % 251 } }')"
}

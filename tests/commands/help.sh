#!/bin/bash
# Help of the program and its commands, and the output of keys: contents, examples that run, the width of a terminal,
# pipes, NO_COLOR.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

commands='train eval sample complete pack bench info keys check compare'
[ "$device" = cpu ] || { skip "help and keys" "they do not depend on the device"; finish; exit; }

# ---- Help ------------------------------------------------------------------------------------------------------------

helps() {
    local command
    for command in '' $commands; do
        # shellcheck disable=SC2086 # no word, or one
        pixelrnn $command --help && contains out '^(usage: pixelrnn|pixelrnn trains)' && same "$(tail -c 1 out | od -An -tx1 | tr -d ' ')" 0a || return
    done
    pixelrnn train tiny.yaml --help && contains out '^usage: pixelrnn train' && fails 2 'found "more"' --help more
}
check "--help of each command, which ends its last line" helps

# Each option that takes an argument is required, or has a default. COLUMNS makes every option one line.
defaults() {
    local command
    for command in $commands; do
        COLUMNS=1000 pixelrnn "$command" --help || return
        sed -n '/^options:/,/^$/p' out | grep -E '^  -[^ ]+ [^ ]' | grep -Ev '^  --[a-z-]+  |^  [^ ]+ [^ ]+$' >arguments
        grep -Ev 'required\)$|default:? [^)]+\)$' arguments && return 1
    done
    pixelrnn complete --help && contains out '^  -n IMAGES  .*\(an integer of 1 or more; default 8\)$' &&
        contains out '^  --seed S  .*default: the seed of the model' && contains out 'sampled \(required\)$'
}
check "--help has the default of every option" defaults

# An option that is not given has the default that --help prints.
defaults_hold() {
    pixelrnn sample --help && same "$(sed -nE 's/^  -n .*default ([0-9]+)\)/\1/p' out)" 16 && pixelrnn sample runs/demo -o sampled.npy && contains out '^16 images'
}

ln -s "$golden/../../configs" .
model=(--set model.hidden=2 --set model.head=2 --set model.layers=1 --set data.size=8 --set train.batch_size=2)
training=(--set train.steps=1 --set train.evaluate_images=2 --set train.samples=16 --set train.warmup_steps=0)

example() { # COMMAND: runs the example of its help, with small settings
    local words more=()
    case $1 in
    train) more=("${model[@]}" "${training[@]}") ;;
    bench) more=("${model[@]}" --seconds 0.001 --size 4 --channels 1) ;;
    info) more=("${model[@]}") ;;
    compare) cp -r runs/demo runs/wide ;;
    esac
    "$program" "$1" --help >text && words=$(sed -n '/^example:$/{n;s/^  pixelrnn //p}' text) && [ -n "$words" ] || return
    echo "$words"
    eval "\"\$program\" $words \"\${more[@]}\""
}
for command in $commands; do # train first: the others use its run
    check "the example of $command --help runs" example "$command"
    [ "$command" != complete ] || { mkdir photos && cp runs/demo/samples/*.png photos; }
done
check "a default that --help prints is the one in use" defaults_hold

# ---- Keys ------------------------------------------------------------------------------------------------------------

keys() {
    pixelrnn keys && contains out '^key  *default  *meaning$' && contains out '^seed  *1  ' && contains out '^train.rho  *0.95  *rmsprop: .*\(number, from 0 to below 1\)$' &&
        contains out '^data.train  *""  ' && pixelrnn keys model. && same "$(grep -c '^model\.' out)" 9 && same "$(grep -c '^train' out)" 0 &&
        fails 2 'keys: found "foo", expected the beginning of a key' keys foo && same "$(wc -c <out)" 0 &&
        fails 2 'keys: found "model.layerz".*nearest: model.layers' keys model.layerz && fails 2 'too many after model.: seed' keys model. seed &&
        fails 2 'found several of --yaml, --json and --names' keys --yaml --json
}
check "keys PREFIX; a prefix that no key has is refused" keys

yaml() { # the config of `keys --yaml` sets every key to its default, on a narrow terminal too
    local columns
    for columns in 40 100 200; do
        COLUMNS=$columns pixelrnn keys --yaml && cp out all.yaml &&
            pixelrnn train all.yaml "${model[@]}" "${training[@]}" --set data.train=builtin:digits -o "keys$columns" || return
        same "$(grep -cE '^ *[a-z_0-9]+: [^#]' all.yaml)" "$("$program" keys --names | wc -l)" || return
        same "$(grep -E '^(name|  (rho|epsilon|keep_checkpoints)):' "keys$columns/config.yaml" | xargs)" 'name: run rho: 0.95 epsilon: 1.0e-08 keep_checkpoints: 3' || return
    done
    contains all.yaml '^  epsilon: 1.0e-08 ' && pixelrnn keys train.decay --yaml && same "$(grep -cE '^(train:|  decay_(every|factor): )' out)" 3 && same "$(grep -c '^model' out)" 0
}
check "keys --yaml is a config" yaml

json_keys() {
    pixelrnn keys --json && same "$(grep -c '"key"' out)" "$("$program" keys --names | wc -l)" && contains out '"default":[[:space:]]*7,' &&
        contains out '"default":[[:space:]]*"diagonal_bilstm",' && contains out '"default":[[:space:]]*true,' || return
    ! command -v python3 >/dev/null || python3 -m json.tool <out >/dev/null
}
check "keys --json" json_keys

# ---- The width of lines ----------------------------------------------------------------------------------------------

# longest: the number of characters of the longest line of ./out, but for examples and names that are one word
longest() {
    grep -Ev '^ *[^ ]+( [^ ]+)?$|^  pixelrnn ' out | awk '{ sub(/\r$/, ""); if (length > longest) longest = length } END { print longest + 0 }'
}

fits() { # COLUMNS MIN ARGUMENT...: lines end at COLUMNS or before, and the longest is at least MIN
    local columns=$1 min=$2 found
    shift 2
    COLUMNS=$columns pixelrnn "$@" || return
    found=$(longest)
    [ "$found" -le "$columns" ] && [ "$found" -ge "$min" ] || { echo "longest line: found $found, expected $min to $columns"; return 1; }
}
widths() {
    local words
    for words in '--help' 'train --help' 'complete --help' 'keys' 'keys --yaml'; do
        # shellcheck disable=SC2086 # the arguments of a command
        fits 40 30 $words && fits 100 85 $words && fits 200 100 $words || return
    done
    # a pipe gets a line for each key, and other text in 100 columns; a value of COLUMNS that is no width is ignored
    COLUMNS=wide "$program" keys | tail -n +2 | cut -d' ' -f1 >piped && same "$(cat piped)" "$("$program" keys --names | tr -d =)" || return
    for words in '--help' 'complete --help' 'keys --yaml'; do
        # shellcheck disable=SC2086 # the arguments of a command
        env -u COLUMNS "$program" $words | cat >piped && COLUMNS=100 "$program" $words >asked && cmp piped asked || return
    done
}
check "COLUMNS is 40, 100, 200, or not set in a pipe" widths

terminal() { # COLUMNS ARGUMENT...: standard output is a terminal of this width
    local columns=$1
    shift
    env -u COLUMNS script -qec "stty cols $columns rows 20 && $(printf '%q ' "$program" "$@")" /dev/null </dev/null | tr -d '\r'
}
terminals() {
    local columns
    for columns in 40 200; do
        terminal $columns keys train. >shown && COLUMNS=$columns "$program" keys train. >asked && same "$(cat shown)" "$(cat asked)" || return
    done
}
colourless() { # there are no colours, with NO_COLOR and without
    terminal 80 keys >out && NO_COLOR=1 terminal 80 keys >none && cmp out none && ! grep -q $'\033' out
}
if script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    check "terminals of 40 and 200 columns" terminals
    check "no colours, with NO_COLOR and without" colourless
else
    skip "terminals of 40 and 200 columns" "script is not installed"
fi

finish

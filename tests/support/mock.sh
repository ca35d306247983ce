#!/bin/bash
# What the scripts share that run programs on the mock of CUDA (tests/mock_cuda). Source it after shell.sh.
#
#   counted RUN some|none COUNT...   how often the mock did what tests/mock_cuda/mock.h lists
#   value RUN COUNT                  one count
#   trains PRECISION [VAR=VALUE...]  a short run of the program
#   checks use|avoid MESSAGE [VAR=VALUE...]   the verdict on recurrences on clusters, and its reason

counted() {
    local name found wrong=0
    for name in "${@:3}"; do
        found=$(awk -v name="$name" '$1 == name { print $2 }' "$1.counts")
        [ -n "$found" ] && { [ "$2" = some ] && [ "$found" -gt 0 ] || { [ "$2" = none ] && [ "$found" -eq 0 ]; }; } && continue
        echo "$name: found ${found:-no count}, expected $2"
        wrong=1
    done
    return $wrong
}

value() { awk -v name="$2" '$1 == name { print $2 }' "$1.counts"; }

# 64 hidden features: a float32 model that is large enough for the hint
write_config() {
    cat >train.yaml <<END
name: mock
device: cuda
model: {kind: pixelcnn, layers: 1, hidden: 64, head: 16}
data: {train: builtin:digits, levels: 2, size: 8}
train: {steps: 3, batch_size: 4, samples: 0, log_every: 1}
END
}

# trains PRECISION [VAR=VALUE...]: a short run of the program on the mock; its counts are in PRECISION.counts
trains() {
    write_config
    rm -rf run
    env PX_MOCK_COUNTS="$1.counts" "${@:2}" "$mock/pixelrnn" train train.yaml -o run --set precision="$1" >out 2>err || { cat err; return 1; }
    model=run/checkpoints/newest/model.safetensors
}

# checks use|avoid MESSAGE [VAR=VALUE...]: the verdict of `pixelrnn check` on recurrences on clusters, and its reason.
# The verdict is in ./cache afterwards. limit: seconds for the check
checks() {
    local use=false
    [ "$1" = avoid ] || use=true
    rm -rf cache
    env XDG_CACHE_HOME="$PWD/cache" PX_MOCK_CAPABILITY=90 "${@:3}" "$mock/pixelrnn" check --device cuda --clusters --limit "${limit:-60}" --json >out 2>err
    contains out "\"clusters\":	$use" && contains out "$2" && contains cache/pixelrnn/verdict-*.json "\"$1\"" && contains cache/pixelrnn/verdict-*.json "$2"
}

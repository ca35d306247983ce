#!/bin/bash
# Builds and runs example.c, a program that uses the library, as host/README.md describes it.
root=$(realpath "$(dirname "$0")/../..")
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

library=$(dirname "$program")/libpixelrnn.a
readme=$root/host/README.md
if [ ! -e "$library" ] || ldd "$program" | grep -q 'libasan\|libtsan' || [ "$device" != cpu ]; then
    skip "the example of host/README.md" "it is built for the CPU against a release or debug build of the library"
    finish
    exit
fi

# shown LANGUAGE: the contents of the first fenced block of this language in host/README.md
shown() {
    awk -v fence="\`\`\`$1" '$0 == fence { inside = 1; next } inside && /^```/ { exit } inside' "$readme"
}

shown_code() {
    shown c >shown.c && diff shown.c "$root/tests/commands/example.c"
}
check "host/README.md shows example.c" shown_code

# The command that host/README.md gives, with this build's library.
build() {
    mkdir -p tests/commands build && cp "$root/tests/commands/example.c" tests/commands && ln -sfn "$root/include" include && ln -sf "$library" build &&
        shown sh >build.sh && contains build.sh '^cc .*tests/commands/example\.c' &&
        { pixelrnn --version | grep -q '^oneDNN *[0-9]' || sed -i 's/-ldnnl //' build.sh; } && bash -eu build.sh && [ -x example ]
}
check "the command of host/README.md builds it" build

train() {
    pixelrnn train "$root/configs/demo.yaml" -o run --set device=cpu --set model.hidden=4 --set data.size=8 \
        --set train.steps=2 --set train.evaluate_images=4 --set train.samples=0
}
check "a small model is trained for it" train

model=run/checkpoints/best/model.safetensors
# The library's mean is the one that eval prints for the same images, and the samples have the NLL that sample prints.
run() {
    ./example $model digits.npy >example.out || return
    [ "$(grep -cE '^image [0-3]: [0-9.]+ nats$' example.out)" -eq 4 ] &&
        [ "$(grep -cE '^sample [0-3]: [0-9.]+ nats$' example.out)" -eq 4 ] || { cat example.out && return 1; }
    pixelrnn eval run --data digits.npy --json || return
    same "$(sed -nE 's/^mean: ([0-9.]+) nats.*/\1/p' example.out)" "$(json nats_per_image | awk '{ printf "%.3f", $1 }')"
}
noise 256 | npy_write '4, 8, 8' >digits.npy
check "it prints the NLL that eval prints, and samples" run

samples() {
    pixelrnn sample run -n 4 --seed 1 -o samples.npy || return
    local mean
    mean=$(awk '/^sample/ { sum += $3 } END { printf "%.2f", sum / 4 }' example.out)
    awk -v mean="$mean" '/^NLL: / { d = $2 - mean; found = d < 0.011 && d > -0.011 } END { exit !found }' out || { cat example.out && return 1; }
}
check "its samples have the NLL of the command's" samples

failure() { # STATUS PATTERN ARGUMENT...
    local want=$1 pattern=$2 status
    shift 2
    ./example "$@" >out 2>err
    status=$?
    cat out err
    same "$status" "$want" && contains err "$pattern" && same "$(wc -l <err)" 1
}
check "a model that is not there is one line and status 1" failure 1 '^none\.safetensors: ' none.safetensors digits.npy
noise 192 | npy_write '3, 8, 8' >few.npy
check "too few images are one line and status 2" failure 2 '^few\.npy: found 3 images, expected at least 4$' $model few.npy
check "missing arguments are a usage line and status 2" failure 2 '^usage: .*MODEL' $model

finish

#!/bin/bash
# pixelrnn check where there is no GPU: the CPU's fast paths agree with its plain ones; right and wrong use.
# mock_paths.sh has the check of CUDA.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

agrees() {
    pixelrnn check --device cpu --json && contains out '"agrees":	true' && contains out '"device":	"cpu"' &&
        same "$(grep -c '"precision":	"float32"' out)" "$(grep -c '"precision":	"bfloat16"' out)" && ! grep clusters out
}
check 'the CPU agrees with itself' agrees

# refused STATUS MESSAGE ARGUMENT...
refused() {
    pixelrnn check "${@:3}"
    same "$?" "$1" && same "$(wc -l <err)" 1 && contains err "$2"
}
if [ "$device" = cpu ] && ! ldconfig -p | grep -q 'libcuda.so.1'; then
    check 'a GPU that is not there' refused 1 '^pixelrnn: .*CUDA' --device cuda
else
    skip 'a GPU that is not there' 'this machine has a driver of CUDA'
fi
check 'a device of another name' refused 2 '^pixelrnn: --device: found "tpu", expected one of auto\|cpu\|cuda' --device tpu
check 'an argument' refused 2 '^pixelrnn: found one argument too many: model; usage: pixelrnn check ' model
check 'a limit of no time' refused 2 '^pixelrnn: --limit: found "0"' --limit 0
finish

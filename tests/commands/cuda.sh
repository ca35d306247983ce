#!/bin/bash
# CUDA that is absent, broken or too old: what the program says, and what make builds. PX_OLD_CUDA names folders, as
# PATH does, with headers of the oldest versions that are supported: the host code is compiled with them.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

repository=$(realpath "$golden/../..")
model=$golden/row_lstm_grey/model.safetensors

# ---- device: auto ----------------------------------------------------------------------------------------------------

# A CUDA driver without functions, as a broken installation has. The second reason is that of a build without CUDA.
broken() {
    LD_LIBRARY_PATH=$work/driver pixelrnn info "$model" --set device="$1"
}
reason='(no CUDA device: CUDA driver version is insufficient for CUDA runtime version \(driver .*, runtime 1[0-9]\.[0-9]\)|CUDA cannot be loaded, or is not built in: .*)'
says_why() {
    broken auto && same "$(wc -l <err)" 1 && contains err "^warning: device: auto uses the CPU: $reason\$" && contains out '^device +cpu'
}
refuses() {
    ! broken cuda && same "$(wc -l <err)" 1 && contains err "^pixelrnn: $reason\$"
}
says_nothing() {
    pixelrnn info "$model" --set device=auto && same "$(cat err)" '' && contains out '^device +cpu'
}
mkdir driver
if [ "$device" = cuda ]; then
    skip "device: auto without a GPU" "there is a GPU"
elif ldconfig -p | grep -q libcuda.so.1; then
    skip "device: auto without a GPU" "there is a CUDA driver"
elif ldd "$program" | grep -q 'libasan\|libtsan'; then
    skip "device: auto without a GPU" "a sanitizer reports the CUDA library"
elif ! echo | cc -shared -x c -o driver/libcuda.so.1 - 2>log; then
    skip "device: auto without a GPU" "no C compiler"
else
    check "device: auto without a driver says nothing" says_nothing
    check "device: auto with a broken driver says why it uses the CPU" says_why
    check "device: cuda with a broken driver fails for the same reason" refuses
fi

# cuDNN opens NVRTC by its name; the loader finds it anywhere once it is loaded.
loads_nvrtc() {
    ldd "$(dirname "$program")/libpixelrnn_cuda.so" >libraries && contains libraries 'libnvrtc\.so\.1[0-9] => /'
}
if [ -e "$(dirname "$program")/libpixelrnn_cuda.so" ]; then
    check "the CUDA backend loads NVRTC, which cuDNN needs" loads_nvrtc
else
    skip "the CUDA backend loads NVRTC, which cuDNN needs" "CUDA is not built in"
fi

# ---- make ------------------------------------------------------------------------------------------------------------

[ -e "$repository/Makefile" ] && command -v make >/dev/null || { finish; exit; }

# toolkit FOLDER NVCC CUDART CUDNN: a toolkit of these versions, with empty libraries and an nvcc that compiles nothing
toolkit() {
    mkdir -p "$1/bin" "$1/include" "$1/lib64"
    printf '#!/bin/sh\n[ "$1" = --version ] && echo "Cuda compilation tools, release %s, V%s.1" && exit\necho "fake nvcc ran" >&2; exit 1\n' "$2" "$2" >"$1/bin/nvcc"
    chmod +x "$1/bin/nvcc"
    echo "#define CUDART_VERSION $3" >"$1/include/cuda_runtime_api.h"
    echo "#define CUDNN_MAJOR $4" >"$1/include/cudnn_version.h"
    touch "$1/include/"{cublasLt,cudnn}.h "$1/lib64/lib"{cudart.so,cublasLt.so,cublas.so,cudnn.so.9}
}
toolkit nvcc11 11.8 12040 9
toolkit cudart11 12.4 11080 9
toolkit cudnn8 12.4 12040 8
toolkit new 12.0 12000 9

# note FOLDER PATTERN: make resources, which needs nvcc, prints this reason; and make builds without nvcc
note() {
    (cd "$repository" && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make resources CUDA_HOME="$work/$1" >"$work/out" 2>&1)
    same $? 2 && contains out "^CUDA: $2; building for the CPU alone" || return
    (cd "$repository" && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -n all CUDA_HOME="$work/$1" >"$work/out" 2>&1) &&
        contains out libpixelrnn && ! grep 'libpixelrnn_cuda\.so$\|bin/nvcc' out
}
is_used() {
    (cd "$repository" && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -n -B all CUDA_HOME="$work/new" CUDNN_HOME="$work/new" >"$work/out" 2>&1)
    contains out "$work/new/bin/nvcc"
}
check "nvcc 11 leads to a build for the CPU" note nvcc11 'found nvcc 11\.8 in .*, expected 12\.0 or later'
check "headers of CUDA 11 lead to a build for the CPU" note cudart11 'found headers of CUDA below 12\.0 in .*, expected 12\.0 or later'
check "headers of cuDNN 8 lead to a build for the CPU" note cudnn8 'found headers of cuDNN below 9 in .*, expected 9 or later'
check "CUDA 12.0 and cuDNN 9 are used" is_used

# ---- Headers of old versions -----------------------------------------------------------------------------------------

# compiles FILE: with the warnings of the Makefile
compiles() {
    local folders
    IFS=: read -ra folders <<<"$PX_OLD_CUDA"
    (cd "$repository" && cc -std=c11 -fsyntax-only -fopenmp -Iinclude -I. -D_GNU_SOURCE "${folders[@]/#/-isystem}" -Wall -Wextra \
        -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Werror "$1")
}
if [ -n "${PX_OLD_CUDA:-}" ]; then
    for file in "$repository"/{host/device/cuda,tests/mock_cuda,tests/cuda,tests/mock_nccl}/*.c "$repository/host/distributed/nccl.c"; do
        check "${file#"$repository/"} compiles with old headers" compiles "${file#"$repository/"}"
    done
else
    skip "the host code compiles with old headers" "PX_OLD_CUDA is not set"
fi
finish

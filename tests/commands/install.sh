#!/bin/bash
# make install and make uninstall: program, library with pkg-config, man page, bash completion; and how make handles
# missing packages.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

repository=$golden/../..
here=$(realpath "$(dirname "${BASH_SOURCE[0]}")" 2>/dev/null || echo "$repository/tests/commands")
[ -e "$repository/Makefile" ] && command -v make >/dev/null || { echo '1..0 # SKIP there is no Makefile here' && exit 77; }

# The build that PIXELRNN names: build/pixelrnn is release, build/VARIANT/pixelrnn or build/VARIANT-clang/pixelrnn
# another.
variant=$(basename "$(dirname "$program")")
compiler=gcc
case $variant in *-clang) compiler=clang variant=${variant%-clang} ;; build) variant=release ;; esac

# run_make ARGUMENT...: runs make in the repository without the settings of a make that runs this script. -o all:
# nothing is built.
run_make() {
    (cd "$repository" && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS make -o all BUILD="$variant" CC="$compiler" "$@")
}

root=$work/root
installs() {
    run_make install DESTDIR="$root" PREFIX=/usr && [ -x "$root/usr/bin/pixelrnn" ] && [ -e "$root/usr/lib/libpixelrnn.a" ] &&
        [ -e "$root/usr/include/pixelrnn/pixelrnn.h" ] && [ -e "$root/usr/share/pixelrnn/configs/demo.yaml" ]
}
check "make install with DESTDIR and PREFIX" installs

# --version loads the MPI and CUDA libraries, which the installed program finds in ../lib. The program of a build
# without CUDA may find the library of another build, so only a build's own libraries are compared.
runs() {
    "$root/usr/bin/pixelrnn" --version >installed && "$program" --version >built || return
    [ -e "$(dirname "$program")/libpixelrnn_cuda.so" ] || sed -i '/^CUDA/,$d' installed built
    [ -e "$(dirname "$program")/libpixelrnn_mpi.so" ] || sed -i '/^MPI/d' installed built
    cmp installed built
}
check "the installed program finds its libraries" runs

configs_have_their_bases() {
    "$root/usr/bin/pixelrnn" info "$root/usr/share/pixelrnn/configs/cpu_pixelcnn.yaml" --height 8 --width 8 --channels 1 | grep 'pixelcnn, 4 layers, hidden 16, head 32'
}
check "the installed configs find their bases" configs_have_their_bases

# ---- The library -----------------------------------------------------------------------------------------------------

export PKG_CONFIG_PATH=$root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
model=$golden/row_lstm_rgb_skip/model.safetensors
links() {
    # shellcheck disable=SC2046 # one word each
    "$compiler" -std=c11 -Wall -Wextra -Werror "$here/example.c" -o program $(pkg-config --cflags --libs pixelrnn) &&
        ./program "$model" images.npy >first && ./program "$model" images.npy >second && cmp first second
}
# library.sh compares what the program prints with eval and sample.
prints_as_the_command() {
    pixelrnn eval "$model" --data images.npy --json --set device=cpu &&
        same "$(sed -nE 's/^mean: ([0-9.]+) nats.*/\1/p' first)" "$(json nats_per_image | awk '{ printf "%.3f", $1 }')"
}
noise 252 | npy_write '4, 3, 7, 3' >images.npy
case $variant in
release | debug | double)
    check "pkg-config --cflags --libs links a C program that evaluates and samples" links
    check "it prints the NLL that eval prints" prints_as_the_command
    ;;
*) skip "pkg-config --cflags --libs links a C program that evaluates and samples" "the library needs a sanitizer" ;;
esac
check "pixelrnn.pc has the version of the program" same "$(pkg-config --modversion pixelrnn)" "$(sed -n '1s/^pixelrnn \([0-9.]*\).*/\1/p' installed)"

# ---- Man page and completion -----------------------------------------------------------------------------------------

man_page() {
    local page=$root/usr/share/man/man1/pixelrnn.1 command
    if command -v groff >/dev/null; then
        groff -man -ww -Tascii "$page" >page 2>warnings && same "$(cat warnings)" '' || return
    elif command -v man >/dev/null; then
        man --warnings -l "$page" >page 2>warnings && same "$(cat warnings)" '' || return
    fi
    for command in train eval sample complete pack bench info keys; do contains "$page" "^\\.SS $command\$" || return; done
    contains "$page" '^\.B \\-\\-temperature T$'
}
check "the man page has all commands, and no warnings" man_page

# completes LINE EXPECTED: the words that the completion offers at the end of the line, separated by spaces
completes() {
    # shellcheck source=/dev/null
    . "$root/usr/share/bash-completion/completions/pixelrnn"
    # shellcheck disable=SC2034 # read by the function
    local COMP_LINE=$1 COMP_POINT=${#1} COMPREPLY=()
    _pixelrnn "$root/usr/bin/pixelrnn"
    same "${COMPREPLY[*]}" "$2"
}
check "completion of commands" completes 'pixelrnn tr' train
check "completion of options" completes 'pixelrnn sample run --t' --temperature
check "completion of words" completes 'pixelrnn pack images --split t' 'train test'
check "completion of keys" completes 'pixelrnn train demo.yaml --set model.' \
    'model.kind= model.layers= model.hidden= model.head= model.residual= model.skip= model.condition= model.classes= model.scale='
check "completion of a key's words, after the equals sign" completes 'pixelrnn train demo.yaml --set model.kind=' 'pixelcnn row_lstm diagonal_bilstm'
check "completion leaves files to bash" completes 'pixelrnn train de' ''

# ---- Uninstall -------------------------------------------------------------------------------------------------------

uninstalls() {
    run_make uninstall DESTDIR="$root" PREFIX=/usr && same "$(find "$root" ! -type d)" '' && same "$(find "$root" -name 'pixelrnn*')" ''
}
check "make uninstall leaves nothing" uninstalls

# ---- Missing packages ------------------------------------------------------------------------------------------------

# PATH holds an `id` that reports another user than root, and a `sudo` that records its call. BLAS names no package.
mkdir -p user
printf '#!/bin/sh\ntouch "%s/called"\nexit 1\n' "$work" >user/sudo
printf '#!/bin/sh\necho 1000\n' >user/id
chmod +x user/sudo user/id
refuses() { # TARGET
    rm -f called
    (cd "$repository" && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS PATH="$work/user:$PATH" make "$1" BLAS=absent </dev/null) >out 2>err
    same $? 2 && [ ! -e called ] && contains out 'apt-get install -y .*libabsent-dev' && contains out 'dnf install .*absent-devel' &&
        contains out 'pacman -S --needed .*absent' && contains err 'the packages are missing; run the line as root'
}
# answers WORD: the question on a terminal, answered with WORD, leaves ./called if sudo runs
answers() {
    rm -f called
    (sleep 1 && echo "$1") | script -qec "cd '$repository' && env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS PATH='$work/user:$PATH' make demo BLAS=absent" /dev/null >out 2>&1
    contains out 'with sudo\? \[y/N\]'
}
asks() {
    answers n && [ ! -e called ] && answers y && [ -e called ]
}
if command -v apt-get >/dev/null && command -v script >/dev/null; then
    check "make demo names missing packages, and runs no sudo unasked" refuses demo
    check "make test names missing packages, and runs no sudo unasked" refuses test
    check "make demo asks on a terminal" asks
else
    skip "make demo and make test name missing packages, and ask" "there is no apt-get or no script"
fi
finish

#!/bin/bash
# Data formats in whole commands: the meaning of bytes, lists and folders of files, and advice for unsupported arrays.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

cat >tiny.yaml <<END
device: $device
model: {kind: pixelcnn, layers: 1, hidden: 4, head: 4}
data: {train: binary.npy, test: binary.npy, levels: 2}
train: {steps: 2, batch_size: 4, samples: 0, log_every: 0}
END

# bits COUNT WHITE: writes COUNT pixels, of which every third is WHITE (an octal byte)
bits() {
    # shellcheck disable=SC2059 # the bytes are the format
    printf "$(awk -v n="$1" -v white="$2" 'BEGIN { for (x = 1; n > 0; n--) { x = x * 48271 % 2147483647; printf "\\%s", x % 3 ? "000" : white } }')"
}
bits 640 001 | npy_write '10, 8, 8' >binary.npy
bits 640 377 | npy_write '10, 8, 8' >black_and_white.npy
bits 640 001 | npy_write '10, 8, 8' | sed 's/|u1/|b1/' >bool.npy
bits 640 005 | npy_write '10, 8, 8' >codes.npy
head -c 640 /dev/zero | npy_write '10, 8, 8' >black.npy

# ---- Levels and intensities ------------------------------------------------------------------------------------------

refuses_levels() {
    fails 2 'binary.npy: found no byte above 1 in 10 images.*data.values: levels.*data.values: intensity' "$@"
}
check "train: 0 and 1 as intensities are refused with advice" refuses_levels train tiny.yaml -o new
check "train: in the test data too" refuses_levels train tiny.yaml -o new --set data.train=black_and_white.npy
check "train: with data.binarize" refuses_levels train tiny.yaml -o new --set data.binarize=true
check "info: the same" refuses_levels info tiny.yaml
check "pack: the same, with data.levels" refuses_levels pack binary.npy -o packed.npy --set data.levels=2

trains_on() { # RUN DATA [WORD...]: its figures in RUN.txt
    pixelrnn train tiny.yaml -o "$1" --set data.train="$2" --set data.test="$2" "${@:3}" && grep nats/image out >"$1.txt"
}
reads_alike() {
    trains_on intensities black_and_white.npy && trains_on levels binary.npy --set data.values=levels && trains_on bools bool.npy &&
        trains_on binarized binary.npy --set data.values=levels --set data.binarize=true || return
    cmp intensities.txt levels.txt && cmp intensities.txt bools.txt && cmp intensities.txt binarized.txt &&
        contains levels/config.yaml '^  values: levels$'
}
check "train: levels, intensities, bools and binarized levels of the same images give the same figures" reads_alike

evaluates_alike() {
    local want
    want=$(nats intensities) || return
    same "$(nats levels)" "$want" && same "$(nats levels --data black_and_white.npy --set data.values=intensity)" "$want" &&
        same "$(nats intensities --data binary.npy --set data.values=levels)" "$want" && same "$(nats intensities --data bool.npy)" "$want" &&
        differ "$(nats intensities --data black.npy)" "$want"
}
check "eval: data are read as the model's config says, --set overrides it" evaluates_alike
check "eval: levels are not taken for intensities" refuses_levels eval intensities --data binary.npy
check "eval: a level that is too large is refused" fails 2 'codes.npy: found value 5 in image 0, expected levels 0 to 1' eval levels --data codes.npy
check "eval: too large to be levels of this model" fails 2 'codes.npy: found no byte above 5 .*data.levels: 6 and data.values: levels' eval intensities --data codes.npy
check "complete: levels are not taken for intensities" refuses_levels complete intensities --data binary.npy --keep top:0.5 --completions 1 -n 1 -o new.npy

completes_levels() {
    pixelrnn complete levels --data binary.npy --keep top:1 --completions 1 -n 10 -o completed.npy --set device="$device" &&
        cmp <(npy_data completed.npy) <(npy_data black_and_white.npy)
}
check "complete: given levels are returned unchanged" completes_levels

packs_levels() {
    pixelrnn pack binary.npy -o packed.npy && cmp <(npy_data packed.npy) <(npy_data binary.npy) &&
        pixelrnn pack binary.npy -o packed.npy --set data.levels=2 --set data.values=levels && cmp <(npy_data packed.npy) <(npy_data black_and_white.npy)
}
check "pack: bytes are unchanged, unless data.values is levels" packs_levels

# ---- Lists and folders -----------------------------------------------------------------------------------------------

lists() {
    trains_on listed black_and_white.npy,bool.npy && contains listed/config.yaml '^  train:$' && contains listed/config.yaml '^  - bool.npy$' || return
    sed 's/^data:.*/data:\n  train: [black_and_white.npy, bool.npy]\n  test:\n  - black_and_white.npy\n  - bool.npy\n  levels: 2/' tiny.yaml >listed.yaml
    pixelrnn train listed.yaml -o sequence && cmp listed/config.yaml sequence/config.yaml &&
        cmp listed/checkpoints/newest/model.safetensors sequence/checkpoints/newest/model.safetensors || return
    pixelrnn eval listed --json --set device="$device" && same "$(json images)" 20 && same "$(json data)" "black_and_white.npy and 1 more" &&
        pixelrnn train listed/config.yaml -o listed --resume --set train.steps=3 --set data.train=bool.npy,black_and_white.npy
}
check "train: lists of files, by --set and in YAML; config, checkpoint and eval use them" lists

folders() {
    mkdir -p parts && rm -f parts/* || return
    cp black_and_white.npy parts/train_2.npy && cp bool.npy parts/train_10.npy && cp black.npy parts/test.npy || return
    pixelrnn pack parts -o packed.npy && same "$(npy_shape packed.npy)" "(20, 8, 8, 1,)" &&
        cmp <(npy_data packed.npy) <(npy_data black_and_white.npy && npy_data black_and_white.npy) &&
        pixelrnn pack parts --split test -o packed.npy && cmp <(npy_data packed.npy) <(npy_data black.npy) &&
        fails 1 'parts: found 3 array files .*none named for validation' pack parts --split valid -o packed.npy &&
        fails 2 '"all", expected one of train|test|valid' pack parts --split all -o packed.npy
}
check "pack: a folder of array files, whose names give the split" folders

# ---- Arrays in other layouts -----------------------------------------------------------------------------------------

fortran() { # 2 images of 1 x 3, columns first: 0 3 1 4 2 5
    printf '\0\3\1\4\2\5' | npy_write '2, 1, 3' | sed 's/False/True /' >fortran.npy
    pixelrnn pack fortran.npy -o packed.npy && cmp <(npy_data packed.npy) <(printf '\0\1\2\3\4\5')
}
check "pack: Fortran order" fortran

rows() {
    noise 640 | npy_write '10, 64' >rows.npy && pixelrnn pack rows.npy -o packed.npy && same "$(npy_shape packed.npy)" "(10, 8, 8, 1,)"
}
check "pack: rows of square images" rows

noise 384 | npy_write '2, 3, 8, 8' >first.npy
check "channels first are named" fails 1 'first.npy: npy: found \(2, 3, 8, 8\).* channels first .*transpose' pack first.npy -o packed.npy
check "a config in place of a model is named" fails 2 'eval: found the config tiny.yaml, expected MODEL: the run folder' eval tiny.yaml
check "an image file in place of a model is named" fails 1 'binary.npy: found a NumPy array \(.npy\), expected a safetensors file' eval binary.npy

pointer() {
    printf 'version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 3\n' >pointer.npy &&
        fails 1 'pointer.npy: found a Git LFS pointer .*git lfs pull' train tiny.yaml -o new --set data.train=pointer.npy &&
        fails 1 'pointer.npy: found a Git LFS pointer .*git lfs pull' train tiny.yaml -o new --set data.train=bool.npy --set data.test=bool.npy --init pointer.npy
}
check "a Git LFS pointer is named, as data and as a model" pointer

page() {
    printf '<!DOCTYPE html>\n<html>404</html>\n' >page.npy && fails 1 'page.npy: found an HTML page, expected .npy' pack page.npy -o packed.npy
}
check "an HTML page is named" page

finish

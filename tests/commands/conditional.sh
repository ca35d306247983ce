#!/bin/bash
# Conditional models: samples of classes, of smaller images and of multi-scale chains, completions, classification, and
# samples during training.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

class=$golden/diagonal_rgb_class/model.safetensors # 4 x 3 x 3, 2 levels, 9 classes
image=$golden/diagonal_rgb_image/model.safetensors # 6 x 4 x 3 from 3 x 2 x 3, 2 levels
plain=$golden/pixelcnn_grey/model.safetensors      # 6 x 5 x 1, 2 levels

sample_images() { # OUT ARGUMENT...
    pixelrnn sample "${@:2}" -o "$1" --set device="$device"
}

# bytes_of FILE.npy BYTES N: image N of an array with so many bytes an image
bytes_of() { npy_data "$1" | tail -c +$(($2 * $3 + 1)) | head -c "$2"; }

# mean_of LINE: the nats that the line `LINE 12.345 nats each` of ./out prints
mean_of() { sed -n "s/^$1 \\([0-9.]*\\) nats each.*/\\1/p" out; }

# near FOUND EXPECTED TOLERANCE
near() {
    awk -v found="$1" -v expected="$2" -v tolerance="$3" 'BEGIN {
        if (found != "" && expected != "" && (found - expected) ^ 2 <= tolerance ^ 2) exit 0
        print "found " found ", expected " expected " within " tolerance; exit 1 }'
}

# png_size FILE.png: its width and height
png_size() { od -An -tu1 -j16 -N8 "$1" | awk '{ print $3 * 256 + $4, $7 * 256 + $8 }'; }

# ---- Classes ---------------------------------------------------------------------------------------------------------

every_class_in_turn() {
    local n
    sample_images all.npy "$class" -n 30 --seed 5 || return
    for n in {0..8}; do sample_images "class_$n.npy" "$class" -n 30 --seed 5 --class "$n" || return; done
    for ((n = 0; n < 30; n++)); do
        cmp <(bytes_of all.npy 36 $n) <(bytes_of class_$((n % 9)).npy 36 $n) || return
    done
    same "$(for n in {0..8}; do npy_data "class_$n.npy" | md5sum; done | sort -u | wc -l)" 9
}
check "sample: image n has class n mod K, and is the image that --class makes" every_class_in_turn

nll_given_classes() { # eval runs the whole network, on the labels beside the file
    local sampled
    sample_images scored.npy "$class" -n 90 --seed 3 && sampled=$(mean_of NLL:) && contains out 'each given their classes' &&
        printf '\0\1\2\3\4\5\6\7\10%.0s' {1..10} | npy_write '90,' >scored.labels.npy && near "$sampled" "$(nats "$class" --data scored.npy)" 0.0011 &&
        printf '\1\2\3\4\5\6\7\10\0%.0s' {1..10} | npy_write '90,' >scored.labels.npy && ! near "$sampled" "$(nats "$class" --data scored.npy)" 0.01
}
check "sample: the NLL printed is what eval finds given the same labels" nll_given_classes

batches_agree() {
    sample_images batches.npy "$class" -n 30 --seed 5 --set eval.batch_size=7 && cmp all.npy batches.npy
}
check "sample: image n of a class is the same in every batch" batches_agree

ranks_agree() {
    together 3 sample "$class" -n 30 --seed 5 -o ranks.npy --set device="$device" --set eval.batch_size=4 && cmp all.npy ranks.npy
}

a_class_a_row() { # an image of 4 x 3 pixels is enlarged to 64 x 48
    sample_images rows.png "$class" -n 18 && same "$(png_size rows.png)" "$((2 * 49 + 1)) $((9 * 65 + 1))" &&
        sample_images long.png "$class" -n 36 && same "$(png_size long.png)" "$((4 * 49 + 1)) $((9 * 65 + 1))" &&
        sample_images many.png "$class" -n 10 && same "$(png_size many.png)" "$((4 * 49 + 1)) $((3 * 65 + 1))" &&
        sample_images one.png "$class" -n 18 --class 1 && same "$(png_size one.png)" "$((5 * 49 + 1)) $((4 * 65 + 1))"
}
check "sample: a .png has a class a row, or is nearly square" a_class_a_row

check "sample: no such class" fails 2 '^pixelrnn: --class: found 9, expected 0 to 8, a class of .*diagonal_rgb_class' sample "$class" --class 9 -o no.npy
check "sample: no negative class" fails 2 '^pixelrnn: --class: found "-1", expected an integer of 0 or more$' sample "$class" --class -1 -o no.npy
check "sample: --class needs a model with classes" fails 2 '^pixelrnn: --class: found .*pixelcnn_grey/model.safetensors with model.condition none, expected class$' \
    sample "$plain" --class 1 -o no.npy
check "sample: --class does not suit smaller images" fails 2 'with model.condition image, expected class$' sample "$image" --class 1 -o no.npy

# ---- Smaller images --------------------------------------------------------------------------------------------------

{ printf '\0%.0s' {1..18} && printf '\377%.0s' {1..18}; } | npy_write '2, 3, 2, 3' >two.npy
{ printf '\177%.0s' {1..18} && printf '\200%.0s' {1..18}; } | npy_write '2, 3, 2, 3' >grey.npy # of 2 levels: the same

smaller_images_in_turn() { # near temperature 0, an image depends on its condition alone
    sample_images cold.npy "$image" -n 5 --condition two.npy --temperature 1e-6 && contains out 'each given the smaller images' || return
    for n in 2 4; do cmp <(bytes_of cold.npy 72 0) <(bytes_of cold.npy 72 $n) || return; done
    cmp <(bytes_of cold.npy 72 1) <(bytes_of cold.npy 72 3) && ! cmp <(bytes_of cold.npy 72 0) <(bytes_of cold.npy 72 1) >/dev/null &&
        sample_images grey_cold.npy "$image" -n 5 --condition grey.npy --temperature 1e-6 && cmp cold.npy grey_cold.npy
}
check "sample: image n is made for image n mod N of --condition, in the model's levels" smaller_images_in_turn

npy_write '2, 6, 4, 3' < <(noise 144) >large.npy
npy_write '2, 3, 2' < <(noise 12) >one_channel.npy
check "sample: a model of smaller images needs them" fails 2 \
    '^pixelrnn: .*diagonal_rgb_image.*: found no smaller images, expected --condition FILE with images of 3 x 2 x 3, or a model of such images before this one$' sample "$image" -o no.npy
check "sample: images of the large size" fails 2 \
    '^pixelrnn: --condition: large.npy: found images of 6 x 4 x 3, expected 3 x 2 x 3, from which .*diagonal_rgb_image.* makes images of 6 x 4$' sample "$image" --condition large.npy -o no.npy
check "sample: images of other channels" fails 2 'one_channel.npy: found images of 3 x 2 x 1, expected 3 x 2 x 3' sample "$image" --condition one_channel.npy -o no.npy
check "sample: --condition needs a model of smaller images" fails 2 'pixelcnn_grey/model.safetensors with model.condition none, expected image$' \
    sample "$plain" --condition two.npy -o no.npy
check "sample: --condition does not suit classes" fails 2 'with model.condition class, expected image$' sample "$class" --condition two.npy -o no.npy
check "sample: no such file of smaller images" fails 1 'absent.npy' sample "$image" --condition absent.npy -o no.npy
check "sample: nothing was written" [ ! -e no.npy ]

# ---- Chains ----------------------------------------------------------------------------------------------------------

# enlarged WIDTH: RGB images of that width on standard input, with twice the sides
enlarged() {
    # shellcheck disable=SC2059 # the bytes are the format
    printf "$(od -An -v -tu1 -w$((3 * $1)) | awk '{ row = ""; for (i = 1; i <= NF; i += 3) for (k = 0; k < 2; k++) row = row sprintf("\\%03o\\%03o\\%03o", $i, $(i + 1), $(i + 2)); printf "%s%s", row, row }')"
}
noise 216 1 >pixels1
enlarged 2 <pixels1 >pixels2
enlarged 4 <pixels2 >pixels3
npy_write '12, 3, 2, 3' <pixels1 >data1.npy
npy_write '12, 6, 4, 3' <pixels2 >data2.npy
npy_write '12, 12, 8, 3' <pixels3 >data3.npy
npy_write '12,' < <(printf '\0\1\2%.0s' {1..4}) >data1.labels.npy

# trains SCALE MODEL...: trains model SCALE of the chain, until its condition has an effect
trains() {
    cat >"$1.yaml" <<END
device: $device
seed: 7
model: {$2}
data: {train: data$1.npy, levels: 4}
train: {steps: 40, batch_size: 12, optimizer: adam, learning_rate: 0.03, clip_norm: 0, warmup_steps: 0, samples: 0}
END
    pixelrnn train "$1.yaml" -o "scale$1"
}
check "a chain of three models trains" eval 'trains 1 "kind: pixelcnn, layers: 1, hidden: 3, head: 6, condition: class, classes: 3" &&
    trains 2 "kind: row_lstm, layers: 1, hidden: 3, head: 6, condition: image" && trains 3 "kind: diagonal_bilstm, layers: 1, hidden: 3, head: 6, condition: image"'

chain=(scale1 scale2 scale3 -n 60 --seed 4)

all_scales() {
    sample_images chain.npy "${chain[@]}" --all-scales && cp out chain.out && cmp chain.npy chain.3.npy &&
        same "$(npy_shape chain.1.npy)$(npy_shape chain.2.npy)$(npy_shape chain.3.npy)" '(60, 3, 2, 3,)(60, 6, 4, 3,)(60, 12, 8, 3,)' &&
        sample_images alone.npy "${chain[@]}" && cmp chain.npy alone.npy && [ ! -e alone.1.npy ]
}
check "sample: a chain, with the images of all scales and without" all_scales

link_by_link() {
    sample_images link1.npy scale1 -n 60 --seed 4 && cmp link1.npy chain.1.npy && first=$(mean_of NLL:) &&
        sample_images link2.npy scale2 -n 60 --seed 4 --condition chain.1.npy && cmp link2.npy chain.2.npy && second=$(mean_of NLL:) &&
        sample_images link3.npy scale3 -n 60 --seed 4 --condition chain.2.npy && cmp link3.npy chain.npy && third=$(mean_of NLL:) || return
    cp chain.out out && near "$(mean_of NLL:)" "$third" 0 && contains out '^NLL: .* nats each given the smaller images' &&
        near "$(mean_of 'all scales:')" "$(awk "BEGIN { print $first + $second + $third }")" 0.002 &&
        near "$(sed -n 's/^all scales:.*, \([0-9.]*\) bits.dim of 12 x 8 x 3 (an upper bound)$/\1/p' out)" \
            "$(awk "BEGIN { print ($first + $second + $third) / (12 * 8 * 3 * log(2)) }")" 0.0001
}
check "sample: a chain makes the images, and the NLL, of its models one after the other" link_by_link

# New models give all 4 levels about the same probability, so a level is a random number's quarter. Of 60 images, models
# with numbers of their own begin with the same level in 15, with standard deviation 3.4. With the same numbers nearly
# all do.
own_numbers() {
    pixelrnn train 1.yaml --set train.steps=0 -o new1 && pixelrnn train 2.yaml --set train.steps=0 -o new2 && sample_images new.npy new1 new2 -n 60 --all-scales || return
    paste <(npy_data new.1.npy | od -An -v -tu1 -w18 | awk '{ print $1 }') <(npy_data new.2.npy | od -An -v -tu1 -w72 | awk '{ print $1 }') |
        awk '{ same += $1 == $2 } END { print "the same first level: " same " of " NR; exit NR != 60 || same > 32 }'
}
check "sample: models of a chain have random numbers of their own" own_numbers

classes_of_a_chain() {
    sample_images class2.npy "${chain[@]}" --class 2 --all-scales && sample_images link.npy scale1 -n 60 --seed 4 --class 2 &&
        cmp link.npy class2.1.npy && ! cmp -s class2.1.npy chain.1.npy && ! cmp -s class2.2.npy chain.2.npy && ! cmp -s class2.npy chain.npy
}
check "sample: --class is that of the first model" classes_of_a_chain

chains_in_batches() {
    sample_images batches.npy "${chain[@]}" --set eval.batch_size=7 --all-scales && cmp batches.npy chain.npy && cmp batches.1.npy chain.1.npy && cmp batches.2.npy chain.2.npy
}
check "sample: image n of a chain is the same in every batch" chains_in_batches

chains_as_png() { # of 60 images: 3 rows, one for each class
    sample_images chain.png "${chain[@]}" --all-scales && cmp chain.png chain.3.png && same "$(png_size chain.1.png)" "$((20 * (2 * 21 + 1) + 1)) $((3 * (3 * 21 + 1) + 1))" &&
        same "$(png_size chain.png)" "$((20 * (8 * 5 + 1) + 1)) $((3 * (12 * 5 + 1) + 1))"
}
check "sample: a chain as .png" chains_as_png

interrupted() { # OUT ARGUMENT...: samples until a limit on the size of files stops it
    (trap '' XFSZ && ulimit -f 8 && fails 1 "$1.journal: File too large" sample "${@:2}" -o "$1" --set device="$device" --set eval.batch_size=4) && [ -s "$1.journal" ]
}

chain_goes_on() {
    interrupted cut.npy "${chain[@]}" && sample_images cut.npy "${chain[@]}" --all-scales && contains err 'going on after [1-9][0-9]* images' &&
        cmp cut.npy chain.npy && cmp cut.1.npy chain.1.npy && cmp cut.2.npy chain.2.npy && same "$(ls cut.npy*)" cut.npy
}
check "sample: an interrupted chain goes on" chain_goes_on

refuses() { # ARGUMENT...
    fails 2 'work.npy.journal: holds unfinished work of another' sample "$@" -o work.npy --set device="$device"
}
chain_of_other_work() {
    interrupted work.npy "${chain[@]}" && cp work.npy.journal before && refuses "${chain[@]}" --class 1 && refuses "${chain[@]}" --seed 5 &&
        refuses scale3 -n 60 --seed 4 --condition chain.2.npy && sed -i 's/seed: 7/seed: 8/' 1.yaml && pixelrnn train 1.yaml -o touched &&
        refuses touched scale2 scale3 -n 60 --seed 4 && cmp before work.npy.journal
}
check "sample: another class, first model or number of models does not go on with a chain's journal" chain_of_other_work

other_conditions() {
    rm -f work.npy.journal && interrupted work.npy scale3 -n 60 --condition chain.2.npy && refuses scale3 -n 60 --condition batches.2.npy &&
        cp chain.2.npy same.npy && npy_data link2.npy | tr '\000' '\377' | npy_write '60, 6, 4, 3' >chain.2.npy && refuses scale3 -n 60 --condition chain.2.npy &&
        cp same.npy chain.2.npy && sample_images work.npy scale3 -n 60 --condition chain.2.npy
}
check "sample: other smaller images do not go on with a journal" other_conditions

check "sample: a chain begins with its smallest model" fails 2 \
    '^pixelrnn: scale1: found model.condition class, expected image, since it samples from the images of scale2$' sample scale2 scale1 -o no.npy
check "sample: a chain leaves out no size" fails 2 \
    '^pixelrnn: scale3: found a model that samples from images of 6 x 4 x 3, 4 levels, expected 3 x 2 x 3, 4 levels, as scale1 makes$' sample scale1 scale3 -o no.npy
check "sample: a chain has one number of levels" fails 2 \
    'found a model that samples from images of 3 x 2 x 3, 2 levels, expected 3 x 2 x 3, 4 levels, as scale1 makes$' sample scale1 "$image" -o no.npy
check "sample: --all-scales needs several models" fails 2 '^pixelrnn: --all-scales: found one model, expected several, smallest first$' sample scale1 --all-scales -o no.npy
check "sample: a chain of at most 8 models" fails 2 '^pixelrnn: sample: found 9 models, expected at most 8$' sample scale{1,1,1,1,1,1,1,1,1} -o no.npy
check "sample: each model must exist" fails 1 'absent' sample absent scale2 -o no.npy

from_a_file() { # the first model of a chain may itself enlarge images
    sample_images enlarged.npy scale2 scale3 -n 60 --seed 4 --condition chain.1.npy && cmp enlarged.npy chain.npy
}
check "sample: a chain from the images of a file" from_a_file

chain_of_ranks() {
    together 3 sample "${chain[@]}" -o ranks.npy --all-scales --set device="$device" --set eval.batch_size=4 && cmp ranks.npy chain.npy && cmp ranks.1.npy chain.1.npy &&
        interrupted half.npy "${chain[@]}" && together 2 sample "${chain[@]}" -o half.npy --set device="$device" && contains err 'going on after' && cmp half.npy chain.npy
}

# ---- Completions -----------------------------------------------------------------------------------------------------

npy_write '9, 4, 3, 3' < <(noise 324) >occluded.npy
npy_write '9,' < <(printf '\10\7\6\5\4\3\2\1\0') >occluded.labels.npy

complete_images() { # OUT ARGUMENT...
    pixelrnn complete "${@:2}" --first 0 --seed 5 --completions 1 -o "$1" --set device="$device"
}

completes_with_the_class() { # nothing is given but the class: image n is that of sample --class
    local n
    complete_images completed.npy "$class" --data occluded.npy --keep top:0 -n 9 && contains out '^what was drawn: .* given their classes' || return
    for ((n = 0; n < 9; n++)); do cmp <(bytes_of completed.npy 36 $n) <(bytes_of class_$((8 - n)).npy 36 $n) || return; done
}
check "complete: an image keeps its class" completes_with_the_class
check "complete: images without labels" fails 2 'all.npy: found no labels' complete "$class" --data all.npy --keep top:0 -o no.npy

completes_with_the_smaller_image() { # each value of a smaller image is the mean of 2 x 2 equal ones
    local n
    for n in 0 1 2 3 4 5; do printf "\\$((n % 2 * 3))00%.0s" {1..72}; done | npy_write '6, 6, 4, 3' >flat.npy
    for n in 0 1 2 3 4 5; do printf "\\$((n % 2 * 3))00%.0s" {1..18}; done | npy_write '6, 3, 2, 3' >flat_small.npy
    complete_images completed.npy "$image" --data flat.npy --keep top:0 -n 6 && sample_images expected.npy "$image" --condition flat_small.npy -n 6 --seed 5 &&
        cmp completed.npy expected.npy
}
check "complete: an image keeps the smaller image of it" completes_with_the_smaller_image

completes_as_evaluated() { # values of 100 have level 0; binarised, some are 1
    printf 'd%.0s' {1..432} | npy_write '6, 6, 4, 3' >dim.npy
    complete_images plain.npy "$image" --data dim.npy --keep top:0 -n 6 --set data.values=intensity &&
        complete_images binary.npy "$image" --data dim.npy --keep top:0 -n 6 --set data.values=intensity --set data.binarize=true &&
        ! cmp -s plain.npy binary.npy
}
check "complete: of a binarised set, the smaller image is that of the binarised one" completes_as_evaluated

# ---- Classification --------------------------------------------------------------------------------------------------

cat >digits.yaml <<END
device: $device
model: {kind: pixelcnn, layers: 2, hidden: 8, head: 8, condition: class, classes: 10}
data: {train: "builtin:digits", validation: "builtin:digits", test: "builtin:digits", levels: 2, size: 8}
train: {steps: 150, batch_size: 16, optimizer: adam, learning_rate: 0.02, schedule: cosine, warmup_steps: 0, evaluate_images: 16, sample_every: 75, samples: 61}
END
check "a model of digits by class trains" pixelrnn train digits.yaml -o digits

# Guessing has accuracy 0.1 with standard error 0.01 on 1000 images: 0.5 is 40 of them above. Seeds give about 0.8.
classifies() {
    local accuracy
    pixelrnn eval digits --classify --json && accuracy=$(json accuracy) && awk -v a="$accuracy" 'BEGIN { print "accuracy " a; exit !(a > 0.5) }' &&
        near "$(json accuracy_standard_error)" "$(awk -v a="$accuracy" 'BEGIN { print sqrt(a * (1 - a) / 999) }')" 1e-6 &&
        near "$(json nats_per_image)" "$(nats digits)" 0 && pixelrnn eval digits --classify && contains out '^NLL  ' &&
        contains out "^accuracy  *$(printf %.4f "$accuracy")  \(standard error 0.0[0-9]*, 10 classes\)\$" && pixelrnn eval digits --json && ! contains out accuracy
}
check "eval --classify: far above chance" classifies

classifies_in_any_batch() {
    local batch
    pixelrnn pack builtin:digits --size 8 --range 0:50 -o fifty.npy && pixelrnn eval digits --data fifty.npy --classify --json && accuracy=$(json accuracy) || return
    for batch in 1 7 64; do
        pixelrnn eval digits --data fifty.npy --classify --json --set eval.batch_size=$batch && same "$(json accuracy)" "$accuracy" || return
    done
}
check "eval --classify: with fewer and more images a pass than classes" classifies_in_any_batch

classifies_with_ranks() {
    "${mpi[@]}" -n 3 "$program" eval digits --data fifty.npy --classify --json --set device="$device" --set eval.batch_size=8 >out 2>err && same "$(json accuracy)" "$accuracy"
}

check "eval --classify: needs a model with classes" fails 2 '^pixelrnn: --classify: found .*pixelcnn_grey/model.safetensors with model.condition none, expected class$' \
    eval "$plain" --data "$golden/pixelcnn_grey/images.npy" --classify
cp fifty.npy bare.npy
check "eval --classify: images without labels" fails 2 'bare.npy: found no labels' eval digits --data bare.npy --classify

# ---- A config with a size --------------------------------------------------------------------------------------------

sized() { # data.size is that of the large images
    pixelrnn train digits.yaml -o sized --set model.condition=image --set train.steps=1 --set train.samples=0 && noise 48 | npy_write '3, 4, 4' >four.npy &&
        sample_images sized.npy sized --condition four.npy -n 3 && same "$(npy_shape sized.npy)" '(3, 8, 8, 1,)' &&
        fails 2 'fifty.npy: found images of 8 x 8 x 1, expected 4 x 4 x 1, from which sized makes images of 8 x 8$' sample sized --condition fifty.npy -o no.npy
}
check "sample: smaller images are not brought to data.size" sized

# ---- Samples during training -----------------------------------------------------------------------------------------

training_shows_every_class() { # 61 samples become 70, in two batches; sample makes the same
    same "$(png_size digits/samples/000000150.png)" "$((7 * 65 + 1)) $((10 * 65 + 1))" && [ -e digits/samples/000000075.png ] &&
        sample_images same.png digits/checkpoints/000000150 -n 70 && cmp same.png digits/samples/000000150.png
}
check "train: samples have a class a row, rounded up to every class" training_shows_every_class

# Validation images are white, training images are not: the smaller image of each pair is white. Each pixel of an image
# of 6 x 4 is enlarged to 11 x 11. The grid has 4 columns.
training_shows_smaller_images() {
    printf '\377%.0s' {1..144} | npy_write '2, 6, 4, 3' >white.npy
    pixelrnn train 2.yaml -o pairs --set train.steps=1 --set train.batch_size=2 --set train.samples=3 --set data.validation=white.npy "$@" &&
        same "$(png_size pairs/samples/000000001.png)" "$((4 * (4 * 11 + 1) + 1)) $((2 * (6 * 11 + 1) + 1))" && mkdir -p pictures &&
        cp pairs/samples/000000001.png pictures && rm -f pairs.npy && pixelrnn pack pictures -o pairs.npy && npy_data pairs.npy | od -An -v -tu1 -w543 >rows || return
    awk '{ for (i = 1; i <= NF; i++) at[NR - 1, i - 1] = $i } END {
        for (cell = 0; cell < 6; cell++) for (y = 0; y < 6; y++) for (x = 0; x < 4; x++) for (c = 0; c < 3; c++)
            printf "%d\n", at[1 + int(cell / 4) * 67 + y * 11 + 5, 3 * (1 + cell % 4 * 45 + x * 11 + 5) + c] > "cells" cell % 2 }' rows
    same "$(sort -u cells0)" 255 && printf '\377%.0s' {1..18} | npy_write '1, 3, 2, 3' >white_small.npy &&
        sample_images beside.npy pairs -n 3 --condition white_small.npy && npy_data beside.npy | od -An -v -tu1 -w1 | awk '{ print $1 }' | cmp - cells1
}
check "train: samples stand beside the smaller image, of the validation set, and are those of sample" training_shows_smaller_images

in_tensorboard() { # the bytes of the PNG are in the file of events
    local png=pairs/samples/000000001.png
    cat pairs/events.out.tfevents.* >events && tail -c +$(($(grep -obUaP '\x89PNG' events | head -n 1 | cut -d: -f1) + 1)) events | head -c "$(stat -c %s $png)" | cmp - $png
}
check "train: TensorBoard has them" in_tensorboard

# ---- info and bench --------------------------------------------------------------------------------------------------

informs() {
    pixelrnn info "$class" && contains out '^condition  *class, 9 classes$' && pixelrnn info "$class" --json && same "$(json condition) $(json classes)" 'class 9' &&
        pixelrnn info "$image" && contains out '^condition  *image, scale 2: samples from images of 3 x 2 x 3$' &&
        pixelrnn info "$image" --json && same "$(json condition) $(json scale) $(json smaller_height) $(json smaller_width)" 'image 2 3 2' &&
        pixelrnn info "$plain" && ! grep -q '^condition' out && pixelrnn info "$plain" --json && same "$(json condition)" none
}
check "info prints the condition" informs

benches() {
    local condition
    for condition in class image; do
        pixelrnn bench digits.yaml --set model.condition=$condition --size 4 --channels 1 --seconds 0.01 --json bench.json --set train.batch_size=2 &&
            same "$(grep -oE '"phase":[[:space:]]*"[a-z_]*"' bench.json | wc -l)" 4 || return
    done
}
check "bench: all phases of conditional models" benches

if ranks_start; then
    check "sample: three ranks sample the classes of one" ranks_agree
    check "sample: ranks sample the chain of one, and go on with it" chain_of_ranks
    check "eval --classify: three ranks find what one does" classifies_with_ranks
else
    skip "ranks sample from conditional models" "no mpirun, or no MPI in this build, or one GPU for all"
fi

finish

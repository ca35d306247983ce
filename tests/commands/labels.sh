#!/bin/bash
# Labels and smaller images as conditions: where the labels of a run come from, and the message for each way in which
# they can be missing or wrong. Nothing of it concerns a model without a condition.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

cat >class.yaml <<END
device: $device
model: {kind: pixelcnn, layers: 1, hidden: 4, head: 4, condition: class, classes: 4}
data: {train: train.npy, validation: valid.npy, levels: 4}
train: {steps: 3, batch_size: 4, samples: 0, log_every: 0, evaluate_every: 0, checkpoint_every: 0}
END

# digits COUNT DIGITS: labels DIGITS, repeated to COUNT, as uint8
digits() {
    # shellcheck disable=SC2059 # the bytes are the format
    printf "$(awk -v n="$1" -v of="$2" 'BEGIN { for (i = 0; i < n; i++) printf "\\%03o", substr(of, i % length(of) + 1, 1) }')"
}
labels() { digits "$1" "$2" | npy_write "$1,"; }
idx_labels() { printf '\0\0\10\1\0\0\0' && printf "\\x$(printf %02x "$1")" && digits "$1" "$2"; }

noise 360 1 | npy_write '10, 6, 6' >train.npy
noise 180 2 | npy_write '5, 6, 6' >valid.npy
labels 10 0123 >train.labels.npy
labels 5 321 >valid.labels.npy

# ---- Where labels come from ------------------------------------------------------------------------------------------

# data RUN: what identifies the data in the record of a run's first start
data() { starts "$1" | head -n 1 | grep -o '"data":{.*}}'; }

trains() { # RUN ARGUMENT...
    pixelrnn train class.yaml -o "$@" && data "$1" >"$1.data"
}
check "train: labels beside the images" trains beside

by_keys() {
    idx_labels 10 0123 | gzip >ten.gz && labels 5 321 >five.npy && noise 360 1 | npy_write '10, 6, 6' >elsewhere.npy &&
        trains keys --set data.train=elsewhere.npy --set data.train_labels=ten.gz --set data.validation_labels=five.npy && cmp beside.data keys.data
}
check "train: the same labels, named by keys" by_keys

in_parts() {
    noise 360 1 >pixels && head -c 144 pixels | npy_write '4, 6, 6' >first.npy && tail -c 216 pixels | npy_write '6, 6, 6' >second.npy &&
        labels 4 0123 >first.labels.npy && labels 6 0123 >second.labels.npy && trains parts --set data.train=first.npy,second.npy && cmp beside.data parts.data &&
        labels 7 0123 >one.npy && labels 3 301 >two.npy && trains lists --set data.train=first.npy,second.npy --set data.train_labels=one.npy,two.npy && cmp beside.data lists.data
}
check "train: joined sources, with their own labels and with a list of files" in_parts

other_labels_differ() {
    labels 10 3210 >other.npy && trains other --set data.train_labels=other.npy && ! cmp -s beside.data other.data &&
        trains digits --set data.train=builtin:digits --set data.validation= --set data.size=8 --set model.classes=10
}
check "train: other labels have another checksum; builtin:digits has labels" other_labels_differ

packed() {
    pixelrnn pack train.npy --range 3:5 -o packed.npy && cmp <(npy_data packed.labels.npy) <(printf '\3\0\0\0\1\0\2\0\3\0') && pixelrnn pack packed.npy -o again.npy &&
        cmp packed.labels.npy again.labels.npy && trains packed --set data.train=packed.npy
}
check "pack --range: labels stay with their images" packed

# ---- Without a condition ---------------------------------------------------------------------------------------------

unconditional() {
    mkdir -p broken && cp train.npy valid.npy broken && echo text >broken/train.labels.npy && labels 4 9 >broken/valid.labels.npy || return
    trains plain --set model.condition=none --set data.train=broken/train.npy --set data.validation=broken/valid.npy --set data.test_labels=absent.npy &&
        rm broken/*.labels.npy && trains bare --set model.condition=none --set data.train=broken/train.npy --set data.validation=broken/valid.npy --set data.test_labels=absent.npy &&
        cmp plain.data bare.data && cp train.labels.npy valid.labels.npy broken &&
        trains good --set model.condition=none --set data.train=broken/train.npy --set data.validation=broken/valid.npy && cmp plain.data good.data && cmp {plain,bare}/checkpoints/000000003/model.safetensors && ! cmp -s plain.data beside.data
}
check "train: without a condition, files of labels are not opened" unconditional

# ---- Missing and wrong labels ----------------------------------------------------------------------------------------

cp train.npy bare.npy
check "train: no labels" fails 2 \
    '^pixelrnn: model.condition is class: bare.npy: found no labels, expected bare.labels.npy beside it; data.train_labels names files$' \
    train class.yaml -o new --set data.train=bare.npy
check "train: no labels of the validation images" fails 2 'bare.npy: found no labels, .* data.validation_labels names files$' \
    train class.yaml -o new --set data.validation=bare.npy
check "train: builtin:ising has none" fails 2 'builtin:ising: found no labels, expected one for each image$' \
    train class.yaml -o new --set data.train=builtin:ising --set data.validation=
check "train: a label too large" fails 2 '^pixelrnn: train.npy: found label 3 of image 3, expected 0 to 2 \(model.classes: 3\)$' \
    train class.yaml -o new --set model.classes=3
check "train: too few labels" fails 1 '^pixelrnn: model.condition is class: data.train_labels: found 5 labels, expected 10, one for each image of train.npy$' \
    train class.yaml -o new --set data.train_labels=valid.labels.npy
check "train: no file of labels" fails 1 'absent.npy: cannot be opened: No such file' train class.yaml -o new --set data.train_labels=absent.npy
check "train: images as labels" fails 1 'train.npy: npy: found .10, 6, 6. .[|]u1., expected labels: integers of shape' \
    train class.yaml -o new --set data.train_labels=train.npy
check "train: nothing was written" [ ! -e new ]

evaluates() {
    pixelrnn eval beside && pixelrnn eval beside --data train.npy && fails 2 'bare.npy: found no labels' eval beside --data bare.npy &&
        fails 2 'bare.npy: found no labels' eval beside --data bare.npy --set data.test_labels=train.labels.npy &&
        pixelrnn eval beside --set data.test=bare.npy --set data.test_labels=train.labels.npy &&
        fails 2 'expected those of' eval beside --set model.classes=5
}
check "eval: the labels of --data are beside it, those of data.test also by a key" evaluates

# ---- Smaller images --------------------------------------------------------------------------------------------------

check "train: the scale must divide the sides" fails 2 '^pixelrnn: train.npy: found images of 6 x 6, expected multiples of model.scale, 4$' \
    train class.yaml -o new --set model.condition=image --set model.scale=4

# ---- Resuming and ranks ----------------------------------------------------------------------------------------------

resumes_with_the_same_labels() {
    trains resumed --set train.steps=2 && fails 2 'data.train: found train.npy with 10 images .*; expected .*--accept-data resumes nevertheless$' \
        train resumed --resume --set train.steps=3 --set data.train_labels=other.npy &&
        pixelrnn train resumed --resume --set train.steps=3 --set data.train_labels=ten.gz && contains err '^resumed from step 2' &&
        pixelrnn train resumed --resume --set train.steps=4 --set data.train_labels=other.npy --accept-data && contains err '^resumed from step 3'
}
check "train --resume: other labels are other data" resumes_with_the_same_labels

ranks_have_the_same_labels() { # LABELS of rank 1
    "${mpi[@]}" -n 2 sh -c 'labels=train.labels.npy; [ "$OMPI_COMM_WORLD_RANK" = 0 ] || labels='"$1"'; exec "$@" --set data.train_labels=$labels' \
        sh "$program" train class.yaml -o ranks >out 2>err
}
disagree() {
    ! ranks_have_the_same_labels other.npy && contains err 'train.npy: found 10 images of .*, as on rank 0$' && [ ! -e ranks ] && ranks_have_the_same_labels ten.gz
}
if ranks_start; then
    check "train: ranks have the same labels, from files of any name" disagree
else
    skip "ranks with labels" "no MPI here"
fi

finish

#!/bin/bash
# Model files are as host/model/FORMAT.md says: model_forward.py, which was written from that page, computes the nats of
# `eval --per-image`, and finds exactly the weights that the masks keep.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

forward=$(realpath "$golden/../commands/model_forward.py")
if ! python3 -c 'import numpy' 2>/dev/null; then
    skip "model files are as their documentation says" "needs python3 with numpy"
    finish
    exit
fi
PYTHONPATH=$(dirname "$forward")
export PYTHONPATH PYTHONDONTWRITEBYTECODE=1

# compare.py MODEL IMAGES NATS LABELS: compares the nats of `eval`, computed in float32, with those of float64. They
# differ by rounding: by at most 6e-8 of their magnitude on a CPU with AVX-512. 1e-5 leaves room for the sums of other
# libraries.
cat >compare.py <<'END_OF_PYTHON'
import sys
import numpy as np
from model_forward import Model, nats_of, read_images, read_labels, tensors_of

TOLERANCE = 1e-5
model = Model(sys.argv[1])
images = read_images(model, sys.argv[2])
found, expected = np.load(sys.argv[3]), nats_of(model, images, read_labels(model, sys.argv[4], len(images)))
assert found.dtype == np.float64 and found.shape == expected.shape, (found.dtype, found.shape, expected.shape)
error = np.abs(found / expected - 1)
worst = error.argmax()
print(f"image {worst}: found {found[worst]:.9g} nats, expected {expected[worst]:.9g} within {TOLERANCE:g} of it")
assert error[worst] <= TOLERANCE
for name, mask in tensors_of(model).items():
    if name.endswith(".weight"):
        kept = model.tensors[name] != 0
        assert (kept == mask).all(), f"{name}{np.argwhere(kept != mask)[0]}: found 0, expected a weight that is kept"
END_OF_PYTHON

# agrees KIND H W C LEVELS KEY=VALUE...: trains a model of this kind for images of H x W x C for a few steps, which move
# its biases and its weights of conditions away from 0, and compares its nats. It stays in run, the images in images.npy
# with their labels beside them, their nats in nats.npy.
agrees() {
    local kind=$1 height=$2 width=$3 channels=$4 levels=$5 key keys=()
    for key in "${@:6}"; do keys+=(--set "model.$key"); done
    noise $((5 * height * width * channels)) | npy_write "5, $height, $width, $channels" >images.npy
    printf '\0\1\2\1\0' | npy_write 5, >images.labels.npy
    rm -rf run
    cat >tiny.yaml <<END_OF_CONFIG
device: $device
model: {kind: $kind, layers: 2, hidden: 5, head: 11}
data: {train: images.npy, test: images.npy, levels: $levels}
train: {steps: 4, batch_size: 4, learning_rate: 0.02, samples: 0, log_every: 0}
END_OF_CONFIG
    pixelrnn train tiny.yaml -o run "${keys[@]}" && pixelrnn eval run --data images.npy --per-image nats.npy --json &&
        python3 compare.py run/checkpoints/best/model.safetensors images.npy nats.npy images.labels.npy
}
check "PixelCNN, binary" agrees pixelcnn 6 5 1 2
check "PixelCNN, RGB of 256 levels, skip, no residual" agrees pixelcnn 4 7 3 256 skip=true residual=false
check "PixelCNN, RGB, fewer features than colours" agrees pixelcnn 3 4 3 4 hidden=2 head=2
check "Row LSTM, 256 levels, skip" agrees row_lstm 5 6 1 256 skip=true hidden=3
check "Row LSTM, RGB of 5 levels, no residual" agrees row_lstm 7 4 3 5 residual=false
check "Row LSTM, binary, a column of pixels" agrees row_lstm 6 1 1 2 layers=1
check "Diagonal BiLSTM, RGB of 256 levels, skip" agrees diagonal_bilstm 4 6 3 256 skip=true
check "Diagonal BiLSTM, RGB, fewer features than colours" agrees diagonal_bilstm 3 4 3 3 hidden=1 head=2
check "Diagonal BiLSTM, binary, a row of pixels" agrees diagonal_bilstm 1 6 1 2 layers=1
for kind in pixelcnn row_lstm diagonal_bilstm; do
    check "$kind with a class" agrees $kind 5 4 1 4 condition=class classes=3
    check "$kind with an image at 1/2, RGB, no residual" agrees $kind 4 6 3 256 condition=image residual=false
    check "$kind with an image at 1/4, skip" agrees $kind 8 4 1 2 condition=image scale=4 skip=true
done
check "Diagonal BiLSTM, 7 levels, no residual" agrees diagonal_bilstm 7 5 1 7 residual=false layers=3

printed() { # six decimals, of the last model
    python3 "$forward" run/checkpoints/best/model.safetensors images.npy >printed.txt || return
    same "$(grep -c '^image [0-4]: .* nats$' printed.txt)" 5 || return
    awk -v nats="$(json nats_per_image)" -v bits="$(json bits_per_dim)" '
        function near(found, expected) { return found - expected < 1e-5 * expected && expected - found < 1e-5 * expected }
        /^mean: / { print; agrees = near($2, nats) && near($4, bits) } END { exit !agrees }' printed.txt
}
check "model_forward.py prints nats and bits/dim of eval" printed

refused() {
    ! python3 "$forward" tiny.yaml images.npy 2>err && same "$(wc -l <err)" 1 &&
        contains err '^model_forward.py: tiny.yaml: found'
}
check "model_forward.py refuses another file with one line" refused

# The file of another program: float64, other order of the tensors, only the keys that describe the model. Batches are
# those of the run, because images may be rounded differently in other batches.
written_elsewhere() {
    cp nats.npy expected.npy
    python3 write.py && pixelrnn eval other.safetensors --data images.npy --per-image nats.npy --set device="$device" --set eval.batch_size=4 &&
        cmp nats.npy expected.npy
}
cat >write.py <<'END_OF_PYTHON'
import json, struct
from model_forward import read_safetensors
tensors, metadata = read_safetensors("run/checkpoints/best/model.safetensors")
metadata["config"] = "model: {kind: diagonal_bilstm, layers: 3, hidden: 5, head: 11, residual: false}\ndata: {levels: 7}\n"
header, data = {"__metadata__": metadata}, b""
for name in sorted(tensors, reverse=True):
    end = len(data) + tensors[name].nbytes
    header[name] = {"dtype": "F64", "shape": tensors[name].shape, "data_offsets": [len(data), end]}
    data += tensors[name].tobytes()
text = json.dumps(header).encode()
open("other.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
END_OF_PYTHON
check "eval reads the file of another program" written_elsewhere

finish

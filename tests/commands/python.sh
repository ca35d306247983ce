#!/bin/bash
# Checkpoints and arrays, read by Python if it has the packages.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

if ! python3 -c 'import numpy, safetensors' 2>/dev/null; then
    skip "checkpoints open in Python" "python3 with numpy and safetensors is not installed"
    finish
    exit
fi

noise 900 | npy_write '30, 6, 5' >images.npy
cat >tiny.yaml <<END
name: tiny
device: $device
model.skip: true
model.head: 7
model.hidden: 5
model.layers: 2
data.train: images.npy
data.test: images.npy
data.levels: 4
train.steps: 3
train.samples: 0
END

# The tensors and shapes of the models, with h = 5, q = 7, C = 1, L = 4.
cat >check.py <<'END'
import json, math, sys
import numpy as np
from safetensors import safe_open

kind, optimizer, averaged, folder = sys.argv[1], sys.argv[2], sys.argv[3] == "1", sys.argv[4]
h, q, c, levels, layers = 5, 7, 1, 4, 2
lstm = lambda *taps: {"input_to_state.weight": taps[0] + (2 * h,), "input_to_state.bias": (4 * h,), "state_to_state.weight": taps[1] + (h,)}
block = {
    "pixelcnn": {"reduce.weight": (h, 2 * h), "reduce.bias": (h,), "conv.weight": (h, 2, 3, h), "conv.bias": (h,)},
    "row_lstm": lstm((4 * h, 2), (4 * h, 3)),
    "diagonal_bilstm": {f"{side}.{name}": shape for side in ("left", "right") for name, shape in lstm((4 * h,), (4 * h, 2)).items()},
}[kind] | {"expand.weight": (2 * h, h), "expand.bias": (2 * h,)}
want = {"stem.weight": (2 * h, 4, 7, c), "stem.bias": (2 * h,)}
for l in range(layers):
    want |= {f"blocks.{l}.{name}": shape for name, shape in block.items()}
    want |= {f"skip.{l}.weight": (2 * h, 2 * h), f"skip.{l}.bias": (2 * h,)}
for i, (fan_out, fan_in) in enumerate([(q, 2 * h), (q, q), (c * levels, q)]):
    want |= {f"head.{i}.weight": (fan_out, fan_in), f"head.{i}.bias": (fan_out,)}

def tensors(path):
    with safe_open(path, "np") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()

model, metadata = tensors(f"{folder}/model.safetensors")
assert {n: t.shape for n, t in model.items()} == want, {n: t.shape for n, t in model.items()}
assert all(t.dtype == np.float32 and np.isfinite(t).all() for t in model.values())
assert set(metadata) == {"format", "config", "height", "width", "channels", "levels", "step"}, metadata
assert [metadata[k] for k in ("format", "height", "width", "channels", "levels", "step")] == ["pixelrnn", "6", "5", "1", "4", "3"], metadata
assert f"  kind: {kind}\n" in metadata["config"]
assert not model["stem.weight"][:, 3, 3:, :].any(), "mask A: the centre and the taps to its right are 0"

parts = {"sgd": [], "rmsprop": ["second."], "adam": ["first.", "second."]}[optimizer] + ["weights."] * averaged
state, _ = tensors(f"{folder}/optimizer.safetensors")
assert {n: t.shape for n, t in state.items()} == {p + n: s for p in parts for n, s in want.items()}, sorted(state)
if averaged:
    assert any((state["weights." + n] != model[n]).any() for n in want), "the average differs from the weights"
END

opens() { # KIND OPTIMIZER AVERAGED
    rm -rf run
    pixelrnn train tiny.yaml -o run --set model.kind="$1" --set train.optimizer="$2" --set train.ema_decay="0.$((9 * $3))" &&
        python3 check.py "$@" run/checkpoints/newest
}
check "PixelCNN, SGD: names, shapes, metadata, masks" opens pixelcnn sgd 0
check "Row LSTM, RMSProp: names, shapes, metadata, masks" opens row_lstm rmsprop 0
check "Diagonal BiLSTM, Adam, averaged: names, shapes, metadata, masks" opens diagonal_bilstm adam 1

arrays() {
    pixelrnn sample run -n 3 -o sampled.npy && pixelrnn eval run --data images.npy --per-image nats.npy --json || return
    python3 - "$(json nats_per_image)" <<'END'
import sys
import numpy as np
nats, sampled = np.load("nats.npy"), np.load("sampled.npy")
assert nats.dtype == np.float64 and nats.shape == (30,) and np.isclose(nats.mean(), float(sys.argv[1]), rtol=1e-12, atol=0), nats
assert sampled.dtype == np.uint8 and sampled.shape == (3, 6, 5, 1) and set(sampled.flat) <= {0, 85, 170, 255}, sampled
assert sampled.flags.c_contiguous
END
}
check "arrays load in NumPy" arrays

metrics() {
    python3 - <<'END'
import json
lines = [json.loads(line) for line in open("run/metrics.jsonl")]
assert lines[0]["start"] == 0 and "steps: 3" in lines[0]["config"], lines
assert {line["step"] for line in lines[1:]} == {3} and lines[2]["test/nats_per_image"] > 0, lines
END
}
check "metrics.jsonl is JSON" metrics

golden_nats() { # the reference's figures, in float64
    local case
    for case in "$golden"/*/; do
        pixelrnn eval "$case/model.safetensors" --data "$case/images.npy" --per-image nats.npy --json --set device="$device" &&
            python3 - "$case" <<'END' || return
import sys
import numpy as np
from safetensors import safe_open
with safe_open(sys.argv[1] + "/expected.safetensors", "np") as file:
    want = file.get_tensor("nats_per_image")
found = np.load("nats.npy")
assert np.allclose(found, want, rtol=1e-4, atol=0), (sys.argv[1], found, want)
END
    done
}
check "eval --per-image gives the golden cases' nats" golden_nats

finish

"""Computes -ln p(x), or -ln p(x | s), of images under a model.safetensors file, in float64 NumPy.

    python3 model_forward.py MODEL.safetensors IMAGES.npy [LABELS.npy]

IMAGES.npy: uint8 [N, H, W, C] or [N, H, W], intensities 0 to 255. LABELS.npy: integers [N], for a model with a class
condition; an image condition is computed from the images. Prints the nats of each image, then the mean and its bits/dim. Written from host/model/FORMAT.md alone, whose names and
symbols it uses. Feature arrays are [N, H, W, features]. For a few images: it is simple, not fast.
"""

import json
import struct
import sys

import numpy as np

METADATA = ("format", "config", "height", "width", "channels", "levels", "step")
MODEL_KEYS = ("kind", "layers", "hidden", "head", "residual", "skip")


class Model:
    """The tensors of a file as float64 arrays, and its metadata."""

    def __init__(self, path):
        self.tensors, metadata = read_safetensors(path)
        if set(METADATA) - set(metadata) or metadata["format"] != "pixelrnn":
            raise ValueError(f"{path}: found metadata {list(metadata)}, expected {', '.join(METADATA)}")
        self.H, self.W, self.C, self.L = (int(metadata[key]) for key in ("height", "width", "channels", "levels"))
        keys = read_section(metadata["config"], "model")
        if set(MODEL_KEYS) - set(keys):
            raise ValueError(f"{path}: config: found model keys {list(keys)}, expected {', '.join(MODEL_KEYS)}")
        self.kind = keys["kind"]
        self.layers, self.h, self.q = (int(keys[key]) for key in ("layers", "hidden", "head"))
        self.residual, self.skip = (keys[key] == "true" for key in ("residual", "skip"))
        self.condition = keys.get("condition", "none")
        if self.condition == "class":
            self.K = int(keys["classes"])
        if self.condition == "image":
            self.f = int(keys["scale"])
        check_tensors(path, self.tensors, tensors_of(self))

    def weight(self, layer):
        return self.tensors[layer + ".weight"]

    def bias(self, layer):
        return self.tensors[layer + ".bias"]


# ---- The file --------------------------------------------------------------------------------------------------------

def read_safetensors(path):
    """-> {name: array}, {metadata key: string}"""
    with open(path, "rb") as file:
        data = file.read()
    try:
        start = 8 + struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:start])
    except (struct.error, ValueError):
        raise ValueError(f"{path}: found no safetensors header, expected a model file") from None
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise ValueError(f"{path}: tensor {name}: found dtype {entry['dtype']}, expected F32")
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[start + begin:start + end], "<f4")
        tensors[name] = values.reshape(entry["shape"]).astype(np.float64)
    return tensors, metadata


def read_section(config, section):
    """The keys of one section of a config as the program writes it: a line `section:`, then lines `  key: value`."""
    keys, inside = {}, False
    for line in config.splitlines():
        if not line.startswith(" "):
            inside = line == section + ":"
        elif inside:
            key, value = line.strip().split(": ", 1)
            keys[key] = value
    return keys


def check_tensors(path, tensors, expected):
    """expected: {name: the mask of a weight, or the shape of a bias}. Every masked weight must be 0."""
    if set(tensors) != set(expected):
        raise ValueError(f"{path}: tensors missing or unknown: {sorted(set(tensors) ^ set(expected))}")
    for name, mask in expected.items():
        shape = mask.shape if isinstance(mask, np.ndarray) else mask
        if tensors[name].shape != shape:
            raise ValueError(f"{path}: tensor {name}: found shape {tensors[name].shape}, expected {shape}")
        if isinstance(mask, np.ndarray) and tensors[name][~mask].any():
            raise ValueError(f"{path}: tensor {name}: found masked weights that are not 0")


# ---- Tensors and masks -----------------------------------------------------------------------------------------------

def groups(features, channels):
    """The colour group of each feature."""
    return np.arange(features) * channels // features


def mask_of(kind, out, taps, into):
    """True where a weight [out, taps..., in] is kept. out, into: the groups of the outputs and inputs."""
    centre = into < out[:, None] if kind == "A" else into <= out[:, None]
    mask = np.ones((len(out), *taps, len(into)), bool)
    if len(taps) == 2:  # the last row of a kernel of odd width, whose middle is the centre
        middle = taps[1] // 2
        mask[:, -1, middle] = centre
        mask[:, -1, middle + 1:] = False
    elif len(taps) == 1:  # left, centre
        mask[:, -1] = centre
    else:
        mask[:] = centre
    return mask


def tensors_of(m):
    """{name: the mask of a weight, or the shape of a bias} for all tensors of a model."""
    h, q, C = m.h, m.q, m.C
    image, half, full, head = (groups(features, C) for features in (C, h, 2 * h, q))
    gates, logits = np.tile(half, 4), np.repeat(np.arange(C), m.L)
    tensors = {}

    def unmasked(name, *shape):
        tensors[name + ".weight"] = np.ones(shape, bool)

    def condition(block, outputs):
        if m.condition != "none":
            unmasked(block + ".condition", outputs, m.K if m.condition == "class" else 2 * h)

    def layer(name, kind, out, taps, into):
        tensors[name + ".weight"] = mask_of(kind, out, taps, into)
        tensors[name + ".bias"] = (len(out),)

    def lstm(name, input_taps, state_taps):
        layer(name + ".input_to_state", "B", gates, input_taps, full)
        unmasked(name + ".state_to_state", 4 * h, state_taps, h)
        condition(name, 4 * h)

    layer("stem", "A", full, (4, 7), image)
    for l in range(m.layers):
        if m.kind == "pixelcnn":
            layer(f"blocks.{l}.reduce", "B", half, (), full)
            layer(f"blocks.{l}.conv", "B", half, (2, 3), half)
            condition(f"blocks.{l}", h)
        elif m.kind == "row_lstm":
            lstm(f"blocks.{l}", (2,), 3)
        else:
            lstm(f"blocks.{l}.left", (), 2)
            lstm(f"blocks.{l}.right", (), 2)
        layer(f"blocks.{l}.expand", "B", full, (), half)
        if m.skip:
            layer(f"skip.{l}", "B", full, (), full)
    for i, (out, into) in enumerate([(head, full), (head, head), (logits, head)]):
        layer(f"head.{i}", "B", out, (), into)
    if m.condition == "image":
        unmasked("upsample.stem", 2 * h, 3, 3, C)
        for k in range(stages_of(m)):
            unmasked(f"upsample.{k}.deconvolution", 2 * h, 2, 2, 2 * h)
            unmasked(f"upsample.{k}.convolution", 2 * h, 3, 3, 2 * h)
        tensors |= {name.replace(".weight", ".bias"): (2 * h,) for name in tensors if name.startswith("upsample.")}
    return tensors


def stages_of(m):
    return int(np.log2(m.f))


# ---- Forward pass ----------------------------------------------------------------------------------------------------

def relu(z):
    return np.maximum(z, 0)


def sigmoid(z):
    return 0.5 * (1 + np.tanh(0.5 * z))  # 1 / (1 + exp(-z)) without overflow


def shifted(u, rows, columns):
    """v[i, j] = u[i + rows, j + columns], and 0 outside the image."""
    H, W = u.shape[1:3]
    p = max(abs(rows), abs(columns))
    padded = np.pad(u, ((0, 0), (p, p), (p, p), (0, 0)))
    return padded[:, p + rows:p + rows + H, p + columns:p + columns + W]


def conv1x1(m, layer, u):
    return u @ m.weight(layer).T + m.bias(layer)


def convolution(m, layer, u, centre):
    """Kernel [out, rows, columns, in], whose centre tap is `centre`."""
    weight = m.weight(layer)
    rows, columns = weight.shape[1:3]
    y = m.bias(layer)
    for r in range(rows):
        for k in range(columns):
            y = y + shifted(u, r - centre[0], k - centre[1]) @ weight[:, r, k, :].T
    return y


def deconvolution(m, layer, z):
    weight, (N, H, W, _) = m.weight(layer), z.shape
    y = np.empty((N, 2 * H, 2 * W, len(weight)))
    for a in range(2):
        for c in range(2):
            y[:, a::2, c::2] = m.bias(layer) + z @ weight[:, a, c, :].T
    return y


def conditioning(m, s):
    """The array m of the page, [N, H, W, S], of labels or smaller images s; None without a condition."""
    if m.condition == "none":
        return None
    if m.condition == "class":
        return np.broadcast_to(np.eye(m.K)[s][:, None, None, :], (len(s), m.H, m.W, m.K))
    z = relu(convolution(m, "upsample.stem", s, (1, 1)))
    for k in range(stages_of(m)):
        z = relu(deconvolution(m, f"upsample.{k}.deconvolution", z))
        z = relu(convolution(m, f"upsample.{k}.convolution", z, (1, 1)))
    return z


def bias_of(m, block, features):
    """What the condition adds to an array of the block."""
    return 0 if features is None else features @ m.weight(block + ".condition").T


def lstm(a, previous_cell):
    out, forget, input_, new = np.split(a, 4, axis=-1)
    cell = sigmoid(forget) * previous_cell + sigmoid(input_) * np.tanh(new)
    return sigmoid(out) * np.tanh(cell), cell


def pixelcnn_block(m, block, u, features):
    v = relu(conv1x1(m, block + ".reduce", relu(u)))
    v = relu(convolution(m, block + ".conv", v, (1, 1)) + bias_of(m, block, features))
    return conv1x1(m, block + ".expand", v)


def row_lstm_block(m, block, u, features):
    """A row at a time: hidden and cell are the states of the row above, [N, W, h]."""
    w_is, b = m.weight(block + ".input_to_state"), m.bias(block + ".input_to_state")
    w_ss = m.weight(block + ".state_to_state")
    a = b + shifted(u, 0, -1) @ w_is[:, 0, :].T + u @ w_is[:, 1, :].T + bias_of(m, block, features)
    hidden = cell = np.zeros((len(u), m.W, m.h))
    rows = []
    for i in range(m.H):
        above = np.pad(hidden, ((0, 0), (1, 1), (0, 0)))  # above[:, j] is column j - 1
        taps = sum(above[:, k:k + m.W] @ w_ss[:, k, :].T for k in range(3))
        hidden, cell = lstm(a[:, i] + taps, cell)
        rows.append(hidden)
    return conv1x1(m, block + ".expand", np.stack(rows, axis=1))


def left_hidden(m, direction, u, features):
    """The hidden states of the left direction, [N, H, W, h]. Row 0 and column 0 of the states lie outside the image."""
    w_ss = m.weight(direction + ".state_to_state")
    a = conv1x1(m, direction + ".input_to_state", u) + bias_of(m, direction, features)
    hidden, cell = np.zeros((2, len(u), m.H + 1, m.W + 1, m.h))
    for i in range(1, m.H + 1):
        for j in range(1, m.W + 1):
            taps = hidden[:, i - 1, j] @ w_ss[:, 0, :].T + hidden[:, i, j - 1] @ w_ss[:, 1, :].T
            hidden[:, i, j], cell[:, i, j] = lstm(a[:, i - 1, j - 1] + taps, cell[:, i, j - 1])
    return hidden[:, 1:, 1:]


def diagonal_bilstm_block(m, block, u, features):
    mirror = np.s_[:, :, ::-1]
    mirrored = None if features is None else features[mirror]
    left = left_hidden(m, block + ".left", u, features)
    right = left_hidden(m, block + ".right", u[mirror], mirrored)[mirror]
    return conv1x1(m, block + ".expand", left + shifted(right, -1, 0))


BLOCKS = {"pixelcnn": pixelcnn_block, "row_lstm": row_lstm_block, "diagonal_bilstm": diagonal_bilstm_block}


def nats_of(m, images, labels=None):
    """-ln p of each image of intensities [N, H, W, C]."""
    levels = images * m.L // 256
    features = conditioning(m, numbers(m, shrunk(images, m.f)) if m.condition == "image" else labels)
    u = convolution(m, "stem", numbers(m, images), (3, 3))
    s = 0
    for l in range(m.layers):
        y = BLOCKS[m.kind](m, f"blocks.{l}", u, features)
        u = u + y if m.residual else y
        if m.skip:
            s = s + conv1x1(m, f"skip.{l}", u)
    v = u + s
    for i in range(3):
        v = conv1x1(m, f"head.{i}", relu(v))
    z = v.reshape(*levels.shape, m.L)
    z = z - z.max(axis=-1, keepdims=True)  # leaves the softmax as it is, and exp cannot overflow
    log_p = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return -np.take_along_axis(log_p, levels[..., None], axis=-1).sum(axis=(1, 2, 3, 4))


# ---- Images and conditions -------------------------------------------------------------------------------------------

def numbers(m, images):
    """What the network reads of intensities."""
    return 2 * (images * m.L // 256) / (m.L - 1) - 1


def shrunk(images, f):
    N, H, W, C = images.shape
    sums = images.reshape(N, H // f, f, W // f, f, C).sum(axis=(2, 4))
    return (sums + f * f // 2) // (f * f)


def read_images(m, path):
    """-> intensities [N, H, W, C]"""
    images = np.load(path)
    shapes = [(m.H, m.W, m.C)] + [(m.H, m.W)] * (m.C == 1)
    if images.dtype != np.uint8 or images.shape[1:] not in shapes:
        raise ValueError(f"{path}: found {images.dtype} {images.shape}, expected uint8 (N, {m.H}, {m.W}, {m.C})")
    return images.reshape(-1, m.H, m.W, m.C).astype(np.int64)


def read_labels(m, path, count):
    """-> labels [N]; None without a class condition"""
    if m.condition != "class":
        return None
    if not path:
        raise ValueError(f"found no labels, expected LABELS.npy with {count} labels from 0 to {m.K - 1}")
    labels = np.load(path)
    if labels.shape != (count,) or labels.min(initial=0) < 0 or labels.max(initial=0) >= m.K:
        raise ValueError(f"{path}: found {labels.dtype} {labels.shape}, expected {count} labels from 0 to {m.K - 1}")
    return labels


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    model = Model(sys.argv[1])
    images = read_images(model, sys.argv[2])
    nats = nats_of(model, images, read_labels(model, sys.argv[3] if len(sys.argv) == 4 else None, len(images)))
    for n, value in enumerate(nats):
        print(f"image {n}: {value:.6f} nats")
    print(f"mean: {nats.mean():.6f} nats, {nats.mean() / (model.H * model.W * model.C * np.log(2)):.6f} bits/dim")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"model_forward.py: {error}")

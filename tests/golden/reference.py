"""PixelCNN, Row LSTM and Diagonal BiLSTM in float64, pixel by pixel and tap by tap.

van den Oord, Kalchbrenner, Kavukcuoglu, "Pixel Recurrent Neural Networks", arXiv:1601.06759. Nothing here is fast, and
nothing is skewed, batched over pixels or fused: a map is a dictionary {(row, column): Array [N, features]}, and a
pixel that is not in it is outside the image, where everything is 0. Glossary: N batch, H W image, C channels,
L levels, h hidden, q head. The condition of a batch is None, labels [N], or the levels [N, H/f, W/f, C] of the smaller
images.

    python3 reference.py --verify FOLDER...   compares the expected figures of golden cases with this reference
    python3 reference.py --check FOLDER...    compares its gradients with finite differences; tests causality
"""

import argparse
import pathlib
import sys
from typing import NamedTuple

import numpy as np

from autodiff import Array, distance_to_kink, gradients, linear, relu, sigmoid, softmax_nll, tanh, total
from files import quantise, read_config, read_safetensors


class Model(NamedTuple):
    kind: str          # pixelcnn | row_lstm | diagonal_bilstm
    layers: int
    hidden: int        # h: maps between blocks carry 2h features
    head: int          # q
    residual: bool
    skip: bool
    height: int
    width: int
    channels: int      # C: 1 or 3
    levels: int        # L
    condition: str = "none"   # none | class | image
    classes: int = 0   # K, of a class condition
    scale: int = 0     # f, of an image condition: a power of two


# ------------------------------------------------------------------------------- parameters and masks (section 3.4)

def groups(features, channels):
    """The colour group of each feature of a map: group(f) = floor(f C / F)."""
    return [f * channels // features for f in range(features)]


def mask(kind, out, taps, into):
    """1 where a weight [out, taps..., in] is free, 0 where it is held at 0. `out` and `into` are lists of groups.

    Taps above, or to the left in the same row, are kept whole. At the centre, mask A keeps group(in) < group(out)
    and mask B keeps group(in) <= group(out). taps: () is 1 x 1; (2,) is left, centre; (rows, columns) is the top half
    of a square kernel, whose last row ends, as far as it is allowed to see, at the centre.
    """
    centre = np.array([[a < b if kind == "A" else a <= b for a in into] for b in out], np.float64)
    keep = np.ones((len(out), *taps, len(into)))
    if len(taps) == 2:
        middle = taps[1] // 2
        keep[:, -1, middle] = centre
        keep[:, -1, middle + 1:] = 0
    elif len(taps) == 1:
        keep[:, -1] = centre
    else:
        keep[:] = centre
    return keep


def parameters(m):
    """{name: mask}, in the order of the file. A mask has the shape of its tensor; what is not masked has ones."""
    C, h = m.channels, m.hidden
    image, half, full, head = (groups(features, C) for features in (C, h, 2 * h, m.head))
    gates = 4 * half                          # o, f, i, g: h features each, grouped each on its own
    into_condition = {"none": 0, "class": m.classes, "image": 2 * h}[m.condition]
    logits = groups(C * m.levels, C)          # logit c L + l belongs to group c
    masks = {}

    def layer(name, keep):
        masks[name + ".weight"] = keep
        masks[name + ".bias"] = np.ones(len(keep))

    def condition(name, out):
        if into_condition:
            masks[name + ".condition.weight"] = np.ones((out, into_condition))

    def lstm(name, input_taps, state_taps):
        layer(name + ".input_to_state", mask("B", gates, input_taps, full))
        masks[name + ".state_to_state.weight"] = np.ones((4 * h, state_taps, h))
        condition(name, 4 * h)

    layer("stem", mask("A", full, (4, 7), image))
    for l in range(m.layers):
        block = f"blocks.{l}"
        if m.kind == "pixelcnn":
            layer(block + ".reduce", mask("B", half, (), full))
            layer(block + ".conv", mask("B", half, (2, 3), half))
            condition(block, h)
        elif m.kind == "row_lstm":
            lstm(block, (2,), 3)
        else:
            lstm(block + ".left", (), 2)
            lstm(block + ".right", (), 2)
        layer(block + ".expand", mask("B", full, (), half))
        if m.skip:
            layer(f"skip.{l}", mask("B", full, (), full))
    layer("head.0", mask("B", head, (), full))
    layer("head.1", mask("B", head, (), head))
    layer("head.2", mask("B", logits, (), head))
    if m.condition == "image":
        layer("upsample.stem", np.ones((2 * h, 3, 3, C)))
        for k in range(doublings(m)):
            layer(f"upsample.{k}.deconvolution", np.ones((2 * h, 2, 2, 2 * h)))
            layer(f"upsample.{k}.convolution", np.ones((2 * h, 3, 3, 2 * h)))
    return masks


def doublings(m):
    """log2(f): the smaller image is doubled so many times."""
    return m.scale.bit_length() - 1


# ------------------------------------------------------------------- layers: w is {name: Array}, u a map {pixel: Array}

# Where each tap of a kernel looks: {index of the tap: (rows down, columns right)}.
POINT = {(): (0, 0)}
STEM = {(r, c): (r - 3, c - 3) for r in range(4) for c in range(7)}
CONV = {(r, c): (r - 1, c - 1) for r in range(2) for c in range(3)}
ROW_INPUT = {(0,): (0, -1), (1,): (0, 0)}                   # left, centre
ROW_STATE = {(0,): (-1, -1), (1,): (-1, 0), (2,): (-1, 1)}  # columns j-1, j, j+1 of the row above
LEFT_STATE = {(0,): (-1, 0), (1,): (0, -1)}                 # above, beside
RIGHT_STATE = {(0,): (-1, 0), (1,): (0, 1)}                 # the mirror image
SQUARE = {(r, c): (r - 1, c - 1) for r in range(3) for c in range(3)}     # of the upsampling network: not masked
ABOVE, TO_THE_LEFT, TO_THE_RIGHT = (-1, 0), (0, -1), (0, 1)


def step(pixel, offset):
    return pixel[0] + offset[0], pixel[1] + offset[1]


def cut(weight, taps):
    """weight [out, taps..., in] -> the matrix [out, in] of each tap, with where it looks."""
    return [(offset, weight[(slice(None), *tap)]) for tap, offset in taps.items()]


def add_taps(y, kernels, u, pixel):
    """y + sum over taps of W[tap] u(pixel + offset)."""
    for offset, kernel in kernels:
        seen = step(pixel, offset)
        if seen in u:
            y = y + linear(u[seen], kernel)
    return y


def convolution(w, name, taps, u):
    kernels, bias = cut(w[name + ".weight"], taps), w[name + ".bias"]
    return {pixel: add_taps(bias, kernels, u, pixel) for pixel in u}


def pointwise(function, *maps):
    return {pixel: function(*(u[pixel] for u in maps)) for pixel in maps[0]}


def add(u, v):
    return pointwise(Array.__add__, u, v)


def lstm_cell(a, c_prev):
    """Equation 3: a [N, 4h] are the pre-activations of o, f, i, g; c_prev is None outside the image, where it is 0."""
    h = a.value.shape[1] // 4
    o, f, i, g = (a[:, k * h:(k + 1) * h] for k in range(4))
    c = sigmoid(i) * tanh(g)
    if c_prev is not None:
        c = sigmoid(f) * c_prev + c
    return sigmoid(o) * tanh(c), c


def lstm(w, name, taps, cell_from, order, input_to_state):
    """h(p) for each pixel p in `order`: a(p) = input_to_state(p) + sum over taps of W[tap] h(p + offset)."""
    kernels = cut(w[name + ".state_to_state.weight"], taps)
    h, c = {}, {}
    for pixel in order:
        a = add_taps(input_to_state[pixel], kernels, h, pixel)
        h[pixel], c[pixel] = lstm_cell(a, c.get(step(pixel, cell_from)))
    return h


def add_condition(w, name, s, u):
    """u + W s, at each pixel. s is the conditioning map, or None without a condition."""
    if s is None:
        return u
    weight = w[name + ".condition.weight"]
    return {pixel: u[pixel] + linear(s[pixel], weight) for pixel in u}


def input_to_state(w, name, taps, u, s):
    return add_condition(w, name, s, convolution(w, name + ".input_to_state", taps, u))


def pixelcnn(w, name, u, s):
    """Section 3.5, figure 5 left: reduce, 3 x 3, to be expanded."""
    v = convolution(w, name + ".reduce", POINT, pointwise(relu, u))
    v = convolution(w, name + ".conv", CONV, pointwise(relu, v))
    return pointwise(relu, add_condition(w, name, s, v))


def row_lstm(w, name, u, s):
    """Section 3.1: each row is a step; the state comes from three pixels of the row above."""
    return lstm(w, name, ROW_STATE, ABOVE, sorted(u), input_to_state(w, name, ROW_INPUT, u, s))


def diagonal_bilstm(w, name, u, s):
    """Section 3.2: one sweep from each upper corner; the right one is moved down a row, to see no pixel to come."""
    left, right = name + ".left", name + ".right"
    from_left = sorted(u)
    from_right = sorted(u, key=lambda pixel: (pixel[0], -pixel[1]))
    h_left = lstm(w, left, LEFT_STATE, TO_THE_LEFT, from_left, input_to_state(w, left, POINT, u, s))
    h_right = lstm(w, right, RIGHT_STATE, TO_THE_RIGHT, from_right, input_to_state(w, right, POINT, u, s))
    return {pixel: h_left[pixel] + h_right[step(pixel, ABOVE)] if pixel[0] > 0 else h_left[pixel] for pixel in u}


BLOCKS = {"pixelcnn": pixelcnn, "row_lstm": row_lstm, "diagonal_bilstm": diagonal_bilstm}


# ------------------------------------------------------------------------------------ conditioning: section 3.6, p(x | s)

def shrink(images, m):
    """Eight-bit images [N, H, W, C] -> the levels [N, H/f, W/f, C] of the smaller ones: averages, halves rounded up."""
    N, f = len(images), m.scale
    squares = images.astype(np.int64).reshape(N, m.height // f, f, m.width // f, f, m.channels)
    return quantise((squares.sum(axis=(2, 4)) + f * f // 2) // (f * f), m.levels)


def double(w, name, s):
    """The deconvolution of 2 x 2 taps with a stride of 2: t(2i+a, 2j+b) = W[:, a, b, :] s(i, j) + bias."""
    weight, bias = w[name + ".weight"], w[name + ".bias"]
    return {(2 * i + a, 2 * j + b): bias + linear(s[i, j], weight[:, a, b])
            for i, j in s for a in range(2) for b in range(2)}


def conditioning_map(m, w, condition):
    """The map s {pixel: Array} that blocks are biased by: of a class, 1 at its label; of an image, the features that
    the upsampling network makes of it."""
    if m.condition == "none":
        return None
    if m.condition == "class":
        one_hot = Array(np.eye(m.classes)[condition])
        return {(i, j): one_hot for i in range(m.height) for j in range(m.width)}
    s = pointwise(relu, convolution(w, "upsample.stem", SQUARE, to_values(m, condition)))
    for k in range(doublings(m)):
        t = pointwise(relu, double(w, f"upsample.{k}.deconvolution", s))
        s = pointwise(relu, convolution(w, f"upsample.{k}.convolution", SQUARE, t))
    return s


# ------------------------------------------------------------------------------------------------------- the network

def to_values(m, levels):
    """levels [N, rows, columns, C] -> the map that the network reads."""
    values = 2 * levels / (m.levels - 1) - 1
    return {(i, j): Array(values[:, i, j]) for i in range(values.shape[1]) for j in range(values.shape[2])}


def forward(m, w, levels, condition):
    """levels [N, H, W, C] -> the map of logits {pixel: [N, C L]}."""
    image, s = to_values(m, levels), conditioning_map(m, w, condition)
    u = convolution(w, "stem", STEM, image)
    skips = []
    for l in range(m.layers):
        block = f"blocks.{l}"
        v = convolution(w, block + ".expand", POINT, BLOCKS[m.kind](w, block, u, s))
        u = add(u, v) if m.residual else v
        if m.skip:
            skips.append(convolution(w, f"skip.{l}", POINT, u))
    for skip in skips:
        u = add(u, skip)
    for l in range(3):
        u = convolution(w, f"head.{l}", POINT, pointwise(relu, u))
    return u


def nats_per_image(m, logits, levels):
    """-ln p(x | s), equations 1 and 2: the sum over pixels and colours of -ln p(x_i | x_<i, s); [N]."""
    L, nats = m.levels, Array(np.zeros(len(levels)))
    for (i, j), y in logits.items():
        for c in range(m.channels):
            nats = nats + softmax_nll(y[:, c * L:(c + 1) * L], levels[:, i, j, c])
    return nats


class Figures(NamedTuple):
    logits: np.ndarray           # [N, H, W, C, L]
    nats: np.ndarray             # [N]
    loss: Array                  # mean over the batch of nats / (H W C)
    parameters: dict             # {name: Array}: the leaves to differentiate the loss by

    def gradients(self):
        return gradients(self.loss, self.parameters)


def evaluate(m, weights, levels, condition):
    """The loss of `weights` ({name: ndarray}) on images `levels`; a masked entry is never read."""
    leaves = {name: Array(weight) for name, weight in weights.items()}
    w = {name: leaves[name] * Array(keep) for name, keep in parameters(m).items()}
    y = forward(m, w, levels, condition)
    nats = nats_per_image(m, y, levels)
    loss = total(nats) * Array(1 / levels.size)
    rows = [[y[i, j].value for j in range(m.width)] for i in range(m.height)]
    logits = np.moveaxis(np.array(rows), 2, 0).reshape(*levels.shape, m.levels)
    return Figures(logits, nats.value, loss, leaves)


# ---------------------------------------------------------------------------------------- training, expected figures

SGD_RATE = 0.1
RMSPROP_STEPS, RMSPROP_RATE, RMSPROP_RHO, RMSPROP_EPSILON = 2, 0.01, 0.9, 1e-5


def sgd(weights, g):
    return {name: w - SGD_RATE * g[name] for name, w in weights.items()}


def rmsprop(weights, v, g):
    """v = rho v + (1 - rho) g^2; w -= rate g / (sqrt(v) + epsilon). -> (weights, v)"""
    v = {name: RMSPROP_RHO * v[name] + (1 - RMSPROP_RHO) * g[name] ** 2 for name in v}
    return {name: w - RMSPROP_RATE * g[name] / (np.sqrt(v[name]) + RMSPROP_EPSILON) for name, w in weights.items()}, v


def expected(m, weights, levels, condition):
    """-> (the tensors of expected.safetensors, the smallest |x| that a relu was given on the way)."""
    first = evaluate(m, weights, levels, condition)
    g = first.gradients()
    stepped, v = rmsprop(weights, {name: np.zeros_like(w) for name, w in weights.items()}, g)
    kink = distance_to_kink(first.loss)
    for _ in range(RMSPROP_STEPS - 1):
        again = evaluate(m, stepped, levels, condition)
        stepped, v = rmsprop(stepped, v, again.gradients())
        kink = min(kink, distance_to_kink(again.loss))
    tensors = {"logits": first.logits, "nats_per_image": first.nats}
    after = sgd(weights, g)
    for name in weights:
        tensors |= {"grad." + name: g[name], "sgd." + name: after[name], "rmsprop2." + name: stepped[name]}
    return tensors, kink


# ------------------------------------------------------------------------------------------------- cases and commands

def describe(config, metadata):
    """The Model of a config's text and a model file's metadata."""
    c = read_config(config)
    return Model(c["model.kind"], int(c["model.layers"]), int(c["model.hidden"]), int(c["model.head"]),
                 c["model.residual"] == "true", c["model.skip"] == "true",
                 *(int(metadata[key]) for key in ("height", "width", "channels", "levels")),
                 c.get("model.condition", "none"), int(c.get("model.classes", 0)), int(c.get("model.scale", 0)))


def read_case(folder):
    """-> (Model, {name: weight}, levels [N, H, W, C], condition); demands the names, shapes and zeros that the model wants."""
    weights, metadata = read_safetensors(folder / "model.safetensors")
    m = describe(metadata["config"], metadata)
    masks = parameters(m)
    if set(masks) != set(weights):
        raise ValueError(f"{folder}: tensors missing or unknown: {sorted(set(masks) ^ set(weights))}")
    for name, keep in masks.items():
        if weights[name].shape != keep.shape:
            raise ValueError(f"{folder}: {name} is {weights[name].shape}, want {keep.shape}")
        if np.any(weights[name][keep == 0]):
            raise ValueError(f"{folder}: {name} is not 0 where it is masked")
    images = np.load(folder / "images.npy")
    images = images.reshape(len(images), m.height, m.width, m.channels)
    return m, {name: weights[name] for name in masks}, quantise(images, m.levels), read_condition(folder, m, images)


def read_condition(folder, m, images):
    """Labels lie in a file beside the images, [N]; smaller images are made of the images."""
    if m.condition == "none":
        return None
    if m.condition == "image":
        return shrink(images, m)
    labels = np.load(folder / "images.labels.npy")
    if labels.shape != (len(images),) or labels.min() < 0 or labels.max() >= m.classes:
        raise ValueError(f"{folder}: images.labels.npy: want {len(images)} labels of 0 to {m.classes - 1}")
    return labels


def verify(folder, tolerance=1e-6):
    """Every figure within `tolerance` of its tensor's largest magnitude: float32 files round by 6e-8 of it."""
    ours, kink = expected(*read_case(folder))
    theirs, _ = read_safetensors(folder / "expected.safetensors")
    if set(ours) != set(theirs):
        print(f"FAIL {folder.name}: tensors missing or unknown: {sorted(set(ours) ^ set(theirs))}")
        return False
    worst, good = {}, True
    for name, want in theirs.items():
        if ours[name].shape != want.shape:
            print(f"FAIL {folder.name}: {name} is {want.shape}, the reference has {ours[name].shape}")
            good = False
            continue
        error = np.abs(ours[name] - want) / (np.abs(want).max() or 1)
        family = name.split(".")[0]
        worst[family] = max(worst.get(family, 0), error.max())
        if not error.max() <= tolerance:
            at = np.unravel_index(error.argmax(), error.shape)
            print(f"FAIL {folder.name}: {name}{list(map(int, at))} is {want[at]:.9g}, the reference has"
                  f" {ours[name][at]:.9g} (tolerance {tolerance:g} of the tensor's largest)")
            good = False
    errors = "  ".join(f"{family} {error:.1e}" for family, error in worst.items())
    print(f"{folder.name:24} {errors}  (nearest kink {kink:.1e})")
    return good


def check_gradients(m, weights, levels, condition, tolerance=1e-8):
    """Central differences of fourth order along one random direction through all entries of each tensor.

    The steps stay well inside the distance to the nearest kink of relu: across one there is no slope to compare with.
    The error is relative to the gradient's norm, or to 1e-2 where that is smaller: the loss itself is rounded to 1e-16.
    """
    random = np.random.RandomState(1)
    here = evaluate(m, weights, levels, condition)
    g, kink = here.gradients(), distance_to_kink(here.loss)
    width = min(1e-4, kink / 10)
    worst, where = 0.0, ""
    for name, weight in weights.items():
        direction = random.standard_normal(weight.shape)
        direction /= np.linalg.norm(direction)

        def loss(t):
            return evaluate(m, weights | {name: weight + t * direction}, levels, condition).loss.value
        slope = (8 * (loss(width) - loss(-width)) - (loss(2 * width) - loss(-2 * width))) / (12 * width)
        error = abs(slope - np.sum(g[name] * direction)) / max(np.linalg.norm(g[name]), 1e-2)
        if error > worst:
            worst, where = error, name
    allowed = tolerance * 1e-4 / width        # the loss's own rounding, divided by the step
    print(f"    gradients: {worst:.1e} at {where or 'none'} (step {width:.0e}, tolerance {allowed:.0e})")
    return worst <= allowed


def influence(m, weights, levels, condition):
    """Changes each value k in turn, in the order of the values. -> (the k that reach a logit up to their own,
    which causality forbids; the k that reach no later one, though there is one)."""
    def logits(levels_):
        found = evaluate(m, weights, levels_.reshape(levels.shape), condition).logits
        return found.reshape(len(levels), -1, m.levels)

    values, before = levels.reshape(len(levels), -1), logits(levels)
    leaks, unread = [], []
    for k in range(values.shape[1]):
        changed = values.copy()
        changed[:, k] = (changed[:, k] + 1) % m.levels
        moved = np.any(logits(changed) != before, axis=(0, 2))
        if moved[:k + 1].any():
            leaks.append(k)
        if k + 1 < len(moved) and not moved[k + 1:].any():
            unread.append(k)
    return leaks, unread


def influence_of_condition(m, weights, levels, condition):
    """Changes each number of the condition in turn. -> (those that reach no logit; the values whose logits none
    reaches). A condition may reach the logits of every value, those of the first one too."""
    if m.condition == "none" or m.classes == 1:       # there is no other label
        return [], []
    numbers, before = condition.reshape(len(levels), -1), evaluate(m, weights, levels, condition).logits
    count, unread, reached = m.classes or m.levels, [], np.zeros(levels[0].size, bool)
    for k in range(numbers.shape[1]):
        changed = numbers.copy()
        changed[:, k] = (changed[:, k] + 1) % count
        moved = evaluate(m, weights, levels, changed.reshape(condition.shape)).logits != before
        moved = np.any(moved.reshape(len(levels), -1, m.levels), axis=(0, 2))
        reached |= moved
        if not moved.any():
            unread.append(k)
    return unread, list(map(int, np.flatnonzero(~reached)))


def check_causality(*case):
    """A changed value leaves every logit up to its own exactly, not nearly, as it was; a changed condition need not."""
    leaks, unread = influence(*case)
    print(f"    causality: reach an earlier logit: {leaks or 'none'}; reach no later one: {unread or 'none'}")
    if case[0].condition == "none":
        return not leaks
    unread, unreached = influence_of_condition(*case)
    print(f"    condition: reach no logit: {unread or 'none'}; values that none reaches: {unreached or 'none'}")
    return not leaks and not unread and not unreached


def check(folder):
    print(folder.name)
    case = read_case(folder)
    return all([check_gradients(*case), check_causality(*case)])


def main():
    parser = argparse.ArgumentParser(description="float64 reference of the models")
    parser.add_argument("--verify", nargs="+", type=pathlib.Path, default=[], metavar="FOLDER")
    parser.add_argument("--check", nargs="+", type=pathlib.Path, default=[], metavar="FOLDER")
    arguments = parser.parse_args()
    results = [verify(folder) for folder in arguments.verify] + [check(folder) for folder in arguments.check]
    if not results:
        parser.error("nothing to do: give --verify or --check, with folders")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())

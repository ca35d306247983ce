"""Makes the golden cases: small models with random weights, random images, and the figures that reference.py expects.

    python3 make_golden.py [CASE...]    writes <case>/ beside this script; every case without names
"""

import pathlib
import sys

import numpy as np

from files import encode, write_safetensors
from reference import Model, describe, expected, influence, influence_of_condition, parameters, shrink

HERE = pathlib.Path(__file__).parent
PIXELCNN, ROW, DIAGONAL = "pixelcnn", "row_lstm", "diagonal_bilstm"

# The nearest that a relu's input may come to 0, so that rounding, in float32 too, does not change a slope.
CLEARANCE = 2e-4

CASES = {
    # name                       N        kind      layers  h   q  residual skip   H   W  C  L
    "pixelcnn_grey":            (3, Model(PIXELCNN,   2,    5,  7, True,  False,   6,  5, 1, 2)),
    "pixelcnn_grey_row":        (2, Model(PIXELCNN,   1,    6,  5, False, True,    1,  9, 1, 4)),
    "pixelcnn_grey_large":      (1, Model(PIXELCNN,   1,   11,  9, True,  False,   9, 10, 1, 2)),
    "pixelcnn_rgb_skip":        (2, Model(PIXELCNN,   2,    7,  9, True,  True,    4,  6, 3, 4)),
    "pixelcnn_rgb_h1":          (1, Model(PIXELCNN,   3,    1,  6, True,  False,   3,  4, 3, 2)),
    "pixelcnn_rgb_h8":          (1, Model(PIXELCNN,   2,    8,  8, True,  False,   4,  5, 3, 4)),
    "row_lstm_grey":            (2, Model(ROW,        3,    5,  6, True,  False,   7,  3, 1, 2)),
    "row_lstm_grey_1x1_256":    (3, Model(ROW,        1,    3,  4, True,  False,   1,  1, 1, 256)),
    "row_lstm_grey_wide":       (1, Model(ROW,        1,    9,  8, True,  False,   3, 18, 1, 4)),
    "row_lstm_rgb_skip":        (2, Model(ROW,        2,    7,  9, True,  True,    3,  7, 3, 4)),
    "row_lstm_rgb_h2_column":   (3, Model(ROW,        2,    2,  5, False, True,    6,  1, 3, 3)),
    "row_lstm_grey_h8":         (1, Model(ROW,        2,    8,  8, True,  False,   5,  4, 1, 2)),
    "diagonal_grey":            (3, Model(DIAGONAL,   2,    5,  6, True,  False,   4,  7, 1, 2)),
    "diagonal_grey_row":        (2, Model(DIAGONAL,   1,    4,  4, True,  False,   1,  6, 1, 16)),
    "diagonal_grey_column":     (2, Model(DIAGONAL,   2,    3,  4, False, False,   6,  1, 1, 4)),
    "diagonal_grey_tall":       (1, Model(DIAGONAL,   1,    8,  8, True,  False,  11,  3, 1, 2)),
    "diagonal_rgb_skip":        (2, Model(DIAGONAL,   2,    7,  9, True,  True,    6,  4, 3, 4)),
    "diagonal_rgb_h2":          (1, Model(DIAGONAL,   3,    2,  3, False, True,    3,  4, 3, 6)),
    "diagonal_rgb_1x1":         (2, Model(DIAGONAL,   1,    5,  9, True,  False,   1,  1, 3, 4)),
    "diagonal_rgb_256":         (1, Model(DIAGONAL,   1,    5,  6, True,  False,   2,  3, 3, 256)),
    # with a condition: its kind, K, f
    "pixelcnn_grey_class":      (3, Model(PIXELCNN,   2,    5,  7, True,  True,    5,  4, 1, 2, "class", 3)),
    "pixelcnn_rgb_image":       (2, Model(PIXELCNN,   2,    3,  6, True,  False,   4,  2, 3, 4, "image", 0, 2)),
    "pixelcnn_grey_image_4":    (1, Model(PIXELCNN,   1,    6,  5, False, True,    4, 12, 1, 2, "image", 0, 4)),
    "row_lstm_rgb_class":       (4, Model(ROW,        2,    5,  7, True,  True,    3,  5, 3, 3, "class", 2)),
    "row_lstm_grey_image":      (2, Model(ROW,        2,    3,  5, False, False,   2,  6, 1, 256, "image", 0, 2)),
    "diagonal_grey_class_1":    (2, Model(DIAGONAL,   1,    3,  4, True,  False,   3,  4, 1, 4, "class", 1)),
    "diagonal_rgb_class":       (3, Model(DIAGONAL,   2,    7,  6, False, True,    4,  3, 3, 2, "class", 9)),
    "diagonal_grey_image_4":    (1, Model(DIAGONAL,   2,    2,  5, True,  False,   8,  4, 1, 3, "image", 0, 4)),
    "diagonal_rgb_image":       (2, Model(DIAGONAL,   1,    5,  6, True,  True,    6,  4, 3, 2, "image", 0, 2)),
}

CONFIG = """\
name: {name}
seed: 1
device: cpu
precision: float32
model:
  kind: {m.kind}
  layers: {m.layers}
  hidden: {m.hidden}
  head: {m.head}
  residual: {residual}
  skip: {skip}
{condition}data:
  train: images.npy
  test: images.npy
  levels: {m.levels}
  shuffle: false
train:
  steps: 1
  batch_size: {batch}
  optimizer: sgd
  learning_rate: 0.1
  clip_norm: 0
  ema_decay: 0
"""


def draw_weights(m, random):
    """Float32 numbers; a row's spread is 1 / sqrt(its free weights), so that signals neither die nor explode."""
    weights = {}
    for name, keep in parameters(m).items():
        fan_in = keep.sum(axis=tuple(range(1, keep.ndim)), keepdims=True) if keep.ndim > 1 else 4
        spread = 1.5 / np.sqrt(np.maximum(fan_in, 1))
        weights[name] = np.float32(random.standard_normal(keep.shape) * spread * keep).astype(np.float64)
    return weights


def draw_condition(m, images, random):
    if m.condition == "image":
        return shrink(images, m)
    return random.randint(0, m.classes, len(images)) if m.condition == "class" else None


def alive(m, *batch):
    """Whether each value reaches a later logit, and the condition the logits of every value. With fewer features than
    colours the last pixel's value cannot always."""
    _, unread = influence(m, *batch)
    levels = batch[1]
    first_of_last_pixel = levels[0].size - m.channels
    return (all(m.hidden < m.channels and value >= first_of_last_pixel for value in unread)
            and influence_of_condition(m, *batch) == ([], []))


def draw_case(m, images):
    """The first seed that gives a case worth having: no relu near its kink, no part of the network dead."""
    for seed in range(1, 3000):
        random = np.random.RandomState(seed)          # its stream is the same in every version of numpy
        weights = draw_weights(m, random)
        levels = random.randint(0, m.levels, (images, m.height, m.width, m.channels))
        batch = weights, levels, draw_condition(m, encode(levels, m.levels), random)
        figures, kink = expected(m, *batch)
        if kink >= CLEARANCE and alive(m, *batch):
            return seed, batch, figures
    raise RuntimeError(f"no seed gives {m} a case")


def config_of(name, m, images):
    condition = {"none": "", "class": f"  condition: class\n  classes: {m.classes}\n",
                 "image": f"  condition: image\n  scale: {m.scale}\n"}[m.condition]
    return CONFIG.format(name=name, m=m, batch=images, residual=str(m.residual).lower(), skip=str(m.skip).lower(),
                         condition=condition)


def make(name):
    count, m = CASES[name]
    seed, (weights, levels, condition), figures = draw_case(m, count)
    config = config_of(name, m, count)
    metadata = {"format": "pixelrnn", "config": config, "height": str(m.height), "width": str(m.width),
                "channels": str(m.channels), "levels": str(m.levels), "step": "0"}
    assert describe(config, metadata) == m

    folder = HERE / name
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(config)
    images = encode(levels, m.levels)
    np.save(folder / "images.npy", images[..., 0] if m.channels == 1 else images)
    if m.condition == "class":
        np.save(folder / "images.labels.npy", condition)
    write_safetensors(folder / "model.safetensors", weights, metadata, "F32")
    write_safetensors(folder / "expected.safetensors", figures, {
        "loss": "mean over images of nats / (H*W*C)", "sgd": "1 step, rate 0.1",
        "rmsprop2": "2 steps, rate 0.01, rho 0.9, epsilon 1e-5, same batch"}, "F64")
    size = sum(path.stat().st_size for path in folder.iterdir())
    print(f"{name:24} seed {seed:3}  {size / 1024:6.1f} KiB")


def main():
    names = sys.argv[1:] or CASES
    for name in names:
        if name not in CASES:
            sys.exit(f"make_golden.py: no case named {name}; there are: {', '.join(CASES)}")
        make(name)


if __name__ == "__main__":
    main()

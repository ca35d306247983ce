"""Compares the PyTorch models with golden cases: logits, nats, gradients, two steps of RMSProp, and the cached sampler.

    python3 check.py FOLDER...    folders of tests/golden; those of models with a condition are skipped
"""

import pathlib
import sys

import numpy as np
import torch

from files import load_network, read_config, read_safetensors, spec_of
from models import loss_of
from sample import Sampler

# float32 against a float64 reference, relative to the largest magnitude of a tensor.
TOLERANCE = 1e-4


class Mismatch(Exception):
    pass


def compare(what, found, want):
    found, want = found.detach().double(), want.double()
    if found.shape != want.shape:
        raise Mismatch(f"{what}: found shape {list(found.shape)}, expected {list(want.shape)}")
    error, allowed = (found - want).abs(), TOLERANCE * want.abs().max().item()
    if not error.max() <= allowed:
        at = tuple(int(index) for index in np.unravel_index(error.argmax().item(), error.shape))
        raise Mismatch(f"{what}{list(at)}: found {found[at].item():.9g}, expected {want[at].item():.9g} +- {allowed:.1g}")


def check_training(network, levels, expected):
    optimizer = torch.optim.RMSprop(network.parameters(), lr=0.01, alpha=0.9, eps=1e-5)
    for step in range(2):
        optimizer.zero_grad()
        loss_of(network, levels).backward()
        if step == 0:
            for name, parameter in network.named_parameters():
                compare("grad." + name, parameter.grad, expected["grad." + name])
        optimizer.step()
    for name, parameter in network.named_parameters():
        compare("rmsprop2." + name, parameter, expected["rmsprop2." + name])


@torch.no_grad()
def cached_logits(network, levels):
    """The logits of the cached sampler when its values are set to `levels`."""
    count, height, width, channels = levels.shape
    sampler, logits = Sampler(network, count, width), torch.empty(*levels.shape, network.spec.levels)
    for i in range(height):
        sampler.begin_row()
        for j in range(width):
            for c in range(channels):
                logits[:, i, j, c] = sampler.logits(c)
                sampler.put(c, levels[:, i, j, c])
        sampler.end_row()
    return logits


def check_case(folder, channels_last):
    config, expected = read_config(folder / "config.yaml"), read_safetensors(folder / "expected.safetensors")
    images = np.load(folder / "images.npy")
    images = images.reshape(*images.shape[:3], -1)
    spec = spec_of(config, images.shape[-1])
    levels = torch.from_numpy((images.astype(np.int64) * spec.levels // 256).astype(np.uint8))
    network = load_network(folder / "model.safetensors", spec, channels_last=channels_last)
    compare("nats_per_image", network(levels), expected["nats_per_image"])
    compare("logits", network.logits(levels), expected["logits"])
    compare("logits of the sampler", cached_logits(network, levels), expected["logits"])
    check_training(network, levels, expected)


def main():
    failures = 0
    for folder in map(pathlib.Path, sys.argv[1:]):
        if read_config(folder / "config.yaml").get("model.condition", "none") != "none":
            print(f"{folder.name}: skipped, the PyTorch models have no conditions")
            continue
        for layout in ("channels_first", "channels_last"):
            try:
                check_case(folder, layout == "channels_last")
                print(f"{folder.name}, {layout}: agrees")
            except Mismatch as mismatch:
                failures += 1
                print(f"{folder.name}, {layout}: {mismatch}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()

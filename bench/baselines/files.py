"""Configs, models and images as pixelrnn keeps them, read with NumPy and PyTorch alone."""

import json
import pathlib
import struct

import torch

from models import Network, Spec

DTYPES = {"F32": torch.float32, "F64": torch.float64}


def read_safetensors(path):
    """-> {name: tensor}. Layout: u64 header bytes, JSON header, data."""
    data = pathlib.Path(path).read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        tensors[name] = torch.frombuffer(bytearray(data[begin:end]), dtype=DTYPES[entry["dtype"]]).view(entry["shape"])
    return tensors


def read_config(path, settings=()):
    """{"model.hidden": "128", ...} of a config of sections and scalars and its bases, after `key=value` settings."""
    values, section, path = {}, "", pathlib.Path(path)
    for line in path.read_text().splitlines():
        key, _, value = line.partition("#")[0].partition(":")
        if not line.startswith(" "):
            section = "" if value.strip() else key.strip() + "."
        if value.strip():
            values[(section if line.startswith(" ") else "") + key.strip()] = value.strip()
    if "base" in values:
        values = read_config(path.parent / values.pop("base")) | values
    return values | dict(setting.split("=", 1) for setting in settings)


def spec_of(config, channels):
    return Spec(config["model.kind"], *(int(config[f"model.{key}"]) for key in ("layers", "hidden", "head")),
                *(config[f"model.{key}"] == "true" for key in ("residual", "skip")), channels, int(config["data.levels"]))


def load_network(path, spec, **options):
    network = Network(spec, **options)
    network.load_state_dict(read_safetensors(path))
    return network

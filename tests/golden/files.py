"""The files of a golden case: config.yaml, model.safetensors, images.npy, expected.safetensors."""

import json
import pathlib
import struct

import numpy as np

DTYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}


def read_safetensors(path):
    """-> ({name: float64 array}, {metadata key: string}). Layout: u64 header bytes, JSON header, data."""
    data = pathlib.Path(path).read_bytes()
    start = 8 + struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:start])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (start + offset for offset in entry["data_offsets"])
        values = np.frombuffer(data[begin:end], DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"]).astype(np.float64)
    return tensors, metadata


def write_safetensors(path, tensors, metadata, dtype):
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name, tensor in tensors.items():
        blobs.append(np.ascontiguousarray(tensor, DTYPES[dtype]).tobytes())
        header[name] = {"dtype": dtype, "shape": list(np.shape(tensor)),
                        "data_offsets": [offset, offset + len(blobs[-1])]}
        offset += len(blobs[-1])
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)           # the data starts on 8 bytes
    pathlib.Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def read_config(text):
    """The sections and scalars of a config as {"model.hidden": "5", ...}: the part of YAML that a case uses."""
    values, section = {}, ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if not line.startswith(" "):
            section = "" if value.strip() else key + "."
        if value.strip():
            values[(section if line.startswith(" ") else "") + key.strip()] = value.strip()
    return values


def quantise(bytes_, levels):
    """Eight-bit values -> levels: floor(v L / 256)."""
    return bytes_.astype(np.int64) * levels // 256


def encode(image, levels):
    """Levels -> eight-bit values: the nearest to 255 level / (L - 1) that quantises back to it, the lower of two."""
    every = np.arange(256)
    table = [min(every[quantise(every, levels) == level], key=lambda v: abs(v * (levels - 1) - 255 * level))
             for level in range(levels)]
    return np.array(table, np.uint8)[image]

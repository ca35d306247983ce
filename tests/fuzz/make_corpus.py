#!/usr/bin/env python3
"""Writes the seeds of tests/fuzz/corpus: small files of every variant that a reader accepts, in one folder for each reader.

    python3 tests/fuzz/make_corpus.py

Readers must accept all files except those named bad_*, which they must refuse; tests/unit/test_corpus.c checks that. The
folder also has files that this script does not write, mostly inputs that were once read wrongly; it leaves them as they
are. Only Python's standard library is needed.
"""
import bz2
import gzip
import io
import json
import lzma
import pathlib
import struct
import tarfile
import zipfile
import zlib

CORPUS = pathlib.Path(__file__).parent / "corpus"


def ramp(count):
    return bytes(37 * i % 256 for i in range(count))


def squeeze(content):
    return gzip.compress(content, mtime=0)


# Arrays -------------------------------------------------------------------------------------------------------------


def npy(shape, version=1, descr="|u1", order=False, bytes_each=1):
    count = bytes_each
    for size in shape:
        count *= size
    header = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + ramp(count)


def npy_seeds():
    yield "grey.npy", npy((3, 4, 5))
    yield "colour.npy", npy((2, 4, 3, 3))
    yield "one_pixel.npy", npy((1, 1, 1, 1))
    yield "version_2.npy", npy((2, 2, 2), version=2)
    yield "version_3.npy", npy((2, 2, 2), version=3)
    yield "grey.npy.gz", squeeze(npy((3, 4, 5)))
    yield "fortran.npy", npy((3, 2, 2), order=True)
    yield "fortran_planes.npy", npy((2, 12), order=True)
    yield "rows.npy", npy((2, 9))
    yield "bool.npy", npy((1, 2, 2), descr="|b1")
    yield "bad_channels_first.npy", npy((1, 3, 2, 2))
    yield "bad_float.npy", npy((2, 2, 2), descr="<f8", bytes_each=8)
    yield "bad_short.npy", npy((2, 2, 2))[:-1]
    yield "bad_rank.npy", npy((8,))


def npz(members, method=zipfile.ZIP_DEFLATED, zip64=False):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            with archive.open(info, "w", force_zip64=zip64) as member:
                member.write(content)
    return out.getvalue()


def npz_seeds():
    images = ("images.npy", npy((3, 4, 4, 3)))
    labels = ("labels.npy", npy((3,), descr="<i8", bytes_each=8))
    split = [(name, npy((count, 3, 3))) for name, count in (("x_train.npy", 4), ("x_test.npy", 2))]
    yield "deflated.npz", npz([labels, images])
    yield "stored.npz", npz([labels, images], zipfile.ZIP_STORED)
    yield "zip64.npz", npz([images], zip64=True)
    yield "split.npz", npz(split)
    yield "labelled.npz", npz([split[0], ("y_train.npy", npy((4, 1)))])
    yield "split_stored.npz", npz(split, zipfile.ZIP_STORED)
    yield "planes.npz", npz([("data.npy", npy((2, 48))), labels])
    yield "other_name.zip", npz([("a/b/pixels.npy", npy((2, 9)))])
    yield "fortran.npz", npz([("x.npy", npy((3, 2, 2), order=True)), ("y.npy", npy((3, 1)))])
    yield "one_hot.npz", npz([("y.npy", npy((1, 4))[:-4] + b"\0\1\0\0"), ("pixels.npy", npy((2, 2, 2)))])
    yield "bad_several.npz", npz([("a.npy", npy((1, 2, 2))), ("b.npy", npy((1, 2, 2)))])
    yield "bad_torch.pt", npz([("archive/data.pkl", b"\x80\2}q\1")])
    yield "bad_two.npz", npz([("a/data.npy", npy((1, 2, 2))), ("b/data.npy", npy((1, 2, 2)))])
    yield "bad_empty.zip", npz([])
    large = ("images.npy", npy((1, 300, 300, 3))[:-270000] + bytes(270000))
    yield from zip_seeds()
    stated, found = (struct.pack("<I", size) for size in (4_000_000_000, len(labels[1])))
    yield "labels_size.npz", npz([labels, images]).replace(found, stated)
    for name, member in (("bad_checksum.npz", images), ("bad_checksum_large.npz", large)):  # large: found out at its end
        yield name, npz([member]).replace(struct.pack("<I", zlib.crc32(member[1])), bytes(4))


def zip_seeds():
    images = [("a/1.png", png(4, 3, 2)), ("a/2.JPG", jpeg(4, 3)), ("a/3.webp", b"RIFF"), ("a/notes.txt", b"text")]
    yield "images.zip", npz(images)
    yield "images_stored.zip", npz(images, zipfile.ZIP_STORED)
    checksum = struct.pack("<I", zlib.crc32(images[1][1]))
    yield "bad_image.zip", npz(images).replace(checksum, bytes(4))
    yield "bad_other_formats.zip", npz(images[2:])


def idx(shape, kind=8):
    count = 1
    for size in shape:
        count *= size
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + ramp(count)


def idx_seeds():
    yield "images", idx((3, 4, 5))
    yield "images.gz", squeeze(idx((3, 4, 5)))
    yield "one_pixel", idx((1, 1, 1))
    yield "bad_labels", idx((5,))
    yield "bad_float", idx((1, 2, 2), kind=0x0D)
    yield "bad_huge", struct.pack(">BBBB3I", 0, 0, 8, 3, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)


def labels_seeds():
    for name, kind, each in (("u1", "|u1", 1), ("u2", "<u2", 2), ("u2_big", ">u2", 2)):
        yield f"{name}.npy", npy((4,), descr=kind, bytes_each=each)
    yield "i8.npy", npy((4,), descr="<i8", bytes_each=8)[:-32] + struct.pack("<4q", 0, 1, 65535, 9)
    yield "column.npy", npy((5, 1))
    yield "u1.npy.gz", squeeze(npy((5,)))
    yield "idx", idx((5,))
    yield "idx.gz", squeeze(idx((5,)))
    yield "bad_range.npy", npy((2,), descr="<i8", bytes_each=8)
    yield "bad_float.npy", npy((2,), descr="<f4", bytes_each=4)
    yield "bad_short.npy", npy((3,), descr="<i4", bytes_each=4)[:-1]
    yield "bad_rank.npy", npy((2, 2))
    yield "bad_images", idx((1, 2, 2))
    yield "bad_short", idx((5,))[:-1]


def amat_seeds():
    yield "two.amat", b"0 1 1 0 \n1 1 0 0 \n"
    yield "two.amat.gz", squeeze(b"0 1 1 0 \n1 1 0 0 \n")
    yield "carriage_returns.amat", b"0 1 1 0\r\n1\t1 0 0\r\n\r\n"
    yield "one_pixel.amat", b"1\n"
    yield "no_end.amat", b"1 0 0 1 0 0 1 1 1"
    yield "bad_digit.amat", b"0 1 2 0\n"
    yield "bad_square.amat", b"0 1 1\n"
    yield "bad_rows.amat", b"0 1 1 0\n0\n"


def cifar_batch(count, label=3):
    return b"".join(bytes([label]) + ramp(3072) for _ in range(count))


def cifar_seeds():
    batches = [(f"cifar-10-batches-bin/data_batch_{i}.bin", cifar_batch(1, i)) for i in range(1, 6)]
    whole = [*batches, ("cifar-10-batches-bin/test_batch.bin", cifar_batch(1))]
    yield "one.bin", cifar_batch(1)
    yield "two.bin.gz", squeeze(cifar_batch(2))
    yield "cifar-10-binary.tar.gz", squeeze(tar(whole))
    yield "bad_missing.tar.gz", squeeze(tar(batches[1:]))
    hundred = bytes([19, 99]) + ramp(3072)
    yield "hundred.bin", hundred
    parts = [(f"cifar-100-binary/{name}.bin", hundred) for name in ("train", "test")]
    yield "cifar-100-binary.tar.gz", squeeze(tar(parts))
    yield "bad_python.tar.gz", squeeze(tar([("cifar-100-python/train", b"\x80\2}q\1")]))
    yield "bad_label.bin.gz", squeeze(cifar_batch(1) + cifar_batch(1, 10))


# Images -------------------------------------------------------------------------------------------------------------


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_rows(height, width, bits, samples, row_filter):
    row_bytes = (width * bits * samples + 7) // 8
    return b"".join(bytes([row_filter]) + ramp(row_bytes) for _ in range(height))


def png(height, width, colour, bits=8, row_filter=0, interlaced=False, before=b""):
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    if interlaced:  # Adam7: each pass begins at row, column and takes every so manieth
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
        sizes = [(len(range(y, height, dy)), len(range(x, width, dx))) for y, x, dy, dx in passes]
        rows = b"".join(png_rows(h, w, bits, samples, row_filter) for h, w in sizes if w > 0)
    else:
        rows = png_rows(height, width, bits, samples, row_filter)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    parts = [(b"IHDR", header), *before, (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


class Bits:
    """The compressed bits of a scan; a byte FF is followed by 00."""

    def __init__(self):
        self.text = ""

    def put(self, value, length):
        self.text += format(value, f"0{length}b") if length else ""

    def bytes(self):
        text = self.text + "1" * (-len(self.text) % 8)
        whole = bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))
        return whole.replace(b"\xff", b"\xff\0")


def segment(marker, content):
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def scan_header(components, first, last, high, low):
    table = b"".join(bytes([c, 0]) for c in components)
    return segment(0xDA, bytes([len(components)]) + table + bytes([first, last, high << 4 | low]))


# Symbol s has the code of four bits s: of the DC table sizes of a difference, of the AC table what AC lists.
AC = [0x00, 0x01, 0x11, 0xF0, 0x02, 0x10, 0x20]
TABLES = b"".join(
    segment(0xC4, bytes([kind << 4, 0, 0, 0, len(symbols)]) + bytes(12) + bytes(symbols))
    for kind, symbols in ((0, range(8)), (1, AC))
)


def put_block(bits, value, coefficients=True):
    """A block whose DC differs by value (0 to 127) from the one before; with one further coefficient, 1, or none."""
    size = value.bit_length()
    bits.put(size, 4)
    bits.put(value, size)
    if coefficients:
        bits.put(AC.index(0x11), 4)
        bits.put(1, 1)
    bits.put(AC.index(0x00), 4)


def baseline_scan(units, blocks, restart):
    """Units of so many blocks, and a restart marker after so many units, or none."""
    out = b""
    restart = restart or units
    for start in range(0, units, restart):
        bits = Bits()
        for unit in range(start, min(start + restart, units)):
            for block in range(blocks):
                put_block(bits, 8 * (unit % 3), block == 0)
        marker = bytes([0xFF, 0xD0 + start // restart % 8])
        out += bits.bytes() + (marker if start + restart < units else b"")
    return out


def progressive_scans(units, components):
    """DC and its last bit of all components, then three scans of each component's other coefficients."""
    first, second = Bits(), Bits()
    for _ in range(units * len(components)):
        first.put(2, 4)
        first.put(2, 2)
        second.put(1, 1)
    out = scan_header(components, 0, 0, 0, 1) + first.bytes() + scan_header(components, 0, 0, 1, 0) + second.bytes()
    for component in components:
        begun, run, refined = Bits(), Bits(), Bits()
        for _ in range(units):
            begun.put(AC.index(0x01), 4)
            begun.put(1, 1)
            begun.put(AC.index(0x00), 4)
            refined.put(AC.index(0x01), 4)
            refined.put(1, 1)
            refined.put(0, 1)
            refined.put(AC.index(0x00), 4)
        for _ in range(units // 2):
            run.put(AC.index(0x10), 4)
            run.put(0, 1)
        for _ in range(units % 2):
            run.put(AC.index(0x00), 4)
        out += scan_header([component], 1, 5, 0, 1) + begun.bytes()
        out += scan_header([component], 6, 63, 0, 0) + run.bytes()
        out += scan_header([component], 1, 5, 1, 0) + refined.bytes()
    return out


def jpeg(height, width, components=3, halved=False, restart=0, progressive=False, before=b""):
    """Samples of the first component may be twice as many, each way, as those of the others."""
    side = 16 if halved else 8
    units = -(-height // side) * -(-width // side)
    sampling = [0x22 if halved and c == 0 else 0x11 for c in range(components)]
    frame = struct.pack(">BHHB", 8, height, width, components)
    frame += b"".join(bytes([c + 1, s, 0]) for c, s in enumerate(sampling))
    out = b"\xff\xd8" + before + segment(0xDB, b"\0" + bytes([8] * 64))
    out += segment(0xC2 if progressive else 0xC0, frame) + TABLES
    out += segment(0xDD, struct.pack(">H", restart)) if restart else b""
    names = range(1, components + 1)
    if progressive:
        out += progressive_scans(units, names)
    else:
        out += scan_header(names, 0, 63, 0, 0) + baseline_scan(units, components + 3 * halved, restart)
    return out + b"\xff\xd9"


def image_seeds():
    palette = (b"PLTE", ramp(3 * 16))
    for bits in 1, 2, 4, 8, 16:
        yield f"grey_{bits}.png", png(5, 7, 0, bits)
    for row_filter in range(5):
        yield f"colour_filter_{row_filter}.png", png(4, 3, 2, row_filter=row_filter)
    yield "colour_16.png", png(3, 3, 2, 16)
    yield "grey_alpha.png", png(3, 3, 4)
    yield "colour_alpha.png", png(3, 3, 6)
    yield "colour_alpha_16.png", png(2, 2, 6, 16)
    yield "palette.png", png(3, 5, 3, 4, before=[palette])
    yield "palette_alpha.png", png(3, 5, 3, 4, before=[palette, (b"tRNS", ramp(16))])
    yield "colour_key.png", png(3, 3, 2, before=[(b"tRNS", ramp(6))])
    yield "interlaced.png", png(9, 10, 2, interlaced=True)
    yield "interlaced_1.png", png(9, 10, 0, 1, interlaced=True)
    yield "grey.jpg", jpeg(9, 17, components=1)
    yield "colour.jpg", jpeg(9, 17)
    yield "halved.jpg", jpeg(17, 33, halved=True)
    yield "restart.jpg", jpeg(16, 40, restart=3)
    yield "four.jpg", jpeg(8, 8, components=4, before=segment(0xEE, b"Adobe\0\x64\0\0\0\0\x02"))
    yield "jfif.jpg", jpeg(8, 8, before=segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"))
    yield "progressive.jpg", jpeg(9, 17, progressive=True)
    yield "progressive_grey.jpg", jpeg(20, 20, components=1, progressive=True)
    yield "bad_table.jpg", jpeg(8, 8, before=segment(0xC4, b"\0" + bytes([255] * 16)))
    yield "bad_table_cut.jpg", b"\xff\xd8\xff\xc4\0\x1a\0" + bytes([0, 200, 200])
    yield "bad_chunk_name.png", png(1, 1, 0, before=[(b"A\nBC", b"")])
    yield "bad_chunk.png", png(1, 1, 0, before=[(b"IDAT", b"x")]).replace(b"\0\0\0\x0aIDAT", b"\x60\0\0\0IDAT")
    yield "bad_cut.png", png(5, 7, 0)[:-20]
    yield "bad_cut.jpg", jpeg(9, 17)[:-2]
    yield "bad_crc.png", png(5, 7, 0).replace(b"IDATx", b"IDATX")
    adler = chunk(b"IDAT", zlib.compress(png_rows(5, 7, 8, 1, 0), 9)[:-1] + b"?")
    yield "bad_adler.png", png(5, 7, 0)[:33] + adler + chunk(b"IEND", b"")
    for order, name in ("<", b"II"), (">", b"MM"):
        entry = struct.pack(order + "HHHIHH", 1, 0x112, 3, 1, 6 if order == "<" else 5, 0)
        tiff = name + struct.pack(order + "HI", 42, 8) + entry
        yield f"turned_{name.decode()}.jpg", jpeg(9, 17, before=segment(0xE1, b"Exif\0\0" + tiff))
    yield "bad_huge.png", png(1, 1, 0).replace(struct.pack(">II", 1, 1), struct.pack(">II", 32768, 32768))


def tar(members, kind=tarfile.USTAR_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    packed = out.getvalue().rstrip(b"\0")
    return packed + bytes(-len(packed) % 512 + 1024)  # the two blocks that end it; tarfile writes up to twenty


def tar_seeds():
    members = [("a/1.png", png(4, 3, 2)), ("a/2.JPG", jpeg(4, 3)), ("a/notes.txt", b"text")]
    long = [("long/" * 30 + "1.png", png(4, 3, 2))]
    yield "ustar.tar", tar(members)
    yield "ustar.tar.gz", squeeze(tar(members))
    yield "ustar.tar.bz2", bz2.compress(tar(members))
    yield "ustar.tar.xz", lzma.compress(tar(members))
    yield "folders.tar", tar([(f"a/{name}.png", png(4, 3, 2)) for name in ("cat/1", "ant/2", "cat/3")])
    yield "bad_tars.tar", tar([("n01440764.tar", tar(members)), ("n01443537.tar", tar(members))])
    yield "pax.tar", tar(long, tarfile.PAX_FORMAT)
    yield "gnu.tar", tar(long, tarfile.GNU_FORMAT)
    yield "bad_damaged.tar", tar([("1.png", png(4, 3, 2)), ("2.png", b"no picture")])
    yield "bad_sizes.tar", tar([("1.png", png(4, 3, 2)), ("2.png", png(3, 3, 2))])
    yield "bad_empty.tar", tar([("notes.txt", b"text")])
    yield "bad_cut.tar", tar(members)[:700]


# Tensors and configs ------------------------------------------------------------------------------------------------


def safetensors(tensors, metadata=None, header=None):
    entries, data = {}, b""
    for name, dtype, shape, count in tensors:
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + count]}
        data += ramp(count)
    if metadata:
        entries["__metadata__"] = metadata
    text = json.dumps(entries).encode() if header is None else header
    return struct.pack("<Q", len(text)) + text + data


def safetensors_seeds():
    each = [("f32", "F32", [2, 3], 24), ("f64", "F64", [2], 16), ("i64", "I64", [1], 8), ("u8", "U8", [5], 5)]
    yield "each_dtype.safetensors", safetensors(each, {"format": "1", "key": "value"})
    yield "unaligned.safetensors", safetensors(each[::-1])
    yield "scalar_and_empty.safetensors", safetensors([("scalar", "F32", [], 4), ("empty", "F32", [0, 7], 0)])
    yield "nothing.safetensors", safetensors([])
    entry = b'"%s":{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}'
    yield "bad_hole.safetensors", safetensors([], header=b"{" + entry % (b"a", 1, 1, 2) + b"}") + b"ab"
    yield "bad_twice.safetensors", safetensors([], header=b"{%b,%b}" % ((entry % (b"a", 0, 0, 0),) * 2))
    yield "bad_overflow.safetensors", safetensors([("a", "F32", [2**40, 2**40], 0)])
    yield "bad_pointer.safetensors", b"version https://git-lfs.github.com/spec/v1\n"
    yield "bad_length.safetensors", struct.pack("<Q", 2**63) + b"{}"


CONFIG = """\
name: "fuzz"  # a comment
seed: 7
model: {kind: row_lstm, layers: 2, hidden: 4}
model.head: 8
data:
  train: builtin:digits
  test: ~
  levels: 2
  shuffle: off
train:
  learning_rate: 1.5e-3
  optimizer: adam
  schedule: cosine
"""


def config_seeds():
    yield "most.yaml", CONFIG.encode()
    yield "empty.yaml", b"# nothing but a comment\n"
    yield "lists.yaml", b"data:\n  train: [a.npy, 'b, c.npy']\n  test:\n  - x\n  - '7'\n  values: levels\n"
    yield "utf_16.yaml", "name: \u00fcber\n".encode("utf-8")
    yield "folded.yaml", b"name: >-\n  a\n  b\n'seed': !!int 3\n".replace(b"!!int ", b"")
    yield "bad_key.yaml", b"model:\n  layer: 7\n"
    yield "bad_alias.yaml", b"name: &a x\ndata:\n  train: *a\n"
    yield "bad_value.yaml", b"train: {learning_rate: nan}\n"
    yield "bad_syntax.yaml", b"train: {steps: 1\n"
    yield "bad_documents.yaml", b"seed: 1\n---\nseed: 2\n"
    yield "bad_list.yaml", b"data: {train: [a, [b]]}\n"
    yield "bad_twice.yaml", b"seed: 1\nseed: 2\n"
    yield "bad_base.yaml", b"base: other.yaml\nseed: 2\n"


def model_seeds():
    tensors = [("stem.weight", "F32", [2], 8)]
    sizes = {"height": "4", "width": "4", "channels": "1", "levels": "2"}
    said = {"format": "pixelrnn", "config": CONFIG, **sizes, "step": "9"}
    yield "whole.safetensors", safetensors(tensors, said)
    yield "bad_step.safetensors", safetensors(tensors, {**said, "step": "1\n2"})
    yield "bad_config.safetensors", safetensors(tensors, {**said, "config": "seed: x"})
    yield "bad_base.safetensors", safetensors(tensors, {**said, "config": "base: other.yaml"})
    yield "bad_format.safetensors", safetensors(tensors)


SEEDS = {
    "amat": amat_seeds,
    "cifar": cifar_seeds,
    "config": config_seeds,
    "idx": idx_seeds,
    "labels": labels_seeds,
    "model": model_seeds,
    "npy": npy_seeds,
    "npz": npz_seeds,
    "image": image_seeds,
    "safetensors": safetensors_seeds,
    "tar": tar_seeds,
}

for reader, seeds in SEEDS.items():
    (CORPUS / reader).mkdir(parents=True, exist_ok=True)
    for name, content in seeds():
        (CORPUS / reader / name).write_bytes(content)

#!/bin/bash
# Images in whole commands: zips and compressed tars, photos with an EXIF orientation, other formats and damaged files
# among them, JPEG masks, packed files that were damaged later, and a current folder that was deleted.
# shellcheck source=tests/support/shell.sh
. "$(dirname "$0")/../support/shell.sh"

command -v python3 >/dev/null || { skip "images" "python3 makes them"; finish; exit; }

# ---- Making files ----------------------------------------------------------------------------------------------------

# A JPEG of 8 x 8. Its three left columns are black and the others white, all with noise of up to 14.
jpeg_hex=$(tr -d '\n' <<END
ffd8ffe000104a46494600010100000100010000ffdb008400100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933383740
485c4e404457453738506d51575f626768673e4d71797064785c656763011112121815182f1a1a2f6342384263636363636363636363636363636363
63636363636363636363636363636363636363636363636363636363636363636363ffc00011080008000803012200021101031101ffc401a2000001
0501010101010100000000000000000102030405060708090a0b100002010303020403050504040000017d0102030004110512213141061351610722
7114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435363738393a434445464748494a535455565758595a63646566
6768696a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5
d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa0100030101010101010101010000000000000102030405060708090a0b110002010204
0403040705040400010277000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434e125f11718191a2627
28292a35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a92939495969798999aa2
a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9faffda000c030100
02110311003f00d0f863ff0022f5c7fd7db7fe8095d8571ff0c7fe45eb8ffafb6ffd012bb0a00fffd9
END
)

python3 - "$jpeg_hex" <<'END' || exit 1
import os, struct, sys, tarfile, zipfile, zlib

def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

def png(side, value, channels=3):
    rows = (b"\0" + bytes([value] * channels * side)) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2 if channels == 3 else 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

def write(path, content):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "wb") as out:
        out.write(content)

good = {f"mixed/{i}.png": png(8, 60 * i) for i in range(4)}
bad = bytearray(png(8, 7))
bad[bad.index(b"IDAT") + 6] ^= 1
others = {"mixed/a.webp": b"RIFF", "mixed/b.gif": b"GIF8", "mixed/c.gif": b"GIF8", "mixed/notes.txt": b"text"}
for path, content in {**good, "mixed/4.png": bytes(bad), **others}.items():
    write(path, content)
for path, content in good.items():
    write(path.replace("mixed", "good"), content)

for kind, method in ("deflated", zipfile.ZIP_DEFLATED), ("stored", zipfile.ZIP_STORED):
    with zipfile.ZipFile(f"{kind}.zip", "w", method) as archive:
        for path, content in good.items():
            archive.writestr(path, content)

def tar(path, mode, members):
    with tarfile.open(path, mode) as archive:
        for name in members:
            archive.add(name)

for mode in "gz", "bz2", "xz":
    try:
        tar(f"good.tar.{mode}", f"w:{mode}", sorted(path.replace("mixed", "good") for path in good))
    except tarfile.CompressionError:
        pass  # a python3 without it; tests/unit/test_data_images.c has all of them
tar("n01440764.tar", "w", ["good"])
tar("n01443537.tar", "w", ["good"])
tar("train.tar", "w", ["n01440764.tar", "n01443537.tar"])

jpeg = bytes.fromhex(sys.argv[1])
tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x112, 3, 1, 6, 0)
exif = b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff
write("mask.jpg", jpeg)
write("turned.jpg", jpeg[:2] + exif + jpeg[2:])
write("grey.png", png(8, 100, 1))
END

# ---- Packing ---------------------------------------------------------------------------------------------------------

reports() {
    pixelrnn pack mixed -o mixed.npy &&
        contains err "^skipped image 4: mixed/4.png: found damaged data in the PNG's chunk IDAT, whose CRC-32 is [0-9A-F]{8}, expected [0-9A-F]{8}$" &&
        contains err '^skipped 1 of 5 images$' && contains err '^left out other formats than PNG and JPEG: 2 GIF, 1 WebP$' &&
        contains out '^4 images of 8 x 8 x 3 in mixed.npy$'
}
check "pack: a damaged PNG is skipped by name, other formats are counted" reports

packs_as_the_folder() {
    pixelrnn pack good -o good.npy && pixelrnn pack "$1" -o archive.npy && cmp good.npy archive.npy
}
for archive in deflated.zip stored.zip good.tar.gz good.tar.bz2 good.tar.xz; do
    if [ -e $archive ]; then
        check "pack: $archive gives what its folder gives" packs_as_the_folder $archive
    else
        skip "pack: $archive" "this python3 cannot write it"
    fi
done

tar_of_tars() {
    fails 1 '^pixelrnn: train.tar: found 2 tars in it and no images, expected files that end in .png, .jpg or .jpeg: unpack it' \
        pack train.tar -o train.npy && pixelrnn pack n01440764.tar n01443537.tar -o train.npy && contains out '^8 images of 8 x 8 x 3'
}
check "pack: a tar of tars is named, and its tars can be packed" tar_of_tars

# ---- Training and checksums ------------------------------------------------------------------------------------------

config() {
    printf '%s\n' "device: $device" 'model: {kind: pixelcnn, layers: 1, hidden: 2, head: 2}' \
        'data: {train: good, test: good.npy, channels: 1, levels: 2}' 'train: {steps: 2, batch_size: 2, samples: 0}'
}
config >tiny.yaml
trains_from() { # the same images in the same order: the same run
    pixelrnn train tiny.yaml -o "run_$1" --set data.train="$1" && same "$(nats "run_$1" --data good.npy)" "$(nats run_good --data good.npy)"
}
check "train: from the folder" trains_from good
for archive in deflated.zip stored.zip good.tar.gz; do
    check "train: from $archive, in any order, as from the folder" trains_from $archive
done

# damaged COMMAND...: runs it after changing one bit of the packed good.npy
damaged() {
    cp good.npy kept.npy && printf '\x01' | dd of=good.npy bs=1 seek=200 conv=notrunc status=none &&
        fails 1 '^pixelrnn: good.npy: found CRC-32 [0-9A-F]{8}, expected [0-9A-F]{8} as in good.npy.sfv: the file is damaged' "$@"
    local status=$?
    mv kept.npy good.npy
    return $status
}
check "eval: a packed file that was damaged is refused" damaged eval run_good --data good.npy
check "train: a packed file that was damaged is refused" damaged train tiny.yaml -o damaged --set data.train=good.npy
check "pack: a packed file that was damaged is refused" damaged pack good.npy -o again.npy
checks_out() {
    pixelrnn eval run_good --data good.npy && mv good.npy.sfv other.sfv && pixelrnn eval run_good --data good.npy && mv other.sfv good.npy.sfv
}
check "eval: the undamaged file is read, with and without its checksum" checks_out

# ---- Masks -----------------------------------------------------------------------------------------------------------

# completes MASK KEEP: exactly the pixels for which the awk condition KEEP holds are those of the data
completes() {
    noise 64 | npy_write '1, 8, 8' >noise.npy
    pixelrnn complete run_good --data noise.npy --keep "$1" --completions 1 --seed 3 -o completed.npy || return
    # samples have two levels, the data 251, so given and sampled pixels can be distinguished
    cmp -l <(npy_data noise.npy) <(npy_data completed.npy) >differences
    awk "{ i = \$1 - 1; row = int(i / 8); column = i % 8; if ($2) bad = 1 } END { exit bad || NR < 24 }" differences
}
check "complete: the noise of a JPEG mask changes no pixels" completes mask.jpg 'column > 2'
check "complete: EXIF rotates a mask" completes turned.jpg 'row > 2'
refuses_grey() {
    fails 2 '^pixelrnn: grey.png: found the value 100 at row 0, column 0, expected black \(0 to 64\) or white \(191 to 255\)$' \
        complete run_good --data noise.npy --keep grey.png -o completed.npy
}
check "complete: a grey mask is refused" refuses_grey

# ---- No current folder -----------------------------------------------------------------------------------------------

folder_gone() {
    local home=$PWD
    mkdir gone && cd gone && rmdir ../gone && "$program" pack photos -o photos.npy >"$home/out" 2>"$home/err"
    local status=$?
    cd "$home" && same $status 1 && one_message &&
        contains err '^pixelrnn: photos: cannot be opened: the current folder has been deleted: cd to one that exists$'
}
check "pack: a current folder that was deleted is named" folder_gone

finish

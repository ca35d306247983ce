/* Segments of a JPEG (ITU-T T.81, B.1): a marker FF xx, a length of two bytes that counts itself, the content.
 *
 * Huffman tables (B.2.4.2) stand in segments FF C4: a byte that names one, 16 bytes that count its symbols of 1 to 16
 * bits, the symbols. EXIF stands in a segment FF E1: "Exif", two zeros, then a TIFF header ("II" or "MM" for the byte
 * order, 42, the offset of the first directory) and that directory: a count, then entries of 12 bytes (tag, type,
 * count, value). */
#include "host/data/jpeg.h"
#include <string.h>

enum { START = 0xd8, END = 0xd9, TABLES = 0xc4, SCAN = 0xda, EXIF = 0xe1, LENGTH = 2, COUNTS = 16, SYMBOLS = 256 };
enum { TIFF_HEADER = 8, TIFF_MAGIC = 42, ENTRY = 12, TAG_ORIENTATION = 0x112, TYPE_SHORT = 3 };

/* The length at `at`, or 0 if there is none. */
static size_t segment_length(const uint8_t *bytes, size_t size, size_t at) {
    return size - at >= LENGTH ? (size_t)bytes[at] << 8 | bytes[at + 1] : 0;
}

/* The tables of a segment whose length stands at `at`. Where the file ends within one, stb_image takes zeros for the
 * rest.
 */
static bool tables_fit(const uint8_t *bytes, size_t size, size_t at) {
    size_t left = segment_length(bytes, size, at);
    left = left > LENGTH ? left - LENGTH : 0;
    at += LENGTH;
    while (left > 0 && at < size) {
        size_t symbols = 0;
        for (size_t i = 1; i <= COUNTS && at + i < size; i++) symbols += bytes[at + i];
        if (symbols > SYMBOLS) return false;
        size_t table = 1 + COUNTS + symbols;
        left = left > table ? left - table : 0;
        at += table;
    }
    return true;
}

/* A number of two or four bytes in TIFF's byte order. */
static size_t tiff_number(const uint8_t *bytes, int count, bool little) {
    size_t value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | bytes[little ? count - 1 - i : i];
    return value;
}

/* The orientation in TIFF's first directory, or 0 if there is none in it. */
static int tiff_orientation(const uint8_t *tiff, size_t size) {
    if (size < TIFF_HEADER) return 0;
    const bool little = memcmp(tiff, "II", 2) == 0;
    if (!little && memcmp(tiff, "MM", 2) != 0) return 0;
    const size_t directory = tiff_number(tiff + 4, 4, little);
    if (tiff_number(tiff + 2, 2, little) != TIFF_MAGIC || directory > size || size - directory < 2) return 0;
    const uint8_t *entry = tiff + directory + 2;
    size_t entries = tiff_number(tiff + directory, 2, little), fit = (size - directory - 2) / ENTRY;
    if (entries > fit) entries = fit;
    for (; entries > 0; entries--, entry += ENTRY) {
        if (tiff_number(entry, 2, little) != TAG_ORIENTATION || tiff_number(entry + 2, 2, little) != TYPE_SHORT)
            continue;
        const size_t value = tiff_number(entry + 8, 2, little);
        return value >= 1 && value <= 8 ? (int)value : 0;
    }
    return 0;
}

/* The orientation in a segment whose length stands at `at`; 0 if it is not EXIF, has none, or is damaged. */
static int exif_orientation(const uint8_t *bytes, size_t size, size_t at) {
    static const char name[] = "Exif\0"; /* and the zero that ends the array */
    const size_t length = segment_length(bytes, size, at);
    if (length < LENGTH + sizeof name || length > size - at) return 0;
    if (memcmp(bytes + at + LENGTH, name, sizeof name) != 0) return 0;
    return tiff_orientation(bytes + at + LENGTH + sizeof name, length - LENGTH - sizeof name);
}

/* Before the first scan, segments are passed over as their lengths say. What comes after it is compressed, with tables
 * between scans: no other FF C4 is in it, so each is taken for one. FF may be repeated before any marker. */
px_jpeg px_jpeg_inspect(const uint8_t *bytes, size_t size) {
    px_jpeg found = {.tables_fit = true, .ended = true, .orientation = 1};
    bool scan = false, oriented = false;
    if (size == 0 || bytes[0] != 0xff) return found;
    found.ended = false;
    for (size_t at = 0; at + 1 < size;) {
        const uint8_t *next = memchr(bytes + at, 0xff, size - 1 - at);
        if (!next) break;
        at = (size_t)(next - bytes) + 1;
        const uint8_t marker = bytes[at];
        if (marker == 0xff) continue;
        at++;
        if (marker == TABLES && !tables_fit(bytes, size, at)) found.tables_fit = false;
        found.ended |= scan && marker == END;
        if (!scan && !oriented && marker == EXIF) {
            const int orientation = exif_orientation(bytes, size, at);
            oriented = orientation > 0;
            if (oriented) found.orientation = orientation;
        }
        scan |= marker == SCAN;
        if (!scan && marker != START) at += segment_length(bytes, size, at);
    }
    return found;
}

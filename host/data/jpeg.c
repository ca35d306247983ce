/* Reading the segments of a JPEG (ITU-T T.81, B.1). A segment is a marker FF xx, a length of two bytes that includes
 * itself, and the content.
 *
 * Segments FF C4 have Huffman tables (B.2.4.2): for each a byte that names it, 16 bytes with the numbers of symbols of
 * 1 to 16 bits, and the symbols. A segment FF E1 has EXIF data: "Exif", two zeros, a TIFF header ("II" or "MM" for the
 * byte order, 42, the offset of the first directory) and that directory. A directory is a count and entries of 12 bytes
 * (tag, type, count, value). */
#include "host/data/image_format.h"
#include <string.h>

enum { START = 0xd8, END = 0xd9, TABLES = 0xc4, SCAN = 0xda, EXIF = 0xe1, LENGTH = 2, COUNTS = 16, SYMBOLS = 256 };
enum { TIFF_HEADER = 8, TIFF_MAGIC = 42, ENTRY = 12, TAG_ORIENTATION = 0x112, TYPE_SHORT = 3 };

/* The length of the segment whose length field is at offset `at`; 0 if the file ends before. */
static size_t segment_length(const uint8_t *bytes, size_t size, size_t at) {
    return size - at >= LENGTH ? (size_t)bytes[at] << 8 | bytes[at + 1] : 0;
}

/* Returns whether no table of the segment has more than 256 symbols. `at` is the offset of its length field. If the
 * file ends within a table, stb_image reads zeros for the rest. */
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

/* A number of two or four bytes in the byte order of the TIFF header. */
static size_t tiff_number(const uint8_t *bytes, int count, bool little) {
    size_t value = 0;
    for (int i = 0; i < count; i++) value = value << 8 | bytes[little ? count - 1 - i : i];
    return value;
}

/* The orientation in the first TIFF directory; 0 if it has none. */
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

/* The orientation in the segment whose length field is at `at`; 0 if it is not EXIF, has none, or is damaged. */
static int exif_orientation(const uint8_t *bytes, size_t size, size_t at) {
    static const char name[] = "Exif\0"; /* and the zero that ends the array */
    const size_t length = segment_length(bytes, size, at);
    if (length < LENGTH + sizeof name || length > size - at) return 0;
    if (memcmp(bytes + at + LENGTH, name, sizeof name) != 0) return 0;
    return tiff_orientation(bytes + at + LENGTH + sizeof name, length - LENGTH - sizeof name);
}

/* Before the first scan, segments are skipped by their lengths. After it the data are compressed, with tables between
 * the scans. Compressed data have no FF C4, so every FF C4 is a table. FF may be repeated before any marker. */
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

/* Huffman tables of a JPEG (ITU-T T.81, B.2.4.2): a marker FF C4, a length of two bytes, then tables: a byte that names
 * one, 16 bytes that count its symbols of 1 to 16 bits, the symbols. */
#include "host/data/jpeg_tables.h"

enum { START = 0xd8, TABLES = 0xc4, SCAN = 0xda, LENGTH = 2, COUNTS = 16, SYMBOLS = 256 };

/* The length at `at`, or 0 if there is none. */
static size_t segment_length(const uint8_t *bytes, size_t size, size_t at) {
    return size - at >= LENGTH ? (size_t)bytes[at] << 8 | bytes[at + 1] : 0;
}

/* The tables of a segment whose length stands at `at`. Where the file ends within one, stb_image takes zeros for the rest.
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

/* Before the first scan, segments are passed over as their lengths say. What comes after it is compressed, with tables
 * between scans: no other FF C4 is in it, so each is taken for one. FF may be repeated before any marker. */
bool px_jpeg_tables_fit(const uint8_t *bytes, size_t size) {
    bool scan = false;
    if (size == 0 || bytes[0] != 0xff) return true;
    for (size_t at = 0; at + 1 < size;) {
        uint8_t marker = bytes[at + 1];
        if (bytes[at++] != 0xff || marker == 0xff) continue;
        at++;
        if (marker == TABLES && !tables_fit(bytes, size, at)) return false;
        scan |= marker == SCAN;
        if (!scan && marker != START) at += segment_length(bytes, size, at);
    }
    return true;
}

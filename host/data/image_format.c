/* Recognising image formats by file name and by content. */
#include "host/data/image_format.h"
#include "host/data/archive.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { ENDINGS = 4, SIGNATURES = 2 };

typedef struct signature {
    const char *bytes;
    size_t size, offset;
} signature;

static const struct {
    const char *name, *endings[ENDINGS];
    signature signatures[SIGNATURES];
} formats[PX_IMAGE_UNKNOWN] = {
    [PX_IMAGE_PNG] = {"PNG", {".png"}, {{"\x89PNG\r\n\x1a\n", 8, 0}}},
    [PX_IMAGE_JPEG] = {"JPEG", {".jpg", ".jpeg"}, {{"\xff\xd8\xff", 3, 0}, {"\xff\xff\xd8", 3, 0}}},
    [PX_IMAGE_GIF] = {"GIF", {".gif"}, {{"GIF8", 4, 0}}},
    [PX_IMAGE_BMP] = {"BMP", {".bmp", ".dib"}, {{"BM", 2, 0}}},
    [PX_IMAGE_WEBP] = {"WebP", {".webp"}, {{"WEBP", 4, 8}}},
    [PX_IMAGE_TIFF] = {"TIFF", {".tif", ".tiff"}, {{"II*\0", 4, 0}, {"MM\0*", 4, 0}}},
    [PX_IMAGE_HEIF] = {"HEIF or AVIF", {".heic", ".heif", ".avif"}, {{"ftyp", 4, 4}}},
    [PX_IMAGE_JPEG_2000] = {"JPEG 2000", {".jp2", ".j2k"}, {{"jP  ", 4, 4}, {"\xff\x4f\xff\x51", 4, 0}}},
    [PX_IMAGE_JPEG_XL] = {"JPEG XL", {".jxl"}, {{"JXL ", 4, 4}, {"\xff\x0a", 2, 0}}},
    [PX_IMAGE_PNM] = {"PNM", {".ppm", ".pgm", ".pbm", ".pnm"}, {{"P6", 2, 0}, {"P5", 2, 0}}},
    [PX_IMAGE_TAR] = {"tar", {".tar"}, {{"ustar", 5, 257}}},
};
_Static_assert(PX_FORMATS_LEFT_OUT == PX_IMAGE_UNKNOWN - PX_IMAGE_GIF, "px_source counts all that are not read");

const char *px_image_format_name(px_image_format format) {
    return format < PX_IMAGE_UNKNOWN ? formats[format].name : NULL;
}

px_image_format px_image_format_of_name(const char *name) {
    const char *base = px_archive_basename(name), *dot = strrchr(base, '.');
    if (!dot || base[0] == '.') return PX_IMAGE_UNKNOWN;
    for (int f = 0; f < PX_IMAGE_UNKNOWN; f++)
        for (int e = 0; e < ENDINGS && formats[f].endings[e]; e++)
            if (strcasecmp(dot, formats[f].endings[e]) == 0) return (px_image_format)f;
    return PX_IMAGE_UNKNOWN;
}

px_image_format px_image_format_of_bytes(const uint8_t *bytes, size_t size) {
    for (int f = 0; f < PX_IMAGE_UNKNOWN; f++)
        for (int i = 0; i < SIGNATURES && formats[f].signatures[i].bytes; i++) {
            const signature *s = &formats[f].signatures[i];
            if (size >= s->offset + s->size && memcmp(bytes + s->offset, s->bytes, s->size) == 0)
                return (px_image_format)f;
        }
    return PX_IMAGE_UNKNOWN;
}

void px_image_count_left_out(const char *name, size_t left_out[PX_FORMATS_LEFT_OUT]) {
    const px_image_format format = px_image_format_of_name(name);
    if (format != PX_IMAGE_UNKNOWN && !px_image_is_read(format)) left_out[format - PX_IMAGE_GIF]++;
}

const char *px_source_left_out(const size_t left_out[PX_FORMATS_LEFT_OUT], char text[PX_LEFT_OUT_TEXT]) {
    int used = 0;
    text[0] = 0;
    for (int i = 0; i < PX_FORMATS_LEFT_OUT && used < PX_LEFT_OUT_TEXT; i++)
        if (left_out[i] > 0)
            used += snprintf(text + used, (size_t)(PX_LEFT_OUT_TEXT - used), "%s%zu %s", used > 0 ? ", " : "",
                             left_out[i], formats[PX_IMAGE_GIF + i].name);
    return text;
}

/* Comparing the CRC-32 of a .npy file with its checksum file. */
#include "host/data/formats.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { PIECE = 1 << 22, SFV_MAX_BYTES = 1 << 20 }; /* bytes */

/* The CRC-32 of one piece of the file, and the status of reading it. */
typedef struct piece {
    uLong crc;
    px_status status;
    px_context ctx;
} piece;

static size_t piece_bytes(const px_byte_source *input, size_t index) {
    const size_t left = input->size - index * PIECE;
    return left < PIECE ? left : PIECE;
}

static px_status compute_crc(px_context *ctx, const char *path, const px_byte_source *input, uint32_t *crc) {
    const size_t count = (input->size + PIECE - 1) / PIECE;
    piece *pieces = malloc((count + 1) * sizeof *pieces);
    if (!pieces) return px_fail_memory(ctx, path, (count + 1) * sizeof *pieces);
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < count; i++) {
        piece *p = &pieces[i];
        const size_t bytes = piece_bytes(input, i);
        uint8_t *data = malloc(bytes);
        p->status = data ? px_byte_source_copy(&p->ctx, path, input, i * PIECE, bytes, data)
                         : px_fail_memory(&p->ctx, path, bytes);
        if (p->status == PX_OK) p->crc = crc32_z(crc32_z(0, NULL, 0), data, bytes);
        free(data);
    }
    uLong whole = crc32_z(0, NULL, 0);
    px_status status = PX_OK;
    for (size_t i = 0; i < count && status == PX_OK; i++) {
        whole = crc32_combine(whole, pieces[i].crc, (z_off_t)piece_bytes(input, i));
        if (pieces[i].status != PX_OK) status = px_fail(ctx, pieces[i].status, "%s", pieces[i].ctx.message);
    }
    free(pieces);
    *crc = (uint32_t)whole;
    return status;
}

/* Parses a line "NAME CRC32", which may end in blanks. Returns false if it is malformed or has another name. */
static bool parse_line(const char *line, const char *name, uint32_t *crc) {
    enum { HEX = 8 };
    const size_t length = strlen(name);
    char *end;
    if (strncmp(line, name, length) != 0 || (line[length] != ' ' && line[length] != '\t')) return false;
    const char *number = line + length + strspn(line + length, " \t");
    *crc = (uint32_t)strtoul(number, &end, 16);
    return end == number + HEX && strspn(number, "0123456789abcdefABCDEF") == HEX && end[strspn(end, " \t\r")] == 0;
}

/* Finds the checksum of the file at path in the text of the checksum file. Modifies text. */
static px_status find_stated(px_context *ctx, const char *sfv, char *text, const char *path, uint32_t *crc) {
    const char *name = px_archive_basename(path);
    char *rest = text;
    for (const char *line; (line = strsep(&rest, "\n"));)
        if (line[0] != ';' && parse_line(line, name, crc)) return PX_OK;
    return px_fail(ctx, PX_ERR_FORMAT,
                   "%s: found no checksum of %s, expected a line \"%s CRC32\": remove it or pack again", sfv, name,
                   name);
}

px_status px_checksum_check(px_context *ctx, const char *path, const char *images, const px_byte_source *input) {
    const bool required = strcmp(path, images) == 0;
    char sfv[PX_PATH];
    px_context ignored;
    char *text;
    uint32_t found = 0, stated = 0;
    const char *ending = strrchr(path, '.');
    if (!ending || strcmp(ending, ".npy") != 0) return PX_OK;
    if (px_file_path(&ignored, sfv, "%s.sfv", images) != PX_OK || !px_file_exists(sfv)) return PX_OK;
    PX_TRY(px_file_read_text(ctx, sfv, SFV_MAX_BYTES, &text));
    const px_status status = find_stated(ctx, sfv, text, path, &stated);
    free(text);
    if (status != PX_OK) return required ? status : PX_OK;
    PX_TRY(compute_crc(ctx, path, input, &found));
    if (found == stated) return PX_OK;
    return px_fail(
        ctx, PX_ERR_FORMAT,
        "%s: found CRC-32 %08X, expected %08X as in %s: the file is damaged, or was changed after it was packed "
        "(then remove the .sfv)",
        path, (unsigned)found, (unsigned)stated, sfv);
}

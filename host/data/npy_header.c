/* NumPy's .npy files and their header (numpy.lib.format): "\x93NUMPY", version, length, and a Python dictionary as
 * text.
 */
#include "host/data/npy_header.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PREFIX = 8 }; /* magic and version */

bool px_npy_recognise(const uint8_t *bytes, size_t size) { return size >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0; }

/* The part of the dictionary that is not parsed yet. */
typedef struct cursor {
    const char *at, *end;
    bool too_large; /* the text at `at` is a size above SIZE_MAX */
} cursor;

/* Advances past blanks and, if it follows, token. Returns whether it followed. */
static bool take(cursor *c, const char *token) {
    size_t length = strlen(token);
    while (c->at < c->end && isspace((unsigned char)*c->at)) c->at++;
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, token, length) != 0) return false;
    c->at += length;
    return true;
}

/* Parses a quoted string of fewer than `size` characters, without escapes. */
static bool take_string(cursor *c, char *text, size_t size) {
    cursor ahead = *c;
    char quote = take(&ahead, "'") ? '\'' : take(&ahead, "\"") ? '"' : 0;
    if (!quote) return false;
    const char *close = memchr(ahead.at, quote, (size_t)(ahead.end - ahead.at));
    if (!close || (size_t)(close - ahead.at) >= size) return false;
    size_t length = (size_t)(close - ahead.at);
    for (size_t i = 0; i < length; i++) text[i] = isprint((unsigned char)ahead.at[i]) ? ahead.at[i] : '?';
    text[length] = 0;
    c->at = close + 1;
    return true;
}

static bool take_size(cursor *c, size_t *value) {
    take(c, ""); /* blanks */
    const char *digit = c->at;
    for (*value = 0; digit < c->end && isdigit((unsigned char)*digit); digit++)
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *digit - '0', value)) {
            c->too_large = true;
            return false;
        }
    const bool found = digit > c->at;
    c->at = digit;
    return found;
}

/* Parses a tuple: (), (2,), (2, 3), (2, 3,) and so on. */
static bool take_shape(cursor *c, px_npy_header *h) {
    if (!take(c, "(")) return false;
    bool comma = true;
    for (h->dimensions = 0; !take(c, ")"); h->dimensions++) {
        if (!comma || h->dimensions == PX_NPY_DIMENSIONS || !take_size(c, &h->shape[h->dimensions])) return false;
        comma = take(c, ",");
    }
    return comma || h->dimensions > 1; /* (2) is a number, not a tuple */
}

enum { DESCR, ORDER, SHAPE, KEYS };
static const char *const keys[KEYS] = {[DESCR] = "descr", [ORDER] = "fortran_order", [SHAPE] = "shape"};

/* Parses a quoted key. On failure c is unchanged. */
static bool take_key(cursor *c, int *key) {
    cursor ahead = *c;
    char name[16];
    if (!take_string(&ahead, name, sizeof name)) return false;
    for (*key = 0; *key < KEYS && strcmp(name, keys[*key]) != 0; ++*key) continue;
    if (*key == KEYS) return false;
    *c = ahead;
    return true;
}

static bool take_value(cursor *c, int key, px_npy_header *h) {
    switch (key) {
    case DESCR: return take_string(c, h->descr, sizeof h->descr);
    case ORDER: return (h->fortran_order = take(c, "True")) || take(c, "False");
    default: return take_shape(c, h);
    }
}

/* Parses the dictionary: each key once, in any order, with only blanks after it. On failure c is at the error. */
static bool take_header(cursor *c, px_npy_header *h) {
    int seen[KEYS] = {0};
    bool comma = true;
    if (!take(c, "{")) return false;
    while (!take(c, "}")) {
        int key;
        if (!comma || !take_key(c, &key) || seen[key]++) return false;
        if (!take(c, ":") || !take_value(c, key, h)) return false;
        comma = take(c, ",");
    }
    take(c, ""); /* blanks */
    return c->at == c->end && seen[DESCR] && seen[ORDER] && seen[SHAPE];
}

/* Writes the message for an error at the cursor, with up to 24 characters from there. */
static px_status fail_header(px_context *ctx, const char *path, cursor c) {
    char found[25];
    size_t length = 0;
    take(&c, ""); /* blanks */
    for (; length < sizeof found - 1 && c.at < c.end && *c.at != '\n'; c.at++)
        found[length++] = isprint((unsigned char)*c.at) ? *c.at : '?';
    found[length] = 0;
    if (c.too_large)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: found \"%s\" in the header, expected a size of at most %zu", path,
                       found, SIZE_MAX);
    return px_fail(ctx, PX_ERR_FORMAT,
                   "%s: npy: found \"%s\" in the header, expected a dictionary of descr, fortran_order and shape", path,
                   found);
}

px_status px_npy_header_parse(px_context *ctx, const char *path, const uint8_t *bytes, size_t size, px_npy_header *h) {
    if (!px_npy_recognise(bytes, size) || size < PREFIX + 4)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: npy: found %zu bytes without a header, expected \\x93NUMPY and a header", path, size);
    int major = bytes[6], minor = bytes[7];
    if (major < 1 || major > 3 || minor != 0)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: found version %d.%d, expected 1.0, 2.0 or 3.0", path, major,
                       minor);
    const uint8_t *field = bytes + PREFIX;
    size_t length = field[0] | (size_t)field[1] << 8;
    if (major > 1) length |= (size_t)field[2] << 16 | (size_t)field[3] << 24;
    size_t start = PREFIX + (major > 1 ? 4 : 2);
    if (length > size - start)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: found %zu bytes, expected a header of %zu", path, size - start,
                       length);
    *h = (px_npy_header){.elements = start + length};
    const char *text = (const char *)bytes + start;
    cursor c = {.at = text, .end = text + length};
    return take_header(&c, h) ? PX_OK : fail_header(ctx, path, c);
}

const char *px_npy_text(const px_npy_header *h, char text[PX_NPY_TEXT]) {
    size_t used = (size_t)snprintf(text, PX_NPY_TEXT, "(");
    for (int d = 0; d < h->dimensions && used < PX_NPY_TEXT; d++)
        used += (size_t)snprintf(text + used, PX_NPY_TEXT - used, d ? ", %zu" : "%zu", h->shape[d]);
    if (used < PX_NPY_TEXT)
        snprintf(text + used, PX_NPY_TEXT - used, "%s) '%s'", h->dimensions == 1 ? "," : "", h->descr);
    return text;
}

/* ---- Images ---- */

/* Returns whether the elements have this one-byte type, written as "u1", "|u1", "<u1", ">u1" or "=u1", or as its
 * letter.
 */
static bool is_type(const px_npy_header *h, const char *name, const char *letter) {
    const char *type = h->descr + (*h->descr && strchr("|<>=", *h->descr) ? 1 : 0);
    return strcmp(type, name) == 0 || strcmp(type, letter) == 0;
}

static bool is_bool(const px_npy_header *h) { return is_type(h, "b1", "?"); }

static bool is_uint8(const px_npy_header *h) { return is_type(h, "u1", "B"); }

static px_status fail_type(px_context *ctx, const char *path, const px_npy_header *h) {
    const bool real = strchr(h->descr, 'f') != NULL;
    return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: descr is '%s', expected '|u1' (uint8) or '|b1' (bool); %s", path,
                   h->descr,
                   real ? "for values from 0 to 1, save (255 * x).round().astype(numpy.uint8)"
                        : "if its values fit, save x.astype(numpy.uint8)");
}

static px_status fail_shape(px_context *ctx, const char *path, const px_npy_header *h, const char *why) {
    char text[PX_NPY_TEXT];
    return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: found %s %s, expected [N, H, W, C], [N, H, W], [N, S S] or [N, 3 S S]",
                   path, px_npy_text(h, text), why);
}

/* Describes rows of pixels [N, S S] or [N, 3 S S]: grey squares, or planes R, G, B. */
static px_status images_of_rows(px_context *ctx, const char *path, const px_npy_header *h, px_array *array) {
    const size_t columns = h->shape[1], grey = px_square_side(columns);
    const size_t colour = columns % 3 == 0 ? px_square_side(columns / 3) : 0;
    if (columns == 1) return fail_shape(ctx, path, h, "with one value a row, which may be labels");
    if (!grey && !colour) return fail_shape(ctx, path, h, "whose rows are no square images");
    const size_t side = colour ? colour : grey;
    *array = px_array_plain(4, (size_t[]){h->shape[0], side, side, colour ? 3 : 1}, h->elements);
    array->planes = colour > 0;
    return PX_OK;
}

static px_status find_images(px_context *ctx, const char *path, const px_npy_header *h, px_array *array) {
    const size_t *shape = h->shape;
    if (h->dimensions == 2) return images_of_rows(ctx, path, h, array);
    if (h->dimensions != 3 && h->dimensions != 4)
        return px_fail(ctx, PX_ERR_FORMAT,
                       "%s: npy: shape has %d dimension%s, expected 2 [N, S S] or [N, 3 S S], 3 [N, H, W] or 4 "
                       "[N, H, W, C]",
                       path, h->dimensions, h->dimensions == 1 ? "" : "s");
    const bool last = h->dimensions == 3 || shape[3] == 1 || shape[3] == 3;
    if (!last && (shape[1] == 1 || shape[1] == 3))
        return fail_shape(ctx, path, h, "with channels first (numpy: x.transpose(0, 2, 3, 1) puts them last)");
    *array = px_array_plain(h->dimensions, shape, h->elements);
    return PX_OK;
}

px_status px_npy_images(px_context *ctx, const char *path, const px_npy_header *h, size_t size, px_array *array) {
    if (h->elements > size)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: found %zu bytes, expected a header of %zu", path, size,
                       h->elements);
    if (!is_uint8(h) && !is_bool(h)) return fail_type(ctx, path, h);
    PX_TRY(find_images(ctx, path, h, array));
    PX_TRY(px_shape_check(ctx, path, "npy", h->dimensions, h->shape, size - h->elements));
    array->binary = is_bool(h);
    array->fortran = h->fortran_order;
    for (int d = 0; d < 3; d++) array->inner[d] = d + 1 < h->dimensions ? h->shape[d + 1] : 1;
    return PX_OK;
}

/* Returns whether each complete row among the first `got` bytes has a single 1 and otherwise zeros. */
static bool is_one_hot(const px_npy_header *h, const uint8_t *bytes, size_t got) {
    const size_t columns = h->shape[1], rows = got > h->elements && columns ? (got - h->elements) / columns : 0;
    const size_t complete = rows < h->shape[0] ? rows : h->shape[0];
    for (size_t n = 0; n < complete; n++) {
        const uint8_t *row = bytes + h->elements + n * columns;
        size_t ones = 0;
        for (size_t i = 0; i < columns; i++) {
            if (row[i] > 1) return false;
            ones += row[i];
        }
        if (ones != 1) return false;
    }
    return complete > 0;
}

bool px_npy_labels(const px_npy_header *h, const uint8_t *bytes, size_t got) {
    if (h->dimensions == 1) return true;
    if (h->dimensions != 2) return false;
    return h->shape[1] == 1 || ((is_uint8(h) || is_bool(h)) && !h->fortran_order && is_one_hot(h, bytes, got));
}

/* ---- Files ---- */

static px_status read_header(px_context *ctx, const char *path, const px_byte_source *input, px_array *array) {
    px_npy_header h;
    const size_t size = input->size < PX_NPY_HEADER_MAX ? input->size : PX_NPY_HEADER_MAX;
    uint8_t *head = malloc(size);
    if (!head) return px_fail_memory(ctx, path, size);
    px_status status = px_byte_source_copy(ctx, path, input, 0, size, head);
    if (status == PX_OK) status = px_npy_header_parse(ctx, path, head, size, &h);
    free(head);
    return status == PX_OK ? px_npy_images(ctx, path, &h, input->size, array) : status;
}

px_status px_npy_source_open(px_context *ctx, const char *path, px_byte_source *input, const px_source_options *options,
                             px_source **source) {
    (void)options;
    px_array array;
    PX_TRY(read_header(ctx, path, input, &array));
    return px_array_open(ctx, path, input, &array, source);
}

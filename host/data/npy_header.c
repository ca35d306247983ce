/* The header of NumPy's .npy format (numpy.lib.format): "\x93NUMPY", version, length, a Python dictionary in text. */
#include "host/data/npy_header.h"
#include <ctype.h>
#include <string.h>

enum { PREFIX = 8 }; /* magic and version */

bool px_npy_recognise(const uint8_t *bytes, size_t size) {
    return size >= 6 && memcmp(bytes, "\x93NUMPY", 6) == 0;
}

/* What is left to parse of the dictionary. */
typedef struct cursor {
    const char *at, *end;
} cursor;

/* Moves past token, and the blanks before it, if it is next. */
static bool take(cursor *c, const char *token) {
    size_t length = strlen(token);
    while (c->at < c->end && isspace((unsigned char)*c->at)) c->at++;
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, token, length) != 0) return false;
    c->at += length;
    return true;
}

/* A quoted string of fewer than `size` characters, without escapes. */
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
    const char *first = c->at;
    for (*value = 0; c->at < c->end && isdigit((unsigned char)*c->at); c->at++)
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *c->at - '0', value))
            return false;
    return c->at > first;
}

/* (), (2,), (2, 3), (2, 3,) and so on. */
static bool take_shape(cursor *c, px_npy_header *h) {
    if (!take(c, "(")) return false;
    bool comma = true;
    for (h->dimensions = 0; !take(c, ")"); h->dimensions++) {
        if (!comma || h->dimensions == PX_NPY_DIMENSIONS || !take_size(c, &h->shape[h->dimensions])) return false;
        comma = take(c, ",");
    }
    return comma || h->dimensions > 1; /* (2) is a number */
}

static bool take_bool(cursor *c, bool *value) {
    *value = take(c, "True");
    return *value || take(c, "False");
}

enum { DESCR, ORDER, SHAPE, KEYS };
static const char *const keys[KEYS] = {[DESCR] = "descr", [ORDER] = "fortran_order", [SHAPE] = "shape"};

/* A quoted key. On failure c stays where it is. */
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
    case ORDER: return take_bool(c, &h->fortran_order);
    default: return take_shape(c, h);
    }
}

/* The dictionary: each key once, in any order, and nothing after it but blanks. On failure c stands where it is wrong.
 */
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

/* Up to 24 characters of what stands at the cursor. */
static px_status fail_header(px_context *ctx, const char *path, cursor c) {
    char found[25];
    size_t length = 0;
    take(&c, ""); /* blanks */
    for (; length < sizeof found - 1 && c.at < c.end && *c.at != '\n'; c.at++)
        found[length++] = isprint((unsigned char)*c.at) ? *c.at : '?';
    found[length] = 0;
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
    cursor c = {text, text + length};
    return take_header(&c, h) ? PX_OK : fail_header(ctx, path, c);
}

px_status px_npy_header_images(px_context *ctx, const char *path, const px_npy_header *h, size_t size) {
    if (strcmp(h->descr, "|u1") != 0)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: descr is '%s', expected '|u1' (uint8)", path, h->descr);
    if (h->fortran_order)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: fortran_order is True, expected False (C order)", path);
    if (h->dimensions != 3 && h->dimensions != 4)
        return px_fail(ctx, PX_ERR_FORMAT, "%s: npy: shape has %d dimensions, expected 3 [N, H, W] or 4 [N, H, W, C]",
                       path, h->dimensions);
    return px_shape_check(ctx, path, "npy", h->dimensions, h->shape, size - h->elements);
}

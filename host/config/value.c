/* Conversion of one value between text and a field of px_config, and the description of its range. */
#include "host/config/keys.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool in_range(const px_key *key, double value) {
    if (key->above ? value <= key->min : value < key->min) return false;
    return key->below ? value < key->max : value <= key->max;
}

/* The length in bytes of the UTF-8 character at text; 0 if it is truncated, overlong, a surrogate, or above U+10FFFF.
 */
static size_t utf8_length(const unsigned char *text) {
    static const struct {
        unsigned char first, last, second_first, second_last, length; /* The Unicode Standard, table 3-7 */
    } forms[] = {{0x00, 0x7F, 0x00, 0x00, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
                 {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
                 {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (text[0] < forms[i].first || text[0] > forms[i].last) continue;
        if (forms[i].length > 1 && (text[1] < forms[i].second_first || text[1] > forms[i].second_last)) return 0;
        for (size_t k = 2; k < forms[i].length; k++)
            if ((text[k] & 0xC0) != 0x80) return 0;
        return forms[i].length;
    }
    return 0;
}

static bool is_control(unsigned char byte) { return byte < 0x20 || byte == 0x7F; }

void px_quote(const char *text, char quote[PX_QUOTE]) {
    if (!*text) {
        strcpy(quote, "nothing");
        return;
    }
    const unsigned char *in = (const unsigned char *)text;
    size_t end = 0;
    quote[end++] = '"';
    while (*in && end < PX_QUOTE - 9) { /* space for one character, "..." and the closing quote */
        size_t length = utf8_length(in);
        if (length == 0 || is_control(*in)) {
            quote[end++] = '?';
            in++;
        } else {
            memcpy(quote + end, in, length);
            end += length;
            in += length;
        }
    }
    strcpy(quote + end, *in ? "...\"" : "\"");
}

static bool read_string(const px_key *key, const char *text, char *value) {
    size_t bytes = strlen(text);
    if (!in_range(key, (double)bytes)) return false;
    if (key->list && (text[0] == '\t' || (bytes > 0 && text[bytes - 1] == '\t') || strstr(text, "\t\t"))) return false;
    for (const unsigned char *c = (const unsigned char *)text; *c; c += utf8_length(c))
        if (utf8_length(c) == 0 || (is_control(*c) && !(key->list && *c == '\t'))) return false;
    memcpy(value, text, bytes + 1);
    return true;
}

/* Whether text is not empty and consists of these characters. strtoll and strtod alone would also accept leading
 * spaces, "0x1f", "inf" and "nan". */
static bool consists_of(const char *text, const char *characters) {
    return *text && strspn(text, characters) == strlen(text);
}

static bool read_integer(const px_key *key, const char *text, int64_t *value) {
    if (!consists_of(text, "+-0123456789")) return false;
    char *end;
    errno = 0;
    long long integer = strtoll(text, &end, 10);
    if (*end || errno == ERANGE || !in_range(key, (double)integer)) return false;
    *value = integer;
    return true;
}

static bool read_real(const px_key *key, const char *text, double *value) {
    if (!consists_of(text, "+-0123456789.eE")) return false;
    char *end;
    double real = strtod(text, &end);
    if (*end || !isfinite(real) || !in_range(key, real)) return false;
    *value = real;
    return true;
}

bool px_read_boolean(const char *text, bool *value) {
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (int truth = 0; truth < 2; truth++)
            if (strcasecmp(text, words[i][truth]) == 0) {
                *value = truth;
                return true;
            }
    return false;
}

static bool read_word(const px_key *key, const char *text, int *value) {
    for (int i = 0; key->words[i]; i++)
        if (strcmp(key->words[i], text) == 0) {
            *value = i;
            return true;
        }
    return false;
}

static bool read_value(const px_key *key, const char *text, void *field) {
    switch (key->type) {
    case PX_KEY_STRING: return read_string(key, text, field);
    case PX_KEY_INTEGER: return read_integer(key, text, field);
    case PX_KEY_REAL: return read_real(key, text, field);
    case PX_KEY_BOOLEAN: return px_read_boolean(text, field);
    case PX_KEY_WORD: return read_word(key, text, field);
    }
    return false;
}

px_status px_key_read(px_context *ctx, const char *where, const px_key *key, const char *text, px_config *config) {
    if (read_value(key, text, (char *)config + key->offset)) return PX_OK;
    char found[PX_QUOTE], expected[PX_KEY_PHRASE];
    px_quote(text, found);
    px_key_expected(key, expected);
    return px_fail(ctx, PX_ERR_CONFIG, "%s: %s: found %s, expected %s", where, key->name, found, expected);
}

/* Writes the shortest of %.15g, %.16g and %.17g that reads back to the same bits. It always has a decimal point
 * (1.0e-08), because other YAML readers take 1e-08 for a string. */
static void write_real(double value, char *text) {
    char digits[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) break;
    }
    size_t mantissa = strcspn(digits, "e");
    bool point = memchr(digits, '.', mantissa) != NULL;
    snprintf(text, PX_CONFIG_STRING, "%.*s%s%s", (int)mantissa, digits, point ? "" : ".0", digits + mantissa);
}

void px_key_write(const px_key *key, const px_config *config, char *text) {
    const void *field = (const char *)config + key->offset;
    switch (key->type) {
    case PX_KEY_STRING: strcpy(text, field); break;
    case PX_KEY_INTEGER: snprintf(text, PX_CONFIG_STRING, "%lld", (long long)*(const int64_t *)field); break;
    case PX_KEY_REAL: write_real(*(const double *)field, text); break;
    case PX_KEY_BOOLEAN: strcpy(text, *(const bool *)field ? "true" : "false"); break;
    case PX_KEY_WORD: strcpy(text, key->words[*(const int *)field]); break;
    }
}

void px_key_range(const px_key *key, char phrase[PX_KEY_PHRASE]) {
    const char *unit = key->type == PX_KEY_STRING ? " bytes" : "";
    phrase[0] = 0;
    if (key->words) {
        size_t end = 0;
        for (int i = 0; key->words[i]; i++)
            end += (size_t)snprintf(phrase + end, PX_KEY_PHRASE - end, "%s%s", i ? ", " : "", key->words[i]);
    } else if (key->type == PX_KEY_BOOLEAN) {
        strcpy(phrase, "true, false");
    } else if (isinf(key->max) && key->type == PX_KEY_INTEGER) {
        snprintf(phrase, PX_KEY_PHRASE, "from %.15g to %lld", key->min, (long long)INT64_MAX);
    } else if (isinf(key->max)) {
        snprintf(phrase, PX_KEY_PHRASE, "%s %.15g", key->above ? "above" : "of at least", key->min);
    } else {
        snprintf(phrase, PX_KEY_PHRASE, "%s %.15g %s %.15g%s", key->above ? "above" : "from", key->min,
                 key->below ? "to below" : "to", key->max, unit);
    }
}

void px_key_expected(const px_key *key, char phrase[PX_KEY_PHRASE]) {
    static const char *const lists = "paths (UTF-8 text without control characters, commas between them),";
    static const char *const nouns[] = {[PX_KEY_STRING] = "UTF-8 text without control characters,",
                                        [PX_KEY_INTEGER] = "an integer",
                                        [PX_KEY_REAL] = "a number",
                                        [PX_KEY_BOOLEAN] = "one of",
                                        [PX_KEY_WORD] = "one of"};
    char range[PX_KEY_PHRASE];
    px_key_range(key, range);
    const char *noun = key->list                                     ? lists
                       : key->type == PX_KEY_REAL && isinf(key->max) ? "a finite number"
                                                                     : nouns[key->type];
    snprintf(phrase, PX_KEY_PHRASE, "%s %.80s", noun, range);
}

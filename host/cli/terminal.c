/* Text that fits the width of the terminal. */
#include "host/cli/cli.h"
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MIN_COLUMNS = 20, MAX_COLUMNS = 1000 };

int px_cli_columns(FILE *out, int piped) {
    struct winsize size = {0};
    const char *text = getenv("COLUMNS");
    const long asked = text ? strtol(text, NULL, 10) : 0;
    int columns = piped;
    if (asked > 0 && asked <= MAX_COLUMNS)
        columns = (int)asked;
    else if (ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        columns = size.ws_col;
    return columns > MIN_COLUMNS ? columns : MIN_COLUMNS;
}

/* The number of columns that a text of `bytes` bytes takes: one for each character of UTF-8. */
static int width_of(const char *text, size_t bytes) {
    int width = 0;
    for (size_t i = 0; i < bytes; i++) width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

/* The bytes up to the next blank outside brackets. */
static size_t word_bytes(const char *text) {
    int depth = 0;
    size_t bytes = 0;
    for (; text[bytes] && (text[bytes] != ' ' || depth > 0); bytes++)
        depth += (text[bytes] == '[') - (text[bytes] == ']');
    return bytes;
}

void px_cli_wrap(FILE *out, const px_cli_margin *margin, int column, const char *text) {
    const char *const prefix = margin->prefix ? margin->prefix : "";
    bool first = true; /* of the line */
    for (const char *word = text; *word; first = false) {
        const size_t bytes = word_bytes(word);
        const int width = width_of(word, bytes);
        if (!first && column + 1 + width > margin->columns) {
            fprintf(out, "\n%*s%s", margin->indent, "", prefix);
            column = margin->indent + (int)strlen(prefix);
            first = true;
        }
        if (!first) fputc(' ', out);
        fwrite(word, 1, bytes, out);
        column += width + !first;
        word += bytes;
        word += strspn(word, " ");
    }
    fputc('\n', out);
}

/* Recognising files by their first bytes. */
#include "host/io/file_kind.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

/* To add a kind, add a row: offset and length of its signature, the signature, a phrase for messages. */
static const struct {
    size_t offset, length;
    const char *bytes, *phrase;
} kinds[] = {
    {0, 23, "version https://git-lfs", "a Git LFS pointer in place of the file (git lfs pull fetches it)"},
    {0, 4, "PK\3\4", "a zip archive (.npz, or PyTorch's .pt)"},
    {0, 6, "\x93NUMPY", "a NumPy array (.npy)"},
    {0, 2, "\x1f\x8b", "a gzip file"},
    {0, 4, "\x89PNG", "a PNG image"},
    {0, 3, "\xff\xd8\xff", "a JPEG image"},
    {0, 4, "GIF8", "a GIF image"},
    {8, 4, "WEBP", "a WebP image"},
    {0, 4, "\x89HDF", "an HDF5 file"},
    {0, 6, "MATLAB", "a MATLAB file"},
    {0, 4, "PAR1", "a Parquet file"},
    {0, 5, "\3757zXZ", "an xz file"},
    {0, 4, "\x28\xb5\x2f\xfd", "a zstd file"},
    {257, 5, "ustar", "a tar archive"},
    {0, 2, "\x80\2", "a Python pickle"},
    {0, 2, "\x80\3", "a Python pickle"},
    {0, 2, "\x80\4", "a Python pickle"},
    {0, 2, "\x80\5", "a Python pickle"},
};

static bool is_html(const uint8_t *bytes, size_t size) {
    size_t start = 0;
    while (start < size && isspace(bytes[start])) start++;
    const char *text = (const char *)bytes + start;
    return (size - start >= 9 && strncasecmp(text, "<!doctype", 9) == 0) ||
           (size - start >= 5 && strncasecmp(text, "<html", 5) == 0);
}

const char *px_file_kind(const uint8_t *bytes, size_t size) {
    if (size > PX_FILE_KIND_BYTES) size = PX_FILE_KIND_BYTES;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (size >= kinds[i].offset + kinds[i].length &&
            memcmp(bytes + kinds[i].offset, kinds[i].bytes, kinds[i].length) == 0)
            return kinds[i].phrase;
    /* An 8-byte length below 100 MB, then a JSON object. */
    if (size > 8 && bytes[8] == '{' && bytes[3] < 6 && (bytes[4] | bytes[5] | bytes[6] | bytes[7]) == 0)
        return "a safetensors file";
    if (is_html(bytes, size)) return "an HTML page";
    for (size_t i = 0; i < size; i++) /* bytes above 0x7f may be UTF-8 */
        if ((bytes[i] < 0x20 && !isspace(bytes[i])) || bytes[i] == 0x7f) return NULL;
    return size > 0 ? "a text file (such as YAML)" : NULL;
}

/* Reading one picture through stb_image. */
#include "pixelrnn/picture.h"
#include "pixelrnn/file.h"
#include <stb/stb_image.h>

px_status px_picture_read(px_context *ctx, const char *path, int channels, uint8_t **pixels, int *height, int *width) {
    int stored;
    if (!px_file_exists(path)) return px_fail(ctx, PX_ERR_FILE, "%s: no such file", path);
    *pixels = stbi_load(path, width, height, &stored, channels);
    if (*pixels) return PX_OK;
    return px_fail(ctx, PX_ERR_FORMAT, "%s: found %s, expected a PNG or JPEG picture", path, stbi_failure_reason());
}

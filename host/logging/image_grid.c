/* Pictures: many images in one PNG. */
#include "host/io/file.h"
#include "host/logging/logging.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <stb/stb_image_write.h>

enum { MARGIN = 1, MARGIN_GREY = 128, SMALL = 64, PNG_LIMIT = 1 << 30 /* stb counts bytes in int */ };

/* The whole picture, in pixels. */
typedef struct canvas {
    uint8_t *pixels; /* [height, width, channels] */
    int height, width, channels, columns, scale;
} canvas;

static int automatic_scale(const px_grid_layout *layout) {
    int side = layout->height > layout->width ? layout->height : layout->width;
    int scale = (SMALL + side / 2) / side;
    return scale > 1 ? scale : 1;
}

/* As many columns as make the picture, not the grid, nearly square. */
static int automatic_columns(const px_grid_layout *layout) {
    double columns = ceil(sqrt((double)layout->images * layout->height / layout->width));
    return columns < layout->images ? (int)columns : layout->images;
}

static px_status plan(px_context *ctx, const px_grid_layout *layout, canvas *picture) {
    if (layout->images < 1 || layout->height < 1 || layout->width < 1) {
        return px_fail(ctx, PX_ERR_SHAPE, "a picture of %d images of %d x %d pixels: nothing to draw", layout->images,
                       layout->height, layout->width);
    }
    if (layout->channels != 1 && layout->channels != 3) {
        return px_fail(ctx, PX_ERR_SHAPE, "a picture of images with %d channels, want 1 or 3", layout->channels);
    }
    picture->channels = layout->channels;
    picture->scale = layout->scale > 0 ? layout->scale : automatic_scale(layout);
    picture->columns = layout->columns > 0 ? layout->columns : automatic_columns(layout);
    /* In double, as the product of a user's numbers may exceed any integer. A PNG row is its pixels and one filter
     * byte. */
    double rows = ceil((double)layout->images / picture->columns);
    double height = rows * ((double)layout->height * picture->scale + MARGIN) + MARGIN;
    double width = picture->columns * ((double)layout->width * picture->scale + MARGIN) + MARGIN;
    if (height * (width * picture->channels + 1) > PNG_LIMIT) {
        return px_fail(ctx, PX_ERR_SHAPE,
                       "a picture of %.0f x %.0f pixels is too large for one PNG; draw fewer images, or a .npy", height,
                       width);
    }
    picture->height = (int)height;
    picture->width = (int)width;
    return PX_OK;
}

px_status px_png_grid_check(px_context *ctx, const px_grid_layout *layout) {
    canvas picture;
    return plan(ctx, layout, &picture);
}

static void draw_image(const canvas *picture, const px_grid_layout *layout, const uint8_t *pixels, int index) {
    const size_t channels = (size_t)picture->channels, stride = (size_t)picture->width * channels;
    const size_t scale = (size_t)picture->scale, height = (size_t)layout->height, width = (size_t)layout->width;
    size_t top = (size_t)(index / picture->columns) * (height * scale + MARGIN) + MARGIN;
    size_t left = (size_t)(index % picture->columns) * (width * scale + MARGIN) + MARGIN;
    const uint8_t *image = pixels + (size_t)index * height * width * channels;

    for (size_t y = 0; y < height * scale; y++) {
        uint8_t *to = picture->pixels + (top + y) * stride + left * channels;
        const uint8_t *from = image + y / scale * width * channels;
        for (size_t x = 0; x < width * scale; x++) memcpy(to + x * channels, from + x / scale * channels, channels);
    }
}

typedef struct png_bytes {
    void *data;
    size_t bytes;
} png_bytes;

static void keep_png(void *context, void *data, int bytes) {
    png_bytes *png = context;
    png->data = malloc((size_t)bytes);
    if (!png->data) return;
    png->bytes = (size_t)bytes;
    memcpy(png->data, data, png->bytes);
}

px_status px_png_grid(px_context *ctx, const uint8_t *pixels, const px_grid_layout *layout, void **png, size_t *bytes,
                      int *grid_height, int *grid_width) {
    canvas picture = {0};
    PX_TRY(plan(ctx, layout, &picture));
    size_t size = (size_t)picture.height * (size_t)picture.width * (size_t)picture.channels;
    picture.pixels = malloc(size);
    if (!picture.pixels) return px_fail(ctx, PX_ERR_MEMORY, "no memory for a picture of %zu bytes", size);
    memset(picture.pixels, MARGIN_GREY, size);
    for (int i = 0; i < layout->images; i++) draw_image(&picture, layout, pixels, i);

    png_bytes result = {0};
    stbi_write_png_to_func(keep_png, &result, picture.width, picture.height, picture.channels, picture.pixels, 0);
    free(picture.pixels);
    if (!result.data) return px_fail(ctx, PX_ERR_MEMORY, "no memory to compress a picture of %zu bytes", size);
    *png = result.data;
    *bytes = result.bytes;
    *grid_height = picture.height;
    *grid_width = picture.width;
    return PX_OK;
}

px_status px_png_grid_write(px_context *ctx, const char *path, const uint8_t *pixels, const px_grid_layout *layout) {
    void *png;
    size_t bytes;
    int height, width;
    PX_TRY(px_png_grid(ctx, pixels, layout, &png, &bytes, &height, &width));
    px_file_out out;
    px_status status = px_file_create(ctx, path, &out);
    if (status == PX_OK) status = px_file_write(ctx, &out, png, bytes);
    if (status == PX_OK) status = px_file_commit(ctx, &out);
    px_file_abandon(&out);
    free(png);
    return status;
}

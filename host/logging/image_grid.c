/* Grids of images in one PNG. */
#include "host/io/file.h"
#include "host/logging/logging.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Defined by stb_image_write, but not declared. The caller frees the result. */
unsigned char *stbi_write_png_to_mem(const unsigned char *, int, int, int, int, int *);

enum { MARGIN = 1, MARGIN_GREY = 128, SMALL = 64, PNG_LIMIT = 1 << 30 /* stb counts bytes in int */ };

/* The whole grid, in pixels. */
typedef struct canvas {
    uint8_t *pixels; /* [height, width, channels] */
    int height, width, channels, rows, columns, scale;
} canvas;

static px_status plan_grid(px_context *ctx, const px_grid_layout *layout, canvas *grid) {
    if (layout->images < 1 || layout->height < 1 || layout->width < 1)
        return px_fail(ctx, PX_ERR_SHAPE, "image grid: found %d images of %d x %d pixels, expected at least 1 of each",
                       layout->images, layout->height, layout->width);
    if (layout->channels != 1 && layout->channels != 3)
        return px_fail(ctx, PX_ERR_SHAPE, "image grid: found %d channels, expected 1 or 3", layout->channels);
    const int side = layout->height > layout->width ? layout->height : layout->width;
    const int scale = (SMALL + side / 2) / side;
    const double square = ceil(sqrt((double)layout->images * layout->height / layout->width)); /* in pixels */
    const int columns = square < layout->images ? (int)square : layout->images;
    grid->channels = layout->channels;
    grid->scale = layout->scale > 0 ? layout->scale : scale > 1 ? scale : 1;
    grid->columns = layout->columns > 0 ? layout->columns : columns;
    if (layout->rows > 0) grid->columns = (layout->images - 1) / layout->rows + 1;
    grid->rows = layout->rows > 0 ? layout->rows : (layout->images - 1) / grid->columns + 1;
    /* In double, because the product may exceed any integer type. A PNG row is its pixels and one filter byte. */
    double height = grid->rows * ((double)layout->height * grid->scale + MARGIN) + MARGIN;
    double width = grid->columns * ((double)layout->width * grid->scale + MARGIN) + MARGIN;
    if (height * (width * grid->channels + 1) > PNG_LIMIT)
        return px_fail(ctx, PX_ERR_SHAPE,
                       "image grid: %.0f x %.0f pixels are too large for one PNG; sample fewer images, or write a .npy",
                       height, width);
    grid->height = (int)height;
    grid->width = (int)width;
    return PX_OK;
}

px_status px_png_grid_check(px_context *ctx, const px_grid_layout *layout) {
    canvas grid;
    return plan_grid(ctx, layout, &grid);
}

static void draw_image(const canvas *grid, const px_grid_layout *layout, const uint8_t *pixels, int index) {
    const size_t channels = (size_t)grid->channels, stride = (size_t)grid->width * channels;
    const size_t scale = (size_t)grid->scale, height = (size_t)layout->height, width = (size_t)layout->width;
    const int row = layout->rows > 0 ? index % grid->rows : index / grid->columns;
    const int column = layout->rows > 0 ? index / grid->rows : index % grid->columns;
    size_t top = (size_t)row * (height * scale + MARGIN) + MARGIN;
    size_t left = (size_t)column * (width * scale + MARGIN) + MARGIN;
    const uint8_t *image = pixels + (size_t)index * height * width * channels;

    for (size_t y = 0; y < height * scale; y++) {
        uint8_t *to = grid->pixels + (top + y) * stride + left * channels;
        const uint8_t *from = image + y / scale * width * channels;
        for (size_t x = 0; x < width * scale; x++) memcpy(to + x * channels, from + x / scale * channels, channels);
    }
}

px_status px_png_grid(px_context *ctx, const uint8_t *pixels, const px_grid_layout *layout, void **png, size_t *bytes,
                      int *grid_height, int *grid_width) {
    canvas grid = {0};
    PX_TRY(plan_grid(ctx, layout, &grid));
    size_t size = (size_t)grid.height * (size_t)grid.width * (size_t)grid.channels;
    grid.pixels = malloc(size);
    if (!grid.pixels) return px_fail_memory(ctx, "image grid", size);
    memset(grid.pixels, MARGIN_GREY, size);
    for (int i = 0; i < layout->images; i++) draw_image(&grid, layout, pixels, i);

    int length;
    *png = stbi_write_png_to_mem(grid.pixels, 0, grid.width, grid.height, grid.channels, &length);
    free(grid.pixels);
    if (!*png) return px_fail_memory(ctx, "image grid: PNG", size);
    *bytes = (size_t)length;
    *grid_height = grid.height;
    *grid_width = grid.width;
    return PX_OK;
}

px_status px_png_grid_write(px_context *ctx, const char *path, const uint8_t *pixels, const px_grid_layout *layout) {
    void *png;
    size_t bytes;
    int height, width;
    PX_TRY(px_png_grid(ctx, pixels, layout, &png, &bytes, &height, &width));
    const px_status status = px_file_write_whole(ctx, path, png, bytes);
    free(png);
    return status;
}

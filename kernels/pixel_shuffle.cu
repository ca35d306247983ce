/* Pixel shuffle: groups of 4 features become the 2 x 2 pixels of an image of twice the height and width; and back. */
#include "kernels/portable/portable.h"

/* The pixel of the small image that holds a pixel of the large one, and its place 2 a + b within the 2 x 2 pixels. */
typedef struct shuffled {
    size_t pixel;
    int place;
} shuffled;

PX_FUNCTION shuffled shuffled_of(const px_grid *grid, size_t large) {
    const unsigned height = 2 * (unsigned)grid->height, width = 2 * (unsigned)grid->width;
    const size_t image = large / ((size_t)height * width);
    const unsigned in_image = (unsigned)(large - image * height * width), i = in_image / width, j = in_image % width;
    shuffled at;
    at.pixel = (image * (size_t)grid->height + i / 2) * (size_t)grid->width + j / 2;
    at.place = (int)(2 * (i % 2) + j % 2);
    return at;
}

typedef struct shuffled_row {
    const px_store *from, *bias;
    px_store *to;
} shuffled_row;

PX_FUNCTION shuffled_row shuffled_row_at(size_t row, const px_pixel_shuffle_args *k) {
    const shuffled from = shuffled_of(&k->grid, row);
    shuffled_row at;
    at.from = px_row(&k->x, from.pixel) + from.place;
    at.bias = px_row(&k->bias, 0);
    at.to = px_row(&k->y, row);
    return at;
}

PX_ROW void pixel_shuffle(shuffled_row at, int column, const px_pixel_shuffle_args *k) {
    (void)k;
    const px_real sum = (px_real)at.from[4 * column] + (px_real)at.bias[column];
    at.to[column] = sum < 0 ? 0 : sum; /* keeps a NaN */
}
PX_ADDRESSED_KERNEL(pixel_shuffle, shuffled_row, shuffled_row_at, k->y.rows, k->y.columns)

typedef struct unshuffled_row {
    const px_store *from;
    px_store *to;
} unshuffled_row;

PX_FUNCTION unshuffled_row unshuffled_row_at(size_t row, const px_pixel_unshuffle_args *k) {
    const shuffled to = shuffled_of(&k->grid, row);
    unshuffled_row at;
    at.from = px_row(&k->y, row);
    at.to = px_row(&k->x, to.pixel) + to.place;
    return at;
}

PX_ROW void pixel_unshuffle(unshuffled_row at, int column, const px_pixel_unshuffle_args *k) {
    (void)k;
    at.to[4 * column] = at.from[column];
}
PX_ADDRESSED_KERNEL(pixel_unshuffle, unshuffled_row, unshuffled_row_at, k->y.rows, k->y.columns)

/* A map: a dense matrix of rows x columns elements in the memory of one device, C order, without padding.
 *
 * Everything a model computes is a map. An image batch of N images of H x W pixels has N * H * W rows, row
 * (n * H + i) * W + j for the pixel (i, j) of image n, and one column per feature ("channels last"). */
#ifndef PIXELRNN_MAP_H
#define PIXELRNN_MAP_H

#include <stddef.h>
#include <stdint.h>

/* The arithmetic of a build: float, or double with `make BUILD=double` (gradient checks). */
#ifdef PX_DOUBLE
typedef double px_real;
#else
typedef float px_real;
#endif

typedef enum px_type {
    PX_REAL,    /* px_real: float32, or float64 in the double build */
    PX_UINT8,   /* image levels */
    PX_FLOAT64, /* sums that leave the device */
    PX_BF16,    /* bfloat16.h: activations and operands of products, with precision: bfloat16 */
} px_type;

typedef struct px_map {
    void *data; /* NULL: the map is absent (where a descriptor allows it) */
    size_t rows;
    int columns;
    px_type type;
} px_map;

/* A rectangle of images: the rows of a map as pixels. */
typedef struct px_grid {
    int images, height, width;
} px_grid;

static inline size_t px_type_size(px_type type) {
    static const size_t sizes[] = {sizeof(px_real), 1, sizeof(double), 2}; /* in the order of px_type */
    return sizes[type];
}

static inline size_t px_map_elements(const px_map *map) {
    return map->rows * (size_t)map->columns;
}

static inline size_t px_map_bytes(const px_map *map) {
    return px_map_elements(map) * px_type_size(map->type);
}

/* The same with the gap that keeps what follows aligned. */
enum { PX_MAP_ALIGN = 256 };
static inline size_t px_map_room(const px_map *map) {
    return (px_map_bytes(map) + PX_MAP_ALIGN - 1) / PX_MAP_ALIGN * PX_MAP_ALIGN;
}

static inline size_t px_grid_pixels(const px_grid *grid) {
    return (size_t)grid->images * (size_t)grid->height * (size_t)grid->width;
}

/* The first `rows` rows of map, for a batch smaller than the one the map was made for. */
static inline px_map px_map_head(px_map map, size_t rows) {
    map.rows = rows;
    return map;
}

/* The address of an element of memory that holds elements of this type. */
static inline void *px_element(const void *data, px_type type, ptrdiff_t element) {
    return (char *)data + element * (ptrdiff_t)px_type_size(type);
}

/* Rows first .. first + rows - 1; an absent map stays absent. */
static inline px_map px_map_slice(px_map map, size_t first, size_t rows) {
    if (map.data) map.data = px_element(map.data, map.type, (ptrdiff_t)(first * (size_t)map.columns));
    map.rows = rows;
    return map;
}

/* Memory as a map. */
static inline px_map px_map_over(void *data, size_t rows, int columns, px_type type) {
    px_map map = {data, rows, columns, type};
    return map;
}

#endif

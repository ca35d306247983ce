/* A tensor: a dense matrix of rows x columns elements in the memory of one device, C order, without padding.
 *
 * Everything a model computes is a tensor. An image batch of N images of H x W pixels has N * H * W rows, row
 * (n * H + i) * W + j for the pixel (i, j) of image n, and one column per feature ("channels last"). */
#ifndef PIXELRNN_TENSOR_H
#define PIXELRNN_TENSOR_H

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

typedef struct px_tensor {
    void *data; /* NULL: the tensor is absent (where a descriptor allows it) */
    size_t rows;
    int columns;
    px_type type;
} px_tensor;

/* A rectangle of images: the rows of a tensor as pixels. */
typedef struct px_grid {
    int images, height, width;
} px_grid;

static inline size_t px_type_size(px_type type) {
    static const size_t sizes[] = {sizeof(px_real), 1, sizeof(double), 2}; /* in the order of px_type */
    return sizes[type];
}

static inline size_t px_tensor_elements(const px_tensor *tensor) {
    return tensor->rows * (size_t)tensor->columns;
}

static inline size_t px_tensor_bytes(const px_tensor *tensor) {
    return px_tensor_elements(tensor) * px_type_size(tensor->type);
}

/* The same with the gap that keeps what follows aligned. */
enum { PX_TENSOR_ALIGN = 256 };
static inline size_t px_tensor_padded_bytes(const px_tensor *tensor) {
    return (px_tensor_bytes(tensor) + PX_TENSOR_ALIGN - 1) / PX_TENSOR_ALIGN * PX_TENSOR_ALIGN;
}

static inline size_t px_grid_pixels(const px_grid *grid) {
    return (size_t)grid->images * (size_t)grid->height * (size_t)grid->width;
}

/* The first `rows` rows of tensor, for a batch smaller than the one the tensor was made for. */
static inline px_tensor px_tensor_first_rows(px_tensor tensor, size_t rows) {
    tensor.rows = rows;
    return tensor;
}

/* The address of an element of memory that holds elements of this type. */
static inline void *px_element(const void *data, px_type type, ptrdiff_t element) {
    return (char *)data + element * (ptrdiff_t)px_type_size(type);
}

/* Rows first .. first + rows - 1; an absent tensor stays absent. */
static inline px_tensor px_tensor_slice(px_tensor tensor, size_t first, size_t rows) {
    if (tensor.data) tensor.data = px_element(tensor.data, tensor.type, (ptrdiff_t)(first * (size_t)tensor.columns));
    tensor.rows = rows;
    return tensor;
}

/* Memory as a tensor. */
static inline px_tensor px_tensor_of(void *data, size_t rows, int columns, px_type type) {
    px_tensor tensor = {data, rows, columns, type};
    return tensor;
}

#endif

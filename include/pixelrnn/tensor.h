/* A tensor: a dense row-major matrix of rows x columns elements in the memory of one device, without padding.
 *
 * A batch of N images of H x W pixels and C channels has N * H * W rows and C columns ("channels last"): row (n * H +
 * i) * W + j is the pixel (i, j) of image n. A px_tensor is a view; it does not own its memory. */
#ifndef PIXELRNN_TENSOR_H
#define PIXELRNN_TENSOR_H

#include <stddef.h>
#include <stdint.h>

/* The floating-point type of a build: float, or double with `make BUILD=double` (gradient checks). */
#ifdef PX_DOUBLE
typedef double px_real;
#else
typedef float px_real;
#endif

typedef enum px_type {
    PX_REAL,    /* px_real: float32, or float64 in the double build */
    PX_UINT8,   /* image levels */
    PX_FLOAT64, /* float64: sums that the host reads, scalars of optimisers */
    PX_BF16,    /* bfloat16: activations and compute weights, with precision: bfloat16 */
} px_type;

typedef struct px_tensor {
    void *data; /* NULL: the tensor is absent, where an operation allows it */
    size_t rows;
    int columns;
    px_type type;
} px_tensor;

/* The shape of a batch of images: N, H, W. */
typedef struct px_grid {
    int images, height, width;
} px_grid;

static inline size_t px_type_size(px_type type) {
    static const size_t sizes[] = {sizeof(px_real), 1, sizeof(double), 2}; /* in the order of px_type */
    return sizes[type];
}

static inline size_t px_tensor_elements(const px_tensor *tensor) { return tensor->rows * (size_t)tensor->columns; }

static inline size_t px_tensor_bytes(const px_tensor *tensor) {
    return px_tensor_elements(tensor) * px_type_size(tensor->type);
}

/* The bytes of a tensor, rounded up so that the next one in an allocation is aligned. */
enum { PX_TENSOR_ALIGN = 256 };
static inline size_t px_tensor_padded_bytes(const px_tensor *tensor) {
    return (px_tensor_bytes(tensor) + PX_TENSOR_ALIGN - 1) / PX_TENSOR_ALIGN * PX_TENSOR_ALIGN;
}

static inline size_t px_grid_pixels(const px_grid *grid) {
    return (size_t)grid->images * (size_t)grid->height * (size_t)grid->width;
}

/* A view of the first `rows` rows, for a batch smaller than the tensor was allocated for. */
static inline px_tensor px_tensor_first_rows(px_tensor tensor, size_t rows) {
    tensor.rows = rows;
    return tensor;
}

/* The address of element `element` in an array of this type. */
static inline void *px_element(const void *data, px_type type, ptrdiff_t element) {
    return (char *)data + element * (ptrdiff_t)px_type_size(type);
}

/* A view of rows first .. first + rows - 1; an absent tensor stays absent. */
static inline px_tensor px_tensor_slice(px_tensor tensor, size_t first, size_t rows) {
    if (tensor.data) tensor.data = px_element(tensor.data, tensor.type, (ptrdiff_t)(first * (size_t)tensor.columns));
    tensor.rows = rows;
    return tensor;
}

/* A view of the rows as bytes, for copies that do not depend on the type. */
static inline px_tensor px_tensor_as_bytes(px_tensor tensor) {
    tensor.columns *= (int)px_type_size(tensor.type);
    tensor.type = PX_UINT8;
    return tensor;
}

/* A tensor over existing memory. */
static inline px_tensor px_tensor_of(void *data, size_t rows, int columns, px_type type) {
    px_tensor tensor = {data, rows, columns, type};
    return tensor;
}

#endif

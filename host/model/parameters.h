/* The parameters of a model: one list of named tensors, from which everything that needs to agree about them is made:
 * memory, initial values, masks, checkpoint names and shapes, optimiser state, gradient tests.
 *
 * All weights lie in one flat tensor, all gradients in another of the same layout (an optimiser's state too), each
 * tensor at the same offset; the gaps between tensors stay 0. */
#ifndef PIXELRNN_PARAMETERS_H
#define PIXELRNN_PARAMETERS_H

#include "pixelrnn/device.h"
#include <stdbool.h>

typedef enum { PX_MASK_NONE, PX_MASK_A, PX_MASK_B } px_mask_kind;

enum { PX_PARAMETER_RANK = 4, PX_PARAMETER_NAME = 64, PX_FLAT_COLUMNS = 1024 };

typedef struct px_parameter {
    char name[PX_PARAMETER_NAME]; /* as in a model file: "blocks.3.expand.weight" */
    int rank;
    int shape[PX_PARAMETER_RANK]; /* [out], [out, in], [out, taps, in] or [out, rows, columns, in] */
    size_t count, offset;         /* elements; first element in the flat tensors */
    /* weights: */
    int outputs, inputs, taps, live; /* taps stored, taps that exist (a prefix) */
    px_mask_kind mask;               /* of tap `live` - 1, the centre */
    int period;                      /* outputs are grouped by colour anew every `period` of them (gates) */
    double gain; /* initial standard deviation is sqrt(gain / live fan-in of the output); 0: constant */
    /* biases: */
    int forget_first, forget_count; /* elements that start at 1 (forget gates), the rest at 0 */
} px_parameter;

typedef struct px_parameters {
    px_parameter *items;
    int count, capacity;
    int colours;     /* C of the images */
    size_t elements; /* of a flat tensor: a multiple of PX_FLAT_COLUMNS */
} px_parameters;

/* Adds a tensor (copied) behind the others and gives its index; PX_ERR_MEMORY. */
px_status px_parameters_add(px_context *ctx, px_parameters *parameters, const px_parameter *parameter, int *index);
void px_parameters_free(px_parameters *parameters);

/* The flat tensor's shape, (elements / PX_FLAT_COLUMNS, PX_FLAT_COLUMNS). */
size_t px_parameters_rows(const px_parameters *parameters);

/* A tensor within a flat tensor, as (outputs, taps * inputs), or (1, outputs) for a bias. */
px_tensor px_parameter_tensor(const px_parameter *parameter, px_tensor flat);

/* Is this element of a weight kept by mask and taps? (true for biases) */
bool px_parameter_live(const px_parameters *parameters, const px_parameter *parameter, size_t element);

/* Live elements over all tensors (biases included), and live weights alone: multiplications a pixel. */
size_t px_parameters_live(const px_parameters *parameters, size_t *weights);

/* Initial values, host memory of `elements` reals, a function of seed, tensor and element alone. Biases are 0, those of
 * forget gates 1. A live weight is sqrt(gain / fan_in) * z, where fan_in counts the live weights of its output and z is
 * standard normal: sqrt(-2 ln u) cos(2 pi v) with u = px_uniform(word 0, word 1) and v = px_uniform(word 2, word 3) of
 * px_random(seed, PX_RANDOM_WEIGHTS, index of the tensor in items, index of the element in the tensor). */
void px_parameters_initialise(const px_parameters *parameters, uint64_t seed, px_real *flat);

#endif

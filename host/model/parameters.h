/* The parameters of a model: one list of named tensors. Memory, initial values, masks, names and shapes in model files,
 * the state of optimisers and the gradient tests all follow this list.
 *
 * All weights lie in one flat tensor. Gradients and optimiser states are flat tensors of the same layout, with every
 * parameter at the same offset. The gaps between parameters stay 0. */
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
    size_t count, offset;         /* number of elements; index of the first one in the flat tensors */
    /* Of weights: */
    int outputs, inputs;
    int taps, live;     /* taps stored; the first `live` of them are used, the last of which is the pixel itself */
    px_mask_kind mask;  /* of the pixel's own tap */
    int period;         /* every `period` outputs are one tensor with its own colour groups: the gates of an LSTM */
    double gain;        /* the variance of the initial weights is gain / unmasked fan-in of the output */
    double pixel_share; /* how often a weight is applied in a forward pass, as a fraction of the image's pixels */
    bool reads_input;   /* the inputs are data, which need no gradient */
    /* Of biases: */
    int forget_first, forget_count; /* the elements of forget gates, whose initial value is 1 */
} px_parameter;

typedef struct px_parameters {
    px_parameter *items;
    int count, capacity;
    int colours;     /* C of the images */
    size_t elements; /* of a flat tensor, gaps included: a multiple of PX_FLAT_COLUMNS */
} px_parameters;

/* Appends a copy of `parameter`, assigns its offset, and gives its index in items. PX_ERR_MEMORY. */
px_status px_parameters_add(px_context *ctx, px_parameters *parameters, const px_parameter *parameter, int *index);
void px_parameters_free(px_parameters *parameters);

/* The number of rows of a flat tensor, which is (elements / PX_FLAT_COLUMNS, PX_FLAT_COLUMNS). */
size_t px_parameters_rows(const px_parameters *parameters);

/* The parameter within a flat tensor: (outputs, taps * inputs), or (1, outputs) for a bias. */
px_tensor px_parameter_tensor(const px_parameter *parameter, px_tensor flat);

/* Whether the element of a parameter is not masked. Biases have no mask. */
bool px_parameter_live(const px_parameters *parameters, const px_parameter *parameter, size_t element);

/* The number of unmasked elements of a parameter, and of all parameters. */
size_t px_parameter_live_count(const px_parameters *parameters, const px_parameter *parameter);
size_t px_parameters_live(const px_parameters *parameters);

/* Writes initial values to `flat`, `elements` reals in host memory. They depend on seed, parameter and element alone.
 * Biases are 0, those of forget gates 1, and masked weights 0. Every other weight is sqrt(gain / fan_in) * z, where
 * fan_in counts the unmasked weights of its output and z is standard normal (Box and Muller):
 *     z = sqrt(-2 ln u) cos(2 pi v),  u = px_uniform(word 0, word 1),  v = px_uniform(word 2, word 3)
 * The words are those of px_random(seed, PX_RANDOM_WEIGHTS, index of the parameter, index of the element in it). */
void px_parameters_initialise(const px_parameters *parameters, uint64_t seed, px_real *flat);

#endif

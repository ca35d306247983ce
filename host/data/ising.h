/* builtin:ising, a binary lattice that is sampled pixel by pixel from a causal rule, so that its entropy is known.
 *
 * In raster order, with spins s of -1 (black) and +1 (white) and neighbours outside the lattice counting 0,
 *   p(s_ij = +1 | all before) = sigmoid(2 * (J s_i,j-1 + J s_i-1,j + K s_i-1,j+1)),   J = 0.5, K = 0.25.
 * A pixel depends on the W pixels before it alone, so an expectation over all lattices is a sum over 2^W states. No
 * model can have a mean NLL below the entropy. A model that reaches it also has the pair means below. */
#ifndef PIXELRNN_ISING_H
#define PIXELRNN_ISING_H

#include "pixelrnn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PX_ISING_MIN_SIZE = 2, PX_ISING_MAX_SIZE = 16 };

/* Exact expectations, up to rounding in double. */
typedef struct px_ising {
    double entropy;    /* nats per image */
    double horizontal; /* mean of s_ij * s_i,j+1 over the pairs of a lattice */
    double vertical;   /* mean of s_ij * s_i+1,j */
} px_ising;

/* Computes the statistics of a lattice of size x size pixels in size^2 * 2^size operations. PX_ERR_CONFIG if size is
 * out of range, PX_ERR_MEMORY if 2^size doubles cannot be allocated. */
px_status px_ising_statistics(px_context *ctx, int size, px_ising *statistics);

#ifdef __cplusplus
}
#endif
#endif

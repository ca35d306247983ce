/* builtin:ising, the set whose entropy is known: a binary lattice drawn pixel by pixel from an exact causal rule.
 *
 * In raster order, with spins s of -1 (black) and +1 (white) and neighbours outside the lattice counting 0,
 *   p(s_ij = +1 | all before) = sigmoid(2 * (J s_i,j-1 + J s_i-1,j + K s_i-1,j+1)),   J = 0.5, K = 0.25.
 * A pixel thus depends on nothing but the W pixels before it, so that sums over all lattices are sums over 2^W states.
 * No model can reach fewer nats per image than the entropy, and a model that reaches them draws the pair means too. */
#ifndef PIXELRNN_ISING_H
#define PIXELRNN_ISING_H

#include "pixelrnn/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { PX_ISING_MIN_SIZE = 2, PX_ISING_MAX_SIZE = 16 };

/* Exact up to rounding in double. */
typedef struct px_ising {
    double entropy;    /* nats per image */
    double horizontal; /* mean of s_ij * s_i,j+1 over the pairs of a lattice */
    double vertical;   /* mean of s_ij * s_i+1,j */
} px_ising;

/* The statistics of a lattice of size x size pixels: size^2 * 2^size steps. PX_ERR_CONFIG if size is out of range,
 * PX_ERR_MEMORY if 2^size doubles cannot be held. */
px_status px_ising_statistics(px_context *ctx, int size, px_ising *statistics);

#ifdef __cplusplus
}
#endif
#endif

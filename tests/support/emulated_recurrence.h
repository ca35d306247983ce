/* Runs the cluster kernels of kernels/sm90 on the CPU, one cluster after the other. */
#ifndef PIXELRNN_TESTS_RECURRENCE_EMULATED_H
#define PIXELRNN_TESTS_RECURRENCE_EMULATED_H

#include "kernels/sm90/cluster.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs a recurrence that is divided by `cluster`, with the random order of a seed. Returns NULL, or a description of
 * the first fault, valid until the next call. */
const char *px_recurrence_emulated(const px_recurrence_args *recurrence, const px_cluster *cluster, bool backward,
                                   uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif

/* Recurrences on clusters run on the CPU by the kernels' own text, one cluster after the other. */
#ifndef PIXELRNN_TESTS_RECURRENCE_EMULATED_H
#define PIXELRNN_TESTS_RECURRENCE_EMULATED_H

#include "kernels/sm90/cluster.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs a recurrence split so, in an order drawn from seed. NULL, or what went wrong. */
const char *px_recurrence_emulated(const px_recurrence_args *recurrence, const px_cluster *cluster, bool backward,
                                   uint64_t seed);

#ifdef __cplusplus
}
#endif
#endif

/* Measures a model on a device, and in the same run the device's rates on a large matrix product and a large copy.
 *
 * A bench first checks its result: two forward passes must give the same finite nats. Then it warms up, and measures
 * passes until its seconds are spent. FLOPs are useful FLOPs: px_model_flops. */
#ifndef PIXELRNN_BENCH_H
#define PIXELRNN_BENCH_H

#include "host/bench/profile.h"
#include "host/bench/times.h"
#include "host/train/optimizer.h"
#include "pixelrnn/sample.h"

typedef enum {
    PX_BENCH_TRAIN,
    PX_BENCH_EVALUATE,
    PX_BENCH_SAMPLE,
    PX_BENCH_SAMPLE_NAIVE,
    PX_BENCH_PHASES
} px_bench_phase;
extern const char *const px_bench_phase_names[PX_BENCH_PHASES];

typedef struct px_bench_spec {
    px_model_spec model;
    px_optimizer_spec optimizer;
    bool phase[PX_BENCH_PHASES]; /* the phases to measure */
    int images;                  /* of a batch */
    double seconds;              /* for each phase */
    uint64_t seed;               /* of weights and images */
} px_bench_spec;

/* The passes of a phase over a batch. A training pass is forward, backward and update; an evaluation pass is forward; a
 * sampling pass samples the batch; a pass of the naive sampler samples the last pixel of each image. */
typedef struct px_bench_passes {
    int count;            /* 0: the phase was not measured */
    px_quantiles seconds; /* of one pass */
    double images;        /* completed by one pass; for the naive sampler the batch over the pixels of an image */
    double flops;         /* useful FLOPs of one pass: those of its images once, whatever the sampler repeats */
} px_bench_passes;

typedef struct px_bench_result {
    px_bench_passes phase[PX_BENCH_PHASES];
    px_bench_rates rates[PX_BENCH_PHASES + 1]; /* before the first phase, and after each measured phase */
    int rate_count;
    px_memory_plan plan;             /* of training */
    size_t optimizer;                /* bytes */
    size_t program;                  /* bytes resident on the host before the model is created */
    size_t peak;                     /* peak of bytes resident on the host, after some training steps; 0: not known */
    px_profile profile[PX_PROFILES]; /* of `profiled` training steps each */
    int profiled;                    /* 0 if training was not measured */
} px_bench_result;

/* PX_ERR_NUMERIC if the check fails. */
px_status px_bench_run(px_device *device, const px_bench_spec *spec, px_bench_result *result);

/* Returns the bytes that training is planned to take, the program included. */
size_t px_bench_planned(const px_bench_result *result);
/* By the median pass. */
double px_bench_images_per_second(const px_bench_result *result, px_bench_phase phase);
/* Returns the highest rates of the product and the copy, so that a disturbed measurement flatters no phase. */
px_bench_rates px_bench_fastest(const px_bench_result *result);
/* Returns the useful FLOP/s of a phase divided by those of the large product. */
double px_bench_share(const px_bench_result *result, px_bench_phase phase);
/* Returns the minimum bytes that the operations of a training step move: the sum of px_work_of over the calls of the
 * model. Tensors that stay in a cache between operations may cost less. 0 if training was not measured. */
double px_bench_bytes(const px_bench_result *result);

#endif

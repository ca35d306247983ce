/* Bench: what a model costs on a device, beside what the same device reaches on one large product and one large copy in
 * the same run.
 *
 * A bench checks its result first (two forward passes give the same finite nats), warms up, then takes the time of
 * whole passes until its seconds are spent, and reports quantiles. Work is useful work: px_model_flops. */
#ifndef PIXELRNN_BENCH_H
#define PIXELRNN_BENCH_H

#include "host/train/optimizer.h"
#include "pixelrnn/sample.h"
#include "host/device/backend.h"

/* --- Time by operation: the device's table is replaced by one that takes the time of every call and passes it on.
 * The device is waited for after each timed call, so a profiled pass on CUDA is slower than a plain one. */
enum {
#define PX_COUNT_OP(name) PX_OP_##name,
    PX_DEVICE_OPS(PX_COUNT_OP)
#undef PX_COUNT_OP
        PX_OPS
};
extern const char *const px_op_names[PX_OPS];

/* What an operation cannot do without: floating-point operations, a multiplication and an addition being two, and bytes
 * of its tensors, each read or written once as its descriptor lists it (host/bench/work.c). op: PX_OP_name; args: its
 * px_name_args. */
typedef struct px_work {
    double flops, bytes;
} px_work;
px_work px_work_of(int op, const void *args);

typedef enum {
    PX_PROFILE_OWN,   /* every call; what an operation calls through the table counts for what was called */
    PX_PROFILE_WHOLE, /* the model's calls alone; what an operation calls counts for it, and runs undisturbed */
    PX_PROFILES
} px_profile_kind;

typedef struct px_profile {
    px_device_ops table; /* first: an operation finds its profile through device->ops */
    const px_device_ops *real;
    px_profile_kind kind;
    bool graphs;   /* the device's; off while it is profiled, or nothing would be seen */
    double called; /* seconds spent in calls that the operation at work made */
    double seconds[PX_OPS];
    long calls[PX_OPS];
    px_work work[PX_OPS]; /* of calls that made none themselves: what they called counts it */
} px_profile;

/* Starts from zero, and puts the device's own table back. */
void px_profile_begin(px_profile *profile, px_device *device, px_profile_kind kind);
void px_profile_end(px_profile *profile, px_device *device);

/* --- A model. */
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
    bool phase[PX_BENCH_PHASES]; /* those wanted */
    int images;                  /* of a batch */
    double seconds;              /* to spend on each phase */
    uint64_t seed;               /* of weights and images */
} px_bench_spec;

typedef struct px_quantiles {
    double p10, median, p90;
} px_quantiles;

/* A phase: passes over a batch. A training pass is forward, backward and update; an evaluation's is forward; a
 * sampling pass draws the batch; the plain way's draws one pixel, the last one, of each of its images. */
typedef struct px_bench_passes {
    int count;            /* 0: not wanted */
    px_quantiles seconds; /* of one pass */
    double images;        /* that one pass completes: the batch, or that over the pixels of an image */
    double flops;         /* useful, of one pass: what its images cost once, however often sampling repeats itself */
} px_bench_passes;

/* One product of 2048 x 2048 x 2048, and one copy of 64 MiB that counts twice: read and written. */
typedef struct px_bench_rates {
    double flops, bytes; /* a second */
} px_bench_rates;

typedef struct px_bench_result {
    px_bench_passes phase[PX_BENCH_PHASES];
    px_bench_rates rates[PX_BENCH_PHASES + 1]; /* before the first phase, and after each that was measured */
    int rate_count;
    px_memory_plan plan; /* of training */
    size_t optimizer;    /* bytes */
    size_t program;      /* bytes resident on the host before the model was made */
    size_t peak;         /* bytes: most ever resident on the host after some training steps; 0 where not known */
    px_profile profile[PX_PROFILES]; /* of `profiled` training steps each; 0 if training was not wanted */
    int profiled;
} px_bench_result;

/* What training is planned to take in all, the program included. */
size_t px_bench_planned(const px_bench_result *result);
/* By the median pass. */
double px_bench_images_per_second(const px_bench_result *result, px_bench_phase phase);
/* The large product's and the large copy's rates: the fastest of those taken before, between and after the phases, so
 * that a disturbed one flatters nobody. */
px_bench_rates px_bench_fastest(const px_bench_result *result);
/* Useful FLOP/s of a phase as a share of the large product's. */
double px_bench_share(const px_bench_result *result, px_bench_phase phase);
/* Bytes that the operations of a training step must move at least, by themselves: the sum of px_work_of over the
 * model's calls. What stays in a cache from one operation to the next may come cheaper. 0 if training was not wanted.
 */
double px_bench_bytes(const px_bench_result *result);

/* PX_ERR_NUMERIC if the check fails. */
px_status px_bench_run(px_device *device, const px_bench_spec *spec, px_bench_result *result);

#endif

/* Measures a model on a device, and in the same run the device's rates on a large matrix product and a large copy.
 *
 * A bench first checks its result: two forward passes must give the same finite nats. Then it warms up, and measures
 * passes until its seconds are spent. FLOPs are useful FLOPs: px_model_flops. */
#ifndef PIXELRNN_BENCH_H
#define PIXELRNN_BENCH_H

#include "host/device/backend.h"
#include "host/train/optimizer.h"
#include "pixelrnn/sample.h"

/* ---- Repeated time measurements ---- */

/* PX_MAX_OVERRUN: the factor by which px_times_take may exceed its seconds to reach `min` passes. */
enum { PX_MAX_TIMES = 1000, PX_MAX_OVERRUN = 10 };

typedef struct px_times {
    int count;
    double seconds[PX_MAX_TIMES];
} px_times;

typedef struct px_quantiles {
    double p10, median, p90;
} px_quantiles;

/* One matrix product of 2048 x 2048 x 2048. One copy of 64 MiB counts 128 MiB: read and written. */
typedef struct px_bench_rates {
    double flops, bytes; /* per second */
} px_bench_rates;

/* Measures pass(context) at least `min` times and until `seconds` (which may be 0) are spent. The device is
 * synchronized after each pass. Slow passes are measured fewer than `min` times, but at least once, if more would take
 * longer than PX_MAX_OVERRUN times the seconds. */
px_status px_times_take(px_times *times, px_device *device, int min, double seconds, px_status (*pass)(void *context),
                        void *context);

/* Sorts the times, and returns their quantiles. */
px_quantiles px_times_quantiles(px_times *times);

/* Measures a large product and a large copy on the device, each for at least `seconds`. */
px_status px_bench_rates_take(px_device *device, double seconds, px_bench_rates *rates);

/* ---- The minimum work of each device operation ---- */

/* Floating-point operations (a multiplication and an addition are two), and bytes of the operation's tensors, each read
 * or written once for each time that its descriptor lists it. */
typedef struct px_work {
    double flops, bytes;
} px_work;

/* Returns the minimum work of a call. op: PX_OP_name; args: its px_name_args. */
px_work px_work_of(int op, const void *args);

/* ---- Time by operation ----
 *
 * The device's table of operations is replaced by one that measures each call and forwards it. The device is
 * synchronized after each measured call, so a profiled pass on CUDA is slower than a normal one. */

typedef enum {
    PX_PROFILE_OWN,   /* every call is measured; the time of a nested call counts for the nested operation */
    PX_PROFILE_WHOLE, /* only the calls of the model are measured; nested calls count for their caller */
    PX_PROFILES
} px_profile_kind;

typedef struct px_profile {
    px_device_ops table; /* must be first: an operation finds its profile through device->ops */
    const px_device_ops *real;
    px_profile_kind kind;
    unsigned paths; /* the device's; graphs are not used while profiling, because they hide operations */
    double nested;  /* seconds spent in nested calls of the current operation */
    double seconds[PX_OPS];
    long calls[PX_OPS];
    px_work work[PX_OPS]; /* of calls without nested calls */
} px_profile;

/* Clears the profile and installs its table; end restores the device's own table. */
void px_profile_begin(px_profile *profile, px_device *device, px_profile_kind kind);
void px_profile_end(px_profile *profile, px_device *device);

/* ---- The bench of a model ---- */

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

/* How training scales over ranks.
 *
 *   scaling BENCH.json CONFIG.yaml...      predicts, from step times that `pixelrnn bench --json` has measured
 *   mpirun -n R scaling CONFIG.yaml [PIXELS CHANNELS]
 *                                          holds such a prediction against a measurement on R CPU ranks
 *
 * The model. A step on one rank takes T, a third of it forward and the rest backward, in which gradients become final
 * from the last parameter to the first, at an even rate (a parameter costs the same work wherever it stands). They
 * leave in the buckets of host/distributed/reduction.c, one after the other, each as soon as it is whole and the one
 * before is done. What is left of the last one when the backward pass is over is exposed, and the step takes T +
 * exposed: efficiency = T / (T + exposed). A bucket of n bytes over R ranks, g of them on each of H hosts, takes 2
 * (g-1)/g n / inside + 2 (H-1)/H (n/g) / between + 2 log2(g) latency_inside + 2 log2(H) latency_between: reduced and
 * scattered within a host, then each rank's part between hosts, then gathered. T is proportional to the images a rank
 * has, which flatters small shares: a GPU is not fully used by them. */
#include "host/bench/times.h"
#include "host/io/clock.h"
#include "pixelrnn/config.h"
#include "host/io/file.h"
#include "pixelrnn/model_file.h"
#include "kernels/portable/random.h"
#include "host/train/step.h"
#include "host/model/internal.h"
#include <cjson/cJSON.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- Buckets ------------------------------------------------------------------------------------------------------ */

enum { PX_MAX_BUCKETS = 2048 };

/* What leaves together, and the share of the backward pass that is over by then. */
typedef struct px_bucket {
    double bytes, ready;
} px_bucket;

typedef struct buckets {
    int count;
    double bytes; /* of all */
    px_bucket item[PX_MAX_BUCKETS];
} buckets;

/* Where backward says that gradients are final: before the head, before each block with its skip, before the stem. */
static int part_of_network(const char *name) {
    int block;
    if (strncmp(name, "head.", 5) == 0) return INT_MAX;
    return sscanf(name, "%*[^.].%d.", &block) == 1 ? block : -1;
}

static buckets buckets_of(const px_parameters *parameters, double bucket_bytes) {
    buckets b = {.bytes = (double)parameters->elements * sizeof(px_real)};
    double waiting = b.bytes; /* bytes from here on have left */
    for (int i = parameters->count - 1; i >= 0 && b.count < PX_MAX_BUCKETS; i--) {
        const px_parameter *p = &parameters->items[i];
        const bool border = i == 0 || part_of_network(p->name) != part_of_network(p[-1].name);
        const double first = (double)p->offset * sizeof(px_real);
        if (!border || (i > 0 && waiting - first < bucket_bytes)) continue;
        b.item[b.count++] = (px_bucket){waiting - first, 1 - first / b.bytes};
        waiting = first;
    }
    return b;
}

/* --- Prediction --------------------------------------------------------------------------------------------------- */

typedef struct px_link {
    const char *name;
    int inside_ranks;           /* ranks a host */
    double inside, between;     /* bytes a second and rank, one way */
    double inside_s, between_s; /* latency of a message */
} px_link;

/* Nominal speeds of the cables; latencies are guesses of the usual size. */
static const px_link links[] = {
    {"8 GPUs a host on NVLink, 400 Gb/s InfiniBand a GPU", 8, 450e9, 50e9, 3e-6, 5e-6},
    {"8 GPUs a host on NVLink, 100 Gb/s Ethernet a host", 8, 450e9, 12.5e9 / 8, 3e-6, 30e-6},
    {"1 GPU a host, 100 Gb/s Ethernet", 1, 450e9, 12.5e9, 3e-6, 30e-6},
};
enum { PX_LINKS = sizeof links / sizeof *links };

static double px_grad_c(const px_link *link, int ranks, double bytes) {
    const double g = ranks < link->inside_ranks ? ranks : link->inside_ranks, hosts = ceil(ranks / g);
    return 2 * (g - 1) / g * bytes / link->inside + 2 * (hosts - 1) / hosts * (bytes / g) / link->between +
           2 * ceil(log2(g)) * link->inside_s + 2 * ceil(log2(hosts)) * link->between_s;
}

/* Seconds of the backward pass's end to that of the last bucket, when each takes carry(bytes). */
typedef double (*carrier)(const void *how, double bytes);
static double px_exposed(const buckets *b, double step, carrier grad_c, const void *how) {
    double free = 0;
    for (int i = 0; i < b->count; i++) {
        const double ready = step / 3 + step * 2 / 3 * b->item[i].ready;
        free = (free > ready ? free : ready) + grad_c(how, b->item[i].bytes);
    }
    return free > step ? free - step : 0;
}

typedef struct px_route {
    const px_link *link;
    int ranks;
} px_route;
static double carry_route(const void *how, double bytes) {
    const px_route *route = how;
    return px_grad_c(route->link, route->ranks, bytes);
}

static double efficiency(const buckets *b, double step, const px_link *link, int ranks) {
    return step / (step + px_exposed(b, step, carry_route, &(px_route){link, ranks}));
}

static void predict(const buckets *b, double image_seconds, int images) {
    static const int ranks[] = {2, 8, 16, 64, 256, 1024};
    enum { RANKS = sizeof ranks / sizeof *ranks, MOST = 1 << 16 };
    const double wanted = 0.95;
    for (int l = 0; l < PX_LINKS; l++) {
        printf("  %-52s", links[l].name);
        for (int r = 0; r < RANKS; r++)
            printf(" %5.1f", 100 * efficiency(b, image_seconds * images, &links[l], ranks[r]));
        int least = 1;
        while (least < MOST && efficiency(b, image_seconds * least, &links[l], 1024) < wanted) least++;
        printf("   %d a rank, %d in all\n", least, 1024 * least);
    }
}

/* What was measured of a config. */
typedef struct measured {
    int height, width, channels, images; /* of a batch */
    double seconds;                      /* of a training step */
} measured;

static px_status parameters_of(px_context *ctx, const px_config *config, const measured *m, buckets *b) {
    const px_model_spec spec = px_model_spec_from(config, m->height, m->width, m->channels);
    px_device *device;
    px_model *model;
    PX_TRY(px_device_open(ctx, PX_DEVICE_CPU, PX_REAL, &device));
    const px_status status = px_model_create(device, &spec, &model);
    if (status == PX_OK) *b = buckets_of(px_model_parameters(model), config->parallel.bucket_mib * (1 << 20));
    px_model_destroy(model);
    px_device_close(device);
    return status;
}

static int integer(const cJSON *object, const char *key) {
    return (int)cJSON_GetNumberValue(cJSON_GetObjectItem(object, key));
}

/* The training step of the config of that name. */
static bool find_step(const cJSON *bench, const char *name, measured *m) {
    const cJSON *result, *phase;
    cJSON_ArrayForEach(result, cJSON_GetObjectItem(bench, "results")) {
        const cJSON *config = cJSON_GetObjectItem(result, "config");
        if (!cJSON_IsString(config) || strcmp(config->valuestring, name) != 0) continue;
        cJSON_ArrayForEach(phase, cJSON_GetObjectItem(result, "phases")) {
            const cJSON *kind = cJSON_GetObjectItem(phase, "phase");
            if (!cJSON_IsString(kind) || strcmp(kind->valuestring, "train") != 0) continue;
            *m = (measured){.height = integer(result, "height"),
                            .width = integer(result, "width"),
                            .channels = integer(result, "channels"),
                            .images = integer(phase, "images_per_pass"),
                            .seconds = 1e-3 * cJSON_GetNumberValue(cJSON_GetObjectItem(phase, "pass_ms_median"))};
            return m->seconds > 0 && m->images > 0 && m->height > 0 && m->width > 0 && m->channels > 0;
        }
    }
    return false;
}

static px_status scale_config(px_context *ctx, const char *path, const char *config_path, const cJSON *bench) {
    px_config config;
    static buckets b;
    measured m;
    px_config_default(&config);
    PX_TRY(px_config_load(ctx, config_path, &config));
    if (!find_step(bench, config.name, &m))
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found no training step of %.200s with the size of its images in it",
                       path, config.name);
    PX_TRY(parameters_of(ctx, &config, &m, &b));
    printf("%s, %d x %d x %d: %d images a rank in %.4g ms, gradients %.2f MiB in %d buckets\n", config.name, m.height,
           m.width, m.channels, m.images, 1e3 * m.seconds, b.bytes / (1 << 20), b.count);
    predict(&b, m.seconds / m.images, m.images);
    return PX_OK;
}

static px_status scale(px_context *ctx, int count, char **words) {
    char *text;
    PX_TRY(px_file_read_text(ctx, words[0], 1 << 24, &text));
    cJSON *bench = cJSON_Parse(text);
    free(text);
    const cJSON *device = cJSON_GetObjectItem(bench, "device"), *said = cJSON_GetObjectItem(device, "description");
    px_status status = PX_OK;
    if (!cJSON_IsString(said)) status = px_fail(ctx, PX_ERR_FORMAT, "%s: found no report of pixelrnn bench", words[0]);
    if (status == PX_OK) {
        printf("Step times measured on: %s. Links at their nominal speeds.\n", said->valuestring);
        printf("%-54s %s\n", "", "efficiency, %, on 2, 8, 16, 64, 256, 1024; batch for 95 % on 1024");
    }
    for (int i = 1; i < count && status == PX_OK; i++) status = scale_config(ctx, words[0], words[i], bench);
    cJSON_Delete(bench);
    return status;
}

/* --- Measurement -------------------------------------------------------------------------------------------------- */

typedef struct naive {
    px_ranks *ranks;
    px_device *device;
    px_model *model;
    px_optimizer *optimizer;
    px_reduction *reduction;
    px_step step;
    uint8_t *levels;
    int images;
    int64_t updates;
} naive;

static px_status naive_step(void *context) {
    naive *t = context;
    return px_step_run(&t->step, t->levels, t->images, ++t->updates, 1e-3);
}

/* The time of a bucket, a straight line through those of a small and of a large one. */
typedef struct px_wire {
    double seconds, seconds_per_byte;
} px_wire;
static double carry_wire(const void *how, double bytes) {
    const px_wire *wire = how;
    return wire->seconds + bytes * wire->seconds_per_byte;
}

enum { PX_ROUNDS = 30, PX_WARM_UP = 3, PX_SMALL = 4096, PX_LARGE = 4 << 20 };

static int rising(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* Median seconds of a bucket of so many bytes with nothing else to do. */
static px_status time_bucket(naive *t, px_tensor tensor, size_t bytes, double *seconds) {
    double took[PX_ROUNDS];
    px_reduction *reduction;
    const px_tensor bucket = px_tensor_first_rows(tensor, bytes / PX_FLAT_COLUMNS / sizeof(px_real));
    PX_TRY(px_reduction_create(t->ranks, t->device, bucket, bytes, &reduction));
    px_status status = PX_OK;
    for (int i = 0; i < PX_ROUNDS && status == PX_OK; i++) {
        status = px_ranks_agree(t->ranks, PX_OK); /* all at once */
        if (status == PX_OK) status = px_reduction_ready(reduction, 0);
        if (status == PX_OK) status = px_reduction_finish(reduction);
        took[i] = px_reduction_times_take(reduction).reduce;
    }
    px_reduction_destroy(reduction);
    qsort(took, PX_ROUNDS, sizeof *took, rising);
    *seconds = took[PX_ROUNDS / 2];
    return status;
}

static px_status time_wire(naive *t, px_wire *wire) {
    px_tensor tensor = {calloc(1, PX_LARGE), PX_LARGE / PX_FLAT_COLUMNS / sizeof(px_real), PX_FLAT_COLUMNS, PX_REAL};
    double small = 0, large = 0;
    if (!tensor.data) return px_fail(t->device->ctx, PX_ERR_MEMORY, "scaling: no memory");
    px_status status = time_bucket(t, tensor, PX_SMALL, &small);
    if (status == PX_OK) status = time_bucket(t, tensor, PX_LARGE, &large);
    free(tensor.data);
    wire->seconds_per_byte = (large - small) / (PX_LARGE - PX_SMALL);
    wire->seconds = small - wire->seconds_per_byte * PX_SMALL;
    return status;
}

/* Median seconds of this rank's step without the others: in turns, so that each has the machine to itself, and all at
 * once, so that they share its memory. */
static px_status time_steps(naive *t, bool in_turns, double *seconds) {
    px_times times;
    for (int rank = 0; rank < px_ranks_count(t->ranks); rank++) {
        if (!in_turns || rank == px_ranks_rank(t->ranks)) {
            for (int i = 0; i < PX_WARM_UP; i++) PX_TRY(naive_step(t));
            PX_TRY(px_times_take(&times, t->device, PX_ROUNDS, 0, naive_step, t));
            *seconds = px_times_quantiles(&times).median;
        }
        PX_TRY(px_ranks_agree(t->ranks, PX_OK));
        if (!in_turns) break;
    }
    return PX_OK;
}

static void print_naive(const naive *t, const buckets *b, const px_wire *wire, double alone, double beside,
                        double together, px_reduction_times times) {
    const double exposed = px_exposed(b, beside, carry_wire, wire);
    double reduce = 0;
    for (int i = 0; i < b->count; i++) reduce += carry_wire(wire, b->item[i].bytes);
    printf("%d ranks, %d images each; gradients %.2f MiB in %d buckets; a bucket takes %.3f ms + %.3f ms a MiB\n",
           px_ranks_count(t->ranks), t->images, b->bytes / (1 << 20), b->count, 1e3 * wire->seconds,
           1e3 * (1 << 20) * wire->seconds_per_byte);
    printf("step of one rank, the others idle     %9.2f ms\n", 1e3 * alone);
    printf("step of one rank, the others at work  %9.2f ms\n", 1e3 * beside);
    printf("%-36s %12s %12s\n", "", "predicted", "measured");
    printf("%-36s %9.2f ms %9.2f ms\n", "step with reduction", 1e3 * (beside + exposed), 1e3 * together);
    printf("%-36s %9.2f ms %9.2f ms\n", "reductions on their way", 1e3 * reduce,
           1e3 * times.reduce / (double)times.steps);
    printf("%-36s %9.2f ms %9.2f ms\n", "exposed after the backward pass", 1e3 * exposed,
           1e3 * times.exposed / (double)times.steps);
    printf("%-36s %10.1f %% %10.1f %%\n", "hidden behind the backward pass", 100 * (1 - exposed / reduce),
           100 * (1 - times.exposed / times.reduce));
    printf("%-36s %10.1f %% %10.1f %%\n", "efficiency, against one at work", 100 * beside / (beside + exposed),
           100 * beside / together);
}

static px_status try_model(naive *t, const px_config *config, int size, int channels) {
    static buckets b;
    px_wire wire = {0};
    double alone = 0, beside = 0, together = 0;
    const px_model_spec spec = px_model_spec_from(config, size, size, channels);
    const px_optimizer_spec rule = {
        .kind = PX_OPTIMIZER_RMSPROP, .rho = config->train.rho, .epsilon = config->train.epsilon, .clip_norm = 1};
    const size_t values = (size_t)size * (size_t)size * (size_t)channels, all = values * (size_t)t->images;
    PX_TRY(px_model_create(t->device, &spec, &t->model));
    PX_TRY(px_model_initialise(t->model, 1));
    PX_TRY(px_model_reserve(t->model, t->images, PX_PURPOSE_TRAIN));
    PX_TRY(px_optimizer_create(t->model, &rule, &t->optimizer));
    t->levels = malloc(all);
    if (!t->levels) return px_fail(t->device->ctx, PX_ERR_MEMORY, "scaling: no memory");
    for (size_t i = 0; i < all; i++)
        t->levels[i] = (uint8_t)(px_random(1, PX_RANDOM_DATA, 0, i).word[0] % (uint32_t)spec.levels);
    const double bucket = config->parallel.bucket_mib * (1 << 20);
    b = buckets_of(px_model_parameters(t->model), bucket);
    PX_TRY(time_wire(t, &wire));
    t->step = (px_step){.model = t->model, .optimizer = t->optimizer};
    PX_TRY(time_steps(t, true, &alone));
    PX_TRY(time_steps(t, false, &beside));
    PX_TRY(px_reduction_create(t->ranks, t->device, px_model_gradients(t->model), (size_t)bucket, &t->reduction));
    px_graph_release(&t->step.graph, t->device);
    t->step.reduction = t->reduction;
    PX_TRY(time_steps(t, false, &together));
    if (px_ranks_rank(t->ranks) == 0)
        print_naive(t, &b, &wire, alone, beside, together, px_reduction_times_take(t->reduction));
    return PX_OK;
}

static px_status px_try(px_context *ctx, px_ranks *ranks, int count, char **words) {
    naive t = {.ranks = ranks};
    px_config config;
    const int size = count > 1 ? atoi(words[1]) : 32, channels = count > 2 ? atoi(words[2]) : 3;
    px_config_default(&config);
    PX_TRY(px_config_load(ctx, words[0], &config));
    t.images = (int)px_ranks_share(ranks, (size_t)config.train.batch_size, 1).count;
    PX_TRY(px_device_open(ctx, PX_DEVICE_CPU, PX_REAL, &t.device));
    const px_status status = try_model(&t, &config, size, channels);
    px_graph_release(&t.step.graph, t.device);
    px_reduction_destroy(t.reduction);
    px_optimizer_destroy(t.optimizer);
    px_model_destroy(t.model);
    free(t.levels);
    px_device_close(t.device);
    return status;
}

/* --- The program -------------------------------------------------------------------------------------------------- */

static void px_say(const char *line) {
    fprintf(stderr, "scaling: %s\n", line);
}
static void leave(px_status status) {
    _exit(px_exit_status(status));
}

static px_status run_arguments(px_context *ctx, int count, char **words) {
    static const px_ranks_end end = {px_say, leave, NULL};
    px_ranks *ranks;
    if (count > 1 && px_ranks_launched() == 0) return scale(ctx, count, words);
    if (count < 1 || px_ranks_launched() == 0)
        return px_fail(ctx, PX_ERR_USAGE,
                       "usage: scaling BENCH.json CONFIG.yaml..., or mpirun -n R scaling CONFIG.yaml");
    PX_TRY(px_ranks_open(ctx, &end, &ranks));
    const px_status status = px_try(ctx, ranks, count, words);
    if (status != PX_OK) px_say(ctx->message);
    px_ranks_close(ranks, status);
    return status;
}

int main(int count, char **words) {
    px_context ctx = {0};
    const px_status status = run_arguments(&ctx, count - 1, words + 1);
    if (status != PX_OK && ctx.message[0]) px_say(ctx.message);
    return px_exit_status(status);
}

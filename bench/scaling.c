/* Scaling of training over ranks: a prediction, and its comparison with a measurement.
 *
 *   scaling BENCH.json CONFIG.yaml...
 *       Predicts the efficiency on GPUs from step times that `pixelrnn bench --json` has measured.
 *   mpirun -n R scaling CONFIG.yaml [PIXELS CHANNELS]
 *       Compares such a prediction with a measurement on R CPU ranks.
 *
 * The model. A step on one rank takes T seconds: a third of it is the forward pass and the rest the backward pass.
 * Gradients become final from the last parameter to the first, at a constant rate (each parameter costs the same work).
 * They are summed in the buckets of host/distributed/reduction.c, one after the other, each when it is complete and the
 * previous one is done. The time of the sums after the end of the backward pass is exposed. The step takes T + exposed,
 * and the efficiency is T / (T + exposed).
 *
 * A bucket of n bytes over R ranks, g on each of H hosts, takes
 *   2 (g-1)/g n / inside + 2 (H-1)/H (n/g) / between + 2 log2(g) latency_inside + 2 log2(H) latency_between
 * seconds: a reduce-scatter within each host, an allreduce of each rank's part between hosts, and an allgather within
 * each host. T is assumed proportional to the images of a rank. That is optimistic for small shares, which leave a GPU
 * partly idle. */
#include "host/bench/bench.h"
#include "host/io/clock.h"
#include "host/io/file.h"
#include "host/model/internal.h"
#include "host/train/step.h"
#include "kernels/portable/random.h"
#include "pixelrnn/config.h"
#include "pixelrnn/model_file.h"
#include <cjson/cJSON.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Buckets ---- */

enum { MAX_BUCKETS = 2048 };

typedef struct bucket {
    double bytes;
    double ready; /* fraction of the backward pass after which it is complete */
} bucket;

typedef struct bucket_list {
    int count;
    double bytes; /* of all gradients */
    bucket items[MAX_BUCKETS];
} bucket_list;

/* The part of the network that a parameter belongs to. The backward pass declares gradients final after the head, after
 * each block with its skip connection, and after the stem. */
static int part_of_network(const char *name) {
    int block;
    if (strncmp(name, "head.", 5) == 0) return INT_MAX;
    return sscanf(name, "%*[^.].%d.", &block) == 1 ? block : -1;
}

static bucket_list list_buckets(const px_parameters *parameters, double bucket_bytes) {
    bucket_list b = {.bytes = (double)parameters->elements * sizeof(px_real)};
    double end = b.bytes; /* gradients from this byte on are in earlier buckets */
    for (int i = parameters->count - 1; i >= 0 && b.count < MAX_BUCKETS; i--) {
        const px_parameter *p = &parameters->items[i];
        const bool first_of_part = i == 0 || part_of_network(p->name) != part_of_network(p[-1].name);
        const double first = (double)p->offset * sizeof(px_real);
        if (!first_of_part || (i > 0 && end - first < bucket_bytes)) continue;
        b.items[b.count++] = (bucket){end - first, 1 - first / b.bytes};
        end = first;
    }
    return b;
}

/* Seconds of an allreduce of so many bytes. */
typedef double (*allreduce_seconds)(const void *network, double bytes);

/* Seconds from the end of the backward pass to the end of the last allreduce. */
static double exposed_seconds(const bucket_list *b, double step_s, allreduce_seconds seconds, const void *network) {
    double end = 0;
    for (int i = 0; i < b->count; i++) {
        const double ready = step_s / 3 + step_s * 2 / 3 * b->items[i].ready;
        end = (end > ready ? end : ready) + seconds(network, b->items[i].bytes);
    }
    return end > step_s ? end - step_s : 0;
}

/* ---- Prediction ---- */

typedef struct cluster {
    const char *name;
    int host_ranks;                             /* ranks on each host */
    double inside, between;                     /* bytes a second of one rank, in one direction */
    double inside_latency_s, between_latency_s; /* of a message */
} cluster;

/* Nominal bandwidths, and assumed latencies of the usual size. */
static const cluster clusters[] = {
    {"8 GPUs a host on NVLink, 400 Gb/s InfiniBand a GPU", 8, 450e9, 50e9, 3e-6, 5e-6},
    {"8 GPUs a host on NVLink, 100 Gb/s Ethernet a host", 8, 450e9, 12.5e9 / 8, 3e-6, 30e-6},
    {"1 GPU a host, 100 Gb/s Ethernet", 1, 450e9, 12.5e9, 3e-6, 30e-6},
};

typedef struct job {
    const cluster *cluster;
    int ranks;
} job;

static double job_seconds(const void *network, double bytes) {
    const job *j = network;
    const cluster *c = j->cluster;
    const double g = j->ranks < c->host_ranks ? j->ranks : c->host_ranks, hosts = ceil(j->ranks / g);
    return 2 * (g - 1) / g * bytes / c->inside + 2 * (hosts - 1) / hosts * (bytes / g) / c->between +
           2 * ceil(log2(g)) * c->inside_latency_s + 2 * ceil(log2(hosts)) * c->between_latency_s;
}

static double efficiency(const bucket_list *b, double step_s, const cluster *c, int ranks) {
    return step_s / (step_s + exposed_seconds(b, step_s, job_seconds, &(job){c, ranks}));
}

/* Prints a line for each cluster: efficiencies in percent, and the least batch for 95 % on 1,024 ranks. */
static void print_prediction(const bucket_list *b, double image_s, int images) {
    static const int ranks[] = {2, 8, 16, 64, 256, 1024};
    const int max_images = 1 << 16;
    for (size_t c = 0; c < sizeof clusters / sizeof *clusters; c++) {
        printf("  %-52s", clusters[c].name);
        for (size_t r = 0; r < sizeof ranks / sizeof *ranks; r++)
            printf(" %5.1f", 100 * efficiency(b, image_s * images, &clusters[c], ranks[r]));
        int min_images = 1;
        while (min_images < max_images && efficiency(b, image_s * min_images, &clusters[c], 1024) < 0.95) min_images++;
        printf("   %d a rank, %d in all\n", min_images, 1024 * min_images);
    }
}

/* The training step of a config in the bench report. */
typedef struct measured_step {
    int height, width, channels, images;
    double seconds;
} measured_step;

static int integer(const cJSON *object, const char *key) {
    return (int)cJSON_GetNumberValue(cJSON_GetObjectItem(object, key));
}

static bool string_is(const cJSON *object, const char *key, const char *value) {
    const cJSON *item = cJSON_GetObjectItem(object, key);
    return cJSON_IsString(item) && strcmp(item->valuestring, value) == 0;
}

static bool find_step(const cJSON *bench, const char *name, measured_step *m) {
    const cJSON *result, *phase;
    cJSON_ArrayForEach(result, cJSON_GetObjectItem(bench, "results")) {
        if (!string_is(result, "config", name)) continue;
        cJSON_ArrayForEach(phase, cJSON_GetObjectItem(result, "phases")) {
            if (!string_is(phase, "phase", "train")) continue;
            *m = (measured_step){.height = integer(result, "height"),
                                 .width = integer(result, "width"),
                                 .channels = integer(result, "channels"),
                                 .images = integer(phase, "images_per_pass"),
                                 .seconds = 1e-3 * cJSON_GetNumberValue(cJSON_GetObjectItem(phase, "pass_ms_median"))};
            return m->seconds > 0 && m->images > 0 && m->height > 0 && m->width > 0 && m->channels > 0;
        }
    }
    return false;
}

static px_status list_config_buckets(px_context *ctx, const px_config *config, const measured_step *m, bucket_list *b) {
    const px_model_spec spec = px_model_spec_from(config, m->height, m->width, m->channels);
    px_device *device;
    px_model *model;
    PX_TRY(px_device_open(ctx, PX_DEVICE_CPU, PX_REAL, &device));
    const px_status status = px_model_create(device, &spec, &model);
    if (status == PX_OK) *b = list_buckets(px_model_parameters(model), config->parallel.bucket_mib * (1 << 20));
    px_model_destroy(model);
    px_device_close(device);
    return status;
}

static px_status predict_config(px_context *ctx, const char *bench_path, const char *config_path, const cJSON *bench) {
    px_config config;
    static bucket_list b;
    measured_step m;
    px_config_default(&config);
    PX_TRY(px_config_load(ctx, config_path, &config));
    if (!find_step(bench, config.name, &m))
        return px_fail(ctx, PX_ERR_FORMAT, "%s: found no training step of %.200s with the size of its images in it",
                       bench_path, config.name);
    PX_TRY(list_config_buckets(ctx, &config, &m, &b));
    printf("%s, %d x %d x %d: %d images a rank in %.4g ms, gradients %.2f MiB in %d buckets\n", config.name, m.height,
           m.width, m.channels, m.images, 1e3 * m.seconds, b.bytes / (1 << 20), b.count);
    print_prediction(&b, m.seconds / m.images, m.images);
    return PX_OK;
}

static px_status predict(px_context *ctx, int count, char **arguments) {
    char *text;
    PX_TRY(px_file_read_text(ctx, arguments[0], 1 << 24, &text));
    cJSON *bench = cJSON_Parse(text);
    free(text);
    const cJSON *device = cJSON_GetObjectItem(cJSON_GetObjectItem(bench, "device"), "description");
    px_status status = PX_OK;
    if (!cJSON_IsString(device))
        status = px_fail(ctx, PX_ERR_FORMAT, "%s: found no device, expected a report of pixelrnn bench --json",
                         arguments[0]);
    if (status == PX_OK) {
        printf("Step times measured on: %s. Links at their nominal speeds.\n", device->valuestring);
        printf("%-54s %s\n", "", "efficiency, %, on 2, 8, 16, 64, 256, 1024; batch for 95 % on 1024");
    }
    for (int i = 1; i < count && status == PX_OK; i++) status = predict_config(ctx, arguments[0], arguments[i], bench);
    cJSON_Delete(bench);
    return status;
}

/* ---- Measurement ---- */

enum { ROUNDS = 30, WARM_UP = 3, SMALL_BUCKET = 4096, LARGE_BUCKET = 4 << 20 };

typedef struct training {
    px_ranks *ranks;
    px_device *device;
    px_model *model;
    px_optimizer *optimizer;
    px_reduction *reduction;
    px_step step;
    uint8_t *levels;
    int images; /* of this rank */
    int64_t updates;
} training;

/* Medians, in seconds. */
typedef struct step_times {
    double idle;        /* a step of one rank without a reduction, while the other ranks are idle */
    double busy;        /* the same while the other ranks compute too, and share the memory bandwidth */
    double distributed; /* a step with its reduction */
} step_times;

static px_status run_step(void *context) {
    training *t = context;
    return px_step_run(&t->step, t->levels, NULL, t->images, ++t->updates, 1e-3);
}

/* The duration of an allreduce as a linear function of its bytes, fitted to a small and a large bucket. */
typedef struct linear_fit {
    double seconds, seconds_per_byte;
} linear_fit;
static double fit_seconds(const void *network, double bytes) {
    const linear_fit *fit = network;
    return fit->seconds + bytes * fit->seconds_per_byte;
}

static int compare_doubles(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* Measures the median duration of an allreduce of so many bytes without any computation. */
static px_status time_bucket(training *t, px_tensor tensor, size_t bytes, double *seconds) {
    double times[ROUNDS];
    px_reduction *reduction;
    const px_tensor rows = px_tensor_first_rows(tensor, bytes / PX_FLAT_COLUMNS / sizeof(px_real));
    PX_TRY(px_reduction_create(t->ranks, t->device, rows, bytes, &reduction));
    px_status status = PX_OK;
    for (int i = 0; i < ROUNDS && status == PX_OK; i++) {
        status = px_ranks_agree(t->ranks, PX_OK); /* a barrier */
        px_reduction_begin(reduction);
        if (status == PX_OK) status = px_reduction_ready(reduction, 0);
        if (status == PX_OK) status = px_reduction_finish(reduction);
        times[i] = px_reduction_read_times(reduction).reduce;
    }
    px_reduction_destroy(reduction);
    qsort(times, ROUNDS, sizeof *times, compare_doubles);
    *seconds = times[ROUNDS / 2];
    return status;
}

static px_status fit_network(training *t, linear_fit *fit) {
    px_tensor tensor = {calloc(1, LARGE_BUCKET), LARGE_BUCKET / PX_FLAT_COLUMNS / sizeof(px_real), PX_FLAT_COLUMNS,
                        PX_REAL};
    double small = 0, large = 0;
    if (!tensor.data) return px_fail_memory(t->device->ctx, "scaling", LARGE_BUCKET);
    px_status status = time_bucket(t, tensor, SMALL_BUCKET, &small);
    if (status == PX_OK) status = time_bucket(t, tensor, LARGE_BUCKET, &large);
    free(tensor.data);
    fit->seconds_per_byte = (large - small) / (LARGE_BUCKET - SMALL_BUCKET);
    fit->seconds = small - fit->seconds_per_byte * SMALL_BUCKET;
    return status;
}

/* Measures the median duration of this rank's step: one rank after the other, or all ranks at once. */
static px_status time_steps(training *t, bool one_by_one, double *seconds) {
    px_times times;
    for (int rank = 0; rank < px_ranks_count(t->ranks); rank++) {
        if (!one_by_one || rank == px_ranks_rank(t->ranks)) {
            for (int i = 0; i < WARM_UP; i++) PX_TRY(run_step(t));
            PX_TRY(px_times_take(&times, t->device, ROUNDS, 0, run_step, t));
            *seconds = px_times_quantiles(&times).median;
        }
        PX_TRY(px_ranks_agree(t->ranks, PX_OK));
        if (!one_by_one) break;
    }
    return PX_OK;
}

static void print_measurement(const training *t, const bucket_list *b, const linear_fit *fit, step_times measured) {
    const px_reduction_times reduction = px_reduction_read_times(t->reduction);
    const double exposed = exposed_seconds(b, measured.busy, fit_seconds, fit), steps = (double)reduction.steps;
    double reduce = 0;
    for (int i = 0; i < b->count; i++) reduce += fit_seconds(fit, b->items[i].bytes);
    printf("%d ranks, %d images each; gradients %.2f MiB in %d buckets; a bucket takes %.3f ms + %.3f ms a MiB\n",
           px_ranks_count(t->ranks), t->images, b->bytes / (1 << 20), b->count, 1e3 * fit->seconds,
           1e3 * (1 << 20) * fit->seconds_per_byte);
    printf("step of one rank, the others idle     %9.2f ms\n", 1e3 * measured.idle);
    printf("step of one rank, the others busy     %9.2f ms\n", 1e3 * measured.busy);
    printf("%-36s %12s %12s\n", "", "predicted", "measured");
    printf("%-36s %9.2f ms %9.2f ms\n", "step with reduction", 1e3 * (measured.busy + exposed),
           1e3 * measured.distributed);
    printf("%-36s %9.2f ms %9.2f ms\n", "reductions", 1e3 * reduce, 1e3 * reduction.reduce / steps);
    printf("%-36s %9.2f ms %9.2f ms\n", "exposed after the backward pass", 1e3 * exposed,
           1e3 * reduction.exposed / steps);
    printf("%-36s %10.1f %% %10.1f %%\n", "hidden behind the backward pass", 100 * (1 - exposed / reduce),
           100 * (1 - reduction.exposed / reduction.reduce));
    printf("%-36s %10.1f %% %10.1f %%\n", "efficiency, against the others busy",
           100 * measured.busy / (measured.busy + exposed), 100 * measured.busy / measured.distributed);
}

static px_status create_training(training *t, const px_config *config, int size, int channels) {
    const px_model_spec spec = px_model_spec_from(config, size, size, channels);
    const px_optimizer_spec optimizer = {
        .kind = PX_OPTIMIZER_RMSPROP, .rho = config->train.rho, .epsilon = config->train.epsilon, .clip_norm = 1};
    const size_t values = (size_t)size * (size_t)size * (size_t)channels * (size_t)t->images;
    PX_TRY(px_model_create(t->device, &spec, &t->model));
    PX_TRY(px_model_initialise(t->model, 1));
    PX_TRY(px_model_reserve(t->model, t->images, PX_PURPOSE_TRAIN));
    PX_TRY(px_optimizer_create(t->model, &optimizer, &t->optimizer));
    t->levels = malloc(values);
    if (!t->levels) return px_fail_memory(t->device->ctx, "scaling", values);
    for (size_t i = 0; i < values; i++)
        t->levels[i] = (uint8_t)(px_random(1, PX_RANDOM_DATA, 0, i).word[0] % (uint32_t)spec.levels);
    return PX_OK;
}

static px_status measure(training *t, const px_config *config) {
    static bucket_list b;
    linear_fit fit = {0};
    step_times measured = {0};
    const double bucket_bytes = config->parallel.bucket_mib * (1 << 20);
    b = list_buckets(px_model_parameters(t->model), bucket_bytes);
    PX_TRY(fit_network(t, &fit));
    t->step = (px_step){.model = t->model, .optimizer = t->optimizer};
    PX_TRY(time_steps(t, true, &measured.idle));
    PX_TRY(time_steps(t, false, &measured.busy));
    const px_tensor gradients = px_model_gradients(t->model);
    PX_TRY(px_reduction_create(t->ranks, t->device, gradients, (size_t)bucket_bytes, &t->reduction));
    px_graph_release(&t->step.graph, t->device);
    t->step.reduction = t->reduction;
    PX_TRY(time_steps(t, false, &measured.distributed));
    if (px_ranks_rank(t->ranks) == 0) print_measurement(t, &b, &fit, measured);
    return PX_OK;
}

static px_status measure_config(px_context *ctx, px_ranks *ranks, int count, char **arguments) {
    training t = {.ranks = ranks};
    px_config config;
    const int size = count > 1 ? atoi(arguments[1]) : 32, channels = count > 2 ? atoi(arguments[2]) : 3;
    px_config_default(&config);
    PX_TRY(px_config_load(ctx, arguments[0], &config));
    t.images = (int)px_ranks_share(ranks, (size_t)config.train.batch_size, 1).count;
    PX_TRY(px_device_open(ctx, PX_DEVICE_CPU, PX_REAL, &t.device));
    px_status status = create_training(&t, &config, size, channels);
    if (status == PX_OK) status = measure(&t, &config);
    px_graph_release(&t.step.graph, t.device);
    px_reduction_destroy(t.reduction);
    px_optimizer_destroy(t.optimizer);
    px_model_destroy(t.model);
    free(t.levels);
    px_device_close(t.device);
    return status;
}

/* ---- Program ---- */

static void log_line(const char *line) { fprintf(stderr, "scaling: %s\n", line); }
static void exit_now(px_status status) { _exit(px_exit_status(status)); }

static px_status run(px_context *ctx, int count, char **arguments) {
    static const px_ranks_callbacks callbacks = {log_line, exit_now, NULL};
    px_ranks *ranks;
    if (count > 1 && px_ranks_launched() == 0) return predict(ctx, count, arguments);
    if (count < 1 || px_ranks_launched() == 0)
        return px_fail(ctx, PX_ERR_USAGE,
                       "usage: scaling BENCH.json CONFIG.yaml..., or mpirun -n R scaling CONFIG.yaml");
    PX_TRY(px_ranks_open(ctx, &callbacks, &ranks));
    const px_status status = measure_config(ctx, ranks, count, arguments);
    if (status != PX_OK) log_line(ctx->message);
    px_ranks_close(ranks, status);
    return status;
}

int main(int count, char **arguments) {
    px_context ctx = {0};
    const px_status status = run(&ctx, count - 1, arguments + 1);
    if (status != PX_OK && ctx.message[0]) log_line(ctx.message);
    return px_exit_status(status);
}

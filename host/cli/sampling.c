/* Sampling into a resume file and from there into the output files. A record of the resume file holds, for each model
 * of the chain, the NLL of an image in nats (a double) and its 8-bit pixels. */
#include "host/cli/sampling.h"
#include "host/data/npy.h"
#include "host/device/backend.h"
#include "host/logging/logging.h"
#include "pixelrnn/loader.h"
#include "pixelrnn/sample.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

px_status px_sampling_check(px_model_command *c) {
    if (px_cli_ends_with(c->out, ".png") || px_cli_ends_with(c->out, ".npy")) return PX_OK;
    return px_fail(c->ctx, PX_ERR_USAGE, "-o: found %.200s, expected a name that ends with .png or .npy", c->out);
}

void px_sampling_prepare(px_sampling *s, px_context *ctx, px_ranks *ranks, const px_command *command,
                         px_status (*run)(px_model_command *)) {
    s->base.command = command;
    s->base.ctx = ctx;
    s->base.ranks = ranks;
    s->base.check = px_sampling_check;
    s->base.run = run;
    s->scales = 1;
    s->seed = -1;
}

static const px_model_spec *spec_of(const px_sampling *s, int scale) {
    return px_model_spec_of(px_sampling_model(s, scale));
}

static const px_model_spec *largest(const px_sampling *s) { return px_model_spec_of(s->base.model); }

/* The bytes of a record before the part of model `scale`. */
static size_t record_offset(const px_sampling *s, int scale) {
    size_t bytes = 0;
    for (int k = 0; k < scale; k++) bytes += sizeof(double) + px_image_bytes(spec_of(s, k));
    return bytes;
}

static size_t record_bytes(const px_sampling *s) { return record_offset(s, s->scales); }

/* ---- Identification of the work ---- */

static px_status weights_checksum(px_model *model, uLong *checksum) {
    px_device *device = px_model_device(model);
    const px_tensor weights = px_model_weights(model);
    const size_t bytes = px_tensor_bytes(&weights);
    void *host = malloc(bytes);
    if (!host) return px_fail_memory(device->ctx, "sampling", bytes);
    const px_status status = device->ops->download(device, host, weights.data, bytes);
    *checksum = crc32_z(0, host, bytes);
    free(host);
    return status;
}

enum { WORK_LINE = 160 * (PX_MAX_SCALES + 1) };

/* Writes a line that names everything the samples depend on. */
static px_status describe_work(const px_sampling *s, char work[WORK_LINE]) {
    const px_model_spec *last = largest(s);
    const char *type = px_model_device(s->base.model)->activation == PX_BF16 ? " in bfloat16" : "";
    uLong weights = 0, given = 0;
    int length = snprintf(work, WORK_LINE, "pixelrnn %s: ", s->base.command->name);
    for (int k = 0; k < s->scales; k++) {
        const px_model_spec *spec = spec_of(s, k);
        PX_TRY(weights_checksum(px_sampling_model(s, k), &weights));
        length += snprintf(work + length, (size_t)(WORK_LINE - length),
                           "kind %d, %d x %d x %d, %d levels, weights %08lx%s, ", (int)spec->kind, spec->height,
                           spec->width, spec->channels, spec->levels, weights, type);
    }
    if (s->keep) given = crc32_z(0, s->keep, (size_t)last->height * (size_t)last->width);
    if (s->depends_on) given = crc32_z(given, (const Bytef *)s->depends_on, strlen(s->depends_on));
    snprintf(work + length, (size_t)(WORK_LINE - length), "seed %llu, temperature %.17g, given %08lx",
             (unsigned long long)s->seed, s->temperature, given);
    return PX_OK;
}

/* ---- Sampling ---- */

/* The images of one model in a batch of a rank. */
typedef struct scale_buffers {
    px_sampler *sampler;
    uint8_t *levels;
    double *nats;
} scale_buffers;

/* The buffers of a rank for one batch, and the records of a round: one batch of each rank. */
typedef struct batch_buffers {
    scale_buffers scale[PX_MAX_SCALES];
    uint8_t *conditions; /* of the smallest model */
    uint8_t *given;      /* 8-bit */
    uint8_t *records;
} batch_buffers;

static px_status allocate_batch(const px_sampling *s, batch_buffers *b, int images) {
    const px_model_spec *first = spec_of(s, 0);
    const size_t count = (size_t)images, ranks = (size_t)px_ranks_count(s->base.ranks);
    const size_t condition = px_condition_bytes(&first->condition, first->height, first->width, first->channels);
    bool complete = true;
    for (int k = 0; k < s->scales; k++) {
        scale_buffers *scale = &b->scale[k];
        PX_TRY(px_sampler_create(px_sampling_model(s, k), images, &scale->sampler));
        scale->levels = malloc(count * px_image_bytes(spec_of(s, k)));
        scale->nats = calloc(count, sizeof *scale->nats);
        complete = complete && scale->levels && scale->nats;
    }
    b->conditions = malloc(count * condition + 1);
    b->given = malloc(count * px_image_bytes(largest(s)));
    b->records = malloc(count * ranks * record_bytes(s));
    if (complete && b->conditions && b->given && b->records) return PX_OK;
    return px_fail(s->base.ctx, PX_ERR_MEMORY, "%s: out of memory for %d image%s at a time; lower eval.batch_size",
                   s->base.command->name, images, px_plural(images));
}

static void free_batch(batch_buffers *b) {
    for (int k = 0; k < PX_MAX_SCALES; k++) {
        px_sampler_destroy(b->scale[k].sampler);
        free(b->scale[k].levels);
        free(b->scale[k].nats);
    }
    free(b->conditions);
    free(b->given);
    free(b->records);
}

/* Writes the part of model `scale` of the records of a batch. Given pixels keep their 8-bit value instead of that of
 * their level. */
static void write_records(const px_sampling *s, const batch_buffers *b, int scale, int images, uint8_t *records) {
    const px_model_spec *spec = spec_of(s, scale);
    const scale_buffers *from = &b->scale[scale];
    const size_t bytes = px_image_bytes(spec), channels = (size_t)spec->channels;
    for (size_t n = 0; n < (size_t)images; n++) {
        uint8_t *part = records + n * record_bytes(s) + record_offset(s, scale), *pixels = part + sizeof(double);
        memcpy(part, &from->nats[n], sizeof(double));
        for (size_t i = 0; i < bytes; i++)
            pixels[i] = s->keep && s->keep[i / channels] ? b->given[n * bytes + i]
                                                         : px_dequantise(from->levels[n * bytes + i], spec->levels);
    }
}

/* Reads the given pixels and the conditions of the smallest model for images first .. first + images - 1. */
static px_status read_batch(px_sampling *s, batch_buffers *b, int first, int images) {
    const px_model_spec *spec = spec_of(s, 0);
    const size_t bytes = px_image_bytes(spec);
    const size_t condition = px_condition_bytes(&spec->condition, spec->height, spec->width, spec->channels);
    for (int n = 0; n < images && s->read_given; n++) PX_TRY(s->read_given(s, first + n, b->given + (size_t)n * bytes));
    for (size_t i = 0; i < (size_t)images * bytes && s->read_given; i++)
        b->scale[0].levels[i] = px_quantise(b->given[i], spec->levels);
    for (int n = 0; n < images && s->read_condition; n++)
        PX_TRY(s->read_condition(s, first + n, b->conditions + (size_t)n * condition));
    return PX_OK;
}

/* Samples images first .. first + images - 1 on this rank from one model after the other, and writes their records. */
static px_status sample_batch(px_sampling *s, batch_buffers *b, int first, int images, uint8_t *records,
                              px_progress *progress) {
    const uint8_t *conditions = s->read_condition ? b->conditions : NULL;
    PX_TRY(read_batch(s, b, first, images));
    for (int k = 0; k < s->scales; k++) {
        const scale_buffers *scale = &b->scale[k];
        const px_sample_request request = {.seed = px_sample_seed(spec_of(s, k), (uint64_t)s->seed),
                                           .first_image = (uint64_t)first,
                                           .images = images,
                                           .temperature = s->temperature,
                                           .given = s->read_given ? scale->levels : NULL,
                                           .keep = s->keep,
                                           .conditions = conditions,
                                           .stop = &px_cli_stop};
        PX_TRY(px_sample(scale->sampler, &request, scale->levels, scale->nats, progress));
        write_records(s, b, k, images, records);
        conditions = scale->levels;
    }
    return PX_OK;
}

/* Samples images first .. first + images - 1, each rank its share, and appends them to the resume file. */
static px_status sample_round(px_sampling *s, batch_buffers *b, int first, int images, px_progress *progress) {
    px_ranks *ranks = s->base.ranks;
    const size_t bytes = record_bytes(s);
    const px_share share = px_ranks_share(ranks, (size_t)images, 1);
    PX_TRY(px_ranks_agree(ranks, sample_batch(s, b, first + (int)share.first, (int)share.count,
                                              b->records + share.first * bytes, progress)));
    PX_TRY(px_ranks_gather(ranks, b->records, (size_t)images, 1, bytes));
    return px_ranks_agree(ranks, s->resume ? px_resume_file_append(s->resume, b->records, (size_t)images) : PX_OK);
}

/* Samples images first .. count - 1 in rounds. */
static px_status sample_rounds(px_sampling *s, int first) {
    const int limit = px_cli_sampling_batch(&s->base.info.config);
    const int ranks = px_ranks_count(s->base.ranks), left = s->count - first, each = (left + ranks - 1) / ranks;
    const int batch = each < limit ? each : limit, round = batch * ranks;
    batch_buffers b = {0};
    px_progress progress;
    /* A unit of progress is a pixel of this rank's images, which are one of `ranks` parts of all. */
    int64_t pixels = 0;
    for (int k = 0; k < s->scales; k++) pixels += (int64_t)spec_of(s, k)->height * spec_of(s, k)->width;
    px_progress_begin(&progress, px_cli_talk(s->base.ranks), s->base.command->name, first * pixels / ranks,
                      s->count * pixels / ranks);
    progress.images = (double)ranks / (double)pixels;
    progress.count_images = true;
    px_status status = px_ranks_agree(s->base.ranks, allocate_batch(s, &b, batch));
    for (int n = first; n < s->count && status == PX_OK; n += round) {
        const int images = s->count - n < round ? s->count - n : round;
        status = sample_round(s, &b, n, images, &progress);
        progress.done = (n + images) * pixels / ranks;
    }
    px_progress_clear(&progress);
    free_batch(&b);
    return status;
}

/* Checks that all ranks are about to sample the same images, and opens the resume file on rank 0. *done: the images in
 * that file, on every rank. */
static px_status open_resume_file(px_sampling *s, uint64_t *done) {
    px_ranks *ranks = s->base.ranks;
    char work[WORK_LINE] = "";
    PX_TRY(px_ranks_agree(ranks, describe_work(s, work)));
    PX_TRY(px_ranks_same_program(ranks));
    PX_TRY(px_ranks_same(ranks, "the model or the request", work, sizeof work));
    PX_TRY(px_ranks_same(ranks, "-n", &s->count, sizeof s->count));
    px_status status = PX_OK;
    if (px_ranks_rank(ranks) == 0) status = px_cli_lock_output(s->base.ctx, s->base.out, &s->lock);
    if (px_ranks_rank(ranks) == 0 && status == PX_OK)
        status = px_resume_file_open(s->base.ctx, s->base.out, work, record_bytes(s), &s->resume);
    PX_TRY(px_ranks_agree(ranks, status));
    *done = s->resume ? px_resume_file_count(s->resume) : 0;
    return px_ranks_broadcast(ranks, done, sizeof *done);
}

static px_status fail_stopped(px_sampling *s, px_status stop) {
    const char *command = s->base.command->name;
    const size_t done = px_resume_file_count(s->resume);
    if (done == 0) return px_fail(s->base.ctx, stop, "%s: stopped before the first batch was finished", command);
    return px_fail(s->base.ctx, stop, "%s: stopped; %s.journal holds %zu of %d image%s, and the same command goes on",
                   command, s->base.out, done, s->count, px_plural(s->count));
}

static px_status sample_all(px_sampling *s) {
    uint64_t done;
    PX_TRY(open_resume_file(s, &done));
    if (done > 0)
        fprintf(px_cli_talk(s->base.ranks), "%s: going on after %llu image%s of an interrupted run\n",
                s->base.command->name, (unsigned long long)done, px_plural((long long)done));
    const px_status status = done < (uint64_t)s->count ? sample_rounds(s, (int)done) : PX_OK;
    if (px_status_is_stop(status) && s->resume) return fail_stopped(s, status);
    if (status == PX_OK) px_stop_hold(&px_cli_stop); /* only the output is left to write */
    return status;
}

/* ---- Output, on rank 0 ---- */

enum { RECORDS_AT_ONCE = 256 };

/* The sums of the NLL of images and of its square. */
typedef struct nll_sums {
    double sum, squares;
} nll_sums;

static void add_nll(nll_sums *v, double nats) {
    v->sum += nats;
    v->squares += nats * nats;
}

/* Where the pixels of model `scale` go, unless NULL, and the NLL of the largest image and of all scales together. */
typedef struct record_reader {
    int scale;
    px_file_out *out;
    uint8_t *pixels;
    nll_sums last, total;
} record_reader;

static px_status read_record(px_sampling *s, const uint8_t *record, record_reader *v) {
    const size_t bytes = px_image_bytes(spec_of(s, v->scale));
    const uint8_t *pixels = record + record_offset(s, v->scale) + sizeof(double);
    double nats = 0, total = 0;
    for (int k = 0; k < s->scales; k++) {
        memcpy(&nats, record + record_offset(s, k), sizeof nats);
        total += nats;
    }
    add_nll(&v->last, nats);
    add_nll(&v->total, total);
    if (v->pixels) v->pixels = (uint8_t *)memcpy(v->pixels, pixels, bytes) + bytes;
    return v->out ? px_file_write(s->base.ctx, v->out, pixels, bytes) : PX_OK;
}

static px_status read_records(px_sampling *s, int first, int count, record_reader *v) {
    const size_t bytes = record_bytes(s);
    uint8_t *records = malloc(RECORDS_AT_ONCE * bytes);
    if (!records) return px_fail_memory(s->base.ctx, s->base.command->name, RECORDS_AT_ONCE * bytes);
    px_status status = PX_OK;
    for (int n = 0; n < count && status == PX_OK; n += RECORDS_AT_ONCE) {
        const int part = count - n < RECORDS_AT_ONCE ? count - n : RECORDS_AT_ONCE;
        status = px_resume_file_read(s->resume, (size_t)(first + n), (size_t)part, records);
        for (int i = 0; i < part && status == PX_OK; i++) status = read_record(s, records + (size_t)i * bytes, v);
    }
    free(records);
    return status;
}

px_status px_sampling_read(px_sampling *s, int scale, int first, int count, uint8_t *pixels) {
    return read_records(s, first, count, &(record_reader){.scale = scale, .pixels = pixels});
}

/* Writes all images of a model as an array [count, H, W, C]. */
static px_status write_npy(px_sampling *s, int scale, const char *path) {
    const px_model_spec *spec = spec_of(s, scale);
    const size_t shape[] = {(size_t)s->count, (size_t)spec->height, (size_t)spec->width, (size_t)spec->channels};
    px_file_out out;
    PX_TRY(px_file_create(s->base.ctx, path, &out));
    px_status status = px_npy_write_header(s->base.ctx, path, out.stream, "|u1", 4, shape);
    if (status == PX_OK) status = read_records(s, 0, s->count, &(record_reader){.scale = scale, .out = &out});
    if (status == PX_OK) status = px_file_commit(s->base.ctx, &out);
    px_file_abandon(&out);
    return status;
}

static px_grid_layout grid_layout(const px_sampling *s, int scale) {
    const px_model_spec *spec = spec_of(s, scale);
    return (px_grid_layout){.images = s->grid_images,
                            .height = spec->height,
                            .width = spec->width,
                            .channels = spec->channels,
                            .columns = s->grid_columns,
                            .rows = s->grid_rows};
}

static px_status write_png(px_sampling *s, int scale, const char *path) {
    const px_grid_layout layout = grid_layout(s, scale);
    const size_t bytes = (size_t)layout.images * px_image_bytes(spec_of(s, scale));
    uint8_t *pixels = malloc(bytes);
    if (!pixels) return px_fail_memory(s->base.ctx, path, bytes);
    px_status status = s->read_grid(s, scale, pixels);
    if (status == PX_OK) status = px_png_grid_write(s->base.ctx, path, pixels, &layout);
    free(pixels);
    return status;
}

/* Writes OUT, and with all_scales before it OUT.1.png (or .npy) and so on. */
static px_status write_images(px_sampling *s) {
    const char *out = s->base.out, *ending = out + strlen(out) - strlen(".png");
    px_status (*const write)(px_sampling *, int, const char *) = strcmp(ending, ".npy") == 0 ? write_npy : write_png;
    char path[PX_PATH];
    for (int k = 0; k < s->scales && s->all_scales; k++) {
        PX_TRY(px_file_path(s->base.ctx, path, "%.*s.%d%s", (int)(ending - out), out, k + 1, ending));
        PX_TRY(write(s, k, path));
    }
    return write(s, s->scales - 1, out);
}

/* Prints the mean NLL of `count` images, its standard error, and bits for each of `values` values. */
static void print_nll(const char *what, const nll_sums *v, int count, size_t values, const char *given) {
    const double mean = v->sum / count, variance = v->squares / count - mean * mean;
    printf("%s %.3f nats each%s", what, mean, given);
    if (count > 1) printf(" (standard error %.3f)", sqrt(fmax(variance, 0) / (count - 1)));
    printf(", %.4f bits/dim", mean / ((double)values * log(2)));
}

/* Writes the output, removes the resume file, and prints `what` and the mean NLL. */
static px_status write_output(px_sampling *s, const char *what) {
    static const char *const given[] = {[PX_CONDITION_NONE] = " under the model",
                                        [PX_CONDITION_CLASS] = " given their classes",
                                        [PX_CONDITION_IMAGE] = " given the smaller images"};
    const px_model_spec *spec = largest(s);
    const px_sample_request request = {.keep = s->keep};
    const size_t values = px_sample_values(spec, &request);
    record_reader v = {0};
    PX_TRY(write_images(s));
    PX_TRY(read_records(s, 0, s->count, &v));
    px_resume_file_remove(s->resume);
    printf("%s in %s\n", what, s->base.out);
    if (values == 0) return PX_OK;
    print_nll(s->keep ? "what was drawn:" : "NLL:", &v.last, s->count, values, given[spec->condition.kind]);
    printf("\n");
    if (s->scales == 1) return PX_OK;
    print_nll("all scales:", &v.total, s->count, values, "");
    printf(" of %d x %d x %d (an upper bound)\n", spec->height, spec->width, spec->channels);
    return PX_OK;
}

/* Checks the sizes of the grids before anything is sampled. */
static px_status check_grids(const px_sampling *s) {
    for (int k = s->all_scales ? 0 : s->scales - 1; k < s->scales; k++) {
        const px_grid_layout layout = grid_layout(s, k);
        if (px_cli_ends_with(s->base.out, ".png")) PX_TRY(px_png_grid_check(s->base.ctx, &layout));
    }
    return PX_OK;
}

px_status px_sampling_run(px_sampling *s, const char *what) {
    if (s->seed < 0) s->seed = s->base.info.config.seed;
    px_status status = check_grids(s);
    if (status == PX_OK) status = sample_all(s);
    if (status == PX_OK) status = px_ranks_agree(s->base.ranks, s->resume ? write_output(s, what) : PX_OK);
    px_resume_file_close(s->resume);
    px_lock_release(&s->lock);
    return status;
}

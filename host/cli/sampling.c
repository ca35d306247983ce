/* Sampling into a resume file and from there into the output file. A record of the resume file is the NLL of an image
 * in nats (a double) and its 8-bit pixels. */
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
    s->seed = -1;
}

static const px_model_spec *spec_of(const px_sampling *s) { return px_model_spec_of(s->base.model); }

static size_t record_bytes(const px_model_spec *spec) { return sizeof(double) + px_image_bytes(spec); }

/* ---- Identification of the work ---- */

static px_status weights_checksum(const px_sampling *s, uLong *checksum) {
    px_device *device = px_model_device(s->base.model);
    const px_tensor weights = px_model_weights(s->base.model);
    const size_t bytes = px_tensor_bytes(&weights);
    void *host = malloc(bytes);
    if (!host) return px_fail_memory(s->base.ctx, s->base.command->name, bytes);
    const px_status status = device->ops->download(device, host, weights.data, bytes);
    *checksum = crc32_z(0, host, bytes);
    free(host);
    return status;
}

enum { WORK_LINE = 320 };

/* Writes a line that names everything the samples depend on. */
static px_status describe_work(const px_sampling *s, char work[WORK_LINE]) {
    const px_model_spec *spec = spec_of(s);
    uLong weights = 0, given = 0;
    PX_TRY(weights_checksum(s, &weights));
    if (s->keep) {
        given = crc32_z(0, s->keep, (size_t)spec->height * (size_t)spec->width);
        given = crc32_z(given, (const Bytef *)s->given_name, strlen(s->given_name));
    }
    snprintf(
        work, WORK_LINE,
        "pixelrnn %s: kind %d, %d x %d x %d, %d levels, weights %08lx%s, seed %llu, temperature %.17g, given %08lx",
        s->base.command->name, (int)spec->kind, spec->height, spec->width, spec->channels, spec->levels, weights,
        px_model_device(s->base.model)->activation == PX_BF16 ? " in bfloat16" : "", (unsigned long long)s->seed,
        s->temperature, given);
    return PX_OK;
}

/* ---- Sampling ---- */

/* The buffers of a rank for one batch, and the records of a round: one batch of each rank. */
typedef struct batch_buffers {
    px_sampler *sampler;
    uint8_t *given; /* 8-bit */
    uint8_t *levels;
    double *nats;
    uint8_t *records;
} batch_buffers;

static px_status allocate_batch(const px_sampling *s, batch_buffers *b, int images) {
    const px_model_spec *spec = spec_of(s);
    const size_t count = (size_t)images;
    PX_TRY(px_sampler_create(s->base.model, images, &b->sampler));
    b->given = malloc(count * px_image_bytes(spec));
    b->levels = malloc(count * px_image_bytes(spec));
    b->nats = calloc(count, sizeof *b->nats);
    b->records = malloc(count * (size_t)px_ranks_count(s->base.ranks) * record_bytes(spec));
    if (b->given && b->levels && b->nats && b->records) return PX_OK;
    return px_fail(s->base.ctx, PX_ERR_MEMORY, "%s: out of memory for %d image%s at a time; lower eval.batch_size",
                   s->base.command->name, images, px_plural(images));
}

/* Writes the records of a batch. Given pixels keep their 8-bit value instead of that of their level. */
static void write_records(const px_sampling *s, const batch_buffers *b, int images, uint8_t *records) {
    const px_model_spec *spec = spec_of(s);
    const size_t bytes = px_image_bytes(spec), channels = (size_t)spec->channels;
    for (size_t n = 0; n < (size_t)images; n++) {
        uint8_t *record = records + n * record_bytes(spec), *pixels = record + sizeof(double);
        memcpy(record, &b->nats[n], sizeof(double));
        for (size_t i = 0; i < bytes; i++)
            pixels[i] = s->keep && s->keep[i / channels] ? b->given[n * bytes + i]
                                                         : px_dequantise(b->levels[n * bytes + i], spec->levels);
    }
}

/* Samples images first .. first + images - 1 on this rank, and writes their records. */
static px_status sample_batch(px_sampling *s, batch_buffers *b, int first, int images, uint8_t *records,
                              px_progress *progress) {
    const px_model_spec *spec = spec_of(s);
    const size_t bytes = px_image_bytes(spec);
    px_sample_request request = {.seed = (uint64_t)s->seed,
                                 .first_image = (uint64_t)first,
                                 .images = images,
                                 .temperature = s->temperature,
                                 .keep = s->keep,
                                 .stop = &px_cli_stop};
    if (s->read_given) {
        for (int n = 0; n < images; n++) PX_TRY(s->read_given(s, first + n, b->given + (size_t)n * bytes));
        for (size_t i = 0; i < (size_t)images * bytes; i++) b->levels[i] = px_quantise(b->given[i], spec->levels);
        request.given = b->levels;
    }
    PX_TRY(px_sample(b->sampler, &request, b->levels, b->nats, progress));
    write_records(s, b, images, records);
    return PX_OK;
}

/* Samples images first .. first + images - 1, each rank its share, and appends them to the resume file. */
static px_status sample_round(px_sampling *s, batch_buffers *b, int first, int images, px_progress *progress) {
    px_ranks *ranks = s->base.ranks;
    const size_t bytes = record_bytes(spec_of(s));
    const px_share share = px_ranks_share(ranks, (size_t)images, 1);
    PX_TRY(px_ranks_agree(ranks, sample_batch(s, b, first + (int)share.first, (int)share.count,
                                              b->records + share.first * bytes, progress)));
    PX_TRY(px_ranks_gather(ranks, b->records, (size_t)images, 1, bytes));
    return px_ranks_agree(ranks, s->resume ? px_resume_file_append(s->resume, b->records, (size_t)images) : PX_OK);
}

/* Samples images first .. count - 1 in rounds. */
static px_status sample_rounds(px_sampling *s, int first) {
    const px_model_spec *spec = spec_of(s);
    const int limit = px_cli_sampling_batch(&s->base.info.config);
    const int ranks = px_ranks_count(s->base.ranks), left = s->count - first, each = (left + ranks - 1) / ranks;
    const int batch = each < limit ? each : limit, round = batch * ranks;
    batch_buffers b = {0};
    px_progress progress;
    /* A unit of progress is a pixel of this rank's images, which are one of `ranks` parts of all. */
    const int64_t pixels = (int64_t)spec->height * spec->width;
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
    px_sampler_destroy(b.sampler);
    free(b.given);
    free(b.levels);
    free(b.nats);
    free(b.records);
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
        status = px_resume_file_open(s->base.ctx, s->base.out, work, record_bytes(spec_of(s)), &s->resume);
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

/* Where the pixels of records go, unless NULL, and the moments of their NLL. */
typedef struct record_reader {
    px_file_out *out;
    uint8_t *pixels;
    double count, sum, squares;
} record_reader;

static px_status read_record(px_sampling *s, const uint8_t *record, record_reader *v) {
    const size_t bytes = px_image_bytes(spec_of(s));
    double nats;
    memcpy(&nats, record, sizeof nats);
    v->count++;
    v->sum += nats;
    v->squares += nats * nats;
    if (v->pixels) v->pixels = (uint8_t *)memcpy(v->pixels, record + sizeof nats, bytes) + bytes;
    return v->out ? px_file_write(s->base.ctx, v->out, record + sizeof nats, bytes) : PX_OK;
}

static px_status read_records(px_sampling *s, int first, int count, record_reader *v) {
    const size_t bytes = record_bytes(spec_of(s));
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

px_status px_sampling_read(px_sampling *s, int first, int count, uint8_t *pixels) {
    return read_records(s, first, count, &(record_reader){.pixels = pixels});
}

/* Writes all images as an array [count, H, W, C]. */
static px_status write_npy(px_sampling *s) {
    const px_model_spec *spec = spec_of(s);
    const size_t shape[] = {(size_t)s->count, (size_t)spec->height, (size_t)spec->width, (size_t)spec->channels};
    px_file_out out;
    PX_TRY(px_file_create(s->base.ctx, s->base.out, &out));
    px_status status = px_npy_write_header(s->base.ctx, s->base.out, out.stream, "|u1", 4, shape);
    if (status == PX_OK) status = read_records(s, 0, s->count, &(record_reader){.out = &out});
    if (status == PX_OK) status = px_file_commit(s->base.ctx, &out);
    px_file_abandon(&out);
    return status;
}

static px_grid_layout grid_layout(const px_sampling *s) {
    const px_model_spec *spec = spec_of(s);
    return (px_grid_layout){.images = s->grid_images,
                            .height = spec->height,
                            .width = spec->width,
                            .channels = spec->channels,
                            .columns = s->grid_columns};
}

static px_status write_png(px_sampling *s) {
    const px_grid_layout layout = grid_layout(s);
    const size_t bytes = (size_t)layout.images * px_image_bytes(spec_of(s));
    uint8_t *pixels = malloc(bytes);
    if (!pixels) return px_fail_memory(s->base.ctx, s->base.out, bytes);
    px_status status = s->read_grid(s, pixels);
    if (status == PX_OK) status = px_png_grid_write(s->base.ctx, s->base.out, pixels, &layout);
    free(pixels);
    return status;
}

/* Writes the output, removes the resume file, and prints `what` and the mean NLL. */
static px_status write_output(px_sampling *s, const char *what) {
    PX_TRY(px_cli_ends_with(s->base.out, ".npy") ? write_npy(s) : write_png(s));
    const px_sample_request request = {.keep = s->keep};
    const size_t values = px_sample_values(spec_of(s), &request);
    record_reader v = {0};
    PX_TRY(read_records(s, 0, s->count, &v));
    const double mean = v.sum / v.count, variance = v.squares / v.count - mean * mean;
    px_resume_file_remove(s->resume);
    printf("%s in %s\n", what, s->base.out);
    if (values == 0) return PX_OK;
    printf("%s %.3f nats each under the model", s->keep ? "what was drawn:" : "NLL:", mean);
    if (s->count > 1) printf(" (standard error %.3f)", sqrt(fmax(variance, 0) / (v.count - 1)));
    printf(", %.4f bits/dim\n", mean / ((double)values * log(2)));
    return PX_OK;
}

px_status px_sampling_run(px_sampling *s, const char *what) {
    const px_grid_layout layout = grid_layout(s);
    if (s->seed < 0) s->seed = s->base.info.config.seed;
    px_status status = px_cli_ends_with(s->base.out, ".npy") ? PX_OK : px_png_grid_check(s->base.ctx, &layout);
    if (status == PX_OK) status = sample_all(s);
    if (status == PX_OK) status = px_ranks_agree(s->base.ranks, s->resume ? write_output(s, what) : PX_OK);
    px_resume_file_close(s->resume);
    px_lock_release(&s->lock);
    return status;
}

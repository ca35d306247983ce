/* Drawn images on their way to a file. A record of the journal is an image's nats and its 8-bit pixels. */
#include "host/cli/sampling.h"
#include "host/cli/cli.h"
#include "pixelrnn/loader.h"
#include "host/data/npy.h"
#include "host/device/backend.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

px_status px_sampling_check_path(px_context *ctx, const char *out) {
    if (px_cli_ends_with(out, ".png") || px_cli_ends_with(out, ".npy")) return PX_OK;
    return px_fail(ctx, PX_ERR_USAGE, "-o: found %.200s, expected a name that ends with .png or .npy", out);
}

static size_t record_bytes(const px_model_spec *spec) {
    return sizeof(double) + px_image_bytes(spec);
}

/* --- What the images depend on ------------------------------------------------------------------------------------ */

static px_status weights_checksum(px_sampling *d, uLong *checksum) {
    px_device *device = px_model_device(d->model);
    const px_tensor weights = px_model_weights(d->model);
    const size_t bytes = px_tensor_bytes(&weights);
    void *host = malloc(bytes);
    if (!host) return px_fail(d->ctx, PX_ERR_MEMORY, "%s: no memory for %zu bytes of weights", d->command, bytes);
    const px_status status = device->ops->download(device, host, weights.data, bytes);
    *checksum = crc32_z(0, host, bytes);
    free(host);
    return status;
}

enum { PX_WORK_LINE = 320 };

static px_status sampling_work(px_sampling *d, char work[PX_WORK_LINE]) {
    const px_model_spec *s = px_model_spec_of(d->model);
    uLong weights = 0, given = 0;
    PX_TRY(weights_checksum(d, &weights));
    if (d->keep) {
        given = crc32_z(0, d->keep, (size_t)s->height * (size_t)s->width);
        given = crc32_z(given, (const Bytef *)d->given_name, strlen(d->given_name));
    }
    snprintf(
        work, PX_WORK_LINE,
        "pixelrnn %s: kind %d, %d x %d x %d, %d levels, weights %08lx%s, seed %llu, temperature %.17g, given %08lx",
        d->command, (int)s->kind, s->height, s->width, s->channels, s->levels, weights,
        px_model_device(d->model)->activation == PX_BF16 ? " in bfloat16" : "", (unsigned long long)d->seed,
        d->temperature, given);
    return PX_OK;
}

/* --- Drawing ------------------------------------------------------------------------------------------------------ */

/* A rank's batch at work: what is given and what is drawn; and the records of all ranks' batches, a round. */
typedef struct sampling_batch {
    px_decoder *decoder;
    uint8_t *given; /* 8-bit */
    uint8_t *levels;
    double *nats;
    uint8_t *records;
} sampling_batch;

static px_status batch_open(px_sampling *d, sampling_batch *b, int images) {
    const px_model_spec *s = px_model_spec_of(d->model);
    const size_t count = (size_t)images;
    PX_TRY(px_decoder_create(d->model, images, PX_DECODER_RECORDED, &b->decoder));
    b->given = malloc(count * px_image_bytes(s));
    b->levels = malloc(count * px_image_bytes(s));
    b->nats = calloc(count, sizeof *b->nats);
    b->records = malloc(count * (size_t)px_ranks_count(d->ranks) * record_bytes(s));
    if (b->given && b->levels && b->nats && b->records) return PX_OK;
    return px_fail(d->ctx, PX_ERR_MEMORY, "out of memory: %s of %d images at a time; lower eval.batch_size", d->command,
                   images);
}

static void batch_close(sampling_batch *b) {
    px_decoder_destroy(b->decoder);
    free(b->given);
    free(b->levels);
    free(b->nats);
    free(b->records);
}

/* Given pixels come out as they came in, not as their level's 8-bit value. */
static void batch_records(const px_sampling *d, const sampling_batch *b, int images, uint8_t *records) {
    const px_model_spec *s = px_model_spec_of(d->model);
    const size_t bytes = px_image_bytes(s), channels = (size_t)s->channels;
    for (size_t n = 0; n < (size_t)images; n++) {
        uint8_t *record = records + n * record_bytes(s), *pixels = record + sizeof(double);
        memcpy(record, &b->nats[n], sizeof(double));
        for (size_t i = 0; i < bytes; i++)
            pixels[i] = d->keep && d->keep[i / channels] ? b->given[n * bytes + i]
                                                         : px_dequantise(b->levels[n * bytes + i], s->levels);
    }
}

/* Images first .. first + images - 1, as records. */
static px_status batch_draw(px_sampling *d, sampling_batch *b, int first, int images, uint8_t *records,
                            px_progress *progress) {
    const px_model_spec *s = px_model_spec_of(d->model);
    const size_t bytes = px_image_bytes(s);
    px_sample_request request = {.seed = d->seed,
                                 .first_image = (uint64_t)first,
                                 .images = images,
                                 .temperature = d->temperature,
                                 .keep = d->keep,
                                 .stop = &px_cli_stop};
    if (d->given) {
        for (int n = 0; n < images; n++) PX_TRY(d->given(d->context, first + n, b->given + (size_t)n * bytes));
        for (size_t i = 0; i < (size_t)images * bytes; i++) b->levels[i] = px_quantise(b->given[i], s->levels);
        request.given = b->levels;
    }
    PX_TRY(px_sample(b->decoder, &request, b->levels, b->nats, progress));
    batch_records(d, b, images, records);
    return PX_OK;
}

/* Images first .. first + images - 1, each rank its share. */
static px_status round_draw(px_sampling *d, sampling_batch *b, int first, int images, px_progress *progress) {
    const size_t bytes = record_bytes(px_model_spec_of(d->model));
    const px_share share = px_ranks_share(d->ranks, (size_t)images, 1);
    const px_status status = batch_draw(d, b, first + (int)share.first, (int)share.count,
                                        b->records + share.first * bytes, progress);
    PX_TRY(px_ranks_agree(d->ranks, status));
    PX_TRY(px_ranks_gather(d->ranks, b->records, (size_t)images, 1, bytes));
    return px_ranks_agree(d->ranks, d->journal ? px_resume_file_append(d->journal, b->records, (size_t)images) : PX_OK);
}

static px_status sampling_sample(px_sampling *d, int first) {
    const px_model_spec *s = px_model_spec_of(d->model);
    const int ranks = px_ranks_count(d->ranks), left = d->count - first, each = (left + ranks - 1) / ranks;
    const int batch = each < d->batch ? each : d->batch, round = batch * ranks;
    sampling_batch b = {0};
    px_progress progress;
    px_progress_begin(&progress, px_cli_talk(d->ranks), d->command, 0,
                      (int64_t)((left + round - 1) / round) * s->height * s->width);
    px_status status = px_ranks_agree(d->ranks, batch_open(d, &b, batch));
    for (int n = first; n < d->count && status == PX_OK; n += round) {
        status = round_draw(d, &b, n, d->count - n < round ? d->count - n : round, &progress);
        progress.done = (int64_t)((n - first) / round + 1) * s->height * s->width;
    }
    px_progress_clear(&progress);
    batch_close(&b);
    return status;
}

/* All ranks must be about to draw the same images. Rank 0 opens the journal, and says how many it has. */
static px_status sampling_open(px_sampling *d, uint64_t *done) {
    char work[PX_WORK_LINE] = "";
    px_status status = px_ranks_agree(d->ranks, sampling_work(d, work));
    if (status == PX_OK) status = px_ranks_same_program(d->ranks);
    if (status == PX_OK) status = px_ranks_same(d->ranks, "the model or the request", work, sizeof work);
    if (status == PX_OK) status = px_ranks_same(d->ranks, "-n", &d->count, sizeof d->count);
    PX_TRY(status);
    if (px_ranks_rank(d->ranks) == 0) status = px_cli_lock_output(d->ctx, d->out, &d->lock);
    if (px_ranks_rank(d->ranks) == 0 && status == PX_OK)
        status = px_resume_file_open(d->ctx, d->out, work, record_bytes(px_model_spec_of(d->model)), &d->journal);
    PX_TRY(px_ranks_agree(d->ranks, status));
    *done = d->journal ? px_resume_file_count(d->journal) : 0;
    return px_ranks_broadcast(d->ranks, done, sizeof *done);
}

static px_status sampling_stopped(px_sampling *d, px_status stop) {
    const size_t done = px_resume_file_count(d->journal);
    if (done == 0) return px_fail(d->ctx, stop, "%s: stopped before the first batch was drawn", d->command);
    return px_fail(d->ctx, stop, "%s: stopped; %s.journal holds %zu of %d images, and the same command goes on",
                   d->command, d->out, done, d->count);
}

px_status px_sampling_run(px_sampling *d) {
    uint64_t done;
    PX_TRY(sampling_open(d, &done));
    if (done > 0)
        fprintf(px_cli_talk(d->ranks), "%s: going on after %llu images of an interrupted run\n", d->command,
                (unsigned long long)done);
    const px_status status = done < (uint64_t)d->count ? sampling_sample(d, (int)done) : PX_OK;
    if (px_status_is_stop(status) && d->journal) return sampling_stopped(d, status);
    if (status == PX_OK) px_stop_hold(&px_cli_stop); /* all is drawn: what is left is to write it */
    return status;
}

/* --- Results ------------------------------------------------------------------------------------------------------ */

enum { PX_RECORDS_AT_ONCE = 256 };

/* What is done with each record. */
typedef px_status (*record_visitor)(void *visitor, const uint8_t *pixels, double nats);

static px_status sampling_visit(px_sampling *d, int first, int count, record_visitor visit, void *visitor) {
    const size_t bytes = record_bytes(px_model_spec_of(d->model));
    uint8_t *records = malloc(PX_RECORDS_AT_ONCE * bytes);
    if (!records) return px_fail(d->ctx, PX_ERR_MEMORY, "%s: no memory for the images", d->command);
    px_status status = PX_OK;
    for (int n = 0; n < count && status == PX_OK; n += PX_RECORDS_AT_ONCE) {
        const int part = count - n < PX_RECORDS_AT_ONCE ? count - n : PX_RECORDS_AT_ONCE;
        status = px_resume_file_read(d->journal, (size_t)(first + n), (size_t)part, records);
        for (int i = 0; i < part && status == PX_OK; i++) {
            double nats;
            memcpy(&nats, records + (size_t)i * bytes, sizeof nats);
            status = visit(visitor, records + (size_t)i * bytes + sizeof nats, nats);
        }
    }
    free(records);
    return status;
}

typedef struct pixel_visitor {
    px_context *ctx;
    px_file_out *out; /* or, if NULL, to memory: */
    uint8_t *pixels;
    size_t bytes;
} pixel_visitor;

static px_status visit_pixels(void *visitor, const uint8_t *pixels, double nats) {
    pixel_visitor *v = visitor;
    (void)nats;
    if (v->out) return px_file_write(v->ctx, v->out, pixels, v->bytes);
    memcpy(v->pixels, pixels, v->bytes);
    v->pixels += v->bytes;
    return PX_OK;
}

px_status px_sampling_read(px_sampling *d, int first, int count, uint8_t *pixels) {
    pixel_visitor visitor = {.pixels = pixels, .bytes = px_image_bytes(px_model_spec_of(d->model))};
    return sampling_visit(d, first, count, visit_pixels, &visitor);
}

px_status px_sampling_write_npy(px_sampling *d) {
    const px_model_spec *s = px_model_spec_of(d->model);
    const size_t shape[] = {(size_t)d->count, (size_t)s->height, (size_t)s->width, (size_t)s->channels};
    px_file_out out;
    PX_TRY(px_file_create(d->ctx, d->out, &out));
    pixel_visitor visitor = {.ctx = d->ctx, .out = &out, .bytes = px_image_bytes(s)};
    px_status status = px_npy_write_header(d->ctx, d->out, out.stream, "|u1", 4, shape);
    if (status == PX_OK) status = sampling_visit(d, 0, d->count, visit_pixels, &visitor);
    if (status == PX_OK) status = px_file_commit(d->ctx, &out);
    px_file_abandon(&out);
    return status;
}

typedef struct nats_visitor {
    double count, sum, squares;
} nats_visitor;

static px_status visit_nats(void *visitor, const uint8_t *pixels, double nats) {
    nats_visitor *v = visitor;
    (void)pixels;
    v->count++;
    v->sum += nats;
    v->squares += nats * nats;
    return PX_OK;
}

px_status px_sampling_finish(px_sampling *d, const char *what) {
    const px_model_spec *s = px_model_spec_of(d->model);
    const px_sample_request request = {.keep = d->keep};
    const size_t values = px_sample_values(s, &request);
    nats_visitor v = {0};
    PX_TRY(sampling_visit(d, 0, d->count, visit_nats, &v));
    const double mean = v.sum / v.count, variance = v.squares / v.count - mean * mean;
    px_resume_file_remove(d->journal);
    printf("%s in %s\n", what, d->out);
    if (values == 0) return PX_OK;
    printf("%s %.3f nats each under the model", d->keep ? "what was drawn:" : "NLL:", mean);
    if (d->count > 1) printf(" (standard error %.3f)", sqrt(fmax(variance, 0) / (v.count - 1)));
    printf(", %.4f bits/dim\n", mean / ((double)values * log(2)));
    return PX_OK;
}

void px_sampling_close(px_sampling *d) {
    px_resume_file_close(d->journal);
    px_lock_release(&d->lock);
}

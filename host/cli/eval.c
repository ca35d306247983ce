/* pixelrnn eval: negative log-likelihood of images under a model. */
#include "host/cli/cli.h"
#include "pixelrnn/evaluate.h"
#include "host/data/npy.h"
#include "host/logging/logging.h"
#include "host/device/backend.h"
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct eval_arguments {
    px_ranks *ranks;
    px_arguments settings, data, plain;
    const char *per_image;
    bool json;
} eval_arguments;

static px_status write_per_image(px_context *ctx, const char *path, const double *nats, size_t count) {
    px_file_out out;
    PX_TRY(px_file_create(ctx, path, &out));
    px_status status = px_npy_write_header(ctx, path, out.stream, "<f8", 1, &count);
    if (status == PX_OK) status = px_file_write(ctx, &out, nats, count * sizeof *nats);
    if (status == PX_OK) status = px_file_commit(ctx, &out);
    px_file_abandon(&out);
    return status;
}

static px_status print_json(px_context *ctx, const px_model_info *info, const px_source *source,
                            const px_evaluation *e) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "images", (double)e->images);
    cJSON_AddNumberToObject(json, "nats_per_image", e->nats_per_image);
    cJSON_AddNumberToObject(json, "bits_per_dim", e->bits_per_dim);
    cJSON_AddNumberToObject(json, "standard_error", e->standard_error);
    if (source->entropy > 0) cJSON_AddNumberToObject(json, "true_entropy", source->entropy);
    cJSON_AddStringToObject(json, "model", px_config_word("model.kind", info->config.model.kind));
    cJSON_AddNumberToObject(json, "step", (double)info->step);
    cJSON_AddStringToObject(json, "data", source->name);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (!text) return px_fail(ctx, PX_ERR_MEMORY, "eval: no memory for the result");
    puts(text);
    free(text);
    return PX_OK;
}

static px_status print_evaluation(px_context *ctx, const eval_arguments *w, const px_model_info *info,
                                  const px_source *source, const px_evaluation *e) {
    if (w->json) return print_json(ctx, info, source, e);
    printf("%zu images of %s\n", e->images, source->name);
    printf("NLL            %10.3f nats/image  %.4f bits/dim  (standard error %.3f)\n", e->nats_per_image,
           e->bits_per_dim, e->standard_error);
    if (source->entropy > 0) printf("true entropy   %10.3f nats/image\n", source->entropy);
    return PX_OK;
}

static px_status eval_source(px_context *ctx, const eval_arguments *w, const px_model_info *info, px_model *model,
                             px_source *source) {
    const px_evaluate_options options = {.batch = px_cli_batch(&info->config),
                                         .binarize = info->config.data.binarize,
                                         .seed = (uint64_t)info->config.seed,
                                         .levels = info->spec.levels,
                                         .ranks = w->ranks,
                                         .stop = &px_cli_stop};
    px_evaluation evaluation;
    px_progress progress;
    double *nats = malloc(source->count * sizeof *nats);
    if (!nats) return px_fail(ctx, PX_ERR_MEMORY, "out of memory: cannot hold the NLL of %zu images", source->count);
    const int64_t share = (int64_t)px_ranks_share(w->ranks, source->count, (size_t)options.batch).count;
    px_progress_begin(&progress, px_cli_talk(w->ranks), "eval", 0, share);
    px_status status = px_evaluate(model, source, &options, nats, &progress, &evaluation);
    px_progress_clear(&progress);
    const bool root = px_ranks_rank(w->ranks) == 0;
    if (status == PX_OK && root && w->per_image) status = write_per_image(ctx, w->per_image, nats, source->count);
    if (status == PX_OK && root) status = print_evaluation(ctx, w, info, source, &evaluation);
    free(nats);
    return status;
}

/* All ranks must have one model and one set of images: figures of a mixture would be nobody's. */
static px_status eval_same(const eval_arguments *w, px_model *model, const px_source *source) {
    px_device *device = px_model_device(model);
    const px_tensor weights = px_model_weights(model);
    const uint64_t images = source->count;
    if (!w->ranks) return PX_OK;
    void *host = malloc(px_tensor_bytes(&weights));
    px_status status = host ? PX_OK
                            : px_fail(device->ctx, PX_ERR_MEMORY, "eval: no memory to compare the ranks' models");
    if (status == PX_OK) status = device->ops->download(device, host, weights.data, px_tensor_bytes(&weights));
    status = px_ranks_agree(w->ranks, status);
    if (status == PX_OK) status = px_ranks_same_program(w->ranks);
    if (status == PX_OK) status = px_ranks_same(w->ranks, "the model's weights", host, px_tensor_bytes(&weights));
    if (status == PX_OK) status = px_ranks_same(w->ranks, "the number of images", &images, sizeof images);
    free(host);
    return status;
}

static px_status eval_data(px_context *ctx, const eval_arguments *w, const px_model_info *info, px_model *model) {
    const char *const test = info->config.data.test;
    if (w->data.count == 0 && !*test)
        return px_fail(ctx, PX_ERR_USAGE, "eval: found no --data, and data.test of the model's config is empty");
    const px_source_options options = px_cli_pass(&info->config);
    px_source *source = NULL;
    px_status status = w->data.count > 0 ? px_cli_open_data(ctx, w->ranks, w->data.count, w->data.word, &options,
                                                            info->spec.levels, &source)
                                         : px_cli_open_list(ctx, w->ranks, test, &options, info->spec.levels, &source);
    if (status == PX_OK) status = px_evaluate_check(ctx, &info->spec, source);
    if (status == PX_OK) status = px_model_reserve(model, px_cli_batch(&info->config), PX_PURPOSE_EVALUATE);
    status = px_ranks_agree(w->ranks, status);
    if (status == PX_OK) status = eval_same(w, model, source);
    if (status == PX_OK) status = eval_source(ctx, w, info, model, source);
    px_source_close(source);
    return status;
}

static px_status eval_distributed(px_context *ctx, px_ranks *ranks, int count, char **words) {
    eval_arguments w = {.ranks = ranks};
    const px_option options[] = {{.name = "--set", .each = &w.settings},
                                 {.name = "--data", .each = &w.data, .list = true},
                                 {.name = "--per-image", .text = &w.per_image},
                                 {.name = "--json", .flag = &w.json}};
    px_model_info info;
    px_device *device;
    px_model *model;
    const px_status parsed = px_cli_parse(ctx, &px_command_eval, count, words, options, 4, &w.plain, 1, 1);
    PX_TRY(px_cli_check_output(ctx, ranks, parsed, w.per_image));
    PX_TRY(px_cli_load_model_on(ctx, ranks, w.plain.word[0], &w.settings, &info, &device, &model));
    px_ranks_set_timeouts(ranks, info.config.parallel.silence_s, info.config.parallel.stall_s);
    const px_status status = eval_data(ctx, &w, &info, model);
    px_model_destroy(model);
    px_device_close(device);
    return status;
}

const px_command px_command_eval = {
    "eval", "MODEL [--data FILE...] [--per-image OUT.npy] [--json] [--set key=value]...",
    "negative log-likelihood in nats per image and bits/dim", .together = eval_distributed};

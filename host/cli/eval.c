/* pixelrnn eval: negative log-likelihood of images under a model. */
#include "host/cli/cli.h"
#include "pixelrnn/evaluate.h"
#include "host/data/npy.h"
#include "host/logging/logging.h"
#include "host/device/backend.h"
#include <cjson/cJSON.h>
#include <stdlib.h>

typedef struct eval_values {
    px_model_command base;
    bool classify, json;
} eval_values;

/* What is printed. classification: only with --classify. */
typedef struct eval_results {
    px_evaluation evaluation;
    px_classification classification;
} eval_results;

static const px_option options[] = {
    {"--data", "FILE", PX_OPTION_PATHS, offsetof(eval_values, base.data),
     .otherwise = "data.test of the model's config", .help = "sources of the images"},
    {"--per-image", "OUT.npy", PX_OPTION_PATH, offsetof(eval_values, base.out), .otherwise = "none",
     .help = "write the NLL of each image, in nats, as an array float64 [N]"},
    {"--classify", NULL, PX_OPTION_FLAG, offsetof(eval_values, classify),
     .help = "also classify the images by a class-conditional model, and print the accuracy: the class of an image is "
             "the one with the largest p(image | class)"},
    {"--json", NULL, PX_OPTION_FLAG, offsetof(eval_values, json), .help = "print one line of JSON instead of text"},
    PX_OPTION_SET(eval_values, base.settings),
    {0},
};

static px_status write_per_image(px_context *ctx, const char *path, const double *nats, size_t count) {
    px_file_out out;
    PX_TRY(px_file_create(ctx, path, &out));
    px_status status = px_npy_write_header(ctx, path, out.stream, "<f8", 1, &count);
    if (status == PX_OK) status = px_file_write(ctx, &out, nats, count * sizeof *nats);
    if (status == PX_OK) status = px_file_commit(ctx, &out);
    px_file_abandon(&out);
    return status;
}

static px_status print_json(const eval_values *v, const eval_results *results) {
    const px_model_command *c = &v->base;
    const px_evaluation *e = &results->evaluation;
    const px_model_info *info = &c->info;
    const px_source *source = c->source;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "images", (double)e->images);
    cJSON_AddNumberToObject(json, "nats_per_image", e->nats_per_image);
    cJSON_AddNumberToObject(json, "bits_per_dim", e->bits_per_dim);
    cJSON_AddNumberToObject(json, "standard_error", e->standard_error);
    if (v->classify) {
        cJSON_AddNumberToObject(json, "accuracy", results->classification.accuracy);
        cJSON_AddNumberToObject(json, "accuracy_standard_error", results->classification.standard_error);
    }
    if (source->entropy > 0) cJSON_AddNumberToObject(json, "true_entropy", source->entropy);
    cJSON_AddStringToObject(json, "model", px_config_word("model.kind", info->config.model.kind));
    cJSON_AddNumberToObject(json, "step", (double)info->step);
    cJSON_AddStringToObject(json, "checkpoint", c->path);
    cJSON_AddStringToObject(json, "data", source->name);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    if (!text) return px_fail_memory(c->ctx, "eval", 0);
    puts(text);
    free(text);
    return PX_OK;
}

static px_status print_results(const eval_values *v, const eval_results *results) {
    const px_source *source = v->base.source;
    const px_evaluation *e = &results->evaluation;
    if (v->json) return print_json(v, results);
    printf("%s, step %lld\n%zu image%s of %s\n", v->base.path, (long long)v->base.info.step, e->images,
           px_plural((long long)e->images), source->name);
    printf("NLL            %10.3f nats/image  %.4f bits/dim  (standard error %.3f)\n", e->nats_per_image,
           e->bits_per_dim, e->standard_error);
    if (v->classify)
        printf("accuracy       %10.4f  (standard error %.4f, %d classes)\n", results->classification.accuracy,
               results->classification.standard_error, v->base.info.spec.condition.classes);
    if (source->entropy > 0) printf("true entropy   %10.3f nats/image\n", source->entropy);
    return PX_OK;
}

/* Begins the progress line of a pass over this rank's share of the images. */
static void begin_progress(const px_model_command *c, const char *label, px_progress *progress) {
    const size_t batch = (size_t)px_cli_batch(&c->info.config);
    const int64_t share = (int64_t)px_ranks_share(c->ranks, c->source->count, batch).count;
    px_progress_begin(progress, px_cli_talk(c->ranks), label, 0, share);
    progress->images = 1;
    progress->count_images = true;
}

/* Evaluates the images, nats [images] receiving the NLL of each, and prints and writes the results on rank 0. */
static px_status evaluate(const eval_values *v, double *nats) {
    const px_model_command *c = &v->base;
    const px_model_info *info = &c->info;
    const px_evaluate_options evaluate_options = {.batch = px_cli_batch(&info->config),
                                                  .binarize = info->config.data.binarize,
                                                  .seed = (uint64_t)info->config.seed,
                                                  .levels = info->spec.levels,
                                                  .ranks = c->ranks,
                                                  .stop = &px_cli_stop};
    eval_results results;
    px_progress progress;
    begin_progress(c, "eval", &progress);
    px_status status = px_evaluate(c->model, c->source, &evaluate_options, nats, &progress, &results.evaluation);
    px_progress_clear(&progress);
    if (status == PX_OK && v->classify) {
        begin_progress(c, "classify", &progress);
        status = px_classify(c->model, c->source, &evaluate_options, &progress, &results.classification);
        px_progress_clear(&progress);
    }
    PX_TRY(status);
    if (px_ranks_rank(c->ranks) != 0) return PX_OK;
    if (c->out) PX_TRY(write_per_image(c->ctx, c->out, nats, c->source->count));
    return print_results(v, &results);
}

/* Checks that all ranks have the same model and the same number of images. */
static px_status check_ranks(const px_model_command *c) {
    const px_tensor weights = px_model_weights(c->model);
    const size_t bytes = px_tensor_bytes(&weights);
    const uint64_t images = c->source->count;
    if (!c->ranks) return PX_OK;
    void *host = malloc(bytes);
    px_status status = host ? c->device->ops->download(c->device, host, weights.data, bytes)
                            : px_fail_memory(c->ctx, "eval", bytes);
    status = px_ranks_agree(c->ranks, status);
    if (status == PX_OK) status = px_ranks_same_program(c->ranks);
    if (status == PX_OK) status = px_ranks_same(c->ranks, "the model's weights", host, bytes);
    if (status == PX_OK) status = px_ranks_same(c->ranks, "the number of images", &images, sizeof images);
    free(host);
    return status;
}

/* --classify reads the images once more. */
static px_status eval_check(px_model_command *c) {
    if (((const eval_values *)c)->classify) c->access = PX_ACCESS_ANY;
    return PX_OK;
}

static px_status eval_run(px_model_command *c) {
    const int batch = px_cli_batch(&c->info.config);
    const px_condition_kind kind = c->info.spec.condition.kind;
    if (((const eval_values *)c)->classify && kind != PX_CONDITION_CLASS)
        return px_fail(c->ctx, PX_ERR_USAGE, "--classify: found %s with model.condition %s, expected class", c->path,
                       px_config_word("model.condition", (int)kind));
    PX_TRY(px_ranks_agree(c->ranks, px_model_reserve(c->model, batch, PX_PURPOSE_EVALUATE)));
    PX_TRY(check_ranks(c));
    const size_t bytes = c->source->count * sizeof(double);
    double *nats = malloc(bytes);
    if (!nats) return px_fail_memory(c->ctx, "eval", bytes);
    const px_status status = evaluate((const eval_values *)c, nats);
    free(nats);
    return status;
}

static px_status eval_distributed(px_context *ctx, px_ranks *ranks, int count, char **arguments) {
    eval_values v = {.base = {.command = &px_command_eval,
                              .ctx = ctx,
                              .ranks = ranks,
                              .check = eval_check,
                              .run = eval_run,
                              .reads_data = true,
                              .access = PX_ACCESS_IN_ORDER}};
    return px_cli_run_model(&v.base, count, arguments);
}

const px_command px_command_eval = {
    .name = "eval",
    .positionals = "MODEL",
    .summary = "negative log-likelihood in nats per image and bits/dim",
    .example = "eval runs/demo --data builtin:digits --json",
    .options = options,
    .run_distributed = eval_distributed,
};

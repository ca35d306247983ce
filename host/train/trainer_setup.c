/* Setting up a training run: data, model, optimiser, run folder. All ranks of a run train the same model, so their
 * configs and data are compared, and rank 0's state is broadcast. */
#include "host/train/trainer.h"
#include "pixelrnn/model_file.h"
#include "pixelrnn/version.h"
#include "host/model/internal.h"
#include <cjson/cJSON.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Ranks ---- */

/* PX_ERR_CONFIG unless all ranks run the same program with the same config. */
static px_status compare_configs(px_trainer *t) {
    if (!t->ranks) return PX_OK;
    px_config *first = malloc(sizeof *first);
    if (!first) return px_fail_memory(t->ctx, "train", sizeof *first);
    *first = *t->config;
    px_status status = px_ranks_same_program(t->ranks);
    if (status == PX_OK) status = px_ranks_broadcast(t->ranks, first, sizeof *first);
    if (status == PX_OK) status = px_ranks_agree(t->ranks, px_config_check_ranks(t->ctx, first, t->config));
    free(first);
    return status;
}

/* first: the digest of rank 0. */
static px_status compare_digests(px_context *ctx, const px_source *source, const px_source_digest *first,
                                 const px_source_digest *mine) {
    char found[PX_DIGEST_TEXT], expected[PX_DIGEST_TEXT];
    if (px_source_digest_same(first, mine)) return PX_OK;
    px_source_digest_text(mine, found);
    px_source_digest_text(first, expected);
    return px_fail(ctx, PX_ERR_CONFIG, "%s: found %s; expected %s, as on rank 0", source->name, found, expected);
}

/* Computes the digest of the images and labels of a split. PX_ERR_CONFIG unless it is the same on all ranks. */
static px_status compare_source(px_trainer *t, px_split split) {
    px_source *source = t->data[split];
    px_source_digest *mine = &t->digest[split];
    if (!source) return PX_OK;
    PX_TRY(px_ranks_agree(t->ranks, px_source_digest_of(t->ctx, source, mine)));
    px_source_digest first = *mine;
    PX_TRY(px_ranks_broadcast(t->ranks, &first, sizeof first));
    return px_ranks_agree(t->ranks, compare_digests(t->ctx, source, &first, mine));
}

static px_status broadcast_tensor(px_trainer *t, px_tensor tensor) {
    const size_t bytes = px_tensor_bytes(&tensor);
    void *host = malloc(bytes);
    px_status status = px_ranks_agree(t->ranks, host ? PX_OK : px_fail_memory(t->ctx, "train", bytes));
    if (status == PX_OK) status = t->device->ops->download(t->device, host, tensor.data, bytes);
    if (status == PX_OK) status = px_ranks_broadcast(t->ranks, host, bytes);
    if (status == PX_OK) status = t->device->ops->upload(t->device, tensor.data, host, bytes);
    if (status == PX_OK) status = t->device->ops->synchronize(t->device);
    free(host);
    return status;
}

px_status px_trainer_broadcast_weights(px_trainer *t) {
    if (t->ranks) PX_TRY(broadcast_tensor(t, px_model_weights(t->model)));
    return px_model_cast_weights(t->model);
}

/* Broadcasts rank 0's weights, optimiser state and training state. */
static px_status broadcast_state(px_trainer *t) {
    px_optimizer_state states[PX_OPTIMIZER_STATES];
    const int count = t->ranks ? px_optimizer_states(t->optimizer, states) : 0;
    PX_TRY(px_trainer_broadcast_weights(t));
    for (int i = 0; i < count; i++) PX_TRY(broadcast_tensor(t, states[i].tensor));
    PX_TRY(px_ranks_broadcast(t->ranks, &t->state, sizeof t->state));
    t->window_step = t->state.step;
    return PX_OK;
}

/* ---- Data ---- */

/* Prints a line if images lose information when they become levels. */
static void print_conversion(const px_trainer *t, const px_source *source) {
    char line[PX_CONVERSION];
    if (px_source_conversion(source, (int)t->config->data.levels, line)) fprintf(t->options->out, "%s\n", line);
}

/* Opens the images of a split, if the config has any, and prints their conversion once for each list of files. */
static px_status open_split(px_trainer *t, px_split split) {
    const px_config *c = t->config;
    const char *list = px_source_list_of(c, split), *train = c->data.train;
    const px_source_options options = px_source_options_of(c, split, PX_ACCESS_ANY);
    if (!list[0]) return PX_OK;
    PX_TRY(px_source_open_list(t->ctx, list, &options, &t->data[split]));
    if (split == PX_SPLIT_TRAIN || strcmp(list, train) != 0) print_conversion(t, t->data[split]);
    const px_source *s = t->data[PX_SPLIT_TRAIN];
    const px_model_spec spec = px_model_spec_from(c, s->height, s->width, s->channels);
    return px_evaluate_check(t->ctx, &spec, t->data[split]);
}

/* Opens the images of all splits. */
static px_status open_splits(px_trainer *t) {
    const px_config *c = t->config;
    if (!c->data.train[0])
        return px_fail(t->ctx, PX_ERR_CONFIG, "data.train: found nothing, expected images to train on");
    PX_TRY(open_split(t, PX_SPLIT_TRAIN));
    PX_TRY(open_split(t, PX_SPLIT_VALID));
    PX_TRY(open_split(t, PX_SPLIT_TEST));
    t->evaluated = t->data[PX_SPLIT_VALID] ? PX_SPLIT_VALID : PX_SPLIT_TEST;
    if (t->evaluated == PX_SPLIT_TEST && t->data[PX_SPLIT_TEST])
        fprintf(t->options->out, "data.validation is empty: data.test chooses the best checkpoint\n");
    return PX_OK;
}

px_status px_trainer_max_images(px_context *ctx, const px_config *config, int ranks, int *images) {
    const int parts = (int)config->train.accumulate, micro_batch = (int)config->train.batch_size / parts;
    char micro_batches[64] = "";
    if (parts > 1) snprintf(micro_batches, sizeof micro_batches, " in %d micro-batches (train.accumulate)", parts);
    *images = (micro_batch + ranks - 1) / ranks;
    if (micro_batch >= ranks) return PX_OK;
    return px_fail(ctx, PX_ERR_CONFIG, "train.batch_size: found %d%s, expected at least one image for each of %d ranks",
                   (int)config->train.batch_size, micro_batches, ranks);
}

/* Divides a batch among the ranks, and opens the images. */
static px_status open_data(px_trainer *t) {
    const px_config *c = t->config;
    PX_TRY(px_trainer_max_images(t->ctx, c, px_ranks_count(t->ranks), &t->max_images));
    t->share = px_ranks_share(t->ranks, (size_t)(c->train.batch_size / c->train.accumulate), 1);
    PX_TRY(open_splits(t));
    t->result->entropy = t->data[PX_SPLIT_TRAIN]->entropy;
    return PX_OK;
}

/* The NLL of the images that are evaluated during training under independent pixels, which a model must improve on. */
static px_status evaluate_independent(px_trainer *t) {
    px_source *source = px_trainer_evaluated(t);
    if (!source || !t->root || (t->resumed && px_trainer_is_complete(t))) return PX_OK;
    const px_evaluate_options options = px_trainer_evaluation(t, t->config->train.evaluate_images);
    if (options.limit > 0 && options.limit < source->count)
        fprintf(t->options->out, "evaluating %zu of the %zu images of %s, chosen by the seed\n", options.limit,
                source->count, source->name);
    return px_evaluate_independent(t->device, t->data[PX_SPLIT_TRAIN], source, &options, &t->state.figures.independent);
}

/* ---- Paths ---- */

/* Recurrences on clusters round otherwise than the fused ones. So a run goes on with what it began with, as long as the
 * GPUs of all ranks have it. */
static px_status choose_clusters(px_trainer *t) {
    bool use = t->device->paths & PX_PATH_CLUSTER;
    px_train_state before;
    if (t->root && px_checkpoint_newest_state(t->options->run, &before) >= 0) {
        if (before.clusters && !use)
            fprintf(t->options->out, "warning: this run used recurrences on clusters, which have no verdict of "
                                     "`pixelrnn check` here; it goes on without, and rounds otherwise\n");
        use = use && before.clusters;
    }
    PX_TRY(px_ranks_broadcast(t->ranks, &use, sizeof use));
    if (!use) t->device->paths &= ~(unsigned)PX_PATH_CLUSTER;
    return PX_OK;
}

/* ---- Model ---- */

/* Reads the smaller images of images that the seed chooses from the validation or test set, or else the training set;
 * with fewer images than samples, sample n has that of image n modulo their number. */
static px_status read_smaller_images(px_trainer *t, const px_model_spec *spec, int samples) {
    px_source *source = px_trainer_evaluated(t) ? px_trainer_evaluated(t) : t->data[PX_SPLIT_TRAIN];
    const px_loader_options as_evaluated = {.levels = spec->levels,
                                            .seed = (uint64_t)t->config->seed,
                                            .binarize = t->config->data.binarize,
                                            .condition = spec->condition};
    const size_t count = (size_t)samples < source->count ? (size_t)samples : source->count;
    const size_t bytes = px_condition_bytes(&spec->condition, spec->height, spec->width, spec->channels);
    const size_t image_bytes = (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
    size_t *chosen = malloc(count * sizeof *chosen);
    uint8_t *pixels = malloc(image_bytes);
    px_status status = chosen && pixels ? PX_OK : px_fail_memory(t->ctx, "samples", image_bytes);
    if (status == PX_OK) px_choose((uint64_t)t->config->seed, source->count, count, chosen);
    for (size_t n = 0; n < (size_t)samples && status == PX_OK; n++) {
        const size_t index = chosen[n % count];
        status = source->read(source, t->ctx, index, pixels);
        if (status == PX_OK)
            px_loader_prepare(source, &as_evaluated, 0, index, pixels, t->sample_conditions + n * bytes);
    }
    free(chosen);
    free(pixels);
    return status;
}

/* Creates the sampler, and the conditions of its images: sample n has class n modulo the classes, or a smaller image.
 */
static px_status open_sampler(px_trainer *t, const px_model_spec *spec) {
    const int samples = px_trainer_samples(t->config);
    const size_t bytes = px_condition_bytes(&spec->condition, spec->height, spec->width, spec->channels);
    if (samples == 0 || !t->root) return PX_OK;
    PX_TRY(px_sampler_create(t->model, px_trainer_samples_at_once(t->config), &t->sampler));
    if (spec->condition.kind == PX_CONDITION_NONE) return PX_OK;
    t->sample_conditions = malloc((size_t)samples * bytes);
    if (!t->sample_conditions) return px_fail_memory(t->ctx, "samples", (size_t)samples * bytes);
    if (spec->condition.kind == PX_CONDITION_IMAGE) return read_smaller_images(t, spec, samples);
    for (int n = 0; n < samples; n++)
        px_condition_set_label(t->sample_conditions + (size_t)n * bytes, n % spec->condition.classes);
    return PX_OK;
}

static px_status open_model(px_trainer *t) {
    const px_config *c = t->config;
    px_source *train = t->data[PX_SPLIT_TRAIN];
    const px_model_spec spec = px_model_spec_from(c, train->height, train->width, train->channels);
    const px_optimizer_spec optimizer = px_optimizer_spec_from(c);
    PX_TRY(px_model_create(t->device, &spec, &t->model));
    PX_TRY(px_model_reserve(t->model, t->max_images, PX_PURPOSE_TRAIN));
    PX_TRY(px_model_initialise(t->model, (uint64_t)c->seed));
    if (t->options->init && t->root) PX_TRY(px_model_file_load_weights(t->options->init, t->model));
    PX_TRY(px_optimizer_create(t->model, &optimizer, &t->optimizer));
    PX_TRY(open_sampler(t, &spec));
    if (c->train.accumulate > 1)
        PX_TRY(px_accumulation_create(t->model, (int)c->train.accumulate, (int)t->share.count, &t->accumulation));
    PX_TRY(px_trainer_allocate_results(t));
    const px_loader_options order = {.levels = spec.levels,
                                     .batch_size = (int)c->train.batch_size,
                                     .parts = (int)c->train.accumulate,
                                     .first = (int)t->share.first,
                                     .share = (int)t->share.count,
                                     .order = c->data.shuffle ? PX_LOADER_SHUFFLED : PX_LOADER_ORDERED,
                                     .seed = (uint64_t)c->seed,
                                     .flip = c->data.flip,
                                     .binarize = c->data.binarize,
                                     .condition = spec.condition};
    return px_loader_open(t->ctx, t->device, train, &order, &t->loader);
}

/* ---- The record of a start ---- */

/* Adds host, device, ranks, and the threads of each rank or the number of GPUs. */
static void add_machine(cJSON *json, const px_trainer *t) {
    char host[256] = "";
    const bool cpu = strcmp(t->device->kind, "cpu") == 0;
    const int ranks = px_ranks_count(t->ranks);
    gethostname(host, sizeof host - 1);
    cJSON_AddStringToObject(json, "host", host);
    cJSON_AddStringToObject(json, "device", t->device->kind);
    cJSON_AddStringToObject(json, "description", t->device->description);
    cJSON_AddNumberToObject(json, "ranks", ranks);
    cJSON_AddNumberToObject(json, cpu ? "threads" : "gpus", cpu ? omp_get_max_threads() : ranks);
}

static void add_change(void *json, const char *key, const char *before, const char *now) {
    const char *const both[] = {before, now};
    cJSON_AddItemToObject(json, key, cJSON_CreateStringArray(both, 2));
}

/* The record as JSON text, which the caller frees; NULL: out of memory. */
static char *record_text(const px_trainer *t, const char *config) {
    cJSON *json = cJSON_CreateObject();
    char text_of_time[PX_TIME_TEXT];
    px_time_text(text_of_time);
    cJSON_AddNumberToObject(json, "start", (double)t->state.step);
    cJSON_AddStringToObject(json, "time", text_of_time);
    cJSON_AddStringToObject(json, "version", px_version());
    cJSON *command = cJSON_AddArrayToObject(json, "command");
    for (int i = 0; i < t->options->argument_count; i++)
        cJSON_AddItemToArray(command, cJSON_CreateString(t->options->arguments[i]));
    add_machine(json, t);
    cJSON_AddNumberToObject(json, "parameters", (double)px_parameters_live(px_model_parameters(t->model)));
    px_state_add_data(json, &t->state);
    if (t->options->init && !t->resumed) cJSON_AddStringToObject(json, "init", t->options->init);
    cJSON *changed = t->resumed ? cJSON_AddObjectToObject(json, "changed") : NULL;
    if (changed) px_config_changes(&t->previous_config, t->config, add_change, changed);
    cJSON_AddStringToObject(json, "config", config);
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}

/* Appends the record of this start to metrics.jsonl, which describes the steps that follow it. */
static px_status write_record(px_trainer *t) {
    char *config = px_config_text(t->config);
    char *text = config ? record_text(t, config) : NULL;
    const px_status status = text ? px_metrics_record(t->metrics, text) : px_fail_memory(t->ctx, "metrics.jsonl", 0);
    free(text);
    free(config);
    return status;
}

/* ---- Run folder ---- */

px_status px_trainer_write_config(px_trainer *t) {
    char path[PX_PATH];
    if (t->config_written) return PX_OK;
    PX_TRY(px_file_path(t->ctx, path, "%s/config.yaml", t->options->run));
    char *text = px_config_text(t->config);
    if (!text) return px_fail_memory(t->ctx, path, 0);
    const px_status status = px_file_write_text(t->ctx, path, text);
    free(text);
    t->config_written = status == PX_OK;
    return status;
}

/* Locks the run folder, once it exists. */
static px_status lock_run(px_trainer *t) {
    char path[PX_PATH];
    if (t->lock.path[0] || !px_file_is_folder(t->options->run)) return PX_OK;
    PX_TRY(px_file_path(t->ctx, path, "%s/lock", t->options->run));
    PX_TRY(px_lock_acquire(t->ctx, path, &t->lock));
    if (t->lock.warning[0]) fprintf(t->options->out, "%s\n", t->lock.warning);
    return PX_OK;
}

/* Changes nothing but the lock. Fails if another process uses the run folder, if it holds a run that is not to be
 * resumed, or if that run has a config that this one cannot continue. */
static px_status check_run(px_trainer *t) {
    const char *run = t->options->run;
    char path[PX_PATH];
    PX_TRY(lock_run(t));
    PX_TRY(px_file_check_folder(t->ctx, run));
    const int64_t newest = px_checkpoint_newest(run, INT64_MAX);
    if (newest < 0) return PX_OK;
    if (!t->options->resume)
        return px_fail(
            t->ctx, PX_ERR_USAGE,
            "%s: already holds a run, trained to step %lld; --resume goes on with it, another -o begins a new one", run,
            (long long)newest);
    PX_TRY(px_file_path(t->ctx, path, "%s/config.yaml", run));
    px_config_default(&t->previous_config);
    PX_TRY(px_config_load(t->ctx, path, &t->previous_config));
    return px_config_check_resume(t->ctx, path, &t->previous_config, t->config);
}

/* Removes a metric of a split at the state's step, which will be written again. */
static px_status forget_metric(px_trainer *t, px_split split, const char *metric) {
    char name[PX_METRIC_NAME];
    px_trainer_metric_name(split, metric, name);
    return px_metrics_forget(t->ctx, t->options->run, t->state.step, name);
}

/* Opens metrics.jsonl without the lines that will be written again, and appends the record of this start. At step 0,
 * the NLL of independent pixels follows. */
static px_status open_metrics(px_trainer *t) {
    const px_evaluation *e = &t->state.figures.independent;
    const double epochs = (double)t->config->train.batch_size / (double)t->data[PX_SPLIT_TRAIN]->count;
    char nats[PX_METRIC_NAME], bits[PX_METRIC_NAME];
    if (t->state.evaluation_due) PX_TRY(forget_metric(t, t->evaluated, "nats_per_image"));
    if (px_trainer_test_is_due(t)) PX_TRY(forget_metric(t, PX_SPLIT_TEST, "nats_per_image"));
    if (!t->resumed) PX_TRY(forget_metric(t, t->evaluated, "independent_nats_per_image"));
    PX_TRY(px_metrics_open(t->ctx, t->options->run, t->state.step, epochs, &t->metrics));
    PX_TRY(write_record(t));
    PX_TRY(px_metrics_config(t->metrics, t->state.step, t->config));
    if (t->resumed || e->images == 0) return PX_OK;
    px_trainer_metric_name(t->evaluated, "independent_nats_per_image", nats);
    px_trainer_metric_name(t->evaluated, "independent_bits_per_dim", bits);
    const px_metric metrics[] = {{nats, e->nats_per_image}, {bits, e->bits_per_dim}};
    return px_metrics_write(t->metrics, 0, metrics, 2);
}

static px_status open_run(px_trainer *t) {
    const char *run = t->options->run;
    char folder[PX_PATH];
    PX_TRY(px_file_make_folder(t->ctx, run));
    PX_TRY(check_run(t)); /* again, since another process may have started meanwhile */
    PX_TRY(px_trainer_resume(t));
    if (t->resumed && px_trainer_is_complete(t)) return PX_OK; /* nothing will be logged or saved */
    PX_TRY(px_file_path(t->ctx, folder, "%s/checkpoints", run));
    PX_TRY(px_file_make_folder(t->ctx, folder));
    PX_TRY(px_file_path(t->ctx, folder, "%s/samples", run));
    PX_TRY(px_file_make_folder(t->ctx, folder));
    PX_TRY(px_checkpoint_prune(t->ctx, run, 0, 0)); /* removes incomplete checkpoints */
    if (px_checkpoint_try_link(t->ctx, run) != PX_OK)
        fprintf(t->options->out, "warning: %s: best and newest are text files there\n", t->ctx->message);
    if (!t->resumed) PX_TRY(px_trainer_write_config(t)); /* a resumed run writes it after its first step */
    return open_metrics(t);
}

/* ---- The set-up ---- */

/* Nothing in the run folder is changed before open_run. After each part that may fail on one rank alone, px_ranks_agree
 * makes all ranks fail, so that none waits for another. */
px_status px_trainer_open(px_trainer *t) {
    PX_TRY(compare_configs(t));
    PX_TRY(px_ranks_agree(t->ranks, t->root ? check_run(t) : PX_OK));
    PX_TRY(px_ranks_agree(t->ranks, open_data(t)));
    for (px_split split = 0; split < PX_SPLITS; split++) PX_TRY(compare_source(t, split));
    PX_TRY(choose_clusters(t));
    PX_TRY(px_ranks_agree(t->ranks, open_model(t)));
    PX_TRY(px_ranks_agree(t->ranks, t->root ? px_trainer_load(t) : PX_OK));
    PX_TRY(px_ranks_agree(t->ranks, evaluate_independent(t)));
    const double bucket = t->config->parallel.bucket_mib * (1 << 20);
    PX_TRY(px_reduction_create(t->ranks, t->device, px_model_gradients(t->model), (size_t)bucket, &t->reduction));
    /* The loss is the mean over the whole batch, and gradients are summed over the ranks. */
    px_model_set_global_batch(t->model, (int)t->config->train.batch_size);
    t->step = (px_step){
        .model = t->model, .optimizer = t->optimizer, .reduction = t->reduction, .accumulation = t->accumulation};
    px_status status = px_stop_poll(t->options->stop);
    if (status != PX_OK) status = px_fail(t->ctx, status, "train: stopped before its first step");
    PX_TRY(px_ranks_agree(t->ranks, status));
    PX_TRY(px_ranks_agree(t->ranks, t->root ? open_run(t) : PX_OK));
    t->state.clusters = t->device->paths & PX_PATH_CLUSTER;
    return broadcast_state(t);
}

void px_trainer_close(px_trainer *t) {
    px_metrics_close(t->metrics);
    if (t->issued > t->state.step) (void)t->device->ops->synchronize(t->device); /* after a failure */
    if (t->results) t->device->ops->free_host(t->device, t->results);
    px_graph_release(&t->step.graph, t->device);
    px_reduction_destroy(t->reduction);
    px_accumulation_destroy(t->accumulation);
    px_loader_close(t->loader);
    px_sampler_destroy(t->sampler);
    free(t->sample_conditions);
    px_optimizer_destroy(t->optimizer);
    px_model_destroy(t->model);
    for (px_split split = 0; split < PX_SPLITS; split++) px_source_close(t->data[split]);
    px_lock_release(&t->lock);
}

/* What several commands do alike. */
#include "host/cli/cli.h"
#include "host/train/checkpoint.h"
#include <string.h>

px_status px_cli_override(px_context *ctx, const char *where, const px_arguments *settings, px_config *config) {
    for (int i = 0; i < settings->count; i++) PX_TRY(px_config_set(ctx, settings->word[i], config));
    return px_config_check(ctx, where, config);
}

px_status px_cli_open_device(px_context *ctx, const px_config *config, int place, px_device **device) {
    const px_type activation = config->precision == PX_PRECISION_BFLOAT16 ? PX_BF16 : PX_REAL;
    return px_device_open_at(ctx, (px_device_kind)config->device, activation, place, device);
}

/* A setting that describes another model than the file's would be of no effect. */
static px_status check_spec(px_context *ctx, const char *path, const px_model_info *info) {
    const px_model_spec *is = &info->spec;
    const px_model_spec asked = px_model_spec_from(&info->config, is->height, is->width, is->channels);
    if (asked.kind == is->kind && asked.layers == is->layers && asked.hidden == is->hidden && asked.head == is->head &&
        asked.residual == is->residual && asked.skip == is->skip && asked.levels == is->levels)
        return PX_OK;
    return px_fail(ctx, PX_ERR_CONFIG, "--set: found another model.* or data.levels, expected those of %s", path);
}

/* On the host's device number `place`; -1: whichever. */
static px_status load_model_at(px_context *ctx, int place, const char *name, const px_arguments *settings,
                               px_model_info *info, px_device **device, px_model **model) {
    char path[PX_PATH];
    px_model_info loaded;
    PX_TRY(px_checkpoint_find_model(ctx, name, path));
    PX_TRY(px_model_file_info(ctx, path, info));
    PX_TRY(px_cli_override(ctx, path, settings, &info->config));
    PX_TRY(check_spec(ctx, path, info));
    PX_TRY(px_cli_open_device(ctx, &info->config, place, device));
    return px_model_file_load(*device, path, &loaded, model);
}

px_status px_cli_load_model_on(px_context *ctx, px_ranks *ranks, const char *name, const px_arguments *settings,
                               px_model_info *info, px_device **device, px_model **model) {
    const int place = ranks ? px_ranks_local(ranks) : -1;
    *model = NULL;
    *device = NULL;
    px_status status = px_ranks_agree(ranks, load_model_at(ctx, place, name, settings, info, device, model));
    if (status == PX_OK) status = px_ranks_check_device(ranks, *device);
    if (status == PX_OK) return PX_OK;
    px_model_destroy(*model);
    px_device_close(*device);
    *model = NULL;
    *device = NULL;
    return status;
}

px_status px_cli_load_model(px_context *ctx, const char *name, const px_arguments *settings, px_model_info *info,
                            px_device **device, px_model **model) {
    return px_cli_load_model_on(ctx, NULL, name, settings, info, device, model);
}

px_status px_cli_lock_output(px_context *ctx, const char *out, px_lock *lock) {
    char path[PX_PATH];
    PX_TRY(px_file_path(ctx, path, "%s.lock", out));
    PX_TRY(px_lock_acquire(ctx, path, lock));
    if (lock->warning[0]) fprintf(stderr, "%s\n", lock->warning);
    return PX_OK;
}

px_status px_cli_check_output(px_context *ctx, px_ranks *ranks, px_status status, const char *path) {
    if (status == PX_OK && path && px_ranks_rank(ranks) == 0) status = px_file_check_output(ctx, path);
    return px_ranks_agree(ranks, status);
}

bool px_cli_ends_with(const char *path, const char *ending) {
    const size_t length = strlen(path), tail = strlen(ending);
    return length > tail && strcmp(path + length - tail, ending) == 0;
}

int px_cli_batch(const px_config *config) {
    return (int)(config->eval.batch_size > 0 ? config->eval.batch_size : config->train.batch_size);
}

int px_cli_sampling_batch(const px_config *config) {
    return config->eval.batch_size > 0 ? (int)config->eval.batch_size : 64;
}

static void say_conversion(const px_ranks *ranks, const px_source *source, int levels) {
    char line[PX_CONVERSION];
    if (px_source_conversion(source, levels, line)) fprintf(px_cli_talk(ranks), "%s\n", line);
}

px_status px_cli_open_data(px_context *ctx, const px_ranks *ranks, int count, const char *const *specs,
                           const px_source_options *options, int levels, px_source **source) {
    PX_TRY(px_source_open_all(ctx, count, specs, options, source));
    say_conversion(ranks, *source, levels);
    return PX_OK;
}

px_status px_cli_open_list(px_context *ctx, const px_ranks *ranks, const char *list, const px_source_options *options,
                           int levels, px_source **source) {
    PX_TRY(px_source_open_list(ctx, list, options, source));
    say_conversion(ranks, *source, levels);
    return PX_OK;
}

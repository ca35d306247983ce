/* What several commands do alike. */
#include "host/cli/cli.h"
#include "pixelrnn/checkpoint.h"
#include "pixelrnn/file.h"
#include <string.h>

enum { PX_IMAGE_SIDE = 65535 }; /* pixels: the most that a model takes */

px_status px_cli_override(px_context *ctx, const char *where, const px_words *settings, px_config *config) {
    for (int i = 0; i < settings->count; i++) PX_TRY(px_config_set(ctx, settings->word[i], config));
    return px_config_check(ctx, where, config);
}

px_status px_cli_open_device(px_context *ctx, const px_config *config, int place, px_device **device) {
    const px_type activation = config->precision == PX_PRECISION_BFLOAT16 ? PX_BF16 : PX_REAL;
    return px_device_open_at(ctx, (px_device_kind)config->device, activation, place, device);
}

/* A setting that describes another model than the file's would be of no effect. */
static px_status px_check_spec(px_context *ctx, const char *path, const px_model_info *info) {
    const px_model_spec *is = &info->spec;
    const px_model_spec asked = px_model_spec_from(&info->config, is->height, is->width, is->channels);
    if (asked.kind == is->kind && asked.layers == is->layers && asked.hidden == is->hidden && asked.head == is->head &&
        asked.residual == is->residual && asked.skip == is->skip && asked.levels == is->levels)
        return PX_OK;
    return px_fail(ctx, PX_ERR_CONFIG, "--set: found another model.* or data.levels, expected those of %s", path);
}

/* On the host's device number `place`; -1: whichever. */
static px_status px_load_model_at(px_context *ctx, int place, const char *name, const px_words *settings,
                                  px_model_info *info, px_device **device, px_model **model) {
    char path[PX_PATH];
    px_model_info loaded;
    PX_TRY(px_checkpoint_find_model(ctx, name, path));
    PX_TRY(px_model_file_info(ctx, path, info));
    PX_TRY(px_cli_override(ctx, path, settings, &info->config));
    PX_TRY(px_check_spec(ctx, path, info));
    PX_TRY(px_cli_open_device(ctx, &info->config, place, device));
    return px_model_file_load(*device, path, &loaded, model);
}

px_status px_cli_load_model_on(px_context *ctx, px_ranks *ranks, const char *name, const px_words *settings,
                               px_model_info *info, px_device **device, px_model **model) {
    const int place = ranks ? px_ranks_local(ranks) : -1;
    *model = NULL;
    *device = NULL;
    px_status status = px_ranks_agree(ranks, px_load_model_at(ctx, place, name, settings, info, device, model));
    if (status == PX_OK) status = px_ranks_check_device(ranks, *device);
    if (status == PX_OK) return PX_OK;
    px_model_destroy(*model);
    px_device_close(*device);
    *model = NULL;
    *device = NULL;
    return status;
}

px_status px_cli_load_model(px_context *ctx, const char *name, const px_words *settings, px_model_info *info,
                            px_device **device, px_model **model) {
    return px_cli_load_model_on(ctx, NULL, name, settings, info, device, model);
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

int px_cli_drawing_batch(const px_config *config) {
    return config->eval.batch_size > 0 ? (int)config->eval.batch_size : 64;
}

px_status px_cli_open_data(px_context *ctx, const px_ranks *ranks, int count, const char *const *specs,
                           const px_source_options *options, int levels, px_source **source) {
    char line[PX_CONVERSION];
    PX_TRY(px_source_open_all(ctx, count, specs, options, source));
    if (px_source_conversion(*source, levels, line)) fprintf(px_cli_talk(ranks), "%s\n", line);
    return PX_OK;
}

static void px_fill(px_image_size *size, int64_t height, int64_t width, int64_t channels) {
    if (size->height == 0) size->height = height;
    if (size->width == 0) size->width = width;
    if (size->channels == 0) size->channels = channels;
}

static bool px_is_filled(const px_image_size *size) {
    return size->height > 0 && size->width > 0 && size->channels > 0;
}

static px_status px_fill_from_data(px_context *ctx, const px_config *c, px_image_size *size) {
    const px_source_options options = {.split = PX_SPLIT_TRAIN,
                                       .size = (int)c->data.size,
                                       .seed = (uint64_t)c->seed,
                                       .channels = (int)c->data.channels,
                                       .access = PX_ACCESS_IN_ORDER};
    const char *const train = c->data.train;
    px_source *source;
    PX_TRY(px_cli_open_data(ctx, NULL, 1, &train, &options, (int)c->data.levels, &source));
    px_fill(size, source->height, source->width, source->channels);
    px_source_close(source);
    return PX_OK;
}

px_status px_cli_image_size(px_context *ctx, const char *where, const px_config *config, const char *options,
                            px_image_size *size) {
    const char *train = config->data.train;
    const bool there = strncmp(train, "builtin:", 8) == 0 || (train[0] && px_file_exists(train));
    if (!px_is_filled(size) && there) PX_TRY(px_fill_from_data(ctx, config, size));
    px_fill(size, config->data.size, config->data.size, config->data.channels);
    if (!px_is_filled(size))
        return px_fail(ctx, PX_ERR_USAGE,
                       "%s: data.train%s%s%s is %s, so that the size of images is not known; give %s, "
                       "or data.size and data.channels",
                       where, train[0] ? " (" : "", train, train[0] ? ")" : "", train[0] ? "not there" : "empty",
                       options);
    const int64_t largest = size->height > size->width ? size->height : size->width;
    if (largest <= PX_IMAGE_SIDE) return PX_OK;
    return px_fail(ctx, PX_ERR_USAGE, "%s: found images of %lld x %lld, expected at most %d a side", where,
                   (long long)size->height, (long long)size->width, PX_IMAGE_SIDE);
}

/* What several commands do alike. */
#include "host/cli/cli.h"
#include "pixelrnn/checkpoint.h"
#include <string.h>

px_status px_cli_override(px_context *ctx, const char *where, const px_words *settings, px_config *config) {
    for (int i = 0; i < settings->count; i++) PX_TRY(px_config_set(ctx, settings->word[i], config));
    return px_config_check(ctx, where, config);
}

px_status px_cli_open_device(px_context *ctx, const px_config *config, px_device **device) {
    const px_type activation = config->precision == PX_PRECISION_BFLOAT16 ? PX_BF16 : PX_REAL;
    return px_device_open(ctx, (px_device_kind)config->device, activation, device);
}

px_status px_cli_load_model(px_context *ctx, const char *name, const px_words *settings, px_model_info *info,
                            px_device **device, px_model **model) {
    char path[PX_PATH];
    px_model_info loaded;
    *model = NULL;
    *device = NULL;
    PX_TRY(px_checkpoint_find_model(ctx, name, path));
    PX_TRY(px_model_file_info(ctx, path, info));
    PX_TRY(px_cli_override(ctx, path, settings, &info->config));
    PX_TRY(px_cli_open_device(ctx, &info->config, device));
    const px_status status = px_model_file_load(*device, path, &loaded, model);
    if (status == PX_OK) return PX_OK;
    px_device_close(*device);
    *device = NULL;
    return status;
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

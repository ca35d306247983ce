/* Functions that several commands share. */
#include "host/cli/cli.h"
#include <string.h>

px_status px_cli_override(px_context *ctx, const char *where, const px_arguments *settings, px_config *config) {
    for (int i = 0; i < settings->count; i++) PX_TRY(px_config_set(ctx, settings->value[i], config));
    return px_config_check(ctx, where, config);
}

px_status px_cli_open_device(px_context *ctx, const px_config *config, int ordinal, px_device **device) {
    const px_type activation = config->precision == PX_PRECISION_BFLOAT16 ? PX_BF16 : PX_REAL;
    return px_device_open_at(ctx, (px_device_kind)config->device, activation, ordinal, device);
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

static void print_conversion(const px_ranks *ranks, const px_source *source, int levels) {
    char line[PX_CONVERSION];
    if (px_source_conversion(source, levels, line)) fprintf(px_cli_talk(ranks), "%s\n", line);
}

px_status px_cli_open_data(px_context *ctx, const px_ranks *ranks, int count, const char *const *specs,
                           const px_source_options *options, int levels, px_source **source) {
    PX_TRY(px_source_open_all(ctx, count, specs, options, source));
    print_conversion(ranks, *source, levels);
    return PX_OK;
}

px_status px_cli_open_list(px_context *ctx, const px_ranks *ranks, const char *list, const px_source_options *options,
                           int levels, px_source **source) {
    PX_TRY(px_source_open_list(ctx, list, options, source));
    print_conversion(ranks, *source, levels);
    return PX_OK;
}

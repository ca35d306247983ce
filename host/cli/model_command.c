/* The skeleton of the commands that load a model. */
#include "host/cli/cli.h"
#include "host/train/checkpoint.h"
#include "pixelrnn/evaluate.h"

/* A setting that describes a model other than the one in the file would have no effect. */
static px_status check_spec(px_context *ctx, const char *path, const px_model_info *info) {
    const px_model_spec *is = &info->spec;
    const px_model_spec asked = px_model_spec_from(&info->config, is->height, is->width, is->channels);
    const px_condition *a = &asked.condition, *b = &is->condition;
    if (asked.kind == is->kind && asked.layers == is->layers && asked.hidden == is->hidden && asked.head == is->head &&
        asked.residual == is->residual && asked.skip == is->skip && asked.levels == is->levels && a->kind == b->kind &&
        a->classes == b->classes && a->scale == b->scale)
        return PX_OK;
    return px_fail(ctx, PX_ERR_CONFIG, "--set: found another model.* or data.levels, expected those of %s", path);
}

px_status px_cli_load_model(px_model_command *c, const char *name, char path[PX_PATH], px_model_info *info,
                            px_model **model) {
    px_model_info loaded;
    *model = NULL;
    if (px_cli_is_config(name) && !px_file_is_folder(name))
        return px_fail(c->ctx, PX_ERR_USAGE,
                       "%s: found the config %.300s, expected MODEL: the run folder that `pixelrnn train %.300s` wrote "
                       "(by default runs/NAME), a checkpoint folder, or a model.safetensors file",
                       c->command->name, name, name);
    PX_TRY(px_checkpoint_find_model(c->ctx, name, path));
    PX_TRY(px_model_file_info(c->ctx, path, info));
    PX_TRY(px_cli_override(c->ctx, path, &c->settings, &info->config));
    PX_TRY(check_spec(c->ctx, path, info));
    if (!c->device) PX_TRY(px_cli_open_device(c->ctx, &info->config, c->ranks, &c->device));
    return px_model_file_load(c->device, path, &loaded, model);
}

static px_status open_data(px_model_command *c) {
    const px_config *config = &c->info.config;
    const bool test = c->data.count > 0 || config->data.test[0] || !config->data.validation[0];
    const px_split split = test ? PX_SPLIT_TEST : PX_SPLIT_VALID;
    const px_source_options options = px_source_options_of(config, split, c->access);
    const char *list = px_source_list_of(config, split);
    if (c->data.count == 0 && !list[0])
        return px_fail(c->ctx, PX_ERR_USAGE,
                       "%s: found no --data, and data.test and data.validation of the model's config are empty",
                       c->command->name);
    PX_TRY(px_cli_open_data(c->ctx, c->ranks, &c->data, list, &options, c->info.spec.levels, &c->source));
    return px_evaluate_check(c->ctx, &c->info.spec, c->source);
}

static px_status open_and_run(px_model_command *c) {
    const char *name = c->models.value[c->models.count - 1];
    PX_TRY(px_ranks_agree(c->ranks, px_cli_load_model(c, name, c->path, &c->info, &c->model)));
    PX_TRY(px_ranks_check_device(c->ranks, c->device));
    px_ranks_set_timeouts(c->ranks, c->info.config.parallel.silence_s, c->info.config.parallel.stall_s);
    if (c->reads_data) PX_TRY(px_ranks_agree(c->ranks, open_data(c)));
    return c->run(c);
}

px_status px_cli_run_model(px_model_command *c, int count, char **arguments) {
    px_status status = px_cli_parse(c->ctx, c->command, count, arguments, c, &c->models);
    if (status == PX_OK && c->check) status = c->check(c);
    if (status == PX_OK && c->out && px_ranks_rank(c->ranks) == 0) status = px_file_check_output(c->ctx, c->out);
    PX_TRY(px_ranks_agree(c->ranks, status));
    status = open_and_run(c);
    px_cli_print_warning(c->ranks, c->device);
    px_source_close(c->source);
    px_model_destroy(c->model);
    px_device_close(c->device);
    return status;
}

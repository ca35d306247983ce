/* pixelrnn pack: any data source into one memory-mapped file. */
#include "host/cli/cli.h"
#include "pixelrnn/npy.h"
#include "pixelrnn/report.h"
#include <stdio.h>
#include <stdlib.h>

static px_status px_pack_images(px_context *ctx, px_source *source, px_file_out *out, px_progress *progress) {
    const size_t bytes = (size_t)source->height * (size_t)source->width * (size_t)source->channels;
    const size_t shape[] = {source->count, (size_t)source->height, (size_t)source->width, (size_t)source->channels};
    uint8_t *image = malloc(bytes);
    if (!image) return px_fail(ctx, PX_ERR_MEMORY, "pack: no memory for an image");
    px_status status = px_npy_write_header(ctx, out->path, out->stream, "|u1", 4, shape);
    for (size_t n = 0; n < source->count && status == PX_OK; n++) {
        status = source->read(source, ctx, n, image);
        if (status == PX_OK) status = px_file_write(ctx, out, image, bytes);
        px_progress_update(progress, (int64_t)n + 1, "");
    }
    free(image);
    return status;
}

static px_status px_pack_source(px_context *ctx, px_source *source, const char *path) {
    px_file_out out;
    px_progress progress;
    PX_TRY(px_file_create(ctx, path, &out));
    px_progress_begin(&progress, stderr, "pack", 0, (int64_t)source->count);
    px_status status = px_pack_images(ctx, source, &out, &progress);
    px_progress_clear(&progress);
    if (status == PX_OK) status = px_file_commit(ctx, &out);
    px_file_abandon(&out);
    PX_TRY(status);
    printf("%zu images of %d x %d x %d in %s\n", source->count, source->height, source->width, source->channels, path);
    return PX_OK;
}

static px_status px_pack_run(px_context *ctx, int count, char **words) {
    px_words settings = {0}, plain;
    const char *out = NULL;
    const px_option options[] = {{.name = "-o", .text = &out, .required = true}, {.name = "--set", .each = &settings}};
    px_source *source;
    px_config config;
    PX_TRY(px_cli_parse(ctx, &px_command_pack, count, words, options, 2, &plain, 1, PX_MOST_WORDS));
    if (!px_cli_ends_with(out, ".npy"))
        return px_fail(ctx, PX_ERR_USAGE, "-o: found %.200s, expected a name that ends with .npy", out);
    px_config_default(&config);
    PX_TRY(px_cli_override(ctx, "--set", &settings, &config));
    const px_source_options source_options = {
        .split = PX_SPLIT_TRAIN, .size = (int)config.data.size, .seed = (uint64_t)config.seed};
    PX_TRY(px_cli_open_sources(ctx, &plain, &source_options, &source));
    const px_status status = px_pack_source(ctx, source, out);
    px_source_close(source);
    return status;
}

const px_command px_command_pack = {"pack", "SOURCE... -o OUT.npy", "turns any data source into one memory-mapped file",
                                    px_pack_run};

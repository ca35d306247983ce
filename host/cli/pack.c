/* pixelrnn pack: any data source into one .npy file. */
#include "host/cli/cli.h"
#include "host/data/pack.h"
#include "host/io/file.h"
#include "host/logging/logging.h"
#include <stdio.h>
#include <string.h>

enum { PX_SKIPPED_SHOWN = 20, PX_PACK_LARGEST = 32768, PX_PACK_LEVELS = 256 };

typedef struct pack_arguments {
    px_arguments settings, sources;
    const char *out, *split;
    int64_t size, channels; /* 0: as stored */
} pack_arguments;

typedef struct pack_view {
    px_progress progress;
    size_t skipped;
} pack_view;

static void show_done(void *user, size_t images) {
    pack_view *view = user;
    px_progress_update(&view->progress, (int64_t)images, "");
}

static void show_skipped(void *user, size_t index, const char *why) {
    pack_view *view = user;
    if (view->skipped++ < PX_SKIPPED_SHOWN) px_progress_line(&view->progress, "skipped image %zu: %s", index, why);
}

static px_status pack_source(px_context *ctx, px_source *source, const char *path) {
    pack_view view = {0};
    px_packed packed;
    px_lock lock = {0};
    const px_pack_callbacks callbacks = {&view, show_done, show_skipped, &px_cli_stop};
    PX_TRY(px_cli_lock_output(ctx, path, &lock));
    px_progress_begin(&view.progress, stderr, "pack", 0, (int64_t)source->count);
    const px_status status = px_pack(ctx, source, path, &callbacks, &packed);
    px_progress_clear(&view.progress);
    px_lock_release(&lock);
    PX_TRY(status);
    if (packed.skipped > 0)
        fprintf(stderr, "skipped %zu of %zu images%s\n", packed.skipped, source->count,
                packed.skipped > PX_SKIPPED_SHOWN ? "; the first 20 are above" : "");
    char left_out[PX_LEFT_OUT_TEXT];
    if (px_source_left_out(source->left_out, left_out)[0])
        fprintf(stderr, "left out other formats than PNG and JPEG: %s\n", left_out);
    printf("%zu images of %d x %d x %d in %s\n", packed.images, source->height, source->width, source->channels, path);
    printf("CRC-32 %08X in %s.sfv\n", (unsigned)packed.crc32, path);
    return PX_OK;
}

static px_status pack_split(px_context *ctx, const char *word, px_split *split) {
    static const char *const names[] = {
        [PX_SPLIT_TRAIN] = "train", [PX_SPLIT_TEST] = "test", [PX_SPLIT_VALID] = "valid"};
    *split = PX_SPLIT_TRAIN;
    for (int s = PX_SPLIT_TRAIN; word && s <= PX_SPLIT_VALID; s++) {
        *split = (px_split)s;
        if (strcmp(word, names[s]) == 0) return PX_OK;
    }
    if (!word) return PX_OK;
    return px_fail(ctx, PX_ERR_USAGE, "--split: found \"%.40s\", expected train, test or valid", word);
}

/* What the words and the settings say of the sources. */
static px_status pack_options(px_context *ctx, const pack_arguments *w, px_source_options *options) {
    px_config config;
    px_config_default(&config);
    PX_TRY(px_cli_override(ctx, "pack", &w->settings, &config));
    if (w->size > PX_PACK_LARGEST)
        return px_fail(ctx, PX_ERR_USAGE, "--size: found %lld, expected at most %d", (long long)w->size,
                       PX_PACK_LARGEST);
    if (w->channels != 0 && w->channels != 1 && w->channels != 3)
        return px_fail(ctx, PX_ERR_USAGE, "--channels: found %lld, expected 1 or 3", (long long)w->channels);
    *options = px_source_options_of(&config, PX_SPLIT_TRAIN, PX_ACCESS_IN_ORDER);
    if (w->size) options->size = (int)w->size;
    if (w->channels) options->channels = (int)w->channels;
    return pack_split(ctx, w->split, &options->split);
}

/* The checksum lies beside the file. */
static px_status pack_check_outputs(px_context *ctx, const char *out) {
    char checksum[PX_PATH];
    PX_TRY(px_file_check_output(ctx, out));
    PX_TRY(px_file_path(ctx, checksum, "%s.sfv", out));
    return px_file_check_output(ctx, checksum);
}

static px_status pack_run(px_context *ctx, int count, char **words) {
    pack_arguments w = {0};
    const px_option options[] = {{.name = "-o", .text = &w.out, .required = true},
                                 {.name = "--size", .integer = &w.size, .least = 1},
                                 {.name = "--channels", .integer = &w.channels, .least = 1},
                                 {.name = "--split", .text = &w.split},
                                 {.name = "--set", .each = &w.settings}};
    px_source_options source_options;
    px_source *source;
    px_cli_catch_signals();
    PX_TRY(px_cli_parse(ctx, &px_command_pack, count, words, options, 5, &w.sources, 1, PX_MAX_ARGUMENTS));
    if (!px_cli_ends_with(w.out, ".npy"))
        return px_fail(ctx, PX_ERR_USAGE, "-o: found %.200s, expected a name that ends with .npy", w.out);
    PX_TRY(pack_options(ctx, &w, &source_options));
    PX_TRY(pack_check_outputs(ctx, w.out));
    PX_TRY(px_cli_open_data(ctx, NULL, w.sources.count, w.sources.word, &source_options, PX_PACK_LEVELS, &source));
    const px_status status = pack_source(ctx, source, w.out);
    px_source_close(source);
    return status;
}

const px_command px_command_pack = {
    "pack", "SOURCE... -o OUT.npy [--size SIDE] [--channels 1|3] [--split train|test|valid] [--set key=value]...",
    "turns any data source into one file that is read in place", .run = pack_run};

/* pixelrnn pack: converts any data source into one .npy file. */
#include "host/cli/cli.h"
#include "host/data/formats.h"
#include "host/data/pack.h"
#include "host/logging/logging.h"
#include <string.h>

enum { SKIPPED_SHOWN = 20, MAX_SIDE = 32768, LEVELS = 256 };

typedef struct pack_values {
    px_arguments settings, sources;
    const char *out, *range;
    int split;              /* px_split */
    int64_t size, channels; /* 0: as stored */
} pack_values;

static const px_option option_table[] = {
    {"-o", "OUT.npy", PX_OPTION_PATH, offsetof(pack_values, out), .required = true,
     .help = "output: an array uint8 [N, H, W, C]; its CRC-32 goes to OUT.npy.sfv, and labels to OUT.labels.npy"},
    {"--size", "SIDE", PX_OPTION_INTEGER, offsetof(pack_values, size), .min = 1, .max = MAX_SIDE,
     .otherwise = "as stored", .help = "resize to SIDE x SIDE pixels"},
    {"--channels", "1|3", PX_OPTION_INTEGER, offsetof(pack_values, channels), .otherwise = "as stored",
     .help = "convert to grey (1) or colour (3)"},
    {"--split", "train|test|valid", PX_OPTION_WORD, offsetof(pack_values, split), .initial = "train",
     .help = "the part of a source that has several"},
    {"--range", "FIRST:COUNT", PX_OPTION_TEXT, offsetof(pack_values, range), .otherwise = "all images",
     .help = "pack COUNT images, from image FIRST on, which counts from 0"},
    PX_OPTION_SET(pack_values, settings),
    {0},
};

typedef struct pack_progress {
    px_progress progress;
    size_t skipped;
} pack_progress;

static void show_done(void *user, size_t images) {
    px_progress_update(&((pack_progress *)user)->progress, (int64_t)images, "");
}

static void show_skipped(void *user, size_t index, const char *why) {
    pack_progress *p = user;
    if (p->skipped++ < SKIPPED_SHOWN) px_progress_line(&p->progress, "skipped image %zu: %s", index, why);
}

/* Reads "FIRST:COUNT", which must lie within the source; NULL: all its images. */
static px_status parse_range(px_context *ctx, const char *text, const px_source *source, px_pack_range *range) {
    unsigned long long first = 0, count = 0;
    int end = 0;
    *range = (px_pack_range){0, source->count};
    if (!text) return PX_OK;
    if (text[strspn(text, "0123456789:")] == '\0') sscanf(text, "%18llu:%18llu%n", &first, &count, &end);
    if (end == 0 || text[end] || count == 0)
        return px_fail(ctx, PX_ERR_USAGE, "--range: found %.60s, expected FIRST:COUNT, such as 45000:5000", text);
    if (first + count > source->count)
        return px_fail(ctx, PX_ERR_USAGE, "--range: found images %llu to %llu, expected a part of the %zu images of %s",
                       first, first + count - 1, source->count, source->name);
    *range = (px_pack_range){(size_t)first, (size_t)count};
    return PX_OK;
}

/* Says where the labels are. Labels that a source has, but that cannot be read, are left out. */
static px_status print_labels(px_context *ctx, const px_source *source, const char *path) {
    char labels[PX_PATH];
    PX_TRY(px_labels_path(ctx, path, labels));
    if (source->labels)
        printf("labels in %s\n", labels);
    else if (source->no_labels.status != PX_OK && source->no_labels.status != PX_ERR_CONFIG)
        fprintf(stderr, "left out labels: %s\n", source->no_labels.ctx.message);
    return PX_OK;
}

static px_status pack_source(px_context *ctx, px_source *source, px_pack_range range, const char *path) {
    pack_progress p = {0};
    px_packed packed;
    px_lock lock = {0};
    const px_pack_callbacks callbacks = {&p, show_done, show_skipped, &px_cli_stop};
    PX_TRY(px_cli_lock_output(ctx, path, &lock));
    px_progress_begin(&p.progress, stderr, "pack", 0, (int64_t)range.count);
    p.progress.images = 1;
    p.progress.count_images = true;
    const px_status status = px_pack(ctx, source, range, path, &callbacks, &packed);
    px_progress_clear(&p.progress);
    px_lock_release(&lock);
    PX_TRY(status);
    if (packed.skipped > 0)
        fprintf(stderr, "skipped %zu of %zu image%s%s\n", packed.skipped, range.count,
                px_plural((long long)range.count), packed.skipped > SKIPPED_SHOWN ? "; the first 20 are above" : "");
    char left_out[PX_LEFT_OUT_TEXT];
    if (px_source_left_out(source->left_out, left_out)[0])
        fprintf(stderr, "left out other formats than PNG and JPEG: %s\n", left_out);
    printf("%zu image%s of %d x %d x %d in %s\n", packed.images, px_plural((long long)packed.images), source->height,
           source->width, source->channels, path);
    printf("CRC-32 %08X in %s.sfv\n", (unsigned)packed.crc32, path);
    return print_labels(ctx, source, path);
}

static px_status pack_run(px_context *ctx, int count, char **arguments) {
    pack_values w = {0};
    char checksum[PX_PATH];
    px_config config;
    px_source *source;
    px_cli_catch_signals();
    PX_TRY(px_cli_parse(ctx, &px_command_pack, count, arguments, &w, &w.sources));
    if (!px_cli_ends_with(w.out, ".npy"))
        return px_fail(ctx, PX_ERR_USAGE, "-o: found %.200s, expected a name that ends with .npy", w.out);
    px_config_default(&config);
    PX_TRY(px_cli_override(ctx, "pack", &w.settings, &config));
    px_source_options options = px_source_options_of(&config, (px_split)w.split, PX_ACCESS_IN_ORDER);
    options.labels = true;
    if (w.size) options.size = (int)w.size;
    if (w.channels) options.channels = (int)w.channels;
    PX_TRY(px_file_check_output(ctx, w.out));
    PX_TRY(px_file_path(ctx, checksum, "%s.sfv", w.out)); /* a second output, beside the array */
    PX_TRY(px_file_check_output(ctx, checksum));
    PX_TRY(px_cli_open_data(ctx, NULL, &w.sources, NULL, &options, LEVELS, &source));
    px_pack_range range;
    px_status status = parse_range(ctx, w.range, source, &range);
    if (status == PX_OK) status = pack_source(ctx, source, range, w.out);
    px_source_close(source);
    return status;
}

const px_command px_command_pack = {
    .name = "pack",
    .positionals = "SOURCE...",
    .summary = "turns any data source into one .npy file, which is read without decoding",
    .example = "pack photos --size 32 --channels 3 -o photos.npy",
    .options = option_table,
    .run = pack_run,
};

/* Configs and image files for the oracle's tests. */
#include "tests/oracle/settings.h"
#include "tests/support/support.h"
#include "host/io/file.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char settings_folder[64];

/* Writes images of random values below `distinct`, the same in each square of block x block pixels. */
static void make_images(const char *name, uint64_t seed, size_t count, int height, int width, int channels, int block,
                        uint32_t distinct) {
    oracle_images images = {count, height, width, channels, NULL};
    const size_t values = (size_t)(height * width * channels);
    images.pixels = malloc(count * values);
    assert_non_null(images.pixels);
    for (size_t i = 0; i < count * values; i++) {
        const int place = (int)(i % values), row = place / channels / width, column = place / channels % width;
        const int square = (row / block * width + column / block) * channels + place % channels;
        uint32_t word[4];
        oracle_random(seed, ORACLE_DATA, i / values, (uint64_t)square, word);
        images.pixels[i] = (uint8_t)((word[0] >> 24) % distinct);
    }
    char file[64];
    snprintf(file, sizeof file, "%s.npy", name);
    oracle_write_images(settings_path(file), &images);
    free(images.pixels);
}

int settings_make(void **state) {
    (void)state;
    /* /dev/shm is faster, because a run waits until each checkpoint is on the disk. */
    strcpy(settings_folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/px_oracle_XXXXXX" : "/tmp/px_oracle_XXXXXX");
    if (!mkdtemp(settings_folder)) return -1;
    make_images("grey", 1, 7, 4, 3, 1, 1, 256);
    make_images("grey_test", 2, 5, 4, 3, 1, 1, 256);
    make_images("other", 3, 6, 4, 3, 1, 1, 256);
    make_images("other_test", 4, 5, 4, 3, 1, 1, 256);
    make_images("colour", 5, 7, 4, 3, 3, 1, 256);
    make_images("colour_test", 6, 5, 4, 3, 3, 1, 256);
    make_images("codes", 9, 7, 4, 3, 1, 1, 5); /* levels 0 to 4 */
    make_images("codes_test", 10, 5, 4, 3, 1, 1, 5);
    make_images("blocks", 7, 5, 4, 8, 1, 2, 256); /* 4 x 8, in squares of 2 x 2 */
    make_images("small", 8, 5, 2, 3, 1, 1, 256);  /* 2 x 3 */
    return 0;
}

int settings_remove(void **state) {
    (void)state;
    px_context ctx;
    return px_file_remove_folder(&ctx, settings_folder) == PX_OK ? 0 : -1;
}

const char *settings_path(const char *name) {
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof *paths, "%s/%s", settings_folder, name);
    return path;
}

/* Applies one setting, with KEY=@NAME replaced by KEY=FOLDER/NAME.npy. */
static void apply(px_config *config, const char *setting) {
    char assignment[512];
    const char *name = strstr(setting, "=@");
    px_context ctx;
    if (name)
        snprintf(assignment, sizeof assignment, "%.*s%s/%s.npy", (int)(name + 1 - setting), setting, settings_folder,
                 name + 2);
    else
        snprintf(assignment, sizeof assignment, "%s", setting);
    assert_ok(&ctx, px_config_set(&ctx, assignment, config));
}

void settings_apply(px_config *config, const char *settings) {
    char text[2048], *rest = NULL;
    snprintf(text, sizeof text, "%s", settings);
    for (char *setting = strtok_r(text, " ", &rest); setting; setting = strtok_r(NULL, " ", &rest))
        apply(config, setting);
}

px_config settings_config(const char *settings, const char *further) {
    px_config config;
    px_context ctx;
    px_config_default(&config);
    settings_apply(&config, settings);
    settings_apply(&config, further);
    assert_ok(&ctx, px_config_check(&ctx, "settings", &config));
    return config;
}

double settings_write_ising(px_split split, uint64_t seed, int size, const char *name) {
    px_context ctx;
    px_source *source;
    char file[64];
    const px_source_options options = {.split = split, .seed = seed, .size = size};
    assert_ok(&ctx, px_source_open(&ctx, "builtin:ising", &options, &source));
    const double entropy = source->entropy;
    oracle_images images = {source->count, source->height, source->width, source->channels, NULL};
    const size_t bytes = (size_t)(images.height * images.width * images.channels);
    images.pixels = malloc(images.count * bytes);
    assert_non_null(images.pixels);
    for (size_t n = 0; n < images.count; n++) assert_ok(&ctx, source->read(source, &ctx, n, images.pixels + n * bytes));
    snprintf(file, sizeof file, "%s.npy", name);
    oracle_write_images(settings_path(file), &images);
    free(images.pixels);
    px_source_close(source);
    return entropy;
}

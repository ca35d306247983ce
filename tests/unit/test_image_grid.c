/* Grids of images in PNG files. */
#include "tests/support/support.h"
#include "host/io/file.h"
#include "host/logging/logging.h"
#include <stdlib.h>
#include <string.h>

#pragma GCC diagnostic ignored "-Wunused-function" /* judged at the end of the file: a pop would undo it */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#define STBI_ONLY_PNG
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

static px_context ctx;

static const px_grid_layout layouts[] = {
    {.images = 5, .height = 3, .width = 2, .channels = 1, .columns = 2, .scale = 1},
    {.images = 5, .height = 3, .width = 2, .channels = 3, .columns = 0, .scale = 3},
    {.images = 1, .height = 1, .width = 1, .channels = 1, .columns = 0, .scale = 0},
    {.images = 10, .height = 28, .width = 28, .channels = 1, .columns = 0, .scale = 0},
    {.images = 6, .height = 80, .width = 20, .channels = 3, .columns = 0, .scale = 0},
    {.images = 2, .height = 4, .width = 4, .channels = 3, .columns = 5, .scale = 1},
    {.images = 2, .height = 40, .width = 2, .channels = 1, .columns = 0, .scale = 0},
    {.images = 6, .height = 3, .width = 2, .channels = 3, .rows = 3, .scale = 1},
    {.images = 5, .height = 2, .width = 3, .channels = 1, .rows = 2, .scale = 2},
};

/* Columns, rows and scale of each layout above. */
static const int grids[][3] = {{2, 3, 1}, {3, 2, 3}, {1, 1, 64}, {4, 3, 2}, {5, 2, 1},
                               {5, 1, 1}, {2, 1, 2}, {2, 3, 1},  {3, 2, 2}};

/* Returns the expected value of pixel (y, x, c) of the grid. */
static uint8_t expected(const px_grid_layout *layout, const int *grid, const uint8_t *pixels, int y, int x, int c) {
    int pitch_y = layout->height * grid[2] + 1, pitch_x = layout->width * grid[2] + 1;
    int row = y / pitch_y, column = x / pitch_x;
    int index = layout->rows > 0 ? column * grid[1] + row : row * grid[0] + column;
    if (y % pitch_y == 0 || x % pitch_x == 0 || index >= layout->images) return 128;
    int inner_y = (y % pitch_y - 1) / grid[2], inner_x = (x % pitch_x - 1) / grid[2];
    return pixels[((index * layout->height + inner_y) * layout->width + inner_x) * layout->channels + c];
}

static void check_grid(const px_grid_layout *layout, const int *grid) {
    static uint8_t pixels[1 << 16];
    for (size_t i = 0; i < sizeof pixels; i++) pixels[i] = (uint8_t)(i * 37 + i / 251);
    void *png;
    size_t bytes;
    int height, width, got_width = 0, got_height = 0, got_channels = 0;
    assert_int_equal(px_png_grid(&ctx, pixels, layout, &png, &bytes, &height, &width), PX_OK);
    assert_int_equal(height, grid[1] * (layout->height * grid[2] + 1) + 1);
    assert_int_equal(width, grid[0] * (layout->width * grid[2] + 1) + 1);
    assert_memory_equal(png, "\x89PNG\r\n\x1a\n", 8);

    uint8_t *got = stbi_load_from_memory(png, (int)bytes, &got_width, &got_height, &got_channels, 0);
    assert_non_null(got);
    assert_int_equal(got_width, width);
    assert_int_equal(got_height, height);
    assert_int_equal(got_channels, layout->channels);
    for (int i = 0; i < height * width * got_channels; i++) {
        int c = i % got_channels, x = i / got_channels % width, y = i / got_channels / width;
        uint8_t want = expected(layout, grid, pixels, y, x, c);
        if (got[i] != want) fail_msg("pixel (%d, %d) channel %d: found %d, expected %d", y, x, c, got[i], want);
    }
    stbi_image_free(got);
    free(png);
}

static void grids_hold_their_images(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++) check_grid(&layouts[i], grids[i]);
}

static void impossible_grids_are_refused(void **state) {
    (void)state;
    static const px_grid_layout wrong[] = {
        {.images = 0, .height = 1, .width = 1, .channels = 1},
        {.images = 1, .height = 1, .width = 1, .channels = 2},
        {.images = 1000000, .height = 32, .width = 32, .channels = 3},
        {.images = INT32_MAX,
         .height = INT32_MAX,
         .width = INT32_MAX,
         .channels = 3,
         .columns = INT32_MAX,
         .scale = INT32_MAX},
    };
    void *png;
    size_t bytes;
    int height, width;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(px_png_grid(&ctx, NULL, &wrong[i], &png, &bytes, &height, &width), PX_ERR_SHAPE);
    }
}

static void grid_is_written_to_a_file(void **state) {
    (void)state;
    const uint8_t pixels[4] = {0, 80, 160, 255};
    const px_grid_layout layout = {.images = 4, .height = 1, .width = 1, .channels = 1, .scale = 1};
    char path[128];
    int height, width, channels;
    snprintf(path, sizeof path, "%s/grid.png", px_test_folder);
    assert_int_equal(px_png_grid_write(&ctx, path, pixels, &layout), PX_OK);
    assert_true(stbi_info(path, &width, &height, &channels));
    assert_int_equal(height, 5);
    assert_int_equal(width, 5);
    assert_int_equal(px_png_grid_write(&ctx, "/nowhere/grid.png", pixels, &layout), PX_ERR_FILE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grids_hold_their_images),
        cmocka_unit_test(impossible_grids_are_refused),
        cmocka_unit_test_setup_teardown(grid_is_written_to_a_file, px_test_folder_make, px_test_folder_remove),
    };
    return cmocka_run_group_tests_name("image_grid", tests, NULL, NULL);
}

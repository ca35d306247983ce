/* The meaning of bytes: intensities or levels (data.values). */
#include "tests/support/data_files.h"
#include "host/data/formats.h"
#include "pixelrnn/loader.h"
#include <sys/stat.h>

/* Writes a .npy of images of 2 x 2. */
static const char *values_write(const char *name, const uint8_t *bytes, size_t images) {
    static blob b;
    char dictionary[96];
    snprintf(dictionary, sizeof dictionary, NPY_IMAGES("(%zu, 2, 2)"), images);
    npy_make(&b, dictionary, 4 * images);
    memcpy(b.bytes + b.size - 4 * images, bytes, 4 * images);
    return write_plain(name, &b);
}

static void check_values(const char *path, px_source_options options, const uint8_t *expected, size_t images) {
    for (int a = 0; a < 2; a++) {
        options.access = accesses[a];
        px_source *source = open_source(path, options);
        for (size_t n = 0; n < images; n++) check_image(source, n, expected + 4 * n);
        px_source_close(source);
    }
}

static void levels_are_not_taken_for_intensities(void **state) {
    (void)state;
    static const uint8_t binary[8] = {0, 0, 0, 0, 0, 1, 1, 0}, as_intensities[8] = {0, 0, 0, 0, 0, 255, 255, 0};
    const char *path = values_write("binary.npy", binary, 2);
    const px_source_options auto_2 = {.levels = 2}, levels_2 = {.levels = 2, .values = PX_VALUES_LEVELS};
    check_refused(
        path, auto_2, PX_ERR_CONFIG,
        "binary.npy: found no byte above 1 in 2 images, which is level 0 of 2 everywhere, expected intensities "
        "up to 255; data.values: levels takes the bytes as levels, data.values: intensity takes them as they "
        "are");
    check_values(path, levels_2, as_intensities, 2);
    check_values(path, (px_source_options){.levels = 2, .values = PX_VALUES_INTENSITY}, binary, 2);
    check_values(path, (px_source_options){.levels = 256}, binary, 2);
    check_values(path, (px_source_options){0}, binary, 2);

    const uint8_t zeros[8] = {0};
    path = values_write("zeros.npy", zeros, 2);
    check_values(path, auto_2, zeros, 2);
    check_values(path, levels_2, zeros, 2);

    const uint8_t dim[8] = {0, 0, 0, 3, 127, 0, 0, 0}, bright[8] = {0, 0, 0, 3, 128, 0, 0, 0};
    path = values_write("dim.npy", dim, 2);
    check_refused(path, auto_2, PX_ERR_CONFIG,
                  "found no byte above 127 in 2 images, which is level 0 of 2 everywhere, expected intensities up to "
                  "255; data.levels: 128 and data.values: levels take");
    check_values(path, (px_source_options){.levels = 3}, dim, 2);
    px_source *source = open_source(path, levels_2);
    check_unreadable(source, 0, PX_ERR_CONFIG,
                     "dim.npy: found value 3 in image 0, expected levels 0 to 1; data.values: intensity");
    px_source_close(source);
    check_values(values_write("bright.npy", bright, 2), auto_2, bright, 2);
}

/* Each level becomes the intensity that quantises back to it, also in folders and zips, and after conversion to grey.
 */
static void levels_become_intensities(void **state) {
    (void)state;
    static blob array;
    static zip_file zip;
    const px_source_options options = {.levels = 7, .values = PX_VALUES_LEVELS};
    const uint8_t codes[4] = {0, 1, 5, 6};
    uint8_t expected[4];
    for (int i = 0; i < 4; i++) {
        expected[i] = px_dequantise(codes[i], 7);
        assert_int_equal(px_quantise(expected[i], 7), codes[i]);
    }
    assert_int_equal(mkdir(px_test_path("codes"), 0777), 0);
    check_values(values_write("codes/codes.npy", codes, 1), options, expected, 1);
    check_values(px_test_path("codes"), options, expected, 1);
    npy_make(&array, NPY_IMAGES("(1, 2, 2)"), 4);
    memcpy(array.bytes + array.size - 4, codes, 4);
    zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true});
    check_values(zip_write("codes.npz", &zip), options, expected, 1);
    const char *path = px_test_path("codes/codes.npy");
    px_context ctx = {""};
    px_source *source;
    assert_int_equal(px_source_open_all(&ctx, 1, &path, &options, &source), PX_OK);
    check_image(source, 0, expected);
    px_source_close(source);
    source = open_source(path, (px_source_options){.levels = 6, .values = PX_VALUES_LEVELS});
    check_unreadable(source, 0, PX_ERR_CONFIG, "codes.npy: found value 6 in image 0, expected levels 0 to 5");
    px_source_close(source);
}

/* A source that is read in order is reopened after images were read to check their values. */
static void checking_values_loses_no_image(void **state) {
    (void)state;
    static blob array;
    static zip_file zip;
    const uint8_t expected[12] = {0, 0, 0, 0, 0, 1, 0, 0, 200, 0, 0, 0};
    npy_make(&array, NPY_IMAGES("(3, 2, 2)"), 12);
    memcpy(array.bytes + array.size - 12, expected, 12);
    zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true});
    check_values(zip_write("dark.npz", &zip), (px_source_options){.levels = 2}, expected, 3);
    const uint8_t second[12] = {0, 0, 0, 0, 200, 0, 0, 0, 0, 1, 0, 0};
    memcpy(array.bytes + array.size - 12, second, 12);
    zip = (zip_file){.members = 0};
    zip_add(&zip, "data.npy", array.bytes, array.size, (zip_lie){.deflate = true});
    check_values(zip_write("second.npz", &zip), (px_source_options){.levels = 2}, second, 3);
}

/* A source that counts its reads. All bytes of image n are value[n]. */
typedef struct counted {
    px_source base;
    size_t reads;
    const uint8_t *value;
} counted;

static px_status read_counted(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    counted *self = (counted *)source;
    (void)ctx;
    self->reads++;
    if (self->value[index] == 1) return px_fail(ctx, PX_ERR_FORMAT, "damaged");
    memset(pixels, self->value[index], 4);
    return PX_OK;
}

/* The check stops at the first byte that reaches level 1, so it does not read all of a large set. */
static void checking_values_reads_few_images(void **state) {
    (void)state;
    static const struct {
        int levels;
        px_values values;
        uint8_t value[4];
        size_t reads;
    } cases[] = {
        {2, PX_VALUES_AUTO, {200, 0, 0, 0}, 1}, {2, PX_VALUES_AUTO, {0, 128, 0, 0}, 2},
        {2, PX_VALUES_AUTO, {0, 1, 130, 0}, 3}, {2, PX_VALUES_AUTO, {0, 0, 0, 0}, 4},
        {256, PX_VALUES_AUTO, {2, 2, 2, 2}, 0}, {0, PX_VALUES_AUTO, {2, 2, 2, 2}, 0},
        {2, PX_VALUES_LEVELS, {2, 2, 2, 2}, 0}, {2, PX_VALUES_INTENSITY, {2, 2, 2, 2}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        px_context ctx = {""};
        size_t seen;
        counted source = {.base = {.count = 4, .height = 2, .width = 2, .channels = 1, .read = read_counted},
                          .value = cases[i].value};
        const px_source_options options = {.levels = cases[i].levels, .values = cases[i].values};
        if (px_values_check(&ctx, &source.base, &options, &seen) != PX_OK) fail_msg("%zu: %s", i, ctx.message);
        assert_int_equal(source.reads, cases[i].reads);
        assert_int_equal(seen, cases[i].reads);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_not_taken_for_intensities),
        cmocka_unit_test(levels_become_intensities),
        cmocka_unit_test(checking_values_loses_no_image),
        cmocka_unit_test(checking_values_reads_few_images),
    };
    return cmocka_run_group_tests_name("data_values", tests, px_test_folder_make, px_test_folder_remove);
}

/* Arrays of images in .npy files: types, shapes and element orders, and the conversion of sizes and channels. */
#include "tests/support/data_files.h"
#include "host/data/formats.h"

static void npy_types_are_read(void **state) {
    (void)state;
    static const char *const types[] = {"|u1", "<u1", ">u1", "=u1", "u1", "B", "|B"}, *const bools[] = {"|b1", "b1",
                                                                                                        "?"};
    static blob b;
    char dictionary[96];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (3, 2, 2), }",
                 types[i]);
        npy_make(&b, dictionary, 12);
        check_interleaved(write_plain("type.npy", &b), (px_source_options){0}, 1);
    }
    for (size_t i = 0; i < sizeof bools / sizeof *bools; i++) { /* black and white, whatever bytes are said to be */
        snprintf(dictionary, sizeof dictionary, "{'descr': '%s', 'fortran_order': False, 'shape': (1, 2, 2), }",
                 bools[i]);
        npy_make(&b, dictionary, 4);
        memcpy(b.bytes + b.size - 4, (const uint8_t[]){0, 1, 1, 0}, 4);
        const char *path = write_plain("bool.npy", &b);
        for (px_values values = PX_VALUES_AUTO; values <= PX_VALUES_LEVELS; values++) {
            px_source *source = open_source(path, (px_source_options){.levels = 2, .values = values});
            check_image(source, 0, (const uint8_t[]){0, 255, 255, 0});
            px_source_close(source);
        }
    }
}

static void npy_rows_are_images(void **state) {
    (void)state;
    static blob b;
    npy_make(&b, NPY_IMAGES("(3, 4)"), 12);
    check_interleaved(write_plain("rows.npy", &b), (px_source_options){0}, 1);
    npy_make(&b, NPY_IMAGES("(3, 12)"), 36);
    check_planes(write_plain("planes.npy", &b));
}

static void square_numbers_have_a_side(void **state) {
    (void)state;
    for (size_t side = 1; side <= PX_MAX_SIDE; side += side < 300 ? 1 : 997) {
        assert_int_equal(px_square_side(side * side), side);
        assert_int_equal(px_square_side(side * side + 1), 0);
    }
    assert_int_equal(px_square_side((size_t)PX_MAX_SIDE * PX_MAX_SIDE), PX_MAX_SIDE);
    assert_int_equal(px_square_side((size_t)(PX_MAX_SIDE + 1) * (PX_MAX_SIDE + 1)), 0);
}

/* The length of the header needs more than two bytes. */
static void long_npy_headers_are_read(void **state) {
    (void)state;
    enum { LENGTH = 1 << 16 };
    static blob b;
    static const char dictionary[] = NPY_IMAGES("(3, 2, 2)");
    append(&b, "\x93NUMPY\2", 8);
    append_little(&b, LENGTH, 4);
    append(&b, dictionary, sizeof dictionary - 1);
    while (b.size < 12 + LENGTH) append(&b, " ", 1);
    for (int i = 0; i < 12; i++) append_little(&b, (uint64_t)i, 1);
    check_interleaved(write_plain("long.npy", &b), (px_source_options){0}, 1);
}

/* Checks the images of a file whose elements are 0, 1, 2, ... in Fortran order: element [n][i][j][k] is
 * n + N (i + H (j + W k)). */
static void check_fortran(const char *path, int channels, bool rows) {
    for (int a = 0; a < 2; a++) {
        px_source *source = open_source(path, (px_source_options){.access = accesses[a]});
        check_sizes(source, 3, 2, 2, channels);
        for (size_t n = 0; n < 3; n++) {
            uint8_t expected[12];
            for (size_t i = 0; i < 2; i++)
                for (size_t j = 0; j < 2; j++)
                    for (size_t k = 0; k < (size_t)channels; k++)
                        expected[(i * 2 + j) * (size_t)channels + k] =
                            (uint8_t)(n + 3 * (rows ? k * 4 + i * 2 + j : i + 2 * (j + 2 * k)));
            check_image(source, n, expected);
        }
        px_source_close(source);
    }
}

static void fortran_order_is_read(void **state) {
    (void)state;
    static const struct {
        const char *shape;
        int channels;
        bool rows;
    } cases[] = {{"(3, 2, 2)", 1, false}, {"(3, 2, 2, 3)", 3, false}, {"(3, 12)", 3, true}, {"(3, 4)", 1, true}};
    static blob b;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dictionary[96];
        snprintf(dictionary, sizeof dictionary, "{'descr': '|u1', 'fortran_order': True, 'shape': %s, }",
                 cases[i].shape);
        npy_make(&b, dictionary, 12 * (size_t)cases[i].channels);
        check_fortran(write_plain("fortran.npy", &b), cases[i].channels, cases[i].rows);
        check_fortran(write_gzip("fortran.npy.gz", &b), cases[i].channels, cases[i].rows);
        for (int deflate = 0; deflate < 2; deflate++) {
            static zip_file zip;
            zip = (zip_file){.members = 0};
            zip_add(&zip, "data.npy", b.bytes, b.size, (zip_lie){.deflate = deflate});
            check_fortran(zip_write("fortran.npz", &zip), cases[i].channels, cases[i].rows);
        }
    }
}

/* So many images that the columns are read in several windows. */
static void large_fortran_order_is_read(void **state) {
    (void)state;
    enum { IMAGES = 200000, COLUMNS = 9 };
    static blob b;
    npy_make(&b, "{'descr': '|u1', 'fortran_order': True, 'shape': (200000, 3, 3), }", 0);
    for (size_t i = 0; i < (size_t)IMAGES * COLUMNS; i++) append_little(&b, i % 251, 1);
    px_source *source = open_source(write_plain("large.npy", &b), (px_source_options){0});
    for (size_t n = 0; n < IMAGES; n += 19999) {
        uint8_t expected[COLUMNS];
        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 3; j++) expected[3 * i + j] = (uint8_t)((n + IMAGES * (i + 3 * j)) % 251);
        check_image(source, n, expected);
    }
    px_source_close(source);
}

static void channels_are_converted(void **state) {
    (void)state;
    static blob b;
    npy_make(&b, NPY_IMAGES("(1, 1, 2, 3)"), 6);
    px_source *source = open_source(write_plain("rgb.npy", &b), (px_source_options){.channels = 1});
    check_sizes(source, 1, 1, 2, 1);
    check_image(source, 0, (uint8_t[]){(150 + 2 * 29) / 256, (3 * 77 + 4 * 150 + 5 * 29) / 256});
    px_source_close(source);
    npy_make(&b, NPY_IMAGES("(1, 1, 2)"), 2);
    source = open_source(write_plain("grey.npy", &b), (px_source_options){.channels = 3});
    check_sizes(source, 1, 1, 2, 3);
    check_image(source, 0, (uint8_t[]){0, 0, 0, 1, 1, 1});
    px_source_close(source);
    check_refused(px_test_path("grey.npy"), (px_source_options){.channels = 2}, PX_ERR_CONFIG,
                  "channels is 2, expected 0 (as stored), 1 or 3");
}

static void sizes_are_converted(void **state) {
    (void)state;
    static blob b;
    px_context ctx = {""};
    npy_make(&b, NPY_IMAGES("(1, 4, 6)"), 24); /* its middle: 1..4, 7..10, 13..16, 19..22 */
    const char *path = write_plain("wide.npy", &b);
    px_source *converted, *source = open_source(path, (px_source_options){0});
    assert_int_equal(px_source_convert(&ctx, source, 5, 0, &converted), PX_ERR_CONFIG);
    assert_non_null(strstr(ctx.message, "found images of 4 x 6, expected at least 5 x 5"));
    assert_int_equal(px_source_convert(&ctx, source, 2, 0, &converted), PX_OK);
    check_sizes(converted, 1, 2, 2, 1);
    check_image(converted, 0, (uint8_t[]){(1 + 2 + 7 + 8 + 2) / 4, 7, 17, 19});
    px_source_close(converted);
    source = open_source(path, (px_source_options){0});
    assert_int_equal(px_source_convert(&ctx, source, 3, 0, &converted), PX_OK);
    /* The pixels are 1 + column + 6 row, and columns weigh 3 1 - -, - 2 2 -, - - 1 3: their means are 1/4, 3/2, 11/4.
     */
    check_image(converted, 0, (uint8_t[]){3, 4, 5, 10, 12, 13, 18, 19, 20});
    px_source_close(converted);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npy_types_are_read),         cmocka_unit_test(npy_rows_are_images),
        cmocka_unit_test(square_numbers_have_a_side), cmocka_unit_test(long_npy_headers_are_read),
        cmocka_unit_test(fortran_order_is_read),      cmocka_unit_test(large_fortran_order_is_read),
        cmocka_unit_test(channels_are_converted),     cmocka_unit_test(sizes_are_converted),
    };
    return cmocka_run_group_tests_name("data_npy", tests, px_test_folder_make, px_test_folder_remove);
}

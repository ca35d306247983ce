/* safetensors files: round trips, a full disk, damaged and hostile headers. */
#include "tests/support/files.h"
#include "host/io/safetensors.h"
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const float weights[6] = {1, -2, 3.5f, 0, 1e-30f, 6};
static const double exact[2] = {0.1, -1e300};
static const int64_t steps[1] = {-9007199254740993};
static const uint8_t levels[3] = {0, 127, 255};

/* The U8 tensor puts the ones after it off their alignment. */
static const px_stored_tensor samples[] = {
    {"stem.weight", PX_DTYPE_F32, 2, {2, 3}, weights},
    {"bytes", PX_DTYPE_U8, 1, {3}, levels},
    {"exact", PX_DTYPE_F64, 1, {2}, exact},
    {"empty", PX_DTYPE_F32, 3, {2, 0, 5}, NULL},
    {"step", PX_DTYPE_I64, 0, {0}, steps},
};
enum { SAMPLES = sizeof samples / sizeof *samples };

static const px_metadata notes[] = {{"format", "pixelrnn"}, {"config", "name: \"a\\b\"\n\ttab: é\n"}, {"empty", ""}};
enum { NOTES = sizeof notes / sizeof *notes };

static void safetensors_round_trip(void **state) {
    (void)state;
    assert_int_equal(px_safetensors_write(&ctx, px_test_path("m"), samples, SAMPLES, notes, NOTES), PX_OK);
    px_safetensors *file;
    assert_int_equal(px_safetensors_open(&ctx, px_test_path("m"), &file), PX_OK);
    assert_int_equal(px_safetensors_count(file), SAMPLES);
    for (int i = 0; i < NOTES; i++) {
        assert_string_equal(px_safetensors_metadata(file, notes[i].key), notes[i].value);
    }
    assert_null(px_safetensors_metadata(file, "Format"));
    assert_null(px_safetensors_find(file, "stem"));
    assert_null(px_safetensors_find(file, "__metadata__"));

    for (int i = 0; i < SAMPLES; i++) {
        const px_stored_tensor *want = &samples[i], *got = px_safetensors_find(file, want->name);
        assert_ptr_equal(got, px_safetensors_at(file, i));
        assert_int_equal(got->dtype, want->dtype);
        assert_int_equal(got->rank, want->rank);
        assert_memory_equal(got->shape, want->shape, (size_t)want->rank * sizeof *want->shape);
        for (size_t e = 0; e < px_stored_tensor_elements(want); e++) {
            assert_true(px_stored_tensor_value(got, e) == px_stored_tensor_value(want, e));
        }
    }
    const px_stored_tensor *aligned = px_safetensors_find(file, "exact");
    assert_int_equal((uintptr_t)aligned->data % 8, 0);
    assert_int_equal((uintptr_t)px_safetensors_at(file, 0)->data % 8, 0);
    px_safetensors_close(file);
    px_safetensors_close(NULL);
}

static size_t read_bytes(const char *path, char *data, size_t limit) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t bytes = fread(data, 1, limit, file);
    fclose(file);
    return bytes;
}

static void safetensors_are_deterministic(void **state) {
    (void)state;
    char first[4096], second[4096];
    assert_int_equal(px_safetensors_write(&ctx, px_test_path("one"), samples, SAMPLES, notes, NOTES), PX_OK);
    assert_int_equal(px_safetensors_write(&ctx, px_test_path("two"), samples, SAMPLES, notes, NOTES), PX_OK);
    size_t bytes = read_bytes(px_test_path("one"), first, sizeof first);
    assert_int_equal(read_bytes(px_test_path("two"), second, sizeof second), bytes);
    assert_memory_equal(first, second, bytes);
}

/* The header ends with 0 to 7 blanks. */
static void safetensors_are_padded(void **state) {
    (void)state;
    const double value = 7;
    for (int length = 1; length <= 8; length++) {
        px_stored_tensor tensor = {.dtype = PX_DTYPE_F64, .data = &value};
        memset(tensor.name, 'x', (size_t)length);
        assert_int_equal(px_safetensors_write(&ctx, px_test_path("padded"), &tensor, 1, NULL, 0), PX_OK);
        px_safetensors *file;
        if (px_safetensors_open(&ctx, px_test_path("padded"), &file) != PX_OK)
            fail_msg("%d letters: %s", length, ctx.message);
        assert_true(px_stored_tensor_value(px_safetensors_at(file, 0), 0) == value);
        px_safetensors_close(file);
    }
}

static void safetensors_without_tensors(void **state) {
    (void)state;
    assert_int_equal(px_safetensors_write(&ctx, px_test_path("none"), NULL, 0, NULL, 0), PX_OK);
    px_safetensors *file;
    assert_int_equal(px_safetensors_open(&ctx, px_test_path("none"), &file), PX_OK);
    assert_int_equal(px_safetensors_count(file), 0);
    assert_null(px_safetensors_metadata(file, "format"));
    px_safetensors_close(file);
}

static void safetensors_on_a_full_disk(void **state) {
    (void)state;
    if (!px_file_exists("/dev/full")) {
        print_message("SKIP: no /dev/full to stand for a full disk\n");
        skip();
    }
    put(px_test_path("m"), "old", 3);
    assert_int_equal(symlink("/dev/full", px_test_path("m.partial")), 0);
    assert_int_equal(px_safetensors_write(&ctx, px_test_path("m"), samples, SAMPLES, notes, NOTES), PX_ERR_FILE);
    assert_message("/m: No space left on device");
    assert_text(px_test_path("m"), "old");
    assert_false(px_file_exists(px_test_path("m.partial")));
}

/* ---------------------------------------------------------------- safetensors: what we are given */

#define F32(shape, offsets) "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(shape, offsets) "{\"w\":" F32(shape, offsets) "}"
#define TEN                 "0123456789"
#define HUNDRED             TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct {
    const char *header;
    size_t data;      /* bytes after it */
    const char *part; /* of the message; NULL: a good file */
} headers[] = {
    {ONE("[1]", "[0,4]"), 4, NULL},
    {ONE("[]", "[0,4]"), 4, NULL},
    {" " ONE("[1]", "[0,4]") " \n", 4, NULL},
    {"{\"b\":" F32("[1]", "[4,8]") ",\"a\":" F32("[1]", "[0,4]") "}", 8, NULL},
    {"{\"b\":" F32("[1]", "[0,4]") ",\"a\":" F32("[0]", "[0,0]") "}", 4, NULL},
    {"{}", 0, NULL},
    {"", 0, "not a JSON object"},
    {"[]", 0, "not a JSON object"},
    {"{\"w\":", 0, "not a JSON object"},
    {"{} {}", 0, "found byte 3 after the header's JSON"},
    {"{\"w\":3}", 0, "tensor w is not an object"},
    {"{\"w\":{}}", 0, "tensor w is not an object of dtype, shape and data_offsets"},
    {"{\"w\":" F32("[1]", "[0,4]") ",\"w\":" F32("[1]", "[4,8]") "}", 8, "tensor w occurs twice"},
    {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "metadata key a occurs twice"},
    {"{\"__metadata__\":{\"a\":1}}", 0, "__metadata__ a is not a string"},
    {"{\"__metadata__\":7}", 0, "__metadata__ is not an object"},
    {"{\"w\\n\":" F32("[1]", "[0,4]") "}", 4, "control characters"},
    {"{\"" HUNDRED "\":" F32("[1]", "[0,4]") "}", 4, "a name of more than 95 bytes"},
    {"{\"w\":{\"dtype\":\"BF16\",\"shape\":[1],\"data_offsets\":[0,2]}}", 2, "tensor w has dtype BF16, expected F32"},
    {"{\"w\":{\"dtype\":1,\"shape\":[1],\"data_offsets\":[0,2]}}", 2, "tensor w has dtype (none)"},
    {"{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "tensor w has no shape"},
    {ONE("4", "[0,4]"), 4, "tensor w has no shape"},
    {ONE("[-1]", "[0,4]"), 4, "dimension 1 of the shape is not a size"},
    {ONE("[1,1.5]", "[0,4]"), 4, "dimension 2 of the shape is not a size"},
    {ONE("[1e400]", "[0,4]"), 4, "dimension 1 of the shape is not a size"},
    {ONE("[\"1\"]", "[0,4]"), 4, "dimension 1 of the shape is not a size"},
    {ONE("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "more than 8 dimensions"},
    {ONE("[4294967296,4294967296]", "[0,0]"), 0, "the shape's product is too large"},
    {ONE("[9007199254740992,9007199254740992,0]", "[0,0]"), 0, "the shape's product is too large"},
    {ONE("[1]", "[0]"), 4, "data_offsets are not two offsets"},
    {ONE("[1]", "[0,4,8]"), 4, "data_offsets are not two offsets"},
    {ONE("[1]", "[-4,0]"), 4, "data_offsets are not two offsets"},
    {ONE("[1]", "[4,0]"), 4, "data_offsets [4, 0] in 4 bytes"},
    {ONE("[2]", "[0,8]"), 4, "data_offsets [0, 8] in 4 bytes"},
    {ONE("[1]", "[0,8]"), 8, "tensor w: found 8 bytes, expected 4 for its dtype and shape"},
    {ONE("[1]", "[0,4]"), 5, "found 5 bytes of data, expected 4 for its tensors"},
    {ONE("[1]", "[4,8]"), 8, "tensor w starts at byte 4, leaving a hole"},
    {"{\"a\":" F32("[2]", "[0,8]") ",\"b\":" F32("[1]", "[4,8]") "}", 8, "tensor b starts at byte 4, inside"},
};

/* Writes length, header and zeros, and opens the file. */
static px_status open_raw(uint64_t length, const char *header, size_t header_bytes, size_t data) {
    static const char zeros[64];
    FILE *file = fopen(px_test_path("raw"), "wb");
    assert_non_null(file);
    fwrite(&length, sizeof length, 1, file);
    fwrite(header, 1, header_bytes, file);
    fwrite(zeros, 1, data, file);
    fclose(file);
    px_safetensors *opened;
    px_status status = px_safetensors_open(&ctx, px_test_path("raw"), &opened);
    if (status != PX_OK) assert_null(opened);
    px_safetensors_close(opened);
    return status;
}

static void hostile_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        const char *header = headers[i].header, *part = headers[i].part;
        px_status status = open_raw(strlen(header), header, strlen(header), headers[i].data);
        if (status != (part ? PX_ERR_FORMAT : PX_OK)) fail_msg("%s: status %d (%s)", header, status, ctx.message);
        if (part) assert_message(part);
        if (part) assert_message("/raw: ");
    }
}

/* A file of another kind is named. */
static void other_kinds_are_named(void **state) {
    (void)state;
    static const struct {
        const char *bytes, *words;
        size_t size;
    } cases[] = {
        {"model:\n  kind: row_lstm\n", "found a text file (such as YAML), expected a safetensors file", 24},
        {"seed: 1", "found a text file (such as YAML), expected a safetensors file", 7},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "found a Git LFS pointer in place of the file",
         56},
        {"PK\3\4\24\0\0\0\10\0 archive/data.pkl", "found a zip archive (.npz, or PyTorch's .pt), expected", 28},
        {"\n<!doctype HTML><html>", "found an HTML page, expected a safetensors file", 22},
        {"\x80\2\x8a\nl\xfc\x9c"
         "F",
         "found a Python pickle, expected a safetensors file", 8},
        {"\x93NUMPY\1\0v\0{", "found a NumPy array (.npy), expected a safetensors file", 11},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        px_safetensors *file;
        put(px_test_path("other"), cases[i].bytes, cases[i].size);
        assert_int_equal(px_safetensors_open(&ctx, px_test_path("other"), &file), PX_ERR_FORMAT);
        assert_message(cases[i].words);
    }
}

static void hostile_lengths(void **state) {
    (void)state;
    const uint64_t lengths[] = {3, 1000, 100000001, INT64_MAX, UINT64_MAX, UINT64_MAX - 7};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(open_raw(lengths[i], "{}", 2, 0), PX_ERR_FORMAT);
        assert_message("a header of ");
    }
    put(px_test_path("short"), "\2\0\0", 3);
    px_safetensors *file;
    assert_int_equal(px_safetensors_open(&ctx, px_test_path("short"), &file), PX_ERR_FORMAT);
    assert_message("3 bytes; a safetensors file starts with");
    put(px_test_path("short"), "", 0);
    assert_int_equal(px_safetensors_open(&ctx, px_test_path("short"), &file), PX_ERR_FORMAT);
    assert_int_equal(px_safetensors_open(&ctx, px_test_path("nowhere"), &file), PX_ERR_FILE);
    assert_message("nowhere: cannot be opened: No such file or directory");
    assert_int_equal(px_safetensors_open(&ctx, px_test_folder, &file), PX_ERR_FILE);
    assert_message("found a folder, a pipe or a device, expected a file");
}

static void deep_header_is_refused(void **state) {
    (void)state;
    enum { DEPTH = 1000000 };
    char *header = malloc(DEPTH);
    assert_non_null(header);
    memset(header, '[', DEPTH);
    memcpy(header, "{\"w\":", 5);
    assert_int_equal(open_raw(DEPTH, header, DEPTH, 0), PX_ERR_FORMAT);
    assert_message("not a JSON object");
    free(header);
}

/* No prefix of a good file is a good file, and no byte of it that goes wrong makes the reader go astray. */
static void damaged_files(void **state) {
    (void)state;
    char good[4096], bad[4096];
    assert_int_equal(px_safetensors_write(&ctx, px_test_path("m"), samples, SAMPLES, notes, NOTES), PX_OK);
    size_t bytes = read_bytes(px_test_path("m"), good, sizeof good);
    uint64_t length;
    memcpy(&length, good, sizeof length);
    for (size_t cut = sizeof length; cut < bytes; cut++) {
        assert_int_equal(open_raw(length, good + sizeof length, cut - sizeof length, 0), PX_ERR_FORMAT);
    }
    for (size_t i = sizeof length; i < sizeof length + length; i++) {
        memcpy(bad, good, bytes);
        bad[i] = (char)(bad[i] ^ (1 << i % 8));
        px_status status = open_raw(length, bad + sizeof length, bytes - sizeof length, 0);
        assert_true(status == PX_OK || status == PX_ERR_FORMAT);
    }
}

static void golden_files_open(void **state) {
    (void)state;
    glob_t found;
    if (glob("tests/golden/*/*.safetensors", 0, NULL, &found) != 0) {
        print_message("SKIP: no golden files below tests/golden\n");
        skip();
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        px_safetensors *file;
        if (px_safetensors_open(&ctx, found.gl_pathv[i], &file) != PX_OK) fail_msg("%s", ctx.message);
        assert_true(px_safetensors_count(file) > 0);
        px_safetensors_close(file);
    }
    globfree(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors_round_trip),     cmocka_unit_test(safetensors_are_deterministic),
        cmocka_unit_test(safetensors_are_padded),     cmocka_unit_test(safetensors_without_tensors),
        cmocka_unit_test(safetensors_on_a_full_disk), cmocka_unit_test(hostile_headers),
        cmocka_unit_test(other_kinds_are_named),      cmocka_unit_test(hostile_lengths),
        cmocka_unit_test(deep_header_is_refused),     cmocka_unit_test(damaged_files),
        cmocka_unit_test(golden_files_open),
    };
    return cmocka_run_group_tests_name("safetensors", tests, px_test_folder_make, px_test_folder_remove);
}

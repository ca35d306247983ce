/* Model files: a saved model is loaded unchanged, and the error message of an invalid file names the fault. */
#include "pixelrnn/model_file.h"
#include "host/train/checkpoint.h"
#include "host/train/optimizer.h"
#include "tests/support/model.h"
#include "host/model/flat_file.h"
#include <math.h>
#include <omp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct fixture {
    px_context ctx;
    px_device *device;
    px_config config;
    px_model_spec spec;
    px_model *model;
    char folder[64], good[96], path[96];
} fixture;

static int setup(void **state) {
    static fixture f;
    f = (fixture){0};
    *state = &f;
    f.device = px_test_device(&f.ctx);
    px_config_default(&f.config);
    f.config.model.kind = PX_MODEL_DIAGONAL_BILSTM;
    f.config.model.layers = 2, f.config.model.hidden = 5, f.config.model.head = 7;
    f.config.model.skip = true;
    f.config.data.levels = 5;
    f.spec = px_model_spec_from(&f.config, 4, 6, 3);
    f.model = px_test_model(f.device, &f.spec, 3);
    strcpy(f.folder, "/tmp/pixelrnn_model_XXXXXX");
    if (!mkdtemp(f.folder)) return -1;
    snprintf(f.good, sizeof f.good, "%s/good.safetensors", f.folder);
    snprintf(f.path, sizeof f.path, "%s/model.safetensors", f.folder);
    assert_ok(&f.ctx, px_model_file_save(f.model, px_model_weights(f.model), &f.config, 1234, f.good));
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    unlink(f->good);
    unlink(f->path);
    rmdir(f->folder);
    px_model_destroy(f->model);
    px_device_close(f->device);
    return 0;
}

/* ---- Round trips ---- */

/* Files hold float32, so the double build loads weights that are rounded to float32. */
static void expect_weights(fixture *f, px_tensor found_tensor, px_tensor want_tensor) {
    px_real *found = px_test_download(f->device, found_tensor), *want = px_test_download(f->device, want_tensor);
    for (size_t e = 0; e < px_model_parameters(f->model)->elements; e++)
        if (found[e] != (px_real)(float)want[e])
            fail_msg("element %zu was saved as %.9g and loaded as %.9g; expected the same", e,
                     (double)(px_real)(float)want[e], (double)found[e]);
    free(found);
    free(want);
}

static void test_round_trip(void **state) {
    fixture *f = *state;
    px_model_info info;
    px_model *model;
    assert_ok(&f->ctx, px_model_file_load(f->device, f->good, &info, &model));
    assert_memory_equal(&info.config, &f->config, sizeof info.config);
    assert_int_equal(info.step, 1234);
    assert_string_equal(px_test_name(px_model_spec_of(model)), px_test_name(&info.spec));
    assert_true(info.spec.kind == f->spec.kind && info.spec.height == 4 && info.spec.width == 6 &&
                info.spec.channels == 3 && info.spec.levels == 5 && info.spec.skip == f->spec.skip);
    expect_weights(f, px_model_weights(model), px_model_weights(f->model));

    assert_ok(&f->ctx, px_model_initialise(model, 99));
    assert_ok(&f->ctx, px_model_file_load_weights(f->good, model));
    expect_weights(f, px_model_weights(model), px_model_weights(f->model));
    px_model_destroy(model);
}

/* Two flat tensors in one file are loaded unchanged. A file with more tensors than asked for is refused. */
static void test_flat_tensors(void **state) {
    fixture *f = *state;
    px_model *other = px_test_model(f->device, &f->spec, 4), *to[2];
    const px_tensor flats[] = {px_model_weights(f->model), px_model_weights(other)};
    px_named_flat named[] = {{"first.", flats[0]}, {"second.", flats[1]}};
    assert_ok(&f->ctx, px_flat_file_save(f->model, named, 2, NULL, 0, f->path));
    for (int i = 0; i < 2; i++) {
        to[i] = px_test_model(f->device, &f->spec, 5);
        named[i].flat = px_model_weights(to[i]);
    }
    assert_ok(&f->ctx, px_flat_file_load(f->model, named, 2, f->path));
    for (int i = 0; i < 2; i++) expect_weights(f, px_model_weights(to[i]), flats[i]);
    assert_int_equal(px_flat_file_load(f->model, named, 1, f->path), PX_ERR_FORMAT);
    for (int i = 0; i < 2; i++) px_model_destroy(to[i]);
    px_model_destroy(other);
}

static void test_find(void **state) {
    fixture *f = *state;
    char path[1024];
    assert_ok(&f->ctx, px_checkpoint_find_model(&f->ctx, f->good, path));
    assert_string_equal(path, f->good);
    unlink(f->path);
    assert_int_equal(px_checkpoint_find_model(&f->ctx, f->folder, path), PX_ERR_FILE);
    assert_non_null(strstr(f->ctx.message, "model.safetensors"));
    assert_ok(&f->ctx, px_model_file_save(f->model, px_model_weights(f->model), &f->config, 0, f->path));
    assert_ok(&f->ctx, px_checkpoint_find_model(&f->ctx, f->folder, path));
    assert_string_equal(path, f->path);
    assert_int_equal(px_checkpoint_find_model(&f->ctx, "/nonexistent", path), PX_ERR_FILE);
    assert_non_null(strstr(f->ctx.message, "/nonexistent"));
}

/* ---- Invalid files ---- */

enum { MAX_TENSORS = 64, METADATA = 7 };

/* The contents of a valid file, of which a test changes one part. It owns the bytes of the tensors. */
typedef struct file_contents {
    px_stored_tensor tensors[MAX_TENSORS];
    int count;
    px_metadata metadata[METADATA];
} file_contents;

static px_stored_tensor *tensor_named(file_contents *file, const char *name) {
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->tensors[i].name, name) == 0) return &file->tensors[i];
    fail_msg("the file has no tensor %s", name);
    return NULL;
}

static float *values_of(file_contents *file, const char *name) {
    return (float *)(uintptr_t)tensor_named(file, name)->data;
}

static void set_metadata(file_contents *file, const char *key, const char *value) {
    for (int i = 0; i < METADATA; i++)
        if (strcmp(file->metadata[i].key, key) == 0) {
            free(file->metadata[i].value);
            file->metadata[i].value = strdup(value);
        }
}

static void no_tensor(file_contents *f) { *tensor_named(f, "head.1.bias") = f->tensors[--f->count]; }
static void extra_tensor(file_contents *f) {
    f->tensors[f->count] = *tensor_named(f, "head.1.bias");
    f->tensors[f->count].data = NULL;
    f->tensors[f->count].shape[0] = 0;
    strcpy(f->tensors[f->count++].name, "head.3.bias");
}
static void renamed_tensor(file_contents *f) { strcpy(tensor_named(f, "stem.bias")->name, "stem.bios"); }
static void flat_shape(file_contents *f) {
    px_stored_tensor *t = tensor_named(f, "blocks.1.left.state_to_state.weight");
    t->shape[1] *= t->shape[2], t->rank = 2;
}
static void swapped_shape(file_contents *f) {
    px_stored_tensor *t = tensor_named(f, "head.0.weight");
    const int64_t rows = t->shape[0];
    t->shape[0] = t->shape[1], t->shape[1] = rows;
}
static void integer_tensor(file_contents *f) {
    px_stored_tensor *t = tensor_named(f, "stem.bias");
    t->dtype = PX_DTYPE_U8;
}
static void masked_value(file_contents *f) { values_of(f, "head.0.weight")[9] = -1e-30f; }
static void masked_tap(file_contents *f) { values_of(f, "stem.weight")[27 * 3] = 1; }
static void not_a_number(file_contents *f) { values_of(f, "blocks.0.right.input_to_state.bias")[19] = NAN; }
static void infinite(file_contents *f) { values_of(f, "head.2.weight")[0] = -INFINITY; }
static void masked_nan(file_contents *f) { values_of(f, "stem.weight")[27 * 3] = NAN; }
/* A value that is finite in the file, but not when rounded to float32. */
static void beyond_float(file_contents *f) {
    static double values[10];
    px_stored_tensor *t = tensor_named(f, "stem.bias");
    values[3] = sizeof(px_real) == sizeof(float) ? 1e300 : INFINITY;
    t->data = values, t->dtype = PX_DTYPE_F64;
}
static void other_format(file_contents *f) { set_metadata(f, "format", "pt"); }
static void no_format(file_contents *f) { strcpy(f->metadata[0].key, "fornat"); }
static void other_levels(file_contents *f) { set_metadata(f, "levels", "6"); }
static void word_levels(file_contents *f) { set_metadata(f, "levels", "five"); }
static void word_step(file_contents *f) { set_metadata(f, "step", "12x"); }
static void negative_step(file_contents *f) { set_metadata(f, "step", "-1"); }
static void huge_step(file_contents *f) { set_metadata(f, "step", "9223372036854775808"); }
static void empty_step(file_contents *f) { set_metadata(f, "step", ""); }
static void no_height(file_contents *f) { set_metadata(f, "height", "0"); }
static void huge_width(file_contents *f) { set_metadata(f, "width", "65536"); }
static void two_channels(file_contents *f) { set_metadata(f, "channels", "2"); }
static void one_channel(file_contents *f) { set_metadata(f, "channels", "1"); }
static void other_config(file_contents *f) {
    set_metadata(f, "config", "model: {kind: pixelcnn}\ndata: {levels: 5}\n");
}
static void broken_config(file_contents *f) { set_metadata(f, "config", "model: [\n"); }
static void unknown_key(file_contents *f) { set_metadata(f, "config", "model.kinds: pixelcnn\n"); }

/* A change to a valid file, and two strings that the error message must contain. */
typedef struct invalid_file {
    const char *name;
    void (*change)(file_contents *);
    px_status status;
    const char *says, *names;
} invalid_file;
static invalid_file invalid_files[] = {
    {"tensor missing", no_tensor, PX_ERR_FORMAT, "is missing", "head.1.bias"},
    {"tensor too many", extra_tensor, PX_ERR_FORMAT, "tensors, expected", "model.safetensors"},
    {"tensor renamed", renamed_tensor, PX_ERR_FORMAT, "is missing", "stem.bias"},
    {"shape flattened", flat_shape, PX_ERR_FORMAT, "expected F32 [20, 2, 5]", "blocks.1.left.state_to_state.weight"},
    {"shape transposed", swapped_shape, PX_ERR_FORMAT, "found F32 [10, 7], expected F32 [7, 10]", "head.0.weight"},
    {"wrong type", integer_tensor, PX_ERR_FORMAT, "found U8 [10], expected F32 [10]", "stem.bias"},
    {"masked element", masked_value, PX_ERR_FORMAT, "masked element 9 is -1e-30, expected 0", "head.0.weight"},
    {"masked tap", masked_tap, PX_ERR_FORMAT, "masked element 81 is 1, expected 0", "stem.weight"},
    {"not a number", not_a_number, PX_ERR_FORMAT, "element 19 is not finite", "blocks.0.right.input_to_state.bias"},
    {"infinite", infinite, PX_ERR_FORMAT, "element 0 is not finite", "head.2.weight"},
    {"masked and not a number", masked_nan, PX_ERR_FORMAT, "element 81 is not finite", "stem.weight"},
    {"finite as float64 alone", beyond_float, PX_ERR_FORMAT, "element 3 is not finite", "stem.bias"},
    {"other format", other_format, PX_ERR_FORMAT, "found \"pt\", expected \"pixelrnn\"", "format"},
    {"no format", no_format, PX_ERR_FORMAT, "metadata has no \"format\"", "model.safetensors"},
    {"levels not the config's", other_levels, PX_ERR_FORMAT, "found 6, expected 5", "levels"},
    {"levels a word", word_levels, PX_ERR_FORMAT, "found \"five\"", "levels"},
    {"step with a letter", word_step, PX_ERR_FORMAT, "found \"12x\"", "step"},
    {"step negative", negative_step, PX_ERR_FORMAT, "found \"-1\"", "step"},
    {"step beyond 64 bits", huge_step, PX_ERR_FORMAT, "found \"9223372036854775808\"", "step"},
    {"step empty", empty_step, PX_ERR_FORMAT, "found \"\"", "step"},
    {"no height", no_height, PX_ERR_CONFIG, "0 x 6", "images"},
    {"width too large", huge_width, PX_ERR_FORMAT, "found \"65536\"", "width"},
    {"two channels", two_channels, PX_ERR_CONFIG, "2 channels", "images"},
    {"channels not the tensors'", one_channel, PX_ERR_FORMAT, "expected F32 [10, 4, 7, 1]", "stem.weight"},
    {"config of another model", other_config, PX_ERR_FORMAT, "expected F32", "stem.weight"},
    {"config broken", broken_config, PX_ERR_CONFIG, "", "model.safetensors"},
    {"config with an unknown key", unknown_key, PX_ERR_CONFIG, "kinds", "model.safetensors"},
};
enum { INVALID_FILES = sizeof invalid_files / sizeof invalid_files[0] };

static void read_good(fixture *f, file_contents *file) {
    static const char *const keys[METADATA] = {"format", "config", "height", "width", "channels", "levels", "step"};
    px_safetensors *good;
    assert_ok(&f->ctx, px_safetensors_open(&f->ctx, f->good, &good));
    file->count = px_safetensors_count(good);
    assert_true(file->count < MAX_TENSORS);
    for (int i = 0; i < file->count; i++) {
        px_stored_tensor *t = &file->tensors[i];
        *t = *px_safetensors_at(good, i);
        const size_t bytes = px_stored_tensor_elements(t) * sizeof(float);
        t->data = memcpy(malloc(bytes), t->data, bytes);
    }
    for (int i = 0; i < METADATA; i++) {
        file->metadata[i].key = strdup(keys[i]);
        file->metadata[i].value = strdup(px_safetensors_metadata(good, keys[i]));
    }
    px_safetensors_close(good);
}

static void test_invalid_file(void **state) {
    const invalid_file *invalid = *state;
    fixture *f;
    setup((void **)&f);
    file_contents file;
    read_good(f, &file);
    void *owned[MAX_TENSORS];
    const int count = file.count;
    for (int i = 0; i < count; i++) owned[i] = (void *)(uintptr_t)file.tensors[i].data;
    invalid->change(&file);
    assert_ok(&f->ctx, px_safetensors_write(&f->ctx, f->path, file.tensors, file.count, file.metadata, METADATA));
    px_model_info info;
    px_model *model;
    const px_status status = px_model_file_load(f->device, f->path, &info, &model);
    const char *message = f->ctx.message;
    if (status != invalid->status || model || !strstr(message, invalid->says) || !strstr(message, invalid->names))
        fail_msg("%s: status %d, model %p, message \"%s\"; expected status %d, no model, and \"%s\" and \"%s\" in the "
                 "message",
                 invalid->name, (int)status, (void *)model, message, (int)invalid->status, invalid->says,
                 invalid->names);
    for (int i = 0; i < count; i++) free(owned[i]);
    for (int i = 0; i < METADATA; i++) {
        free(file.metadata[i].key);
        free(file.metadata[i].value);
    }
    teardown((void **)&f);
}

/* A file truncated to any sixteenth of its length is refused with PX_ERR_FORMAT. */
static void test_truncated(void **state) {
    fixture *f = *state;
    struct stat of_good;
    assert_int_equal(stat(f->good, &of_good), 0);
    char *bytes = malloc((size_t)of_good.st_size);
    FILE *in = fopen(f->good, "rb");
    assert_true(bytes && in && fread(bytes, 1, (size_t)of_good.st_size, in) == (size_t)of_good.st_size);
    fclose(in);
    for (int i = 0; i < 16; i++) {
        const size_t length = (size_t)of_good.st_size * (size_t)i / 16;
        FILE *out = fopen(f->path, "wb");
        assert_true(out && fwrite(bytes, 1, length, out) == length && fclose(out) == 0);
        px_model_info info;
        px_model *model;
        const px_status status = px_model_file_load(f->device, f->path, &info, &model);
        if (status != PX_ERR_FORMAT || model || !strstr(f->ctx.message, f->path))
            fail_msg("cut to %zu of %lld bytes: status %d, model %p, message \"%s\"; expected status %d and the path",
                     length, (long long)of_good.st_size, (int)status, (void *)model, f->ctx.message, PX_ERR_FORMAT);
    }
    free(bytes);
}

int main(void) {
    struct CMUnitTest tests[4 + INVALID_FILES] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flat_tensors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
    };
    omp_set_num_threads(1); /* these models take less time than starting threads */
    for (int i = 0; i < INVALID_FILES; i++)
        tests[4 + i] = (struct CMUnitTest){invalid_files[i].name, test_invalid_file, NULL, NULL, &invalid_files[i]};
    return cmocka_run_group_tests_name("model file", tests, NULL, NULL);
}

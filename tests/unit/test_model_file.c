/* Model files: what is saved is loaded, and a file that is not what it says is refused with a message that names why.
 */
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

typedef struct px_room {
    px_context ctx;
    px_device *device;
    px_config config;
    px_model_spec spec;
    px_model *model;
    char folder[64], good[96], path[96];
} px_room;

static int setup(void **state) {
    static px_room room;
    room = (px_room){0};
    *state = &room;
    room.device = px_test_device(&room.ctx);
    px_config_default(&room.config);
    room.config.model.kind = PX_MODEL_DIAGONAL_BILSTM;
    room.config.model.layers = 2, room.config.model.hidden = 5, room.config.model.head = 7;
    room.config.model.skip = true;
    room.config.data.levels = 5;
    room.spec = px_model_spec_from(&room.config, 4, 6, 3);
    room.model = px_test_model(room.device, &room.spec, 3);
    strcpy(room.folder, "/tmp/pixelrnn_model_XXXXXX");
    if (!mkdtemp(room.folder)) return -1;
    snprintf(room.good, sizeof room.good, "%s/good.safetensors", room.folder);
    snprintf(room.path, sizeof room.path, "%s/model.safetensors", room.folder);
    assert_ok(&room.ctx, px_model_file_save(room.model, px_model_weights(room.model), &room.config, 1234, room.good));
    return 0;
}

static int teardown(void **state) {
    px_room *room = *state;
    unlink(room->good);
    unlink(room->path);
    rmdir(room->folder);
    px_model_destroy(room->model);
    px_device_close(room->device);
    return 0;
}

/* --- What is saved is loaded -------------------------------------------------------------------------------------- */

/* Files hold float32, so that a double build finds its weights rounded to it. */
static void expect_weights(px_room *room, px_tensor found_tensor, px_tensor want_tensor) {
    px_real *found = px_test_download(room->device, found_tensor), *want = px_test_download(room->device, want_tensor);
    for (size_t e = 0; e < px_model_parameters(room->model)->elements; e++)
        if (found[e] != (px_real)(float)want[e])
            fail_msg("element %zu was saved as %.9g and loaded as %.9g; expected the same", e,
                     (double)(px_real)(float)want[e], (double)found[e]);
    free(found);
    free(want);
}

static void test_round_trip(void **state) {
    px_room *room = *state;
    px_model_info info;
    px_model *model;
    assert_ok(&room->ctx, px_model_file_load(room->device, room->good, &info, &model));
    assert_memory_equal(&info.config, &room->config, sizeof info.config);
    assert_int_equal(info.step, 1234);
    assert_string_equal(px_test_name(px_model_spec_of(model)), px_test_name(&info.spec));
    assert_true(info.spec.kind == room->spec.kind && info.spec.height == 4 && info.spec.width == 6 &&
                info.spec.channels == 3 && info.spec.levels == 5 && info.spec.skip == room->spec.skip);
    expect_weights(room, px_model_weights(model), px_model_weights(room->model));

    assert_ok(&room->ctx, px_model_initialise(model, 99));
    assert_ok(&room->ctx, px_model_file_load_weights(room->good, model));
    expect_weights(room, px_model_weights(model), px_model_weights(room->model));
    px_model_destroy(model);
}

/* The average of the weights, saved as a model, is a model with those weights; several flats come back as they went. */
static void test_flats(void **state) {
    px_room *room = *state;
    px_model *other = px_test_model(room->device, &room->spec, 4), *to[2];
    const px_tensor flats[] = {px_model_weights(room->model), px_model_weights(other)};
    px_named_flat named[] = {{"first.", flats[0]}, {"second.", flats[1]}};
    assert_ok(&room->ctx, px_flat_file_save(room->model, named, 2, NULL, 0, room->path));
    for (int i = 0; i < 2; i++) {
        to[i] = px_test_model(room->device, &room->spec, 5);
        named[i].flat = px_model_weights(to[i]);
    }
    assert_ok(&room->ctx, px_flat_file_load(room->model, named, 2, room->path));
    for (int i = 0; i < 2; i++) expect_weights(room, px_model_weights(to[i]), flats[i]);
    assert_int_equal(px_flat_file_load(room->model, named, 1, room->path),
                     PX_ERR_FORMAT); /* holds more than asked for */
    for (int i = 0; i < 2; i++) px_model_destroy(to[i]);
    px_model_destroy(other);
}

static void test_find(void **state) {
    px_room *room = *state;
    char path[1024];
    assert_ok(&room->ctx, px_checkpoint_find_model(&room->ctx, room->good, path));
    assert_string_equal(path, room->good);
    unlink(room->path);
    assert_int_equal(px_checkpoint_find_model(&room->ctx, room->folder, path), PX_ERR_FILE);
    assert_non_null(strstr(room->ctx.message, "model.safetensors"));
    assert_ok(&room->ctx, px_model_file_save(room->model, px_model_weights(room->model), &room->config, 0, room->path));
    assert_ok(&room->ctx, px_checkpoint_find_model(&room->ctx, room->folder, path));
    assert_string_equal(path, room->path);
    assert_int_equal(px_checkpoint_find_model(&room->ctx, "/nonexistent", path), PX_ERR_FILE);
    assert_non_null(strstr(room->ctx.message, "/nonexistent"));
}

/* --- What is refused ---------------------------------------------------------------------------------------------- */

enum { MOST_TENSORS = 64, METADATA = 7 };

/* A good file in memory, to be changed in one place. Tensors' bytes are copies. */
typedef struct px_forgery {
    px_stored_tensor tensors[MOST_TENSORS];
    int count;
    px_metadata metadata[METADATA];
} px_forgery;

static px_stored_tensor *tensor_named(px_forgery *forgery, const char *name) {
    for (int i = 0; i < forgery->count; i++)
        if (strcmp(forgery->tensors[i].name, name) == 0) return &forgery->tensors[i];
    fail_msg("the file has no tensor %s", name);
    return NULL;
}

static float *values_of(px_forgery *forgery, const char *name) {
    return (float *)(uintptr_t)tensor_named(forgery, name)->data;
}

static void set_metadata(px_forgery *forgery, const char *key, const char *value) {
    for (int i = 0; i < METADATA; i++)
        if (strcmp(forgery->metadata[i].key, key) == 0) {
            free(forgery->metadata[i].value);
            forgery->metadata[i].value = strdup(value);
        }
}

static void no_tensor(px_forgery *f) {
    *tensor_named(f, "head.1.bias") = f->tensors[--f->count];
}
static void extra_tensor(px_forgery *f) {
    f->tensors[f->count] = *tensor_named(f, "head.1.bias");
    f->tensors[f->count].data = NULL;
    f->tensors[f->count].shape[0] = 0;
    strcpy(f->tensors[f->count++].name, "head.3.bias");
}
static void renamed_tensor(px_forgery *f) {
    strcpy(tensor_named(f, "stem.bias")->name, "stem.bios");
}
static void flat_shape(px_forgery *f) {
    px_stored_tensor *t = tensor_named(f, "blocks.1.left.state_to_state.weight");
    t->shape[1] *= t->shape[2], t->rank = 2;
}
static void swapped_shape(px_forgery *f) {
    px_stored_tensor *t = tensor_named(f, "head.0.weight");
    const int64_t rows = t->shape[0];
    t->shape[0] = t->shape[1], t->shape[1] = rows;
}
static void integer_tensor(px_forgery *f) {
    px_stored_tensor *t = tensor_named(f, "stem.bias");
    t->dtype = PX_DTYPE_U8;
}
static void masked_value(px_forgery *f) {
    values_of(f, "head.0.weight")[9] = -1e-30f;
}
static void masked_tap(px_forgery *f) {
    values_of(f, "stem.weight")[27 * 3] = 1;
}
static void not_a_number(px_forgery *f) {
    values_of(f, "blocks.0.right.input_to_state.bias")[19] = NAN;
}
static void infinite(px_forgery *f) {
    values_of(f, "head.2.weight")[0] = -INFINITY;
}
static void masked_nan(px_forgery *f) {
    values_of(f, "stem.weight")[27 * 3] = NAN;
}
/* A value that is finite in the file, but not as a weight of float32. */
static void beyond_float(px_forgery *f) {
    static double values[10];
    px_stored_tensor *t = tensor_named(f, "stem.bias");
    values[3] = sizeof(px_real) == sizeof(float) ? 1e300 : INFINITY;
    t->data = values, t->dtype = PX_DTYPE_F64;
}
static void other_format(px_forgery *f) {
    set_metadata(f, "format", "pt");
}
static void no_format(px_forgery *f) {
    strcpy(f->metadata[0].key, "fornat");
}
static void other_levels(px_forgery *f) {
    set_metadata(f, "levels", "6");
}
static void word_levels(px_forgery *f) {
    set_metadata(f, "levels", "five");
}
static void word_step(px_forgery *f) {
    set_metadata(f, "step", "12x");
}
static void negative_step(px_forgery *f) {
    set_metadata(f, "step", "-1");
}
static void huge_step(px_forgery *f) {
    set_metadata(f, "step", "9223372036854775808");
}
static void empty_step(px_forgery *f) {
    set_metadata(f, "step", "");
}
static void no_height(px_forgery *f) {
    set_metadata(f, "height", "0");
}
static void huge_width(px_forgery *f) {
    set_metadata(f, "width", "65536");
}
static void two_channels(px_forgery *f) {
    set_metadata(f, "channels", "2");
}
static void one_channel(px_forgery *f) {
    set_metadata(f, "channels", "1");
}
static void other_config(px_forgery *f) {
    set_metadata(f, "config", "model: {kind: pixelcnn}\ndata: {levels: 5}\n");
}
static void broken_config(px_forgery *f) {
    set_metadata(f, "config", "model: [\n");
}
static void unknown_key(px_forgery *f) {
    set_metadata(f, "config", "model.kinds: pixelcnn\n");
}

/* What is done to a good file, and two parts of the message that has to come of it. */
typedef struct px_hostile {
    const char *name;
    void (*forge)(px_forgery *);
    px_status status;
    const char *says, *names;
} px_hostile;
static px_hostile hostiles[] = {
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
enum { HOSTILES = sizeof hostiles / sizeof hostiles[0] };

static void read_good(px_room *room, px_forgery *forgery) {
    static const char *const keys[METADATA] = {"format", "config", "height", "width", "channels", "levels", "step"};
    px_safetensors *file;
    assert_ok(&room->ctx, px_safetensors_open(&room->ctx, room->good, &file));
    forgery->count = px_safetensors_count(file);
    assert_true(forgery->count < MOST_TENSORS);
    for (int i = 0; i < forgery->count; i++) {
        px_stored_tensor *t = &forgery->tensors[i];
        *t = *px_safetensors_at(file, i);
        const size_t bytes = px_stored_tensor_elements(t) * sizeof(float);
        t->data = memcpy(malloc(bytes), t->data, bytes);
    }
    for (int i = 0; i < METADATA; i++) {
        forgery->metadata[i].key = strdup(keys[i]);
        forgery->metadata[i].value = strdup(px_safetensors_metadata(file, keys[i]));
    }
    px_safetensors_close(file);
}

static void test_hostile(void **state) {
    const px_hostile *hostile = *state;
    px_room *room;
    setup((void **)&room);
    px_forgery forgery;
    read_good(room, &forgery);
    void *owned[MOST_TENSORS];
    const int count = forgery.count;
    for (int i = 0; i < count; i++) owned[i] = (void *)(uintptr_t)forgery.tensors[i].data;
    hostile->forge(&forgery);
    assert_ok(&room->ctx,
              px_safetensors_write(&room->ctx, room->path, forgery.tensors, forgery.count, forgery.metadata, METADATA));
    px_model_info info;
    px_model *model;
    const px_status status = px_model_file_load(room->device, room->path, &info, &model);
    const char *message = room->ctx.message;
    if (status != hostile->status || model || !strstr(message, hostile->says) || !strstr(message, hostile->names))
        fail_msg("%s: status %d, model %p, message \"%s\"; expected status %d, no model, and \"%s\" and \"%s\" in the "
                 "message",
                 hostile->name, (int)status, (void *)model, message, (int)hostile->status, hostile->says,
                 hostile->names);
    for (int i = 0; i < count; i++) free(owned[i]);
    for (int i = 0; i < METADATA; i++) {
        free(forgery.metadata[i].key);
        free(forgery.metadata[i].value);
    }
    teardown((void **)&room);
}

/* A file cut short anywhere is refused, as a file of the wrong format. */
static void test_truncated(void **state) {
    px_room *room = *state;
    struct stat of_good;
    assert_int_equal(stat(room->good, &of_good), 0);
    char *bytes = malloc((size_t)of_good.st_size);
    FILE *in = fopen(room->good, "rb");
    assert_true(bytes && in && fread(bytes, 1, (size_t)of_good.st_size, in) == (size_t)of_good.st_size);
    fclose(in);
    for (int i = 0; i < 16; i++) {
        const size_t kept = (size_t)of_good.st_size * (size_t)i / 16;
        FILE *out = fopen(room->path, "wb");
        assert_true(out && fwrite(bytes, 1, kept, out) == kept && fclose(out) == 0);
        px_model_info info;
        px_model *model;
        const px_status status = px_model_file_load(room->device, room->path, &info, &model);
        if (status != PX_ERR_FORMAT || model || !strstr(room->ctx.message, room->path))
            fail_msg("cut to %zu of %lld bytes: status %d, model %p, message \"%s\"; expected status %d and the path",
                     kept, (long long)of_good.st_size, (int)status, (void *)model, room->ctx.message, PX_ERR_FORMAT);
    }
    free(bytes);
}

int main(void) {
    struct CMUnitTest tests[4 + HOSTILES] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flats, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
        cmocka_unit_test_setup_teardown(test_truncated, setup, teardown),
    };
    omp_set_num_threads(1); /* waking others costs more than these models do */
    for (int i = 0; i < HOSTILES; i++)
        tests[4 + i] = (struct CMUnitTest){hostiles[i].name, test_hostile, NULL, NULL, &hostiles[i]};
    return cmocka_run_group_tests_name("model file", tests, NULL, NULL);
}

/* Golden cases: logits, nats, gradients, one SGD step and two RMSProp steps, compared with an independent float64
 * reference.
 *
 * The cases are the folders in tests/golden, or in the folder that the environment variable PX_GOLDEN names. Each
 * tensor is compared relative to its largest magnitude. In float32 the tolerance is 1e-4: sums of a few hundred rounded
 * products differ by about 1e-6, and RMSProp's division by a small root enlarges that. In the double build it is 1e-6.
 */
#include "host/io/file.h"
#include "pixelrnn/loader.h"
#include "pixelrnn/model_file.h"
#include "host/train/optimizer.h"
#include "pixelrnn/source.h"
#include "tests/support/model.h"
#include "host/io/safetensors.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef PX_DOUBLE
static const double tolerance = 1e-6;
#else
static const double tolerance = 1e-4;
#endif

/* Of nats and logits in bfloat16. Dozens of roundings by 2^-8, of both signs, may leave six of them. */
static const double bfloat16_tolerance = 6.0 / 256;

typedef struct golden_case {
    char folder[512];
    double tolerance;
    px_context ctx;
    px_device *device;
    px_safetensors *expected;
    uint8_t *levels, *conditions;
    int images;
} golden_case;

static const char *golden_path(const golden_case *golden, const char *file) {
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", golden->folder, file);
    return path;
}

static double expected_element(const void *tensor, size_t index) { return px_stored_tensor_value(tensor, index); }

static void expect(const golden_case *golden, const char *name, const void *found,
                   double (*element)(const void *, size_t)) {
    const px_stored_tensor *want = px_safetensors_find(golden->expected, name);
    if (!want) fail_msg("%s: expected.safetensors has no %s", golden->folder, name);
    const px_difference d = px_compare(px_stored_tensor_elements(want), element, found, expected_element, want);
    if (!(d.relative <= golden->tolerance))
        fail_msg("%s: %s[%zu] is %.9g, expected %.9g: off by %.3g of the tensor's largest, tolerance %.3g",
                 golden->folder, name, d.index, d.found, d.want, d.relative, golden->tolerance);
}

/* Compares every parameter of a flat tensor with the expected tensor PREFIX.NAME. */
static void expect_flat(golden_case *golden, px_model *model, px_tensor flat, const char *prefix) {
    const px_parameters *parameters = px_model_parameters(model);
    px_real *host = px_test_download(golden->device, flat);
    for (int i = 0; i < parameters->count; i++) {
        char name[PX_TENSOR_NAME + 16];
        snprintf(name, sizeof name, "%s.%s", prefix, parameters->items[i].name);
        expect(golden, name, host + parameters->items[i].offset, px_element_real);
    }
    free(host);
}

/* Reads the labels of a class condition, integers of 64 bits behind the header of an .npy file. */
static void read_labels(golden_case *golden) {
    uint8_t start[10], label[8];
    FILE *file = fopen(golden_path(golden, "images.labels.npy"), "rb");
    assert_non_null(file);
    assert_int_equal(fread(start, 1, sizeof start, file), sizeof start);
    assert_int_equal(fseek(file, start[8] + 256 * start[9], SEEK_CUR), 0);
    for (int n = 0; n < golden->images; n++) {
        assert_int_equal(fread(label, 1, sizeof label, file), sizeof label);
        px_condition_set_label(golden->conditions + PX_LABEL_BYTES * n, label[0]);
    }
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
}

/* images: the 8-bit images that become levels. */
static void make_conditions(golden_case *golden, const px_model_spec *spec, const uint8_t *images) {
    const size_t values = (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
    const size_t bytes = px_condition_bytes(&spec->condition, spec->height, spec->width, spec->channels);
    golden->conditions = malloc((size_t)golden->images * bytes + 1);
    assert_non_null(golden->conditions);
    if (spec->condition.kind == PX_CONDITION_CLASS) read_labels(golden);
    for (size_t n = 0; n < (size_t)golden->images && spec->condition.kind == PX_CONDITION_IMAGE; n++)
        px_condition_from_image(images + n * values, spec->height, spec->width, spec->channels, spec->condition.scale,
                                spec->levels, golden->conditions + n * bytes);
}

static void read_images(golden_case *golden, const px_model_spec *spec) {
    px_source *source;
    assert_ok(&golden->ctx, px_source_open(&golden->ctx, golden_path(golden, "images.npy"), NULL, &source));
    golden->images = (int)source->count;
    const size_t image = (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
    assert_int_equal(source->height * source->width * source->channels, image);
    golden->levels = malloc(source->count * image);
    assert_non_null(golden->levels);
    for (size_t n = 0; n < source->count; n++)
        assert_ok(&golden->ctx, source->read(source, &golden->ctx, n, golden->levels + n * image));
    make_conditions(golden, spec, golden->levels);
    for (size_t i = 0; i < source->count * image; i++) golden->levels[i] = px_quantise(golden->levels[i], spec->levels);
    px_source_close(source);
}

static px_model *load(golden_case *golden) {
    px_model_info info;
    px_model *model;
    assert_ok(&golden->ctx,
              px_model_file_load(golden->device, golden_path(golden, "model.safetensors"), &info, &model));
    if (!golden->levels) read_images(golden, &info.spec);
    assert_ok(&golden->ctx, px_model_reserve(model, golden->images, PX_PURPOSE_TRAIN));
    return model;
}

static void step(golden_case *golden, px_model *model, px_optimizer *optimizer, int update, double rate) {
    assert_ok(&golden->ctx, px_model_forward(model, golden->levels, golden->conditions, golden->images, true));
    assert_ok(&golden->ctx, px_model_backward(model));
    assert_ok(&golden->ctx, px_optimizer_upload_scalars(optimizer, update, rate));
    assert_ok(&golden->ctx, px_optimizer_update(optimizer));
}

static void check_forward(golden_case *golden, px_model *model) {
    double nats[64];
    px_tensor logits;
    assert_true(golden->images <= 64);
    assert_ok(&golden->ctx, px_model_forward(model, golden->levels, golden->conditions, golden->images, false));
    assert_ok(&golden->ctx, px_model_nats(model, nats));
    expect(golden, "nats_per_image", nats, px_element_double);
    assert_ok(&golden->ctx, px_model_logits(model, golden->images, &logits));
    px_real *host = px_test_download(golden->device, logits);
    expect(golden, "logits", host, px_element_real);
    free(host);
}

static void check_updates(golden_case *golden, px_model *model, px_optimizer_spec spec, int updates, double rate,
                          const char *prefix) {
    px_optimizer *optimizer;
    assert_ok(&golden->ctx, px_optimizer_create(model, &spec, &optimizer));
    for (int update = 1; update <= updates; update++) {
        step(golden, model, optimizer, update, rate);
        if (spec.kind == PX_OPTIMIZER_SGD) expect_flat(golden, model, px_model_gradients(model), "grad");
    }
    expect_flat(golden, model, px_model_weights(model), prefix);
    px_optimizer_destroy(optimizer);
}

static void begin(golden_case *golden, const char *folder, px_type activation, double max_difference) {
    *golden = (golden_case){.tolerance = max_difference};
    snprintf(golden->folder, sizeof golden->folder, "%s", folder);
    golden->device = px_test_device_of(&golden->ctx, activation);
    assert_ok(&golden->ctx,
              px_safetensors_open(&golden->ctx, golden_path(golden, "expected.safetensors"), &golden->expected));
}

static void end(golden_case *golden) {
    free(golden->levels);
    free(golden->conditions);
    px_safetensors_close(golden->expected);
    px_device_close(golden->device);
}

static void test_case(void **state) {
    golden_case golden;
    begin(&golden, *state, PX_REAL, tolerance);
    px_model *model = load(&golden);
    check_forward(&golden, model);
    check_updates(&golden, model, (px_optimizer_spec){.kind = PX_OPTIMIZER_SGD}, 1, 0.1, "sgd");
    px_model_destroy(model);
    model = load(&golden);
    check_updates(&golden, model, (px_optimizer_spec){.kind = PX_OPTIMIZER_RMSPROP, .rho = 0.9, .epsilon = 1e-5}, 2,
                  0.01, "rmsprop2");
    px_model_destroy(model);
    end(&golden);
}

/* Nats and logits are the same in a reservation for evaluation, in which blocks share their memory. */
static void test_shared_memory(void **state) {
    golden_case golden;
    begin(&golden, *state, PX_REAL, tolerance);
    px_model *model = load(&golden);
    assert_ok(&golden.ctx, px_model_reserve(model, golden.images, PX_PURPOSE_EVALUATE));
    check_forward(&golden, model);
    px_model_destroy(model);
    end(&golden);
}

static void test_bfloat16(void **state) {
    golden_case golden;
    begin(&golden, *state, PX_BF16, bfloat16_tolerance);
    px_model *model = load(&golden);
    check_forward(&golden, model);
    px_model_destroy(model);
    end(&golden);
}

enum { MAX_CASES = 64, KINDS = sizeof(px_real) == sizeof(float) ? 3 : 2 };
static const struct {
    const char *name;
    void (*test)(void **state);
} kinds[] = {{"", test_case}, {", evaluated", test_shared_memory}, {", bfloat16", test_bfloat16}};

int main(void) {
    static char folders[MAX_CASES][512], names[KINDS * MAX_CASES][600];
    static struct CMUnitTest tests[KINDS * MAX_CASES];
    const char *root = getenv("PX_GOLDEN") ? getenv("PX_GOLDEN") : "tests/golden";
    DIR *folder = opendir(root);
    int cases = 0;
    for (struct dirent *entry; folder && (entry = readdir(folder)) && cases < MAX_CASES;) {
        snprintf(folders[cases], sizeof folders[cases], "%.200s/%.255s", root, entry->d_name);
        char model[600];
        snprintf(model, sizeof model, "%s/model.safetensors", folders[cases]);
        if (px_file_exists(model)) cases++;
    }
    if (folder) closedir(folder);
    if (cases == 0) {
        fprintf(stderr, "%s: found no golden cases\n", root);
        return 1;
    }
    for (int i = 0; i < KINDS * cases; i++) {
        snprintf(names[i], sizeof names[i], "%s%s", folders[i / KINDS], kinds[i % KINDS].name);
        tests[i] = (struct CMUnitTest){names[i], kinds[i % KINDS].test, NULL, NULL, folders[i / KINDS]};
    }
    return _cmocka_run_group_tests("golden", tests, (size_t)(KINDS * cases), NULL, NULL);
}

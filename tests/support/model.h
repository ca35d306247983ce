/* Helpers of the tests of models and operations: reproducible random numbers, tensors, and small models. */
#ifndef PIXELRNN_TESTS_MODEL_SUPPORT_H
#define PIXELRNN_TESTS_MODEL_SUPPORT_H

#include "kernels/portable/bfloat16.h"
#include "pixelrnn/model.h"
#include "kernels/portable/random.h"
#include "tests/support/support.h"
#include "host/device/backend.h"
#include "host/io/arena.h"
#include "host/model/internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A px_condition. */
#define PX_TEST_CLASS(number)                                                                                          \
    { .kind = PX_CONDITION_CLASS, .classes = (number) }
#define PX_TEST_IMAGE(factor)                                                                                          \
    { .kind = PX_CONDITION_IMAGE, .scale = (factor) }

/* A spec for tables of cases, with or without a condition: PX_SPEC(PIXELCNN, 2, 5, 6, true, false, 6, 5, 1, 2,
 * PX_CLASSES(3)). */
#define PX_SPEC(kind_, layers_, hidden_, head_, residual_, skip_, height_, width_, channels_, levels_, ...)            \
    {                                                                                                                  \
        .kind = PX_MODEL_##kind_, .layers = layers_, .hidden = hidden_, .head = head_, .residual = residual_,          \
        .skip = skip_, .height = height_, .width = width_, .channels = channels_, .levels = levels_, __VA_ARGS__       \
    }
#define PX_CLASSES(count) .condition = PX_TEST_CLASS(count)
#define PX_SCALE(factor)  .condition = PX_TEST_IMAGE(factor)

/* A uniform number in (-1, 1), a function of seed and index. */
static inline double px_test_number(uint64_t seed, uint64_t index) {
    const px_random4 r = px_random(seed, PX_RANDOM_DATA, 0, index);
    return 2 * px_uniform(r.word[0], r.word[1]) - 1;
}

/* A uniform integer from 0 to count - 1. */
static inline size_t px_test_pick(uint64_t seed, uint64_t index, size_t count) {
    return (size_t)((px_test_number(seed, index) + 1) / 2 * (double)count);
}

/* Copies a tensor of reals or bfloat16 to the host, as reals. The caller frees the result. */
static inline px_real *px_test_download(px_device *device, px_tensor tensor) {
    void *host = malloc(px_tensor_bytes(&tensor) + 1);
    assert_non_null(host);
    assert_ok(device->ctx, device->ops->download(device, host, tensor.data, px_tensor_bytes(&tensor)));
    if (tensor.type == PX_REAL) return host;
    px_real *reals = malloc(px_tensor_elements(&tensor) * sizeof *reals + 1);
    assert_non_null(reals);
    for (size_t e = 0; e < px_tensor_elements(&tensor); e++) reals[e] = px_from_bfloat16(((const uint16_t *)host)[e]);
    free(host);
    return reals;
}

/* A tensor of the arena, filled with numbers in (-scale, scale). */
static inline px_tensor px_test_tensor(px_arena *arena, size_t rows, int columns, uint64_t seed, double scale) {
    const px_tensor tensor = px_arena_tensor(arena, rows, columns, PX_REAL);
    const size_t count = px_tensor_elements(&tensor);
    px_real *host = malloc(count * sizeof *host + 1);
    assert_non_null(host);
    for (size_t i = 0; i < count; i++) host[i] = (px_real)(scale * px_test_number(seed, i));
    assert_ok(arena->device->ctx,
              arena->device->ops->upload(arena->device, tensor.data, host, px_tensor_bytes(&tensor)));
    assert_ok(arena->device->ctx, arena->device->ops->synchronize(arena->device));
    free(host);
    return tensor;
}

/* Uploads `host`, all elements of the flat tensor of weights, to the model, and frees it. */
static inline void px_test_upload_weights(px_model *model, px_real *host) {
    px_device *device = px_model_device(model);
    const px_tensor weights = px_model_weights(model);
    assert_ok(device->ctx, device->ops->upload(device, weights.data, host, px_tensor_bytes(&weights)));
    assert_ok(device->ctx, device->ops->synchronize(device)); /* before `host` is freed */
    assert_ok(device->ctx, px_model_cast_weights(model));
    free(host);
}

/* A model with initial weights times 2, so that signals do not fade in so narrow a network, and biases and weights of
 * conditions changed by up to 0.5, so that none is 0. Weights of the upsampling network, which has no residual path
 * that would fade, stay as they are. The environment variable PX_TEST_SEED is added to the seed, to run a test with
 * other weights. */
static inline px_model *px_test_model(px_device *device, const px_model_spec *spec, uint64_t seed) {
    px_model *model;
    const char *offset = getenv("PX_TEST_SEED");
    if (offset) seed += strtoull(offset, NULL, 10);
    assert_ok(device->ctx, px_model_create(device, spec, &model));
    assert_ok(device->ctx, px_model_initialise(model, seed));
    const px_parameters *parameters = px_model_parameters(model);
    const px_tensor weights = px_model_weights(model);
    px_real *host = px_test_download(device, weights);
    for (int i = 0; i < parameters->count; i++) {
        const px_parameter *p = &parameters->items[i];
        const px_real scale = strncmp(p->name, "upsample.", strlen("upsample.")) == 0 ? 1 : 2;
        const bool is_zero = p->rank == 1 || p->gain == 0;
        for (size_t e = p->offset; e < p->offset + p->count; e++)
            host[e] = is_zero ? host[e] + (px_real)(0.5 * px_test_number(seed, e)) : scale * host[e];
    }
    px_test_upload_weights(model, host);
    return model;
}

/* The number of values of an image. */
static inline size_t px_test_values(const px_model_spec *spec) {
    return (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
}

/* Random images. The caller frees them. */
static inline uint8_t *px_test_images(const px_model_spec *spec, int images, uint64_t seed) {
    const size_t count = px_test_values(spec) * (size_t)images;
    uint8_t *levels = malloc(count + 1);
    assert_non_null(levels);
    for (size_t i = 0; i < count; i++) levels[i] = (uint8_t)px_test_pick(seed, i, (size_t)spec->levels);
    return levels;
}

static inline size_t px_test_condition_bytes(const px_model_spec *s) {
    return px_condition_bytes(&s->condition, s->height, s->width, s->channels);
}

/* Random conditions of so many images. The caller frees them. Without a condition they are no bytes. */
static inline uint8_t *px_test_conditions(const px_model_spec *spec, int images, uint64_t seed) {
    const bool is_class = spec->condition.kind == PX_CONDITION_CLASS;
    const size_t bytes = px_test_condition_bytes(spec) * (size_t)images;
    uint8_t *conditions = malloc(bytes + 1);
    assert_non_null(conditions);
    for (size_t n = 0; n < (size_t)images && is_class; n++)
        px_condition_set_label(conditions + PX_LABEL_BYTES * n,
                               (int)px_test_pick(seed + 1000, n, (size_t)spec->condition.classes));
    for (size_t i = 0; i < bytes && !is_class; i++)
        conditions[i] = (uint8_t)px_test_pick(seed + 1000, i, (size_t)spec->levels);
    return conditions;
}

/* "row_lstm 4 x 3 x 1, 5 levels, 2 layers, hidden 5, head 6, residual, 3 classes"; overwritten by the next call. */
static inline const char *px_test_name(const px_model_spec *s) {
    static char text[192], condition[32];
    condition[0] = '\0';
    if (s->condition.kind == PX_CONDITION_CLASS)
        snprintf(condition, sizeof condition, ", %d classes", s->condition.classes);
    if (s->condition.kind == PX_CONDITION_IMAGE)
        snprintf(condition, sizeof condition, ", image at 1/%d", s->condition.scale);
    snprintf(text, sizeof text, "%s %d x %d x %d, %d levels, %d layers, hidden %d, head %d%s%s%s",
             px_config_word("model.kind", (int)s->kind), s->height, s->width, s->channels, s->levels, s->layers,
             s->hidden, s->head, s->residual ? ", residual" : "", s->skip ? ", skip" : "", condition);
    return text;
}

#endif

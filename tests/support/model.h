/* What the tests of models and operations share: numbers that are functions, small models with generic weights. */
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

/* Uniform in (-1, 1): a function of its arguments. */
static inline double px_test_number(uint64_t seed, uint64_t place) {
    const px_random4 r = px_random(seed, PX_RANDOM_DATA, 0, place);
    return 2 * px_uniform(r.word[0], r.word[1]) - 1;
}

/* An integer from 0 to below `most`. */
static inline size_t px_test_pick(uint64_t seed, uint64_t place, size_t most) {
    return (size_t)((px_test_number(seed, place) + 1) / 2 * (double)most);
}

/* A map of reals or bfloat16 in the memory of its device, copied to the host as reals; to be freed. */
static inline px_real *px_test_download(px_device *device, px_tensor tensor) {
    void *host = malloc(px_tensor_bytes(&tensor) + 1);
    assert_non_null(host);
    assert_ok(device->ctx, device->ops->download(device, host, tensor.data, px_tensor_bytes(&tensor)));
    if (tensor.type == PX_REAL) return host;
    px_real *wide = malloc(px_tensor_elements(&tensor) * sizeof *wide + 1);
    assert_non_null(wide);
    for (size_t e = 0; e < px_tensor_elements(&tensor); e++) wide[e] = px_from_bfloat16(((const uint16_t *)host)[e]);
    free(host);
    return wide;
}

/* A tensor carved from the arena, filled with numbers of `seed` in (-scale, scale). */
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

/* Gives the model these weights, as many as the flat tensor has, and frees them. */
static inline void px_test_upload_weights(px_model *model, px_real *host) {
    px_device *device = px_model_device(model);
    const px_tensor weights = px_model_weights(model);
    assert_ok(device->ctx, device->ops->upload(device, weights.data, host, px_tensor_bytes(&weights)));
    assert_ok(device->ctx, device->ops->synchronize(device)); /* an upload may be late */
    assert_ok(device->ctx, px_model_cast_weights(model));
    free(host);
}

/* A model of this spec with initial weights, enlarged so that little fades on its way through a network this narrow,
 * and biases moved by up to a half: nothing is 0 but what has to be. PX_TEST_SEED is added to the seed, to show that a
 * test does not hold for one set of weights alone. */
static inline px_model *px_test_model(px_device *device, const px_model_spec *spec, uint64_t seed) {
    px_model *model;
    const char *other = getenv("PX_TEST_SEED");
    if (other) seed += strtoull(other, NULL, 10);
    assert_ok(device->ctx, px_model_create(device, spec, &model));
    assert_ok(device->ctx, px_model_initialise(model, seed));
    const px_parameters *parameters = px_model_parameters(model);
    const px_tensor weights = px_model_weights(model);
    px_real *host = px_test_download(device, weights);
    for (int i = 0; i < parameters->count; i++) {
        const px_parameter *p = &parameters->items[i];
        for (size_t e = p->offset; e < p->offset + p->count; e++)
            host[e] = p->rank > 1 ? 2 * host[e] : host[e] + (px_real)(0.5 * px_test_number(seed, e));
    }
    px_test_upload_weights(model, host);
    return model;
}

/* Values of an image. */
static inline size_t px_test_values(const px_model_spec *spec) {
    return (size_t)spec->height * (size_t)spec->width * (size_t)spec->channels;
}

/* Random images, to be freed. */
static inline uint8_t *px_test_images(const px_model_spec *spec, int images, uint64_t seed) {
    const size_t count = px_test_values(spec) * (size_t)images;
    uint8_t *levels = malloc(count + 1);
    assert_non_null(levels);
    for (size_t i = 0; i < count; i++) levels[i] = (uint8_t)px_test_pick(seed, i, (size_t)spec->levels);
    return levels;
}

/* "row_lstm 4 x 3 x 1, 5 levels, 2 layers, hidden 5, head 6, residual"; overwritten by the next call. */
static inline const char *px_test_name(const px_model_spec *s) {
    static char text[160];
    snprintf(text, sizeof text, "%s %d x %d x %d, %d levels, %d layers, hidden %d, head %d%s%s",
             px_config_word("model.kind", (int)s->kind), s->height, s->width, s->channels, s->levels, s->layers,
             s->hidden, s->head, s->residual ? ", residual" : "", s->skip ? ", skip" : "");
    return text;
}

#endif

/* Philox and the initial weights of models: compared with known answers and with the oracle's definitions. */
#include "pixelrnn/model_file.h"
#include "tests/oracle/oracle.h"
#include "tests/oracle/settings.h"
#include "tests/support/model.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* The known answers are those of Random123 for Philox 4x32-10. */
static void philox_gives_known_answers(void **state) {
    (void)state;
    static const struct {
        uint64_t key, low, high;
        uint32_t word[4];
    } known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t word[4];
        const px_random4 r = px_philox(known[i].key, known[i].low, known[i].high);
        oracle_random(known[i].key, (int)(known[i].high >> 56), known[i].high & ~((uint64_t)0xff << 56), known[i].low,
                      word);
        assert_memory_equal(word, known[i].word, sizeof word);
        assert_memory_equal(r.word, known[i].word, sizeof word);
    }
}

/* Sums over the initial weights of a tensor, each divided by its expected standard deviation. */
typedef struct moments {
    double count, sum, squares, fourth, neighbours, largest;
} moments;

static void add_moments(moments *m, double value, double before) {
    m->count++;
    m->sum += value;
    m->squares += value * value;
    m->fourth += pow(value, 4);
    m->neighbours += value * before;
    m->largest = fmax(m->largest, fabs(value));
}

/* A sum of `count` independent numbers of mean 0 and this variance must lie within five standard deviations. */
static void check_sum(const char *name, const char *what, double sum, double count, double variance) {
    const double bound = 5 * sqrt(count * variance);
    if (!(fabs(sum) <= bound))
        fail_msg("%s: the sum of its %s is %.4g, expected 0 within %.4g", name, what, sum, bound);
}

/* For a standard normal z, z^2 - 1 has variance 2 and z^4 - 3 has variance 96. The generator's |z| is at most
 * sqrt(2 ln 2^53) = 8.57. */
static void check_moments(const char *name, const moments *m) {
    check_sum(name, "values", m->sum, m->count, 1);
    check_sum(name, "squares less 1", m->squares - m->count, m->count, 2);
    check_sum(name, "fourth powers less 3", m->fourth - 3 * m->count, m->count, 96);
    check_sum(name, "products of neighbours", m->neighbours, m->count, 1);
    if (m->largest > 8.6) fail_msg("%s: found %g standard deviations, expected below 8.6", name, m->largest);
}

/* Returns the initial weights of a seed, which the caller frees. list, if not NULL, receives offsets and names. */
static px_real *initial_weights(px_device *device, const px_model_spec *spec, uint64_t seed, px_parameter *list) {
    px_model *model;
    assert_ok(device->ctx, px_model_create(device, spec, &model));
    assert_ok(device->ctx, px_model_initialise(model, seed));
    const px_parameters *parameters = px_model_parameters(model);
    for (int i = 0; list && i < parameters->count; i++) list[i] = parameters->items[i];
    px_real *weights = px_test_download(device, px_model_weights(model));
    px_model_destroy(model);
    return weights;
}

/* Masked weights and biases are 0, except biases of forget gates, which are 1. */
static void check_constant(const oracle_tensor *t, size_t e, double found) {
    const bool one = t->taps == 0 && (int)e >= t->ones_first && (int)e < t->ones_first + t->ones_count;
    if (found != one) fail_msg("%s[%zu]: found %g, expected %d", t->name, e, found, one);
}

/* Weights are normal with the standard deviation that parameters.h defines. Neighbouring elements, tensors and seeds
 * are uncorrelated. */
static void initial_weights_are_normal(void **state) {
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    px_config config = settings_config("model.layers=1 model.hidden=24 model.head=24 data.levels=16", "");
    config.model.kind = (int)(intptr_t)*state;
    const oracle_images shape = {.height = 4, .width = 4, .channels = 3};
    const px_model_spec spec = px_model_spec_from(&config, shape.height, shape.width, shape.channels);
    oracle_model m = oracle_model_create(&config, &shape);
    px_parameter list[ORACLE_TENSORS];
    px_real *weights = initial_weights(device, &spec, 3, list), *others = initial_weights(device, &spec, 4, NULL);
    moments tensors = {0}, seeds = {0};
    for (int i = 0; i < m.count; i++) {
        const oracle_tensor *t = &m.tensor[i], *next = &m.tensor[(i + 1) % m.count];
        moments own = {0};
        double before = 0;
        assert_string_equal(list[i].name, t->name);
        for (size_t e = 0; e < t->count; e++) {
            const double deviation = oracle_deviation(&m, t, e), found = (double)weights[list[i].offset + e];
            if (deviation == 0) {
                check_constant(t, e, found);
                continue;
            }
            const double value = found / deviation;
            add_moments(&own, value, before);
            before = value;
            add_moments(&seeds, value, (double)others[list[i].offset + e] / deviation);
            if (e < next->count) add_moments(&tensors, value, (double)weights[list[(i + 1) % m.count].offset + e]);
        }
        if (own.count > 0) check_moments(t->name, &own);
    }
    check_sum("two seeds", "products", seeds.neighbours, seeds.count, 1);
    check_sum("neighbouring tensors", "products", tensors.neighbours, tensors.count, 1);
    free(weights);
    free(others);
    free(m.weights);
    px_device_close(device);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_known_answers),
        {"initial weights: PixelCNN", initial_weights_are_normal, NULL, NULL, (void *)(intptr_t)PX_MODEL_PIXELCNN},
        {"initial weights: Row LSTM", initial_weights_are_normal, NULL, NULL, (void *)(intptr_t)PX_MODEL_ROW_LSTM},
        {"initial weights: Diagonal BiLSTM", initial_weights_are_normal, NULL, NULL,
         (void *)(intptr_t)PX_MODEL_DIAGONAL_BILSTM},
    };
    omp_set_num_threads(1); /* The models are tiny, so more threads would only wait for each other. */
    return cmocka_run_group_tests_name("oracle_weights", tests, NULL, NULL);
}

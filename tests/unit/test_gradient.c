/* Gradients of every parameter of every kind of model, compared with central differences, in double.
 *
 * A central difference has a truncation error, about 1e-11 at step 1e-5, and the rounding of two losses divided by the
 * step. The tolerance is 1e-6 of the tensor's largest gradient plus that rounding. If the input of a relu changes its
 * sign within the step, the difference is wrong, not the gradient. Such an element is checked again with a smaller
 * step, where that is less likely. One relu can affect all weights below it, so retries are not limited. */
#include "tests/support/model.h"
#include <float.h>
#include <math.h>
#include <omp.h>

enum { SMALL = 200, PICKED = 150 }; /* elements that are checked: all of up to SMALL, else PICKED */
static const double tolerance = 1e-6, steps[] = {1e-5, 1e-6, 1e-7};

typedef struct gradient_case {
    px_model_spec spec;
    int images;
} gradient_case;

/* images, layers, hidden, head, residual, skip, height, width, channels, levels, or also a condition. Each row is for
 * all kinds. */
#define ROWS(X)                                                                                                        \
    X(3, 2, 5, 6, true, false, 4, 3, 1, 5)                                                                             \
    X(1, 2, 7, 5, false, true, 3, 5, 1, 2)                                                                             \
    X(3, 1, 5, 4, true, true, 1, 1, 1, 256)                                                                            \
    X(2, 3, 1, 3, false, false, 1, 6, 1, 5)                                                                            \
    X(1, 3, 1, 1, true, true, 5, 4, 1, 2)                                                                              \
    X(1, 1, 7, 9, true, false, 9, 8, 1, 2)                                                                             \
    X(1, 3, 5, 7, true, true, 3, 4, 3, 5)                                                                              \
    X(2, 1, 7, 5, false, false, 5, 3, 3, 2)                                                                            \
    X(3, 2, 1, 2, true, false, 6, 1, 3, 2)                                                                             \
    X(2, 2, 7, 9, false, true, 2, 3, 3, 256)                                                                           \
    X(2, 1, 7, 4, true, true, 1, 1, 3, 5)                                                                              \
    X(1, 1, 5, 8, false, true, 1, 7, 3, 5)                                                                             \
    X(2, 3, 7, 8, true, false, 2, 5, 3, 5)                                                                             \
    X(4, 2, 5, 6, true, true, 4, 3, 1, 5, PX_CLASSES(3))                                                               \
    X(2, 2, 3, 5, true, false, 3, 4, 3, 2, PX_CLASSES(1))                                                              \
    X(3, 1, 7, 4, true, false, 2, 3, 3, 5, PX_CLASSES(300))                                                            \
    X(2, 2, 5, 4, true, false, 4, 6, 1, 5, PX_SCALE(2))                                                                \
    X(1, 1, 3, 5, false, true, 6, 2, 3, 3, PX_SCALE(2))                                                                \
    X(2, 2, 2, 3, true, true, 4, 8, 1, 2, PX_SCALE(4))                                                                 \
    X(1, 1, 7, 4, false, false, 8, 8, 1, 2, PX_SCALE(8))
#define CASE_OF(kind, images, ...) {PX_SPEC(kind, __VA_ARGS__), images},
#define CASES(images, ...)                                                                                             \
    CASE_OF(PIXELCNN, images, __VA_ARGS__)                                                                             \
    CASE_OF(ROW_LSTM, images, __VA_ARGS__)                                                                             \
    CASE_OF(DIAGONAL_BILSTM, images, __VA_ARGS__)
static gradient_case cases[] = {ROWS(CASES)};
enum { COUNT = sizeof cases / sizeof cases[0] };

typedef struct checker {
    px_context ctx;
    px_device *device;
    px_model *model;
    const gradient_case *current;
    uint8_t *levels, *conditions;
    px_real *weights, *gradients; /* host copies of the flat tensors */
    double loss;                  /* at these weights */
    int elements, retried;
    double worst; /* the largest accepted difference, relative to the tensor's largest gradient */
} checker;

static double loss(checker *check) {
    double nats[8], sum = 0;
    assert_ok(&check->ctx,
              px_model_forward(check->model, check->levels, check->conditions, check->current->images, false));
    assert_ok(&check->ctx, px_model_nats(check->model, nats));
    for (int n = 0; n < check->current->images; n++) sum += nats[n];
    return sum / ((double)check->current->images * (double)px_test_values(&check->current->spec));
}

static double loss_at(checker *check, size_t index, px_real weight) {
    px_real *on_device = (px_real *)px_model_weights(check->model).data + index;
    assert_ok(&check->ctx, check->device->ops->upload(check->device, on_device, &weight, sizeof weight));
    return loss(check);
}

static double central_difference(checker *check, size_t index, double step) {
    const px_real weight = check->weights[index];
    const px_real more = weight + (px_real)step, less = weight - (px_real)step;
    const double rise = loss_at(check, index, more) - loss_at(check, index, less);
    px_real *on_device = (px_real *)px_model_weights(check->model).data + index;
    assert_ok(&check->ctx, check->device->ops->upload(check->device, on_device, &weight, sizeof weight));
    return rise / (double)(more - less);
}

static void check_element(checker *check, const px_parameter *p, size_t element, double largest) {
    const double found = (double)check->gradients[p->offset + element];
    double want = 0, difference = 0, allowed = 0;
    check->elements++;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        want = central_difference(check, p->offset + element, steps[i]);
        difference = fabs(found - want);
        allowed = tolerance * largest + 4 * DBL_EPSILON * check->loss / steps[i];
        if (difference <= allowed) {
            if (difference > check->worst * largest) check->worst = difference / largest;
            return;
        }
        if (i == 0) check->retried++;
    }
    fail_msg("%s: gradient of %s[%zu] is %.12g, central differences give %.12g: off by %.3g; tolerance %.3g, which is "
             "%.1g of "
             "the tensor's largest and the rounding of the losses at step 1e-7",
             px_test_name(&check->current->spec), p->name, element, found, want, difference, allowed, tolerance);
}

/* Checks that masked elements have gradient 0. Returns the largest magnitude of the others. *live is their number. */
static double check_masked(const checker *check, const px_parameter *p, size_t *live) {
    const px_parameters *parameters = px_model_parameters(check->model);
    double largest = 0;
    *live = 0;
    for (size_t e = 0; e < p->count; e++) {
        const double found = (double)check->gradients[p->offset + e];
        if (px_parameter_live(parameters, p, e)) {
            ++*live;
            if (fabs(found) > largest) largest = fabs(found);
        } else if (found != 0)
            fail_msg("%s: gradient of %s[%zu], a masked element, is %.9g, expected exactly 0",
                     px_test_name(&check->current->spec), p->name, e, found);
    }
    return largest;
}

static void check_tensor(checker *check, int index) {
    const px_parameters *parameters = px_model_parameters(check->model);
    const px_parameter *p = &parameters->items[index];
    const px_model_spec *s = &check->current->spec;
    size_t live;
    const double largest = check_masked(check, p, &live);
    if (s->hidden > 1 && s->height > 1 && s->width > 1 && largest == 0)
        fail_msg("%s: all gradients of %s are 0: the case tests nothing", px_test_name(s), p->name);
    if (live <= SMALL) {
        for (size_t e = 0; e < p->count; e++)
            if (px_parameter_live(parameters, p, e)) check_element(check, p, e, largest);
        return;
    }
    for (int taken = 0, tries = 0; taken < PICKED; tries++) {
        const size_t e = px_test_pick((uint64_t)index, (uint64_t)tries, p->count);
        if (!px_parameter_live(parameters, p, e)) continue;
        check_element(check, p, e, largest);
        taken++;
    }
}

static void check_gaps(const checker *check) {
    const px_parameters *parameters = px_model_parameters(check->model);
    for (int i = 0; i < parameters->count; i++) {
        const px_parameter *p = &parameters->items[i];
        const size_t end = i + 1 < parameters->count ? p[1].offset : parameters->elements;
        for (size_t e = p->offset + p->count; e < end; e++)
            if (check->gradients[e] != 0)
                fail_msg("%s: gradient element %zu, in the gap after %s, is %.9g, expected exactly 0",
                         px_test_name(&check->current->spec), e, p->name, (double)check->gradients[e]);
    }
}

static void test_case(void **state) {
    if (sizeof(px_real) != sizeof(double)) {
        print_message("gradients are checked in double: needs BUILD=double\n");
        skip();
    }
    checker check = {.current = *state};
    const uint64_t seed = (uint64_t)(check.current - cases) + 1;
    const px_model_spec *spec = &check.current->spec;
    check.device = px_test_device(&check.ctx);
    check.model = px_test_model(check.device, spec, seed);
    check.levels = px_test_images(spec, check.current->images, seed);
    check.conditions = px_test_conditions(spec, check.current->images, seed);
    check.weights = px_test_download(check.device, px_model_weights(check.model));
    assert_ok(&check.ctx, px_model_reserve(check.model, check.current->images, PX_PURPOSE_TRAIN));
    assert_ok(&check.ctx, px_model_forward(check.model, check.levels, check.conditions, check.current->images, true));
    assert_ok(&check.ctx, px_model_backward(check.model));
    check.gradients = px_test_download(check.device, px_model_gradients(check.model));
    check.loss = loss(&check);
    check_gaps(&check);
    for (int i = 0; i < px_model_parameters(check.model)->count; i++) check_tensor(&check, i);
    print_message("  largest difference %.2g of the tensor's largest, %d elements, %d of them at a smaller step\n",
                  check.worst, check.elements, check.retried);
    free(check.levels);
    free(check.conditions);
    free(check.weights);
    free(check.gradients);
    px_model_destroy(check.model);
    px_device_close(check.device);
}

int main(void) {
    static struct CMUnitTest tests[COUNT];
    static char names[COUNT][192];
    omp_set_num_threads(1); /* these models take less time than starting threads */
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "%s", px_test_name(&cases[i].spec));
        tests[i] = (struct CMUnitTest){names[i], test_case, NULL, NULL, &cases[i]};
    }
    return _cmocka_run_group_tests("gradient", tests, COUNT, NULL, NULL);
}

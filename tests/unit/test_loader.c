/* The loader: batches depend on the step alone, the order of an epoch is a permutation, and values are quantised. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pixelrnn/loader.h"
#include "host/device/backend.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- A device with host memory alone, and a source whose images contain their index ---- */

static int allocations;

static px_status allocate_host(px_device *device, size_t bytes, void **memory) {
    if (bytes > 1 << 20) return px_fail(device->ctx, PX_ERR_MEMORY, "no %zu bytes", bytes);
    *memory = malloc(bytes);
    allocations++;
    return *memory ? PX_OK : px_fail(device->ctx, PX_ERR_MEMORY, "no %zu bytes", bytes);
}

static px_status free_host(px_device *device, void *memory) {
    (void)device;
    free(memory);
    allocations--;
    return PX_OK;
}

static const px_device_ops ops = {.allocate_host = allocate_host, .free_host = free_host};
static px_context context;
static px_device device = {.ops = &ops, .ctx = &context, .kind = "test"};

enum { NOWHERE = -1 };
static int broken = NOWHERE;     /* the image that cannot be read */
static useconds_t reading_takes; /* microseconds, of an image */

/* Image i has 1 x 2 pixels: i and 255 - i. */
static px_status read_number(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    if ((int)index == broken) return px_fail(ctx, PX_ERR_FILE, "%s: image %zu is gone", source->name, index);
    if (reading_takes > 0) usleep(reading_takes);
    pixels[0] = (uint8_t)index;
    pixels[1] = (uint8_t)(255 - index);
    return PX_OK;
}

static px_source numbers(size_t count) {
    return (px_source){.name = "numbers", .count = count, .height = 1, .width = 2, .channels = 1, .read = read_number};
}

static px_loader *open_loader(px_source *source, int batch_size, px_loader_order order) {
    px_loader *loader;
    px_status status = px_loader_open(
        &context, &device, source,
        &(px_loader_options){.levels = 256, .batch_size = batch_size, .order = order, .seed = 11}, &loader);
    if (status != PX_OK) fail_msg("%s", context.message);
    return loader;
}

static px_batch next(px_loader *loader, int64_t step) {
    px_batch batch;
    px_status status = px_loader_next(loader, step, &batch);
    if (status != PX_OK) fail_msg("step %d: %s", (int)step, context.message);
    for (int n = 0; n < batch.images; n++) assert_int_equal(batch.levels[2 * n] + batch.levels[2 * n + 1], 255);
    return batch;
}

/* ---- Batches ---- */

static void ordered_batches_wrap_around(void **state) {
    (void)state;
    px_source source = numbers(7);
    px_loader *loader = open_loader(&source, 3, PX_LOADER_ORDERED);
    for (int step = 0; step < 20; step++) {
        px_batch batch = next(loader, step);
        assert_int_equal(batch.images, 3);
        assert_int_equal(batch.first, 3 * step);
        for (int n = 0; n < 3; n++) assert_int_equal(batch.levels[2 * n], (3 * step + n) % 7);
    }
    px_loader_close(loader);
}

/* A batch keeps its images until the second next call, while the thread prepares the next one. */
static void a_batch_outlives_the_next_call(void **state) {
    (void)state;
    px_source source = numbers(7);
    px_loader *loader = open_loader(&source, 3, PX_LOADER_ORDERED);
    for (int step = 0; step < 6; step++) {
        const px_batch batch = next(loader, step);
        uint8_t before[6];
        memcpy(before, batch.levels, sizeof before);
        next(loader, step + 1);
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* the thread fills a batch of 6 bytes meanwhile */
        assert_memory_equal(batch.levels, before, sizeof before);
    }
    px_loader_close(loader);
}

/* Reads the first `count` images of a shuffled loader over 10 images. */
static void shuffled(int batch_size, int count, uint8_t *drawn) {
    px_source source = numbers(10);
    px_loader *loader = open_loader(&source, batch_size, PX_LOADER_SHUFFLED);
    for (int step = 0; step * batch_size < count; step++) {
        px_batch batch = next(loader, step);
        for (int n = 0; n < batch_size && step * batch_size + n < count; n++)
            drawn[step * batch_size + n] = batch.levels[2 * n];
    }
    px_loader_close(loader);
}

static void shuffled_epochs_hold_every_image_once(void **state) {
    (void)state;
    uint8_t drawn[100];
    shuffled(3, 100, drawn);
    for (int epoch = 0; epoch < 10; epoch++) {
        int seen[10] = {0};
        for (int n = 0; n < 10; n++) seen[drawn[epoch * 10 + n]]++;
        for (int i = 0; i < 10; i++) assert_int_equal(seen[i], 1);
    }
    assert_memory_not_equal(drawn, drawn + 10, 10);
}

static void the_batch_size_does_not_change_the_order(void **state) {
    (void)state;
    uint8_t expected[100], drawn[100];
    shuffled(1, 100, expected);
    for (int batch_size = 2; batch_size <= 30; batch_size++) {
        shuffled(batch_size, 100, drawn);
        assert_memory_equal(drawn, expected, sizeof expected);
    }
}

static void a_batch_does_not_depend_on_those_before(void **state) {
    (void)state;
    uint8_t expected[120];
    shuffled(4, 120, expected);
    px_source source = numbers(10);
    px_loader *loader = open_loader(&source, 4, PX_LOADER_SHUFFLED);
    static const int steps[] = {5, 6, 7, 7, 7, 0, 29, 3, 4, 2, 1, 2, 0, 0, 1, 28, 29};
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        px_batch batch = next(loader, steps[k]);
        for (int n = 0; n < 4; n++) assert_int_equal(batch.levels[2 * n], expected[4 * steps[k] + n]);
    }
    px_loader_close(loader);
}

static void a_pass_ends_with_a_tail_and_an_empty_batch(void **state) {
    (void)state;
    px_source source = numbers(10);
    px_loader *loader = open_loader(&source, 4, PX_LOADER_PASS);
    static const int images[] = {4, 4, 2, 0, 0};
    for (int round = 0; round < 2; round++)
        for (int step = 0; step < 5; step++) {
            px_batch batch = next(loader, step);
            assert_int_equal(batch.images, images[step]);
            for (int n = 0; n < batch.images; n++) assert_int_equal(batch.levels[2 * n], 4 * step + n);
        }
    px_loader_close(loader);
}

/* A pass over a subset returns its images alone, binarised as in a pass over all. */
static void a_pass_over_a_subset(void **state) {
    (void)state;
    static const size_t subset[] = {3, 4, 90, 150, 199};
    px_source source = numbers(200);
    px_loader_options options = {.levels = 2, .batch_size = 200, .order = PX_LOADER_PASS, .seed = 11, .binarize = true};
    px_loader *all, *some;
    px_batch whole, part;
    assert_int_equal(px_loader_open(&context, &device, &source, &options, &all), PX_OK);
    assert_int_equal(px_loader_next(all, 0, &whole), PX_OK);
    options.batch_size = 2;
    options.subset = subset;
    options.subset_count = 5;
    assert_int_equal(px_loader_open(&context, &device, &source, &options, &some), PX_OK);
    for (int step = 0; step < 4; step++) {
        assert_int_equal(px_loader_next(some, step, &part), PX_OK);
        assert_int_equal(part.images, step < 2 ? 2 : step == 2);
        for (int n = 0; n < part.images; n++)
            assert_memory_equal(part.levels + 2 * n, whole.levels + 2 * subset[2 * step + n], 2);
    }
    px_loader_close(some);
    px_loader_close(all);
}

static void shares_of_ranks_form_the_batch(void **state) {
    (void)state;
    uint8_t expected[120];
    shuffled(7, 70, expected);
    px_source source = numbers(10);
    for (int first = 0, share = 1; first < 7; first += share++) { /* 1, 2, then the 4 that are left */
        if (first + 2 * share > 6) share = 7 - first;
        px_loader *loader;
        const px_loader_options options = {
            .levels = 256, .batch_size = 7, .first = first, .share = share, .order = PX_LOADER_SHUFFLED, .seed = 11};
        assert_int_equal(px_loader_open(&context, &device, &source, &options, &loader), PX_OK);
        for (int step = 0; step < 10; step++) {
            px_batch batch = next(loader, step);
            assert_int_equal(batch.images, share);
            for (int n = 0; n < share; n++) assert_int_equal(batch.levels[2 * n], expected[7 * step + first + n]);
        }
        px_loader_close(loader);
    }
}

/* Each batch of 6 has 2 micro-batches of 3, of which one rank reads the first image and another the other two. Each
 * gets the parts of its micro-batches one after the other. */
static void shares_of_micro_batches_form_the_batch(void **state) {
    (void)state;
    uint8_t expected[120];
    shuffled(6, 60, expected);
    px_source source = numbers(10);
    for (int first = 0, share = 1; first < 3; first += share++) {
        px_loader *loader;
        const px_loader_options options = {.levels = 256,
                                           .batch_size = 6,
                                           .parts = 2,
                                           .first = first,
                                           .share = share,
                                           .order = PX_LOADER_SHUFFLED,
                                           .seed = 11};
        assert_int_equal(px_loader_open(&context, &device, &source, &options, &loader), PX_OK);
        for (int step = 0; step < 10; step++) {
            px_batch batch = next(loader, step);
            assert_int_equal(batch.images, 2 * share);
            for (int n = 0; n < 2 * share; n++)
                assert_int_equal(batch.levels[2 * n], expected[6 * step + n / share * 3 + first + n % share]);
        }
        px_loader_close(loader);
    }
}

static void values_are_quantised(void **state) {
    (void)state;
    px_source source = numbers(256);
    px_loader *loader;
    assert_int_equal(
        px_loader_open(&context, &device, &source, &(px_loader_options){.levels = 3, .batch_size = 256}, &loader),
        PX_OK);
    px_batch batch;
    assert_int_equal(px_loader_next(loader, 0, &batch), PX_OK);
    for (int n = 0; n < 256; n++) {
        assert_int_equal(batch.levels[2 * n], n * 3 / 256);
        assert_int_equal(batch.levels[2 * n + 1], (255 - n) * 3 / 256);
    }
    px_loader_close(loader);
}

/* ---- Levels ---- */

static void levels_survive_eight_bits(void **state) {
    (void)state;
    for (int levels = 2; levels <= 256; levels++)
        for (int level = 0; level < levels; level++) {
            int value = px_dequantise((uint8_t)level, levels);
            double target = 255.0 * level / (levels - 1);
            if (px_quantise((uint8_t)value, levels) != level)
                fail_msg("level %d of %d: %d quantises to %d", level, levels, value,
                         px_quantise((uint8_t)value, levels));
            for (int v = 0; v < 256; v++)
                if (px_quantise((uint8_t)v, levels) == level && fabs(v - target) < fabs(value - target))
                    fail_msg("level %d of %d: %d, but %d is nearer to %g", level, levels, value, v, target);
        }
}

/* ---- Conditions ---- */

enum { PICTURES = 10, SIDE = 4, PIXELS = SIDE * SIDE, SMALLER = SIDE / 2, BATCH = 6, SEED = 11 };

/* Image i has pixels of many values, and label 40 i + 1. */
static px_status read_picture(px_source *source, px_context *ctx, size_t index, uint8_t *pixels) {
    (void)source, (void)ctx;
    for (size_t j = 0; j < PIXELS; j++) pixels[j] = (uint8_t)(37 * index + 53 * j + 11 * index * j);
    return PX_OK;
}

/* The part of a batch that a loader reads, and the order. */
typedef struct reading {
    px_loader_order order;
    int parts, first, share;
    const size_t *subset;
} reading;

/* The image of `position`, counted from the first image of step 0. */
static size_t picture_at(const reading *r, size_t position) {
    if (r->subset) return r->subset[position];
    if (r->order != PX_LOADER_SHUFFLED) return position % PICTURES;
    return px_permute(SEED, position / PICTURES, PICTURES, position % PICTURES);
}

/* Computes levels and condition of an image without the loader. */
static void expect(const px_loader_options *o, size_t index, size_t epoch, uint8_t *levels, uint8_t *condition) {
    uint8_t pixels[PIXELS];
    read_picture(NULL, NULL, index, pixels);
    if (o->flip) px_augment_flip(pixels, SIDE, SIDE, 1, SEED, epoch, index);
    if (o->binarize) px_augment_binarize(pixels, PIXELS, SEED, epoch, index);
    for (int i = 0; i < PIXELS; i++) levels[i] = o->binarize ? pixels[i] : px_quantise(pixels[i], o->levels);
    for (int i = 0; i < PIXELS && o->binarize; i++) pixels[i] *= 255;
    for (int i = 0; i < SMALLER * SMALLER; i++) {
        const uint8_t *at = pixels + i / SMALLER * 2 * SIDE + i % SMALLER * 2;
        condition[i] = (uint8_t)((at[0] + at[1] + at[SIDE] + at[SIDE + 1] + 2) / 4 * o->levels / 256);
    }
    if (o->condition.kind == PX_CONDITION_CLASS) {
        condition[0] = (uint8_t)(40 * index + 1);
        condition[1] = (uint8_t)((40 * index + 1) >> 8);
    }
}

static void check_conditions(const reading *r, const px_loader_options *o, px_source *source) {
    const int share = r->share ? r->share : BATCH;
    const size_t bytes = px_condition_bytes(&o->condition, SIDE, SIDE, 1);
    px_loader *loader;
    px_batch batch;
    assert_int_equal(px_loader_open(&context, &device, source, o, &loader), PX_OK);
    for (int step = 0; step < 7; step++) {
        assert_int_equal(px_loader_next(loader, step, &batch), PX_OK);
        if (r->order != PX_LOADER_PASS) assert_int_equal(batch.images, share * r->parts);
        for (int n = 0; n < batch.images; n++) {
            const int within = n / share * (BATCH / r->parts) + r->first + n % share;
            const size_t position = (size_t)(step * BATCH + within);
            uint8_t levels[PIXELS], condition[PIXELS];
            expect(o, picture_at(r, position), r->subset ? 0 : position / PICTURES, levels, condition);
            assert_memory_equal(batch.levels + n * PIXELS, levels, PIXELS);
            if (memcmp(batch.conditions + (size_t)n * bytes, condition, bytes) != 0)
                fail_msg("condition %d, order %d, flip %d, binarize %d, step %d: another condition for image %d",
                         o->condition.kind, o->order, o->flip, o->binarize, step, n);
        }
    }
    px_loader_close(loader);
}

/* The condition of each image is its own, for all orders, parts and augmentations. */
static void conditions_belong_to_their_images(void **state) {
    (void)state;
    static const size_t subset[] = {0, 3, 4, 5, 7, 8, 9};
    static const reading readings[] = {
        {PX_LOADER_PASS, 1, 0, 0, NULL},     {PX_LOADER_PASS, 1, 0, 0, subset},   {PX_LOADER_ORDERED, 1, 0, 0, NULL},
        {PX_LOADER_SHUFFLED, 1, 0, 0, NULL}, {PX_LOADER_SHUFFLED, 1, 2, 3, NULL}, {PX_LOADER_SHUFFLED, 2, 1, 2, NULL},
    };
    uint16_t labels[PICTURES];
    for (int i = 0; i < PICTURES; i++) labels[i] = (uint16_t)(40 * i + 1);
    px_source source = {.name = "pictures",
                        .count = PICTURES,
                        .height = SIDE,
                        .width = SIDE,
                        .channels = 1,
                        .read = read_picture,
                        .labels = labels};
    for (size_t i = 0; i < sizeof readings / sizeof *readings; i++)
        for (int variant = 0; variant < 8; variant++) {
            const reading *r = &readings[i];
            const bool binarize = variant & 2;
            const px_loader_options options = {
                .levels = binarize ? 2 : 20,
                .batch_size = BATCH,
                .parts = r->parts,
                .first = r->first,
                .share = r->share,
                .order = r->order,
                .seed = SEED,
                .flip = variant & 1,
                .binarize = binarize,
                .condition = {.kind = variant & 4 ? PX_CONDITION_CLASS : PX_CONDITION_IMAGE,
                              .classes = 400,
                              .scale = 2},
                .subset = r->subset,
                .subset_count = r->subset ? 7 : 0};
            check_conditions(r, &options, &source);
        }
}

static void batches_without_conditions(void **state) {
    (void)state;
    px_source source = numbers(10);
    px_loader *loader = open_loader(&source, 4, PX_LOADER_PASS);
    assert_null(next(loader, 0).conditions);
    px_loader_close(loader);
}

/* ---- Failures ---- */

static void an_unreadable_image_fails_its_own_batch(void **state) {
    (void)state;
    px_source source = numbers(10);
    broken = 5;
    px_loader *loader = open_loader(&source, 2, PX_LOADER_ORDERED);
    next(loader, 0);
    next(loader, 1);
    px_batch batch;
    for (int attempt = 0; attempt < 2; attempt++) {
        context.message[0] = 0;
        assert_int_equal(px_loader_next(loader, 2, &batch), PX_ERR_FILE);
        assert_string_equal(context.message, "numbers: image 5 is gone");
    }
    batch = next(loader, 3);
    assert_int_equal(batch.levels[0], 6);
    px_loader_close(loader);
    broken = NOWHERE;
}

static void a_batch_that_does_not_fit_is_refused(void **state) {
    (void)state;
    px_source source = numbers(10);
    px_loader *loader;
    assert_int_equal(
        px_loader_open(&context, &device, &source, &(px_loader_options){.levels = 256, .batch_size = 1 << 20}, &loader),
        PX_ERR_MEMORY);
    assert_null(loader);
}

/* The caller arrives while the thread works, and after it, so that a thread sanitizer can see a race between them. */
static void a_slow_source_is_waited_for(void **state) {
    (void)state;
    px_source source = numbers(10);
    reading_takes = 300;
    px_loader *loader = open_loader(&source, 2, PX_LOADER_ORDERED);
    for (int step = 0; step < 40; step++) {
        usleep((useconds_t)(step % 5) * 300);
        px_batch batch = next(loader, step);
        for (int n = 0; n < 2; n++) assert_int_equal(batch.levels[2 * n], (2 * step + n) % 10);
    }
    px_loader_close(loader);
    reading_takes = 0;
}

static void a_loader_may_close_at_any_time(void **state) {
    (void)state;
    px_source source = numbers(200);
    for (int steps = 0; steps < 50; steps++) {
        px_loader *loader = open_loader(&source, 50, PX_LOADER_SHUFFLED);
        for (int step = 0; step < steps % 4; step++) next(loader, step);
        px_loader_close(loader);
    }
    px_loader_close(NULL);
    assert_int_equal(allocations, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pass_over_a_subset),
        cmocka_unit_test(ordered_batches_wrap_around),
        cmocka_unit_test(a_batch_outlives_the_next_call),
        cmocka_unit_test(shuffled_epochs_hold_every_image_once),
        cmocka_unit_test(the_batch_size_does_not_change_the_order),
        cmocka_unit_test(a_batch_does_not_depend_on_those_before),
        cmocka_unit_test(a_pass_ends_with_a_tail_and_an_empty_batch),
        cmocka_unit_test(shares_of_ranks_form_the_batch),
        cmocka_unit_test(shares_of_micro_batches_form_the_batch),
        cmocka_unit_test(values_are_quantised),
        cmocka_unit_test(levels_survive_eight_bits),
        cmocka_unit_test(conditions_belong_to_their_images),
        cmocka_unit_test(batches_without_conditions),
        cmocka_unit_test(an_unreadable_image_fails_its_own_batch),
        cmocka_unit_test(a_batch_that_does_not_fit_is_refused),
        cmocka_unit_test(a_slow_source_is_waited_for),
        cmocka_unit_test(a_loader_may_close_at_any_time),
    };
    return cmocka_run_group_tests_name("loader", tests, NULL, NULL);
}

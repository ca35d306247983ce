/* Ranks: division of work, and the order in which gradients become final. Started by mpirun (tests/commands/ranks.sh),
 * this program instead tests collective calls and reductions between real processes. */
#include "host/distributed/ranks.h"
#include "pixelrnn/loader.h"
#include "tests/support/model.h"
#include <math.h>
#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- Division of work ---- */

static px_ranks *fake_ranks(px_ranks *ranks, px_mpi *mpi, int rank, int count) {
    *mpi = (px_mpi){.rank = rank, .count = count};
    *ranks = (px_ranks){.mpi = mpi};
    return ranks;
}

static void shares_cover_all_items_and_differ_by_one(void **state) {
    (void)state;
    for (size_t total = 0; total < 40; total++)
        for (int count = 1; count < 9; count++) {
            size_t next = 0;
            for (int rank = 0; rank < count; rank++) {
                px_ranks ranks;
                px_mpi mpi;
                const px_share share = px_ranks_share(fake_ranks(&ranks, &mpi, rank, count), total, 1);
                assert_int_equal(share.first, next);
                assert_in_range(share.count, total / (size_t)count, total / (size_t)count + 1);
                next += share.count;
            }
            assert_int_equal(next, total);
        }
}

static void groups_are_not_split(void **state) {
    (void)state;
    for (size_t total = 0; total < 40; total++)
        for (size_t unit = 1; unit < 9; unit++) {
            size_t next = 0;
            for (int rank = 0; rank < 5; rank++) {
                px_ranks ranks;
                px_mpi mpi;
                const px_share share = px_ranks_share(fake_ranks(&ranks, &mpi, rank, 5), total, unit);
                assert_int_equal(share.first, next);
                assert_true(share.first % unit == 0 || share.first == total);
                next += share.count;
            }
            assert_int_equal(next, total);
        }
}

static void single_process_has_all_items(void **state) {
    const px_share share = px_ranks_share(NULL, 17, 4);
    double all[3] = {1, 2, 3};
    (void)state;
    assert_true(share.first == 0 && share.count == 17);
    assert_true(px_ranks_count(NULL) == 1 && px_ranks_rank(NULL) == 0);
    assert_int_equal(px_ranks_gather(NULL, all, 3, 1, sizeof *all), PX_OK);
    assert_true(all[0] == 1 && all[2] == 3);
    assert_int_equal(px_ranks_agree(NULL, PX_ERR_SHAPE), PX_ERR_SHAPE);
    assert_int_equal(px_reduction_finish(NULL), PX_OK);
}

/* A SLURM step of one task may be an interactive shell, so it is no launcher. */
static void launchers_are_detected(void **state) {
    static const struct {
        const char *name, *value;
        int ranks;
    } cases[] = {{"OMPI_COMM_WORLD_SIZE", "1", 1},
                 {"PMI_SIZE", "1", 1},
                 {"PMI_SIZE", "3", 3},
                 {"SLURM_STEP_NUM_TASKS", "1", 0},
                 {"SLURM_STEP_NUM_TASKS", "2", 2},
                 {"SLURM_NTASKS", "2", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv(cases[i].name, cases[i].value, 1);
        const int found = px_ranks_launched();
        unsetenv(cases[i].name);
        if (found != cases[i].ranks)
            fail_msg("%s=%s: found %d ranks, expected %d", cases[i].name, cases[i].value, found, cases[i].ranks);
    }
}

/* ---- Gradients in one process ---- */

static const px_condition conditions_of[] = {{0}, PX_TEST_CLASS(3), PX_TEST_IMAGE(2)};
enum { SPECS = sizeof conditions_of / sizeof *conditions_of };

static px_model_spec spec_of(int number) {
    return (px_model_spec){.kind = PX_MODEL_ROW_LSTM,
                           .layers = 3,
                           .hidden = 4,
                           .head = 6,
                           .residual = true,
                           .skip = true,
                           .height = 4,
                           .width = 2,
                           .channels = 3,
                           .levels = 5,
                           .condition = conditions_of[number]};
}
enum { IMAGES = 5 };

/* Records gradients when they are declared final; they must not change afterwards. */
typedef struct recorder {
    px_model *model;
    size_t first, calls;
    px_real *final; /* elements from `first` on */
} recorder;

static px_status record(void *context, size_t first) {
    recorder *r = context;
    px_device *device = px_model_device(r->model);
    const px_tensor gradients = px_model_gradients(r->model);
    if (first >= r->first) fail_msg("call %zu: final from %zu on, expected below %zu", r->calls, first, r->first);
    PX_TRY(device->ops->download(device, r->final + first, (px_real *)gradients.data + first,
                                 (r->first - first) * sizeof(px_real)));
    r->first = first;
    r->calls++;
    return PX_OK;
}

static px_real *compute_gradients(px_model *model, const uint8_t *levels, const uint8_t *conditions, int images) {
    px_context *ctx = px_model_device(model)->ctx;
    assert_ok(ctx, px_model_forward(model, levels, conditions, images, true));
    assert_ok(ctx, px_model_backward(model));
    return px_test_download(px_model_device(model), px_model_gradients(model));
}

/* Relative tolerance: the gradients are sums of a few hundred products. */
static const double rounding = sizeof(px_real) == sizeof(float) ? 4e-6 : 1e-13;

static void check_parts(const px_model_spec *spec) {
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    px_model *model = px_test_model(device, spec, 3);
    uint8_t *images = px_test_images(spec, IMAGES, 4), *conditions = px_test_conditions(spec, IMAGES, 4);
    const size_t elements = px_model_parameters(model)->elements;
    assert_ok(&ctx, px_model_reserve(model, IMAGES, PX_PURPOSE_TRAIN));
    px_real *whole = compute_gradients(model, images, conditions, IMAGES);
    px_model_set_global_batch(model, IMAGES);
    px_real *first = compute_gradients(model, images, conditions, 2);
    px_real *rest = compute_gradients(model, images + 2 * px_test_values(spec),
                                      conditions + 2 * px_test_condition_bytes(spec), IMAGES - 2);
    for (size_t i = 0; i < elements; i++) first[i] += rest[i];
    const px_difference d = px_compare(elements, px_element_real, first, px_element_real, whole);
    if (!(d.relative <= rounding))
        fail_msg("%s: gradient %zu: found %.9g as the sum of parts, expected %.9g within %g of the largest",
                 px_test_name(spec), d.index, d.found, d.want, rounding);
    free(whole);
    free(first);
    free(rest);
    free(images);
    free(conditions);
    px_model_destroy(model);
    px_device_close(device);
}

static void gradients_of_parts_sum_to_those_of_the_batch(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) {
        const px_model_spec spec = spec_of(i);
        check_parts(&spec);
    }
}

static void check_final(const px_model_spec *spec) {
    px_context ctx = {0};
    px_device *device = px_test_device(&ctx);
    px_model *model = px_test_model(device, spec, 5);
    uint8_t *images = px_test_images(spec, IMAGES, 6), *conditions = px_test_conditions(spec, IMAGES, 6);
    const size_t elements = px_model_parameters(model)->elements;
    recorder recorded = {.model = model, .first = elements, .final = calloc(elements, sizeof(px_real))};
    assert_non_null(recorded.final);
    assert_ok(&ctx, px_model_reserve(model, IMAGES, PX_PURPOSE_TRAIN));
    px_model_set_gradient_hook(model, record, &recorded);
    px_real *gradients = compute_gradients(model, images, conditions, IMAGES);
    assert_int_equal(recorded.first, 0);
    assert_int_equal(recorded.calls, spec->layers + 2); /* head, blocks, stem with the upsampling network */
    assert_memory_equal(recorded.final, gradients, elements * sizeof *gradients);
    free(gradients);
    free(recorded.final);
    free(images);
    free(conditions);
    px_model_destroy(model);
    px_device_close(device);
}

/* The gradients of the upsampling network are final last, so they come first among the parameters. */
static void final_gradients_do_not_change(void **state) {
    (void)state;
    for (int i = 0; i < SPECS; i++) {
        const px_model_spec spec = spec_of(i);
        check_final(&spec);
    }
}

/* ---- Tests of a distributed job ---- */

static void log_line(const char *line) { fprintf(stderr, "not ok - %s\n", line); }
static void exit_now(px_status status) { _exit(1 + (int)status); }

static px_context context;

static void gather_gives_all_items_to_all_ranks(void **state) {
    px_ranks *ranks = *state;
    for (size_t total = 0; total < 20; total++)
        for (size_t unit = 1; unit < 4; unit++) {
            double all[20];
            const px_share mine = px_ranks_share(ranks, total, unit);
            for (size_t i = 0; i < total; i++) all[i] = i - mine.first < mine.count ? (double)i + 0.5 : -1;
            assert_ok(&context, px_ranks_gather(ranks, all, total, unit, sizeof *all));
            for (size_t i = 0; i < total; i++) assert_true(all[i] == (double)i + 0.5);
        }
}

static void broadcast_copies_from_rank_0(void **state) {
    px_ranks *ranks = *state;
    char text[8] = "nothing";
    if (px_ranks_rank(ranks) == 0) strcpy(text, "hello");
    assert_ok(&context, px_ranks_broadcast(ranks, text, sizeof text));
    assert_string_equal(text, "hello");
}

static void first_failure_is_returned_on_all_ranks(void **state) {
    px_ranks *ranks = *state;
    const int rank = px_ranks_rank(ranks), last = px_ranks_count(ranks) - 1;
    char expected[256], name[PX_RANK_NAME];
    assert_ok(&context, px_ranks_agree(ranks, PX_OK));
    const px_status mine = rank == last ? px_fail(&context, PX_ERR_SHAPE, "rows: found 3, expected 4") : PX_OK;
    px_ranks_name(ranks, last, name);
    snprintf(expected, sizeof expected, "%s%srows: found 3, expected 4", last > 0 ? name : "", last > 0 ? ": " : "");
    assert_int_equal(px_ranks_agree(ranks, mine), PX_ERR_SHAPE);
    assert_string_equal(context.message, expected);
    assert_int_equal(px_ranks_agree(ranks, px_fail(&context, PX_ERR_FILE, "images.npy: missing")), PX_ERR_FILE);
    assert_string_equal(context.message, "images.npy: missing");
    ranks->failure_agreed = false; /* the job continues */
}

static void different_data_is_detected(void **state) {
    px_ranks *ranks = *state;
    const int last = px_ranks_count(ranks) - 1;
    int value = 7;
    assert_ok(&context, px_ranks_same_program(ranks));
    assert_ok(&context, px_ranks_same(ranks, "the value", &value, sizeof value));
    if (px_ranks_rank(ranks) == last) value = 8;
    assert_int_equal(px_ranks_same(ranks, "the value", &value, sizeof value), last > 0 ? PX_ERR_CONFIG : PX_OK);
    ranks->failure_agreed = false;
}

static void gpu_used_by_two_ranks_is_detected(void **state) {
    px_ranks *ranks = *state;
    const int rank = px_ranks_rank(ranks), count = px_ranks_count(ranks);
    px_device device = {.ctx = &context, .kind = "cuda"};
    char expected[64];
    assert_ok(&context, px_ranks_check_device(ranks, &(px_device){.ctx = &context, .kind = "cpu"}));
    snprintf(device.identity, sizeof device.identity, "%d", rank);
    device.paths = PX_PATH_CUDA | (rank < count - 1 ? PX_PATH_CLUSTER : 0u);
    assert_ok(&context, px_ranks_check_device(ranks, &device));
    assert_int_equal(device.paths, PX_PATH_CUDA); /* those of the last rank */
    if (count == 1) return;
    snprintf(device.identity, sizeof device.identity, "%d", rank % (count - 1));
    assert_int_equal(px_ranks_check_device(ranks, &device), PX_ERR_CONFIG);
    assert_non_null(strstr(context.message, "found GPU 0, which rank 0 on "));
    snprintf(device.identity, sizeof device.identity, "%d",
             rank < count - 1 ? rank : rank - 1); /* the last two ranks share one */
    assert_int_equal(px_ranks_check_device(ranks, &device), PX_ERR_CONFIG);
    snprintf(expected, sizeof expected, "found GPU %d, which rank %d on ", count - 2, count - 2);
    assert_non_null(strstr(context.message, expected));
    device.kind = rank == count - 1 ? "cpu" : "cuda";
    assert_int_equal(px_ranks_check_device(ranks, &device), PX_ERR_CONFIG);
    assert_non_null(strstr(context.message, "device: found cpu, expected cuda as rank 0"));
    ranks->failure_agreed = false;
}

enum { ROWS = 150 }; /* with one row a bucket, more buckets than fit in the queue of MPI's thread */

/* Writes elements first .. end - 1 of the gradients of a rank, a function of index and rank. */
static void fill(px_tensor tensor, int rank, size_t first, size_t end) {
    px_real *values = tensor.data;
    for (size_t i = first; i < end; i++) values[i] = (px_real)px_test_number((uint64_t)rank, i);
}

/* Sums gradients that become final 300 elements at a time, in buckets of `rows` rows. own: NULL, or receives the norm
 * of this rank's gradients, of which the last rank has one NaN. */
static void reduce(px_ranks *ranks, px_device *device, px_tensor tensor, size_t rows, double *own) {
    px_reduction *reduction;
    const size_t row = PX_FLAT_COLUMNS * sizeof(px_real);
    const int rank = px_ranks_rank(ranks);
    memset(tensor.data, 0, px_tensor_bytes(&tensor));
    assert_ok(&context, px_reduction_create(ranks, device, tensor, rows * row, &reduction));
    for (size_t end = px_tensor_elements(&tensor), first; end > 0; end = first) {
        first = end > 300 ? end - 300 : 0;
        fill(tensor, rank, first, end);
        if (first == 0 && own && rank == px_ranks_count(ranks) - 1) ((px_real *)tensor.data)[first] = (px_real)NAN;
        assert_ok(&context, px_reduction_ready(reduction, first));
    }
    assert_ok(&context, px_reduction_finish(reduction));
    if (own) assert_ok(&context, device->ops->download(device, own, px_reduction_norm(reduction).data, sizeof *own));
    assert_int_equal(px_reduction_read_times(reduction).steps, 1);
    assert_ok(&context, px_reduction_finish(reduction)); /* a step without sums takes no time */
    assert_true(px_reduction_read_times(reduction).reduce == 0);
    px_reduction_destroy(reduction);
}

static px_tensor host_tensor(void) {
    px_tensor tensor = {calloc(ROWS * PX_FLAT_COLUMNS, sizeof(px_real)), ROWS, PX_FLAT_COLUMNS, PX_REAL};
    assert_non_null(tensor.data);
    return tensor;
}

static void sums_are_correct_and_reproducible(void **state) {
    px_ranks *ranks = *state;
    px_device *device;
    const px_tensor tensor = host_tensor(), again = host_tensor();
    const size_t elements = px_tensor_elements(&tensor);
    const int count = px_ranks_count(ranks);
    /* half a unit in the last place for each addition */
    const double tolerance = count * (sizeof(px_real) == sizeof(float) ? 6e-8 : 1.2e-16) * count;
    assert_ok(&context, px_device_open(&context, PX_DEVICE_CPU, PX_REAL, &device));
    for (size_t rows = 1; rows < 30; rows += 4) {
        reduce(ranks, device, tensor, rows, NULL);
        for (size_t i = 0; i < elements; i++) {
            double want = 0;
            for (int r = 0; r < count; r++) want += (double)(px_real)px_test_number((uint64_t)r, i);
            const double found = (double)((const px_real *)tensor.data)[i];
            if (!(fabs(found - want) <= tolerance))
                fail_msg("buckets of %zu rows, sum %zu: found %.9g, expected %.9g within %g", rows, i, found, want,
                         tolerance);
        }
        assert_ok(&context, px_ranks_same(ranks, "the sums", tensor.data, px_tensor_bytes(&tensor)));
        reduce(ranks, device, again, rows, NULL);
        assert_memory_equal(again.data, tensor.data, px_tensor_bytes(&tensor));
    }
    free(tensor.data);
    free(again.data);
    px_device_close(device);
}

static void norm_is_that_of_own_gradients(void **state) {
    px_ranks *ranks = *state;
    px_device *device;
    double norm, want = 0;
    const px_tensor tensor = host_tensor();
    const int rank = px_ranks_rank(ranks);
    assert_ok(&context, px_device_open(&context, PX_DEVICE_CPU, PX_REAL, &device));
    reduce(ranks, device, tensor, 3, &norm);
    fill(tensor, rank, 0, px_tensor_elements(&tensor));
    for (size_t i = 0; i < px_tensor_elements(&tensor); i++) want += pow((double)((const px_real *)tensor.data)[i], 2);
    if (rank == px_ranks_count(ranks) - 1)
        assert_true(isnan(norm)); /* only here, although the sums of all ranks now contain a NaN */
    else if (!(fabs(norm - sqrt(want)) <= 1e-12 * norm))
        fail_msg("norm: found %.17g, expected %.17g", norm, sqrt(want));
    free(tensor.data);
    px_device_close(device);
}

static void cores_are_divided_among_ranks(void **state) {
    const px_ranks *ranks = *state;
    cpu_set_t mine;
    const int cores = (int)sysconf(_SC_NPROCESSORS_ONLN), share = cores / ranks->mpi->local_count;
    if (getenv("OMP_NUM_THREADS") || sched_getaffinity(0, sizeof mine, &mine) != 0 || CPU_COUNT(&mine) < cores) {
        print_message("SKIP: the environment sets the number of threads, or binds this process to cores\n");
        skip();
    }
    assert_int_equal(omp_get_max_threads(), share > 0 ? share : 1);
}

static int open_ranks(void **state) {
    static const px_ranks_callbacks callbacks = {log_line, exit_now, NULL};
    assert_ok(&context, px_ranks_open(&context, &callbacks, (px_ranks **)state));
    return 0;
}
static int close_ranks(void **state) {
    px_ranks_close(*state, PX_OK);
    return 0;
}

int main(void) {
    const struct CMUnitTest single_process[] = {
        cmocka_unit_test(shares_cover_all_items_and_differ_by_one),
        cmocka_unit_test(groups_are_not_split),
        cmocka_unit_test(single_process_has_all_items),
        cmocka_unit_test(launchers_are_detected),
        cmocka_unit_test(gradients_of_parts_sum_to_those_of_the_batch),
        cmocka_unit_test(final_gradients_do_not_change),
    };
    const struct CMUnitTest distributed[] = {
        cmocka_unit_test(gather_gives_all_items_to_all_ranks),    cmocka_unit_test(broadcast_copies_from_rank_0),
        cmocka_unit_test(first_failure_is_returned_on_all_ranks), cmocka_unit_test(different_data_is_detected),
        cmocka_unit_test(gpu_used_by_two_ranks_is_detected),      cmocka_unit_test(sums_are_correct_and_reproducible),
        cmocka_unit_test(norm_is_that_of_own_gradients),          cmocka_unit_test(cores_are_divided_among_ranks),
    };
    return px_ranks_launched() ? cmocka_run_group_tests(distributed, open_ranks, close_ranks)
                               : cmocka_run_group_tests(single_process, NULL, NULL);
}

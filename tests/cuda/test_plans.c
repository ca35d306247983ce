/* Tests plans with the real cuDNN library and no GPU: plans are made for an H200 that is described to cuDNN. The test
 * shows that cuDNN accepts every graph that host/device/cuda/cudnn.c builds. For shapes of the models in configs/, it
 * checks which graphs have precompiled engines. Nothing is run. Engines that are compiled at run time (relu mask, add)
 * need a driver and are not available here. */
#include "host/device/cuda/cuda.h"
#include "tests/support/support.h"
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* An H200 in the JSON format of cuDNN's device properties. */
static const char h200[] =
    "{\"deviceName\": \"NVIDIA H200\", \"cudaDeviceId\": 0, \"pciDeviceId\": 0, \"deviceVer\": 900, \"driverVer\": "
    "13000,"
    " \"multiProcessorCount\": 132, \"warpSize\": 32, \"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": 2048,"
    " \"maxCtasPerSM\": 32, \"maxRegistersPerSM\": 65536, \"regsPerBlock\": 65536, \"maxSharedMemoryPerBlock\": 49152,"
    " \"maxSharedMemoryPerBlockOptin\": 232448, \"reservedSharedMemoryPerBlock\": 1024, \"l2CacheSize\": 62914560,"
    " \"totalGlobalMem\": 150000000000, \"smClockRateKHz\": 1980000, \"memClockRateKHz\": 3201000,"
    " \"supportCoopLaunch\": 1, \"isTccDriver\": 0, \"maxBlockSize\": [1024, 1024, 64],"
    " \"maxGridSize\": [2147483647, 65535, 65535]}";

static px_context ctx;
static px_cuda cuda;

static cudnnStatus_t describe(void) {
#if CUDNN_VERSION >= PX_CUDNN_DESCRIBES
    cudnnStatus_t status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &cuda.described);
    if (status == CUDNN_STATUS_SUCCESS)
        status = cudnnBackendSetAttribute(cuda.described, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                          (int64_t)sizeof h200, h200);
    return status == CUDNN_STATUS_SUCCESS ? cudnnBackendFinalize(cuda.described) : status;
#else
    (void)h200;
    return CUDNN_STATUS_NOT_SUPPORTED;
#endif
}

/* The masked convolutions of the models that are not 1 x 1. */
static const struct layer {
    const char *name;
    int rows, columns, centre, in, out;
} layers[] = {
    {"PixelCNN's 3 x 3, h 128", 2, 3, 1, 128, 128},
    {"PixelCNN's 3 x 3, h 16", 2, 3, 1, 16, 16},
    {"Row LSTM's 3 x 1, h 128", 1, 2, 1, 256, 512},
    {"Row LSTM's 3 x 1, h 512", 1, 2, 1, 1024, 2048},
};

static const struct want {
    const char *name;
    px_cudnn_pass pass;
    int64_t epilogues[PX_CUDNN_EPILOGUES];
    bool planned; /* cuDNN has a precompiled engine; otherwise no expectation */
} wants[] = {
    {"forward", PX_CUDNN_FORWARD, {0}, true},
    {"forward, bias", PX_CUDNN_FORWARD, {[PX_CUDNN_BIAS] = 1}, true},
    {"forward, bias, relu", PX_CUDNN_FORWARD, {[PX_CUDNN_BIAS] = 1, [PX_CUDNN_RELU] = 1}, true},
    {"forward, bias, add, relu",
     PX_CUDNN_FORWARD,
     {[PX_CUDNN_BIAS] = 1, [PX_CUDNN_ADD] = 1, [PX_CUDNN_RELU] = 1},
     false},
    {"input gradient", PX_CUDNN_INPUT_GRADIENT, {0}, true},
    {"input gradient, relu mask", PX_CUDNN_INPUT_GRADIENT, {[PX_CUDNN_RELU_MASK] = 1}, false},
    {"input gradient, relu mask, add", PX_CUDNN_INPUT_GRADIENT, {[PX_CUDNN_RELU_MASK] = 1, [PX_CUDNN_ADD] = 1}, false},
};

static px_cudnn_shape shape_of(const struct layer *layer, const struct want *want, px_type type) {
    px_cudnn_shape shape = {.pass = want->pass,
                            .type = type,
                            .images = 16,
                            .height = 32,
                            .width = 32,
                            .in = layer->in,
                            .out = layer->out,
                            .rows = layer->rows,
                            .columns = layer->columns,
                            .centre = layer->centre};
    memcpy(shape.epilogues, want->epilogues, sizeof shape.epilogues);
    return shape;
}

/* Each in bfloat16, then in float32 with TF32. */
#define GRAPHS (2 * COUNT(layers) * COUNT(wants))

static void test_plans(void **state) {
    (void)state;
    int planned = 0;
    if (describe() != CUDNN_STATUS_SUCCESS) {
        print_message("SKIP: cuDNN %zu does not accept this description of a GPU\n", cudnnGetVersion());
        skip();
    }
    cuda.base.ctx = &ctx;
    cuda.convolutions = (px_cuda_cache){.key_size = sizeof(px_cudnn_shape), .release = px_cudnn_plan_release};
    for (size_t i = 0; i < GRAPHS; i++) {
        const struct layer *layer = &layers[i / COUNT(wants) % COUNT(layers)];
        const struct want *want = &wants[i % COUNT(wants)];
        const px_cudnn_shape shape = shape_of(layer, want, i < GRAPHS / 2 ? PX_BF16 : PX_REAL);
        const px_cudnn_plan *plan;
        if (px_cudnn_plan_find(&cuda, &shape, &plan) != PX_OK || cuda.base.warning[0])
            fail_msg("%s, %s: %s%s", layer->name, want->name, ctx.message, cuda.base.warning);
        if (want->planned && !plan) fail_msg("%s, %s: cuDNN has no plan", layer->name, want->name);
        planned += plan != NULL;
    }
    print_message("  cuDNN %zu: %d of %zu graphs have precompiled engines on an H200\n", cudnnGetVersion(), planned,
                  GRAPHS);
    px_cuda_cache_clear(&cuda.convolutions);
    cudnnBackendDestroyDescriptor(cuda.described);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plans)};
    return cmocka_run_group_tests_name("cuDNN's plans for a described GPU", tests, NULL, NULL);
}

/* CUDA graphs, captured from the device's stream. */
#include "host/device/cuda/cuda.h"

px_status px_cuda_graph_begin(px_device *device) {
    return px_cuda_check(device, cudaStreamBeginCapture(px_cuda_stream(device), cudaStreamCaptureModeThreadLocal),
                         "begin the capture of a graph");
}

px_status px_cuda_graph_end(px_device *device, void **graph) {
    cudaGraph_t captured = NULL;
    cudaGraphExec_t executable = NULL;
    *graph = NULL;
    PX_TRY(
        px_cuda_check(device, cudaStreamEndCapture(px_cuda_stream(device), &captured), "end the capture of a graph"));
    const px_status status = px_cuda_check(device, cudaGraphInstantiate(&executable, captured, 0),
                                           "instantiate a graph");
    cudaGraphDestroy(captured);
    *graph = executable;
    return status;
}

px_status px_cuda_graph_run(px_device *device, void *graph) {
    return px_cuda_check(device, cudaGraphLaunch((cudaGraphExec_t)graph, px_cuda_stream(device)), "launch a graph");
}

px_status px_cuda_graph_destroy(px_device *device, void *graph) {
    return px_cuda_check(device, cudaGraphExecDestroy((cudaGraphExec_t)graph), "destroy a graph");
}

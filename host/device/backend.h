/* A device: a table of operations on tensors, with one backend for the CPU and one for CUDA.
 *
 * Models, optimisers and samplers speak to this table alone. Every operation takes one descriptor, px_NAME_args; it
 * runs in order on the device's stream, may return before the work is done (px_download and synchronize wait),
 * allocates nothing, and returns PX_ERR_DEVICE with a message if a library or a launch fails. Sizes are the caller's
 * promise: the model checks them once, when it is made. Outputs must not alias inputs unless the descriptor says so.
 *
 * A device has one precision, the type of its activations (px_device.activation): PX_REAL, or PX_BF16 for bfloat16.
 * Tensors that a descriptor marks "activation" are of that type; all others that are not said to be something else are
 * PX_REAL: cell states, gradients of weights, losses. Weights and biases that are read have the type of the
 * activations. Arithmetic is float32 in either case: a kernel rounds when it stores, a product sums in float32 and
 * rounds its result.
 *
 * The list PX_DEVICE_OPS is the only place where the operations are counted: the tables, both backends and the parity
 * test are made from it, and an operation missing from a backend is a link error. */
#ifndef PIXELRNN_DEVICE_BACKEND_H
#define PIXELRNN_DEVICE_BACKEND_H

#include "kernels/portable/inline.h"
#include "pixelrnn/device.h"
#include "pixelrnn/tensor.h"
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* C = op(A) op(B) + beta C for `batch` problems, all row-major; op(A) is m x k, op(B) k x n, C m x n.
 * Leading dimensions ld_* and the distances between problems step_* are in elements. With k = 0, beta must be 0 or 1.
 * Sums are float32; types are PX_REAL for all, or PX_BF16 for the operands and either for the result. */
typedef struct px_gemm_args {
    bool transpose_a, transpose_b;
    size_t m, n, k;
    px_type operands, result; /* of a and b; of c */
    const void *a, *b;
    void *c;
    size_t ld_a, ld_b, ld_c;
    px_real beta;
    int batch;
    ptrdiff_t stride_a, stride_b, stride_c;
} px_gemm_args;

/* Where the taps of a convolution read, relative to the pixel they write: (row, column) offsets.
 * Taps are stored in the order of the weight tensor; `live` of the `stored` taps exist (the live ones are a prefix),
 * the rest lies to the right of the centre in the centre row; its weights are 0 and may be read or not. */
enum { PX_MAX_TAPS = 28 };
typedef struct px_tap {
    int row, column;
} px_tap;
typedef struct px_taps {
    int stored, live;
    int rows, columns; /* a top-half rectangle whose last row is the pixel's own; 0 x 0 for a plain list */
    int centre;        /* column of the pixel itself within the rectangle */
    px_tap at[PX_MAX_TAPS];
} px_taps;

/* A 1 x 1 convolution: a matrix product, nothing to gather. */
static inline bool px_taps_are_the_pixel(const px_taps *taps) {
    return taps->live == 1 && taps->at[0].row == 0 && taps->at[0].column == 0;
}

/* y = add + bias + sum over live taps t of W_t x(pixel + offset_t), x being 0 outside its image; with rectify, relu(x);
 * with rectify_y, y is relu of all that. An absent bias or add counts as 0. add may be y. P = pixels of grid. */
typedef struct px_convolve_args {
    px_grid grid;
    px_taps taps;
    bool relu, relu_y;
    px_tensor x;      /* [in]  (P, in) activation */
    px_tensor weight; /* [in]  (out, stored * in) as activations */
    px_tensor bias;   /* [in]  (1, out) as activations, or absent */
    px_tensor add;    /* [in]  (P, out) activation or absent */
    px_tensor y;      /* [out] (P, out) activation */
} px_convolve_args;

/* dx = add + sum over live taps t of W_t^T dy(pixel - offset_t); with rectify the sum is kept only where x > 0, which
 * is where relu(x) > 0, so that x may be stored either way. add may be dx. */
typedef struct px_convolve_input_gradient_args {
    px_grid grid;
    px_taps taps;
    bool relu;
    px_tensor dy;     /* [in]  (P, out) activation */
    px_tensor weight; /* [in]  (out, stored * in) as activations */
    px_tensor x;      /* [in]  (P, in) activation, read only with rectify */
    px_tensor add;    /* [in]  (P, in) activation or absent */
    px_tensor dx;     /* [out] (P, in) activation */
} px_convolve_input_gradient_args;

/* dW_t = sum over pixels of dy(pixel) x(pixel + offset_t)^T, dbias = sum over pixels of dy; with rectify, of relu(x).
 * Taps that are not live keep what dweight holds. Sums run in an order that depends on the shapes alone. */
typedef struct px_convolve_weight_gradient_args {
    px_grid grid;
    px_taps taps;
    bool relu;
    px_tensor x;       /* [in]  (P, in) activation */
    px_tensor dy;      /* [in]  (P, out) activation */
    px_tensor dweight; /* [out] (out, stored * in) */
    px_tensor dbias;   /* [out] (1, out) or absent */
} px_convolve_weight_gradient_args;

/* Makes the columns of a convolution: y(pixel * live + t, :) = x(pixel + offset_t, :), or relu of it, or 0 outside.
 * mirror reads pixel - offset_t instead (input gradients). Row 0 of y belongs to pixel `first`. */
typedef struct px_im2col_args {
    px_grid grid;
    px_taps taps;
    bool relu, mirror;
    size_t first;
    px_tensor x; /* [in]  (P, F) activation */
    px_tensor y; /* [out] (pixels * live, F) activation */
} px_im2col_args;

/* y = sum + bias + add; with gate present, sum counts only where gate > 0; with rectify, y is relu of all that. Any of
 * sum and add may be y. */
typedef struct px_bias_add_relu_args {
    bool relu;
    px_tensor sum;       /* [in]  (R, F) activation or absent */
    px_tensor bias;      /* [in]  (1, F) as activations, or absent */
    px_tensor add;       /* [in]  (R, F) activation or absent */
    px_tensor relu_mask; /* [in]  (R, F) activation or absent */
    px_tensor y;         /* [out] (R, F) activation */
} px_bias_add_relu_args;

/* y = x, as activations are stored. */
typedef struct px_cast_args {
    px_tensor x; /* [in]  (R, F) */
    px_tensor y; /* [out] (R, F) activation */
} px_cast_args;

/* y(s, f) = sum over the rows s R / S .. (s + 1) R / S - 1 of x(row, f), in their order. */
typedef struct px_sum_rows_args {
    px_tensor x; /* [in]  (R, F) activation */
    px_tensor y; /* [out] (S, F) */
} px_sum_rows_args;

/* y(i, j) = add(i, j) + x(i - down, j) in every image, x being 0 outside. add may be y or absent. */
typedef struct px_shift_rows_args {
    px_grid grid;
    int down;
    px_tensor x, add; /* [in]  (P, F) activation */
    px_tensor y;      /* [out] (P, F) activation */
} px_shift_rows_args;

/* Colour-group mask of a weight's centre tap: sets to 0 what mask A or B does not keep, and every tap past the centre.
 * Output b belongs to group (b mod period) * colours / period, input a to a * colours / inputs; kept when
 * group(a) < group(b) (strict, mask A) or group(a) <= group(b) (mask B). */
typedef struct px_mask_args {
    px_tensor weight; /* [in, out] (out, stored * inputs) */
    int inputs, centre, colours, period;
    bool strict;
} px_mask_args;

/* values(r, c) = 2 * level / (levels - 1) - 1, the level being image(r, first + c). */
typedef struct px_normalize_args {
    px_tensor image;  /* [in]  (R, columns) PX_UINT8 */
    px_tensor values; /* [out] (R, C) activation */
    int levels, first;
} px_normalize_args;

/* sum += bias + add, y = sum and rectified = max(sum, 0), in columns first .. first + count - 1 of every row: the
 * pointwise end of a layer of which only one colour group is due. */
typedef struct px_activate_args {
    px_tensor sum;      /* [in, out] (R, F) */
    px_tensor bias;     /* [in]  (1, F) as activations */
    px_tensor add;      /* [in]  (R, F) activation or absent */
    px_tensor y;        /* [out] (R, F) activation or absent */
    px_tensor relu_out; /* [out] (R, F) activation or absent */
    int first, count;
} px_activate_args;

/* The order of the gates in every tensor and tensor of 4 D columns. */
enum { PX_GATE_O, PX_GATE_F, PX_GATE_I, PX_GATE_G, PX_GATES };

/* The recurrence behind Row LSTM and Diagonal BiLSTM: `steps` steps over `positions` positions of `images` images, with
 * D = hidden channels. Position p is live for `length` steps, from step skew * p on (skew is 0 for rows, 1 for
 * diagonals). At step t it is the pixel
 *     origin + t * stride_step + p * stride_position        of its image: kernels/skew.h.
 *   pre(t, p)   = input_to_state(pixel) + sum over taps k of W_k h(t - 1, p + first_tap + k)
 *   o, f, i, g  = sigmoid, sigmoid, sigmoid, tanh of the four parts of pre
 *   c(t, p)     = f * c(t - 1, p) + i * g,   h(t, p) = o * tanh(c(t, p))
 * h and c are 0 where a position is not live. (van den Oord et al. 2016, eq. 3.)
 *
 * Forward:  gates [in] input_to_state + bias, [out] activated gates, saved for backward. c, h [out].
 * Backward: dh [in] gradient of h; gates [in] activated gates, [out] gradient of pre; c [in]. The caller computes the
 *           gradients of the weights afterwards, as convolutions over gates and h.
 * Two directions run side by side. Their weights must lie in one allocation. */
enum { PX_MAX_DIRECTIONS = 2 };
typedef struct px_recurrence_direction {
    ptrdiff_t origin, stride_step, stride_position; /* in pixels of one image */
    px_tensor weight;                               /* (4 D, taps * D) as activations */
    px_tensor gates;                                /* (P, 4 D) activation */
    px_tensor c;                                    /* (P, D) */
    px_tensor h, dh;                                /* (P, D) activation */
} px_recurrence_direction;
typedef struct px_recurrence_args {
    px_grid grid;
    int steps, positions, skew, length;
    int taps, first_tap;
    int hidden;
    int directions;
    px_recurrence_direction direction[PX_MAX_DIRECTIONS];
    px_tensor temporary; /* px_recurrence_temporary_bytes bytes, PX_UINT8; contents do not matter */
} px_recurrence_args;
typedef px_recurrence_args px_recurrence_forward_args;
typedef px_recurrence_args px_recurrence_backward_args;

/* Bytes of temporary memory that a recurrence of these sizes needs. */
size_t px_recurrence_temporary_bytes(const px_recurrence_args *recurrence);

/* One step of a recurrence: the pointwise half of the LSTM cell, for its live positions. Its rows are
 * (direction * live + position - first) * images + image, and product is (directions * live * images, 4 D).
 * operand is (directions * (positions + 2) * images, taps * D), with a guard position on either side. Its row
 * (direction * (positions + 2) + position + 1) * images + image holds h(t - 1) of the position's taps.
 * The tensor that a product reads is an activation; the tensor that a product writes is PX_REAL. */
typedef struct px_lstm_cell_args {
    px_recurrence_args recurrence;
    int step;
    px_tensor product; /* forward: [in] recurrent half of pre;  backward: [out] activation, gradient of pre */
    px_tensor
        operand; /* forward: [out] activation, the next step's taps;  backward: [in] gradient of step + 1's operand */
    px_tensor grad_c; /* backward: [in, out] gradient of c, (directions * positions * images, D) */
} px_lstm_cell_args;
typedef px_lstm_cell_args px_lstm_cell_forward_args;
typedef px_lstm_cell_args px_lstm_cell_backward_args;

/* The LSTM cell outside a recurrence, of features first .. first + count - 1, for R rows of each of `layers` layers:
 *   o, f, i, g = sigmoid, sigmoid, sigmoid, tanh of the four parts of pre + bias
 *   c = f * c + i * g in place,   h = o * tanh(c),   sum = h + add
 * Tensors hold the first layer's rows; layer l's lie l * step_NAME rows further on, its bias l * step_bias elements. */
typedef struct px_lstm_update_args {
    px_tensor pre;      /* [in]      (R, 4 D) */
    px_tensor bias;     /* [in]      (1, 4 D) as activations */
    px_tensor c;        /* [in, out] (R, D) */
    px_tensor h;        /* [out]     (R, D) activation */
    px_tensor add, sum; /* [in], [out] (R, D) activation, sum or both may be absent; their steps are those of h and c */
    int first, count;
    int layers;
    size_t stride_pre, stride_bias, stride_c, stride_h;
} px_lstm_update_args;

/* nll(r) = logsumexp(logits(r, :)) - logits(r, target(r)); with gradient, logits are replaced by
 * (softmax - onehot(target)) * scale. */
typedef struct px_softmax_nll_args {
    px_tensor logits; /* [in, out] (R, L) activation */
    px_tensor target; /* [in]  (R, 1) PX_UINT8, < L */
    px_tensor nll;    /* [out] (R, 1) */
    bool gradient;
    px_real scale;
} px_softmax_nll_args;

/* sum(n) = sum of the columns of row n of x, in double. */
typedef struct px_sum_columns_args {
    px_tensor x;   /* [in]  (N, M) */
    px_tensor sum; /* [out] (N, 1) PX_FLOAT64 */
} px_sum_columns_args;

/* Draws value `column` of each image from softmax(logits / temperature) by inversion, with the uniform number of
 * (seed, first_image + row, place); nats += -ln of its probability at temperature 1. */
typedef struct px_sample_args {
    px_tensor logits; /* [in]  (N, stride) activation: the L logits of the value start at column `offset` of row n */
    px_tensor image;  /* [out] (N, values) PX_UINT8 */
    px_tensor nats;   /* [in, out] (N, 1) PX_FLOAT64 or absent */
    size_t offset;
    int levels, column;
    px_real temperature;
    uint64_t seed, first_image, place;
} px_sample_args;
/* The place of a value in its image, as its random number is keyed. */
static inline uint64_t px_sample_key(int row, int column, int channel) {
    return (uint64_t)row << 32 | (uint64_t)column << 8 | (uint64_t)channel;
}

/* Sums of squares, one per row: the first half of a global norm. */
typedef struct px_sum_squares_args {
    px_tensor x;   /* [in]  (R, F) */
    px_tensor sum; /* [out] (R, 1) PX_FLOAT64 */
} px_sum_squares_args;

/* norm = sqrt of the sum of squares; scale = min(1, clip / norm), or 1 when clip is 0. */
typedef struct px_clip_args {
    px_tensor squares; /* [in]  (R, 1) PX_FLOAT64 */
    px_tensor scale;   /* [out] (1, 2) PX_FLOAT64: scale, norm */
    double clip;
} px_clip_args;

/* y(0, i) = value[i] for each column i of y: a few numbers, copied when this is called, so nothing on the host need
 * stay for them. They reach the device beside a recorded graph, which reads them where they lie. */
enum { PX_MAX_SCALARS = 4 };
typedef struct px_upload_scalars_args {
    px_tensor y; /* [out] (1, up to PX_MAX_SCALARS) PX_FLOAT64 */
    double value[PX_MAX_SCALARS];
} px_upload_scalars_args;

/* Optimiser updates over all parameters at once; every gradient is read as scale(0) * g. rate and corrections are
 * numbers of the update, in the device's memory: one recorded update serves for all (px_upload_scalars_args).
 *   SGD:      w -= rate * g
 *   RMSProp:  v = rho * v + (1 - rho) * g^2;  w -= rate * g / (sqrt(v) + epsilon)
 *   Adam:     m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2;
 *             w -= rate * (m / correction1) / (sqrt(v / correction2) + epsilon), correction_i = 1 - beta_i^step */
enum { PX_UPDATE_RATE, PX_UPDATE_CORRECTION1, PX_UPDATE_CORRECTION2, PX_UPDATE_NUMBERS };
typedef struct px_sgd_args {
    px_tensor weights, gradients; /* (R, F) */
    px_tensor scale;              /* [in] (1, 2) PX_FLOAT64 */
    px_tensor numbers;            /* [in] (1, PX_UPDATE_NUMBERS) PX_FLOAT64, read as reals */
} px_sgd_args;
typedef struct px_rmsprop_args {
    px_tensor weights, gradients, second; /* (R, F) */
    px_tensor scale, numbers;             /* as for SGD */
    px_real rho, epsilon;
} px_rmsprop_args;
typedef struct px_adam_args {
    px_tensor weights, gradients, first, second; /* (R, F) */
    px_tensor scale, numbers;                    /* as for SGD */
    px_real beta1, beta2, epsilon;
} px_adam_args;

/* average = decay * average + (1 - decay) * weights. */
typedef struct px_ema_args {
    px_tensor weights; /* [in]      (R, F) */
    px_tensor average; /* [in, out] (R, F) */
    px_real decay;
} px_ema_args;

/* A tape: operations recorded instead of run, for a group of images that needs nothing of any other group. Recorded
 * once, they are replayed for many groups at a time, each in a memory of its own of the same layout: an address within
 * the first `bytes` bytes from `memory` on, group 0's, stands for the same place of every group. Images are numbered
 * on from group to group, `images` each. Groups are independent workers: a thread each on the CPU, a cluster of blocks
 * on CUDA; within one, the steps follow each other. */
#define PX_COMMAND_OPS(X) X(gemm) X(normalize) X(activate) X(lstm_update) X(sample)
typedef struct px_clear_args {
    void *memory; /* set to 0 */
    size_t bytes;
} px_clear_args;
typedef enum {
#define PX_COMMAND_CODE(name) PX_COMMAND_##name,
    PX_COMMAND_OPS(PX_COMMAND_CODE)
#undef PX_COMMAND_CODE
        PX_COMMAND_clear
} px_command_op;
typedef struct px_device_command {
    px_command_op op;
    union {
#define PX_COMMAND_ARGS(name) px_##name##_args name;
        PX_COMMAND_OPS(PX_COMMAND_ARGS)
#undef PX_COMMAND_ARGS
        px_clear_args clear;
    } args;
} px_device_command;
typedef struct px_execute_args {
    const px_device_command *steps; /* in device memory */
    int count;
    int groups, images;
    char *memory;
    size_t bytes;
} px_execute_args;

/* Operations with a descriptor: what a model is made of. First the kernels that read or write activations, of which
 * there is one for each type of them (kernels/portable/portable.h), then those that no precision changes, or that look
 * at the types of their tensors themselves. */
#define PX_ACTIVATION_OPS(X)                                                                                           \
    X(lstm_cell_forward)                                                                                               \
    X(lstm_cell_backward)                                                                                              \
    X(lstm_update)                                                                                                     \
    X(im2col)                                                                                                          \
    X(bias_add_relu)                                                                                                   \
    X(cast)                                                                                                            \
    X(sum_rows)                                                                                                        \
    X(shift_rows)                                                                                                      \
    X(normalize)                                                                                                       \
    X(activate)                                                                                                        \
    X(softmax_nll)                                                                                                     \
    X(sample)
#define PX_COMMON_OPS(X)                                                                                               \
    X(gemm)                                                                                                            \
    X(convolve)                                                                                                        \
    X(convolve_input_gradient)                                                                                         \
    X(convolve_weight_gradient)                                                                                        \
    X(recurrence_forward)                                                                                              \
    X(recurrence_backward)                                                                                             \
    X(mask)                                                                                                            \
    X(sum_columns)                                                                                                     \
    X(sum_squares)                                                                                                     \
    X(clip)                                                                                                            \
    X(upload_scalars)                                                                                                  \
    X(sgd)                                                                                                             \
    X(rmsprop)                                                                                                         \
    X(adam)                                                                                                            \
    X(ema)                                                                                                             \
    X(execute)
#define PX_DEVICE_OPS(X)                                                                                               \
    PX_ACTIVATION_OPS(X)                                                                                               \
    PX_COMMON_OPS(X)

/* Memory: device memory (64-byte aligned at least), host memory that the device copies from fast (page-locked on CUDA),
 * copies in stream order. download and synchronize return when everything before them is done; until then what upload
 * reads must not change.
 *
 * Graphs, if px_device.graphs is true (host/device/graph.h uses them): operations issued between graph_begin and
 * graph_end are captured instead of run, with their addresses and numbers. graph_run runs all of them at the cost of
 * one launch, and may be called any number of times. The caller owns the graph, and frees it with graph_destroy.
 * Allocations, uploads, downloads and synchronisation cannot be captured. If an operation failed during the capture,
 * graph_end fails, *graph is NULL, and the device is as it was before graph_begin. */
#define PX_DEVICE_MEMORY(X)                                                                                            \
    X(allocate, (px_device * device, size_t bytes, void **memory))                                                     \
    X(free, (px_device * device, void *memory))                                                                        \
    X(allocate_host, (px_device * device, size_t bytes, void **memory))                                                \
    X(free_host, (px_device * device, void *memory))                                                                   \
    X(upload, (px_device * device, void *to, const void *from_host, size_t bytes))                                     \
    X(download, (px_device * device, void *to_host, const void *from, size_t bytes))                                   \
    X(copy, (px_device * device, void *to, const void *from, size_t bytes))                                            \
    X(clear, (px_device * device, void *memory, size_t bytes))                                                         \
    X(synchronize, (px_device * device))                                                                               \
    X(graph_begin, (px_device * device))                                                                               \
    X(graph_end, (px_device * device, void **graph))                                                                   \
    X(graph_run, (px_device * device, void *graph))                                                                    \
    X(graph_destroy, (px_device * device, void *graph))                                                                \
    X(close, (px_device * device))

typedef struct px_device_ops {
#define PX_DECLARE_OP(name)                px_status (*name)(px_device * device, const px_##name##_args *args);
#define PX_DECLARE_MEMORY(name, signature) px_status(*name) signature;
    PX_DEVICE_OPS(PX_DECLARE_OP)
    PX_DEVICE_MEMORY(PX_DECLARE_MEMORY)
#undef PX_DECLARE_OP
#undef PX_DECLARE_MEMORY
} px_device_ops;

enum { PX_LIMIT_NAME = 256 };

struct px_device {
    const px_device_ops *ops;
    px_context *ctx;
    px_type activation;    /* PX_REAL or PX_BF16 */
    const char *kind;      /* "cpu" or "cuda" */
    char description[128]; /* e.g. the processor's name */
    char identity[64];     /* of this very card, the same in every process; "" where processes may share */
    size_t memory;         /* bytes that may be held: of the card in all, or what limits left when it was opened */
    size_t held;           /* bytes of it that arenas hold now */
    bool graphs;           /* has them, and they are wanted */
    int workers;           /* groups of a tape that are replayed side by side; 0: what there is to do is launched */
    size_t workspace;      /* bytes that the device holds for itself: libraries' workspaces, panels */
    int capability;        /* CUDA: compute capability, 90 is 9.0; 0 on the CPU */
    int multiprocessors;   /* CUDA */
    size_t shared;         /* CUDA: bytes of shared memory that a block can have */
    /* What sets `memory`, e.g. "this machine's memory"; "": the device's own. */
    char limit[PX_LIMIT_NAME];
};

/* px_run(device, OP, .field = value, ...): runs one operation with a descriptor written in place. */
#define px_run(device, op, ...) ((device)->ops->op((device), &(px_##op##_args){__VA_ARGS__}))

/* The two backends. px_cuda_open reports PX_ERR_DEVICE in a build without CUDA; place -1: the runtime's current card.
 */
px_status px_cpu_open(px_context *ctx, px_type activation, px_device **device);
px_status px_cuda_open(px_context *ctx, px_type activation, int place, px_device **device);

#ifdef __cplusplus
}
#endif
#endif

/* The operations of a backend: one descriptor px_NAME_args each, with its equation, shapes, types and aliasing.
 *
 * A device has one precision, the type of its activations (px_device.activation): PX_REAL, or PX_BF16. In the comments
 * below, tensors marked "activation" have that type, and so do the weights and biases that an operation reads. All
 * other tensors are PX_REAL, unless a type is given: cell states, weight gradients, losses. Arithmetic is float32 in
 * either precision. A kernel rounds when it stores; a GEMM accumulates in float32 and rounds its result.
 *
 * Shapes are (rows, columns). N is the number of images, P the number of pixels of a grid (N * H * W), R any number of
 * rows, C channels, D hidden channels, L levels. [in], [out] and [in, out] say what is read and written. A tensor is
 * absent if its data is NULL. */
#ifndef PIXELRNN_DEVICE_OPERATIONS_H
#define PIXELRNN_DEVICE_OPERATIONS_H

#include "kernels/portable/inline.h"
#include "pixelrnn/tensor.h"
#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Matrix products and convolutions ---- */

/* C = op(A) op(B) + beta C for `batch` problems, all row-major. op(A) is m x k, op(B) is k x n, C is m x n. op
 * transposes if transpose_* is set. The leading dimensions ld_* and the distances stride_* between problems are in
 * elements; strides may be negative. With k = 0, beta must be 0 or 1. Either all types are PX_REAL, or the operands are
 * PX_BF16 and the result is PX_BF16 or PX_REAL. Sums are float32. C must not overlap A or B. */
typedef struct px_gemm_args {
    bool transpose_a, transpose_b;
    size_t m, n, k;
    px_type operands, result; /* types of a and b, and of c */
    const void *a, *b;
    void *c;
    size_t ld_a, ld_b, ld_c;
    px_real beta;
    int batch;
    ptrdiff_t stride_a, stride_b, stride_c;
} px_gemm_args;

/* The taps of a masked convolution: the (row, column) offsets, from the output pixel, of the pixels that it reads. Taps
 * are in the order of the weight tensor. The first `live` of the `stored` taps are used. The others lie to the right of
 * the centre in the last row; their weights are 0, so that an implementation may read or skip them. */
enum { PX_MAX_TAPS = 28 };
typedef struct px_tap {
    int row, column;
} px_tap;
typedef struct px_taps {
    int stored, live;
    int rows, columns; /* a filter whose last row is the output pixel's own; 0 x 0 if the taps fill no rectangle */
    int centre;        /* the output pixel's column within the filter */
    px_tap at[PX_MAX_TAPS];
} px_taps;

/* Whether the convolution is 1 x 1, a matrix product that needs no im2col. */
static inline bool px_taps_are_the_pixel(const px_taps *taps) {
    return taps->live == 1 && taps->at[0].row == 0 && taps->at[0].column == 0;
}

/* The first of `features` features that belongs to a colour group or a later one: feature f belongs to group
 * floor(f * colours / features). */
PX_HOST_DEVICE size_t px_colour_first(size_t features, int colours, int colour) {
    return ((size_t)colour * features + (size_t)colours - 1) / (size_t)colours;
}

/* The convolutions below have a field `colours`: 0, or the number of colour groups of a 1 x 1 convolution with mask B.
 * An output then reads the inputs of its own group and of the groups before; the other elements of the weight are 0,
 * and an implementation may skip them. */

/* y = add + bias + sum over live taps t of W_t x(pixel + offset_t). x is 0 outside its image. With relu, relu(x) is
 * read instead of x; with relu_y, y is relu of the whole sum. An absent bias or add counts as 0. add may be y. The bias
 * has one row for all pixels, or one for each image. */
typedef struct px_convolve_args {
    px_grid grid;
    px_taps taps;
    int colours;
    bool relu, relu_y;
    px_tensor x;      /* [in]  (P, in) activation */
    px_tensor weight; /* [in]  (out, stored * in) activation */
    px_tensor bias;   /* [in]  (1, out) or (N, out) activation, or absent */
    px_tensor add;    /* [in]  (P, out) activation, or absent */
    px_tensor y;      /* [out] (P, out) activation */
} px_convolve_args;

/* dx = add + sum over live taps t of W_t^T dy(pixel - offset_t). With relu, the sum (without add) is set to 0 where x
 * <= 0. This holds for relu(x) too, so that x may be stored before or after its relu. add may be dx. */
typedef struct px_convolve_input_gradient_args {
    px_grid grid;
    px_taps taps;
    int colours;
    bool relu;
    px_tensor dy;     /* [in]  (P, out) activation */
    px_tensor weight; /* [in]  (out, stored * in) activation */
    px_tensor x;      /* [in]  (P, in) activation, read only with relu */
    px_tensor add;    /* [in]  (P, in) activation, or absent */
    px_tensor dx;     /* [out] (P, in) activation */
} px_convolve_input_gradient_args;

/* dW_t = sum over pixels of dy(pixel) x(pixel + offset_t)^T, and dbias = sum over pixels of dy, over all or over those
 * of each image. An absent gradient is not computed. With relu, relu(x) is read instead of x. Taps that are not live
 * keep their old values in dweight; elements that `colours` lets skip are undefined. The order of the sums depends on
 * the shapes alone. */
typedef struct px_convolve_weight_gradient_args {
    px_grid grid;
    px_taps taps;
    int colours;
    bool relu;
    px_tensor x;       /* [in]  (P, in) activation */
    px_tensor dy;      /* [in]  (P, out) activation */
    px_tensor dweight; /* [out] (out, stored * in), or absent */
    px_tensor dbias;   /* [out] (1, out) or (N, out), or absent */
} px_convolve_weight_gradient_args;

/* im2col for the pixels from `first` on: y((pixel - first) * live + t, :) = x(pixel + offset_t, :), 0 outside the
 * image. With relu, relu(x) is copied. With mirror, x(pixel - offset_t) is read instead, as input gradients need. */
typedef struct px_im2col_args {
    px_grid grid;
    px_taps taps;
    bool relu, mirror;
    size_t first;
    px_tensor x; /* [in]  (P, C) activation */
    px_tensor y; /* [out] (pixels * live, C) activation */
} px_im2col_args;

/* ---- Pointwise operations and sums ---- */

/* y = sum + bias + add, the pointwise epilogue of a convolution. If relu_mask is present, sum counts as 0 where
 * relu_mask <= 0. With relu, y is relu of the whole. Absent tensors count as 0. sum and add may be y. The bias of row r
 * is row r S / R. */
typedef struct px_bias_add_relu_args {
    bool relu;
    px_tensor sum;       /* [in]  (R, C) activation, or absent */
    px_tensor bias;      /* [in]  (S, C) activation, or absent; S divides R */
    px_tensor add;       /* [in]  (R, C) activation, or absent */
    px_tensor relu_mask; /* [in]  (R, C) activation, or absent */
    px_tensor y;         /* [out] (R, C) activation */
} px_bias_add_relu_args;

/* y = x, rounded to the type of activations. */
typedef struct px_cast_args {
    px_tensor x; /* [in]  (R, C) */
    px_tensor y; /* [out] (R, C) activation */
} px_cast_args;

/* y(s, c) = sum over the rows s R / S .. (s + 1) R / S - 1 of x(row, c), in ascending order. */
typedef struct px_sum_rows_args {
    px_tensor x; /* [in]  (R, C) activation */
    px_tensor y; /* [out] (S, C) */
} px_sum_rows_args;

/* y(i, j) = add(i, j) + x(i - down, j) in every image. x is 0 outside its image. add may be y. */
typedef struct px_shift_rows_args {
    px_grid grid;
    int down;
    px_tensor x;   /* [in]  (P, C) activation */
    px_tensor add; /* [in]  (P, C) activation, or absent */
    px_tensor y;   /* [out] (P, C) activation */
} px_shift_rows_args;

/* Applies the colour mask to a weight: sets to 0 the elements of the centre tap that mask A or B excludes, and all taps
 * behind the centre. Output b belongs to group (b mod period) * colours / period, input a to group a * colours /
 * inputs. An element is kept if group(a) < group(b) (strict, mask A) or group(a) <= group(b) (mask B). */
typedef struct px_mask_args {
    px_tensor weight; /* [in, out] (out, stored * inputs) */
    int inputs, centre, colours, period;
    bool strict;
} px_mask_args;

/* values(r, c) = 2 * image(r, row * row_values + first + c) / (levels - 1) - 1, where row is numbers(0, PX_SAMPLE_ROW),
 * or 0 if numbers are absent. */
typedef struct px_normalize_args {
    px_tensor image;   /* [in]  (R, columns) PX_UINT8 */
    px_tensor values;  /* [out] (R, C) activation */
    px_tensor numbers; /* [in]  (1, PX_SAMPLE_NUMBERS) PX_FLOAT64, see px_sample_args, or absent */
    int levels, row_values, first;
} px_normalize_args;

/* y(r, k) = 1 if k is the label of row r, else 0. A label is a 16-bit integer, low byte first. */
typedef struct px_one_hot_args {
    px_tensor labels; /* [in]  (R, 2) PX_UINT8 */
    px_tensor y;      /* [out] (R, K) activation */
} px_one_hot_args;

/* y(2 i + a, 2 j + b, f) = relu(x(i, j, 4 f + 2 a + b) + bias(f)) for a, b in 0, 1, in every image. After a 1 x 1
 * convolution to 4 F features, this is a deconvolution of kernel and stride 2, with relu. */
typedef struct px_pixel_shuffle_args {
    px_grid grid;   /* of x; that of y is twice as high and wide */
    px_tensor x;    /* [in]  (P, 4 F) activation */
    px_tensor bias; /* [in]  (1, F) activation */
    px_tensor y;    /* [out] (4 P, F) activation */
} px_pixel_shuffle_args;

/* x(i, j, 4 f + 2 a + b) = y(2 i + a, 2 j + b, f). */
typedef struct px_pixel_unshuffle_args {
    px_grid grid; /* of x */
    px_tensor y;  /* [in]  (4 P, F) activation */
    px_tensor x;  /* [out] (P, 4 F) activation */
} px_pixel_unshuffle_args;

/* y(column * N + n, :) = x((n H + row) W + column, :), where row is numbers(0, PX_SAMPLE_ROW): a row of pixels of all
 * images, those of a pixel side by side. */
typedef struct px_gather_row_args {
    px_grid grid;      /* of x */
    px_tensor x;       /* [in]  (P, C) activation */
    px_tensor numbers; /* [in]  (1, PX_SAMPLE_NUMBERS) PX_FLOAT64 */
    px_tensor y;       /* [out] (W N, C) activation */
} px_gather_row_args;

/* sum += bias + add; y = sum; relu_out = max(sum, 0), all in columns first .. first + count - 1 of every row. Samplers
 * use it as the pointwise epilogue of a layer when only one colour group is computed. */
typedef struct px_activate_args {
    px_tensor sum;      /* [in, out] (R, C) */
    px_tensor bias;     /* [in]  (1, C) or (R, C) activation */
    px_tensor add;      /* [in]  (R, C) activation, or absent */
    px_tensor y;        /* [out] (R, C) activation, or absent */
    px_tensor relu_out; /* [out] (R, C) activation, or absent */
    int first, count;
} px_activate_args;

/* ---- Recurrences ---- */

/* The order of the four gates in the 4 D columns of gates, pre-activations and biases. */
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
    px_tensor temporary; /* px_device_ops.recurrence_bytes bytes, PX_UINT8; contents do not matter */
} px_recurrence_args;
typedef px_recurrence_args px_recurrence_forward_args;
typedef px_recurrence_args px_recurrence_backward_args;

/* Copies the rows of one direction, as bytes, between image order and step order (kernels/skew.h). skew reads `pixels`
 * and writes the live positions of `steps`; unskew reads those and writes `pixels`. */
typedef struct px_skew_args {
    px_recurrence_args recurrence;
    int direction;
    px_tensor pixels; /* (P, even number) PX_UINT8, in image order */
    px_tensor steps;  /* (px_step_order_rows, the same) PX_UINT8, in step order */
} px_skew_args;
typedef px_skew_args px_unskew_args;

/* The rows of a recurrence step in a tensor: the row of (direction, position, image) is
 *     first + direction * stride_direction + position * stride_position + image * stride_image.
 * Positions count from the first live one of the step. */
typedef struct px_step_rows {
    ptrdiff_t first, stride_direction, stride_position, stride_image;
} px_step_rows;

/* The pointwise part of a recurrence step: the LSTM cell, forward or backward, of R = directions * positions * images
 * rows. Row (direction * positions + position) * images + image of `product` and `tap` belongs to that position. The
 * tensors of `tap` have at least D columns, of which the first D are used. An absent tensor counts as 0, or is not
 * written. Positions count from the first live one; the c of those from `continued` on was 0 before this step.
 *   Forward:  pre = gates + product; gates, c, h as for px_recurrence_args; tap[i] = h, for the product of the next
 *             step.
 *   Backward: dh + sum of tap[i] is the gradient of h; gates and product receive the gradient of pre. */
enum { PX_MAX_STEP_TAPS = 3 };
typedef struct px_lstm_cell_args {
    int directions, positions, images, hidden;
    int continued;
    px_step_rows rows;    /* of this step, in gates, c, h and dh */
    px_step_rows before;  /* of the step before, in c */
    px_step_rows carried; /* in grad_c */
    px_tensor gates;      /* [in, out] (., 4 D) activation */
    px_tensor c;          /* (., D). Forward: [in] of the step before, [out]. Backward: [in] */
    px_tensor h;          /* Forward: [out] (., D) activation */
    px_tensor dh;         /* Backward: [in] (., D) activation */
    px_tensor grad_c;     /* Backward: [in, out] (., D): in, the gradient of c; out, of c of the step before */
    px_tensor product;    /* Forward: [in] (R, 4 D). Backward: [out] (R, 4 D) activation, or absent */
    px_tensor tap[PX_MAX_STEP_TAPS]; /* Forward: [out] activation, or absent. Backward: [in] PX_REAL, or absent */
    px_tensor zeros;                 /* [in] (1, D) PX_REAL, 0. A load without a branch is faster */
} px_lstm_cell_args;
typedef px_lstm_cell_args px_lstm_cell_forward_args;
typedef px_lstm_cell_args px_lstm_cell_backward_args;

/* The LSTM cell outside a recurrence, for hidden channels first .. first + count - 1 and R rows in each of `layers`
 * layers:
 *   o, f, i, g = sigmoid, sigmoid, sigmoid, tanh of the four parts of pre + bias
 *   c = f * c + i * g,   h = o * tanh(c),   sum = h + add
 * The tensors describe layer 0. Layer l lies l * stride_* rows behind it in pre, c and h, and l * stride_bias elements
 * behind it in bias. add and sum have the stride of h. */
typedef struct px_lstm_update_args {
    px_tensor pre;      /* [in]      (R, 4 D) */
    px_tensor bias;     /* [in]      (1, 4 D) or (R, 4 D) activation */
    px_tensor c;        /* [in, out] (R, D) */
    px_tensor h;        /* [out]     (R, D) activation */
    px_tensor add, sum; /* [in], [out] (R, D) activation; sum, or both, may be absent */
    int first, count;
    int layers;
    size_t stride_pre, stride_bias, stride_c, stride_h;
} px_lstm_update_args;

/* ---- Loss and sampling ---- */

/* nll(r) = logsumexp(logits(r, :)) - logits(r, target(r)). With gradient, logits are then overwritten by (softmax -
 * onehot(target)) * scale. */
typedef struct px_softmax_nll_args {
    px_tensor logits; /* [in, out] (R, L) activation */
    px_tensor target; /* [in]  (R, 1) PX_UINT8, below L */
    px_tensor nll;    /* [out] (R, 1), nats */
    bool gradient;
    px_real scale;
} px_softmax_nll_args;

/* sum(n) = sum of the columns of row n of x, accumulated in float64. */
typedef struct px_sum_columns_args {
    px_tensor x;   /* [in]  (N, C) */
    px_tensor sum; /* [out] (N, 1) PX_FLOAT64 */
} px_sum_columns_args;

/* Samples value `value` of a row of pixels, in each image, from softmax(logits / temperature) by inversion. The uniform
 * number of image n is Philox of (seed, first_image + n, row << 32 | key), where `key` is px_sample_key of the value.
 * Adds -ln p of the value, at temperature 1, to nats. The row, the seed in two halves of 32 bits, first_image (below
 * 2^53) and the temperature are the elements of `numbers`, in device memory, so that a captured graph serves every row.
 */
enum {
    PX_SAMPLE_ROW,
    PX_SAMPLE_SEED_HIGH,
    PX_SAMPLE_SEED_LOW,
    PX_SAMPLE_FIRST_IMAGE,
    PX_SAMPLE_TEMPERATURE,
    PX_SAMPLE_NUMBERS
};
typedef struct px_sample_args {
    px_tensor logits;  /* [in]  (N, stride) activation; the L logits start at column `offset` of each row */
    px_tensor image;   /* [out] (N, H * row_values) PX_UINT8 */
    px_tensor nats;    /* [in, out] (N, 1) PX_FLOAT64, or absent */
    px_tensor numbers; /* [in]  (1, PX_SAMPLE_NUMBERS) PX_FLOAT64 */
    size_t offset;
    int levels, row_values, value;
    uint64_t key;
} px_sample_args;
/* The key of a value within its row, for px_sample_args.key. */
static inline uint64_t px_sample_key(int column, int channel) { return (uint64_t)column << 8 | (uint64_t)channel; }

/* ---- Optimisers ---- */

/* sum += x: the sum of gradients over the micro-batches of a step. */
typedef struct px_add_gradients_args {
    px_tensor x;   /* [in]      (R, C) */
    px_tensor sum; /* [in, out] (R, C) */
} px_add_gradients_args;

/* sum(r) = sum of the squares of row r of x: the first half of a global norm. */
typedef struct px_sum_squares_args {
    px_tensor x;   /* [in]  (R, C) */
    px_tensor sum; /* [out] (R, 1) PX_FLOAT64 */
} px_sum_squares_args;

/* norm = sqrt(sum of squares); scale = min(1, clip / norm), or 1 if clip is 0. */
typedef struct px_clip_args {
    px_tensor squares; /* [in]  (R, 1) PX_FLOAT64 */
    px_tensor scale;   /* [out] (1, 2) PX_FLOAT64: scale, norm */
    double clip;
} px_clip_args;

/* y(0, i) = value[i] for each column i of y. The values are copied before the call returns. A captured graph reads y
 * when it runs, so that the values may differ from one run to the next. */
enum { PX_MAX_SCALARS = 5 };
typedef struct px_upload_scalars_args {
    px_tensor y; /* [out] (1, 1 to PX_MAX_SCALARS) PX_FLOAT64 */
    double value[PX_MAX_SCALARS];
} px_upload_scalars_args;

/* Optimiser updates of all parameters at once, in place. g is a gradient times scale(0, 0). rate, correction1 and
 * correction2 are the elements of `numbers`, in device memory, so that a captured graph serves every update. If the
 * norm, scale(0, 1), is not finite, nothing changes: the host learns of it when later steps have been issued.
 *   SGD:      w -= rate * g
 *   RMSProp:  v = rho * v + (1 - rho) * g^2;  w -= rate * g / (sqrt(v) + epsilon)
 *   Adam:     m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2;
 *             w -= rate * (m / correction1) / (sqrt(v / correction2) + epsilon), correction_i = 1 - beta_i^step */
enum { PX_UPDATE_RATE, PX_UPDATE_CORRECTION1, PX_UPDATE_CORRECTION2, PX_UPDATE_NUMBERS };
typedef struct px_sgd_args {
    px_tensor weights;   /* [in, out] (R, C) */
    px_tensor gradients; /* [in] (R, C) */
    px_tensor scale;     /* [in] (1, 2) PX_FLOAT64, of px_clip_args */
    px_tensor numbers;   /* [in] (1, PX_UPDATE_NUMBERS) PX_FLOAT64, cast to px_real when read */
} px_sgd_args;
typedef struct px_rmsprop_args {
    px_tensor weights, gradients; /* as for SGD */
    px_tensor second;             /* [in, out] (R, C): v */
    px_tensor scale, numbers;     /* as for SGD */
    px_real rho, epsilon;
} px_rmsprop_args;
typedef struct px_adam_args {
    px_tensor weights, gradients; /* as for SGD */
    px_tensor first, second;      /* [in, out] (R, C): m, v */
    px_tensor scale, numbers;     /* as for SGD */
    px_real beta1, beta2, epsilon;
} px_adam_args;

/* average = decay * average + (1 - decay) * weights. */
typedef struct px_ema_args {
    px_tensor weights; /* [in]      (R, C) */
    px_tensor average; /* [in, out] (R, C) */
    px_tensor scale;   /* [in] (1, 2) PX_FLOAT64, as for SGD */
    px_real decay;
} px_ema_args;

#ifdef __cplusplus
}
#endif
#endif

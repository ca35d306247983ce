/* One swept LSTM: what a Row LSTM block has once and a Diagonal BiLSTM block has for each direction. */
#ifndef PIXELRNN_MODEL_LSTM_H
#define PIXELRNN_MODEL_LSTM_H

#include "host/model/network.h"
#include "host/device/backend.h"
#include "host/io/arena.h"

typedef struct px_lstm {
    px_linear input_to_state; /* (P, 2h) to (P, 4h), mask B */
    px_linear
        state_to_state; /* (P, h) to (P, 4h), no mask, no bias: the recurrence's, and a convolution for its gradient */
    px_tensor gates, c, h; /* (P, 4h), (P, h), (P, h) */
    px_tensor dh;          /* (P, h) */
} px_lstm;

/* Adds the parameters NAME.input_to_state and NAME.state_to_state; the taps are those of the pixels. */
px_status px_lstm_create(px_model *model, px_lstm *lstm, const char *name, px_taps input, px_taps state);
/* Adds the layer from h back to 2h features, blocks.INDEX.expand. */
px_status px_lstm_create_expand(px_model *model, px_linear *expand, int index);

void px_lstm_lay_out(px_model *model, px_lstm *lstm, int images, px_arena *saved, px_arena *temporary);

/* The LSTM as a line of a recurrence over the given path (px_recurrence_direction). */
px_recurrence_direction px_lstm_direction(const px_model *model, const px_lstm *lstm, ptrdiff_t origin,
                                          ptrdiff_t stride_step, ptrdiff_t stride_position);

/* Before the recurrence: gates = input_to_state(u). */
px_status px_lstm_input_forward(px_model *model, px_lstm *lstm, px_tensor u);
/* After the backward recurrence, when gates hold their gradients: gradients of all weights; g = add + gradient of u. */
px_status px_lstm_input_backward(px_model *model, px_lstm *lstm, px_tensor u, px_tensor add, px_tensor g);

#endif

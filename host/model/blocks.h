/* The two structures of blocks: the layers of each, and its tensors. P = N * H * W pixels, h = spec.hidden. */
#ifndef PIXELRNN_MODEL_BLOCKS_H
#define PIXELRNN_MODEL_BLOCKS_H

#include "host/model/condition.h"

typedef struct px_pixelcnn {
    px_block block;
    px_conv reduce, expand;
    px_conditional conv;
    px_tensor reduced, convolved; /* (P, h), stored after their relu */
    px_tensor gradient[2];        /* (P, h), temporary */
} px_pixelcnn;

/* An LSTM that visits the pixels along one direction of a recurrence. */
typedef struct px_lstm {
    px_conditional input_to_state; /* 2h to 4h features, mask B */
    px_conv state_to_state;        /* h to 4h features, no mask, no bias. Only its gradient runs as a convolution. */
    px_tensor gates, c, h;         /* (P, 4h), (P, h), (P, h) */
    px_tensor dh;                  /* (P, h), temporary */
} px_lstm;

enum { PX_LEFT, PX_RIGHT };

/* A Row LSTM block, which has one direction, or a Diagonal BiLSTM block, which has PX_LEFT and PX_RIGHT. */
typedef struct px_recurrent {
    px_block block;
    int directions;
    px_lstm lstm[PX_MAX_DIRECTIONS];
    px_conv expand;
    px_tensor h;         /* (P, h): the input of expand. Row LSTM: h of its direction */
    px_tensor temporary; /* of the recurrence */
} px_recurrent;

#endif

/* What each kind of block holds: its layers, and the tensors of its forward and backward passes. */
#ifndef PIXELRNN_MODEL_BLOCKS_H
#define PIXELRNN_MODEL_BLOCKS_H

#include "host/model/lstm.h"

typedef struct px_pixelcnn {
    px_block block;
    px_linear reduce, conv, expand;
    px_tensor reduced, convolved; /* (P, h), rectified */
    px_tensor gradient[2];        /* (P, h) */
} px_pixelcnn;

typedef struct px_row_lstm {
    px_block block;
    px_lstm lstm;
    px_linear expand;
    px_tensor temporary;
} px_row_lstm;

enum { PX_LEFT, PX_RIGHT, PX_DIRECTIONS };

typedef struct px_diagonal {
    px_block block;
    px_lstm lstm[PX_DIRECTIONS];
    px_linear expand;
    px_tensor h; /* (P, h): left plus right moved down by a row */
    px_tensor temporary;
} px_diagonal;

#endif

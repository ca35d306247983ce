/* The LSTM cell of one hidden channel (van den Oord et al. 2016, eq. 3), for every kernel that applies it:
 *   o, f, i, g = sigmoid, sigmoid, sigmoid, tanh of the four pre-activations
 *   c = f * c_prev + i * g,   h = o * tanh(c)
 *
 * By default the functions use sigmoid and tanh of portable.h. A file with activations of its own defines
 * PX_CELL_FUNCTION, PX_CELL_SIGMOID and PX_CELL_TANH before it includes this one (kernels/lstm_cell_approx.h). */
#ifndef PIXELRNN_KERNELS_LSTM_CELL_H
#define PIXELRNN_KERNELS_LSTM_CELL_H

#ifndef PX_CELL_FUNCTION
#include "kernels/portable/portable.h"
#define PX_CELL_FUNCTION PX_ROW
#define PX_CELL_SIGMOID  px_sigmoid
#define PX_CELL_TANH     px_tanh
#endif

/* Pre-activations, activated gates, or gradients of pre-activations. */
typedef struct px_cell_gates {
    px_real o, f, i, g;
} px_cell_gates;

PX_CELL_FUNCTION px_cell_gates px_cell_activate(px_cell_gates pre) {
    px_cell_gates gates;
    gates.o = PX_CELL_SIGMOID(pre.o);
    gates.f = PX_CELL_SIGMOID(pre.f);
    gates.i = PX_CELL_SIGMOID(pre.i);
    gates.g = PX_CELL_TANH(pre.g);
    return gates;
}

typedef struct px_cell_state {
    px_real c, h;
} px_cell_state;

/* Callers load c_prev after px_cell_activate. Loaded before it, gcc 12 computes f * c_prev in the branches of exp,
 * where it cannot be fused with the addition, and c has other bits. */
PX_CELL_FUNCTION px_cell_state px_cell_update(px_cell_gates gates, px_real c_prev) {
    px_cell_state cell;
    cell.c = gates.f * c_prev + gates.i * gates.g;
    cell.h = gates.o * PX_CELL_TANH(cell.c);
    return cell;
}

typedef struct px_cell_gradient {
    px_cell_gates pre;
    px_real c_prev;
} px_cell_gradient;

/* The gradients of the pre-activations and of c_prev. gates are activated; dh is the whole gradient of h, grad_c the
 * gradient of c that the next step gives. */
PX_CELL_FUNCTION px_cell_gradient px_cell_backward(px_cell_gates gates, px_real c, px_real c_prev, px_real dh,
                                                   px_real grad_c) {
    const px_real o = gates.o, f = gates.f, i = gates.i, g = gates.g, tanh_c = PX_CELL_TANH(c);
    const px_real dc = dh * o * (1 - tanh_c * tanh_c) + grad_c;
    px_cell_gradient gradient;
    gradient.pre.o = dh * tanh_c * o * (1 - o);
    gradient.pre.f = dc * c_prev * f * (1 - f);
    gradient.pre.i = dc * g * i * (1 - i);
    gradient.pre.g = dc * i * (1 - g * g);
    gradient.c_prev = dc * f;
    return gradient;
}

#endif

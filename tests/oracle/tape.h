/* A tape of scalar operations in double, for reverse-mode differentiation.
 *
 * An operation appends a node that holds its value and its slopes with respect to the nodes it was made from.
 * tape_backward then walks the tape from its end to its beginning. There is one tape in a process. */
#ifndef PIXELRNN_TESTS_ORACLE_TAPE_H
#define PIXELRNN_TESTS_ORACLE_TAPE_H

/* A node's index on the tape. */
typedef int var;

/* Empties the tape. */
void tape_clear(void);

/* A leaf: a weight, an image's value, a constant. Leaves take the indices 0, 1, 2, ... of a tape that was cleared. */
var tape_leaf(double value);

var tape_add(var a, var b);
var tape_multiply(var a, var b);
/* sum + a * b */
var tape_multiply_add(var sum, var a, var b);
var tape_sigmoid(var x);
var tape_tanh(var x);
/* max(x, 0), whose slope at 0 is 0. */
var tape_relu(var x);
/* ln of the sum of exp(x[i]) over count nodes, minus x[target]: the NLL of `target` under a softmax. */
var tape_softmax_nll(const var *x, int count, int target);

double tape_value(var x);

/* d value(root) / d value(x) for every node x before root; tape_gradient reads it. */
void tape_backward(var root);
double tape_gradient(var x);

/* The smallest |x| but 0 that tape_relu was given since the last call. Where it is not far above the rounding of
 * float32, a program in float32 may be on the other side of the kink, and has other gradients for no fault of its
 * own. */
double tape_kink(void);

#endif

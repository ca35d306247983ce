/* Reverse-mode automatic differentiation of scalar operations in double, with a tape.
 *
 * An operation appends a node that holds its value and its derivatives with respect to its operands. tape_backward then
 * visits the tape from its end to its beginning. A process has one tape. */
#ifndef PIXELRNN_TESTS_ORACLE_TAPE_H
#define PIXELRNN_TESTS_ORACLE_TAPE_H

/* A node's index on the tape. */
typedef int var;

/* Empties the tape. */
void tape_clear(void);

/* Appends a leaf: a weight, a value of an image, or a constant. After tape_clear, leaves have the indices 0, 1, 2, ...
 */
var tape_leaf(double value);

var tape_add(var a, var b);
var tape_multiply(var a, var b);
/* sum + a * b */
var tape_multiply_add(var sum, var a, var b);
var tape_sigmoid(var x);
var tape_tanh(var x);
/* max(x, 0), whose derivative at 0 is 0. */
var tape_relu(var x);
/* ln of the sum of exp(x[i]) over count nodes, minus x[target]: the NLL of `target` under a softmax. */
var tape_softmax_nll(const var *x, int count, int target);

double tape_value(var x);

/* Computes d value(root) / d value(x) for every node x before root; tape_gradient returns it. */
void tape_backward(var root);
double tape_gradient(var x);

/* The smallest |x| > 0 that was passed to tape_relu since the last call. If it is near the rounding error of float32, a
 * program in float32 may be on the other side of the kink and compute another gradient without a fault. */
double tape_kink(void);

#endif

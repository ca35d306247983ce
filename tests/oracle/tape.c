/* Reverse-mode automatic differentiation of scalars. */
#include "tests/oracle/tape.h"
#include <math.h>
#include <stdlib.h>

/* A node has up to three parents; a softmax is a chain of nodes with two. */
enum { PARENTS = 3 };
typedef struct node {
    double value, gradient, derivative[PARENTS];
    var parent[PARENTS];
    int parents;
} node;

static struct {
    node *nodes;
    int count, capacity;
    double kink;
} tape = {.kink = INFINITY};

void tape_clear(void) { tape.count = 0; }

static node *append(double value) {
    if (tape.count == tape.capacity) {
        tape.capacity = tape.capacity ? 2 * tape.capacity : 1 << 16;
        tape.nodes = realloc(tape.nodes, (size_t)tape.capacity * sizeof *tape.nodes);
        if (!tape.nodes) abort();
    }
    node *n = &tape.nodes[tape.count++];
    n->value = value;
    n->parents = 0;
    return n;
}

static void add_parent(node *n, var parent, double derivative) {
    n->parent[n->parents] = parent;
    n->derivative[n->parents++] = derivative;
}

static var unary(double value, var x, double derivative) {
    add_parent(append(value), x, derivative);
    return tape.count - 1;
}

double tape_value(var x) { return tape.nodes[x].value; }

var tape_leaf(double value) {
    append(value);
    return tape.count - 1;
}

var tape_add(var a, var b) {
    node *n = append(tape_value(a) + tape_value(b));
    add_parent(n, a, 1);
    add_parent(n, b, 1);
    return tape.count - 1;
}

var tape_multiply(var a, var b) {
    node *n = append(tape_value(a) * tape_value(b));
    add_parent(n, a, tape_value(b));
    add_parent(n, b, tape_value(a));
    return tape.count - 1;
}

var tape_multiply_add(var sum, var a, var b) {
    node *n = append(tape_value(sum) + tape_value(a) * tape_value(b));
    add_parent(n, sum, 1);
    add_parent(n, a, tape_value(b));
    add_parent(n, b, tape_value(a));
    return tape.count - 1;
}

var tape_sigmoid(var x) {
    const double y = 1 / (1 + exp(-tape_value(x)));
    return unary(y, x, y * (1 - y));
}

var tape_tanh(var x) {
    const double y = tanh(tape_value(x));
    return unary(y, x, 1 - y * y);
}

var tape_relu(var x) {
    const double value = tape_value(x);
    if (value != 0 && fabs(value) < tape.kink) tape.kink = fabs(value);
    return unary(value > 0 ? value : 0, x, value > 0 ? 1 : 0);
}

var tape_softmax_nll(const var *x, int count, int target) {
    double largest = tape_value(x[0]), sum = 0;
    for (int l = 1; l < count; l++) largest = fmax(largest, tape_value(x[l]));
    for (int l = 0; l < count; l++) sum += exp(tape_value(x[l]) - largest);
    /* d nll / d x[l] = p[l] - (l == target). The last node of the chain has the value. */
    var chain = tape_leaf(0);
    for (int l = 0; l < count; l++) {
        const double p = exp(tape_value(x[l]) - largest) / sum;
        node *n = append(l < count - 1 ? 0 : log(sum) + largest - tape_value(x[target]));
        add_parent(n, chain, 1);
        add_parent(n, x[l], p - (l == target));
        chain = tape.count - 1;
    }
    return chain;
}

void tape_backward(var root) {
    for (var x = 0; x < root; x++) tape.nodes[x].gradient = 0;
    tape.nodes[root].gradient = 1;
    for (var x = root; x >= 0; x--) {
        const node *n = &tape.nodes[x];
        for (int k = 0; k < n->parents; k++) tape.nodes[n->parent[k]].gradient += n->derivative[k] * n->gradient;
    }
}

double tape_gradient(var x) { return tape.nodes[x].gradient; }

double tape_kink(void) {
    const double kink = tape.kink;
    tape.kink = INFINITY;
    return kink;
}

"""Reverse-mode differentiation of float64 arrays: each array remembers what it was made from.

An operation returns an Array with its parents and a function `pull`, which takes the gradient of the
loss with respect to the result and gives the gradient with respect to each parent (the chain rule).
"""

import itertools
import math

import numpy as np


class Array:
    serials = itertools.count()

    def __init__(self, value, parents=(), pull=None, kink=math.inf):
        self.value = np.asarray(value, np.float64)
        self.parents, self.pull = parents, pull
        self.kink = kink                      # how far this operation was from a point with no derivative
        self.serial = next(Array.serials)     # parents are older than what is made from them

    def __add__(self, other):
        return Array(self.value + other.value, (self, other),
                     lambda g: (fold(g, self.value.shape), fold(g, other.value.shape)))

    def __mul__(self, other):
        return Array(self.value * other.value, (self, other),
                     lambda g: (fold(g * other.value, self.value.shape), fold(g * self.value, other.value.shape)))

    def __getitem__(self, key):
        def pull(g):
            whole = np.zeros_like(self.value)
            whole[key] = g
            return whole,
        return Array(self.value[key], (self,), pull)


def fold(g, shape):
    """Undoes broadcasting along leading axes, the only kind used here: sums over them."""
    return g.sum(axis=tuple(range(g.ndim - len(shape))))


def linear(x, w):
    """x [N, in], w [out, in] -> x w^T [N, out]."""
    return Array(x.value @ w.value.T, (x, w), lambda g: (g @ w.value, g.T @ x.value))


def sigmoid(x):
    y = 1 / (1 + np.exp(-x.value))
    return Array(y, (x,), lambda g: (g * y * (1 - y),))


def tanh(x):
    y = np.tanh(x.value)
    return Array(y, (x,), lambda g: (g * (1 - y * y),))


def relu(x):
    return Array(np.maximum(x.value, 0), (x,), lambda g: (g * (x.value > 0),), kink=np.abs(x.value).min())


def total(x):
    return Array(x.value.sum(), (x,), lambda g: (np.full_like(x.value, g),))


def softmax_nll(x, levels):
    """x [N, L] logits, levels [N] -> -ln softmax(x)[n, levels[n]], [N]."""
    images = np.arange(len(levels))
    shifted = x.value - x.value.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

    def pull(g):
        error = np.exp(log_p)
        error[images, levels] -= 1
        return error * g[:, None],
    return Array(-log_p[images, levels], (x,), pull)


def history(root):
    """Every array that `root` was made from, itself included, newest first."""
    found, waiting = {}, [root]
    while waiting:
        array = waiting.pop()
        if array.serial not in found:
            found[array.serial] = array
            waiting.extend(array.parents)
    return [found[serial] for serial in sorted(found, reverse=True)]


def gradients(loss, inputs):
    """d loss / d input for each of {name: Array}; 0 for an input that the loss never read."""
    g = {loss.serial: np.ones(())}
    for array in history(loss):
        if array.parents:
            for parent, share in zip(array.parents, array.pull(g[array.serial])):
                g[parent.serial] = g[parent.serial] + share if parent.serial in g else share
    return {name: g.get(array.serial, np.zeros_like(array.value)) for name, array in inputs.items()}


def distance_to_kink(root):
    """The smallest |x| that any relu on the way to `root` was given."""
    return min(array.kink for array in history(root))

"""PixelCNN, Row LSTM and Diagonal BiLSTM (arXiv:1601.06759) in PyTorch, as a user who knows PyTorch well would write them.

They compute what pixelrnn computes, from the same tensors by the same names: check.py compares them with the golden cases.
Tensors are [N, features, H, W]; channels last changes only their strides. Glossary: N batch, H W image, C channels,
L levels, T steps, h hidden (tensors between blocks have 2h features), q head.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn


class Spec(NamedTuple):
    kind: str          # pixelcnn | row_lstm | diagonal_bilstm
    layers: int
    hidden: int
    head: int
    residual: bool
    skip: bool
    channels: int
    levels: int


# ---- Masks -----------------------------------------------------------------------------------------------------------

def groups(features, channels):
    """The colour group of each feature."""
    return torch.arange(features) * channels // features


def live(kind, out, into):
    """[out, in]: which weights the centre tap keeps, from the groups of both ends. Mask A is strict, mask B is not."""
    return into[None] < out[:, None] if kind == "A" else into[None] <= out[:, None]


class Masked(nn.Module):
    """A masked convolution: weight [out, taps..., in], where taps is () for 1 x 1, (2,) for left and centre of a row, or
    (rows, columns) for the top half of a square kernel, whose last row ends at its centre."""

    def __init__(self, kind, out, taps, into):
        super().__init__()
        self.taps = taps
        self.weight = nn.Parameter(torch.empty(len(out), *taps, len(into)))
        self.bias = nn.Parameter(torch.zeros(len(out)))
        mask = torch.ones_like(self.weight)
        if len(taps) == 2:
            mask[:, -1, taps[1] // 2] = live(kind, out, into)
            mask[:, -1, taps[1] // 2 + 1:] = 0
        elif len(taps) == 1:
            mask[:, -1] = live(kind, out, into)
        else:
            mask[:] = live(kind, out, into)
        self.register_buffer("mask", mask, persistent=False)
        with torch.no_grad():
            self.weight.copy_(torch.randn_like(mask) * mask / mask[0].numel() ** 0.5)

    def masked(self, dtype):
        return (self.weight * self.mask).to(dtype)

    def forward(self, u):
        weight, bias = self.masked(u.dtype), self.bias.to(u.dtype)
        if not self.taps:
            return pointwise(u, weight, bias)
        rows, columns = self.taps if len(self.taps) == 2 else (1, self.taps[0])
        weight = weight.view(len(bias), rows, columns, -1).permute(0, 3, 1, 2)
        right = columns // 2 if len(self.taps) == 2 else 0
        return F.conv2d(F.pad(u, (columns - 1 - right, right, rows - 1, 0)), weight, bias)


def pointwise(u, weight, bias):
    """A 1 x 1 convolution; channels last it is a matrix product on the tensor as stored."""
    if u.is_contiguous(memory_format=torch.channels_last):
        return F.linear(u.permute(0, 2, 3, 1), weight, bias).permute(0, 3, 1, 2)
    return F.conv2d(u, weight[:, :, None, None], bias)


def laid_like(u, y):
    """y in the memory layout of u."""
    last = u.is_contiguous(memory_format=torch.channels_last)
    return y.contiguous(memory_format=torch.channels_last if last else torch.contiguous_format)


# ---- The recurrence --------------------------------------------------------------------------------------------------

def neighbours(h, before, after):
    """h [..., positions, h] -> [..., positions, taps * h]: the states of the previous step that each position reads."""
    positions, padded = h.shape[-2], F.pad(h, (0, 0, before, after))
    return torch.cat([padded[..., tap:tap + positions, :] for tap in range(before + 1 + after)], -1)


def cell(a, c):
    """Pre-activations of o, f, i, g and the cells before -> states, cells. Cells stay in float32."""
    o, f, i, g = a.chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    return (o.sigmoid() * c.tanh()).to(a.dtype), c


def lstm_step(a, h, c, weight, before, after):
    """One step of all directions: a [D, N, positions, 4h], h and c [D, N, positions, h], weight [D, taps * h, 4h]."""
    product = torch.baddbmm(a.flatten(1, 2), neighbours(h, before, after).flatten(1, 2), weight)
    return cell(product.view(a.shape), c)


def recurrence(a, weight, before, after, step):
    """Pre-activations [T, D, N, positions, 4h] -> states [T, D, N, positions, h]."""
    h = torch.zeros_like(a[0, ..., :a.shape[-1] // 4])
    c = torch.zeros_like(h, dtype=torch.float32)
    states = []
    for now in a.unbind():
        h, c = step(now, h, c, weight, before, after)
        states.append(h)
    return torch.stack(states)


def skew(a):
    """[..., H, W, F] -> [..., H, H + W - 1, F]: row i moves right by i, so that a diagonal becomes a column. The rest
    is 0, and a cell whose inputs are all 0 stays 0: states left of the image need no mask."""
    height, width = a.shape[-3:-1]
    a = F.pad(a, (0, 0, 0, height)).flatten(-3, -2)
    return a[..., :height * (height + width - 1), :].unflatten(-2, (height, height + width - 1))


def unskew(a, width):
    height = a.shape[-3]
    a = F.pad(a.flatten(-3, -2), (0, 0, 0, height))
    return a.unflatten(-2, (height, height + width))[..., :width, :]


# ---- Blocks ----------------------------------------------------------------------------------------------------------

class PixelCNNBlock(nn.Module):
    def __init__(self, spec, half, full):
        super().__init__()
        self.residual = spec.residual
        self.reduce = Masked("B", half, (), full)
        self.conv = Masked("B", half, (2, 3), half)
        self.expand = Masked("B", full, (), half)

    def forward(self, u):
        y = self.expand(self.conv(self.reduce(u.relu()).relu()).relu())
        return u + y if self.residual else y


class StateToState(nn.Module):
    """[4h, taps, h], neither mask nor bias."""

    def __init__(self, hidden, taps):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4 * hidden, taps, hidden) / (taps * hidden) ** 0.5)

    def matrix(self, dtype):
        return self.weight.flatten(1).t().to(dtype)


class RowLSTMBlock(nn.Module):
    def __init__(self, spec, half, full):
        super().__init__()
        self.residual, self.step = spec.residual, lstm_step
        self.input_to_state = Masked("B", half.repeat(4), (2,), full)
        self.state_to_state = StateToState(spec.hidden, 3)
        self.expand = Masked("B", full, (), half)

    def gates(self, u):
        return self.input_to_state(u).permute(2, 0, 3, 1)[:, None].contiguous(), self.state_to_state.matrix(u.dtype)[None]

    def merge(self, u, states):
        y = self.expand(laid_like(u, states[:, 0].permute(1, 3, 0, 2)))
        return u + y if self.residual else y

    def forward(self, u):
        a, weight = self.gates(u)
        return self.merge(u, recurrence(a, weight, 1, 1, self.step))


class Direction(nn.Module):
    def __init__(self, hidden, half, full):
        super().__init__()
        self.input_to_state = Masked("B", half.repeat(4), (), full)
        self.state_to_state = StateToState(hidden, 2)


class DiagonalBiLSTMBlock(nn.Module):
    """Both directions in one recurrence: the right direction reads the image mirrored."""

    def __init__(self, spec, half, full):
        super().__init__()
        self.residual, self.step = spec.residual, lstm_step
        self.left = Direction(spec.hidden, half, full)
        self.right = Direction(spec.hidden, half, full)
        self.expand = Masked("B", full, (), half)

    def gates(self, u):
        left, right = self.left.input_to_state(u), self.right.input_to_state(u).flip(-1)
        a = skew(torch.stack([left, right]).permute(0, 1, 3, 4, 2))
        weights = [side.state_to_state.matrix(u.dtype) for side in (self.left, self.right)]
        return a.permute(3, 0, 1, 2, 4).contiguous(), torch.stack(weights)

    def merge(self, u, states):
        left, right = unskew(states.permute(1, 2, 3, 0, 4), u.shape[-1])
        above = F.pad(right.flip(-2)[:, :-1], (0, 0, 0, 0, 1, 0))
        y = self.expand(laid_like(u, (left + above).permute(0, 3, 1, 2)))
        return u + y if self.residual else y

    def forward(self, u):
        a, weight = self.gates(u)
        return self.merge(u, recurrence(a, weight, 1, 0, self.step))


BLOCKS = {"pixelcnn": PixelCNNBlock, "row_lstm": RowLSTMBlock, "diagonal_bilstm": DiagonalBiLSTMBlock}


# ---- The network -----------------------------------------------------------------------------------------------------

class Network(nn.Module):
    """dtype: of activations and matrix products; parameters and cells are float32."""

    def __init__(self, spec, dtype=torch.float32, channels_last=False):
        super().__init__()
        self.spec, self.dtype, self.channels_last = spec, dtype, channels_last
        image, half, full, head = (groups(features, spec.channels)
                                   for features in (spec.channels, spec.hidden, 2 * spec.hidden, spec.head))
        logits = groups(spec.channels * spec.levels, spec.channels)
        self.stem = Masked("A", full, (4, 7), image)
        self.blocks = nn.ModuleList(BLOCKS[spec.kind](spec, half, full) for _ in range(spec.layers))
        self.skip = nn.ModuleList(Masked("B", full, (), full) for _ in range(spec.layers * spec.skip))
        self.head = nn.ModuleList([Masked("B", head, (), full), Masked("B", head, (), head), Masked("B", logits, (), head)])

    def begin(self, levels):
        """Levels [N, H, W, C], uint8 -> the output of the stem."""
        values = (levels.float() * (2 / (self.spec.levels - 1)) - 1).to(self.dtype).permute(0, 3, 1, 2)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return self.stem(values.contiguous(memory_format=layout))

    def finish(self, u, terms):
        """The output of the last block and the skip terms -> logits [N, H, W, C, L]."""
        for layer in self.head:
            for term in terms:
                u = u + term
            u, terms = layer(u.relu()), ()
        return u.permute(0, 2, 3, 1).unflatten(-1, (self.spec.channels, self.spec.levels)).float()

    def nats_of(self, u, terms, levels):
        logits = self.finish(u, terms)
        nats = F.cross_entropy(logits.reshape(-1, self.spec.levels), levels.reshape(-1).long(), reduction="none")
        return nats.view(len(levels), -1).sum(1)

    def blocks_of(self, u):
        terms = []
        for l, block in enumerate(self.blocks):
            u = block(u)
            if self.spec.skip:
                terms.append(self.skip[l](u))
        return u, terms

    def logits(self, levels):
        return self.finish(*self.blocks_of(self.begin(levels)))

    def forward(self, levels):
        """-> nats of each image."""
        return self.nats_of(*self.blocks_of(self.begin(levels)), levels)


def compile_network(network):
    """Applies torch.compile: to a whole PixelCNN; to an LSTM model except for the loop over T steps, which it would unroll into
    thousands of kernels. All layers share the functions that were compiled once."""
    if network.spec.kind == "pixelcnn":
        network.compile(dynamic=False)
        return
    step = torch.compile(lstm_step, dynamic=False)
    for block in network.blocks:
        block.gates, block.merge = (torch.compile(part, dynamic=False) for part in (block.gates, block.merge))
        block.step = step
    network.begin, network.nats_of = (torch.compile(part, dynamic=False) for part in (network.begin, network.nats_of))


def loss_of(network, levels):
    """The training loss: the mean over the batch of nats per value."""
    return network(levels).mean() / levels[0].numel()

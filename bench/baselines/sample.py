"""Sampling: a cached sampler, which costs about three forward passes an image (one for each colour), and a naive sampler, which
runs a whole forward pass for every value. Prints one JSON object.

    python3 sample.py CONFIG --variant cached|graph|naive [--size 64] [--set key=value]... (--help)
"""

import torch
import torch.nn.functional as F

import measure
from models import cell, neighbours


class Weights:
    """A masked layer's matrix [in, out] and bias, once for all values."""

    def __init__(self, layer, dtype):
        self.matrix = layer.masked(dtype).flatten(1).t().contiguous()
        self.bias = layer.bias.to(dtype)

    def __call__(self, u):
        return torch.addmm(self.bias, u, self.matrix)


class Row:
    """A feature row [..., N, before + W + after, F] that is read and written at a column held in device memory."""

    def __init__(self, sampler, features, before=0, after=0, rows=(), dtype=None):
        self.before = before
        self.all = torch.zeros(sampler.count, *rows, before + sampler.width + after, features,
                               dtype=dtype or sampler.dtype, device=sampler.device)

    def inside(self, width):
        return self.all[..., self.before:self.before + width, :]

    def read(self, columns):
        """[N, ...] of the columns, side by side."""
        return self.all.index_select(-2, columns).flatten(1)

    def write(self, column, values):
        self.inside(self.all.shape[-2] - self.before).index_copy_(-2, column, values[:, None])


# ---- Blocks: begin_row, then pixel(u) for every value, then end_row --------------------------------------------------

class PixelCNNCache:
    def __init__(self, sampler, block, hidden):
        self.sampler, self.residual = sampler, block.residual
        self.reduce, self.conv, self.expand = (Weights(layer, sampler.dtype)
                                               for layer in (block.reduce, block.conv, block.expand))
        self.above = Row(sampler, hidden, before=1, after=1)
        self.row = Row(sampler, hidden, before=1, after=1)

    def begin_row(self):
        pass

    def pixel(self, u):
        at = self.sampler.column
        self.row.write(at, self.reduce(u.relu()).relu())
        seen = torch.cat([row.read(at + self.sampler.three) for row in (self.above, self.row)], -1)
        y = self.expand(self.conv(seen).relu())
        return u + y if self.residual else y

    def end_row(self):
        self.above.all.copy_(self.row.all)
        self.row.all.zero_()


class RowLSTMCache:
    """State-to-state of a whole row before the row starts."""

    def __init__(self, sampler, block, hidden):
        self.sampler, self.residual = sampler, block.residual
        self.input, self.expand = Weights(block.input_to_state, sampler.dtype), Weights(block.expand, sampler.dtype)
        self.state = block.state_to_state.matrix(sampler.dtype).contiguous()
        self.u, self.h = Row(sampler, 2 * hidden, before=1), Row(sampler, hidden)
        self.c, self.c_above = (Row(sampler, hidden, dtype=torch.float32) for _ in range(2))
        self.from_above = Row(sampler, 4 * hidden)

    def begin_row(self):
        self.from_above.all.copy_(neighbours(self.h.all, 1, 1) @ self.state)

    def pixel(self, u):
        at = self.sampler.column
        self.u.write(at, u)
        a = self.input(self.u.read(at + self.sampler.two)) + self.from_above.read(at)
        h, c = cell(a, self.c_above.read(at))
        self.h.write(at, h)
        self.c.write(at, c)
        y = self.expand(h)
        return u + y if self.residual else y

    def end_row(self):
        self.c_above.all.copy_(self.c.all)


class DiagonalBiLSTMCache:
    """The left states pixel by pixel, what they read of the row above once per row. The right states of a row when it is
    complete."""

    def __init__(self, sampler, block, hidden):
        self.sampler, self.residual = sampler, block.residual
        self.input, self.expand = (Weights(layer, sampler.dtype) for layer in (block.left.input_to_state, block.expand))
        self.above, self.beside = block.left.state_to_state.matrix(sampler.dtype).contiguous().split(hidden)
        self.u, self.from_above = Row(sampler, 2 * hidden), Row(sampler, 4 * hidden)
        self.h, self.right = Row(sampler, hidden, before=1), Row(sampler, hidden)
        self.c = Row(sampler, hidden, before=1, dtype=torch.float32)
        self.right_input = Weights(block.right.input_to_state, sampler.dtype)
        self.right_above, self.right_beside = block.right.state_to_state.matrix(sampler.dtype).contiguous().split(hidden)

    def begin_row(self):
        self.from_above.all.copy_(self.h.inside(self.sampler.width) @ self.above)

    def pixel(self, u):
        at = self.sampler.column
        self.u.write(at, u)
        a = torch.addmm(self.input(u) + self.from_above.read(at), self.h.read(at), self.beside)
        h, c = cell(a, self.c.read(at))
        self.h.write(at, h)
        self.c.write(at, c)
        y = self.expand(h + self.right.read(at))
        return u + y if self.residual else y

    def end_row(self):
        pass


def right_states(blocks):
    """The right states of a finished row, all layers at once: they depend on each other only along the row."""
    gates = torch.stack([block.right_input(block.u.all.flatten(0, 1)).view(block.from_above.all.shape) +
                         block.right.all @ block.right_above for block in blocks])
    weight = torch.stack([block.right_beside for block in blocks])
    h = torch.zeros_like(gates[:, :, 0, :weight.shape[1]])
    c = torch.zeros_like(h, dtype=torch.float32)
    states = []
    for now in reversed(gates.unbind(2)):
        h, c = cell(torch.baddbmm(now, h, weight), c)
        states.append(h)
    for block, row in zip(blocks, torch.stack(states[::-1], 2)):
        block.right.all.copy_(row)


CACHES = {"pixelcnn": PixelCNNCache, "row_lstm": RowLSTMCache, "diagonal_bilstm": DiagonalBiLSTMCache}


# ---- The sampler -----------------------------------------------------------------------------------------------------

class Sampler:
    """Samples a row of `count` images: begin_row, then logits(c) and put(c, levels) for each value in order, then end_row.
    Nothing in it depends on the host, so that each of its four parts can be a CUDA graph."""

    def __init__(self, network, count, width):
        spec = self.spec = network.spec
        self.network, self.dtype, self.device = network, network.dtype, network.stem.weight.device
        self.count, self.width = count, width
        self.column = torch.zeros(1, dtype=torch.long, device=self.device)
        self.two, self.three, self.seven = (torch.arange(taps, device=self.device) for taps in (2, 3, 7))
        self.values = Row(self, spec.channels, before=3, after=3, rows=(4,))
        self.levels = torch.zeros(count, width, spec.channels, dtype=torch.uint8, device=self.device)
        self.stem = Weights(network.stem, self.dtype)
        self.blocks = [CACHES[spec.kind](self, block, spec.hidden) for block in network.blocks]
        self.skip = [Weights(layer, self.dtype) for layer in network.skip]
        self.head = [Weights(layer, self.dtype) for layer in network.head]

    def begin_row(self):
        self.column.zero_()
        for block in self.blocks:
            block.begin_row()

    def logits(self, c):
        """[N, L] of the value in colour c of the present pixel."""
        u, terms = self.stem(self.values.read(self.column + self.seven)), []
        for l, block in enumerate(self.blocks):
            u = block.pixel(u)
            if self.spec.skip:
                terms.append(self.skip[l](u))
        for term in terms:
            u = u + term
        u = self.head[1](self.head[0](u.relu()).relu()).relu()
        own = slice(c * self.spec.levels, (c + 1) * self.spec.levels)
        return torch.addmm(self.head[2].bias[own], u, self.head[2].matrix[:, own]).float()

    def put(self, c, levels):
        """Levels [N] of colour c; after the last colour the sampler stands at the next pixel."""
        values = (levels.float() * (2 / (self.spec.levels - 1)) - 1).to(self.dtype)
        self.values.all[:, 3, :, c].index_copy_(1, self.column + 3, values[:, None])
        self.levels[:, :, c].index_copy_(1, self.column, levels.to(torch.uint8)[:, None])
        if c == self.spec.channels - 1:
            self.column += 1

    def sample(self, c):
        """Samples from the softmax without synchronising with the host: argmax of probability / exponential variate."""
        odds = self.logits(c).softmax(-1)
        self.put(c, (odds / torch.empty_like(odds).exponential_()).argmax(-1))

    def end_row(self):
        for block in self.blocks:
            block.end_row()
        if self.spec.kind == "diagonal_bilstm":
            right_states(self.blocks)
        self.values.all[:, :-1] = self.values.all[:, 1:].clone()
        self.values.all[:, -1] = 0

    def parts(self):
        """The functions that sample a row: its begin, one for each colour, its end."""
        return self.begin_row, [lambda c=c: self.sample(c) for c in range(self.spec.channels)], self.end_row


def graphed(parts):
    begin, samples, end = parts
    return measure.captured(begin), [measure.captured(sample) for sample in samples], measure.captured(end)


def row_pass(sampler, graph):
    begin, samples, end = graphed(sampler.parts()) if graph else sampler.parts()

    def sample_row():
        begin()
        for _ in range(sampler.width):
            for sample in samples:
                sample()
        end()
    return sample_row


def naive_pass(network, levels):
    """Samples one value by a whole forward pass."""
    def sample_value():
        odds = network.logits(levels)[:, -1, -1, -1].softmax(-1)
        levels[:, -1, -1, -1] = torch.multinomial(odds, 1)[:, 0].to(torch.uint8)
    return sample_value


@torch.inference_mode()
def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--variant", choices=("cached", "graph", "naive"), default="cached")
    options = parser.parse_args()
    network, levels = measure.network_and_images(options)
    values = levels[0].numel()
    if options.variant == "naive":
        passes, share = naive_pass(network, levels), 1 / values
    else:
        passes, share = row_pass(Sampler(network, len(levels), levels.shape[2]), options.variant == "graph"), 1 / len(levels[0])
    seconds = measure.time_runs(passes, options)
    measure.report(options, phase="sample", images_per_pass=len(levels) * share, seconds=seconds)


if __name__ == "__main__":
    main()

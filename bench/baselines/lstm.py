"""torch.nn.LSTM (cuDNN on a GPU) at the T, N and h of one recurrence of a config's model: the recurrence alone. Its input has few
features, so that its input-to-state product costs little, and no gradient of weights is asked for: a recurrence contains neither.
Prints one JSON object.

    python3 lstm.py CONFIG [--size 64] [--precision bfloat16] [--set key=value]...
"""

import torch

import measure
from files import read_config

INPUTS = 16


def recurrence_shape(config, size):
    """T and batch of a recurrence: H steps of W positions (Row LSTM), or H + W - 1 steps of H positions (diagonals)."""
    steps = {"row_lstm": size, "diagonal_bilstm": 2 * size - 1}
    if config["model.kind"] not in steps:
        raise SystemExit(f"lstm.py: found a {config['model.kind']}, expected one of {', '.join(steps)}")
    return steps[config["model.kind"]], int(config["train.batch_size"]) * size


def main():
    options = measure.arguments(__doc__).parse_args()
    config = read_config(options.config, options.set)
    steps, batch = recurrence_shape(config, options.size)
    kind = {"dtype": getattr(torch, options.precision), "device": options.device}
    lstm = torch.nn.LSTM(INPUTS, int(config["model.hidden"])).to(**kind).requires_grad_(False)
    x = torch.randn(steps, batch, INPUTS, **kind).requires_grad_()
    gradient = torch.randn(steps, batch, lstm.hidden_size, **kind)

    def both():
        x.grad = None
        lstm(x)[0].backward(gradient)

    forward = measure.quantiles(measure.time_runs(lambda: lstm(x), options))
    seconds = measure.time_runs(both, options)
    measure.report(options, phase="lstm", images_per_pass=batch // options.size, seconds=seconds, steps=steps, batch=batch,
                   hidden=lstm.hidden_size, forward_ms_median=forward["pass_ms_median"])


if __name__ == "__main__":
    main()

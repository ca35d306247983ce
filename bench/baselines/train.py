"""A training step (forward, NLL, backward, RMSProp) or an evaluation of a config's model. Prints one JSON object.

    python3 train.py CONFIG [--compile] [--graph] [--precision bfloat16] [--channels-last] [--size 64] [--set key=value]...
"""

import torch

import measure
from models import compile_network, loss_of


def training_pass(network, levels, loss, options):
    optimizer = torch.optim.RMSprop(network.parameters(), lr=1e-3, alpha=0.95, eps=1e-8, foreach=True, capturable=options.graph)

    def step():
        optimizer.zero_grad(set_to_none=True)
        value = loss_of(network, levels)
        value.backward()
        optimizer.step()
        loss.copy_(value.detach())
    return step


def evaluation_pass(network, levels, loss):
    @torch.no_grad()
    def step():
        loss.copy_(loss_of(network, levels))
    return step


def from_host(run, levels):
    """The batch is copied to the device before each pass, as every new batch is."""
    host = levels.cpu()
    if levels.is_cuda:
        host = host.pin_memory()

    def step():
        levels.copy_(host, non_blocking=True)
        run()
    return step


def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--graph", action="store_true", help="the whole step as one CUDA graph")
    parser.add_argument("--evaluate", action="store_true")
    options = parser.parse_args()
    network, levels = measure.network_and_images(options)
    if options.compile:
        compile_network(network)
    loss = torch.zeros((), device=options.device)
    if options.evaluate:
        run = evaluation_pass(network, levels, loss)
    else:
        run = training_pass(network, levels, loss, options)
    if options.graph:
        run = measure.captured(run)
    seconds = measure.time_runs(from_host(run, levels), options)
    if not 0 < loss.item() < float("inf"):
        raise SystemExit(f"train.py: found a loss of {loss.item()}, expected a finite number above 0")
    measure.report(options, phase="evaluate" if options.evaluate else "train", images_per_pass=len(levels), seconds=seconds,
                   nats_per_value=loss.item())


if __name__ == "__main__":
    main()

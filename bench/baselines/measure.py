"""Shared by the programs here: options, random images, timing as in `pixelrnn bench`, the report."""

import argparse
import json
import os
import time

import torch

from files import read_config, spec_of
from models import Network

WARM_UP, MIN_RUNS, MAX_RUNS = 3, 5, 1000


def arguments(doc):
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--set", action="append", default=[], metavar="key=value", help="overrides a key of the config")
    parser.add_argument("--size", type=int, default=32, help="pixels a side")
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--seconds", type=float, default=3, help="to spend on measuring")
    return parser


def network_and_images(options):
    config = read_config(options.config, options.set)
    spec = spec_of(config, options.channels)
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(1)
    network = Network(spec, getattr(torch, options.precision), options.channels_last).to(options.device)
    shape = (int(config["train.batch_size"]), options.size, options.size, options.channels)
    return network, torch.randint(spec.levels, shape, dtype=torch.uint8, device=options.device)


def synchronize(options):
    if options.device.startswith("cuda"):
        torch.cuda.synchronize()


def time_runs(run, options):
    """Returns the seconds of each run, after a warm-up."""
    for _ in range(WARM_UP):
        run()
    synchronize(options)
    seconds, begin = [], time.perf_counter()
    start = begin
    while len(seconds) < MIN_RUNS or start - begin < options.seconds:
        if len(seconds) == MAX_RUNS:
            break
        run()
        synchronize(options)
        end = time.perf_counter()
        seconds.append(end - start)
        start = end
    return seconds


def captured(run):
    """Captures `run` as a CUDA graph and returns its replay function."""
    if not torch.cuda.is_available():
        raise SystemExit("a CUDA graph needs a GPU; found none")
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def quantiles(seconds):
    """The same order statistics as in pixelrnn bench."""
    ordered, last = sorted(seconds), len(seconds) - 1
    return {"pass_ms_p10": 1e3 * ordered[last // 10], "pass_ms_median": 1e3 * ordered[(last + 1) // 2],
            "pass_ms_p90": 1e3 * ordered[last - last // 10]}


def device_report(options):
    cuda = options.device.startswith("cuda")
    return {"device": torch.cuda.get_device_name() if cuda else f"cpu, {torch.get_num_threads()} threads",
            "torch": torch.__version__, "cuda": torch.version.cuda if cuda else None,
            "cudnn": torch.backends.cudnn.version() if cuda else None,
            "peak_bytes": torch.cuda.max_memory_allocated() if cuda else None}


def report(options, phase, images_per_pass, seconds, **more):
    times = quantiles(seconds)
    print(json.dumps({"phase": phase, "passes": len(seconds), "images_per_pass": images_per_pass} | times |
                     {"images_per_second": 1e3 * images_per_pass / times["pass_ms_median"]} | more | device_report(options)))

#!/usr/bin/env python3
"""Draws throughput against batch, layers and image size from what bench/sweep left.

    bench/plot.py FOLDER -o OUT.png [--phase train|evaluate]
"""

import argparse
import json
import pathlib
import sys

AXES = {"batch": "images a batch", "layers": "layers", "size": "pixels a side"}


def read(folder, axis, phase):
    """{kind: [(x, images a second)]} of FOLDER/AXIS_*.json, and where that was measured."""
    lines, device = {}, ""
    for path in sorted(folder.glob(f"{axis}_*.json")):
        report = json.loads(path.read_text())
        device = report["device"]["description"]
        for result in report["results"]:
            x = {"batch": result["batch_size"], "layers": result["layers"], "size": result["height"]}[axis]
            rates = [entry["images_per_second"] for entry in result["phases"] if entry["phase"] == phase]
            lines.setdefault(f"{result['kind']}, {result['precision']}", []).extend((x, rate) for rate in rates)
    return {kind: sorted(points) for kind, points in lines.items()}, device


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("-o", dest="out", required=True)
    parser.add_argument("--phase", choices=("train", "evaluate"), default="train")
    options = parser.parse_args()
    try:
        from matplotlib.figure import Figure
    except ImportError:
        sys.exit(f"plot.py: {sys.executable} has no matplotlib")
    panels = {axis: read(options.folder, axis, options.phase) for axis in AXES}
    panels = {axis: panel for axis, panel in panels.items() if panel[0]}
    if not panels:
        sys.exit(f"plot.py: {options.folder}: found no batch_*.json, layers_*.json or size_*.json; bench/sweep writes them")

    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    for axes, (axis, (lines, device)) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items()):
        for kind, points in lines.items():
            axes.plot(*zip(*points), marker="o", label=kind)
        axes.set(xlabel=AXES[axis], ylabel=f"images/s, {options.phase}", xscale="log", yscale="log")
        ticks = sorted({x for points in lines.values() for x, _ in points})
        axes.set_xticks(ticks, labels=map(str, ticks))
        axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
        axes.grid(alpha=0.3)
    axes.legend()
    figure.suptitle(device)
    figure.savefig(options.out, dpi=120)


if __name__ == "__main__":
    main()

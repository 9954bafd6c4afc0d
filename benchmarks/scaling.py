"""How the cost of EAC grows with the batch, the image and the set: plain code, eacbook, bare network.

    python benchmarks/scaling.py                                  # measures
    python benchmarks/scaling.py --draw benchmarks/results/scaling_tiny_48.json

Takes the contestants of :mod:`steps` through batches of 8 to 128 images, images of 48 to 224 pixels, and
whole epochs of sets of 512 to 4,096 images, from the start of the workers to the last step. A block has
about as many pixels everywhere, but at least four steps. Writes
``benchmarks/results/scaling_NETWORK_SIZE.json``; from that, ``--draw`` makes ``docs/scaling.png``.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from results import keep
from steps import Contest, Setting, make_parser, read_arguments, seconds_per_step, take_turns

from eacbook.plots import palette
from eacbook.plots.figures import TEMPLATE

PICTURE = Path(__file__).parents[1] / "docs" / "scaling.png"
LINES = {
    "plain": {"name": "plain code", "color": palette.AMBER},
    "ours": {"name": "eacbook", "color": palette.GREEN},
    "limit": {"name": "bare network", "color": palette.PURPLE, "dash": "dot"},
}
PANELS = {
    "batch_size": ("images in a batch", "milliseconds a step", 1000),
    "size": ("pixels, width and height", "milliseconds a step", 1000),
    "images": ("images in the set", "seconds an epoch", 1),
}
"""What it is measured against: the titles of both axes, and how many of the unit are a second."""

VALUES = {
    "batch-sizes": [8, 16, 32, 64, 128],
    "sizes": [48, 80, 128, 224],
    "images": [512, 1024, 2048, 4096],
}
TICKS = [float(f"{digit}e{power}") for power in range(-3, 6) for digit in (1, 2, 5)]


def measure_step(setting: Setting, pixels: int, blocks: int) -> list[dict]:
    """Seconds a step, a row a round; a block has so many pixels, or four steps."""
    steps = max(4, round(pixels / (setting.batch_size * setting.size**2)))
    contest = Contest(setting, setting.images(steps))
    return take_turns(tuple(LINES), blocks, lambda name: seconds_per_step(contest, name, steps))


def measure_epoch(setting: Setting, images: int, blocks: int) -> list[dict]:
    """Seconds of a whole epoch, a row a round."""
    contest = Contest(setting, images)
    steps = math.ceil(images / setting.batch_size)
    return take_turns(tuple(LINES), blocks, lambda name: getattr(contest, name)(0, steps))


def measure(arguments: argparse.Namespace) -> None:
    setting, rows = Setting.of(arguments), []
    pixels = arguments.steps * setting.batch_size * setting.size**2

    def note(against: str, value: int, rounds: list[dict]) -> None:
        found = pd.DataFrame(rounds).median().mul(1000).round(1).to_dict()
        print(f"{against} {value}: {found} ms", flush=True)
        rows.extend({"against": against, "value": value, **seconds} for seconds in rounds)

    for value in arguments.batch_sizes:
        here = replace(setting, batch_size=value)
        note("batch_size", value, measure_step(here, pixels, arguments.blocks))
    for value in arguments.sizes:
        here = replace(setting, size=value)
        note("size", value, measure_step(here, pixels, arguments.blocks))
    for value in arguments.images:
        note("images", value, measure_epoch(setting, value, arguments.blocks))
    keep(f"scaling_{setting.name}", rows, setting.device, setting=asdict(setting))


def draw(results: Path) -> go.Figure:
    """Medians with their range, both axes logarithmic."""
    facts = json.loads(results.read_text())
    rows, network = pd.DataFrame(facts["rows"]), facts["setting"]["network"]
    where = facts["device"].partition(", torch")[0]
    figure = make_subplots(1, len(PANELS), horizontal_spacing=0.1)
    for column, (against, (what, seconds, unit)) in enumerate(PANELS.items(), start=1):
        points = rows[rows["against"] == against].groupby("value")
        values = list(points.groups)
        for contestant, line in LINES.items():
            times = points[contestant].agg(["median", "min", "max"]) * unit
            figure.add_scatter(
                x=values,
                y=times["median"],
                error_y={
                    "array": times["max"] - times["median"],
                    "arrayminus": times["median"] - times["min"],
                    "thickness": 2,
                    "width": 5,
                },
                name=line["name"],
                showlegend=column == 1,
                line={"width": 4, "color": line["color"], "dash": line.get("dash")},
                marker={"size": 10},
                row=1,
                col=column,
            )
        figure.update_xaxes(title_text=what, type="log", tickvals=values, col=column)
        figure.update_yaxes(
            title_text=seconds,
            type="log",
            tickvals=TICKS,
            ticktext=[f"{tick:g}" for tick in TICKS],
            col=column,
        )
    gains = (rows["plain"] / rows["ours"]).groupby([rows["against"], rows["value"]]).median()
    figure.update_layout(
        template=TEMPLATE,
        width=1400,
        height=500,
        margin={"t": 110},
        title={
            "text": f"EAC with {network} ({where}): eacbook is {gains.min():.1f} to {gains.max():.1f} "
            "times as fast as the plain code",
            "x": 0.01,
            "font": {"size": 22},
        },
        legend={"y": 1.02, "yref": "paper", "yanchor": "bottom"},
    )
    return figure


def main() -> None:
    parser = make_parser(__doc__)
    parser.set_defaults(blocks=3)
    for name, usual in VALUES.items():
        parser.add_argument(
            f"--{name}",
            type=int,
            nargs="+",
            default=usual,
            metavar="N",
            help="default: %(default)s",
        )
    parser.add_argument(
        "--draw", type=Path, metavar="JSON", help="draw these results instead of measuring"
    )
    arguments = read_arguments(parser)
    if arguments.draw is None:
        measure(arguments)
    else:
        draw(arguments.draw).write_image(PICTURE, scale=1.5)
        print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()

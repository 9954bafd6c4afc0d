"""Plotly figures: pure functions, data in, ``go.Figure`` out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from torch import Tensor

from eacbook import palette
from eacbook.train import Run

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "Open Sans, Segoe UI, sans-serif", "size": 15, "color": palette.INK},
        "paper_bgcolor": palette.PAPER,
        "plot_bgcolor": palette.PAPER,
        "xaxis": {"gridcolor": palette.GRID, "linecolor": palette.INK, "zeroline": False},
        "yaxis": {
            "gridcolor": palette.GRID,
            "linecolor": palette.INK,
            "zeroline": False,
            "automargin": True,
        },
        "margin": {"l": 70, "r": 20, "t": 90, "b": 60},
        "hoverlabel": {"font": {"size": 14}},
        "legend": {"orientation": "h", "y": 1.13, "yanchor": "bottom", "x": 1, "xanchor": "right"},
    }
)


def transition_matrix(matrix: Tensor, classes: Sequence[str], title: str) -> go.Figure:
    """A transition matrix ``[K,K]`` as a heat map: true classes down, given labels across."""
    percent = 100 * matrix.numpy()
    figure = go.Figure(
        go.Heatmap(
            z=percent,
            x=list(classes),
            y=list(classes),
            colorscale=[[0, palette.PAPER], [1, palette.RIGHT]],
            zmin=0,
            zmax=100,
            texttemplate="%{z:.0f}",
            hovertemplate="%{y} given as %{x}: %{z:.1f} %<extra></extra>",
            colorbar={"title": {"text": "%"}},
            xgap=2,
            ygap=2,
        )
    )
    figure.update_layout(template=TEMPLATE, title=title, height=520)
    figure.update_xaxes(title="given label", showgrid=False)
    figure.update_yaxes(title="true class", autorange="reversed", showgrid=False)
    return figure


def training_curves(runs: Mapping[str, Run]) -> go.Figure:
    """Test accuracy and memorised wrong labels after every epoch, a line a run."""
    figure = make_subplots(
        1, 2, subplot_titles=("test faces recognised", "wrong labels memorised"),
        horizontal_spacing=0.12,
    )  # fmt: skip
    for place, (name, run) in enumerate(runs.items()):
        for column, quantity in enumerate(("test_accuracy", "memorised"), start=1):
            figure.add_scatter(
                x=[row["epoch"] for row in run.rows],
                y=[row[quantity] for row in run.rows],
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                mode="lines",
                line={"color": method_colour(name, place), "width": 3},
                hovertemplate=name + ", epoch %{x}: %{y:.1%}<extra></extra>",
                row=1,
                col=column,
            )
    figure.update_layout(template=TEMPLATE, height=420)
    figure.update_xaxes(title="epoch")
    figure.update_yaxes(tickformat=".0%", range=[0, 1])
    figure.update_yaxes(title="share of the test faces", col=1)
    figure.update_yaxes(title="share of the wrong labels", col=2)
    return figure


def loss_histograms(losses: Mapping[str, Tensor], flipped: Tensor) -> go.Figure:
    """The losses of right and of wrong labels, a panel a method.

    Args:
        losses: method name to float ``[N]``, in nats.
        flipped: bool ``[N]``, which labels are wrong.

    The last bar holds all that lies beyond it.
    """
    figure = make_subplots(
        1, len(losses), subplot_titles=list(losses), shared_yaxes=True, horizontal_spacing=0.06
    )
    top = max(float(values.quantile(0.995)) for values in losses.values())
    edges = np.linspace(0, max(top, 1e-3), 41)
    for column, values in enumerate(losses.values(), start=1):
        values = values.clamp(max=float(edges[-1]) - 1e-6).numpy()
        for name, chosen, colour in (
            ("right labels", ~flipped.numpy(), palette.RIGHT),
            ("wrong labels", flipped.numpy(), palette.WRONG),
        ):
            counts, _ = np.histogram(values[chosen], edges)
            figure.add_bar(
                x=(edges[1:] + edges[:-1]) / 2,
                y=counts / max(chosen.sum(), 1),
                width=edges[1] - edges[0],
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                marker={"color": colour, "line": {"width": 0}},
                opacity=0.65,
                hovertemplate=name + ", loss %{x:.2f}: %{y:.1%}<extra></extra>",
                row=1,
                col=column,
            )
    figure.update_layout(template=TEMPLATE, barmode="overlay", height=420)
    figure.update_xaxes(title="loss with the given label (nats)")
    figure.update_yaxes(tickformat=".0%")
    figure.update_yaxes(title="share of these labels", col=1)
    return figure


def method_colour(name: str, place: int = 0) -> str:
    """The colour of a method everywhere; other names take the palette's colours in turn."""
    others = list(palette.EXPRESSIONS.values())
    return palette.METHODS.get(name.split()[0], others[place % len(others)])

"""Plotly figures: pure functions from data to a ``go.Figure``.

The background is transparent, for light and dark pages (see :mod:`eacbook.plots.palette`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from eacbook.evaluation.evaluate import loss_shares
from eacbook.plots import palette
from eacbook.plots.pictures import TINT, TINTED, matrix_in_words, tint
from eacbook.training.state import Run

AXIS = {
    "gridcolor": palette.GRID,
    "linecolor": palette.INK,
    "zeroline": False,
    "ticks": "outside",  # invisible; they separate the numbers of the two axes in the corner
    "tickcolor": palette.CLEAR,
    "automargin": True,
    "title": {"font": {"size": 17}, "standoff": 12},
}
TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": "Open Sans, Segoe UI, sans-serif", "size": 16, "color": palette.INK},
        "paper_bgcolor": palette.CLEAR,
        "plot_bgcolor": palette.CLEAR,
        "xaxis": AXIS,
        "yaxis": AXIS,
        "margin": {"l": 80, "r": 20, "t": 88, "b": 70},
        "hoverlabel": {"font": {"size": 16}},
        "legend": {
            "orientation": "h",
            "font": {"size": 17},
            "x": 0,
            "y": 1,
            "xanchor": "left",
            "yanchor": "top",
            "yref": "container",
        },
        "modebar": {"bgcolor": palette.CLEAR, "color": palette.INK, "orientation": "v"},
    }
)
HEIGHT = 440
WHOLE = {"range": [0, 1.02], "dtick": 0.2}
"""An axis of shares to 100 %, with a number there."""
LABELS = {"right labels": palette.RIGHT, "wrong labels": palette.WRONG}
LABEL_DASHES = {"right labels": "solid", "wrong labels": "dash"}
OUTLINE = ", ".join(f"{x}px {y}px 1px #333" for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)))


def transition_matrix(matrix: Tensor, classes: Sequence[str]) -> go.Figure:
    """A transition matrix ``[K,K]`` in percent, with true classes as rows and given labels as columns.

    It looks like :func:`eacbook.plots.pictures.matrix_picture`, and shows tenths at the mouse pointer.
    """
    share = matrix.numpy()
    hover = "%{y} given as %{x}: %{customdata:.1f} %<extra></extra>"
    figure = go.Figure(_matrix_cells(share, classes, 100 * share, hover))
    _finish_matrices(figure, "given label")
    figure.update_layout(width=680, margin={"t": 20})
    return figure


def confusion_matrices(matrices: Mapping[str, Tensor], classes: Sequence[str]) -> go.Figure:
    """Which classes are predicted as which, with a panel for each run.

    A row is a true class and shows in percent what its faces are predicted as. The row of a class
    without a face is empty. At the mouse pointer are the numbers of faces.

    Args:
        matrices: name to a confusion matrix, int64 ``[K,K]``, as ``run.confusion_matrix``.
        classes: K names in label order.
    """
    figure = make_subplots(
        1, len(matrices), subplot_titles=list(matrices), shared_yaxes=True, horizontal_spacing=0.04
    )
    hover = "%{y} predicted as %{x}: %{customdata:,} faces<extra></extra>"
    for column, matrix in enumerate(matrices.values(), start=1):
        counts = matrix.numpy()
        totals = counts.sum(1, keepdims=True)
        share = np.divide(counts, totals, out=np.full(counts.shape, np.nan), where=totals > 0)
        for trace in _matrix_cells(share, classes, counts, hover):
            figure.add_trace(trace, row=1, col=column)
    _finish_matrices(figure, "predicted class")
    figure.update_layout(width=120 + 440 * len(matrices), margin={"t": 50})
    return figure


def _matrix_cells(
    share: np.ndarray, classes: Sequence[str], at_pointer: np.ndarray, hover: str
) -> tuple[go.Heatmap, go.Scatter]:
    """The cells of a matrix of shares ``[K,K]`` and their numbers; a cell that is NaN is empty."""
    right = np.eye(len(share), dtype=bool)
    tinted = share >= TINTED
    cells = go.Heatmap(
        z=np.where(right, 1, -1) * tint(share),
        x=list(classes),
        y=list(classes),
        customdata=at_pointer,
        colorscale=[
            [0, _translucent(palette.WRONG, 1)],
            [0.5, _translucent(palette.WRONG, 0)],
            [0.5, _translucent(palette.RIGHT, 0)],
            [1, _translucent(palette.RIGHT, 1)],
        ],
        zmin=-1,
        zmax=1,
        showscale=False,
        hovertemplate=hover,
        xgap=3,
        ygap=3,
    )
    numbers = go.Scatter(
        x=[name for _ in classes for name in classes],
        y=[name for name in classes for _ in classes],
        text=["" if np.isnan(value) else f"{value:.0f}" for value in (100 * share).flat],
        mode="text",
        textfont={
            "size": 18,
            "color": np.where(tinted, "#FFFFFF", palette.INK).ravel(),
            "shadow": np.where(tinted, OUTLINE, "none").ravel(),
        },
        hoverinfo="skip",
        showlegend=False,
    )
    return cells, numbers


def _finish_matrices(figure: go.Figure, columns: str) -> None:
    """The common style of figures of matrices, with the title of their columns."""
    _finish(figure)
    figure.update_layout(height=540)
    figure.update_xaxes(title_text=columns, showgrid=False)
    figure.update_yaxes(showgrid=False, autorange="reversed")
    figure.layout.yaxis.title.text = "true class (its faces in %)"  # of the first panel


def training_curves(runs: Mapping[str, Run]) -> go.Figure:
    """Test accuracy and memorised wrong labels after every epoch, with a line for each run."""
    figure = make_subplots(
        1, 2, subplot_titles=("test faces recognised", "wrong labels memorised"),
        horizontal_spacing=0.18,
    )  # fmt: skip
    colours, dashes = palette.method_colours(runs), palette.method_dashes(runs)
    for name, run in runs.items():
        for column, quantity in enumerate(("test_accuracy", "memorised"), start=1):
            figure.add_scatter(
                x=[row["epoch"] for row in run.rows],
                y=[row[quantity] for row in run.rows],
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                mode="lines",
                line={"color": colours[name], "width": 4, "dash": dashes[name]},
                hovertemplate=name + ", epoch %{x}: %{y:.1%}<extra></extra>",
                row=1,
                col=column,
            )
    _finish(figure)
    figure.update_xaxes(title_text="epoch")
    if max(len(run.rows) for run in runs.values()) <= 10:
        figure.update_xaxes(dtick=1)  # there is no epoch 1.5
    figure.update_yaxes(tickformat=".0%", **WHOLE)
    figure.update_yaxes(title_text="share of the test faces", col=1)
    figure.update_yaxes(title_text="share of the wrong labels", col=2)
    return figure


def loss_histograms(
    losses: Mapping[str, Tensor], wrong: Tensor, top: int | None = None
) -> go.Figure:
    """The losses of right and of wrong labels, with a panel for each method.

    Args:
        losses: method name to float ``[N]``, in nats. It is not a number (NaN) for a face that was not
            used in a balanced epoch. The title of the panel says how many faces these are.
        wrong: bool ``[N]``, which labels are wrong.
        top: nats at the right end; by default, 199 of 200 losses are below it.

    The last step also counts all larger losses. The "+" after the last number means this.
    """
    titles = [_with_absent(name, int(values.isnan().sum())) for name, values in losses.items()]
    figure = make_subplots(
        1, len(losses), subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.06
    )
    if top is None:
        top = _top(losses)
    for column, values in enumerate(losses.values(), start=1):
        of_right, of_wrong = _loss_steps(values, wrong, top)
        for name, shares in (("right labels", of_right), ("wrong labels", of_wrong)):
            colour = LABELS[name]
            # With outlines, because two translucent colours make a third one where they overlap.
            figure.add_scatter(
                x=_edges(top),
                y=[*shares, 0],
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                mode="lines",
                line={"shape": "hv", "color": colour, "width": 3, "dash": LABEL_DASHES[name]},
                fill="tozeroy",
                fillcolor=_translucent(colour, 0.4),
                hovertemplate=name + ", loss from %{x:.2f}: %{y:.1%}<extra></extra>",
                row=1,
                col=column,
            )
    _finish(figure)
    step = ceil(top / 8)
    ticks = [*range(0, top - step + 1, step), top]
    figure.update_xaxes(
        title_text="loss with the given label (nats)",
        tickvals=ticks,
        ticktext=[*map(str, ticks[:-1]), f"{top}+"],
        range=[0, 1.01 * top],
    )
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_yaxes(title_text="share of these labels", col=1)
    return figure


def epoch_curves(
    panels: Mapping[str, Mapping[str, Tensor]],
    title: str,
    *,
    level: tuple[str, float] | None = None,
    percent: bool = True,
) -> go.Figure:
    """Quantities over the epochs: the mean over seeds, and their range as a band.

    Args:
        panels: title of a panel to its lines. The lines are a name to float ``[S,E]``: S seeds, E
            epochs. "right labels" and "wrong labels" have their own colours, other lines those of
            methods.
        title: the title of the y axis, with the unit.
        level: name and height of a dashed line, for example the level of chance.
        percent: the quantities are shares.
    """
    figure = make_subplots(
        1, len(panels), subplot_titles=list(panels), shared_yaxes=True, horizontal_spacing=0.08
    )
    form = ".0%" if percent else ".3~g"
    names = dict.fromkeys(name for lines in panels.values() for name in lines)
    colours = palette.method_colours(names) | LABELS
    dashes = palette.method_dashes(names) | LABEL_DASHES
    highest = 0.0
    for column, lines in enumerate(panels.values(), start=1):
        for name, values in lines.items():
            values = values.float()
            highest = max(highest, values.nan_to_num(0).amax().item())
            epochs = list(range(1, values.shape[1] + 1))
            colour = colours[name]
            if len(values) > 1:
                band = [*values.amax(0).tolist(), *values.amin(0).flip(0).tolist()]
                figure.add_scatter(
                    x=epochs + epochs[::-1], y=band, fill="toself", mode="lines",
                    line={"width": 0}, fillcolor=_translucent(colour, 0.25), hoverinfo="skip",
                    legendgroup=name, showlegend=False, row=1, col=column,
                )  # fmt: skip
            figure.add_scatter(
                x=epochs, y=values.mean(0).tolist(), name=name, legendgroup=name,
                mode="lines", line={"color": colour, "width": 4, "dash": dashes[name]},
                showlegend=name in names,
                hovertemplate=f"{name}, epoch %{{x}}: %{{y:{form}}}<extra></extra>",
                row=1, col=column,
            )  # fmt: skip
            names.pop(name, None)  # once in the legend is enough
        if level is not None:
            figure.add_scatter(
                x=[epochs[0], epochs[-1]], y=[level[1]] * 2, name=level[0], legendgroup=level[0],
                mode="lines", line={"color": palette.INK, "width": 2, "dash": "dash"},
                showlegend=column == 1, hoverinfo="skip", row=1, col=column,
            )  # fmt: skip
    _finish(figure)
    figure.update_xaxes(title_text="epoch")
    figure.update_yaxes(tickformat=form, rangemode="tozero")
    if percent and highest > 0.8:
        figure.update_yaxes(**WHOLE)
    figure.update_yaxes(title_text=title, col=1)
    return figure


def rate_curves(
    panels: Mapping[str, Mapping[str, Mapping[float, tuple[float, float]]]],
) -> go.Figure:
    """Test accuracy against the share of wrong labels, with a line for each method.

    Args:
        panels: title of a panel to method to percent of wrong labels to mean and standard deviation of
            the accuracy over the seeds, in percent.
    """
    # A panel of one rate is not too narrow for its title.
    widths = [max(2, *map(len, lines.values())) for lines in panels.values()]
    figure = make_subplots(
        1, len(panels), subplot_titles=list(panels), shared_yaxes=True, horizontal_spacing=0.04,
        column_widths=widths,
    )  # fmt: skip
    names = dict.fromkeys(name for lines in panels.values() for name in lines)
    colours, dashes = palette.method_colours(names), palette.method_dashes(names)
    for column, lines in enumerate(panels.values(), start=1):
        rates = sorted({rate for line in lines.values() for rate in line})
        for place, (name, line) in enumerate(lines.items()):
            means, spreads = zip(*line.values(), strict=True)
            # Points of a single rate stand beside each other.
            aside = place - (len(lines) - 1) / 2 if len(rates) == 1 else 0
            figure.add_scatter(
                x=[rate + aside for rate in line], y=means, name=name, legendgroup=name,
                showlegend=name in names, mode="lines+markers",
                line={"color": colours[name], "width": 3, "dash": dashes[name]},
                marker={"symbol": palette.SYMBOLS.get(name, "circle"), "size": 11},
                error_y={"array": spreads, "thickness": 1.5, "width": 4}, customdata=list(line),
                hovertemplate=f"{name}, %{{customdata}} %: %{{y:.1f}} %<extra></extra>",
                row=1, col=column,
            )  # fmt: skip
            names.pop(name, None)  # once in the legend is enough
        edges = (rates[0] - 5, rates[-1] + 5)
        figure.update_xaxes(tickvals=rates, range=edges, col=column)
    _finish(figure)
    figure.update_xaxes(title_text="wrong labels in %", title_font_size=15)
    figure.update_yaxes(title_text="test accuracy in %", col=1)
    return figure


def ranking_curves(rankings: Mapping[str, Tensor]) -> go.Figure:
    """Precision and recall along rankings of labels, against the number of labels looked at.

    A dashed line shows a ranking by chance.

    Args:
        rankings: name to bool ``[N]``: whether the label at each place is wrong, the most doubtful
            first. All are of the same N labels.
    """
    figure = make_subplots(
        1, 2, subplot_titles=("precision so far", "recall so far"), horizontal_spacing=0.18
    )
    colours = palette.method_colours(rankings)
    wrong = next(iter(rankings.values())).double()
    looked_at = torch.arange(1, len(wrong) + 1)
    for name, ranked in rankings.items():
        found = ranked.cumsum(0).double()
        shares = found / looked_at, found / found[-1]
        for column, share in enumerate(shares, start=1):
            figure.add_scatter(
                x=looked_at.tolist(), y=share.tolist(), name=name, legendgroup=name, mode="lines",
                line={"color": colours[name], "width": 4}, showlegend=column == 1,
                hovertemplate=f"{name}, first %{{x}}: %{{y:.0%}}<extra></extra>",
                row=1, col=column,
            )  # fmt: skip
    rate = float(wrong.mean())
    for column, ends in enumerate(([rate, rate], [0, 1]), start=1):
        figure.add_scatter(
            x=[0, len(wrong)], y=ends, name="chance", legendgroup="chance", mode="lines",
            line={"color": palette.INK, "width": 2, "dash": "dash"}, showlegend=column == 1,
            hoverinfo="skip", row=1, col=column,
        )  # fmt: skip
    _finish(figure)
    figure.update_xaxes(title_text="labels looked at")
    figure.update_yaxes(tickformat=".0%", range=[0, 1.01])
    figure.update_yaxes(title_text="share that is wrong", col=1)
    figure.update_yaxes(title_text="share of the wrong labels", col=2)
    return figure


def loss_film(losses: Mapping[str, Tensor], wrong: Tensor) -> go.Figure:
    """The losses of right and of wrong labels, with a panel for each method and a slider for epochs.

    It plays in the browser, without the kernel.

    Args:
        losses: method name to float ``[E,N]``, in nats. It is not a number (NaN) for a face that was not
            used in a balanced epoch.
        wrong: bool ``[N]``, which labels are wrong.

    The last step also counts all larger losses. The "+" after the last number means this.
    """
    top = _top(losses)
    epochs = min(len(values) for values in losses.values())
    heights = [
        [
            [*shares, 0]
            for kept in losses.values()
            for shares in _loss_steps(kept[epoch], wrong, top)
        ]
        for epoch in range(epochs)
    ]
    last = {name: kept[epochs - 1] for name, kept in losses.items()}
    figure = loss_histograms(last, wrong, top)
    for title, (name, kept) in zip(figure.layout.annotations, losses.items(), strict=True):
        absent = kept[:epochs].isnan().sum(1).double().mean().item()
        title.text = _with_absent(name, round(absent), "on average ")
    highest = max(max(trace) for still in heights for trace in still)
    # In early and late epochs, nearly all losses are in one step. The film should show the others.
    if highest > 0.4:
        figure.update_yaxes(range=[0, 0.4])
        figure.update_yaxes(title_text="share of these labels (cut at 40%)", col=1)
    figure.frames = [
        go.Frame(
            name=str(epoch), traces=list(range(len(still))),
            data=[go.Scatter(y=trace) for trace in still],
        )
        for epoch, still in enumerate(heights, start=1)
    ]  # fmt: skip
    at_once = {"mode": "immediate", "transition": {"duration": 0}}
    steps = [
        {"label": frame.name, "method": "animate", "args": [[frame.name], at_once]}
        for frame in figure.frames
    ]
    film = {"fromcurrent": True, "frame": {"duration": 250, "redraw": False}} | at_once
    buttons = [
        {"label": "play", "method": "animate", "args": [None, film]},
        {"label": "pause", "method": "animate", "args": [[None], at_once]},
    ]
    ink = {"color": palette.INK, "size": 16}
    figure.update_layout(
        height=HEIGHT + 120,
        margin={"b": 180},
        sliders=[
            {
                "active": epochs - 1, "steps": steps, "x": 0.14, "len": 0.86, "y": -0.32,
                "currentvalue": {"prefix": "epoch ", "font": {**ink, "size": 18}}, "font": ink,
                "bgcolor": palette.GRID, "activebgcolor": palette.INK,
                "bordercolor": palette.INK, "tickcolor": palette.INK, "transition": {"duration": 0},
            }
        ],
        updatemenus=[
            {
                "type": "buttons", "buttons": buttons, "x": 0, "y": -0.42, "xanchor": "left",
                "yanchor": "middle", "font": ink, "bgcolor": palette.CLEAR,
                "bordercolor": palette.INK, "showactive": False,
            }
        ],
    )  # fmt: skip
    return figure


STILLS = 5
"""The frames of a film in a page that cannot play it."""


def still(figure: go.Figure) -> go.Figure:
    """A figure for a page without scripts: a film becomes a row of frames for each of its panels."""
    if not figure.frames:
        return figure
    places = np.linspace(0, len(figure.frames) - 1, STILLS).round().astype(int)
    chosen = [figure.frames[place] for place in places]
    panels = [note.text.partition("<br>")[0] for note in figure.layout.annotations]
    row = make_subplots(
        len(panels), STILLS, shared_xaxes=True, shared_yaxes=True, vertical_spacing=0.08,
        horizontal_spacing=0.02, column_titles=[f"epoch {frame.name}" for frame in chosen],
    )  # fmt: skip
    for column, frame in enumerate(chosen, start=1):
        for trace, moved in zip(figure.data, frame.data, strict=True):
            panel = _panel(trace)
            shown = {**trace.to_plotly_json(), "y": moved.y, "xaxis": None, "yaxis": None}
            shown["showlegend"] = bool(trace.showlegend) and column == 1
            row.add_trace(shown, row=panel + 1, col=column)
    _finish(row)
    x, y = figure.layout.xaxis, figure.layout.yaxis
    highest = max(_values(trace.y).max() for frame in chosen for trace in frame.data)
    # The last number would stand on the first one of the next frame.
    row.update_xaxes(range=x.range, tickvals=x.tickvals[:-1:2], ticktext=x.ticktext[:-1:2])
    row.update_xaxes(title_text=x.title.text, row=len(panels), col=(STILLS + 1) // 2)
    row.update_yaxes(tickformat=".0%", range=y.range or [0, 1.05 * highest], nticks=4)
    for place, name in enumerate(panels, start=1):
        row.update_yaxes(title_text=name, row=place, col=1)
    row.update_layout(height=HEIGHT + 40, showlegend=True)
    return row


def description(figure: go.Figure) -> str:
    """What a figure shows in words, from its own data: the alternative text of its picture."""
    titles = [note.text.replace("<br>", ", ") for note in figure.layout.annotations if note.text]
    titles = [re.sub("<[^>]*>", "", title) for title in titles]
    axes = {axis.title.text for axis in figure.select_xaxes() if axis.title.text}
    of_y = {axis.title.text for axis in figure.select_yaxes() if axis.title.text}
    sides = {"Horizontal": axes, "Vertical": of_y}
    parts = [f"{side}: {'; '.join(sorted(names))}." for side, names in sides.items() if names]
    percent = "%" in (figure.layout.yaxis.tickformat or "")
    for trace in figure.data:
        where = f" ({titles[_panel(trace)]})" if len(titles) > 1 else ""
        if trace.type == "heatmap":
            shares = np.abs(_values(trace.z).astype(float)) ** (1 / TINT)
            parts.append(matrix_in_words(f"in %{where}", trace.y, shares.tolist()))
        elif trace.name and trace.hoverinfo != "skip":
            parts.append(f"{trace.name}{where}: {_course(trace, percent)}.")
    if figure.frames:
        parts.append(f"A film of {len(figure.frames)} epochs; these are the last one's numbers.")
    return " ".join(parts)


def _course(trace: go.Scatter, percent: bool) -> str:
    """Where a line begins, where it ends, and its highest point; the values of dots alone."""
    x, y = _values(trace.x), _values(trace.y)
    if isinstance(y[0], str):
        return ", ".join(f"{value:.3g}" for value in x)
    values = y.astype(float)
    form = "{:.0%}" if percent else "{:.3g}"
    if len(values) == 1:
        return form.format(values[0])
    first, last, highest = (
        form.format(value) for value in (values[0], values[-1], np.nanmax(values))
    )
    at = x[int(np.nanargmax(values))]
    at = at if isinstance(at, str) else f"{at:.3g}"
    return f"from {first} to {last}, highest {highest} at {at}"


def _values(stored: Sequence | dict) -> np.ndarray:
    """The values of a trace; in a saved notebook plotly keeps an array as bytes."""
    if not isinstance(stored, dict):
        return np.array(stored)
    values = np.frombuffer(base64.b64decode(stored["bdata"]), stored["dtype"])
    return values.reshape([int(side) for side in stored.get("shape", "-1").split(",")])


def _panel(trace: go.Scatter) -> int:
    """The number of the panel of a trace, from 0."""
    return int((trace.xaxis or "x")[1:] or 1) - 1


def _top(losses: Mapping[str, Tensor]) -> int:
    """The right end of a loss histogram in nats: 199 of 200 losses are below it."""
    known = [values[~values.isnan()].numpy() for values in losses.values()]
    return (
        ceil(max((float(np.quantile(some, 0.995)) for some in known if len(some)), default=0)) or 1
    )


def _with_absent(name: str, absent: int, average: str = "") -> str:
    """The title of a panel, with the number of faces that have no loss."""
    if not absent:
        return name
    return f"{name}<br><sup>{average}{absent:,} faces were not used in an epoch</sup>"


def _edges(top: float) -> np.ndarray:
    return np.linspace(0, top, 41)


def _loss_steps(losses: Tensor, wrong: Tensor, top: float) -> tuple[np.ndarray, np.ndarray]:
    """The heights of a loss histogram, for right and for wrong labels."""
    return loss_shares(losses, wrong, _edges(top))


def _finish(figure: go.Figure) -> None:
    """The common style. Panel titles are annotations, and a template cannot set these."""
    figure.update_layout(template=TEMPLATE, height=HEIGHT)
    figure.update_annotations(font_size=19, yshift=6)


def _translucent(colour: str, alpha: float) -> str:
    red, green, blue = bytes.fromhex(colour[1:])
    return f"rgba({red}, {green}, {blue}, {alpha})"

"""The FeatureExplorer: maps of the features of several methods, a slider for the epoch, faces on hover.

It is a canvas with a short script (``features.html``), which contains all its data. It needs no kernel,
no library and no request. It works in JupyterLab, in Colab, in an exported notebook and as a file. If
scripts are not run, a picture is shown instead.
"""

from __future__ import annotations

import base64
import html
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from importlib import resources

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from eacbook.book.pictures import saved
from eacbook.data.faces import FaceData
from eacbook.errors import InputError
from eacbook.experiments.features import NEIGHBOURS, neighbour_shares
from eacbook.plots import palette
from eacbook.plots.fonts import drawable, font_for, legend
from eacbook.plots.pictures import (
    DESCRIPTION,
    MARGIN,
    TEXT,
    described,
    face_picture,
    png,
    side_by_side,
)
from eacbook.training.recording import Recorded

FACE, COLUMNS = 48, 20
"""The pixels of a face, and the faces in a row, in the one picture that contains all faces."""

SHARES = (
    "wrong labels among their true class",
    "wrong labels among their given class",
    "purity around wrong | right labels",
)
LEVELS = 2**16 - 1  # positions are stored as uint16


class FeatureExplorer:
    """Maps of the features side by side, with a slider for the epoch.

    The colour shows the given label, the true label, or right and wrong. To save the explorer as a file:
    ``Path("features.html").write_text(explorer.html())``.

    Args:
        recorded: method name to its records; all with the same faces and the same labels.
        positions: method name to float ``[E,n,2]``, from
            :func:`eacbook.experiments.features.find_or_map`.
        epochs: the rows of the E epochs in the records; the first row is 0.
        faces: the faces that the runs were trained on.

    Attributes:
        data: the data of the page; see :func:`feature_data`.
        picture: PNG; see :func:`feature_picture`.

    Raises:
        InputError: the methods were recorded with different faces or labels, or the maps do not belong
            to these methods, epochs and faces.
    """

    def __init__(
        self,
        recorded: Mapping[str, Recorded],
        positions: Mapping[str, Tensor],
        epochs: Sequence[int],
        faces: FaceData,
    ):
        _check(recorded, positions, epochs)
        first = next(iter(recorded.values()))
        labels = faces.train.labels
        if first.rows.max() >= len(labels) or not torch.equal(labels[first.rows], first.true):
            raise InputError("the runs were trained on other faces than these")
        self.data = feature_data(recorded, positions, epochs, faces)
        self.picture, self.metadata = saved(feature_picture(recorded, positions, epochs))

    def html(self) -> str:
        """The explorer as a piece of HTML."""
        # No "<" in the data, so that the name of a class cannot end the script that contains it.
        text = json.dumps(self.data, separators=(",", ":")).replace("<", "\\u003c")
        parts = {
            "alt": html.escape(described(self.picture)),
            "data": text,
            "focus": palette.RIGHT,
            "grid": palette.GRID,
            "picture": base64.b64encode(self.picture).decode(),
        }
        page = resources.files("eacbook.book.widgets").joinpath("features.html").read_text("utf-8")
        return re.sub("@([a-z]+)@", lambda name: parts[name[1]], page)

    def _repr_mimebundle_(self, **_) -> tuple[dict, dict]:
        bundle = {
            "text/plain": type(self).__name__,
            "image/png": base64.b64encode(self.picture).decode(),
            "text/html": self.html(),
        }
        return bundle, {"image/png": self.metadata}


def feature_data(
    recorded: Mapping[str, Recorded],
    positions: Mapping[str, Tensor],
    epochs: Sequence[int],
    faces: FaceData,
) -> dict:
    """All that the page shows, in plain values; the arguments are :class:`FeatureExplorer`'s.

    Returns:
        ``epochs`` (counted from 1), ``classes``, ``given`` and ``true`` (n labels), the colours,
        ``atlas`` (all faces as one picture, a data address; ``columns`` faces of ``face`` pixels in
        a row), ``margin`` (pixels around a map), ``shares`` (what the numbers are called),
        ``neighbours`` (how many they count) and ``methods``, each with ``name``, ``positions``
        (base64 of little-endian uint16 ``[E,n,2]``, 0 to 65535 over the map's side) and ``shares``
        (E rows of texts).
    """
    first = next(iter(recorded.values()))
    colours = palette.class_colours(faces.classes)
    return {
        "epochs": [epoch + 1 for epoch in epochs],
        "classes": list(faces.classes),
        "given": first.given.tolist(),
        "true": first.true.tolist(),
        "class_colours": [colours[name] for name in faces.classes],
        "label_colours": [palette.RIGHT, palette.WRONG],
        "atlas": "data:image/webp;base64," + _encoded(_atlas(faces.train.images[first.rows])),
        "face": FACE,
        "columns": COLUMNS,
        "margin": MARGIN + 4,
        "shares": SHARES,
        "neighbours": NEIGHBOURS,
        "methods": [
            {
                "name": name,
                "positions": _encoded((LEVELS * _framed(positions[name])).round().astype("<u2")),
                "shares": _share_texts(one, epochs),
            }
            for name, one in recorded.items()
        ],
    }


def feature_picture(
    recorded: Mapping[str, Recorded],
    positions: Mapping[str, Tensor],
    epochs: Sequence[int],
    side: int = 440,
) -> bytes:
    """PNG: the maps of the last of the epochs, right labels as dots, wrong ones as crosses.

    Args:
        recorded, positions, epochs: see :class:`FeatureExplorer`.
        side: width and height of a map in pixels.
    """
    font, line = font_for("0", TEXT), TEXT + 6
    panels = []
    for drawn, (name, one) in zip(drawable(recorded, "run"), recorded.items(), strict=True):
        points = (MARGIN + _framed(positions[name])[-1] * (side - 2 * MARGIN)).tolist()
        chart = Image.new("RGBA", (side, side + 5 * line), palette.INK + "00")
        chart.paste(_scatter(points, one.wrong.tolist(), side), (0, line))
        draw = ImageDraw.Draw(chart)
        title = f"{drawn}, epoch {epochs[-1] + 1}"
        draw.text((MARGIN, 0), title, palette.INK, font_for(title, TEXT))
        y = line + side
        key = _scatter([(12, 12), (side / 2 + 12, 12)], [False, True], side)
        chart.paste(key.crop((0, 0, side, line)), (0, y))
        for x, label in ((24, "right label"), (side / 2 + 24, "wrong label")):
            draw.text((x, y), label, palette.INK, font)
        for row, text in enumerate(_share_texts(one, epochs)[-1]):
            draw.text((MARGIN, y + (row + 1) * line), f"{text}  {SHARES[row]}", palette.INK, font)
        panels.append(chart)
    numbers = legend(list(recorded), "run")
    shares = "; ".join(
        f"{name}: "
        + ", ".join(map(" ".join, zip(_share_texts(one, epochs)[-1], SHARES, strict=True)))
        for name, one in recorded.items()
    )
    sheet = side_by_side(*panels)
    sheet.info[DESCRIPTION] = (
        f"Maps of the features of {' and '.join(recorded)} in epoch {epochs[-1] + 1}, right and wrong "
        f"labels marked. {shares}." + (f" ({numbers})" if numbers else "")
    )
    return png(sheet)


def _check(
    recorded: Mapping[str, Recorded], positions: Mapping[str, Tensor], epochs: Sequence[int]
) -> None:
    if not recorded or set(recorded) != set(positions):
        raise InputError(f"maps of {sorted(positions)} do not fit {sorted(recorded)}")
    first = next(iter(recorded.values()))
    for name, one in recorded.items():
        for labels in ("rows", "given", "true"):
            if not torch.equal(getattr(one, labels), getattr(first, labels)):
                raise InputError(f"{name} was recorded with other faces or labels than the first")
        shape = len(epochs), len(one.rows), 2
        if positions[name].shape != shape:
            raise InputError(
                f"the map of {name} has the shape {list(positions[name].shape)}, not {list(shape)}"
            )


def _share_texts(recorded: Recorded, epochs: Sequence[int]) -> list[list[str]]:
    """The numbers of :data:`SHARES` after each of the epochs, as texts."""
    shares = {name: values[list(epochs)] for name, values in neighbour_shares(recorded).items()}
    texts = [[_percent(share) for share in values.tolist()] for values in shares.values()]
    return [
        [true, given, f"{wrong} | {right}"]
        for true, given, wrong, right in zip(*texts, strict=True)
    ]


def _percent(share: float) -> str:
    """A share as a rounded percentage; a dash if there was nothing to count."""
    return "-" if math.isnan(share) else f"{100 * share:.0f} %"


def _framed(positions: Tensor) -> np.ndarray:
    """Positions ``[E,n,2]`` scaled to 0-1; one square contains the points of all epochs."""
    low, high = positions.amin((0, 1)), positions.amax((0, 1))
    side = (high - low).max().clamp(min=1e-6)
    return ((positions - (low + high) / 2) / side + 0.5).numpy()


def _atlas(images: Tensor) -> bytes:
    """Faces, uint8 ``[n,C,H,W]``, in rows of :data:`COLUMNS`, as a WebP file."""
    lines = math.ceil(len(images) / COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * FACE, lines * FACE))
    for place, image in enumerate(images):
        corner = place % COLUMNS * FACE, place // COLUMNS * FACE
        sheet.paste(face_picture(image, FACE), corner)
    buffer = io.BytesIO()
    sheet.save(buffer, "webp", quality=75)
    return buffer.getvalue()


def _scatter(points: list, wrong: list[bool], side: int) -> Image.Image:
    """A map, drawn at twice its size for smooth edges; wrong labels are drawn last, on top."""
    chart = Image.new("RGBA", (2 * side, 2 * side), palette.INK + "00")
    draw = ImageDraw.Draw(chart)
    for (x, y), cross in sorted(zip(points, wrong, strict=True), key=lambda point: point[1]):
        x, y = 2 * x, 2 * y
        if cross:
            draw.line((x - 8, y - 8, x + 8, y + 8), palette.WRONG, 4)
            draw.line((x - 8, y + 8, x + 8, y - 8), palette.WRONG, 4)
        else:
            draw.ellipse((x - 7, y - 7, x + 7, y + 7), palette.RIGHT)
    return chart.resize((side, side), Image.Resampling.BOX)


def _encoded(content: bytes | np.ndarray) -> str:
    return base64.b64encode(content).decode()

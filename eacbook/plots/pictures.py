"""Pictures of faces and maps: pure functions from data to a PIL image.

Their background is transparent, for light and dark pages (see :mod:`eacbook.plots.palette`). The
faces are not transparent. :func:`png` makes the bytes for a widget or a page. If no font here has the
letters of a name, the name becomes a number, and a warning says what it means (see
:mod:`eacbook.plots.fonts`).

Each picture says in words what it shows, for readers who cannot see it: ``picture.info[DESCRIPTION]``.
:func:`png` writes the words into the file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby
from math import ceil

import numpy as np
import torch
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from eacbook.evaluation.attention import heat
from eacbook.plots import palette
from eacbook.plots.fonts import drawable, font_for, legend

DESCRIPTION = "Description"
"""Where a picture has its alternative text; the PNG format has this name for it."""

MARGIN = 8
TEXT = 17
TINT = 0.6
TINTED = 0.065
"""From this share on, text on the colour of a cell has a contrast below 3:1 on a white page."""

# From black over violet and orange to pale yellow. Each is brighter than the last, so it works in grey.
HEAT_COLOURS = ("#000004", "#57106E", "#BC3754", "#F98E09", "#FCFFA4")


def png(picture: Image.Image, compress_level: int = 5) -> bytes:
    """The picture as a PNG file. Level 5 is a fifth faster than Pillow's own 6; files are 2 % larger."""
    buffer, text = io.BytesIO(), PngInfo()
    if DESCRIPTION in picture.info:
        text.add_itxt(DESCRIPTION, picture.info[DESCRIPTION])
    picture.save(buffer, "png", compress_level=compress_level, pnginfo=text)
    return buffer.getvalue()


def described(content: bytes) -> str:
    """The description in a PNG file."""
    with Image.open(io.BytesIO(content)) as picture:
        return picture.info[DESCRIPTION]


def face_picture(image: Tensor, size: int) -> Image.Image:
    """One face, uint8 ``[C,H,W]``, as an RGB picture of ``size`` pixels."""
    array = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().cpu().numpy()
    return Image.fromarray(array).resize((size, size), Image.Resampling.BICUBIC)


def face_sheet(
    images: Tensor,
    given: Tensor,
    true: Tensor,
    classes: Sequence[str],
    *,
    columns: int = 8,
    cell: int = 104,
) -> Image.Image:
    """Faces with their given label below, and the true label if the given one is wrong.

    Args:
        images: uint8 ``[n,C,H,W]``.
        given, true: int64 ``[n]``.
        classes: names in label order.
        columns: faces in a row.
        cell: pixels of a face.
    """
    classes = _drawn(classes)
    line = TEXT + 3
    # The same width at every noise rate, so that nothing moves when the user moves a slider.
    widest = _widest(f"is {name}" for name in classes)
    step_x, step_y = max(cell, widest) + MARGIN, cell + 2 * line + MARGIN
    rows = -(-len(images) // columns)
    sheet = _blank(columns * step_x + MARGIN, rows * step_y + MARGIN)
    draw = ImageDraw.Draw(sheet)
    for place, (image, label, truth) in enumerate(
        zip(images, given.tolist(), true.tolist(), strict=True)
    ):
        x = MARGIN + place % columns * step_x + (step_x - MARGIN - cell) // 2
        y = MARGIN + place // columns * step_y
        wrong = label != truth
        sheet.paste(face_picture(image, cell), (x, y))
        if wrong:
            draw.rectangle((x - 3, y - 3, x + cell + 2, y + cell + 2), None, palette.WRONG, 4)
        _text(draw, x + cell / 2, y + cell + 1, classes[label])
        if wrong:
            _text(draw, x + cell / 2, y + cell + 1 + line, f"is {classes[truth]}")
    labels = _labels_in_words(given.tolist(), true.tolist(), classes)
    sheet.info[DESCRIPTION] = f"{len(images)} faces with their given labels: {labels}."
    return sheet


def picture_grid(rows: Mapping[str, Tensor], *, cell: int = 96) -> Image.Image:
    """Rows of images, uint8 ``[n,C,H,W]`` each, with the name of the row on the left."""
    rows = dict(zip(_drawn(rows, "row"), rows.values(), strict=True))
    left = _widest(rows) + 2 * MARGIN
    most = max(len(images) for images in rows.values())
    grid = _blank(left + most * (cell + MARGIN), len(rows) * (cell + MARGIN) + MARGIN)
    draw = ImageDraw.Draw(grid)
    for row, (name, images) in enumerate(rows.items()):
        y = MARGIN + row * (cell + MARGIN)
        _text(draw, left - MARGIN, y + cell / 2 - TEXT / 2, name, anchor="ra")
        for column, image in enumerate(images):
            grid.paste(face_picture(image, cell), (left + column * (cell + MARGIN), y))
    of_rows = ", ".join(f"{name} ({len(images)})" for name, images in rows.items())
    grid.info[DESCRIPTION] = f"Rows of images: {of_rows}."
    return grid


def matrix_picture(matrix: Tensor, classes: Sequence[str], *, cell: int = 52) -> Image.Image:
    """A transition matrix ``[K,K]`` in percent: true classes as rows, given labels as columns."""
    classes = _drawn(classes)
    side, names = len(classes) * cell, [_slanted(name) for name in classes]
    title = "given label, in % of the true class"
    left = _widest(classes) + 2 * TEXT
    top = max(name.height for name in names) + TEXT + MARGIN
    right = max(left + side + names[-1].width - cell // 2, left + _widest([title])) + MARGIN
    picture = _blank(right, top + side + MARGIN)
    draw = ImageDraw.Draw(picture)
    _text(draw, left + max(side, _widest([title])) / 2, 0, title)
    picture.paste(palette.INK, (0, top), _mask("true class", side).rotate(90, expand=True))
    for row, name in enumerate(classes):
        x, y = left + row * cell, top + row * cell
        _text(draw, left - 8, y + cell / 2 - TEXT / 2 - 1, name, anchor="ra")
        picture.paste(palette.INK, (x + cell // 2 - 10, top - names[row].height), names[row])
        for column in range(len(classes)):
            x, share = left + column * cell, matrix[row, column].item()
            colour = palette.RIGHT if row == column else palette.WRONG
            fill = (*_rgb(colour), round(255 * tint(share)))
            draw.rectangle((x, y, x + cell - 3, y + cell - 3), fill)
            place = x + cell / 2 - 1, y + cell / 2 - TEXT / 2 - 2
            _text(draw, *place, f"{100 * share:.0f}", outlined=share >= TINTED)
    picture.info[DESCRIPTION] = matrix_in_words(title, classes, matrix.tolist())
    return picture


def matrix_in_words(title: str, classes: Sequence[str], rows: Sequence[Sequence[float]]) -> str:
    """The rows of a matrix of shares, without the cells that are shown as 0; NaN is an empty cell."""
    texts = []
    for name, row in zip(classes, rows, strict=True):
        cells = [f"{c} {100 * s:.0f}" for c, s in zip(classes, row, strict=True) if s >= 0.005]
        texts.append(f"{name}: {', '.join(cells) or 'nothing'}")
    return f"Matrix, {title}. {'; '.join(texts)}."


def tint(share: float | np.ndarray) -> float | np.ndarray:
    """The opacity of a cell of a matrix for its share, 0 to 1. Small shares get more, to be visible."""
    return share**TINT


def overlay(face: Image.Image, heat_map: Tensor, strength: float = 0.65) -> Image.Image:
    """A face in grey with its attention in colour on it. If there is none, the picture says so.

    Args:
        face: from :func:`face_picture`.
        heat_map: float, of the same size, in 0-1, from :func:`eacbook.evaluation.attention.heat`.
        strength: the largest opacity of the colour, 0 to 1.
    """
    grey = np.asarray(face.convert("L"), np.float32)[..., None]
    level = (255 * heat_map).round().to(torch.uint8).cpu().numpy()
    colours, opacities = _heat_scale()
    opacity = strength * opacities[level]
    blended = grey * (1 - opacity) + colours[level] * opacity
    picture = Image.fromarray(blended.round().astype(np.uint8))
    if not heat_map.any():
        middle = picture.width / 2, (picture.height - TEXT) / 2
        _text(ImageDraw.Draw(picture), *middle, "empty map", outlined=True)
    return picture


def heat_scale(width: int, strength: float = 0.65) -> Image.Image:
    """The scale of :func:`overlay` on a middle grey, with the meaning of its two ends."""
    bar = overlay(
        Image.new("L", (width, 14), 128), torch.linspace(0, 1, width).expand(14, width), strength
    )
    scale = _blank(width, 14 + TEXT + 4)
    scale.paste(bar, (0, 0))
    draw = ImageDraw.Draw(scale)
    _text(draw, 0, 15, "none", anchor="la")
    _text(draw, width, 15, "maximum of this map", anchor="ra")
    return scale


def attention_sheet(
    images: Tensor,
    maps: Mapping[str, tuple[Tensor, Tensor]],
    captions: Sequence[str],
    *,
    cell: int = 120,
) -> Image.Image:
    """A row for each face: the face and its mirror image, then the attention of each method on both.

    Args:
        images: uint8 ``[n,C,H,W]``.
        maps: method name to the maps of the faces and of their mirror images, ``[n,h,w]`` each, for
            the class that is shown.
        captions: n lines, one under each face.
        cell: pixels of a face.
    """
    different = tuple(dict.fromkeys(captions))
    drawn_captions = dict(zip(different, _drawn(different, "face"), strict=True))
    drawn_names = dict(zip(maps, _drawn(maps, "run"), strict=True))
    line = TEXT + 4
    head = 2 * line + MARGIN
    pair = 2 * cell + MARGIN
    width = (1 + len(maps)) * (pair + 3 * MARGIN)
    foot = head + len(images) * (cell + line + MARGIN)
    sheet = _blank(width, foot + 14 + TEXT + 4)
    sheet.paste(heat_scale(pair), (MARGIN + pair + 3 * MARGIN, foot))
    draw = ImageDraw.Draw(sheet)
    for group, name in enumerate(["", *maps]):
        x = MARGIN + group * (pair + 3 * MARGIN)
        _text(draw, x + pair / 2, 0, drawn_names.get(name, ""))
        if name in palette.METHODS:
            draw.rectangle((x, line, x + pair - 1, line + 3), palette.METHODS[name])
        _text(draw, x + cell / 2, line + MARGIN, "face")
        _text(draw, x + cell * 1.5 + MARGIN, line + MARGIN, "mirror image")
        for row, image in enumerate(images):
            y = head + row * (cell + line + MARGIN)
            views = (image, image.flip(-1))
            for column, view in enumerate(views):
                picture = face_picture(view, cell)
                if group > 0:
                    picture = overlay(picture, heat(maps[name][column][row], cell))
                sheet.paste(picture, (x + column * (cell + MARGIN), y))
            if group == 0:
                _text(draw, x + pair / 2, y + cell + 1, drawn_captions[captions[row]])
    sheet.info[DESCRIPTION] = (
        f"Attention of {' and '.join(maps)} on faces and on their mirror images. Faces: "
        f"{', '.join(captions)}."
    )
    return sheet


def side_by_side(*pictures: Image.Image) -> Image.Image:
    """Pictures beside each other, aligned at the top."""
    sheet = _blank(sum(p.width for p in pictures), max(p.height for p in pictures))
    x = 0
    for picture in pictures:
        sheet.paste(picture, (x, 0))
        x += picture.width
    texts = [picture.info[DESCRIPTION] for picture in pictures if DESCRIPTION in picture.info]
    sheet.info[DESCRIPTION] = " ".join(texts)
    return sheet


def captioned(pictures: Mapping[str, Image.Image]) -> Image.Image:
    """Pictures beside each other, each below its caption."""
    panels = []
    for caption, picture in pictures.items():
        wide = max(picture.width, _widest([caption])) + 2 * MARGIN
        panel = _blank(wide, picture.height + TEXT + MARGIN)
        _text(ImageDraw.Draw(panel), wide / 2, 0, caption)
        panel.paste(picture, ((wide - picture.width) // 2, TEXT + MARGIN))
        panels.append(panel)
    sheet = side_by_side(*panels)
    sheet.info[DESCRIPTION] = f"Beside each other: {', '.join(pictures)}."
    return sheet


def tensor_pictures(views: Tensor) -> Tensor:
    """Normalised views, float ``[n,3,H,W]``, as pictures, uint8 ``[n,3,H,W]``."""
    from eacbook.augment.normalise import MEAN, STD

    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((views.cpu() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def _blank(width: int, height: int) -> Image.Image:
    """An empty picture of transparent ink. Transparent black would make the edges of letters dark."""
    return Image.new("RGBA", (width, height), (*_rgb(palette.INK), 0))


def _text(
    draw: ImageDraw.ImageDraw,
    x: float,
    y: float,
    text: str,
    anchor: str = "ma",
    outlined: bool = False,
) -> None:
    """Draw text in ink. ``outlined`` is for coloured cells, where one colour is hard to read."""
    font = font_for(text, TEXT)
    if outlined:
        draw.text((x, y), text, "#FFFFFF", font, anchor, stroke_width=1, stroke_fill="#333333")
    else:
        draw.text((x, y), text, palette.INK, font, anchor)


def _labels_in_words(given: list[int], true: list[int], classes: Sequence[str]) -> str:
    """Labels in their order; "3 x fear" for equal ones, "fear (truly anger)" for a wrong one."""
    parts = []
    for (label, truth), group in groupby(zip(given, true, strict=True)):
        text = classes[label] if label == truth else f"{classes[label]} (truly {classes[truth]})"
        count = len(list(group))
        parts.append(text if count == 1 else f"{count} x {text}")
    return ", ".join(parts)


def _drawn(names: Iterable[str], word: str = "class") -> tuple[str, ...]:
    """Names that can be drawn. If some become numbers, a warning says so."""
    names = tuple(names)
    numbers = legend(names, word)
    if numbers:
        warnings.warn(
            f"no font here has all letters of these names, so pictures number them: {numbers}",
            stacklevel=3,
        )
    return drawable(names, word)


@cache
def _heat_scale() -> tuple[np.ndarray, np.ndarray]:
    """Colour ``[256,3]`` and opacity ``[256,1]`` of each level of attention.

    Without attention, the face is fully visible. The square root makes weak attention visible.
    """
    level = np.linspace(0, 1, 256)
    anchors = np.array([_rgb(colour) for colour in HEAT_COLOURS])
    stops = np.linspace(0, 1, len(anchors))
    colours = np.stack([np.interp(level, stops, channel) for channel in anchors.T], -1)
    return colours.astype(np.float32), (level[:, None] ** 0.5).astype(np.float32)


def _widest(texts: Iterable[str]) -> int:
    """Pixels of the longest of some texts."""
    return max(ceil(font_for(text, TEXT).getlength(text)) for text in texts)


def _mask(text: str, width: int) -> Image.Image:
    """A mask of a line of text in the middle of ``width`` pixels. It is rotated and pasted later."""
    mask = Image.new("L", (width, TEXT + 6))
    ImageDraw.Draw(mask).text((width / 2, 0), text, 255, font_for(text, TEXT), "ma")
    return mask


def _slanted(text: str) -> Image.Image:
    """A mask of text that goes up to the right, for the heads of narrow columns."""
    mask = _mask(text, _widest([text]) + 4)
    return mask.rotate(40, Image.Resampling.BICUBIC, expand=True)


def _rgb(colour: str) -> tuple[int, int, int]:
    return tuple(bytes.fromhex(colour[1:]))

"""Pictures made of faces and maps: pure functions, data in, a PIL image out.

:func:`png` turns one into the bytes that a widget or a page shows.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from eacbook import palette
from eacbook.attention import heat

MARGIN = 8
TEXT = 15

# Black over violet and orange to pale yellow: brightness rises all the way, so that it reads in grey.
HEAT_COLOURS = ("#000004", "#57106E", "#BC3754", "#F98E09", "#FCFFA4")


def png(picture: Image.Image) -> bytes:
    """The picture as a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "png")
    return buffer.getvalue()


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
    """Faces with their labels: the given one below, and the true one where the given one is wrong.

    Args:
        images: uint8 ``[n,C,H,W]``.
        given, true: int64 ``[n]``.
        classes: names in label order.
        columns: faces in a row.
        cell: pixels of a face.
    """
    line = TEXT + 3
    step_x, step_y = cell + MARGIN, cell + 2 * line + MARGIN
    rows = -(-len(images) // columns)
    sheet = _blank(columns * step_x + MARGIN, rows * step_y + MARGIN)
    draw = ImageDraw.Draw(sheet)
    for place, (image, label, truth) in enumerate(
        zip(images, given.tolist(), true.tolist(), strict=True)
    ):
        x = MARGIN + place % columns * step_x
        y = MARGIN + place // columns * step_y
        wrong = label != truth
        sheet.paste(face_picture(image, cell), (x, y))
        if wrong:
            draw.rectangle((x - 3, y - 3, x + cell + 2, y + cell + 2), None, palette.WRONG, 4)
        colour = palette.WRONG if wrong else palette.INK
        _text(draw, x + cell / 2, y + cell + 1, classes[label], colour)
        if wrong:
            _text(draw, x + cell / 2, y + cell + 1 + line, f"is {classes[truth]}", palette.INK)
    return sheet


def picture_grid(rows: Mapping[str, Tensor], *, cell: int = 96) -> Image.Image:
    """Rows of images, uint8 ``[n,C,H,W]`` each, with the name of the row in front."""
    left = 8 * TEXT
    most = max(len(images) for images in rows.values())
    grid = _blank(left + most * (cell + MARGIN), len(rows) * (cell + MARGIN) + MARGIN)
    draw = ImageDraw.Draw(grid)
    for row, (name, images) in enumerate(rows.items()):
        y = MARGIN + row * (cell + MARGIN)
        _text(draw, left - MARGIN, y + cell / 2 - TEXT / 2, name, palette.INK, "ra")
        for column, image in enumerate(images):
            grid.paste(face_picture(image, cell), (left + column * (cell + MARGIN), y))
    return grid


def matrix_picture(matrix: Tensor, classes: Sequence[str], *, cell: int = 52) -> Image.Image:
    """A transition matrix ``[K,K]`` in percent: true classes down, given labels across."""
    side = len(classes) * cell
    left, top = 7 * TEXT, 6 * TEXT
    picture = _blank(left + side + 2 * TEXT, top + side + MARGIN)
    draw = ImageDraw.Draw(picture)
    _text(draw, left + side / 2, 2, "given label (share of the true class, %)", palette.INK)
    for row, name in enumerate(classes):
        y = top + row * cell
        _text(draw, left - 6, y + cell / 2 - TEXT / 2, name, palette.INK, "ra")
        _slanted(picture, name, left + row * cell + cell / 2, top - 4)
        for column in range(len(classes)):
            x, share = left + column * cell, matrix[row, column].item()
            colour = palette.RIGHT if row == column else palette.WRONG
            draw.rectangle((x, y, x + cell - 2, y + cell - 2), _tint(colour, share))
            ink = palette.PAPER if share > 0.55 else palette.INK
            _text(draw, x + cell / 2 - 1, y + cell / 2 - TEXT / 2 - 1, f"{100 * share:.0f}", ink)
    return picture


def overlay(image: Tensor, heat_map: Tensor, size: int, strength: float = 0.65) -> Image.Image:
    """A face in grey under its attention in colour.

    Args:
        image: uint8 ``[C,H,W]``.
        heat_map: float ``[size,size]`` in 0-1, as from :func:`eacbook.attention.heat`.
        size: pixels of the picture.
        strength: how much the colour hides at most, 0 to 1.
    """
    grey = np.asarray(face_picture(image, size).convert("L").convert("RGB"), np.float32)
    values = heat_map.cpu().numpy()
    anchors = np.array([_rgb(colour) for colour in HEAT_COLOURS], np.float32)
    stops = np.linspace(0, 1, len(anchors))
    colour = np.stack([np.interp(values, stops, channel) for channel in anchors.T], -1)
    blended = grey * (1 - strength) + colour * strength
    return Image.fromarray(blended.round().astype(np.uint8))


def attention_sheet(
    images: Tensor,
    maps: Mapping[str, tuple[Tensor, Tensor]],
    captions: Sequence[str],
    *,
    cell: int = 120,
) -> Image.Image:
    """A row a face: the face and its mirror image, then what each method looks at in both.

    Args:
        images: uint8 ``[n,C,H,W]``.
        maps: method name to the maps of the faces and of their mirror images, ``[n,h,w]`` each, of
            the class to be shown.
        captions: n lines, one under each face.
        cell: pixels of a face.
    """
    head, line = 2 * (TEXT + 4), TEXT + 4
    pair = 2 * cell + MARGIN
    width = (1 + len(maps)) * (pair + 3 * MARGIN)
    sheet = _blank(width, head + len(images) * (cell + line + MARGIN))
    draw = ImageDraw.Draw(sheet)
    for group, name in enumerate(["", *maps]):
        x = MARGIN + group * (pair + 3 * MARGIN)
        _text(draw, x + pair / 2, 2, name, palette.METHODS.get(name, palette.INK))
        _text(draw, x + cell / 2, head / 2, "face", palette.INK)
        _text(draw, x + cell * 1.5 + MARGIN, head / 2, "mirror image", palette.INK)
        for row, image in enumerate(images):
            y = head + row * (cell + line + MARGIN)
            views = (image, image.flip(-1))
            for column, view in enumerate(views):
                if group == 0:
                    picture = face_picture(view, cell)
                else:
                    picture = overlay(view, heat(maps[name][column][row], cell), cell)
                sheet.paste(picture, (x + column * (cell + MARGIN), y))
            if group == 0:
                _text(draw, x + pair / 2, y + cell + 1, captions[row], palette.INK)
    return sheet


def side_by_side(*pictures: Image.Image) -> Image.Image:
    """Pictures beside each other, aligned at the top."""
    sheet = _blank(sum(p.width for p in pictures), max(p.height for p in pictures))
    x = 0
    for picture in pictures:
        sheet.paste(picture, (x, 0))
        x += picture.width
    return sheet


def tensor_pictures(views: Tensor) -> Tensor:
    """Normalised views float ``[n,3,H,W]`` back as uint8 ``[n,3,H,W]``, to look at the very tensors."""
    from eacbook.augment import MEAN, STD

    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return ((views.cpu() * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)


def _blank(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), palette.PAPER)


def _text(
    draw: ImageDraw.ImageDraw, x: float, y: float, text: str, colour: str, anchor: str = "ma"
) -> None:
    draw.text((x, y), text, colour, ImageFont.load_default(TEXT), anchor)


def _slanted(picture: Image.Image, text: str, x: float, bottom: float) -> None:
    """Text that rises to the right from (x, bottom), for the heads of narrow columns."""
    font = ImageFont.load_default(TEXT)
    label = Image.new("L", (int(font.getlength(text)) + 4, TEXT + 6))
    ImageDraw.Draw(label).text((0, 0), text, 255, font)
    label = label.rotate(40, Image.Resampling.BICUBIC, expand=True)
    picture.paste(palette.INK, (int(x) - 10, int(bottom) - label.height), label)


def _rgb(colour: str) -> tuple[int, int, int]:
    return tuple(bytes.fromhex(colour[1:]))


def _tint(colour: str, share: float) -> tuple[int, ...]:
    """White at 0, the colour at 1; the root lifts small shares into sight."""
    return tuple(round(255 + (c - 255) * share**0.6) for c in _rgb(colour))

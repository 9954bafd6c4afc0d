"""From picture files to 8-bit pixels, for the data scripts and for a user's photograph.

A user's file can contain anything. Its size is read from the header and checked before a pixel is
decoded. Every mode becomes 8-bit grey or RGB on white by these rules. A mode that cannot be read is
refused, and the message names it.

* Transparent parts become white. Colours that are hidden under them are never visible.
* Pixels of 16 bits are divided by 257, so 65535 becomes 255.
* Floats and 32-bit integers have no range of their own. There are three ranges: 0 to 1 (floats
  only), 0 to 255 and 0 to 65535. The smallest one that holds all values of the picture is taken,
  with a tolerance of a tenth.
"""

from __future__ import annotations

import io
from contextlib import suppress

import numpy as np
from PIL import Image, ImageOps

from eacbook.checks import shortened
from eacbook.errors import InputError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "AVIF")
"""Formats that the data scripts read. No reader of these runs code or loads other files."""

MOST_PIXELS = 64_000_000
"""More than a picture of any camera has. A file with more pixels is a decompression bomb."""

WHITE_IS_ZERO, PHOTOMETRIC, BITS = 0, 262, 258  # of TIFF
TOLERANCE = 0.1  # of the range: a filter may have left the range by this much
STRIP = 1 << 20  # pixels that are converted at a time while a picture is reduced
NARROWEST = 256  # pixels of the shorter side: no picture is reduced to fewer


def read_header(content: bytes | memoryview, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """A picture after its header was read, before its pixels are decoded. Errors are Pillow's own."""
    Image.init()  # loads Pillow's less common plug-ins, too
    # AVIF depends on how Pillow was built.
    known = tuple(name for name in formats if name in Image.OPEN)
    return Image.open(io.BytesIO(content), formats=known)


def read_picture(
    content: bytes,
    name: str,
    *,
    formats: tuple[str, ...] = FORMATS,
    most_pixels: int = MOST_PIXELS,
    upright: bool = False,
) -> Image.Image:
    """Read a picture file, the first picture of an animation.

    Args:
        content: the bytes of the file.
        name: of the file, for messages.
        formats: the formats that are read, by Pillow's names.
        most_pixels: a picture with more is refused before it is decoded.
        upright: turn the picture as its EXIF data say.

    Returns:
        A picture of mode ``"L"`` (grey) or ``"RGB"``.

    Raises:
        InputError: the file is not a picture in these formats, is damaged or too large, or its mode
            cannot be converted to 8 bits.
    """
    try:
        image = read_header(content, formats)
        if image.width * image.height > most_pixels:
            raise InputError(
                f"{name} has {image.width}x{image.height} pixels, expected at most {most_pixels:,}"
            )
        return to_8_bits(turn_upright(image) if upright else image, name)
    except InputError:
        raise
    except Exception as error:  # Pillow raises the errors of its codecs: struct.error...
        # Pillow knows no name: "cannot identify image file <_io.BytesIO object at 0x7f06...>".
        kinds, why = " or ".join(formats), shortened(str(error).partition(" <_io")[0], 120)
        raise InputError(f"{name} does not decode as {kinds} ({why})") from error


def turn_upright(image: Image.Image) -> Image.Image:
    """Decode the picture and turn it, in place, as its EXIF data say."""
    image.load()
    # The EXIF data may be damaged although the pixels are not. Then the picture is not turned.
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def to_8_bits(image: Image.Image, name: str) -> Image.Image:
    """A decoded picture of any mode as ``"L"`` or ``"RGB"``, on white (see the rules above)."""
    if image.mode[0] in "IF":
        return _grey_from_deep(image, name)
    if image.has_transparency_data:
        if image.mode == "La":  # Pillow has no other way from premultiplied grey
            image = image.convert("LA")
        picture = image.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(paper, picture).convert("RGB")
    if image.mode in ("L", "RGB"):
        image.load()
        return image
    try:
        return image.convert("RGB")
    except (ValueError, ImportError) as error:  # LAB needs Pillow's colour management
        raise InputError(
            f"{name} is stored in the mode {image.mode}, which is not read: save it as RGB"
        ) from error


def factor_to(size: tuple[int, int], side: int) -> int:
    """The whole factor that reduces a picture to ``side`` pixels or up to twice as many."""
    return max(1, min(max(size) // side, min(size) // NARROWEST))


def reduce_to(image: Image.Image, side: int, name: str) -> Image.Image:
    """Convert like :func:`to_8_bits`, and reduce by the factor of :func:`factor_to`.

    One strip is converted at a time, so little memory is needed besides the decoded picture.
    """
    factor = factor_to(image.size, side)
    if factor == 1 or image.mode in ("I", "F"):  # their range depends on the whole picture
        return to_8_bits(image, name)
    rows = max(1, STRIP // image.width // factor) * factor
    out = None
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        strip.info = image.info  # it holds the transparent colour
        strip = to_8_bits(strip, name).convert("RGB").reduce(factor)
        if out is None:
            out = Image.new("RGB", (strip.width, -(-image.height // factor)))
        out.paste(strip, (0, top // factor))
    return out


def _grey_from_deep(image: Image.Image, name: str) -> Image.Image:
    """Convert grey of over 8 bits. Pillow's own conversion keeps only the 255 darkest levels."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if image.mode.startswith("I;16"):
        bits = tags.get(BITS, 16)
        levels = 2 ** (bits[0] if isinstance(bits, tuple) else bits) - 1
    elif image.mode == "I" and image.format in ("PNG", "PPM"):
        levels = 65535  # older versions of Pillow store 16 bits of grey in this mode
    else:
        ranges = (1, 255, 65535) if image.mode == "F" else (255, 65535)
        levels = next((top for top in ranges if high <= (1 + TOLERANCE) * top), 0)
        if not low >= -TOLERANCE * levels:
            levels = 0
    if not levels:
        raise InputError(
            f"{name} is stored in the mode {image.mode} with values from {low:g} to {high:g}, "
            f"expected 0 to {' or 0 to '.join(map(str, ranges))}: save it with 8 bits"
        )
    grey = (values.astype(np.float32) * (255 / levels) + 0.5).clip(0, 255).astype(np.uint8)
    if tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        grey = 255 - grey
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey)

"""Picture files to 8-bit pixels: the one reader of the data scripts and of the reader's photograph.

A file from outside may be anything. Its size is read from the header and checked before a pixel is
decoded. Every mode becomes 8-bit grey or RGB on white by one rule, or is refused by its name:

* Transparent parts become white. Colours that lie hidden under them never show.
* Pixels of 16 bits are divided by 257, so that 65535 becomes 255.
* Floats and 32-bit integers have no range of their own. The range is the smallest of 0 to 1 (floats
  only), 0 to 255 and 0 to 65535 that holds all values of the picture, give or take a tenth.
"""

from __future__ import annotations

import io
from contextlib import suppress

import numpy as np
from PIL import Image, ImageOps

from eacbook.checks import shortened
from eacbook.errors import InputError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "AVIF")
"""What the data scripts read. No format is among them whose reader runs or fetches anything."""

MOST_PIXELS = 64_000_000
"""More than any camera's picture has: a file of more is a decompression bomb."""

WHITE_IS_ZERO, PHOTOMETRIC, BITS = 0, 262, 258  # of TIFF
TOLERANCE = 0.1  # of the range: by so much may a filter have overshot it
STRIP = 1 << 20  # pixels that are converted at a time where a picture is reduced
NARROWEST = 256  # pixels of the shorter side: to fewer nothing is reduced


def read_header(content: bytes | memoryview, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """A picture whose header is read and whose pixels are not; raises whatever Pillow raises."""
    Image.init()  # or the plug-ins that are read less often would not be known
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
        formats: which formats, by Pillow's names.
        most_pixels: more are refused before they are decoded.
        upright: turn it as the camera noted in its EXIF data.

    Returns:
        A picture of mode ``"L"`` (grey) or ``"RGB"``.

    Raises:
        InputError: it is no picture of these formats, is damaged or too large, or its mode cannot
            be converted to 8 bits.
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
    except Exception as error:  # Pillow raises what its codecs raise: SyntaxError, struct.error...
        kinds, why = " or ".join(formats), shortened(str(error), 120)
        raise InputError(f"{name} does not decode as {kinds} ({why})") from error


def turn_upright(image: Image.Image) -> Image.Image:
    """Decode the picture and turn it, in place, as the camera noted."""
    image.load()
    # The camera's notes may be damaged where its pixels are not: then it stays as it lies.
    with suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def to_8_bits(image: Image.Image, name: str) -> Image.Image:
    """A decoded picture of any mode as ``"L"`` or ``"RGB"``, on white (see the module's rule)."""
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
    """As :func:`to_8_bits`, reduced by :func:`factor_to`.

    The conversion goes strip by strip: beside the decoded picture there is little in memory.
    """
    factor = factor_to(image.size, side)
    if factor == 1 or image.mode in ("I", "F"):  # their range is that of the whole picture
        return to_8_bits(image, name)
    rows = max(1, STRIP // image.width // factor) * factor
    out = None
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        strip.info = image.info  # a transparent colour stands there
        strip = to_8_bits(strip, name).convert("RGB").reduce(factor)
        if out is None:
            out = Image.new("RGB", (strip.width, -(-image.height // factor)))
        out.paste(strip, (0, top // factor))
    return out


def _grey_from_deep(image: Image.Image, name: str) -> Image.Image:
    """Grey of over 8 bits, of which Pillow's own conversion keeps only the 255 darkest levels."""
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if image.mode.startswith("I;16"):
        bits = tags.get(BITS, 16)
        levels = 2 ** (bits[0] if isinstance(bits, tuple) else bits) - 1
    elif image.mode == "I" and image.format in ("PNG", "PPM"):
        levels = 65535  # as older versions of Pillow have 16 bits of grey
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

"""Show a picture in a notebook: small enough to be saved with it, and with its alternative text."""

import io

import IPython.display
from PIL import Image

from eacbook.plots.pictures import DESCRIPTION, png


def show(picture: Image.Image) -> None:
    """Show a picture of :mod:`eacbook.plots.pictures` or another one that has a description."""
    content, metadata = saved(png(picture))
    IPython.display.display(IPython.display.Image(content, metadata=metadata))


def saved(content: bytes) -> tuple[bytes, dict[str, str]]:
    """A PNG file for a saved notebook, and the metadata of the output that holds it.

    A picture of faces with 256 colours needs a fifth of the bytes. Nobody sees the difference beside the
    noise of the faces. Pillow's octree is its only method that keeps transparency.

    Args:
        content: a PNG file with a description.
    """
    with Image.open(io.BytesIO(content)) as picture:
        text = picture.info[DESCRIPTION]
        small = picture.quantize(256, method=Image.Quantize.FASTOCTREE)
    small.info[DESCRIPTION] = text
    return png(small, compress_level=9), {"alt": text}

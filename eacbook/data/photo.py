"""From a user's photograph to a face that the networks can read.

A user's file can contain anything. So its size is read from the header before a pixel is decoded,
and a large picture is reduced while it is decoded (:mod:`eacbook.data.picture_files` reads it).
The boosted cascade of Viola and Jones (CVPR 2001) finds the faces. It is part of the wheels of
OpenCV 4. OpenCV is optional: without it, the middle of the photograph is taken.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eacbook.checks import whole_number
from eacbook.data.picture_files import factor_to, read_header, reduce_to, turn_upright
from eacbook.errors import InputError

# The formats of telephones, cameras and web pages. No reader of these runs code or loads other files.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")
LARGEST_BYTES, LARGEST_PIXELS, SMALLEST_SIDE = 10_000_000, 50_000_000, 32

# A JPEG is decoded at a half, a quarter or an eighth of its size. Every other format is decoded whole,
# with four bytes or more for each pixel. The longer side is then reduced to SIDE pixels or up to twice
# as many. So a face of a tenth of the shorter side still has over 100 pixels.
MOST_WHOLE_PIXELS, SIDE = 25_000_000, 2048

# The best of the three frontal cascades: on our synthetic faces "default" finds 0.7 and this one 0.9.
# On the faces of FERPlus both find 0.7, and this one takes less of the background for a face.
CASCADE = "haarcascade_frontalface_alt.xml"
DETECTION_SIDE = 640  # pixels of the longer side of the copy that is searched
SMALLEST_FACE = 1 / 10  # of the shorter side: smaller boxes are mostly background

# Side of the crop, divided by the side of the detector's box. We pasted faces into larger pictures. The
# crop was most like the face at 1.05 for FERPlus and at 1.15 for synthetic faces: this is between.
FRAME = 1.1

NO_DETECTOR = "there is no face detector (pip install 'opencv-python-headless<5' brings one)"


def read_photo(content: bytes | memoryview) -> Image.Image:
    """Read a photograph as an upright RGB picture.

    Transparent parts become white. The first picture of an animation is taken.

    Args:
        content: the bytes of a JPEG, PNG, WebP, BMP or GIF file.

    Returns:
        A picture with sides of at least 32 pixels. A picture with a side of 4096 pixels or more is
        reduced by a whole factor, unless it is a narrow strip.

    Raises:
        InputError: the file is not such a picture, is damaged, too large (50 megapixels for a JPEG,
            25 for other formats) or too small.
    """
    if len(content) > LARGEST_BYTES:
        raise InputError(
            f"this file has {len(content) / 1e6:.1f} MB, at most {LARGEST_BYTES / 1e6:.0f} MB are "
            "read: save the picture smaller, for example as a JPEG"
        )
    with warnings.catch_warnings():
        # A damaged file is read or refused. Pillow's warnings do not help the user.
        warnings.simplefilter("ignore")
        image = _open(content)
        _check_size(image)
        try:
            factor = factor_to(image.size, SIDE)
            image.draft(None, (image.width // factor, image.height // factor))
            image = turn_upright(image)
            return reduce_to(image, SIDE, "this picture").convert("RGB")
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                "this picture is damaged or was cut off: save it or send it once more"
            ) from error


def crop_face(photo: Image.Image, size: int, channels: int) -> tuple[Tensor, str]:
    """Cut out the largest face, from forehead to chin, like the faces of the data sets.

    Args:
        photo: an RGB picture, as :func:`read_photo` gives it.
        size: pixels of a side of the result.
        channels: 1 for grey, 3 for colour, as in the training data of the network.

    Returns:
        The face, uint8 ``[channels,size,size]``, and a text that says how it was found. Without a
        detector or a face, it is the largest square in the middle, and the text says why.

    Raises:
        InputError: ``size`` or ``channels`` is impossible.
    """
    size, channels = whole_number("size", size, 1), whole_number("channels", channels, 1, 3)
    if channels == 2:
        raise InputError("channels must be 1 (grey) or 3 (colour), got 2")
    boxes = _find_faces(photo)
    if boxes:
        x, y, side = max(boxes, key=lambda box: box[2])
        frame = _frame(photo, x + side / 2, y + side / 2, side * FRAME)
        several = f" (the largest of {len(boxes)})" if len(boxes) > 1 else ""
        how = f"face found{several}"
    else:
        frame = _frame(photo, photo.width / 2, photo.height / 2, min(photo.size))
        how = f"centre crop: {NO_DETECTOR if boxes is None else 'no face found'}"
    frame = frame.convert("L" if channels == 1 else "RGB")
    frame = frame.resize((size, size), Image.Resampling.LANCZOS)
    face = torch.from_numpy(np.array(frame)).view(size, size, channels)
    return face.permute(2, 0, 1).contiguous(), how


def _open(content: bytes | memoryview) -> Image.Image:
    """The picture after its header was read. Its pixels are not decoded yet."""
    try:
        return read_header(content, FORMATS)
    except Image.DecompressionBombError as error:
        limit = LARGEST_PIXELS // 1_000_000
        raise InputError(
            f"this picture has far more than the {limit} megapixels that are read: save it smaller"
        ) from error
    except Exception as error:  # the readers raise a dozen kinds of errors for damaged files
        raise InputError(
            "this file is damaged or not a picture that can be read here: a JPEG, PNG, WebP, BMP or "
            "GIF is needed (an iPhone's HEIC has to be exported as JPEG first)"
        ) from error


def _check_size(image: Image.Image) -> None:
    width, height = image.size
    is_jpeg = image.format in ("JPEG", "MPO")
    most = LARGEST_PIXELS if is_jpeg else MOST_WHOLE_PIXELS
    if width * height > most:
        how = "smaller" if is_jpeg else "smaller, or as a JPEG"
        raise InputError(
            f"this picture has {width} x {height} pixels, more than the {most // 1_000_000} "
            f"megapixels that are read: save it {how}"
        )
    if min(width, height) < SMALLEST_SIDE:
        raise InputError(
            f"this picture has {width} x {height} pixels, too few to see a face: "
            f"{SMALLEST_SIDE} x {SMALLEST_SIDE} are needed"
        )


def _find_faces(photo: Image.Image) -> list[tuple[float, float, float]] | None:
    """Left, top and side of each face, in pixels of the photograph, or None without a detector."""
    cascade = _detector()
    if cascade is None:
        return None
    shrink = max(1.0, max(photo.size) / DETECTION_SIDE)
    width, height = (max(1, round(side / shrink)) for side in photo.size)
    small = photo.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2).convert("L")
    smallest = round(min(width, height) * SMALLEST_FACE)
    found = cascade.detectMultiScale(
        np.array(small), scaleFactor=1.1, minNeighbors=3, minSize=(smallest, smallest)
    )
    return [(x * shrink, y * shrink, side * shrink) for x, y, side, _ in np.asarray(found).tolist()]


def _detector():
    """OpenCV's face cascade, or None if OpenCV is not installed or has no cascade."""
    try:
        import cv2

        path = Path(cv2.data.haarcascades) / CASCADE
        cascade = cv2.CascadeClassifier(str(path)) if path.is_file() else None
    except (ImportError, AttributeError):  # not installed, or no cascades (version 5, some builds)
        return None
    return None if cascade is None or cascade.empty() else cascade


def _frame(photo: Image.Image, x: float, y: float, side: float) -> Image.Image:
    """The square around (x, y). Outside the photograph, the pixels of its edge are repeated."""
    side = round(side)
    left, top = round(x - side / 2), round(y - side / 2)
    right, bottom = left + side, top + side
    inside = (max(left, 0), max(top, 0), min(right, photo.width), min(bottom, photo.height))
    missing = ((inside[1] - top, bottom - inside[3]), (inside[0] - left, right - inside[2]), (0, 0))
    pixels = np.asarray(photo.crop(inside).convert("RGB"))
    return Image.fromarray(np.pad(pixels, missing, mode="edge"))

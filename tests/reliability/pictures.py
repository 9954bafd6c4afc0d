"""Kinds of malformed pictures: every mode and format, damaged in every way."""

from __future__ import annotations

import importlib
import io
import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from eacbook.data.photo import crop_face, read_photo

from .downloads import own_folders, write_folder
from .mutations import change_bytes
from .trials import Trial, kind

SIDE = 48
RAMP = np.linspace(64, 191, SIDE * SIDE).reshape(SIDE, SIDE)
"""Grey levels that every mode can hold: what reads them otherwise has clipped or lost them."""


def grey_in_every_mode() -> dict[str, bytes]:
    """The same grey ramp, as files of every mode that Pillow writes."""
    eight = Image.fromarray(RAMP.astype(np.uint8))
    sixteen = Image.fromarray((RAMP * 257).astype(np.uint16))
    solid, colour = eight.convert("RGBA"), eight.convert("RGB")
    pictures = {
        "L.png": eight, "L.jpg": eight, "L.bmp": eight, "L.gif": eight, "L.tif": eight,
        "L.webp": eight, "L.pgm": eight, "LA.png": eight.convert("LA"), "RGB.png": colour,
        "P.png": eight.convert("P"), "PA.tif": solid.convert("PA"), "RGBA.png": solid,
        "RGBA.webp": solid, "RGBa.tif": solid.convert("RGBa"), "RGBX.tif": eight.convert("RGBX"),
        "CMYK.jpg": colour.convert("CMYK"), "CMYK.tif": colour.convert("CMYK"),
        "YCbCr.tif": colour.convert("YCbCr"), "LAB.tif": lab(eight),
        "I16.png": sixteen, "I16.tif": sixteen, "I.tif": Image.fromarray((RAMP * 257).astype(np.int32)),
        "F.tif": Image.fromarray((RAMP / 255).astype(np.float32)),
        "F255.tif": Image.fromarray(RAMP.astype(np.float32)),
    }  # fmt: skip
    contents = {}
    for name, image in pictures.items():
        file = io.BytesIO()
        ending = name.partition(".")[2]
        kinds = {"jpg": "JPEG", "tif": "TIFF", "pgm": "PPM"}
        try:
            image.save(file, kinds.get(ending, ending.upper()), lossless=True, quality=95)
        except OSError:  # this Pillow does not write it
            continue
        contents[name] = file.getvalue()
    return contents


def lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    return ImageCms.applyTransform(
        image.convert("RGB"), ImageCms.buildTransform(*profiles, "RGB", "LAB")
    )


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def odd_pictures() -> dict[str, bytes]:
    """Pictures that promise too much, or hold what no reader needs."""
    plain = grey_in_every_mode()["L.png"]
    start, ihdr_end = plain[:8], 8 + 25

    def header(width, height, depth=8, colour=0):
        return start + png_chunk(
            b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
        )

    text = zlib.compress(bytes(200 << 20), 9)
    gif = io.BytesIO()
    frames = [Image.new("P", (40, 40), number) for number in range(3)]
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:], transparency=0)
    one = io.BytesIO()
    Image.new("L", (1, 1)).save(one, "PNG")
    long = io.BytesIO()
    Image.new("L", (40, 20_000)).save(long, "PNG")
    return {
        "a header of 65535 x 65535": header(65535, 65535) + plain[ihdr_end:],
        "a header of 2^31 - 1 pixels": header(2**31 - 1, 1) + plain[ihdr_end:],
        "no width": header(0, 48) + plain[ihdr_end:],
        "a bomb of text": plain[:ihdr_end] + png_chunk(b"zTXt", b"x\0\0" + text) + plain[ihdr_end:],
        "a bomb of a profile": plain[:ihdr_end]
        + png_chunk(b"iCCP", b"x\0\0" + text)
        + plain[ihdr_end:],
        "no end": plain[:-12],
        "pixels missing": plain[:ihdr_end]
        + png_chunk(b"IDAT", zlib.compress(b"\0" * 99))
        + plain[-12:],
        "an animation": gif.getvalue(),
        "one pixel": one.getvalue(),
        "a strip": long.getvalue(),
        "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(x) run\n",
        "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
        "a web page": b"<!DOCTYPE html><html></html>",
        "nothing": b"",
        "FITS": b"SIMPLE  =                    T" + b" " * 2850,
        "a pointer of Git LFS": b"version https://git-lfs.github.com/spec/v1\n",
    }


def malformed(rng: random.Random, whole: dict[str, bytes], odd: dict[str, bytes]):
    """A picture, what is odd about it, and the grey it must show if it is read; None for any."""
    what = rng.random()
    if what < 0.25:
        name = rng.choice(tuple(whole))
        return whole[name], name, RAMP
    if what < 0.45:
        name = rng.choice(tuple(odd))
        return odd[name], name, None
    name = rng.choice(tuple(whole))
    content, words = change_bytes(rng, whole[name])
    return content, f"{name}: {words}", None


def shows(pixels: np.ndarray, grey: np.ndarray | None) -> str | None:
    """Why pixels ``[3,H,W]`` or ``[1,H,W]`` are right."""
    if pixels.dtype != np.uint8:
        return None
    if grey is None:
        return "a picture that decodes, or whose kind has no checksum: shown as it is"
    wanted = np.asarray(Image.fromarray(grey.astype(np.uint8)).resize(pixels.shape[:0:-1]))
    apart = np.abs(pixels.astype(float) - wanted).mean()
    return "the mode is read rightly: the same grey in every one" if apart < 4 else None


@kind("pictures of a set")
def pictures_of_a_set(here: Path):
    own_faces = importlib.import_module("eacbook.data.prepare.own_faces")
    files = own_folders(random.Random(0))
    whole, odd = grey_in_every_mode(), odd_pictures()
    from eacbook.data.faces import load_faces

    def make(rng: random.Random, place: Path) -> Trial:
        content, words, grey = malformed(rng, whole, odd)
        ending = words.partition(":")[0].rpartition(".")[2] if "." in words[:9] else "png"
        name = f"faces/train/sad/odd.{ending}"
        folder = write_folder(place / "set", files | {name: content})

        def attempt():
            own_faces.prepare(folder, place / "out", size=SIDE)
            faces = load_faces(place / "out").train
            rows = [row for row, file in enumerate(faces.files) if "odd." in file]
            return [faces.images[row].numpy() for row in rows]

        def accept(found):
            if not found:  # then it was left out, and the command says how many files are ignored
                return "a file of another ending, which is counted" if ending == "gif" else None
            return shows(found[0], grey)

        return Trial(words, attempt, (f"odd.{ending}",), accept)

    return make


@kind("photographs")
def photographs(here: Path):
    whole, odd = grey_in_every_mode(), odd_pictures()

    def make(rng: random.Random, place: Path) -> Trial:
        content, words, grey = malformed(rng, whole, odd)

        def attempt():
            photo = read_photo(content)
            face, _ = crop_face(photo, SIDE, 3)
            return face.numpy()

        return Trial(words, attempt, ("this file", "this picture"), lambda face: shows(face, grey))

    return make

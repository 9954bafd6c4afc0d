"""Every mode of picture becomes 8 bits on white by one rule, or is refused by its name."""

from __future__ import annotations

import io
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from eacbook.data.picture_files import read_picture, reduce_to, to_8_bits
from eacbook.errors import InputError

ROOT = Path(__file__).parents[2]
REAL_FACES = Path(os.environ.get("EACBOOK_SHARED", ROOT.parent / "shared")) / "data" / "ferplus.zip"

RAMP = np.linspace(0.25, 0.75, 32)[None].repeat(24, 0)
EXPECTED = RAMP * 255


def encoded(picture, form="PNG", **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def deep(levels, kind, form="TIFF"):
    return encoded(Image.fromarray((RAMP * levels).astype(kind)), form)


def ascii_pgm(levels):
    rows = (RAMP * levels).round().astype(int)
    return f"P2 32 24 {levels}\n{' '.join(map(str, rows.ravel()))}".encode()


def inverted_tiff():
    """16 bits, of which 0 is white."""
    return encoded(
        Image.fromarray((65535 - RAMP * 65535).astype(np.uint16)), "TIFF", tiffinfo={262: 0}
    )


DEEP = {
    "8 bits": deep(255, np.uint8),
    "I;16 PNG": deep(65535, np.uint16, "PNG"),
    "I;16 TIFF": deep(65535, np.uint16),
    "I;16B TIFF": deep(65535, ">u2"),
    "I;16 TIFF, 0 is white": inverted_tiff(),
    "PGM of 16 bits": ascii_pgm(65535),
    "PGM of 10 bits": ascii_pgm(1023),
    "I, 8 bits": deep(255, np.int32),
    "I, 16 bits": deep(65535, np.int32),
    "F to 1": deep(1, np.float32),
    "F to 255": deep(255, np.float32),
    "F to 65535": deep(65535, np.float32),
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_brightness_is_kept_whatever_the_depth(name):
    pixels = np.asarray(read_picture(DEEP[name], name).convert("L"))
    np.testing.assert_allclose(pixels, EXPECTED, atol=1.01)


def test_floats_that_overshoot_their_range_are_cut():
    values = RAMP.astype(np.float32)
    values[0, :2] = -0.05, 1.05
    pixels = np.asarray(read_picture(encoded(Image.fromarray(values), "TIFF"), "x"))
    assert pixels[0, :2].tolist() == [0, 255]
    np.testing.assert_allclose(pixels[1:], EXPECTED[1:], atol=1.01)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (RAMP.astype(np.float32) * 1e6, "mode F with values from 250000 to 750000"),
        (RAMP.astype(np.float32) - 0.5, "mode F with values from -0.25 to 0.25"),
        (np.where(RAMP > 0.7, np.nan, RAMP).astype(np.float32), "mode F with values from nan"),
        (np.where(RAMP > 0.7, np.inf, RAMP).astype(np.float32), "mode F .* to inf"),
        ((RAMP * 2**31).astype(np.int32), r"mode I with values from 5.*expected 0 to 255 or 0 to"),
    ],
)
def test_values_of_no_known_range_are_refused(values, message):
    with pytest.raises(InputError, match=r"a\.tif is stored in the " + message):
        read_picture(encoded(Image.fromarray(values), "TIFF"), "a.tif")


def lab():
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    transform = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    return ImageCms.applyTransform(Image.new("RGB", (32, 24), (200, 40, 90)), transform)


def test_lab_becomes_rgb():
    content = encoded(lab(), "TIFF")
    np.testing.assert_allclose(
        read_picture(content, "a.tif"), np.full((24, 32, 3), (200, 40, 90)), atol=2
    )


def test_a_mode_that_pillow_cannot_convert_is_refused_by_its_name(monkeypatch):
    def convert(image, mode):
        raise ValueError("conversion not supported")

    content = encoded(lab(), "TIFF")
    monkeypatch.setattr(Image.Image, "convert", convert)
    with pytest.raises(InputError, match=r"a\.tif is stored in the mode LAB, which is not read"):
        read_picture(content, "a.tif")


# The left half of each is transparent and red or dark below, the right half is grey.
LEFT = np.arange(32) < 16


def with_alpha(mode):
    picture = Image.new("RGB", (32, 24), (128,) * 3)
    picture.paste((255, 0, 0), (0, 0, 16, 24))
    picture.putalpha(Image.fromarray(np.where(LEFT, 0, 255).astype(np.uint8)[None].repeat(24, 0)))
    return picture.convert(mode)


def in_two_values(mode, hidden, seen):
    picture = Image.new(mode, (32, 24), seen)
    picture.paste(hidden, (0, 0, 16, 24))
    return picture


def palette(transparency, form="PNG"):
    picture = in_two_values("P", 0, 1)
    picture.putpalette([255, 0, 0, 128, 128, 128])
    return encoded(picture, form, transparency=transparency)


def deep_with_a_transparent_level():
    values = np.where(LEFT, 300, 128 * 257).astype(np.uint16)[None].repeat(24, 0)
    file = encoded(Image.fromarray(values))
    # Older versions of Pillow write no transparency of 16 bits: a chunk before the pixels.
    chunk = b"tRNS" + (300).to_bytes(2, "big")
    length, check = (len(chunk) - 4).to_bytes(4, "big"), zlib.crc32(chunk).to_bytes(4, "big")
    pixels = file.index(b"IDAT") - 4
    return file[:pixels] + length + chunk + check + file[pixels:]


TRANSPARENT = {
    "RGBA": encoded(with_alpha("RGBA")),
    "RGBA WebP": encoded(with_alpha("RGBA"), "WEBP", lossless=True, exact=True),
    "LA": encoded(with_alpha("LA")),
    "palette, one colour": palette(0),
    "palette, alpha of each": palette(b"\0\xff"),
    "palette, GIF": palette(0, "GIF"),
    "RGB, one colour": encoded(
        in_two_values("RGB", (255, 0, 0), (128,) * 3), transparency=(255, 0, 0)
    ),
    "grey, one level": encoded(in_two_values("L", 7, 128), transparency=7),
    "16 bits, one level": deep_with_a_transparent_level(),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSPARENT)
@pytest.mark.filterwarnings("error")
def test_what_is_hidden_under_transparency_never_shows(name):
    pixels = np.asarray(read_picture(TRANSPARENT[name], name).convert("RGB"))
    assert (pixels[:, LEFT] == 255).all()
    np.testing.assert_allclose(pixels[:, ~LEFT], 128, atol=1)


@pytest.mark.parametrize("mode", ["RGBa", "La"])
def test_premultiplied_modes_are_flattened_too(mode):
    picture = with_alpha("RGBA" if mode == "RGBa" else "LA").convert(mode)
    pixels = np.asarray(to_8_bits(picture, mode).convert("RGB"))
    assert (pixels[:, LEFT] == 255).all() and (pixels[:, ~LEFT] == 128).all()


def test_reduction_shows_nothing_hidden_either():
    picture = with_alpha("RGBA").resize((1200, 1024), Image.Resampling.NEAREST)
    pixels = np.asarray(reduce_to(picture, 300, "x"))
    assert pixels.shape == (256, 300, 3)
    assert (pixels[:, :150] == 255).all() and (pixels[:, 150:] == 128).all()


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        *(("1", "PNG"), ("L", "JPEG"), ("P", "GIF"), ("RGB", "PNG"), ("RGB", "AVIF")),
        *(("CMYK", "JPEG"), ("YCbCr", "JPEG")),
    ],
)  # fmt: skip
def test_ordinary_pictures_are_as_pillow_has_them(mode, form):
    if form == "AVIF" and form not in Image.registered_extensions().values():
        pytest.skip("this Pillow was built without AVIF")
    blobs = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(blobs).resize((64, 48)).convert(mode), form)
    expected = Image.open(io.BytesIO(content)).convert("RGB")
    assert np.array_equal(read_picture(content, form).convert("RGB"), expected)


@pytest.mark.skipif(not REAL_FACES.exists(), reason=f"no real faces: {REAL_FACES} is not there")
def test_real_faces_keep_every_byte():
    with zipfile.ZipFile(REAL_FACES) as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")][::100]
        for name in names:
            content = archive.read(name)
            expected = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
            assert np.array_equal(np.asarray(read_picture(content, name).convert("L")), expected)
    assert len(names) > 300

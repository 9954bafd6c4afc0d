"""Any bytes become a picture or a sentence to the reader, and a face is cut out as it was framed."""

import io
import os
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from eacbook.data import photo as photo_module
from eacbook.data.faces import synthetic_faces
from eacbook.data.photo import crop_face, read_photo
from eacbook.errors import InputError

ROOT = Path(__file__).parents[2]
REAL_FACES = Path(os.environ.get("EACBOOK_SHARED", ROOT.parent / "shared")) / "data" / "ferplus.zip"

SIZE = (48, 40)
NOISE = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
# Red, green / blue, grey: told apart after any compression, palette or orientation.
CORNERS = (
    np.array([[(220, 30, 30), (30, 200, 30)], [(30, 30, 220), (128, 128, 128)]], np.uint8)
    .repeat(20, 0)
    .repeat(24, 1)
)


def encoded(picture, form, **options):
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


FILES = {
    form: encoded(Image.fromarray(NOISE), form) for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF")
} | {"progressive": encoded(Image.fromarray(NOISE), "JPEG", progressive=True)}


def png_header(width, height):
    """A file that promises width x height pixels and holds a few bytes."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(100))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def reads_or_refuses(content):
    try:
        photo = read_photo(content)
    except InputError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert photo.mode == "RGB" and min(photo.size) >= 32


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([b"", *(file[:16] for file in FILES.values())]))
def test_random_bytes_are_refused_in_words(tail, head):
    with pytest.raises(InputError):
        read_photo(head + tail)


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(st.data(), st.sampled_from(sorted(FILES)))
def test_damaged_files_are_read_or_refused_in_words(data, form):
    content = bytearray(FILES[form])
    # Half of the damage in the headers, where readers trust most.
    place = st.integers(0, 60) | st.integers(0, len(content) - 1)
    for where, value in data.draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=6)):
        content[where] = value
    end = data.draw(st.just(len(content)) | st.integers(0, len(content)))
    reads_or_refuses(bytes(content[:end]))


@pytest.mark.parametrize("form", FILES)
def test_half_a_file_is_refused(form):
    content = FILES[form]
    assert read_photo(memoryview(content)).size == SIZE
    with pytest.raises(InputError, match="damaged"):
        read_photo(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png_header(60_000, 60_000), "50 megapixels"),  # Pillow itself refuses this one
        (png_header(12_000, 10_000), "12000 x 10000 pixels"),  # of this one it only warns
        (png_header(8_000, 7_000), "25 megapixels that are read: save it smaller, or as a JPEG"),
        (png_header(31, 5_000), "too few"),
        (png_header(5_000, 5_000), "damaged"),
        (bytes(10_000_001), "10.0 MB"),
        (b"", "not a picture"),
        (encoded(Image.fromarray(NOISE), "TIFF"), "JPEG, PNG, WebP"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_impossible_files_are_refused_at_once(content, message):
    start = time.perf_counter()
    with pytest.raises(InputError, match=message):
        read_photo(content)
    assert time.perf_counter() - start < 5


MEMORY = """
import sys
from eacbook.data.photo import crop_face, read_photo
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
before = peak()
photo = read_photo(open(sys.argv[1], "rb").read())
crop_face(photo, 224, 3)
print(peak() - before, *photo.size)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_a_photograph_of_50_megapixels_takes_little_memory(tmp_path):
    # Whole it would take 200 MB as it is decoded, and as much again for every copy.
    Image.new("RGB", (8160, 6120), (90, 60, 40)).save(tmp_path / "large.jpg", quality=30)
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "large.jpg")]
    megabytes, *size = map(float, subprocess.check_output(command).split())
    assert size == [4080, 3060] and megabytes < 200


def corners(picture):
    """The colours in the middle of the four quarters, as ``[2,2,3]``."""
    pixels = np.asarray(picture).astype(int)
    height, width = pixels.shape[:2]
    return pixels[np.ix_([height // 4, 3 * height // 4], [width // 4, 3 * width // 4])]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_photographs_come_upright(orientation, form):
    as_stored = {  # what a camera held so writes, by the meaning of the EXIF standard
        1: CORNERS, 2: CORNERS[:, ::-1], 3: CORNERS[::-1, ::-1], 4: CORNERS[::-1],
        5: CORNERS.swapaxes(0, 1), 6: np.rot90(CORNERS), 7: CORNERS[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(CORNERS, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(np.ascontiguousarray(as_stored)), form, exif=exif)
    assert np.abs(corners(read_photo(content)) - corners(CORNERS)).max() < 30


MODES = {
    "RGBA": ("RGBA", "PNG"), "palette": ("P", "PNG"), "palette GIF": ("P", "GIF"),
    "grey": ("L", "JPEG"), "grey and alpha": ("LA", "PNG"), "CMYK": ("CMYK", "JPEG"),
    "telephone's two in one": ("RGB", "MPO"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODES)
def test_every_mode_keeps_its_colours(name):
    mode, form = MODES[name]
    picture = Image.fromarray(CORNERS)
    expected = picture.convert("L").convert("RGB") if mode in ("L", "LA") else picture
    content = encoded(picture.convert(mode), form)
    assert np.abs(corners(read_photo(content)) - corners(expected)).max() < 45


def test_sixteen_bits_keep_their_brightness():
    ramp = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(40, 0)
    grey = np.asarray(read_photo(encoded(Image.fromarray(ramp), "PNG")))
    assert np.abs(grey[0, :, 0] - np.linspace(0, 255, 64)).max() < 1.5


def test_transparent_parts_are_white_and_animations_their_start():
    alpha = np.dstack([CORNERS, np.full((40, 48), 255, np.uint8)])
    alpha[:20, :24, 3] = 0
    seen = corners(read_photo(encoded(Image.fromarray(alpha), "PNG")))
    assert (seen[0, 0] == 255).all() and (seen[1, 1] == 128).all()
    later = [Image.new("RGB", SIZE, "black")]
    for form in ("GIF", "WEBP"):
        moving = encoded(Image.fromarray(CORNERS), form, save_all=True, append_images=later)
        assert np.abs(corners(read_photo(moving)) - corners(CORNERS)).max() < 45


def coordinates(width, height):
    """A picture whose red tells where a pixel lies across, whose green how far down."""
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.dstack([across, down, 0 * down]).round().astype(np.uint8))


class Found:
    """A detector that finds what the test says, in pixels of the copy that it is shown."""

    def __init__(self, *boxes):
        self.boxes = boxes

    def detectMultiScale(self, picture, **_):
        self.shown = picture.shape
        return np.array([(x, y, side, side) for x, y, side in self.boxes], int).reshape(-1, 4)


def test_largest_face_is_framed_where_it_lies(monkeypatch):
    detector = Found((500, 20, 60), (200, 100, 240), (10, 300, 90))
    monkeypatch.setattr(photo_module, "_detector", lambda: detector)
    face, how = crop_face(coordinates(1280, 960), 96, 3)
    assert how == "face found (the largest of 3)"
    assert detector.shown == (480, 640) and face.dtype == torch.uint8
    # The box is 400..880 across and 200..680 down, 480 wide, and the frame a tenth wider.
    across, down = face[0, 48].float() / 255 * 1280, face[1, :, 48].float() / 255 * 960
    ends = torch.stack([across[0], across[-1], down[0], down[-1]])
    torch.testing.assert_close(ends, torch.tensor([376.0, 904.0, 176.0, 704.0]), atol=7, rtol=0)


def test_frame_beyond_the_photograph_repeats_its_edge(monkeypatch):
    monkeypatch.setattr(photo_module, "_detector", lambda: Found((0, 0, 200)))
    face, how = crop_face(coordinates(300, 200), 110, 3)
    assert how == "face found"
    # The frame reaches from -10 to 210, halved: five pixels of edge, and pixel 50 lies at 91.
    assert face[0, 55, :4].max() == 0 and face[1, -4:, 55].min() == 255
    assert abs(face[0, 55, 50].item() - 91 / 300 * 255) < 2


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(300, 100), (32, 700)])
def test_without_opencv_the_middle_is_taken(monkeypatch, channels, size):
    monkeypatch.setitem(sys.modules, "cv2", None)
    picture = coordinates(*size)
    face, how = crop_face(picture, 50, channels)
    assert how.startswith("centre crop") and "pip install" in how
    assert face.shape == (channels, 50, 50) and face.is_contiguous()
    side, middle = min(size), [size[0] / 2, size[1] / 2]
    box = (middle[0] - side / 2, middle[1] - side / 2, middle[0] + side / 2, middle[1] + side / 2)
    expected = np.asarray(picture.crop(box).convert("L" if channels == 1 else "RGB"), float)
    means = expected.reshape(side * side, channels).mean(0)
    np.testing.assert_allclose(face.double().mean((1, 2)), means, atol=1)


def test_opencv_without_models_counts_as_none(monkeypatch, tmp_path):
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2.data, "haarcascades", str(tmp_path))
    assert "pip install" in crop_face(coordinates(64, 64), 48, 1)[1]


@pytest.mark.parametrize(
    ("size", "channels", "named"),
    [
        (0, 3, "size"),
        (48, 2, "channels"),
        ("cpu", 3, "size"),
        (2.5, 1, "size"),
        (48, "L", "channels"),
    ],
)
def test_impossible_crops_are_refused(size, channels, named):
    with pytest.raises(InputError, match=named):
        crop_face(coordinates(64, 64), size, channels)


def found_where_they_are(faces, side):
    """Share of faces found where they were pasted, and how like the crop is to the face, -1 to 1."""
    if photo_module._detector() is None:
        pytest.skip("OpenCV 4 with its cascades is not installed (the extra 'lab' brings it)")
    chance, alike = np.random.default_rng(0), []
    for face in faces:
        blobs = chance.integers(40, 220, (12, 16, 3), dtype=np.uint8)
        photo = Image.fromarray(blobs).resize((1280, 960), Image.Resampling.BICUBIC)
        place = tuple(int(chance.integers(0, length - side)) for length in photo.size)
        photo.paste(face.resize((side, side), Image.Resampling.BICUBIC), place)
        crop, how = crop_face(photo, 48, 1)
        if how.startswith("face found"):
            grey = np.asarray(face.convert("L").resize((48, 48)), float)
            alike.append(np.corrcoef(grey.ravel(), crop.numpy().ravel())[0, 1])
    return sum(likeness > 0.2 for likeness in alike) / len(faces), float(np.mean(alike))


@pytest.mark.slow
def test_drawn_faces_are_found_and_framed():
    images = synthetic_faces(7, 21, 7).test.images
    faces = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    share, alike = found_where_they_are(faces, 300)
    assert share > 0.7 and alike > 0.4


@pytest.mark.slow
@pytest.mark.skipif(not REAL_FACES.exists(), reason=f"no real faces: {REAL_FACES} is not there")
def test_real_faces_are_found_and_framed():
    with zipfile.ZipFile(REAL_FACES) as archive:
        names = [name for name in archive.namelist() if name.startswith("FER2013Test/fer")]
        faces = [
            Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in names[:2000:50]
        ]
    share, alike = found_where_they_are(faces, 300)
    assert share > 0.5 and alike > 0.4


def test_plain_picture_has_no_face():
    photo = read_photo(FILES["PNG"])
    if photo_module._detector() is not None:
        assert crop_face(photo, 48, 1)[1] == "centre crop: no face found"

"""The page of an audit as a file: what is in it, what cannot get into it, and that it stays the same."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
from audits import CLASSES, drawn_audit
from PIL import Image
from prose import LONGEST, MEAN, sentences

from eacbook.audit import page as page_module
from eacbook.audit.page import first_of, write_page
from eacbook.data.images import ImageFile
from eacbook.errors import InputError

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"quotes' & &amp; \\ back",
    "@pictures@ @data@",
    "<!-- <script",
    "Überraschung \u2028 \U0001f600 \u0627\u0644",
    "=cmd()",
)


class Elements(HTMLParser):
    """The elements of a page, and the text of its scripts."""

    def __init__(self, text):
        super().__init__()
        self.found, self.scripts, self.inside = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.inside = tag == "script"
        if self.inside:
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if self.inside:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data

    @property
    def data(self):
        (text,) = [text for attributes, text in self.scripts if attributes.get("id") == "data"]
        return json.loads(text)

    @property
    def pictures(self):
        blocks = [text for at, text in self.scripts if at.get("id", "").startswith("pictures")]
        return [
            np.asarray(Image.open(io.BytesIO(base64.b64decode(line))))
            for block in blocks
            for line in block.split("\n")
        ]


@pytest.fixture(scope="module")
def audit():
    return drawn_audit()


def written(tmp_path, audit, **settings):
    return write_page(*audit, tmp_path, **settings).read_text("utf-8")


def test_it_has_every_picture_in_the_order_of_the_ranking(tmp_path, audit):
    report, images, _ = audit
    elements = Elements(written(tmp_path, audit))
    data = elements.data
    listed = sorted(report.suspects, key=lambda one: (one.split != "train", one.rank))
    assert data["rows"]["row"] == [one.row for one in listed]
    assert data["rows"]["file"] == [one.file for one in listed]
    assert data["training"] == sum(one.split == "train" for one in listed)
    assert data["scores"]["loss"][data["training"] :] == [None] * (84 - data["training"])
    assert len(elements.pictures) == 84
    own = images.permute(0, 2, 3, 1).numpy().astype(int)
    for place in (0, 1, 40, 83):
        differences = np.abs(own - elements.pictures[place].astype(int)).mean((1, 2, 3))
        assert differences.argmin() == data["rows"]["row"][place]
    for place, one in enumerate(listed):
        near = [data["rows"]["row"][other] for other in data["scores"]["neighbours"][place]]
        assert tuple(near) == one.neighbours


def test_maps_belong_to_their_pictures(tmp_path, audit):
    _, _, maps = audit
    data = Elements(written(tmp_path, audit)).data
    levels = np.frombuffer(base64.b64decode(data["maps"]["levels"]), np.uint8)
    levels = levels.reshape(-1, 2, data["maps"]["height"], data["maps"]["width"])
    assert len(levels) == len(maps) == 42
    for row, number in zip(data["rows"]["row"], data["maps"]["of"], strict=True):
        assert (number >= 0) == (row in maps)
        if number >= 0:
            expected = maps[row].numpy()
            expected = expected / expected.max((1, 2), keepdims=True)
            assert np.abs(levels[number] / 255 - expected).max() < 0.003


def test_the_first_of_each_class_are_among_the_first(audit):
    suspects = audit[0].suspects
    for held_out, chosen in enumerate(first_of(suspects, 10, 3)):
        own = [one for one in suspects if (one.split != "train") == held_out]
        expected = {one.row for one in own[:10]}
        for label in range(7):
            expected |= {one.row for one in [one for one in own if one.given == label][:3]}
        assert [one.row for one in chosen] == [one.row for one in own if one.row in expected]
        assert len(chosen) > 10


def test_it_runs_its_own_script_and_asks_for_nothing(tmp_path, audit):
    text = written(tmp_path, audit)
    elements = Elements(text)
    assert not any({"src", "href", "style"} & set(at) for _, at in elements.found)
    assert "http:" not in text and "https:" not in text
    running = [text for at, text in elements.scripts if not at]
    (policy,) = [at["content"] for tag, at in elements.found if "http-equiv" in at]
    digest = base64.b64encode(hashlib.sha256(running[0].encode()).digest()).decode()
    assert len(running) == 1 and f"script-src 'sha256-{digest}';" in policy
    assert "unsafe" not in policy and policy.startswith("default-src 'none'")
    others = {at.get("type") for at, _ in elements.scripts if at}
    assert others == {"application/json", "text/plain"}


def test_hostile_names_stay_texts(tmp_path, audit):
    report, images, maps = audit
    files = [f"{name}/\n{number}.png" for number, name in enumerate(12 * HOSTILE)]
    suspects = tuple(
        replace(one, file=file) for one, file in zip(report.suspects, files, strict=True)
    )
    hostile = replace(report, name=HOSTILE[0], classes=HOSTILE, suspects=suspects)
    text = written(tmp_path, (hostile, images, maps))
    plain = Elements(written(tmp_path, audit))
    elements = Elements(text)
    assert [tag for tag, _ in elements.found] == [tag for tag, _ in plain.found]
    assert elements.data["classes"] == list(HOSTILE)
    assert sorted(elements.data["rows"]["file"]) == sorted(files)
    assert elements.data["name"] == HOSTILE[0]
    assert "<title>Labels to check: &lt;/script&gt;" in text


def test_the_same_bytes_from_memory_and_from_a_file(tmp_path, audit):
    report, images, maps = audit
    path = tmp_path / "images.npy"
    np.save(path, images.permute(0, 2, 3, 1).contiguous().numpy())
    first, again = written(tmp_path, audit), written(tmp_path, audit)
    assert first == again == written(tmp_path, (report, ImageFile(path), maps))


def test_without_thumbnails_there_is_no_picture(tmp_path, audit):
    folder, source = tmp_path / "audit", tmp_path / "my #faces"
    folder.mkdir()
    report, images, maps = audit
    odd = (replace(report.suspects[0], file="joy/50 %?.png"), *report.suspects[1:])
    audit = replace(report, suspects=odd), images, maps
    elements = Elements(written(folder, audit, thumbnails=False, source=source))
    assert elements.pictures == []
    place = elements.data["rows"]["row"].index(odd[0].row)
    assert elements.data["files"][place] == "../my%20%23faces/joy/50%20%25%3F.png"
    assert Elements(written(folder, audit, thumbnails=False)).data["files"] is None


def test_a_large_set_is_cut_but_not_its_rare_classes(tmp_path, audit, monkeypatch):
    monkeypatch.setattr(page_module, "MOST", 10)
    monkeypatch.setattr(page_module, "OF_A_CLASS", 3)
    report, _, _ = audit
    elements = Elements(written(tmp_path, audit))
    data = elements.data
    training = [one for one in report.suspects if one.split == "train"]
    rows = data["rows"]["row"]
    assert set(rows[:10]) >= {one.row for one in training[:7]}
    for label in range(len(CLASSES)):
        first = [one.row for one in training if one.given == label][:3]
        assert set(first) <= set(rows[: data["training"]])
    assert sum(data["counts"]["training"]) == len(training)
    assert 10 < data["listed"] < 84 and len(rows) == len(elements.pictures) > data["listed"]
    needed = {near for one in report.suspects if one.row in rows[:10] for near in one.neighbours}
    assert needed <= set(rows)


def test_what_does_not_fit_is_refused(tmp_path, audit):
    report, images, maps = audit
    flat = {row: of_row[0] for row, of_row in maps.items()}
    for arguments, message in (
        ((report, images[:-1], maps), "the report has 84 rows, expected the rows of 83 images"),
        ((report, images, flat), "the maps have the shape [6, 6], expected [2,h,w]"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            write_page(*arguments, tmp_path)
    with pytest.raises(InputError, match="index.html cannot be written: No such file"):
        write_page(*audit, tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_a_grey_set_without_maps_or_duplicates_or_held_out_rows(tmp_path, audit):
    report, images, _ = audit
    bare = replace(
        report,
        duplicates=(),
        suspects=tuple(replace(one, split="train", mean_loss=1.0) for one in report.suspects),
    )
    grey = images[:, :1, :, 8:40]
    elements = Elements(written(tmp_path, (bare, grey, {})))
    assert elements.data["maps"]["levels"] == "" and elements.data["training"] == 84
    assert elements.pictures[0].shape == (48, 32, 3)
    assert elements.data["aspect"] == pytest.approx(32 / 48, abs=1e-4)


TEMPLATE = resources.files("eacbook.audit").joinpath("page.html").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_are_readable(scheme):
    """At least 4.5:1 for text (WCAG 2.2, 1.4.3), and 3:1 for frames and bars (1.4.11)."""
    light, dark = re.findall(r":root \{(.*?)\}", TEMPLATE, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#\w{6})", light))
    if scheme == "dark":
        assert dict(re.findall(r"--(\w+): (#\w{6})", dark)).keys() == colours.keys()
        colours = dict(re.findall(r"--(\w+): (#\w{6})", dark))

    def contrast(one, other):
        brightness = []
        for colour in (colours[one], colours[other]):
            part = np.array(list(bytes.fromhex(colour[1:]))) / 255
            linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
            brightness.append(linear @ [0.2126, 0.7152, 0.0722] + 0.05)
        return max(brightness) / min(brightness)

    for text in ("ink", "soft", "given", "other"):
        assert min(contrast(text, "page"), contrast(text, "panel")) >= 4.5, text
    for kind in ("keep", "relabel", "drop", "unsure"):
        assert contrast("on", kind) >= 4.5, kind
    assert contrast("focus", "page") >= 3 and contrast("bar", "page") >= 3
    assert contrast("fill", "panel") >= 3 and contrast("ink", "fill") >= 3


def test_its_sentences_are_short():
    texts = [re.sub(r"\s+", " ", text) for text in re.findall(r"<p>(.*?)</p>", TEMPLATE, re.DOTALL)]
    lengths = [len(one.split()) for text in texts for one in sentences(text)]
    assert max(lengths) <= LONGEST and sum(lengths) / len(lengths) <= MEAN

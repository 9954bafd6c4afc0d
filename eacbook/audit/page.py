"""The page of an audit: one HTML file that works from the disk, without a server or a network.

The page has its data as JSON, and after its script the pictures, in the order of the ranking. So it
draws the first suspects before it has read the last picture. A content security policy allows only the
page's own script and style, by their digests, and pictures from the page or the disk. All texts (file
names, class names) are set as text and never as HTML.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from urllib.parse import quote

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eacbook.audit.report import LOOKED_AT, AuditReport, Found, Suspect
from eacbook.data.images import Images, fetch
from eacbook.errors import InputError
from eacbook.files import write_text
from eacbook.plots.pictures import HEAT_COLOURS

PAGE = "index.html"
MOST = 10_000
"""Most pictures in each of the two lists. A larger page would be slow to open; all rows are in
``audit.csv``."""
OF_A_CLASS = 200
"""So many pictures of each class are listed in any case, however large the other classes are."""
MOST_PAIRS = 1_000
THUMBNAIL, NEIGHBOUR = 112, 56
"""Most pixels of a side: of a picture in a list, and of one that is only shown as a neighbour."""
CHUNK = 128
"""Pictures in one block of the page."""


def write_page(
    report: AuditReport,
    images: Images,
    maps: Mapping[int, Tensor],
    folder: str | Path,
    thumbnails: bool = True,
    source: str | Path | None = None,
) -> Path:
    """Write ``index.html``. The same arguments give the same bytes.

    Args:
        report: what the audit found.
        images: uint8 ``[N,C,H,W]``, the rows of the set. Images in a file are read batch by batch.
        maps: the attention of some rows, each float ``[2,h,w]``: for the given label and for
            ``Suspect.other``. :func:`first_of` chooses the rows.
        folder: an existing folder.
        thumbnails: put small pictures into the page. Without them it contains no picture, and
            shows the files of ``source`` where the browser can read them.
        source: the folder in which ``Suspect.file`` are paths. Only needed without thumbnails.

    Returns:
        The path of the page.

    Raises:
        InputError: a row, a class or the maps do not fit the images; or the page cannot be written.
    """
    _check(report, len(images), maps)
    training, held_out = first_of(report.suspects, MOST, OF_A_CLASS)
    listed = [*training, *held_out]
    by_row = {suspect.row: suspect for suspect in report.suspects}
    pairs = report.duplicates[:MOST_PAIRS]
    further = {row for pair in pairs for row in (pair.one, pair.other)}
    further |= {row for suspect in listed for row in suspect.neighbours}
    further -= {suspect.row for suspect in listed}
    shown = [*listed, *(by_row[row] for row in sorted(further))]
    place = {suspect.row: position for position, suspect in enumerate(shown)}
    data = {
        "name": report.name,
        "version": report.version,
        "fingerprint": report.fingerprint,
        "classes": report.classes,
        "counts": _counts(report),
        "selfTest": _self_test(report),
        "matrix": {
            "counts": report.matrix.counts,
            "low": _rounded(report.matrix.low),
            "high": _rounded(report.matrix.high),
        },
        "settings": [[str(name), str(value)] for name, value in report.settings.items()],
        "training": len(training),
        # The training saw these pictures, too: their loss is known.
        "drawnSplit": any(one.mean_loss is not None for one in held_out),
        "listed": len(listed),
        "rows": _rows(shown),
        "scores": _scores(listed, report.suspects, place),
        "maps": _packed_maps([maps.get(suspect.row) for suspect in listed]),
        "heat": [tuple(bytes.fromhex(colour[1:])) for colour in HEAT_COLOURS],
        "duplicates": [
            [place[pair.one], place[pair.other], round(pair.distance, 4), pair.how, pair.kind]
            for pair in pairs
        ],
        "aspect": round(images.shape[3] / images.shape[2], 4),
        "chunk": CHUNK if thumbnails else 0,
        "files": None if thumbnails else _addresses(shown, source, Path(folder)),
    }
    text = _filled(report.name, data, _blocks(shown, len(listed), images) if thumbnails else ())
    target = Path(folder) / PAGE
    try:
        write_text(target, text)
    except OSError as error:
        raise InputError(f"{target} cannot be written: {error.strerror}") from error
    return target


def first_of(
    suspects: Sequence[Suspect], most: int, of_a_class: int
) -> tuple[list[Suspect], list[Suspect]]:
    """The first suspects of both lists, each by rank: training, and validation or test.

    Args:
        suspects: of all splits.
        most: so many of each list.
        of_a_class: so many of each given label in each list, even if they are farther down.
    """
    lists: tuple[list[Suspect], list[Suspect]] = [], []
    counts: Counter[tuple[bool, int]] = Counter()
    for suspect in sorted(suspects, key=lambda suspect: suspect.rank):
        held_out = suspect.split != "train"
        counts[held_out, suspect.given] += 1
        if len(lists[held_out]) < most or counts[held_out, suspect.given] <= of_a_class:
            lists[held_out].append(suspect)
    return lists


def _check(report: AuditReport, count: int, maps: Mapping[int, Tensor]) -> None:
    rows = sorted(suspect.row for suspect in report.suspects)
    if rows != list(range(count)):
        raise InputError(f"the report has {len(rows)} rows, expected the rows of {count} images")
    shapes = {tuple(of_row.shape) for of_row in maps.values()}
    if len(shapes) > 1 or any(len(shape) != 3 or shape[0] != 2 for shape in shapes):
        found = " and ".join(str(list(shape)) for shape in sorted(shapes))
        raise InputError(f"the maps have the shape {found}, expected [2,h,w] for every row")


def _counts(report: AuditReport) -> dict:
    """Pictures of the whole set, for each class and list: how many, and how many are doubted."""
    counts = {name: [0] * len(report.classes) for name in ("training", "doubted")}
    counts |= {"heldOut": [0], "pairs": [len(report.duplicates)]}
    for suspect in report.suspects:
        if suspect.split == "train":
            counts["training"][suspect.given] += 1
            counts["doubted"][suspect.given] += suspect.suggested != suspect.given
        else:
            counts["heldOut"][0] += 1
    return counts


def _self_test(report: AuditReport) -> dict:
    test = report.self_test

    def plain(found: Found) -> list[float]:
        return [found.count, round(found.low, 4), round(found.high, 4)]

    return {
        "planted": test.planted,
        "shares": LOOKED_AT,
        "found": [plain(test.found[share]) for share in LOOKED_AT],
        "byClass": [
            [label, planted, [plain(test.found_by_class[label][share]) for share in LOOKED_AT]]
            for label, planted in sorted(test.planted_by_class.items())
        ],
    }


def _rows(shown: Sequence[Suspect]) -> dict:
    return {
        "row": [suspect.row for suspect in shown],
        "file": [suspect.file for suspect in shown],
        "split": [suspect.split for suspect in shown],
        "given": [suspect.given for suspect in shown],
    }


def _scores(listed: Sequence[Suspect], all_of_them: Sequence[Suspect], place: dict) -> dict:
    """Columns of the scores. ``lossAbove`` is the share of training pictures with a lower loss."""
    losses = np.sort([one.mean_loss for one in all_of_them if one.mean_loss is not None])
    above = [
        None
        if one.mean_loss is None
        else round(np.searchsorted(losses, one.mean_loss).item() / len(losses), 4)
        for one in listed
    ]
    return {
        "suggested": [one.suggested for one in listed],
        "second": [one.second for one in listed],
        "pGiven": _rounded(1 - one.doubt for one in listed),
        "pSuggested": _rounded(one.p_suggested for one in listed),
        "pSecond": _rounded(one.p_second for one in listed),
        "score": _rounded(one.score for one in listed),
        "rank": [one.rank for one in listed],
        "loss": [None if one.mean_loss is None else round(one.mean_loss, 2) for one in listed],
        "lossAbove": above,
        "neighboursOther": _rounded(one.neighbours_other for one in listed),
        "neighbours": [[place[row] for row in one.neighbours] for one in listed],
    }


def _packed_maps(maps: Sequence[Tensor | None]) -> dict:
    """The positive part of each map in 256 levels, relative to its own maximum."""
    there = [one for one in maps if one is not None]
    chosen = torch.stack(there).float().cpu().clamp(min=0) if there else torch.zeros(0, 2, 1, 1)
    levels = chosen / chosen.amax((-2, -1), keepdim=True).clamp(min=1e-8)
    packed = (levels * 255).round().to(torch.uint8).contiguous().numpy().tobytes()
    number = iter(range(len(there)))
    return {
        "height": chosen.shape[2],
        "width": chosen.shape[3],
        "of": [-1 if one is None else next(number) for one in maps],
        "levels": base64.b64encode(packed).decode(),
    }


def _addresses(
    shown: Sequence[Suspect], source: str | Path | None, folder: Path
) -> list[str] | None:
    """Where the browser finds each file, relative to the page where that is possible."""
    if source is None:
        return None
    try:
        base = Path(os.path.relpath(source, folder)).as_posix()
        address = quote(base, errors="surrogateescape")
    except ValueError:  # on another drive of Windows
        address = Path(source).resolve().as_uri()
    return [f"{address}/{quote(one.file, errors='surrogateescape')}" for one in shown]


def _blocks(shown: Sequence[Suspect], listed: int, images: Images) -> Iterator[str]:
    """Blocks of :data:`CHUNK` pictures: a line of base64 for each WebP file."""
    for first in range(0, len(shown), CHUNK):
        rows = torch.tensor([suspect.row for suspect in shown[first : first + CHUNK]])
        yield "\n".join(
            _thumbnail(image, THUMBNAIL if first + place < listed else NEIGHBOUR)
            for place, image in enumerate(fetch(images, rows).cpu())
        )


def _thumbnail(image: Tensor, side: int) -> str:
    pixels = image.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    picture = Image.fromarray(pixels)
    picture.thumbnail((side, side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "webp", quality=80, method=2)
    return base64.b64encode(buffer.getvalue()).decode()


def _filled(name: str, data: dict, blocks: Iterable[str]) -> str:
    template = resources.files("eacbook.audit").joinpath("page.html").read_text("utf-8")
    digests = {
        kind: base64.b64encode(hashlib.sha256(_inside(template, kind).encode()).digest()).decode()
        for kind in ("style", "script")
    }
    parts = {
        "policy": (
            f"default-src 'none'; img-src data: file: 'self'; style-src 'sha256-{digests['style']}'; "
            f"script-src 'sha256-{digests['script']}'; base-uri 'none'; form-action 'none'"
        ),
        "title": html.escape(name.encode("utf-8", "replace").decode()),
        # In a script element only "<" could begin markup that ends it.
        "data": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"),
        "pictures": "\n".join(
            f'<script type="text/plain" id="pictures-{number}">{block}</script>'
            for number, block in enumerate(blocks)
        ),
    }
    # In one pass: a name may look like a place of the template.
    return re.sub("@(policy|title|data|pictures)@", lambda match: parts[match[1]], template)


def _inside(template: str, element: str) -> str:
    """The text of the only ``<element>`` without attributes."""
    (text,) = re.findall(f"<{element}>(.*?)</{element}>", template, re.DOTALL)
    return text


def _rounded(values: Iterable) -> list:
    """Numbers, also in nested sequences, to four digits."""
    return [round(v, 4) if isinstance(v, int | float) else _rounded(v) for v in values]

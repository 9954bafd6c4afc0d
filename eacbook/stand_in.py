"""A stand-in for FERPlus, drawn and voted on by nobody, packed exactly as FERPlus comes.

For readers who do not have their copy yet, and for tests: every step from the download to the attention
maps can be run and read without the picture of anyone. What the votes say about people is put in here,
so it cannot be found out from them: an annotator answers as the average one does on FERPlus
(:data:`eacbook.noise.SINGLE_VOTES`), and is the more often wrong the fainter the expression.
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from eacbook import synthetic
from eacbook.checks import LARGEST, seed_number
from eacbook.classes import RAFDB_CLASSES
from eacbook.errors import InputError
from eacbook.faces import SYNTHETIC_IDENTITIES
from eacbook.files import write_text
from eacbook.format import DESCRIPTION
from eacbook.noise import SINGLE_VOTES

FOLDERS = {"train": "FER2013Train", "validation": "FER2013Valid", "test": "FER2013Test"}
COLUMNS = (
    *("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt"),
    *("unknown", "not a face"),
)
"""What an annotator could choose, in the order of FERPlus's own files."""

FACES = {"train": 1200, "validation": 200, "test": 600}
SHARES = (0.14, 0.08, 0.07, 0.22, 0.14, 0.13, 0.22)
"""Of the seven classes: neutral and happy faces are common and disgusted ones rare, as in FERPlus, but
less so, or there would be five of them."""

ANNOTATORS, SIZE = 10, 48
UNKNOWN, CONTEMPT = 0.03, 0.01
"""How often an annotator chooses neither of the seven; twice as often for the faintest faces."""

COPIES = {"train": 0.04, "validation": 0.08, "test": 0.08}
"""Share of each split that repeats a training picture, about as in FERPlus."""

NO_FACE = 0.003
CLONE = "eacbook-repository"
SOURCE = "Stand-in for FERPlus: drawn faces and drawn votes, packed by eacbook.stand_in"
LICENCE = "MIT. Nobody was photographed and nobody was asked."


def pack_stand_in(path: str | Path, faces: dict[str, int] | None = None, seed: int = 0) -> None:
    """Write a zip in the layout of FERPlus: PNG files, and in each folder a ``label.csv`` with votes.

    It holds what makes FERPlus awkward, too: faces on which no majority agrees, pictures without a
    face, and pictures that come again under another name, with other votes.

    Args:
        path: of the zip, replaced if it is there.
        faces: how many of each split; :data:`FACES` by default.
        seed: the same seed packs the same pictures and votes.
    """
    seed = seed_number("seed", seed)
    generator = torch.Generator().manual_seed(seed)
    number, of_train = 0, None
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in (faces or FACES).items():
            images, odds = _draw(split, count, seed, generator)
            of_train = of_train or (images, odds)
            _repeat(images, odds, *of_train, COPIES[split], generator)
            names = [f"fer{number + row:07d}.png" for row in range(count)]
            number += count
            for name, image in zip(names, images, strict=True):
                _add(archive, f"{FOLDERS[split]}/{name}", _png(image))
            lines = _label_lines(names, cast_votes(odds, generator))
            _add(archive, f"{FOLDERS[split]}/label.csv", lines.encode())


def answer_odds(labels: Tensor, faintness: Tensor) -> Tensor:
    """How likely an annotator is to choose each column.

    Averaged over the faces of a class they err as people do on FERPlus, and on a single face in
    proportion to how faint it is: ``e + 2 f (row - e)`` with the certain answer ``e``.

    Args:
        labels: int64 ``[N]``, what the faces show.
        faintness: float ``[N]``, uniform in 0-1 within each class.

    Returns:
        float64 ``[N,10]``, the rows sum to one; columns as in :data:`COLUMNS`.
    """
    doubt = 2 * faintness.double()[:, None]
    certain = torch.eye(len(SINGLE_VOTES), dtype=torch.float64)[labels]
    average = torch.tensor(SINGLE_VOTES, dtype=torch.float64)[labels]
    emotions = certain + doubt * (average / average.sum(1, keepdim=True) - certain)
    odds = torch.zeros((len(labels), len(COLUMNS)), dtype=torch.float64)
    odds[:, [COLUMNS.index(name) for name in RAFDB_CLASSES]] = emotions
    for name, share in (("unknown", UNKNOWN), ("contempt", CONTEMPT)):
        odds *= 1 - share * doubt
        odds[:, COLUMNS.index(name)] += share * doubt[:, 0]
    return odds


def cast_votes(odds: Tensor, generator: torch.Generator) -> Tensor:
    """Ten annotators' answers to each face: int64 ``[N,10]`` counts from odds ``[N,10]``."""
    draws = torch.rand((len(odds), ANNOTATORS), generator=generator, dtype=torch.float64)
    answers = torch.searchsorted(odds.cumsum(1), draws).clamp(max=len(COLUMNS) - 1)
    return torch.nn.functional.one_hot(answers, len(COLUMNS)).sum(1)


def name_stand_in(folder: str | Path) -> None:
    """Write into a prepared set, which believes to be FERPlus, what it really is."""
    path = Path(folder) / DESCRIPTION
    description = json.loads(path.read_text(encoding="utf-8"))
    description |= {"source": SOURCE, "licence": LICENCE}
    write_text(path, json.dumps(description, indent=2) + "\n")


def find_script(name: str) -> Path:
    """A script of ``data_scripts/``, which belongs to the repository and not to the package.

    It is looked for in and above the working folder, in a clone within it that is called
    ``eacbook-repository``, and where the package itself stands in a clone.

    Raises:
        InputError: it is in none of them.
    """
    here = Path.cwd()
    for place in (here, *here.parents, here / CLONE, Path(__file__).parents[1]):
        script = place / "data_scripts" / name
        if script.is_file():
            return script
    raise InputError(
        f"data_scripts/{name} is not near {here}: fetch the repository into this folder with "
        f"git clone --depth 1 https://github.com/eacbook/eacbook {CLONE}"
    )


def _draw(split: str, count: int, seed: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Grey pictures uint8 ``[N,H,W]`` of one split, and the odds of the answers to each."""
    bounds = (torch.tensor(SHARES, dtype=torch.float64).cumsum(0) * count).round().long()
    sizes = torch.diff(bounds, prepend=torch.zeros(1, dtype=torch.long))
    labels = torch.arange(len(SHARES)).repeat_interleave(sizes)
    labels = labels[torch.randperm(count, generator=generator)]
    persons = torch.tensor(SYNTHETIC_IDENTITIES[split])
    persons = persons[torch.randint(len(persons), (count,), generator=generator)]
    drawn_with = (1000 + 3 * seed + len(split)) & LARGEST
    drawn = synthetic.draw_faces(labels, persons, size=SIZE, seed=drawn_with)
    red, green, blue = drawn.images.float().unbind(1)
    images = (0.299 * red + 0.587 * green + 0.114 * blue).round().to(torch.uint8)
    odds = answer_odds(labels, _faintness(labels, drawn.intensity))

    empty = torch.randperm(count, generator=generator)[: max(1, round(NO_FACE * count))]
    blots = torch.rand((len(empty), 1, 5, 5), generator=generator)
    blots = torch.nn.functional.interpolate(blots, (SIZE, SIZE), mode="bilinear")
    images[empty] = (255 * blots[:, 0]).round().to(torch.uint8)
    odds[empty] = torch.eye(len(COLUMNS), dtype=torch.float64)[-1]
    return images, odds


def _faintness(labels: Tensor, intensity: Tensor) -> Tensor:
    """The rank of each face among those of its class, 0 for the fullest expression to 1."""
    faintness = torch.zeros(len(labels))
    for label in labels.unique():
        of_class = labels == label
        places = intensity[of_class].argsort(descending=True, stable=True).argsort()
        faintness[of_class] = (places + 0.5) / len(places)
    return faintness


def _repeat(images, odds, of_train, odds_of_train, share, generator) -> None:
    """Put copies of training pictures in the place of some; they are voted on anew."""
    order = torch.randperm(len(images), generator=generator)
    copies = order[: round(share * len(images))]
    originals = torch.randperm(len(of_train), generator=generator)
    if images is of_train:
        originals = order[len(copies) :]  # none is a copy itself
    originals = originals[: len(copies)]
    images[copies], odds[copies] = of_train[originals], odds_of_train[originals]


def _label_lines(names: list[str], votes: Tensor) -> str:
    """The lines of a ``label.csv``: the image, the box of its face, ten columns of votes."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for name, counts in zip(names, votes.tolist(), strict=True):
        table.writerow([name, f"(0, 0, {SIZE}, {SIZE})", *counts])
    return text.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name), content)  # without the time, the same bytes every time


def _png(image: Tensor) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.numpy()).save(buffer, "png")
    return buffer.getvalue()

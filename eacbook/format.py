"""The prepared format: names of its files, splits and columns, and their checksums.

A prepared folder holds ``images.npy`` (uint8 ``[N,H,W,C]``), ``labels.csv`` (one row an image) and
``faceset.json`` (classes, counts, checksums, source, licence). :mod:`eacbook.prepared` writes it and
:mod:`eacbook.faces` reads it. Nothing here needs PyTorch, so that the scripts in ``data_scripts/``
start at once.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

FORMAT = 1
IMAGES, LABELS, DESCRIPTION = "images.npy", "labels.csv", "faceset.json"
SPLITS = ("train", "validation", "test")
VOTE_PREFIX = "votes_"


def sha256_of(path: Path) -> str:
    """Checksum of a file of any size, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

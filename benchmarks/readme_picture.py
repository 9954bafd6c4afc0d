"""The README's picture: faces with wrong labels, and what baseline and EAC look at in test faces.

    python benchmarks/readme_picture.py

Uses the stored runs of ``make demo`` (trains them if they are not there); writes ``docs/faces.png``.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from eacbook.book.demo import train_demo
from eacbook.book.report import maps_of_true_class
from eacbook.plots.pictures import attention_sheet, face_sheet

PICTURE = Path(__file__).parents[1] / "docs" / "faces.png"


def main() -> None:
    faces, runs = train_demo()
    noisy = runs["eac"].noisy
    wrong, right = noisy.wrong.nonzero()[:4, 0], (~noisy.wrong).nonzero()[:10, 0]
    shown = torch.cat([wrong, right]).sort().values  # as many wrong ones as there are, 30 %
    sheet = face_sheet(
        faces.train.images[shown], noisy.given[shown], noisy.true[shown], faces.classes, columns=7
    )
    rows = torch.stack([(faces.test.labels == label).nonzero()[0, 0] for label in (0, 3, 5)])
    attention = attention_sheet(
        faces.test.images[rows],
        maps_of_true_class(faces, runs, rows),
        [faces.classes[label] for label in faces.test.labels[rows]],
    )
    width = max(sheet.width, attention.width)
    picture = Image.new("RGBA", (width, sheet.height + attention.height))
    picture.paste(sheet, ((width - sheet.width) // 2, 0))
    picture.paste(attention, ((width - attention.width) // 2, sheet.height))
    PICTURE.parent.mkdir(exist_ok=True)
    picture.save(PICTURE, optimize=True)
    print(f"wrote {PICTURE}")


if __name__ == "__main__":
    main()

"""A report of an audit that nobody made, on drawn faces, for the tests of its page."""

from __future__ import annotations

CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")


def drawn_audit(
    count: int = 84, classes=CLASSES, size: int = 48, name: str = "drawn", seed: int = 0
):
    """Drawn faces with wrong labels and made-up scores, of which the wrong labels have high ones.

    Args:
        count: number of faces: 70 % are training, 10 % validation, 20 % test.
        classes: K names. Beyond the seven expressions, the same faces get further labels.
        size: pixels of a side.

    Returns:
        The report, the images, and maps of the first half of the suspects, by their rows.
    """
    import torch

    import eacbook as eb
    from eacbook.audit.report import (
        LOOKED_AT,
        AuditReport,
        DuplicatePair,
        Found,
        SelfTest,
        Suspect,
        TransitionMatrix,
    )

    random = torch.Generator().manual_seed(seed)
    distinct = min(count, 280)  # more rows repeat their pictures
    drawn = eb.synthetic_faces(distinct, 7, 7, size=size).train
    which = torch.arange(count) % distinct
    images, true = (
        drawn.images[which],
        drawn.labels[which] + 7 * (torch.arange(count) % (len(classes) // 7)),
    )
    wrong = torch.rand(count, generator=random) < 0.2
    shift = torch.randint(1, len(classes), (count,), generator=random)
    given = torch.where(wrong, (true + shift) % len(classes), true)
    doubt = torch.where(wrong, 0.6, 0.02) + 0.39 * torch.rand(count, generator=random)
    doubt = doubt.clamp(max=0.998)
    far = torch.where(wrong, 0.8, 0.2) + 0.2 * torch.randn(count, generator=random)
    far = (10 * far.clamp(0, 1)).round() / 10
    order = doubt.argsort(descending=True, stable=True).tolist()
    alike = [torch.nonzero(true == label).flatten().tolist() for label in range(len(classes))]
    suspects = []
    for rank, row in enumerate(order, 1):
        doubted = bool(wrong[row])
        label, p = int(given[row]), float(doubt[row])
        near = [other for other in alike[true[row]][:4] if other != row][:3]
        suspects.append(
            Suspect(
                row=row,
                file=f"{classes[label]}/face-{row:05d}.png",
                split=("test", "test", "validation", *["train"] * 7)[row % 10],
                given=label,
                suggested=int(true[row]) if doubted else label,
                second=label if doubted else (label + 1) % len(classes),
                p_suggested=0.9 * p if doubted else 1 - p,
                p_second=1 - p if doubted else 0.7 * p,
                score=p,
                rank=rank,
                doubt=p,
                mean_loss=None if row % 10 < 3 else 3 * p,
                neighbours_other=float(far[row]),
                neighbours=tuple(near),
            )
        )
    matrix = torch.zeros(len(classes), len(classes), dtype=torch.long)
    for i, j in zip(true.tolist(), given.tolist(), strict=True):
        matrix[i, j] += 1
    share = matrix / matrix.sum(1, keepdim=True).clamp(min=1)
    planted = dict.fromkeys(range(min(len(classes), 7)), 4)
    report = AuditReport(
        name=name,
        fingerprint="0123456789abcdef",
        classes=tuple(classes),
        suspects=tuple(suspects),
        self_test=SelfTest(
            planted=28,
            found={
                s: Found(n, n / 28 - 0.15, min(n / 28 + 0.12, 1))
                for s, n in zip(LOOKED_AT, (13, 19, 23), strict=True)
            },
            planted_by_class=planted,
            found_by_class={
                label: {s: Found(3, 0.3, 0.95) for s in LOOKED_AT} for label in planted
            },
        ),
        duplicates=(
            DuplicatePair(3, 10, 0.0, "equal pixels", "labels differ"),
            DuplicatePair(4, 11, 0.0023, "thumbnails", "across splits"),
            DuplicatePair(5, 12, 0.0345, "features", "labels differ, across splits"),
        ),
        matrix=TransitionMatrix(
            counts=tuple(map(tuple, matrix.tolist())),
            low=tuple(map(tuple, (0.7 * share).tolist())),
            high=tuple(map(tuple, (share + 0.3 * (1 - share)).tolist())),
        ),
        settings={"network": "tiny", "weights": "random", "epochs": 20, "folds": "none", "seed": 0},
        version="0.1.0",
    )
    y, x = torch.meshgrid(torch.linspace(-1, 1, 6), torch.linspace(-1, 1, 6), indexing="ij")
    places = torch.rand(count // 2, 2, 2, generator=random)[..., None, None] - 0.5
    maps = torch.exp(-4 * ((x - places[:, :, 0]) ** 2 + (y - places[:, :, 1]) ** 2))
    return report, images, dict(zip(order, maps, strict=False))  # half as many maps

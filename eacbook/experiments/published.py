"""The results of the paper as data, with their source and settings, to compare them with ours.

The numbers are those of EAC's comparison under symmetric noise (Zhang, Wang, Ling and Deng, "Learn From
All", ECCV 2022, arXiv 2207.10299, Table 1): test accuracy in percent, the mean of the last five epochs.
All 36 were compared with the poster of the paper. The paper does not state some settings. Its first
author stated them in the issues of github.com/zyh-uaiaaaa/Erasing-Attention-Consistency: 2 (last five
epochs), 3 (the table is that of ResNet-18), 7 (from weights of MS-Celeb-1M), 21 (7 classes of FERPlus,
balanced sampler for AffectNet).
"""

from __future__ import annotations

from dataclasses import dataclass

from eacbook.data.faces import FaceData
from eacbook.training.recipe import Recipe

SOURCE = "Zhang et al., Learn From All, ECCV 2022, arXiv 2207.10299, Table 1"
RATES = (0.1, 0.2, 0.3)
NETWORK, WEIGHTS, CLASSES = "resnet18", "MS-Celeb-1M faces", 7
EPOCHS, BATCH_SIZE, SIZE = 60, 32, 224


@dataclass(frozen=True)
class Published:
    """One data set in the paper's table.

    Attributes:
        name: the name in the paper.
        balanced: whether the paper samples its training faces with a class-balanced sampler.
        train: number of training faces, or None if it is not certain.
        accuracy: method to the test accuracy in percent at 10, 20 and 30 % wrong labels.
    """

    name: str
    balanced: bool
    train: int | None
    accuracy: dict[str, tuple[float, float, float]]


TABLE = {
    "rafdb": Published(
        "RAF-DB",
        balanced=False,
        train=12271,
        accuracy={
            "baseline": (81.01, 77.98, 75.50),
            "scn": (82.15, 79.79, 77.45),
            "rul": (86.17, 84.32, 82.06),
            "eac": (88.02, 86.05, 84.42),
        },
    ),
    "ferplus": Published(
        "FERPlus",
        balanced=False,
        train=None,
        accuracy={
            "baseline": (83.29, 82.34, 79.77),
            "scn": (84.99, 83.35, 82.20),
            "rul": (86.93, 85.05, 83.90),
            "eac": (87.03, 86.07, 85.44),
        },
    ),
    "affectnet": Published(
        "AffectNet",
        balanced=True,
        train=None,
        accuracy={
            "baseline": (57.24, 55.89, 52.16),
            "scn": (58.60, 57.51, 54.60),
            "rul": (60.54, 59.01, 56.93),
            "eac": (61.11, 60.29, 58.91),
        },
    ),
}


def find_published(faces: FaceData) -> Published | None:
    """The paper's data set of these faces, found by their source or their name, or None."""
    for text in (faces.source, faces.name):
        letters = "".join(filter(str.isalpha, text.lower()))
        for key, published in TABLE.items():
            if letters.startswith(key):
                return published
    return None


def published_accuracy(
    published: Published | None, method: str, rate: float | None, kind: str = "symmetric"
) -> float | None:
    """The paper's test accuracy, 0 to 1, or None if the paper does not have it.

    Args:
        published: the data set.
        method: the name in the grid; a method with a changed hyperparameter (``"eac:weight=2"``) is
            not the paper's.
        rate: the share of wrong labels, 0 to 1.
        kind: the kind of noise; the paper's is symmetric.
    """
    if published is None or kind != "symmetric" or rate not in RATES:
        return None
    of_method = published.accuracy.get(method)
    return of_method and of_method[RATES.index(rate)] / 100


def differences(
    published: Published, faces: FaceData, network: str, weights: str | None, recipe: Recipe
) -> list[str]:
    """The differences of our settings to the paper's: ``"network: tiny (paper: resnet18)"``, ..."""
    pairs = {
        "classes": (faces.num_classes, CLASSES),
        "network": (network, NETWORK),
        "first weights": (weights or "random", WEIGHTS),
        "sampler": _sampler(getattr(recipe, "balanced", False), published.balanced),
        "epochs": (recipe.epochs, EPOCHS),
        "pixels": (recipe.size or faces.image_size, SIZE),
        "batch size": (recipe.batch_size, BATCH_SIZE),
    }
    if published.train is not None:
        pairs["training faces"] = (f"{len(faces.train):,}", f"{published.train:,}")
    return [
        f"{what}: {ours} (paper: {theirs})"
        for what, (ours, theirs) in pairs.items()
        if ours != theirs
    ]


def _sampler(ours: bool, theirs: bool) -> tuple[str, str]:
    names = {True: "class-balanced", False: "every face once"}
    return names[ours], names[theirs]

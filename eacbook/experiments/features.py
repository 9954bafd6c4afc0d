"""The features of the watched faces: their neighbours, and their map in two dimensions (UMAP).

Which faces are neighbours is measured in feature space, by the cosine of the angle between features.
The map is only a picture. McInnes, Healy and Melville, "UMAP", arXiv 1802.03426.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from filelock import FileLock
from torch import Tensor
from torch.nn import functional

from eacbook.checks import whole_number
from eacbook.devices import use_threads
from eacbook.errors import InputError
from eacbook.experiments.runs import LOCKS
from eacbook.files import CHECKSUM, read_tensors, write_tensors
from eacbook.training.recording import Recorded

NEIGHBOURS = 10
"""Size of a neighbourhood: a sixth of a class of the book's 400 watched faces."""

MAP_NEIGHBOURS, MIN_DIST = 15, 0.3
"""Settings of UMAP: its own 15 neighbours, and a larger distance than its own 0.1, so that points do not
overlap."""
STEPS, RATE = (300, 100), (1.0, 0.1)
"""UMAP's steps and learning rate: for the map of all epochs, and then for the map of each epoch."""


def neighbourhoods(
    features: Tensor, true: Tensor, neighbours: int = NEIGHBOURS
) -> tuple[Tensor, Tensor]:
    """The class of each face's neighbourhood, and the purity of the neighbourhood.

    The *true* classes of the nearest neighbours are counted, without the face itself. The most frequent
    class is the class of the neighbourhood. In a tie, the class of the nearest neighbour wins.

    Args:
        features: float ``[E,n,C]``, E epochs of n faces.
        true: int64 ``[n]``, the true classes.
        neighbours: the number of nearest neighbours, by cosine.

    Returns:
        The classes, int64 ``[E,n]``, and the purity, float ``[E,n]``: the share of the neighbours that
        have this class. It is 1 inside a cluster, and less at its border.

    Raises:
        InputError: there are not more faces than neighbours.
    """
    neighbours = whole_number("neighbours", neighbours, 1, len(true) - 1)
    similarity = _cosines(features)
    similarity.diagonal(dim1=-2, dim2=-1).fill_(-2)  # less than any cosine: not its own neighbour
    nearest = similarity.topk(neighbours).indices
    votes = functional.one_hot(true[nearest])  # [E,n,neighbours,K], the nearest neighbour first
    counts = votes.sum(-2)
    place_of_nearest = votes.argmax(-2)
    classes = (counts * neighbours - place_of_nearest).argmax(-1)
    purity = counts.gather(-1, classes[..., None]).squeeze(-1) / neighbours
    return classes, purity


def neighbour_shares(recorded: Recorded, neighbours: int = NEIGHBOURS) -> dict[str, Tensor]:
    """The position of faces with wrong labels in feature space, after each of the E epochs.

    Returns:
        Four float tensors ``[E]``. ``among_true``, ``among_given``: the share of the faces with a
        wrong label whose neighbourhood has their true class, or the class of their given label.
        ``purity_wrong``, ``purity_right``: the mean purity of the neighbourhoods of faces with wrong
        and with right labels. If ``purity_wrong`` is lower, wrong labels are at the borders.
    """
    classes, purity = neighbourhoods(recorded.features, recorded.true, neighbours)
    wrong = recorded.wrong
    return {
        "among_true": (classes == recorded.true)[:, wrong].float().mean(1),
        "among_given": (classes == recorded.given)[:, wrong].float().mean(1),
        "purity_wrong": purity[:, wrong].mean(1),
        "purity_right": purity[:, ~wrong].mean(1),
    }


def spread_epochs(epochs: int, count: int = 10) -> list[int]:
    """Rows of ``count`` epochs, at equal distances from the first (0) to the last (``epochs - 1``)."""
    epochs, count = whole_number("epochs", epochs, 1), whole_number("count", count, 1)
    return torch.linspace(0, epochs - 1, min(count, epochs)).round().int().tolist()


def map_epochs(features: Tensor, seed: int = 0) -> Tensor:
    """Maps of the same faces after several epochs. Points move from map to map, but do not jump.

    One UMAP of all epochs together (the mean of their cosines) gives every class its place. The map
    of each epoch starts there. A small learning rate lets a point move only as far as the features of
    this epoch need. ``benchmarks/choose_map.py`` measures this choice.

    Args:
        features: float ``[E,n,C]``.
        seed: the seed of UMAP. With a seed, UMAP uses one thread and gives the same numbers in every
            process.

    Returns:
        float32 ``[E,n,2]``; each epoch's map is centred, and its points are 1 away from the centre
        (root mean square).

    Raises:
        InputError: there are too few faces.
    """
    if features.shape[1] <= MAP_NEIGHBOURS:
        raise InputError(f"a map needs more than {MAP_NEIGHBOURS} faces, got {features.shape[1]}")
    seed = whole_number("seed", seed, 0, 2**32 - 1)  # the seeds of numpy, which UMAP uses
    cosines = _cosines(features)
    # UMAP uses numba, and numba also changes PyTorch's number of threads.
    with use_threads(torch.get_num_threads()):
        common = _umap(cosines.mean(0), "spectral", STEPS[0], RATE[0], seed)
        maps = [_umap(epoch, common.numpy(), STEPS[1], RATE[1], seed) for epoch in cosines]
    return torch.stack([_turned_to(common, own) for own in maps])


def find_or_map(features: Tensor, folder: str | Path) -> Tensor:
    """The stored maps of these features, or new ones, made by :func:`map_epochs` and stored.

    UMAP takes long to import and to start. Stored maps do not need it. If two processes need the same
    new maps at the same time, one of them makes the maps, and the other one waits.

    Args:
        features: float ``[E,n,C]``.
        folder: the folder of the stored runs; the maps are in its subfolder ``maps``.

    Raises:
        InputError: the stored file is broken or cannot be read.
    """
    settings = {
        "umap": version("umap-learn"),
        "shape": list(features.shape),
        "how": [MAP_NEIGHBOURS, MIN_DIST, STEPS, RATE],
        "checksum": CHECKSUM,  # older files have none
    }
    digest = hashlib.sha256(json.dumps(settings).encode())
    digest.update(features.float().contiguous().numpy().tobytes())
    place = Path(folder) / "maps" / f"{digest.hexdigest()[:12]}.safetensors"
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = Path(folder) / LOCKS / f"{place.stem}.lock"
    lock.parent.mkdir(exist_ok=True)
    with FileLock(lock):
        if not place.exists():
            write_tensors(place, {"positions": map_epochs(features)})
    try:
        positions = read_tensors(place)[0]["positions"]
        if positions.shape != (*features.shape[:2], 2):
            raise ValueError(f"positions have the shape {list(positions.shape)}")
    except OSError as error:
        raise InputError(f"the stored map {place} cannot be read ({error.strerror})") from error
    except (KeyError, ValueError) as error:
        raise InputError(f"the stored map {place} is broken ({error}); remove it") from error
    return positions


def _cosines(features: Tensor) -> Tensor:
    """Cosines, float ``[E,n,n]``, of the angles between the features of every two faces."""
    unit = functional.normalize(features.float(), dim=-1)
    return unit @ unit.transpose(-1, -2)


def _umap(cosines: Tensor, start, steps: int, rate: float, seed: int) -> Tensor:
    """UMAP of n faces from the cosines ``[n,n]`` between them, centred and of unit size, ``[n,2]``.

    The neighbours are found here, because UMAP's own search takes longer to compile than all the rest.
    """
    distances = (1 - cosines).clamp(min=0).fill_diagonal_(-1)  # itself first, as UMAP expects
    nearest = distances.topk(MAP_NEIGHBOURS, largest=False)
    neighbours = nearest.indices.int().numpy(), nearest.values.clamp(min=0).numpy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="precomputed_knn")  # no new faces will be mapped
        umap = _import_umap()
        mapper = umap.UMAP(
            n_neighbors=MAP_NEIGHBOURS,
            min_dist=MIN_DIST,
            init=start,
            n_epochs=steps,
            learning_rate=rate,
            random_state=seed,
            n_jobs=1,
            precomputed_knn=neighbours,
        )
        positions = torch.from_numpy(mapper.fit_transform(distances.numpy()))
    positions = positions - positions.mean(0)
    return positions / positions.square().sum(1).mean().sqrt()


def _import_umap():
    """Import UMAP, even if numba, which UMAP uses, finds no folder for its compiled functions.

    numba stores them beside UMAP's own files or in the user's home. If neither can be written (a shared
    installation, a user without a home in a container), they are stored in a folder of this process.
    """
    try:
        import umap
    except RuntimeError as error:
        if "cannot cache function" not in str(error):
            raise
        import numba

        numba.config.CACHE_DIR = tempfile.mkdtemp(prefix="eacbook-numba-")
        atexit.register(shutil.rmtree, numba.config.CACHE_DIR, ignore_errors=True)
        import umap
    return umap


def _turned_to(common: Tensor, own: Tensor) -> Tensor:
    """A map, rotated (and mirrored if needed) to be as near as possible to the common map."""
    left, _, right = torch.linalg.svd(own.T @ common)
    return own @ left @ right

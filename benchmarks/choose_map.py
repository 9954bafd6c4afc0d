"""How the map of the features was chosen: ways to lay out ten epochs so that points travel.

    python benchmarks/choose_map.py [FOLDER]      # of the book's runs; notebooks/runs if not given

Maps the watched faces of the book's baseline and EAC (seeds 0, 1, 2), every way in a fresh process,
and judges the maps, centred and brought to one size:

* trustworthiness: whether neighbours on the map are neighbours in feature space (k = 10, cosine; the
  mean over the epochs, and the epoch that fares worst);
* travel: how far a point goes from one shown epoch to the next, in radii of the map;
* seconds of the processor for both methods of one seed, with UMAP's import and compilation.

Prints a table and writes ``benchmarks/results/choose_map.json``.
"""

from __future__ import annotations

import sys
import time
from multiprocessing import get_context

import numpy as np
import pandas as pd
import torch
from results import keep

from eacbook.book.demo import METHODS
from eacbook.book.runs import book_faces, book_run
from eacbook.experiments.features import MIN_DIST, map_epochs, spread_epochs
from eacbook.training.recording import Recorded

SEEDS = (0, 1, 2)
SHARED = {"metric": "cosine", "min_dist": MIN_DIST, "random_state": 0}


def fitted(features: np.ndarray, **how) -> np.ndarray:
    """One UMAP, ``[n,C]`` to ``[n,2]``."""
    import umap

    return umap.UMAP(**SHARED, n_jobs=1, **how).fit_transform(features)


def alone(features: np.ndarray) -> np.ndarray:
    """Every epoch by itself, turned to the one before: what travel is without any alignment."""
    return np.stack([fitted(epoch) for epoch in features])


def aligned(features: np.ndarray) -> np.ndarray:
    """UMAP's own AlignedUMAP: all epochs at once, each face drawn to itself one epoch on."""
    import umap

    itself = {face: face for face in range(features.shape[1])}
    mapper = umap.AlignedUMAP(**SHARED)
    relations = [itself] * (len(features) - 1)
    return np.stack(mapper.fit(list(features), relations=relations).embeddings_)


def transformed(features: np.ndarray) -> np.ndarray:
    """The last epoch fitted, the others placed into its map."""
    import umap

    mapper = umap.UMAP(**SHARED, n_jobs=1).fit(features[-1])
    return np.stack([mapper.transform(epoch) for epoch in features[:-1]] + [mapper.embedding_])


def joint(features: np.ndarray) -> np.ndarray:
    """All faces of all epochs as different points of one map."""
    return fitted(features.reshape(-1, features.shape[2])).reshape(*features.shape[:2], 2)


def chain(features: np.ndarray, **gently) -> np.ndarray:
    """Every epoch from the map of the one before."""
    maps = [fitted(features[0])]
    for epoch in features[1:]:
        maps.append(fitted(epoch, init=maps[-1], **gently))
    return np.stack(maps)


def gentle_chain(features: np.ndarray) -> np.ndarray:
    """Every epoch from the map of the one before, with a small learning rate."""
    return chain(features, n_epochs=100, learning_rate=0.1)


def common(features: np.ndarray) -> np.ndarray:
    """Every epoch from one map of all, with a small learning rate (``map_epochs``)."""
    return map_epochs(torch.from_numpy(features)).numpy()


WAYS = (alone, joint, transformed, chain, gentle_chain, aligned, common)


def judge(features: np.ndarray, maps: np.ndarray) -> dict:
    """Trustworthiness and travel of ``[E,n,2]``; every map is first turned to the one before."""
    from sklearn.manifold import trustworthiness

    maps = maps - maps.mean(1, keepdims=True)
    maps = maps / np.sqrt((maps**2).sum(2).mean(1))[:, None, None]
    for before, now in zip(maps[:-1], maps[1:], strict=True):
        left, _, right = np.linalg.svd(now.T @ before)
        now[:] = now @ left @ right
    trusts = [
        trustworthiness(epoch, own, n_neighbors=10, metric="cosine")
        for epoch, own in zip(features, maps, strict=True)
    ]
    steps = np.linalg.norm(np.diff(maps, axis=0), axis=2).mean(1)
    return {
        "trustworthiness": float(np.mean(trusts)),
        "trustworthiness_worst": float(min(trusts)),
        "travel": float(steps.mean()),
        "travel_furthest": float(steps.max()),
    }


def try_way(place: int, features: dict) -> list[dict]:
    """In a process of its own: rows of one way to map, a seed and method each."""
    torch.set_num_threads(1)
    rows = []
    for (seed, method), epochs in features.items():
        begin = time.process_time()
        maps = WAYS[place](epochs)
        seconds = time.process_time() - begin
        facts = {"way": WAYS[place].__name__, "seed": seed, "method": method}
        rows.append(facts | judge(epochs, maps) | {"seconds": seconds})
    return rows


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else "notebooks/runs"
    faces = book_faces()
    features = {}
    for seed in SEEDS:
        for method in METHODS:
            recorded = Recorded.of(book_run(method, faces, seed, folder=folder))
            shown = spread_epochs(recorded.epochs)
            features[seed, method.name] = recorded.features[shown].numpy()
    rows = []
    for place, way in enumerate(WAYS):
        print(way.__name__, flush=True)
        with get_context("spawn").Pool(1) as fresh:
            rows += fresh.apply(try_way, (place, features))
    keep("choose_map", rows)
    table = pd.DataFrame(rows)
    figures = table.groupby(["way", "method"], sort=False)[list(rows[0])[3:-1]].mean().round(3)
    first = table[table["seed"] == SEEDS[0]].groupby("way", sort=False)["seconds"].sum()
    print(figures.to_string(), first.round().to_string(), sep="\n\n")


if __name__ == "__main__":
    main()

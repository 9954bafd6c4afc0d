"""Does a network doubt the labels that people dispute? On real faces with the votes of ten annotators.

    python benchmarks/doubt.py data/ferplus [RUNS]      # a folder of runs; runs if not given

Each face gets the answer of one of its annotators, and baseline and EAC are trained on 1,500 of them (or
found: ``eacbook table --data data/ferplus --limit 1500 --noise-kind annotator`` trains the same). Then
the training faces are ranked by their loss in the end, and by how much the maps of a face and of its
mirror image differ, as notebook 8 does. Prints the areas under the ROC curve and writes
``benchmarks/results/doubt.json``.
"""

from __future__ import annotations

import sys

import pandas as pd
from results import keep
from sklearn.metrics import roc_auc_score

from eacbook.book.demo import METHODS
from eacbook.data.faces import load_faces
from eacbook.evaluation.attention import attention_maps, relative_difference
from eacbook.evaluation.evaluate import predict, sample_losses
from eacbook.experiments.runs import find_or_train
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import Progress

SEEDS, LIMIT, DISPUTED, TOP = (0, 1, 2), 1500, 0.7, 12


def main() -> None:
    folder, runs = (sys.argv[1:] + ["runs"])[:2]
    faces = load_faces(folder).limit(LIMIT)
    images, labels, votes = faces.train.images, faces.train.labels, faces.train.votes
    agreement = votes.gather(1, labels[:, None])[:, 0] / votes.sum(1)
    disputed = agreement < DISPUTED
    rows = []
    for seed in SEEDS:
        noisy = inject_noise(labels, None, faces.num_classes, "annotator", seed, votes=votes)
        wrong = noisy.wrong
        for method in METHODS:
            network = build_network("tiny", faces.num_classes, seed=seed)
            run = find_or_train(
                method, network, faces, noisy, folder=runs, hooks=[Progress()], seed=seed
            )
            _, maps, maps_of_mirror = attention_maps(run.network, images)
            scores = {
                "loss in the end": sample_losses(predict(run.network, images), noisy.given),
                "difference of the maps": relative_difference(maps, maps_of_mirror),
            }
            for name, score in scores.items():
                rows.append({
                    "seed": seed, "method": method.name, "score": name,
                    "not the majority's": roc_auc_score(wrong, score),
                    "disputed": roc_auc_score(disputed, score),
                    "disputed, right label": roc_auc_score(disputed[~wrong], score[~wrong]),
                    f"wrong of the first {TOP}": int(wrong[score.argsort(descending=True)[:TOP]].sum()),
                })  # fmt: skip
    keep("doubt", rows)
    print(pd.DataFrame(rows).round(3).to_string(index=False))


if __name__ == "__main__":
    main()

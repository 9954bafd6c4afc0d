"""Which wrong labels are found? One EAC training against cleanlab with five folds of the baseline.

    python benchmarks/audit.py                       # lists the settings, and which ones are measured
    python benchmarks/audit.py drawn-symmetric-30-0  # measures these; a finished one is not repeated
    python benchmarks/audit.py all --ferplus data/ferplus

All scores judge the same labels of the same pictures, with the same network and recipe:

* ours: one EAC training; doubt, mean loss, neighbours, and the mean of their ranks;
* cleanlab: its three scores and ``find_label_issues``, from the held-out predictions of five stratified
  folds of the baseline: of the last epoch (*end*), and of the epoch that was best on the given labels of
  the held-out fold itself (*early*). This choice favours cleanlab.

``small-COUNT-PERCENT-SEED`` compares, for few drawn faces, one training with five out of fold.
``self-test-SEED`` compares the self-test with the truth: the share of wrong labels that the audit finds.
A setting is stored in ``benchmarks/results/audit.json`` when it is finished; its trainings are in RUNS.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from results import keep, stored
from scipy.stats import rankdata
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from torch.nn import functional

from eacbook.audit.plan import Plan, make_plan
from eacbook.audit.report import LOOKED_AT
from eacbook.audit.scores import score_labels, split_folds
from eacbook.audit.self_test import run_self_test
from eacbook.audit.source import AuditSet
from eacbook.data.faces import FaceData, FaceSet, load_faces, synthetic_faces, take
from eacbook.evaluation.evaluate import precision_and_recall, predict
from eacbook.experiments.runs import find_or_train
from eacbook.extras import load
from eacbook.methods.baseline import Baseline
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.noise.labels import NoisyLabels
from eacbook.training.hooks import Hook, Progress, record

DRAWN, FERPLUS, FOLDS, SEEDS = 1500, 1200, 5, (0, 1, 2)
NOISE = {"symmetric": (10, 20, 30), "pair": (20, 40)}
SCORES = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")
SELF_TESTS, SELF_TEST_RATE = 20, 0.1
SMALL, SMALL_PERCENTS = (240, 300, 500, 1000), (10, 30)


def settings() -> list[str]:
    """The names of all settings."""
    kinds = [f"{kind}-{percent}" for kind, percents in NOISE.items() for percent in percents]
    sets = [f"drawn-{kind}" for kind in kinds]
    sets += [f"digits-symmetric-{percent}" for percent in NOISE["symmetric"]]
    sets += ["ferplus-symmetric-30", "ferplus-annotator"]
    names = [f"{name}-{seed}" for name in sets for seed in SEEDS]
    names += [
        f"small-{count}-{percent}-{seed}"
        for count in SMALL
        for percent in SMALL_PERCENTS
        for seed in SEEDS
    ]
    return names + [f"self-test-{seed}" for seed in range(SELF_TESTS)]


def digits() -> FaceData:
    """scikit-learn's 1,797 written digits as pictures of 24 pixels."""
    found = load_digits()
    small = torch.from_numpy(found.images)[:, None].float() * (255 / 16)
    images = functional.interpolate(small, (24, 24), mode="bilinear").round().to(torch.uint8)
    labels = torch.from_numpy(found.target).long()
    files = tuple(f"{row}.png" for row in range(len(labels)))
    whole = FaceSet(images, labels, files)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return FaceData(
        "digits", take(whole, order[:DRAWN]), take(whole, order[DRAWN:]), None,
        tuple(map(str, range(10))), "scikit-learn's digits, 24 pixels", "scikit-learn", "CC BY 4.0",
    )  # fmt: skip


def pictures(name: str, ferplus: str) -> FaceData:
    if name == "digits":
        return digits()
    if name == "drawn":
        return synthetic_faces(train=DRAWN, test=700, validation=350)
    return load_faces(ferplus).limit(FERPLUS)


def wrong_labels(faces: FaceData, kind: str, percent: int | None, seed: int) -> NoisyLabels:
    rate = None if percent is None else percent / 100
    train = faces.train
    return inject_noise(
        train.labels, rate, faces.num_classes, kind, seed, classes=faces.classes, votes=train.votes
    )


class HeldOut(Hook):
    """Records the probabilities of the held-out fold after every epoch, float32 ``[epochs,n,K]``."""

    def describe(self) -> dict:
        return {"records": "held_out"}

    def on_epoch_end(self, training) -> None:
        logits = predict(training.network, training.faces.test.images, training.recipe.size)
        record(training, "held_out", logits.softmax(1))


def out_of_fold(
    found: AuditSet, plan: Plan, folder: str
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Held-out probabilities ``[n,K]`` of the baseline, and seconds of training: end, and early."""
    rows, count = found.trained, len(found.trained)
    probabilities = {name: np.zeros((count, found.num_classes)) for name in ("end", "early")}
    seconds = dict.fromkeys(probabilities, 0.0)
    for number, held_out in enumerate(split_folds(found, replace(plan, folds=FOLDS))):
        others = rows[~torch.isin(rows, held_out)]
        faces, noisy = found.training(others, "folds")
        part = take(found.pictures, held_out)
        faces = replace(faces, test=replace(part, labels=found.given[held_out]))
        network = build_network(
            plan.network, found.num_classes, weights=plan.weights, seed=plan.seed, faces=faces
        )
        run = find_or_train(
            Baseline(), network, faces, noisy, folder=folder, device=plan.device,
            hooks=[HeldOut(), Progress(f"baseline, fold {number + 1} of {FOLDS}")], **plan.recipe,
        )  # fmt: skip
        best = int(np.argmax([row["test_accuracy"] for row in run.rows]))
        for name, epoch in (("end", len(run.rows) - 1), ("early", best)):
            probabilities[name][held_out.numpy()] = run.records["held_out"][epoch]
            seconds[name] += sum(row["seconds"] for row in run.rows[: epoch + 1])
    return probabilities, seconds


def measured(name: str, score: np.ndarray, wrong: torch.Tensor, seconds: float) -> dict:
    """Average precision, and precision (which is also recall) at the true number."""
    first = np.argsort(-score, kind="stable")[: int(wrong.sum())]
    return {
        "score": name,
        "average precision": round(float(average_precision_score(wrong, score)), 4),
        "precision at the true number": round(float(wrong[first].double().mean()), 4),
        "seconds": round(seconds, 1),
    }


def compare(name: str, ferplus: str, folder: str) -> dict:
    """One setting: all scores on the same labels."""
    cleanlab_rank, cleanlab_filter = load("cleanlab.rank"), load("cleanlab.filter")
    where, kind, *percent, seed_text = name.split("-")
    seed = int(seed_text)
    faces = pictures(where, ferplus)
    noisy = wrong_labels(faces, kind, int(percent[0]) if percent else None, seed)
    # Only the training rows are compared, as cleanlab's folds have no other.
    found = AuditSet.of(replace(faces, validation=None), noisy)
    epochs = 12 if where == "ferplus" else None
    plan = make_plan(found, quick=where != "ferplus", epochs=epochs, seed=seed, device="cpu")
    wrong, given = noisy.wrong, noisy.given.numpy()
    rows = []
    ours = score_labels(found, plan, folder)
    of_training = {
        "doubt": ours.doubt[found.trained].numpy(),
        "mean loss": ours.mean_loss[found.trained].numpy(),
        "neighbours": ours.neighbours_other[found.trained].numpy(),
    }
    ranks = {name: rankdata(score) for name, score in of_training.items()}
    of_training["mean rank of doubt and mean loss"] = ranks["doubt"] + ranks["mean loss"]
    of_training["mean rank of all three"] = sum(ranks.values())
    seconds = ours.runs[0].summary["seconds"]
    for score, values in of_training.items():
        rows.append(measured(f"EAC: {score}", values, wrong, seconds))
    suspected = ours.probabilities[found.trained].argmax(1) != noisy.given
    rows.append(issues("EAC: predicted is not given", suspected, wrong, seconds))
    probabilities, of_folds = out_of_fold(found, plan, folder)
    for when, held_out in probabilities.items():
        for method in SCORES:
            quality = cleanlab_rank.get_label_quality_scores(given, held_out, method=method)
            rows.append(measured(f"cleanlab {when}: {method}", -quality, wrong, of_folds[when]))
        found_issues = torch.from_numpy(cleanlab_filter.find_label_issues(given, held_out))
        label = f"cleanlab {when}: find_label_issues"
        rows.append(issues(label, found_issues, wrong, of_folds[when]))
    return {"setting": name, "pictures": len(given), "wrong": int(wrong.sum()), "rows": rows}


def issues(name: str, suspected: torch.Tensor, wrong: torch.Tensor, seconds: float) -> dict:
    precision, recall = precision_and_recall(suspected, wrong)
    return {
        "score": name, "precision": round(precision, 4), "recall": round(recall, 4),
        "seconds": round(seconds, 1),
    }  # fmt: skip


def compare_self_test(name: str, ferplus: str, folder: str) -> dict:
    """The share of wrong labels found by the audit, and the interval that the self-test gave."""
    seed = int(name.rpartition("-")[2])
    faces = pictures("drawn", ferplus)
    noisy = wrong_labels(faces, "symmetric", round(100 * SELF_TEST_RATE), seed)
    found = AuditSet.of(replace(faces, validation=None), noisy)
    plan = make_plan(found, quick=True, seed=seed, device="cpu")
    tested = run_self_test(found, plan, folder)
    score = score_labels(found, plan, folder).score[found.trained]
    in_order = noisy.wrong[score.argsort(descending=True, stable=True)].double()
    rows = []
    for share in LOOKED_AT:
        truth = float(in_order[: round(share * len(in_order))].sum() / in_order.sum())
        said = tested.found[share]
        rows.append({
            "first": share, "found": said.count, "planted": tested.planted,
            "low": round(said.low, 4), "high": round(said.high, 4), "truth": round(truth, 4),
            "within": said.low <= truth <= said.high,
        })  # fmt: skip
    return {"setting": name, "rows": rows}


def compare_small(name: str, ferplus: str, folder: str) -> dict:
    """A few drawn faces: what each score of one training finds, and of five out of fold."""
    count, percent, seed = map(int, name.split("-")[1:])
    faces = synthetic_faces(count, 7, 7)
    noisy = wrong_labels(faces, "symmetric", percent, seed)
    found = AuditSet.of(replace(faces, validation=None), noisy)
    rows = []
    for folds in (0, FOLDS):
        plan = make_plan(found, quick=True, folds=folds, seed=seed, device="cpu")
        scores = score_labels(found, plan, folder)
        seconds = sum(run.summary["seconds"] for run in scores.runs)
        of_rows = {
            "doubt": scores.doubt,
            "mean loss": scores.mean_loss,
            "neighbours": scores.neighbours_other,
        }
        for score, values in of_rows.items():
            label = f"{'out of fold' if folds else 'one training'}: {score}"
            rows.append(measured(label, values[found.trained].numpy(), noisy.wrong, seconds))
    return {"setting": name, "pictures": count, "wrong": int(noisy.wrong.sum()), "rows": rows}


KINDS: dict[str, Callable[[str, str, str], dict]] = {
    "self-test": compare_self_test,
    "small": compare_small,
}
"""What measures a setting, by the beginning of its name; :func:`compare` measures the others."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("settings", nargs="*", help="names of settings, or all")
    parser.add_argument("--ferplus", default="data/ferplus", help="prepared FERPlus (data/ferplus)")
    parser.add_argument("--folder", default="runs", help="folder of the runs (runs)")
    options = parser.parse_args()
    done = {row["setting"]: row for row in stored("audit")}
    known = settings()
    for name in known if options.settings == ["all"] else options.settings:
        if name not in known:
            parser.error(f"unknown setting {name}; without arguments all are listed")
        if name not in done:
            kind = next((kind for kind in KINDS if name.startswith(kind)), None)
            measure = KINDS[kind] if kind else compare
            done[name] = measure(name, options.ferplus, options.folder)
            keep("audit", [done[name] for name in known if name in done], "cpu")
        print(json.dumps(done[name], indent=1))
    if not options.settings:
        print("\n".join(f"{'measured' if name in done else '-':<10}{name}" for name in known))


if __name__ == "__main__":
    main()

"""Scores, folds, self-test, matrix and copies, on striped pictures and on exact small cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import striped_faces
from hypothesis import given as sampled
from hypothesis import settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from eacbook.audit.cost import estimate
from eacbook.audit.duplicates import NEAR, find_duplicates
from eacbook.audit.matrix import confident_counts, estimate_matrix
from eacbook.audit.plan import LEAST_STEPS, Plan, make_plan
from eacbook.audit.scores import nearest, score_labels, split_folds
from eacbook.audit.self_test import count_found, plant, run_self_test, wilson
from eacbook.audit.source import AuditSet
from eacbook.data.faces import synthetic_faces
from eacbook.errors import InputError
from eacbook.experiments.runs import list_runs
from eacbook.noise.inject import inject_noise

QUICK = {"epochs": 6, "batch_size": 32, "learning_rate": 3e-3, "seed": 0}


def audited(rate=0.15, seed=0):
    faces = striped_faces(train=120, test=30, validation=30)
    noisy = inject_noise(faces.train.labels, rate, 3, seed=seed)
    return AuditSet.of(faces, noisy), noisy


def quick_plan(folds=0, **changes):
    return Plan("tiny", None, {**QUICK, **changes}, folds, "cpu")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    found, noisy = audited()
    folder = tmp_path_factory.mktemp("runs")
    return found, noisy, score_labels(found, quick_plan(), folder), folder


@pytest.mark.slow
def test_wrong_labels_are_first_and_every_split_is_judged(scored):
    found, noisy, scores, _ = scored
    assert average_precision_score(noisy.wrong, scores.score[:120]) > 0.9
    assert scores.score.min() >= 0 and scores.score.max() <= 1
    assert torch.equal(scores.doubt, 1 - scores.probabilities[range(180), found.given])
    assert not scores.mean_loss[:120].isnan().any() and scores.mean_loss[120:].isnan().all()
    assert scores.neighbours.shape == (180, 10)
    assert not (scores.neighbours == torch.arange(180)[:, None]).any()
    wrong = torch.cat([noisy.wrong, torch.zeros(60, dtype=torch.bool)])
    assert (
        scores.neighbours_other[wrong].mean() > 0.6 > 0.4 > scores.neighbours_other[~wrong].mean()
    )
    expected = scores.runs[0].records["sample_losses"].mean(0)
    torch.testing.assert_close(scores.mean_loss[:120], expected.double())


@pytest.mark.slow
def test_a_second_audit_finds_the_run_and_gives_the_same_numbers(scored):
    found, _, scores, folder = scored
    again = score_labels(found, quick_plan(), folder)
    assert again.runs[0].stored and len(list_runs(folder)) == 1
    assert torch.equal(again.probabilities, scores.probabilities)
    assert torch.equal(again.neighbours, scores.neighbours)
    assert torch.equal(again.order, scores.order)


@pytest.mark.slow
def test_folds_judge_a_row_by_the_network_that_did_not_see_it(tmp_path):
    found, noisy = audited()
    scores = score_labels(found, quick_plan(folds=3), tmp_path)
    assert len(scores.runs) == 3
    for number, (run, held_out) in enumerate(
        zip(scores.runs, split_folds(found, quick_plan(folds=3)), strict=True)
    ):
        assert len(run.noisy.given) == 80 and len(held_out) == 40
        assert (scores.judge[held_out] == number).all()
    assert average_precision_score(noisy.wrong, scores.score[:120]) > 0.9
    assert not scores.mean_loss[:120].isnan().any()
    torch.testing.assert_close(scores.probabilities.sum(1), torch.ones(180, dtype=torch.float64))


def test_no_person_is_in_two_folds_and_the_classes_are_balanced():
    found = AuditSet.of(synthetic_faces(210, 14, 14))
    assert found.persons and len(set(found.persons[:210])) < 210
    folds = split_folds(found, quick_plan(folds=5))
    assert torch.equal(torch.cat(folds).sort().values, found.trained)
    people = [{found.persons[row] for row in fold.tolist()} for fold in folds]
    assert sum(map(len, people)) == len(set.union(*people))
    strangers = replace(found, persons=None)
    for fold in split_folds(strangers, quick_plan(folds=5)):
        assert found.given[fold].bincount(minlength=7).tolist() == [6] * 7


def test_neighbours_are_the_nearest_by_cosine_even_among_equal_features():
    features = torch.tensor([[1.0, 0], [10, 1], [0, 1], [0.1, 5], [1, 1]])
    assert nearest(features, torch.arange(5), 1).squeeze(1).tolist()[:4] == [1, 0, 3, 2]
    equal = torch.ones(30, 4)
    found = nearest(equal, torch.arange(30), 5)
    assert found.shape == (30, 5) and not (found == torch.arange(30)[:, None]).any()


@settings(max_examples=20, deadline=None)
@sampled(st.integers(0, 1000), st.integers(2, 6), st.integers(40, 300))
def test_planting_changes_one_label_in_twenty(seed, classes, count):
    labels = torch.arange(count) % classes
    given = plant(labels, classes, torch.Generator().manual_seed(seed))
    assert (given != labels).sum() == max(1, round(0.05 * count))
    assert set(given.tolist()) <= set(range(classes))


def test_a_part_of_a_set_has_these_rows_alone():
    found = AuditSet.of(synthetic_faces(70, 14, 14))
    rows = torch.tensor([3, 5, 60])
    part = found.part(rows, torch.tensor([1, 2, 0]))
    assert (
        len(part) == 3 and part.trained.tolist() == [0, 1, 2] and part.given.tolist() == [1, 2, 0]
    )
    assert torch.equal(part.pictures.images, found.pictures.images[rows])
    assert part.pictures.files == tuple(found.pictures.files[row] for row in rows)
    assert found.persons and part.persons == tuple(found.persons[row] for row in rows)
    assert (
        len({part.fingerprint, found.fingerprint, found.part(rows + 1, rows % 3).fingerprint}) == 3
    )


def test_planted_labels_rarely_fall_on_a_rare_class():
    labels = torch.tensor([0] * 900 + [1] * 900 + [2] * 20)
    given = plant(labels, 3, torch.Generator().manual_seed(0))
    assert ((given == 2) & (labels != 2)).sum() <= 6


def test_found_counts_only_the_untouched_pictures_ahead():
    score = torch.tensor([0.9, 0.8, 0.7, 0.95] + [0.5] * 26 + [0.85] * 1)
    planted = torch.zeros(31, dtype=torch.bool)
    planted[:3] = True
    hidden = torch.tensor([0, 0, 1] + [0] * 28)
    tested = count_found(score, planted, hidden)
    # Of 28 untouched pictures, 1, 2 and 2 are ahead: 3.6, 7.1 and 7.1 %.
    assert {share: found.count for share, found in tested.found.items()} == {
        0.05: 1, 0.10: 3, 0.20: 3,
    }  # fmt: skip
    assert tested.planted == 3 and tested.planted_by_class == {0: 2, 1: 1}
    assert tested.found_by_class[1][0.05].count == 0


def test_wilsons_interval_is_the_published_one():
    low, high = wilson(8, 10)  # Newcombe (1998) has 81/263: 0.2553 to 0.3662
    assert (round(low, 4), round(high, 4)) == (0.4902, 0.9433)
    low, high = wilson(81, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    assert wilson(0, 20)[0] == 0 and wilson(20, 20)[1] == 1 and wilson(0, 0) == (0, 1)


def test_the_interval_holds_for_other_wrong_labels_of_the_same_kind():
    """95 % of 500 draws of 75 planted and 75 other labels, of which 85 % are easy; 3.6 errors wide."""
    generator = torch.Generator().manual_seed(0)
    untouched, planted = torch.linspace(0, 1, 400).double(), torch.arange(475) >= 400
    hidden, held = torch.zeros(475, dtype=torch.int64), 0
    for easy in torch.rand(500, 2, 75, generator=generator) < 0.85:
        score = torch.cat([untouched, torch.where(easy[0], 0.99, 0.5).double()])
        found = count_found(score, planted, hidden).found[0.10]
        assert found.count == easy[0].sum()
        held += found.low <= easy[1].double().mean() <= found.high
    assert 0.915 <= held / 500 <= 0.985


def test_folds_that_leave_a_class_out_of_a_training_are_refused():
    found, _ = audited()
    persons = tuple(
        "one" if label == 0 else f"p{row}" for row, label in enumerate(found.given.tolist())
    )
    with pytest.raises(InputError, match="3 folds leave class .* too few persons have it"):
        split_folds(replace(found, persons=persons), quick_plan(folds=3))


@pytest.mark.slow
def test_the_self_test_trains_as_the_audit_does_and_the_same_for_the_same_seed(tmp_path):
    found, _ = audited(rate=0)
    tested = run_self_test(found, quick_plan(), tmp_path)
    assert tested.planted == 6 and tested.found[0.20].count >= 5
    (place,) = list_runs(tmp_path)
    again = run_self_test(found, quick_plan(), tmp_path)
    assert again == tested and list_runs(tmp_path) == [place]
    from eacbook.experiments.runs import read_facts

    assert read_facts(place)["settings"]["recipe"]["epochs"] == 6


def test_confident_counts_are_those_of_the_definition():
    probabilities = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8], [0.55, 0.45]])
    given = torch.tensor([0, 0, 1, 1, 1])
    # The means of the given label: class 0 0.85; class 1 0.65. The last picture reaches none.
    assert confident_counts(probabilities.double(), given).tolist() == [[1, 0], [0, 2]]
    matrix = estimate_matrix(probabilities.double(), given)
    assert matrix.counts == ((1, 0), (0, 2)) and matrix.high[1][1] == 1.0


def test_the_matrix_counts_planted_noise_in_the_right_place(scored):
    found, noisy, scores, _ = scored
    counts = np.array(
        estimate_matrix(scores.probabilities[:120], found.given[:120]).counts, dtype=float
    )
    true = noisy.counts.numpy()
    assert abs(counts - true).sum() <= 0.35 * true.sum()


NOBODY = torch.arange(180)
"""The nearest of each row is the row itself: no pair by features."""


def copies(changes):
    """The striped set with some pictures replaced: ``row: (of row, function)``."""
    found, _ = audited(rate=0)
    images = found.pictures.images.clone()
    for row, (of, change) in changes.items():
        images[row] = change(images[of].float()).round().clamp(0, 255).to(torch.uint8)
    return replace(found, pictures=replace(found.pictures, images=images))


def test_copies_with_other_labels_or_across_splits_are_found():
    generator = torch.Generator().manual_seed(0)

    def noise(image):
        return image + torch.randn(image.shape, generator=generator)

    found = copies({
        7: (0, lambda image: image),  # labels 1 and 0
        3: (0, lambda image: image),  # the same label in the same split: nothing is wrong
        150: (10, noise),  # validation; labels 0 and 1
        123: (30, lambda image: 0.8 * image + 20),  # labels 0 and 0, darker
    })  # fmt: skip
    pairs = {(pair.one, pair.other): pair for pair in find_duplicates(found, NOBODY)}
    assert set(pairs) == {(0, 7), (10, 150), (30, 123)}
    assert pairs[0, 7].how == "equal pixels" and pairs[0, 7].distance == 0
    assert pairs[0, 7].kind == "labels differ"
    assert pairs[10, 150].how == "thumbnails" and 0 < pairs[10, 150].distance < NEAR
    assert pairs[10, 150].kind == "labels differ, across splits"
    assert pairs[30, 123].kind == "across splits"


def test_pictures_of_one_colour_are_copies_only_if_they_are_equal():
    found = copies({7: (0, lambda image: image * 0 + 9), 9: (0, lambda image: image * 0 + 10)})
    closest = NOBODY.clone()
    closest[[7, 9]] = torch.tensor([9, 7])
    assert find_duplicates(found, closest) == ()


def test_mirrored_copies_are_found_if_they_are_each_others_nearest_by_features():
    faces = synthetic_faces(60, 7, 7)
    found = AuditSet.of(faces)
    images = found.pictures.images.clone()
    images[8], images[9] = images[0].flip(-1), images[1].flip(-1)
    pictures = replace(found.pictures, images=images)
    found = replace(found, pictures=pictures, given=torch.arange(74) % 7)
    assert find_duplicates(found, torch.arange(1, 75).remainder(74)) == ()
    closest = torch.arange(1, 75).remainder(74)
    closest[[0, 8]] = torch.tensor([8, 0])  # a mirrored copy
    closest[[2, 10]] = torch.tensor([10, 2])  # two different faces
    closest[1] = 9  # the nearest of 9 is another one
    (pair,) = find_duplicates(found, closest)
    assert (pair.one, pair.other, pair.how, pair.kind) == (0, 8, "features", "labels differ")
    assert pair.distance < 1e-6


def test_a_plan_takes_the_recipe_of_the_network_and_enough_steps(monkeypatch):
    found, _ = audited()
    monkeypatch.setattr("eacbook.audit.plan.find_spec", lambda name: True)
    plan = make_plan(found, device="cpu")
    assert (plan.network, plan.weights, plan.size) == ("dlib-face", "dlib", 96)
    assert plan.epochs == LEAST_STEPS // 4
    assert make_plan(found, quick=True, device="cpu").network == "tiny"
    monkeypatch.setattr("eacbook.audit.plan.find_spec", lambda name: None)
    assert make_plan(found, device="cpu").network == "tiny"
    assert make_plan(found, device="cpu", epochs=3).epochs == 3
    cost = estimate(found, quick_plan())
    assert 0 < cost.seconds < 600 and 0.1 < cost.gigabytes < 50


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"network": "magic"}, "unknown network 'magic'"),
        ({"network": "resnet18", "quick": True}, "--quick means --network tiny"),
        ({"folds": 1}, "folds must be 0 (one training) or at least 2"),
        ({"folds": 99}, "99 folds need 99 pictures of every class, and class 0 has 40"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1"),
        ({"seed": -1}, "seed must be"),
    ],
)
def test_a_bad_plan_gets_one_sentence(arguments, expected):
    found, _ = audited(rate=0)
    with pytest.raises(InputError) as error:
        make_plan(found, device="cpu", **arguments)
    assert expected in str(error.value)

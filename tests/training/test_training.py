"""The loop: the same stream for every method, the same end for the same seed."""

from __future__ import annotations

import copy
import importlib
import math
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from conftest import CountingSteps, same_weights, small_network, striped_faces
from torch import Tensor, nn
from torch.nn import functional

from eacbook.augment.batch import last_places
from eacbook.augment.erasing import RandomErasing
from eacbook.augment.normalise import mirror
from eacbook.errors import InputError, NonFiniteLossError
from eacbook.evaluation.evaluate import accuracy, memorised_and_recovered, predict, sample_losses
from eacbook.methods import EAC, ELR, RUL, SCN, Baseline, CoTeaching, Method, ReSup
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.noise.labels import NoisyLabels
from eacbook.training.batches import AHEAD, batches, split_batches
from eacbook.training.checkpoint import Checkpoint
from eacbook.training.hooks import EarlyStopping, Hook, Progress, SampleLosses
from eacbook.training.identity import describe_training, fill_defaults
from eacbook.training.loop import train
from eacbook.training.recipe import Recipe, recipe_of
from eacbook.training.state import Run

QUICK = {"epochs": 3, "batch_size": 32, "learning_rate": 3e-3, "device": "cpu"}
ALL_METHODS = [
    Baseline(), EAC(), SCN(relabel_epoch=1), RUL(relabel_epoch=2), CoTeaching(noise_rate=0.3), ELR(),
    ReSup(),
]  # fmt: skip


@pytest.fixture(scope="module")
def noisy(faces):
    return inject_noise(faces.train.labels, 0.25, 3)


def facts(run):
    """The rows without what a clock says."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.rows]


@dataclass(frozen=True)
class Spying(Method):
    """Another method, and all that it is shown."""

    name = "spying"
    method: object
    batches: list = field(default_factory=list)
    views: list = field(default_factory=list)

    def loss(self, network, batch):
        shown = []

        def spy(view):
            shown.append(view.detach().clone())
            return network(view)

        losses = self.method.loss(spy, batch)
        self.batches.append(batch)
        self.views.append(shown)
        return losses


# ---------------------------------------------------------------------------- the same stream


@pytest.mark.slow
def test_two_methods_see_the_same_faces_in_the_same_order_and_the_same_first_view(faces, noisy):
    spies = [Spying(Baseline()), Spying(EAC(weight=1.0))]
    for spy in spies:
        train(spy, small_network(), faces, noisy, seed=7, **QUICK)
    one, other = spies
    assert len(one.batches) == len(other.batches) == 9
    for b, c, (plain,), (original, _) in zip(
        one.batches, other.batches, one.views, other.views, strict=True
    ):
        assert torch.equal(b.index, c.index)
        assert torch.equal(b.labels, noisy.given[b.index])
        assert torch.equal(b.images, faces.train.images[b.index])
        # Baseline flips half of the first view, EAC shows its mirror image separately.
        flipped = (plain != original).flatten(1).any(1)
        assert torch.equal(plain[flipped], mirror(original[flipped]))


def test_every_epoch_shows_every_face_once_in_an_order_of_its_own(faces, noisy):
    spy = Spying(Baseline())
    train(spy, small_network(), faces, noisy, **QUICK)
    orders = torch.cat([batch.index for batch in spy.batches]).view(3, 96)
    assert torch.equal(orders.sort(1).values, torch.arange(96).expand(3, 96))
    assert len({tuple(order) for order in orders.tolist()}) == 3


@pytest.mark.slow
def test_the_batches_of_an_epoch_can_be_looked_at_outside_the_training(faces, noisy):
    spy = Spying(EAC())
    train(spy, small_network(), faces, noisy, seed=5, **QUICK)
    recipe = Recipe(batch_size=32, seed=5)
    looked_at = [batch for epoch in range(3) for batch in batches(faces, noisy, recipe, epoch)]
    for batch, trained, views in zip(looked_at, spy.batches, spy.views, strict=True):
        assert torch.equal(batch.index, trained.index)
        assert torch.equal(batch.original(RandomErasing()), views[0])
        assert torch.equal(batch.mirrored(RandomErasing()), views[1])


@pytest.mark.slow
def test_another_seed_draws_another_order(faces, noisy):
    spies = [Spying(Baseline()), Spying(Baseline())]
    for seed, spy in enumerate(spies):
        train(spy, small_network(), faces, noisy, seed=seed, **(QUICK | {"epochs": 1}))
    assert not torch.equal(spies[0].batches[0].index, spies[1].batches[0].index)


def test_the_network_works_at_the_size_of_the_recipe(faces, noisy):
    spy = Spying(EAC())
    train(spy, small_network(), faces, noisy, size=24, **(QUICK | {"epochs": 1}))
    assert all(view.shape[1:] == (3, 24, 24) for views in spy.views for view in views)


def test_a_balanced_epoch_draws_every_class_alike_and_the_same_way_again(faces):
    given = torch.tensor([0] * 80 + [1] * 12 + [2] * 4)
    few = NoisyLabels(given, faces.train.labels, torch.zeros(96, dtype=torch.bool), {})
    recipe = Recipe(balanced=True, batch_size=32)

    def drawn(epoch):
        return torch.cat([batch.index for batch in batches(faces, few, recipe, epoch)])

    counts = torch.stack([given[drawn(epoch)].bincount(minlength=3) for epoch in range(100)])
    assert (counts.sum(1) == 96).all(), "an epoch is as long as ever"
    assert torch.allclose(counts.double().mean(0), torch.full((3,), 32.0).double(), atol=2)
    assert torch.equal(drawn(5), drawn(5)) and not torch.equal(drawn(5), drawn(6))


def test_a_balanced_training_says_nothing_of_faces_that_did_not_come(faces, noisy):
    run = train(
        Baseline(), small_network(), faces, noisy, balanced=True, hooks=[SampleLosses()],
        **(QUICK | {"epochs": 1}),
    )  # fmt: skip
    index = torch.cat([b.index for b in batches(faces, noisy, Recipe(balanced=True), 0)])
    came = torch.zeros(96, dtype=torch.bool)
    came[index] = True
    assert 0 < came.sum() < 96
    assert torch.equal(~run.records["sample_losses"][0].isnan(), came)


@dataclass(frozen=True)
class Opinions(Method):
    """Says another label and another loss at every place of a batch."""

    name: ClassVar[str] = "opinions"
    said: ClassVar[dict[int, int]] = {}

    def loss(self, network, batch):
        labels = torch.arange(len(batch.index)) % 3
        self.said.update(zip(batch.index.tolist(), labels.tolist(), strict=True))
        loss = network(batch.original(None))[0].mean()
        return {"loss": loss, "sample_losses": labels.float(), "sample_labels": labels}


def test_of_a_face_that_comes_several_times_the_last_word_counts(faces, noisy):
    assert last_places(torch.tensor([4, 7, 4, 4, 9, 7])).tolist() == [3, 5, 3, 3, 4, 5]
    method = Opinions()
    recipe = QUICK | {"epochs": 1, "batch_size": 48}
    run = train(
        method, small_network(), faces, noisy, balanced=True, hooks=[SampleLosses()], **recipe
    )
    expected = noisy.given.clone()
    expected[list(method.said)] = torch.tensor(list(method.said.values()))
    assert len(method.said) < 90, "faces came several times"
    assert torch.equal(run.records["labels"][0].long(), expected)
    assert torch.equal(
        run.records["sample_losses"][0][list(method.said)], expected[list(method.said)].float()
    )


class Reading:
    """Images that remember by which thread and in which order they were read."""

    def __init__(self, images, broken=None):
        self.images, self.broken, self.read = images, broken, []

    def __getitem__(self, index):
        self.read.append((threading.current_thread(), index))
        if len(self.read) == self.broken:
            raise OSError("the disk is gone")
        return self.images[index]


def with_images(faces, images):
    return replace(faces, train=replace(faces.train, images=images))


def test_batches_are_read_ahead_by_another_thread_and_never_all_at_once(faces, noisy):
    images = Reading(faces.train.images)
    stream = batches(with_images(faces, images), noisy, Recipe(batch_size=8), epoch=0)
    first = next(stream)
    stream.close()
    assert 1 < len(images.read) <= AHEAD + 1 < 12, "12 batches in all"
    (thread, index), *_ = images.read
    assert thread is not threading.current_thread() and not thread.is_alive()
    assert torch.equal(first.index, index)


def test_what_goes_wrong_while_reading_ends_the_training(faces, noisy):
    images = Reading(faces.train.images, broken=2)
    with pytest.raises(OSError, match="the disk is gone"):
        list(batches(with_images(faces, images), noisy, Recipe(batch_size=8), epoch=0))


def test_labels_that_a_method_changes_are_not_the_callers(faces, noisy):
    class Relabelling(Baseline):
        def loss(self, network, batch):
            return super().loss(network, batch) | {"sample_labels": 0 * batch.labels}

    given = noisy.given.clone()
    run = train(Relabelling(), small_network(), faces, noisy, **(QUICK | {"epochs": 1}))
    assert torch.equal(noisy.given, given) and given.any()
    assert run.rows[0]["relabelled"] == (given != 0).sum()
    assert not run.records["labels"].any()


class Watching(nn.Module):
    """A network that notes in which precision its features come."""

    def __init__(self, network):
        super().__init__()
        self.network, self.seen = network, set()

    def forward(self, images):
        features = self.network.backbone(images)
        self.seen.add((self.training, features.dtype))
        return self.network.classify(features)


@pytest.mark.slow
def test_bfloat16_is_for_training_alone_and_ends_near_float32(faces, noisy):
    runs = {
        precision: train(
            EAC(weight=0.5), Watching(small_network()), faces, noisy, precision=precision, **QUICK
        )
        for precision in ("float32", "bfloat16")
    }
    assert runs["float32"].network.seen == {(True, torch.float32), (False, torch.float32)}
    assert runs["bfloat16"].network.seen == {(True, torch.bfloat16), (False, torch.float32)}
    assert all(
        tensor.dtype != torch.bfloat16 for tensor in runs["bfloat16"].network.state_dict().values()
    )
    one, other = (run.rows[0]["loss"] for run in runs.values())
    assert one != other and one == pytest.approx(other, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("method", ALL_METHODS)
def test_losses_are_of_float32_under_bfloat16(faces, noisy, method, monkeypatch):
    seen, real = set(), functional.cross_entropy

    def cross_entropy(logits, *args, **kwargs):
        seen.add(logits.dtype)
        return real(logits, *args, **kwargs)

    monkeypatch.setattr(functional, "cross_entropy", cross_entropy)
    train(method, build_network("tiny", 3), faces, noisy, precision="bfloat16", **QUICK)
    assert seen == {torch.float32}


# ---------------------------------------------------------------------------- a step waits for nothing


@dataclass(frozen=True)
class Waiting(Method):
    """A method that asks for what only a finished computation can tell."""

    name = "waiting"
    question: Callable[[Tensor], object]

    def loss(self, network, batch):
        logits, _ = network(batch.original(None))
        self.question(logits)
        return {"loss": logits.mean()}


def train_without_values(monkeypatch, method, faces, noisy, **recipe):
    """Three steps of the real loop on torch's device for tensors without values.

    A step that needs a value there (``item()``, ``if``, a boolean index, a copy to the CPU) fails; on a
    GPU it would wait until all work before it is done.
    """
    module = importlib.import_module("eacbook.training.setup")
    monkeypatch.setattr(module, "choose_device", torch.device)
    # torch's fused Adam knows real devices only.
    monkeypatch.setattr(module, "Adam", lambda *args, fused, **kw: torch.optim.Adam(*args, **kw))
    recipe = QUICK | recipe | {"device": "meta", "hooks": [CountingSteps(interrupt_at=3)]}
    with pytest.raises(KeyboardInterrupt):
        train(method, build_network("tiny", 3), faces, noisy, **recipe)


@pytest.mark.slow
@pytest.mark.parametrize("size", [None, 24])
@pytest.mark.parametrize("method", ALL_METHODS)
def test_no_step_waits_for_a_value(faces, noisy, method, size, monkeypatch):
    train_without_values(monkeypatch, method, faces, noisy, size=size)


@pytest.mark.slow
@pytest.mark.parametrize(
    "question",
    [Tensor.item, bool, Tensor.cpu, lambda loss: loss[loss > 0]],
    ids=["item", "if", "copy", "mask"],
)
def test_a_step_that_waits_for_a_value_would_be_noticed(faces, noisy, question, monkeypatch):
    method = Waiting(lambda logits: question(logits.mean()))
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        train_without_values(monkeypatch, method, faces, noisy)


# ---------------------------------------------------------------------------- the same end


@pytest.mark.slow
@pytest.mark.parametrize("method", [Baseline(), EAC(weight=0.5)])
def test_the_same_seed_ends_in_the_same_weights_and_another_seed_elsewhere(faces, noisy, method):
    torch.manual_seed(1)
    one = train(method, small_network(), faces, noisy, seed=3, **QUICK)
    torch.manual_seed(2)
    again = train(method, small_network(), faces, noisy, seed=3, **QUICK)
    other = train(method, small_network(), faces, noisy, seed=4, **QUICK)
    assert same_weights(one.network, again.network)
    assert facts(one) == facts(again)
    assert not same_weights(one.network, other.network)


@dataclass(frozen=True)
class Drawing(Method):
    """Draws from torch's global generator, as dropout does."""

    name = "drawing"
    drawn: list = field(default_factory=list)

    def loss(self, network, batch):
        self.drawn.append(torch.rand(()).item())
        return {"loss": network(batch.original(None))[0].square().mean()}


@pytest.mark.slow
def test_layers_draw_anew_in_every_batch_and_again_the_same_for_the_same_seed(faces, noisy):
    one, again, other = Drawing(), Drawing(), Drawing()
    for method, seed in ((one, 3), (again, 3), (other, 4)):
        train(method, small_network(), faces, noisy, seed=seed, **QUICK)
    assert one.drawn == again.drawn
    assert len(set(one.drawn + other.drawn)) == 18


def test_training_touches_neither_the_callers_network_nor_the_random_state(faces, noisy):
    network = small_network().eval()
    network.fc.train()
    before = copy.deepcopy(network)
    state = torch.random.get_rng_state()
    run = train(Baseline(), network, faces, noisy, **QUICK)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert same_weights(network, before)
    assert network.fc.training and not network.backbone.training
    assert not same_weights(network, run.network)
    assert all(p.grad is None for p in network.parameters())
    assert not run.network.training


@pytest.mark.slow
def test_a_trivial_set_is_learnt(faces):
    clean = inject_noise(faces.train.labels, 0.0, 3)
    recipe = QUICK | {"epochs": 12, "batch_size": 16}
    for method in (Baseline(), EAC(weight=0.1)):
        run = train(method, small_network(), faces, clean, **recipe)
        assert run.rows[-1]["loss"] < run.rows[0]["loss"] / 2
        assert run.summary["test_accuracy"] > 0.9 > run.rows[0]["test_accuracy"] + 0.1
        assert accuracy(predict(run.network, faces.test.images), faces.test.labels) > 0.9


def test_the_last_smaller_batch_is_trained_too(noisy):
    faces = striped_faces(train=33)
    labels = inject_noise(faces.train.labels, 0.2, 3)
    spy = Spying(Baseline())
    train(spy, small_network(), faces, labels, **(QUICK | {"epochs": 1, "batch_size": 20}))
    assert [len(batch.index) for batch in spy.batches] == [20, 13]


@pytest.mark.parametrize(
    ("count", "batch_size", "sizes"),
    [
        (65, 64, [65]), (129, 64, [64, 65]), (66, 64, [64, 2]), (64, 64, [64]), (3, 64, [3]),
        (1, 64, [1]), (3, 1, [1, 1, 1]), (3, 2, [3]), (1500, 64, [64] * 23 + [28]),
    ],
)  # fmt: skip
def test_a_single_face_that_remains_joins_the_batch_before(count, batch_size, sizes):
    assert split_batches(count, batch_size) == sizes


@pytest.mark.slow
@pytest.mark.parametrize("method", ALL_METHODS)
def test_no_method_sees_a_batch_of_one_and_a_joined_batch_resumes(method, tmp_path):
    faces = striped_faces(train=65)
    labels = inject_noise(faces.train.labels, 0.2, 3)
    steps, recipe = CountingSteps(), QUICK | {"epochs": 2, "schedule": "exponential"}
    whole = train(method, build_network("tiny", 3), faces, labels, hooks=[steps], **recipe)
    assert steps.count == 4, "two batches an epoch"
    assert [row["learning_rate"] for row in whole.rows] == pytest.approx([3e-3, 3e-3 * 0.95])
    hooks = [Checkpoint(tmp_path / "state"), CountingSteps(interrupt_at=3)]
    with pytest.raises(KeyboardInterrupt):
        train(method, build_network("tiny", 3), faces, labels, hooks=hooks, **recipe)
    resumed = train(method, build_network("tiny", 3), faces, labels, hooks=hooks[:1], **recipe)
    assert same_weights(resumed.network, whole.network)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("train_faces", "batch_size", "message"),
    [(1, 32, "there is one training face"), (33, 1, "batch_size is 1")],
)
@pytest.mark.parametrize("method", ALL_METHODS)
def test_a_batch_of_one_is_refused_before_the_first_step(method, train_faces, batch_size, message):
    faces = striped_faces(train=train_faces)
    labels = inject_noise(faces.train.labels, 0, 3)
    diary = Diary()
    recipe = QUICK | {"batch_size": batch_size}
    with pytest.raises(InputError, match=f"needs at least 2 faces in a batch, and {message}"):
        train(method, build_network("tiny", 3), faces, labels, hooks=[diary], **recipe)
    assert diary.calls == []


def test_the_loss_of_an_epoch_is_the_mean_over_its_faces(noisy):
    faces = striped_faces(train=50)
    labels = inject_noise(faces.train.labels, 0.2, 3)
    recipe = QUICK | {"epochs": 1, "batch_size": 40}
    run = train(Baseline(), small_network(), faces, labels, hooks=[SampleLosses()], **recipe)
    of_faces = run.records["sample_losses"][0].double()
    assert run.rows[0]["loss"] == pytest.approx(of_faces.mean().item(), rel=1e-6)


# ---------------------------------------------------------------------------- what is reported


def test_evaluation_by_hand():
    logits = torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0], [2.0, 0, 0]])
    assert accuracy(logits, torch.tensor([0, 1, 2, 1])) == 0.75
    noisy = NoisyLabels(
        given=torch.tensor([0, 1, 0, 2, 1, 0]),
        true=torch.tensor([1, 1, 2, 0, 0, 0]),
        transition_matrix=torch.eye(3),
        settings={},
    )
    # Faces 0, 2, 3 and 4 are wrong, given 0 0 2 1 for 1 2 0 0; predicted are 0 1 2 0.
    assert memorised_and_recovered(logits, noisy) == (0.5, 0.25)
    expected = [-math.log(math.e**2 / (math.e**2 + 2)), math.log(math.e**2 + 2)]
    losses = sample_losses(logits[:2], torch.tensor([0, 0])).tolist()
    assert losses == pytest.approx(expected)


def test_prediction_does_not_depend_on_its_batches(faces, monkeypatch):
    network = small_network().train()
    whole = predict(network, faces.test.images)
    monkeypatch.setattr("eacbook.evaluation.evaluate.BATCH_SIZE", 7)
    torch.testing.assert_close(predict(network, faces.test.images), whole)
    assert whole.shape == (48, 3) and network.training


def test_the_rows_say_what_the_network_of_the_run_does(faces, noisy):
    run = train(EAC(weight=0.5), small_network(), faces, noisy, **QUICK)
    last, flipped = run.rows[-1], noisy.wrong
    predicted = predict(run.network, faces.train.images).argmax(1)[flipped]
    assert last["memorised"] == (predicted == noisy.given[flipped]).double().mean()
    assert last["recovered"] == (predicted == noisy.true[flipped]).double().mean()
    test = predict(run.network, faces.test.images).argmax(1)
    assert last["test_accuracy"] == (test == faces.test.labels).double().mean()
    labels = faces.test.labels
    by_class = [
        (test == label)[labels == label].double().mean().item() for label in labels.unique()
    ]
    assert last["mean_class_accuracy"] == pytest.approx(sum(by_class) / len(by_class))
    assert run.confusion_matrix.sum() == len(labels)
    for true, guess in zip(labels, test, strict=True):
        run.confusion_matrix[true, guess] -= 1
    assert not run.confusion_matrix.any()
    validation = predict(run.network, faces.validation.images).argmax(1)
    assert last["validation_accuracy"] == (validation == faces.validation.labels).double().mean()
    assert last["loss"] == pytest.approx(last["cross_entropy"] + 0.5 * last["consistency"])
    assert [row["epoch"] for row in run.rows] == [1, 2, 3]
    assert run.noisy is noisy
    assert list(run.history.index) == [1, 2, 3]
    assert run.history.loc[3, "memorised"] == last["memorised"]


def test_faces_without_a_validation_split_have_no_validation_accuracy(faces, noisy):
    without = replace(faces, validation=None)
    run = train(Baseline(), small_network(), without, noisy, **(QUICK | {"epochs": 1}))
    assert "test_accuracy" in run.rows[0]
    assert "validation_accuracy" not in run.rows[0]
    assert run.summary["validation_accuracy"] is None


def test_nothing_is_memorised_where_no_label_is_wrong(faces):
    clean = inject_noise(faces.train.labels, 0.0, 3)
    run = train(Baseline(), small_network(), faces, clean, **(QUICK | {"epochs": 1}))
    assert run.rows[0]["memorised"] is None and run.rows[0]["recovered"] is None
    assert run.summary["memorised"] is None


def test_the_summary_by_hand():
    accuracies = [0.1, 0.9, 0.5, 0.6, 0.7, 0.6, 0.6]
    rows = [
        {
            "test_accuracy": a,
            "mean_class_accuracy": a / 16,
            "validation_accuracy": a / 8,
            "memorised": a / 2,
            "recovered": a / 4,
            "seconds": 2.0,
        }
        for a in accuracies
    ]
    run = Run(nn.Identity(), rows, None, {})
    assert run.summary == pytest.approx(
        {
            "test_accuracy": (0.5 + 0.6 + 0.7 + 0.6 + 0.6) / 5,
            "mean_class_accuracy": (0.5 + 0.6 + 0.7 + 0.6 + 0.6) / 5 / 16,
            "validation_accuracy": (0.5 + 0.6 + 0.7 + 0.6 + 0.6) / 5 / 8,
            "test_accuracy_last": 0.6,
            "test_accuracy_best": 0.9,
            "best_epoch": 2,
            "memorised": 0.3,
            "recovered": 0.15,
            "network_epoch": 7,
            "epochs": 7,
            "seconds": 14.0,
        }
    )
    assert replace(run, rows=rows[:2]).summary["test_accuracy"] == pytest.approx(0.5)
    chosen = replace(run, chosen_epoch=5).summary
    assert chosen == run.summary | {
        "test_accuracy": 0.7, "validation_accuracy": 0.7 / 8, "memorised": 0.35, "recovered": 0.175,
        "mean_class_accuracy": 0.7 / 16, "network_epoch": 5,
    }  # fmt: skip
    del rows[2]["mean_class_accuracy"]  # the row of an older eacbook, from a checkpoint
    assert run.summary["mean_class_accuracy"] is None
    assert chosen == replace(run, chosen_epoch=5).summary


# ---------------------------------------------------------------------------- learning rate


class LearningRates(Hook):
    """The learning rate of every step."""

    def on_train_begin(self, training):
        self.used = training.scheduler.get_last_lr()

    def on_batch_end(self, training):
        self.used += training.scheduler.get_last_lr()


def rates_of(faces, noisy, **recipe):
    hook = LearningRates()
    run = train(Baseline(), small_network(), faces, noisy, hooks=[hook], **(QUICK | recipe))
    assert [row["learning_rate"] for row in run.rows] == hook.used[:-1:3]
    return hook.used[:-1]  # what stands there after the last step is never used


def test_the_exponential_schedule_multiplies_once_an_epoch(faces, noisy):
    rates = rates_of(faces, noisy, schedule="exponential", decay=0.5, learning_rate=4e-3)
    assert rates == pytest.approx([4e-3] * 3 + [2e-3] * 3 + [1e-3] * 3)


def test_the_one_cycle_schedule_rises_to_its_peak_and_ends_near_zero(faces, noisy):
    rates = rates_of(faces, noisy, schedule="one-cycle", epochs=5, learning_rate=4e-3)
    peak = rates.index(max(rates))
    # 15 steps are few, so that the peak lies between two of them.
    assert 0.8 * 4e-3 < max(rates) <= 4e-3
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert 3 <= peak <= 5 and rates[0] < 4e-3 / 10 and rates[-1] < 4e-3 / 1000


@pytest.mark.parametrize(("network", "learning_rate"), [("resnet18", 2e-4), ("resnet50", 1e-4)])
def test_the_resnets_have_the_papers_recipe(network, learning_rate):
    assert recipe_of(network) == Recipe(
        epochs=60,
        batch_size=32,
        learning_rate=learning_rate,
        weight_decay=1e-4,
        schedule="exponential",
        decay=0.9,
        size=224,
    )


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("epochs", 0, "epochs must be a whole number of at least 1, got 0"),
        ("epochs", -3, "epochs must be a whole number of at least 1"),
        ("batch_size", 0, "batch_size must be a whole number of at least 1"),
        ("size", 0, "size must be a whole number of at least 1, got 0"),
        ("size", -8, "size must be a whole number of at least 1"),
        ("seed", -1, "seed must be a whole number of at least 0"),
        ("learning_rate", 0, "learning_rate must be a finite number above 0"),
        ("learning_rate", -1e-3, "learning_rate must be a finite number above 0"),
        ("learning_rate", math.inf, "learning_rate must be a finite number above 0"),
        ("learning_rate", math.nan, "learning_rate must be a finite number above 0"),
        ("weight_decay", -1e-4, "weight_decay must be a finite number of at least 0"),
        ("weight_decay", math.nan, "weight_decay must be a finite number of at least 0"),
        ("decay", 0, "decay must be a number above 0 and at most 1"),
        ("decay", 1.1, "decay must be a number above 0 and at most 1"),
        ("schedule", "cosine", "'cosine': expected one of exponential, one-cycle"),
    ],
)
def test_a_recipe_that_is_none_is_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        Recipe(**{name: value})


def test_an_unknown_field_of_the_recipe_is_refused(faces, noisy):
    with pytest.raises(
        InputError, match="unknown argument 'learning_rat'; the recipe has epochs, "
    ):
        train(Baseline(), small_network(), faces, noisy, learning_rat=1e-3)


# ---------------------------------------------------------------------------- what does not fit


def labels_of(given, true=None):
    given = torch.tensor(given)
    true = given.clone() if true is None else torch.tensor(true)
    return NoisyLabels(given, true, torch.eye(3), {"kind": "by hand"})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([0, 1, 2], "3 noisy labels for 96 training faces"),
        ([0, 1, 3] * 32, "a noisy label is 3, with 3 classes"),
        ([0, 1, -1] * 32, "a noisy label is -1"),
        ([0, 1, -100] * 32, "a noisy label is -100"),
    ],
)
def test_labels_that_do_not_fit_the_faces_are_refused(faces, given, message):
    with pytest.raises(InputError, match=message):
        train(Baseline(), small_network(), faces, labels_of(given), **QUICK)


@dataclass(frozen=True)
class Exploding(Method):
    """Its loss is not a number from its eighth batch on."""

    name = "exploding"
    calls: list = field(default_factory=list)

    def loss(self, network, batch):
        self.calls.append(len(batch.labels))
        loss = network(batch.original(None))[0].mean()
        return {"loss": loss * (math.nan if len(self.calls) >= 8 else 1), "part": loss}


class Diary(Hook):
    """Which of its methods were called."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, training):
        self.calls.append("start")

    def on_batch_end(self, training):
        self.calls.append("batch")

    def on_epoch_end(self, training):
        self.calls.append("epoch")

    def on_train_end(self, training):
        self.calls.append("end")


def test_a_loss_that_is_not_finite_says_where_and_what_to_try(faces, noisy):
    diary = Diary()
    with pytest.raises(NonFiniteLossError) as error:
        train(Exploding(), small_network(), faces, noisy, hooks=[diary], **QUICK)
    message = str(error.value)
    assert "exploding" in message
    assert "epoch 3, batch 2 of 3" in message
    assert "loss nan" in message and "part " in message
    assert "smaller learning rate" in message and "smaller weight" in message
    assert diary.calls[-1] == "end" and diary.calls.count("epoch") == 2


def test_a_learning_rate_that_is_too_large_ends_in_that_error(faces, noisy):
    recipe = {"schedule": "exponential", "learning_rate": 1e30}
    with pytest.raises(NonFiniteLossError, match="now 1e\\+30"):
        train(EAC(), small_network(), faces, noisy, **(QUICK | recipe))


def test_a_statistic_that_is_not_finite_ends_in_that_error(faces, noisy):
    """The loss in training mode does not show it, and no evaluation could be trusted."""
    network = small_network()
    norm = next(part for part in network.modules() if isinstance(part, nn.BatchNorm2d))
    norm.running_var.fill_(torch.inf)
    with pytest.raises(NonFiniteLossError, match="running_var of the network is not finite"):
        train(EAC(), network, faces, noisy, **QUICK)


# ---------------------------------------------------------------------------- settings


def test_everything_that_decides_the_outcome_stands_in_the_settings(faces, noisy):
    def describe(method=None, network=None, data=faces, labels=noisy, hooks=(), **recipe):
        return describe_training(
            method or EAC(), network or small_network(), data, labels, Recipe(**recipe), hooks
        )

    frozen = small_network()
    frozen.backbone.requires_grad_(False)
    changes = [
        describe(method=EAC(weight=1.0)),
        describe(network=frozen),
        describe(method=Baseline()),
        describe(network=small_network(seed=1)),
        describe(data=replace(faces, fingerprint="other")),
        describe(labels=inject_noise(faces.train.labels, 0.25, 3, seed=1)),
        describe(labels=inject_noise(faces.train.labels, 0.3, 3)),
        describe(seed=1),
        describe(epochs=7),
        describe(schedule="exponential"),
        describe(hooks=[EarlyStopping()]),
        describe(hooks=[EarlyStopping(patience=3)]),
        describe(hooks=[SampleLosses()]),
    ]
    assert describe() == describe() == describe(hooks=[Diary(), Progress()])
    for index, one in enumerate(changes):
        assert one not in [describe(), *changes[:index]]


def test_a_network_of_ones_own_needs_no_name(faces, noisy):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x):
            maps = self.conv(x)
            return maps.mean((2, 3)), maps

    run = train(Baseline(), Own(), faces, noisy, **(QUICK | {"epochs": 1}))
    assert run.settings["network"]["name"] == "Own"


def test_what_is_not_given_is_the_networks_own(faces, noisy):
    """The recipe of its name, with EAC's weight: the settings hold the numbers."""
    run = train(EAC(), build_network("tiny", 3), faces, noisy, epochs=1, device="cpu")
    assert run.settings["method"]["weight"] == 1.5
    own = asdict(replace(recipe_of("tiny"), epochs=1))
    assert own.pop("deterministic"), "the settings name it only where it is not so"
    assert run.settings["recipe"] == own
    method, recipe = fill_defaults(EAC(), "resnet18", {"size": 112})
    assert (method, recipe) == (EAC(weight=5.0), replace(recipe_of("resnet18"), size=112))
    assert fill_defaults(EAC(weight=2), "somebody's own", {}) == (EAC(weight=2), Recipe())


def test_a_number_of_numpy_or_torch_gives_the_run_of_the_plain_number():
    numbers = {"seed": np.int64(3), "learning_rate": np.float32(0.003), "size": torch.tensor(48)}
    given = Recipe(**numbers, balanced=np.bool_(True))
    assert given == Recipe(seed=3, learning_rate=0.003, size=48, balanced=True)
    assert {type(value) for value in asdict(given).values()} == {int, float, bool, str}


class Answering(nn.Module):
    """Its answer to pictures, made of what a right network would say."""

    def __init__(self, change=lambda logits, maps: (logits, maps)):
        super().__init__()
        self.conv, self.change = nn.Conv2d(3, 3, 3, padding=1), change

    def forward(self, images):
        maps = self.conv(images)
        return self.change(maps.mean((2, 3)), maps)


class Tied(Answering):
    """Two layers with the same numbers."""

    def __init__(self):
        super().__init__(lambda logits, maps: (logits, self.again(maps)))
        self.again = nn.Conv2d(3, 3, 3, padding=1)
        self.again.weight = self.conv.weight


@pytest.mark.parametrize(
    ("method", "network", "message"),
    [
        (Baseline(), Answering().bfloat16(), "conv.weight as bfloat16, expected float32"),
        (Baseline(), Answering().double(), "conv.weight as float64, expected float32"),
        (Baseline(), Answering().to("meta"), "no numbers: conv.weight is on the device 'meta'"),
        (Baseline(), Answering().requires_grad_(False), "nothing to train"),
        (Baseline(), nn.Flatten(), "nothing to train"),
        (Baseline(), "tiny", "network must be a Module, such as build_network"),
        (
            Baseline(),
            Answering(lambda logits, maps: logits),
            r"returns a \[2,3\], expected \(",
        ),
        (Baseline(), Answering(lambda *both: list(both)), "returns a list"),
        (Baseline(), Answering(lambda *both: (*both, 1)), "returns a tuple"),
        (
            Baseline(),
            Answering(lambda x, y: (y, x)),
            r"returns \[2,3,16,16\] and \[2,3\] for two pictures, expected",
        ),
        (
            Baseline(),
            Answering(lambda x, y: (x, None)),
            r"returns \[2,3\] and NoneType for two pictures, expected",
        ),
        (
            Baseline(),
            Answering(lambda x, y: (x, y[:, :1])),
            r"and \[2,1,16,16\] for two pictures, expected",
        ),
        (
            Baseline(),
            Answering(lambda x, y: (x, y[..., :0])),
            "gives empty maps for pictures of 16 x 16",
        ),
        (Baseline(), build_network("tiny", 4), r"returns \[2,4\] and .*expected \(logits \[B,3\]"),
        (SCN(), Answering(), "scn needs .* Answering lacks backbone, classify, fc, a linear layer"),
        (RUL(), Answering(), "rul needs .* Answering lacks backbone, fc, a linear layer"),
        ("eac", build_network("tiny", 3), "method must be a Method, such as EAC"),
        (EAC, build_network("tiny", 3), "method must be a Method, such as EAC"),
    ],
)
def test_a_network_that_cannot_be_trained_gets_one_sentence(faces, noisy, method, network, message):
    diary = Diary()
    with pytest.raises(InputError, match=message) as error:
        train(method, network, faces, noisy, hooks=[diary], **QUICK)
    assert "\n" not in str(error.value) and not diary.calls


def test_tied_weights_stay_tied(faces, noisy):
    run = train(EAC(), Tied(), faces, noisy, **(QUICK | {"epochs": 1}))
    assert run.network.conv.weight is run.network.again.weight


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 1}, "small cannot take pictures of 1 x 1 pixels"),
        ({"size": 10**9}, "a batch of 32 pictures of 1000000000 x 1000000000 pixels would need"),
        ({"device": "cuda:99"}, "there is no device 'cuda:99' here: expected"),
        ({"device": "tpu"}, "there is no device 'tpu' here"),
        ({"device": ""}, "there is no device '' here"),
        ({"device": 3}, "there is no device 3 here"),
        ({"device": torch.device("meta")}, "there is no device 'meta' here"),
        ({"hooks": Progress()}, "hooks must be a Sequence, such as"),
        ({"hooks": None}, "hooks must be a Sequence, such as"),
        ({"hooks": [Progress]}, "each hook must be a Hook, such as Progress"),
        ({"balanced": "no"}, "balanced must be True or False, got 'no'"),
    ],
)
def test_what_a_training_cannot_do_gets_one_sentence(faces, noisy, arguments, message):
    with pytest.raises(InputError, match=message) as error:
        train(Baseline(), small_network(), faces, noisy, **(QUICK | arguments))
    assert "\n" not in str(error.value)

"""SCN against float64 numpy, its groups and its relabelling case by case."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import (
    Scripted,
    batch,
    numpy_cross_entropy,
    numpy_gradient,
    small_network,
    striped_faces,
)

from eacbook.errors import InputError
from eacbook.experiments.runs import find_or_train
from eacbook.methods import SCN
from eacbook.models.networks import ClassActivationNetwork
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import Hook
from eacbook.training.loop import train

LABELS = [0, 1, 2, 0, 1]
QUICK = {"epochs": 4, "batch_size": 32, "learning_rate": 3e-3, "device": "cpu"}


@pytest.fixture
def scripted():
    """A network in float64 whose backbone answers with given features of 4 channels."""
    generator = np.random.default_rng(5)
    features = torch.tensor(generator.normal(size=(5, 4, 1, 2)), requires_grad=True)
    network = ClassActivationNetwork(Scripted(features), 4, 3)
    return SCN().extend(network, 16, seed=0, faces=5, classes=3).double()


def by_definition(features, network, rank_margin, high_share=0.7, rank_weight=0.5):
    """Equations 1 to 4, in numpy."""
    weights = {name: tensor.detach().numpy() for name, tensor in network.named_parameters()}
    pooled = features.mean((2, 3))
    logits = pooled @ weights["fc.weight"].T + weights["fc.bias"]
    importance = 1 / (
        1 + np.exp(-(pooled @ weights["importance.weight"].T + weights["importance.bias"]))
    )
    cross_entropy = numpy_cross_entropy(importance * logits, LABELS).mean()
    ranked = np.sort(importance[:, 0])[::-1]
    high = int(high_share * len(ranked))
    rank = max(0, rank_margin - (ranked[:high].mean() - ranked[high:].mean()))
    return (1 - rank_weight) * cross_entropy + rank_weight * rank, cross_entropy, rank


@pytest.mark.parametrize(("rank_margin", "active"), [(0.9, True), (0.15, True), (0.05, False)])
def test_the_loss_and_its_gradient_against_numpy(scripted, rank_margin, active):
    features = scripted.backbone.answers[0]
    losses = SCN(rank_margin=rank_margin).loss(scripted, batch(5, LABELS))
    values = features.detach().numpy()
    total, cross_entropy, rank = by_definition(values, scripted, rank_margin)
    assert (rank > 0) == active, "both sides of the margin are tried"
    assert losses["loss"].item() == pytest.approx(total, abs=1e-12)
    assert losses["cross_entropy"].item() == pytest.approx(cross_entropy, abs=1e-12)
    assert losses["rank_regularisation"].item() == pytest.approx(rank, abs=1e-12)
    losses["loss"].backward()
    expected = numpy_gradient(lambda x: by_definition(x, scripted, rank_margin)[0], values)
    assert np.allclose(features.grad.numpy(), expected, atol=1e-8)


def test_the_groups_of_a_batch():
    importance = torch.tensor([0.5, 0.9, 0.1, 0.7, 0.3])
    high, low = SCN().groups(importance)
    assert high.tolist() == [1, 3, 0] and low.tolist() == [4, 2], "int(0.7 * 5) are high"
    for share in (0.0, 1.0):
        assert all(len(group) for group in SCN(high_share=share).groups(importance))
    with pytest.raises(InputError, match="cannot rank a batch of one face"):
        SCN().groups(importance[:1])


def relabelled(method, epoch=9, low=(0, 1, 2, 3)):
    """Probabilities of two classes for four faces, all labelled 0: 0.5, 0.45, 0.35, 0.1 for it."""
    of_label = torch.tensor([0.5, 0.45, 0.35, 0.1])
    logits = torch.stack([of_label, 1 - of_label], 1).log()
    return method.relabel(logits, batch(4, [0] * 4, epoch=epoch), torch.tensor(low)).tolist()


def test_a_label_changes_where_another_is_likelier_by_more_than_the_margin():
    assert relabelled(SCN()) == [0, 0, 1, 1]
    assert relabelled(SCN(relabel_margin=0.5)) == [0, 0, 0, 1]
    assert relabelled(SCN(relabel_margin=0.05)) == [0, 1, 1, 1]


def test_nothing_changes_before_the_tenth_epoch():
    assert relabelled(SCN(), epoch=8) == [0, 0, 0, 0]
    assert relabelled(SCN(relabel_epoch=1), epoch=0) == [0, 0, 1, 1]


def test_the_paper_changes_the_low_group_alone_and_the_code_any():
    assert relabelled(SCN(), low=(0, 1, 2)) == [0, 0, 1, 0]
    assert relabelled(SCN(relabel_any=True), low=(0, 1, 2)) == [0, 0, 1, 1]


class Labels(Hook):
    """Which labels every batch was trained on."""

    def __init__(self):
        self.epochs = []

    def on_epoch_end(self, training):
        self.epochs.append(training.labels.clone())


METHOD = SCN(relabel_epoch=2, relabel_margin=0.0)


@pytest.fixture(scope="module")
def noisy():
    return inject_noise(striped_faces().train.labels, 0.25, 3)


def test_changed_labels_are_counted_kept_and_trained_on(noisy):
    faces, seen = striped_faces(), []

    class Watched(SCN):
        def loss(self, network, batch):
            seen.append((batch.epoch, batch.index, batch.labels))
            return super().loss(network, batch)

    run = train(
        Watched(relabel_epoch=2, relabel_margin=0.0), small_network(), faces, noisy, **QUICK
    )
    labels = run.records["labels"].long()
    assert torch.equal(labels[0], noisy.given) and not torch.equal(labels[1], noisy.given)
    for row, of_epoch in zip(run.rows, labels, strict=True):
        changed = of_epoch != noisy.given
        assert row["relabelled"] == changed.sum()
        if changed.any():
            rightly = (of_epoch == noisy.true)[changed].double().mean().item()
            assert row["relabelled_rightly"] == pytest.approx(rightly)
        else:
            assert row["relabelled_rightly"] is None
    for epoch, index, used in seen:
        before = labels[epoch - 1] if epoch else noisy.given
        assert torch.equal(used, before[index]), "an epoch goes on from the labels of the last"


@pytest.mark.slow
def test_a_killed_run_goes_on_with_its_changed_labels(noisy, tmp_path):
    faces = striped_faces()

    class Stop(Hook):
        def on_epoch_end(self, training):
            if training.epoch == 2:
                raise RuntimeError("killed")

    whole = find_or_train(METHOD, small_network(), faces, noisy, folder=tmp_path / "a", **QUICK)
    with pytest.raises(RuntimeError, match="killed"):
        find_or_train(
            METHOD, small_network(), faces, noisy, folder=tmp_path / "b", hooks=[Stop()], **QUICK
        )
    resumed = find_or_train(METHOD, small_network(), faces, noisy, folder=tmp_path / "b", **QUICK)
    assert whole.rows[1]["relabelled"] > 0
    assert torch.equal(resumed.records["labels"], whole.records["labels"])
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name


def test_a_stored_run_comes_back_with_its_importance(noisy, tmp_path):
    faces = striped_faces()
    run = find_or_train(METHOD, small_network(), faces, noisy, folder=tmp_path, **QUICK)
    found = find_or_train(METHOD, small_network(), faces, noisy, folder=tmp_path, **QUICK)
    assert found.stored and found.rows == run.rows
    assert torch.equal(found.network.importance.weight, run.network.importance.weight)
    assert torch.equal(found.records["labels"], run.records["labels"])

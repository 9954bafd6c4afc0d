"""Co-teaching by hand: who is kept, who learns from whom, and the schedule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import QUICK, Scripted, batch, leaf, numpy_cross_entropy, small_network, striped_faces

from eacbook.methods import CoTeaching
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import SampleLosses
from eacbook.training.loop import train

LABELS = [0, 1, 0, 1]
# The first network is sure of the first two faces and wrong about the last two; its peer is sure of
# the second and the third.
OWN = [[3.0, 0.0], [0.5, 2.0], [0.0, 1.0], [2.0, 0.0]]
OF_PEER = [[0.0, 1.5], [0.0, 4.0], [1.0, 0.0], [1.0, 0.5]]


@pytest.fixture
def pair():
    network = Scripted((leaf(OWN), None))
    network.peer = Scripted((leaf(OF_PEER), None))
    return network


def test_each_network_learns_from_what_the_other_one_kept(pair):
    losses = CoTeaching(noise_rate=0.5).loss(pair, batch(4, LABELS, epoch=10))
    own = numpy_cross_entropy(np.array(OWN), LABELS)
    of_peer = numpy_cross_entropy(np.array(OF_PEER), LABELS)
    assert set(own.argsort()[:2]) == {0, 1} and set(of_peer.argsort()[:2]) == {1, 2}
    assert losses["network_loss"].item() == pytest.approx(own[[1, 2]].mean(), abs=1e-12)
    assert losses["peer_loss"].item() == pytest.approx(of_peer[[0, 1]].mean(), abs=1e-12)
    assert losses["loss"].item() == pytest.approx(
        own[[1, 2]].mean() + of_peer[[0, 1]].mean(), abs=1e-12
    )
    assert losses["sample_losses"].tolist() == pytest.approx(own.tolist(), abs=1e-12)
    assert losses["sample_selected"].tolist() == [0, 1, 1, 0]


def test_the_gradient_reaches_only_what_was_kept(pair):
    """d CE / d logits = softmax - one-hot, and the mean is over the two that were kept."""
    CoTeaching(noise_rate=0.5).loss(pair, batch(4, LABELS, epoch=10))["loss"].backward()
    for network, values, kept in ((pair, OWN, [1, 2]), (pair.peer, OF_PEER, [0, 1])):
        exponentials = np.exp(np.array(values))
        expected = exponentials / exponentials.sum(1, keepdims=True)
        expected[np.arange(4), LABELS] -= 1
        expected[[row for row in range(4) if row not in kept]] = 0
        gradient = network.answers[0][0].grad
        assert np.allclose(gradient.numpy(), expected / 2, atol=1e-12)


def test_both_networks_see_the_same_view(pair):
    CoTeaching(noise_rate=0.5).loss(pair, batch(4, LABELS))
    assert torch.equal(pair.seen[0], pair.peer.seen[0])


@pytest.mark.parametrize(
    ("rate", "ramp", "epoch", "left_out"),
    [(0.3, 10, 0, 0), (0.3, 10, 5, 0.15), (0.3, 10, 10, 0.3), (0.3, 10, 59, 0.3), (0.2, 1, 1, 0.2)],
)
def test_the_share_that_is_left_out_rises_to_the_noise_rate(rate, ramp, epoch, left_out):
    assert CoTeaching(rate, ramp).left_out(epoch) == pytest.approx(left_out)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("count", [1, 2, 7, 10, 64])
def test_how_many_are_kept_is_rounded_and_never_none(rate, count):
    answer = torch.zeros(count, 2), None
    network = Scripted(answer)
    network.peer = Scripted(answer)
    losses = CoTeaching(rate).loss(network, batch(count, [0] * count, epoch=10))
    kept = int(losses["sample_selected"].sum())
    assert kept >= 1
    assert abs(kept - (1 - rate) * count) <= 0.5 or kept == 1


def test_the_peer_begins_elsewhere_and_always_at_the_same_place():
    networks = [
        CoTeaching(0.3).extend(build_network("tiny", 3, seed=seed), 16, seed, 96, 3)
        for seed in (0, 0, 1)
    ]
    one, again, other = (network.peer.fc.weight for network in networks)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert not torch.equal(one, networks[0].fc.weight)


def test_a_reader_s_own_network_gets_a_peer_and_trains():
    faces = striped_faces()
    noisy = inject_noise(faces.train.labels, 0.25, 3)
    run = train(CoTeaching(0.3), small_network(), faces, noisy, **QUICK)
    first, second = run.network, run.network.peer
    assert not torch.equal(first.fc.weight, second.fc.weight)


def test_in_training_the_selected_labels_become_cleaner_than_the_given_ones():
    faces = striped_faces()
    noisy = inject_noise(faces.train.labels, 0.25, 3)
    run = train(
        CoTeaching(noise_rate=0.25, ramp=2),
        build_network("tiny", 3),
        faces,
        noisy,
        epochs=6,
        batch_size=32,
        learning_rate=3e-3,
        device="cpu",
        hooks=[SampleLosses()],
    )
    given = (~noisy.wrong).double().mean().item()
    assert run.rows[0]["selected_right"] == pytest.approx(given), "at first all are kept"
    assert run.rows[-1]["selected_right"] > given + 0.1
    selected = run.records["sample_selected"][-1] == 1
    assert run.rows[-1]["selected_right"] == pytest.approx(
        (~noisy.wrong)[selected].double().mean().item()
    )
    assert selected.sum() == 96 * 0.75
    assert run.summary["test_accuracy_last"] > 0.9

"""ReSup against numpy and scipy: the mixture, the crossed weights, the loss and its gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import (
    QUICK,
    Scripted,
    batch,
    leaf,
    numpy_cross_entropy,
    numpy_gradient,
    small_network,
    striped_faces,
)
from scipy.stats import beta as beta_distribution

from eacbook.methods import ReSup
from eacbook.methods.beta_mixture import fit_beta_mixture, probability_of_larger
from eacbook.methods.resup import similarity_to_label
from eacbook.noise.inject import inject_noise
from eacbook.training.loop import train

LABELS = [0, 1, 0, 1]
OWN = [[3.0, 0.0], [0.5, 2.0], [0.0, 1.0], [2.0, 0.0]]
OF_PEER = [[0.0, 1.5], [0.0, 4.0], [1.0, 0.0], [1.0, 0.5]]
MIXTURES = torch.tensor(
    [[[2.0, 5.0, 0.3], [6.0, 1.5, 0.7]], [[5.0, 2.0, 0.6], [1.5, 3.0, 0.4]]], dtype=torch.float64
)


def samples(seed, sizes=(300, 700), shapes=((2, 6), (8, 2))):
    generator = np.random.default_rng(seed)
    return np.concatenate([
        generator.beta(*shape, size=size) for size, shape in zip(sizes, shapes, strict=True)
    ])  # fmt: skip


def em_by_definition(values):
    """Ten steps, with scipy's densities."""
    values = np.clip(values, 1e-4, 1 - 1e-4)
    parameters, shares = [(1, 2), (2, 1)], [0.5, 0.5]
    for _ in range(10):
        densities = [
            share * beta_distribution.pdf(values, *parameter)
            for share, parameter in zip(shares, parameters, strict=True)
        ]
        weights = np.array(densities) / np.sum(densities, axis=0)
        means = [np.average(values, weights=row) for row in weights]
        variances = [
            np.average((values - mean) ** 2, weights=row)
            for mean, row in zip(means, weights, strict=True)
        ]
        sizes = [m * (1 - m) / v - 1 for m, v in zip(means, variances, strict=True)]
        parameters = [(m * size, (1 - m) * size) for m, size in zip(means, sizes, strict=True)]
        shares = weights.mean(1)
    return np.array([[*p, share] for p, share in zip(parameters, shares, strict=True)])


@pytest.mark.parametrize("seed", range(3))
def test_the_mixture_against_scipy(seed):
    values = samples(seed)
    found = fit_beta_mixture(torch.from_numpy(values)).numpy()
    assert np.allclose(found, em_by_definition(values), rtol=1e-6)
    assert np.allclose(found[:, 2], [0.4, 0.6], atol=0.02)
    assert np.allclose(found[:, 0] / found[:, :2].sum(1), [0.35, 0.82], atol=0.03)


@pytest.mark.parametrize(
    "values", [[0.0] * 5, [1.0] * 5, [0.5], [0.0, 1.0], [0.0] * 50 + [1.0] * 50]
)
def test_values_without_two_groups_give_finite_weights(values):
    mixture = fit_beta_mixture(torch.tensor(values))
    weights = probability_of_larger(torch.linspace(0, 1, 11), mixture.float())
    assert mixture.isfinite().all() and weights.isfinite().all()
    assert weights.min() >= 0 and weights.max() <= 1


def test_the_weight_is_the_posterior_and_held_above_its_maximum():
    for mixture in MIXTURES:
        places = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
        found = probability_of_larger(places, mixture).numpy()
        densities = [
            s * beta_distribution.pdf(places.numpy(), a, b) for a, b, s in mixture.tolist()
        ]
        larger = int(mixture[1, 0] / mixture[1, :2].sum() > mixture[0, 0] / mixture[0, :2].sum())
        posterior = densities[larger] / np.sum(densities, axis=0)
        best = posterior.argmax()
        assert np.allclose(found[: best - 1], posterior[: best - 1], atol=1e-9)
        assert np.allclose(found[best + 1 :], posterior[best], atol=1e-5)


def test_the_similarity_is_a_cosine():
    probabilities = torch.tensor([[0.8, 0.2], [0.5, 0.5], [0.0, 1.0]])
    expected = [0.8 / 0.68**0.5, 0.5**0.5, 0.0]
    found = similarity_to_label(probabilities, torch.tensor([0, 1, 0]))
    assert found.tolist() == pytest.approx(expected)


def pair():
    network = Scripted((leaf(OWN), None))
    network.peer = Scripted((leaf(OF_PEER), None))
    network.register_buffer("mixtures", MIXTURES.clone())
    return network


def crossed(own, of_peer, weights):
    """The loss after the first epoch, with given weights of the network and of the peer."""
    shares = [np.exp(x) / np.exp(x).sum(1, keepdims=True) for x in (own, of_peer)]
    losses = [numpy_cross_entropy(x, LABELS) for x in (own, of_peer)]
    agreement = ((shares[0] - shares[1]) ** 2).mean()
    return (weights[1] * losses[0]).mean() + (weights[0] * losses[1]).mean() + 5 * agreement


def test_the_first_epoch_is_plain_cross_entropy_of_both():
    network = pair()
    losses = ReSup().loss(network, batch(4, LABELS, epoch=0))
    expected = sum(numpy_cross_entropy(np.array(x), LABELS).mean() for x in (OWN, OF_PEER))
    assert losses["loss"].item() == pytest.approx(expected, abs=1e-12)
    assert losses["sample_weight"].tolist() == [1.0] * 4


def test_later_each_network_learns_with_the_weights_of_the_other():
    network = pair()
    losses = ReSup().loss(network, batch(4, LABELS, epoch=1))
    weights = []
    for logits, mixture in zip((OWN, OF_PEER), MIXTURES, strict=True):
        similarity = similarity_to_label(leaf(logits).softmax(1), torch.tensor(LABELS)).detach()
        weights.append(probability_of_larger(similarity, mixture).clamp(1e-4, 1 - 1e-4).numpy())
    own, of_peer = np.array(OWN), np.array(OF_PEER)
    assert losses["loss"].item() == pytest.approx(crossed(own, of_peer, weights), abs=1e-12)
    assert np.allclose(losses["sample_weight"].numpy(), weights[1])
    losses["loss"].backward()
    for part, function, values in (
        (network, lambda x: crossed(x, of_peer, weights), own),
        (network.peer, lambda x: crossed(own, x, weights), of_peer),
    ):
        expected = numpy_gradient(function, values)
        assert np.allclose(part.answers[0][0].grad.numpy(), expected, atol=1e-8)


def test_both_networks_see_the_same_view():
    network = pair()
    ReSup().loss(network, batch(4, LABELS))
    assert torch.equal(network.seen[0], network.peer.seen[0])


def test_wrong_labels_get_small_weights():
    faces = striped_faces()
    noisy = inject_noise(faces.train.labels, 0.25, 3)
    run = train(ReSup(), small_network(), faces, noisy, **(QUICK | {"epochs": 8}))
    mixtures = run.network.mixtures
    assert mixtures.isfinite().all() and (mixtures[:, :, 2].sum(1) - 1).abs().max() < 1e-5
    assert (mixtures[0] != mixtures[1]).any(), "two networks, two mixtures"
    assert run.rows[-1]["test_accuracy"] > 0.9 and run.rows[-1]["memorised"] < 0.3

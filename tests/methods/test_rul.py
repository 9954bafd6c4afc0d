"""RUL against float64 numpy, and what its network predicts and shows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import batch, numpy_cross_entropy, numpy_gradient, small_network, striped_faces
from torch import nn

from eacbook.errors import InputError
from eacbook.evaluation.evaluate import predict
from eacbook.methods import RUL
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import Hook
from eacbook.training.loop import train

LABELS = [0, 1, 2, 0, 1]


class Branches(nn.Module):
    """A network in float64 whose branches answer with given numbers: mu and the log of the variance."""

    def __init__(self):
        super().__init__()
        generator = np.random.default_rng(7)
        self.numbers = {
            name: torch.tensor(generator.normal(size=(5, 4)), requires_grad=True)
            for name in ("mu", "log_variance")
        }
        self.fc = nn.Linear(4, 3).double()
        for parameter in self.fc.parameters():  # not from torch's state, which other tests move
            parameter.data = torch.tensor(generator.normal(size=tuple(parameter.shape)))

    def backbone(self, images):
        return images

    def mu(self, features):
        return self.numbers["mu"]

    def log_variance(self, features):
        return self.numbers["log_variance"]


def by_definition(mu, log_variance, weight, bias, other):
    """The mixtures and the add-up loss, in numpy, face by face."""
    uncertainty = np.exp(log_variance).mean(1)
    logits = []
    for i, j in enumerate(other):
        mixed = uncertainty[i] * mu[i] + uncertainty[j] * mu[j]
        logits.append(weight @ (mixed / (uncertainty[i] + uncertainty[j])) + bias)
    labels = np.array(LABELS)
    both = [
        numpy_cross_entropy(np.array(logits), names).mean() for names in (labels, labels[other])
    ]
    return sum(both) / 2


def test_the_loss_and_its_gradients_against_numpy():
    network = Branches()
    losses = RUL().loss(network, batch(5, LABELS))
    other = batch(5, LABELS).permutation().numpy()
    assert (other != np.arange(5)).any()
    values = {name: tensor.detach().numpy() for name, tensor in network.numbers.items()}
    weight, bias = (p.detach().numpy() for p in network.fc.parameters())
    expected = by_definition(**values, weight=weight, bias=bias, other=other)
    assert losses["loss"].item() == pytest.approx(expected, abs=1e-12)
    losses["loss"].backward()
    for name, tensor in network.numbers.items():

        def moved(x, name=name):
            return by_definition(**(values | {name: x}), weight=weight, bias=bias, other=other)

        assert np.allclose(tensor.grad.numpy(), numpy_gradient(moved, values[name]), atol=1e-8), (
            name
        )
    expected = numpy_gradient(
        lambda x: by_definition(**values, weight=x, bias=bias, other=other), weight
    )
    assert np.allclose(network.fc.weight.grad.numpy(), expected, atol=1e-8)
    # What it says of its samples is about faces, not about mixtures.
    plain = numpy_cross_entropy(values["mu"] @ weight.T + bias, LABELS)
    assert losses["sample_losses"].tolist() == pytest.approx(plain.tolist(), abs=1e-12)
    uncertainty = np.exp(values["log_variance"]).mean(1)
    assert losses["sample_uncertainty"].tolist() == pytest.approx(uncertainty.tolist(), abs=1e-12)


@pytest.fixture
def trained():
    faces = striped_faces()
    noisy = inject_noise(faces.train.labels, 0.25, 3)
    return train(
        RUL(),
        small_network(),
        faces,
        noisy,
        epochs=15,
        batch_size=32,
        learning_rate=3e-3,
        device="cpu",
    )


@pytest.mark.slow
def test_it_learns_and_predicts_each_face_by_itself(trained):
    images = striped_faces().test.images
    assert trained.summary["test_accuracy_last"] > 0.9
    together, alone = predict(trained.network, images), predict(trained.network, images[:1])
    assert torch.allclose(together[:1], alone, atol=1e-5), "nothing is mixed when it predicts"


@pytest.mark.slow
def test_the_maps_say_what_each_place_adds_to_the_logits(trained):
    network = trained.network.eval()
    features = torch.randn(4, 64, 2, 2)
    logits, maps = network.classify(features)
    assert maps.shape == (4, 3, 2, 2)
    constant = logits - maps.mean((2, 3))
    assert torch.allclose(constant, constant[:1].expand(4, 3), atol=1e-4)
    # Without one place the logits change by what that place is said to add.
    without = features.clone()
    without[:, :, 1, 0] = network.mu[0].running_mean
    difference = logits - network.classify(without)[0]
    assert torch.allclose(difference, maps[:, :, 1, 0] / 4, atol=1e-4)
    network.zero_grad()
    _, maps = network.classify(features.requires_grad_())
    maps.sum().backward()
    assert features.grad.any() and network.fc.weight.grad is None, "as EAC's loss needs it"


def test_the_classifier_learns_ten_times_as_fast():
    faces = striped_faces()
    rates = []

    class Watch(Hook):
        def on_train_begin(self, training):
            for group in training.optimizer.param_groups:
                rates.append((group["initial_lr"], sum(p.numel() for p in group["params"])))

    noisy = inject_noise(faces.train.labels, 0.25, 3)
    train(
        RUL(), small_network(), faces, noisy,
        epochs=1, schedule="exponential", learning_rate=1e-3, device="cpu", hooks=[Watch()],
    )  # fmt: skip
    (slow, _), (fast, of_head) = rates
    assert (slow, fast) == pytest.approx((1e-3, 1e-2))
    assert of_head == 64 * 3 + 3


def test_a_batch_of_one_face_gets_a_sentence():
    with pytest.raises(InputError, match="cannot mix a batch of one face"):
        RUL().loss(Branches(), batch(1, [0]))


def test_with_relabelling_a_doubted_label_changes_by_the_rule_of_scn():
    network = Branches()
    weight, bias = (p.detach().numpy() for p in network.fc.parameters())
    logits = network.numbers["mu"].detach().numpy() @ weight.T + bias
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    doubted = shares.max(1) - shares[np.arange(5), LABELS] > 0.2
    expected = np.where(doubted, shares.argmax(1), LABELS)
    assert doubted.any() and not doubted.all()
    for epoch, labels in ((1, LABELS), (2, expected.tolist())):
        losses = RUL(relabel_epoch=3).loss(network, batch(5, LABELS, epoch=epoch))
        assert losses["sample_labels"].tolist() == labels
    assert "sample_labels" not in RUL().loss(network, batch(5, LABELS, epoch=9))

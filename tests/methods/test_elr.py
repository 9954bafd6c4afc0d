"""ELR against float64 numpy: the memory step by step, the loss and its gradient."""

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

from eacbook.methods import ELR
from eacbook.methods.elr import remember, with_memory
from eacbook.noise.inject import inject_noise
from eacbook.training.loop import train

LABELS = [0, 1, 2]
LOGITS = np.array([[2.0, 0.5, -1.0], [1.0, 0.0, 0.3], [30.0, -9.0, 0.0]])


def softmax(logits):
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    return np.clip(exponentials / exponentials.sum(1, keepdims=True), 1e-4, 1 - 1e-4)


def by_definition(logits, memory, weight):
    """The loss with a memory that is already moved."""
    regularisation = np.log(1 - (memory * softmax(logits)).sum(1)).mean()
    return numpy_cross_entropy(logits, LABELS).mean() + weight * regularisation


@pytest.mark.parametrize(("weight", "momentum"), [(3.0, 0.7), (1.0, 0.9)])
def test_two_steps_against_numpy(weight, momentum):
    answers = [leaf(LOGITS), leaf(LOGITS[:, ::-1].copy())]
    network = Scripted(*((logits, None) for logits in answers))
    network.register_buffer("memory", torch.zeros(3, 3, dtype=torch.float64))
    memory = np.zeros((3, 3))
    for logits in answers:
        losses = ELR(memory_weight=weight, momentum=momentum).loss(network, batch(3, LABELS))
        values = logits.detach().numpy()
        clipped = softmax(values)
        memory = momentum * memory + (1 - momentum) * clipped / clipped.sum(1, keepdims=True)
        assert np.allclose(network.memory.numpy(), memory, atol=1e-12)
        assert losses["loss"].item() == pytest.approx(
            by_definition(values, memory, weight), abs=1e-12
        )
        losses["loss"].backward()
        fixed = memory  # the memory has no gradient
        expected = numpy_gradient(lambda x, t=fixed: by_definition(x, t, weight), values)
        assert np.allclose(logits.grad.numpy(), expected, atol=1e-8)


def test_what_was_learnt_early_holds_against_a_wrong_label():
    """Without memory the gradient pulls to the label; with a sure memory it does not."""
    gradients = []
    for memory in (torch.zeros(1, 2), torch.tensor([[0.95, 0.05]])):
        network = Scripted((leaf([[2.0, 0.0]]), None))
        network.register_buffer("memory", memory.double())
        ELR().loss(network, batch(1, [1]))["loss"].backward()
        gradients.append(network.answers[0][0].grad[0, 1].item())
    assert gradients[0] < -0.2 and gradients[1] > -0.05


def test_a_face_that_comes_twice_is_stored_once():
    memory, twice = torch.zeros(4, 2), batch(3, [0, 1, 0])
    twice.index = torch.tensor([3, 1, 3])
    rows = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    after = remember(memory, twice, rows, beta=0.5)
    assert torch.allclose(after, rows / 2)
    assert torch.allclose(memory, torch.tensor([[0, 0], [0.25, 0.25], [0, 0], [0.1, 0.4]]))


def test_the_memory_is_a_part_of_the_run():
    faces = striped_faces()
    noisy = inject_noise(faces.train.labels, 0.25, 3)
    run = train(ELR(), small_network(), faces, noisy, **QUICK)
    memory = run.network.memory
    assert memory.shape == (96, 3) and memory.dtype == torch.float32
    # After four epochs a share of 1 - 0.7**4 of the memory is filled.
    assert torch.allclose(memory.sum(1), torch.full((96,), 1 - 0.7**4), atol=1e-5)
    assert (memory.argmax(1) == noisy.true).double().mean() > 0.8
    assert with_memory(small_network(), 5, 3).memory.tolist() == [[0.0] * 3] * 5

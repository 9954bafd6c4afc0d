"""Networks: shapes, the identity of maps and logits, and who receives which gradient."""

from __future__ import annotations

import pytest
import torch
from conftest import same_weights
from torch.nn import functional

from eacbook.augment import mirror
from eacbook.errors import InputError
from eacbook.networks import NETWORKS, build_network, evaluation_mode

CASES = [("tiny", 48, 6), ("resnet18", 64, 2), ("resnet50", 64, 2)]


@pytest.mark.parametrize(("name", "pixels", "cells"), CASES)
def test_logits_are_the_mean_of_the_maps_and_the_bias(name, pixels, cells):
    network = build_network(name, 5).eval()
    images = torch.randn(2, 3, pixels, pixels, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits, maps = network(images)
    assert logits.shape == (2, 5)
    assert maps.shape == (2, 5, cells, cells)
    assert maps.std() > 0
    torch.testing.assert_close(maps.mean((2, 3)) + network.fc.bias, logits)


@pytest.mark.parametrize("loss", [lambda m: m.pow(2).mean(), lambda m: m.amax(), lambda m: m.sum()])
def test_a_loss_on_the_maps_moves_the_features_and_never_the_classifier(loss):
    network = build_network("tiny", 7)
    _, maps = network(torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0)))
    loss(maps).backward()
    assert network.fc.weight.grad is None and network.fc.bias.grad is None
    assert all(p.grad is not None and p.grad.any() for p in network.backbone.parameters())


def test_a_loss_on_the_logits_moves_both():
    network = build_network("tiny", 7)
    logits, _ = network(torch.randn(3, 3, 48, 48, generator=torch.Generator().manual_seed(0)))
    functional.cross_entropy(logits, torch.tensor([0, 1, 2])).backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


def test_a_seed_gives_the_weights_and_leaves_the_callers_random_state():
    torch.manual_seed(123)
    before = torch.random.get_rng_state()
    one, again, other = (build_network("tiny", 7, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same_weights(one, again)
    assert not torch.equal(one.fc.weight, other.fc.weight)
    assert not torch.equal(one.backbone[0][0].weight, other.backbone[0][0].weight)


def test_tiny_is_tiny():
    count = sum(p.numel() for p in build_network("tiny", 7).parameters())
    assert count == 147_159, "as its docstring says"


def test_an_unknown_network_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match=f"'vgg'.*{', '.join(NETWORKS)}"):
        build_network("vgg", 7)


@pytest.mark.parametrize("name", ["tiny", "resnet18"])
def test_unknown_weights_are_refused(name):
    with pytest.raises(InputError, match="'faces'"):
        build_network(name, 7, weights="faces")


@pytest.mark.parametrize("raises", [False, True])
def test_evaluation_mode_restores_every_modules_own_mode(raises):
    network = build_network("tiny", 7).train()
    frozen = network.backbone[1].eval()
    before = [module.training for module in network.modules()]

    def look():
        with evaluation_mode(network):
            assert not any(module.training for module in network.modules())
            if raises:
                raise ZeroDivisionError

    if raises:
        with pytest.raises(ZeroDivisionError):
            look()
    else:
        look()
    assert [module.training for module in network.modules()] == before
    assert network.training and not frozen.training


@pytest.mark.parametrize("shape", [(2, 7, 6, 6), (2, 7, 7, 7), (1, 8, 5, 9)])
def test_the_papers_grid_sampling_is_the_flip_along_the_width(shape):
    """The published code flips maps by a grid of -x at align_corners; nothing is interpolated."""
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    flip = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]).expand(len(maps), 2, 3)
    grid = functional.affine_grid(flip, list(shape), align_corners=True)
    sampled = functional.grid_sample(
        maps, grid, mode="bilinear", padding_mode="border", align_corners=True
    )
    torch.testing.assert_close(sampled, mirror(maps), atol=1e-6, rtol=1e-6)

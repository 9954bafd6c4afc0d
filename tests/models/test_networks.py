"""Networks: shapes, the identity of maps and logits, and who receives which gradient."""

from __future__ import annotations

import pytest
import torch
from conftest import same_weights
from torch.nn import functional

from eacbook.augment.normalise import mirror
from eacbook.errors import InputError
from eacbook.models.networks import build_network, evaluation_mode
from eacbook.models.registry import NETWORKS

CASES = [
    ("tiny", 48, 6),
    ("resnet18", 64, 2),
    ("resnet50", 64, 2),
    ("resnet18-caffe", 64, 2),
    ("resnet50-caffe", 64, 2),
]


@pytest.mark.slow
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
    assert count == 100_311, "as its docstring says"


def test_an_unknown_network_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match=f"'vgg'.*{', '.join(NETWORKS)}"):
        build_network("vgg", 7)


@pytest.mark.parametrize("name", ["tiny", "resnet18"])
def test_unknown_weights_are_refused(name):
    with pytest.raises(InputError, match="'faces'"):
        build_network(name, 7, weights="faces")


def caffe_resnet(state, images, depths, strides):
    """A ResNet as VGGFace2's authors have it, from its tensors alone, written without torchvision.

    Args:
        state: under the published names; running statistics are used.
        depths: blocks of each of the four layers.
        strides: of a block's convolutions, in those blocks that halve the resolution.
    """

    def convolution(x, name, stride=1):
        weight = state[f"{name}.weight"]
        return functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)

    def normalisation(x, name):
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        scale = state[f"{name}.weight"] / (variance + 1e-5).sqrt()
        shift = state[f"{name}.bias"] - mean * scale
        return x * scale[:, None, None] + shift[:, None, None]

    def block(x, name, halves):
        y = x
        for number, stride in enumerate(strides, 1):
            y = convolution(y, f"{name}.conv{number}", stride if halves else 1)
            y = normalisation(y, f"{name}.bn{number}")
            y = y.relu() if number < len(strides) else y
        if f"{name}.downsample.0.weight" in state:
            x = convolution(x, f"{name}.downsample.0", 2 if halves else 1)
            x = normalisation(x, f"{name}.downsample.1")
        return (x + y).relu()

    x = normalisation(convolution(images, "conv1", 2), "bn1").relu()
    # No padding and rounded up: the last window hangs over an even edge, and counts what is there.
    x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
    for layer, depth in enumerate(depths, 1):
        for number in range(depth):
            x = block(x, f"layer{layer}.{number}", halves=layer > 1 and number == 0)
    return x


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "depths", "strides"),
    [("resnet18", (2, 2, 2, 2), (2, 1)), ("resnet50", (3, 4, 6, 3), (2, 1, 1))],
)
@pytest.mark.parametrize("pixels", [64, 100])
def test_the_caffe_style_networks_compute_what_their_weights_were_trained_for(
    name, depths, strides, pixels
):
    """The same tensors give something else in torchvision's network, in the same shape."""
    caffe, ours = build_network(f"{name}-caffe", 7).eval(), build_network(name, 7).eval()
    generator = torch.Generator().manual_seed(0)
    state = caffe.backbone.state_dict()
    for key, tensor in state.items():
        if key.endswith("running_mean"):
            tensor.copy_(0.1 * torch.randn(tensor.shape, generator=generator))
        elif key.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    ours.load_state_dict(caffe.state_dict())
    images = torch.randn(1, 3, pixels, pixels, generator=generator)
    with torch.no_grad():
        expected = caffe_resnet(state, images, depths, strides)
        features, others = caffe.backbone(images), ours.backbone(images)
    torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-3 * expected.std().item())
    assert others.shape == features.shape
    assert (others - features).abs().mean() > 0.1 * features.std()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18-caffe", "resnet50-caffe"])
def test_the_sizes_of_the_papers_maps(name):
    """224 pixels become 112, 56 by the pooling that rounds up, and in the end 7."""
    network = build_network(name, 7).eval()
    sizes = []
    for part in ("conv1", "maxpool", "layer4"):
        network.backbone.get_submodule(part).register_forward_hook(
            lambda _module, _inputs, output: sizes.append(tuple(output.shape[2:]))
        )
    with torch.no_grad():
        _, maps = network(torch.zeros(1, 3, 224, 224))
    assert sizes == [(112, 112), (56, 56), (7, 7)]
    assert maps.shape == (1, 7, 7, 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet18-caffe", "resnet50-caffe"])
def test_the_parts_of_a_resnet_keep_their_published_names(name):
    import torchvision

    published = torchvision.models.get_model(name.removesuffix("-caffe")).state_dict()
    shapes = {key: tensor.shape for key, tensor in published.items() if not key.startswith("fc.")}
    own = build_network(name, 7).backbone.state_dict()
    assert {key: tensor.shape for key, tensor in own.items()} == shapes


@pytest.mark.parametrize(
    ("name", "sizes", "ramp"),
    [("tiny", 3123.24045, 316.139747), ("resnet18", 229418.724, 3827.25)],
)
def test_a_seed_gives_the_weights_that_stored_runs_began_with(name, sizes, ramp):
    """To rounding: the last bits of normal random numbers depend on the processor."""
    state = build_network(name, 7, seed=0).state_dict()
    values = torch.cat([tensor.double().flatten() for tensor in state.values()])
    places = torch.linspace(0, 1, len(values), dtype=torch.float64)
    assert values.abs().sum().item() == pytest.approx(sizes, rel=1e-5)
    assert (values * places).sum().item() == pytest.approx(ramp, rel=1e-5)


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

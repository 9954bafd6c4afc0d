"""Class activation maps of faces and of their mirror images."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import small_network
from torch import nn

from eacbook.augment.normalise import mirror, normalise
from eacbook.data.images import ImageFile
from eacbook.evaluation import attention
from eacbook.evaluation.attention import attention_maps, heat, region_share, relative_difference
from eacbook.methods.eac import flip_consistency


def random_maps(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def test_flip_consistency_by_hand():
    maps = torch.tensor([[[[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]]])
    of_mirror = torch.tensor([[[[3.0, 2.0, 5.0], [0.0, 0.0, 1.0]]]])
    # Flipped back: 5 2 3 / 1 0 0, so the differences are -4 and -1 in six places.
    assert flip_consistency(maps, of_mirror).item() == pytest.approx(17 / 6)


def test_flip_consistency_is_zero_exactly_for_maps_that_follow_the_mirror():
    maps = random_maps(2, 7, 6, 6)
    assert flip_consistency(maps, mirror(maps)).item() == 0
    assert flip_consistency(maps, maps).item() > 0


def test_flip_consistency_takes_the_mean_over_every_axis():
    maps, other = random_maps(2, 3, 4, 5), random_maps(2, 3, 4, 5, seed=1)
    once = flip_consistency(maps, other).item()
    for repeats in [(4, 1, 1, 1), (1, 4, 1, 1), (1, 1, 4, 1)]:
        assert flip_consistency(maps.repeat(repeats), other.repeat(repeats)).item() == (
            pytest.approx(once)
        )


def test_flip_consistency_is_differentiable_in_both():
    maps, other = random_maps(1, 2, 2, 3), random_maps(1, 2, 2, 3, seed=1)
    assert torch.autograd.gradcheck(
        flip_consistency, (maps.requires_grad_(), other.requires_grad_())
    )


@pytest.mark.parametrize("size", [None, 24])
def test_maps_are_those_of_the_faces_and_of_their_mirror_images(faces, size):
    network = small_network().train()
    images = faces.test.images[:5]
    logits, maps, of_mirror = attention_maps(network, images, size)
    assert logits.shape == (5, 3)
    assert maps.shape == of_mirror.shape == (5, 3, *[2 if size is None else 3] * 2)
    assert all(module.training for module in network.modules())

    network.eval()
    with torch.no_grad():
        expected_logits, expected = network(normalise(images, size))
        _, expected_of_mirror = network(normalise(images.flip(3), size))
    torch.testing.assert_close(logits, expected_logits)
    torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(of_mirror, expected_of_mirror)
    assert not torch.allclose(of_mirror, maps)
    assert not torch.allclose(of_mirror, mirror(maps))


def test_many_faces_come_in_batches_and_may_stay_in_their_file(tmp_path, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (7, 16, 16, 1), generator=generator, dtype=torch.uint8)
    np.save(tmp_path / "images.npy", pixels.numpy())
    images, network = pixels.permute(0, 3, 1, 2), small_network()
    whole = attention_maps(network, images)
    monkeypatch.setattr(attention, "BATCH_SIZE", 3)
    counts = []
    network.register_forward_hook(lambda _, given, __: counts.append(len(given[0])))
    for source in (images, ImageFile(tmp_path / "images.npy")):
        for found, expected in zip(attention_maps(network, source), whole, strict=True):
            torch.testing.assert_close(found, expected)
    assert counts == [3, 3, 3, 3, 1, 1] * 2
    assert [len(values) for values in attention_maps(network, images[:0])] == [0, 0, 0]


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = nn.Linear(1, 1)

    def forward(self, x):
        raise ZeroDivisionError


def test_a_failing_network_gets_its_mode_back(faces):
    network = Failing().train()
    network.part.eval()
    with pytest.raises(ZeroDivisionError):
        attention_maps(network, faces.test.images[:2])
    assert network.training and not network.part.training


def test_heat_lies_between_zero_and_one_and_reaches_one_on_every_positive_map():
    pictures = heat(random_maps(2, 3, 6, 6) * 100, size=48)
    assert pictures.shape == (2, 3, 48, 48)
    assert pictures.min() == 0
    torch.testing.assert_close(pictures.amax((-2, -1)), torch.ones(2, 3))


def test_heat_of_a_negative_map_is_dark():
    assert heat(-torch.ones(3, 6, 6), size=12).max() == 0


def test_relative_difference_does_not_depend_on_the_scale_and_is_that_of_every_face():
    maps, other = random_maps(4, 3, 7, 6, 6), random_maps(4, 3, 7, 6, 6, seed=1)
    difference = relative_difference(maps, other)
    assert difference.shape == (4, 3)
    torch.testing.assert_close(difference, relative_difference(10 * maps, 10 * other))
    both = torch.stack([maps[1, 2], other[1, 2]])
    expected = flip_consistency(maps[1, 2][None], other[1, 2][None]) / both.var(correction=0)
    torch.testing.assert_close(difference[1, 2], expected)
    assert (relative_difference(maps, mirror(maps)) == 0).all()
    torch.testing.assert_close(
        difference.mean(), torch.tensor(2.0, dtype=torch.float64), atol=0.1, rtol=0
    )


def test_region_share_by_hand():
    attention = torch.tensor([[1.0, 3.0], [-5.0, 0.0]])
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[0, 0] = True  # a quarter of the first place
    mask[:2, 2:] = True  # all of the second
    mask[3] = True  # half of the third and the fourth, which have no positive attention
    assert region_share(attention, mask).item() == pytest.approx((0.25 + 3) / 4)
    assert region_share(attention, torch.ones(4, 4, dtype=torch.bool)).item() == 1
    several = region_share(attention.expand(5, 3, 2, 2), mask.expand(3, 4, 4))
    assert several.shape == (5, 3)
    assert region_share(-attention.abs(), mask).isnan()


@pytest.mark.parametrize(("places", "pixels"), [(6, 48), (7, 48), (13, 100), (5, 3)])
def test_region_share_of_any_size_is_the_area_for_even_attention(places, pixels):
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand((pixels, pixels), generator=generator) < 0.3
    share = region_share(torch.ones(places, places), mask).item()
    assert share == pytest.approx(mask.float().mean().item(), abs=1e-5)

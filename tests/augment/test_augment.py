"""The views of a batch: distributed as torchvision's, and the same stream for every method."""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eacbook.augment import streams as streams_module
from eacbook.augment.batch import Batch, camera_noise
from eacbook.augment.erasing import RandomErasing, erase_
from eacbook.augment.normalise import MEAN, STD, mirror, normalise
from eacbook.augment.streams import Streams
from eacbook.methods import EAC, Baseline

DRAWS, PICTURES = 100_000, 20_000
PAPER = {"scale": (0.02, 0.25), "ratio": (0.3, 3.3)}


def random_images(count=8, channels=1, height=16, width=16, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, height, width)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def streams(seed=0, counts=(8,)):
    return Streams(lambda name: hash((seed, *name.encode())), counts)


def batch(seed=0, images=None, size=None):
    images = random_images() if images is None else images
    labels = torch.zeros(len(images), dtype=torch.int64)
    index = torch.arange(len(images))
    return Batch(images, labels, index, streams(seed, [len(images)]), size=size)


# ------------------------------------------------------------------------------ random erasing


def kolmogorov_smirnov(one, other):
    """Largest distance between two empirical distributions."""
    values = np.concatenate([one, other])
    ranks = [np.searchsorted(np.sort(a), values, side="right") / len(a) for a in (one, other)]
    return np.abs(ranks[0] - ranks[1]).max()


def torchvisions_transforms():
    from torchvision import transforms  # loads torch's compiler, which takes seconds

    return transforms


@functools.cache
def torchvisions_rectangles(height, width):
    """Top, left, height and width of every rectangle that torchvision finds room for."""
    image = torch.ones(1, height, width)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = [
            torchvisions_transforms().RandomErasing.get_params(image, **PAPER, value=[0.0])[:4]
            for _ in range(DRAWS)
        ]
    return np.array([draw for draw in draws if draw[2:] != image.shape[1:]], dtype=float)


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width"), [(48, 48), (20, 61)])
def test_rectangles_are_distributed_as_torchvisions(height, width):
    theirs = torchvisions_rectangles(height, width)
    generator = torch.Generator().manual_seed(1)
    drawn = RandomErasing(1.0, **PAPER).rectangles([DRAWS], height, width, generator).numpy()
    ours = drawn[drawn[:, 2] > 0].astype(float)
    assert abs(len(ours) - len(theirs)) < 0.01 * DRAWS

    quantities = {
        "top": lambda r: r[:, 0],
        "left": lambda r: r[:, 1],
        "height": lambda r: r[:, 2],
        "width": lambda r: r[:, 3],
        "area": lambda r: r[:, 2] * r[:, 3],
        "aspect": lambda r: r[:, 2] / r[:, 3],
        "room above": lambda r: r[:, 0] / (height - r[:, 2]),
        "room to the left": lambda r: r[:, 1] / (width - r[:, 3]),
        # Would be narrower or wider if the two were not drawn separately.
        "off the diagonal": lambda r: r[:, 0] / (height - r[:, 2]) - r[:, 1] / (width - r[:, 3]),
    }
    # Two samples of one distribution are further apart than this once in ten million times.
    bound = 2.9 * math.sqrt(2 / DRAWS)
    for name, quantity in quantities.items():
        distance = kolmogorov_smirnov(quantity(ours), quantity(theirs))
        assert distance < bound, name


@pytest.mark.slow
@pytest.mark.parametrize("scale", [(0.02, 0.25), (0.7, 1.0)])
def test_as_many_images_are_erased_as_by_torchvision(scale):
    """Large rectangles often find no room in ten attempts; the image then stays whole."""
    images = torch.ones(PICTURES, 1, 12, 20)
    theirs = torchvisions_transforms().RandomErasing(0.5, scale)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        expected = np.mean([(theirs(image) == 0).any().item() for image in images])
    generator = torch.Generator().manual_seed(0)
    rectangles = RandomErasing(0.5, scale).rectangles([PICTURES], 12, 20, generator)
    share = (erase_(images, rectangles) == 0).flatten(1).any(1).float().mean().item()
    # Five standard deviations of the difference of two shares.
    assert abs(share - expected) < 5 * math.sqrt(2 * 0.25 / PICTURES)


@pytest.mark.slow
def test_the_bound_of_the_comparison_would_notice_a_wrong_distribution():
    theirs = torchvisions_rectangles(48, 48)
    generator = torch.Generator().manual_seed(1)
    wrong = RandomErasing(1.0, (0.02, 0.26), (0.3, 3.3)).rectangles([DRAWS], 48, 48, generator)
    areas = (wrong[:, 2] * wrong[:, 3]).numpy().astype(float)
    distance = kolmogorov_smirnov(areas, theirs[:, 2] * theirs[:, 3])
    assert distance > 2.9 * math.sqrt(2 / DRAWS)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).map(tuple),
    st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)).map(sorted).map(tuple),
    st.integers(0, 2**31),
)
def test_every_rectangle_lies_inside_the_image(height, width, scale, ratio, seed):
    erasing = RandomErasing(0.8, scale, ratio)
    rectangles = erasing.rectangles([50], height, width, torch.Generator().manual_seed(seed))
    top, left, h, w = rectangles.unbind(1)
    assert rectangles.dtype == torch.int64
    assert (rectangles >= 0).all()
    assert (top + h <= height).all() and (left + w <= width).all()
    assert (h < height).all() and (w < width).all(), "an image is never erased whole"


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 30), st.integers(2, 30), st.integers(0, 2**31))
def test_erased_pixels_are_zero_and_all_others_untouched(height, width, seed):
    images = torch.rand(20, 3, height, width) + 1
    generator = torch.Generator().manual_seed(seed)
    rectangles = RandomErasing(0.7).rectangles([20], height, width, generator)
    expected = images.clone()
    for picture, (top, left, h, w) in zip(expected, rectangles.tolist(), strict=True):
        picture[:, top : top + h, left : left + w] = 0
    assert torch.equal(erase_(images, rectangles), expected)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 2**31))
def test_rectangles_of_an_epoch_are_those_of_its_batches_one_after_the_other(counts, seed):
    one, other = (torch.Generator().manual_seed(seed) for _ in range(2))
    at_once = RandomErasing().rectangles(counts, 48, 40, one)
    in_turn = [RandomErasing().rectangles([count], 48, 40, other) for count in counts]
    assert torch.equal(at_once, torch.cat(in_turn))


def test_probability_zero_erases_nothing_and_one_erases_all(generator):
    draw = functools.partial(RandomErasing.rectangles, counts=[500], height=48, width=48)
    assert not draw(RandomErasing(0.0), generator=generator)[:, 2:].any()
    assert (draw(RandomErasing(1.0), generator=generator)[:, 2:] > 0).all()


# ------------------------------------------------------------------------------ normalisation


def test_normalisation_is_torchvisions():
    images = random_images(channels=3)
    theirs = torchvisions_transforms().Normalize(MEAN, STD)(images / 255)
    torch.testing.assert_close(normalise(images), theirs, atol=1e-6, rtol=0, check_stride=False)


def test_normalisation_by_hand():
    black, white = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    assert normalise(black[None]).flatten().tolist() == pytest.approx(
        [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225]
    )
    assert normalise(white[None]).flatten().tolist() == pytest.approx(
        [0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225]
    )


def test_grey_pictures_get_three_channels():
    grey = random_images()
    assert torch.equal(normalise(grey), normalise(grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("size", [8, 24])
def test_resizing_is_torchvisions(size):
    images = random_images(channels=3, height=16, width=20)
    resized = torchvisions_transforms().functional.resize(
        images.float(), [size, size], antialias=True
    )
    theirs = torchvisions_transforms().Normalize(MEAN, STD)(resized / 255)
    torch.testing.assert_close(
        normalise(images, size), theirs, atol=1e-5, rtol=0, check_stride=False
    )


def test_the_stored_size_is_kept_unless_another_is_asked_for():
    images = random_images(height=16, width=16)
    assert torch.equal(normalise(images), normalise(images, 16))


# ------------------------------------------------------------------------------ camera noise


def runs_with_noise(length, count=120, seed=0):
    """int16 ``[n,length]`` of the images that get some."""
    runs = streams(seed, [count]).noise(0, length)
    return runs[runs.any(1)]


def test_camera_noise_is_gaussian_with_variance_30_rounded_down():
    images = torch.full((800, 1, 16, 16), 128, dtype=torch.uint8)
    noisy = camera_noise(images, streams(counts=[800]).noise(0, 16 * 16))
    differences = noisy.double() - 128
    differences = differences[differences.flatten(1).any(1)]
    # Rounding down takes half a grey level from the mean and adds 1/12 to the variance.
    assert abs(differences.mean() + 0.5) < 0.1
    assert abs(differences.var() - 30 - 1 / 12) < 1
    steps = torch.arange(-12, 12)
    shares = torch.stack([(differences == step).double().mean() for step in steps])
    normal = torch.distributions.Normal(0.0, math.sqrt(30))
    expected = normal.cdf(steps + 1.0) - normal.cdf(steps.float())
    assert (shares - expected).abs().max() < 0.005
    assert (images == 128).all(), "the images that were given stay as they were"


def test_camera_noise_does_not_repeat_from_image_to_image_or_from_pixel_to_pixel():
    runs = runs_with_noise(3 * 48 * 48).double()
    correlations = torch.corrcoef(runs).fill_diagonal_(0)
    bound = 6 / math.sqrt(runs.shape[1])
    assert correlations.abs().max() < bound
    # The next pixel, channel and row.
    for apart in (1, 3, 3 * 48):
        pairs = torch.stack([runs[:, apart:].flatten(), runs[:, :-apart].flatten()])
        assert abs(torch.corrcoef(pairs)[0, 1]) < 0.01
    other = runs_with_noise(3 * 48 * 48, seed=1)
    assert not torch.equal(runs[0], other[0].double())


def test_every_batch_of_an_epoch_has_noise_of_its_own():
    epoch = streams(counts=[40, 40])
    first, second = (epoch.noise(batch, 3 * 16 * 16) for batch in range(2))
    assert first.any(1).sum() > 5 and second.any(1).sum() > 5
    assert not torch.equal(first.any(1), second.any(1))
    assert not (first[first.any(1)][:, None] == second).all(2).any(), "no run twice"


def test_a_device_that_would_copy_the_strip_gets_the_same_noise(monkeypatch):
    expected = streams(counts=[40]).noise(0, 3 * 16 * 16)
    monkeypatch.setattr(streams_module, "GATHER_FROM_VIEWS", ())
    noise = streams(counts=[40]).noise(0, 3 * 16 * 16)
    assert noise.dtype == torch.int16 and torch.equal(noise, expected)


def test_images_may_be_larger_than_the_usual_strip_of_noise():
    runs = runs_with_noise(3 * 700 * 700, count=8)
    assert len(runs) > 1 and not torch.equal(runs[0], runs[1])
    assert runs.bool().float().mean() > 0.9, "noise to the end"


@pytest.mark.parametrize("value", [0, 255])
def test_camera_noise_is_clipped_and_never_wraps_around(value):
    images = torch.full((50, 3, 16, 16), value, dtype=torch.uint8)
    noisy = camera_noise(images, streams(counts=[50]).noise(0, 3 * 16 * 16))
    assert noisy.min() >= 0 and noisy.max() <= 255
    assert (noisy - value).abs().max() < 50
    assert (noisy != value).any()


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(st.integers(2, 9), st.sampled_from([1, 3]), st.booleans(), st.integers(0, 2**31))
def test_any_memory_layout_gives_the_same_views(count, channels, channels_last, seed):
    """Images drawn here are stored channel by channel, prepared ones pixel by pixel."""
    images = random_images(count, channels, 9, 7, seed)
    stored = images.contiguous(memory_format=torch.channels_last) if channels_last else images
    for view in ("original", "mirrored", "flipped"):
        expected = getattr(batch(seed, images), view)(RandomErasing())
        result = getattr(batch(seed, stored), view)(RandomErasing())
        assert torch.equal(result, expected)
        assert result.is_contiguous(memory_format=torch.channels_last)


# ------------------------------------------------------------------------------ views of a batch


def test_the_original_view_is_the_same_whatever_else_is_drawn():
    """Baseline (erase, flip) and EAC (erase, mirrored view) see the same stream."""
    erasing = RandomErasing()
    alone, beside_flip, beside_mirror = batch(), batch(), batch()
    expected = alone.original(erasing)
    flipped = beside_flip.flipped(erasing)
    turned = (flipped != expected).flatten(1).any(1)
    assert torch.equal(flipped[turned], mirror(expected[turned]))
    beside_mirror.mirrored(erasing)
    assert torch.equal(beside_mirror.original(erasing), expected)
    assert torch.equal(alone.original(erasing), expected), "asked for again"
    assert not torch.equal(batch(seed=1).original(erasing), batch(seed=0).original(erasing))


class Recording(torch.nn.Module):
    """Remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(7))
        self.seen = []

    def forward(self, x):
        self.seen.append(x.detach().clone())
        maps = x.mean(1, keepdim=True) * self.weight[None, :, None, None]
        return maps.mean((2, 3)), maps


def test_baseline_and_eac_see_the_same_first_view_up_to_the_flip():
    shown = {}
    for method in (Baseline(), EAC(), EAC(weight=0), EAC(labels_on_both_views=True)):
        network = Recording()
        method.loss(network, batch())
        shown[method] = network.seen[0]
    plain, *others = shown.values()
    for other in others:
        assert torch.equal(other, others[0])
        flipped = (plain != other).flatten(1).any(1)
        assert torch.equal(plain[flipped], mirror(other[flipped]))
        assert torch.equal(plain[~flipped], other[~flipped])


def test_the_two_views_are_erased_separately():
    images = torch.full((2000, 1, 16, 16), 200, dtype=torch.uint8)
    views = batch(images=images)
    first, second = (
        (view(RandomErasing()) == 0).flatten(1).any(1).float()
        for view in (views.original, views.mirrored)
    )
    assert first.mean() == pytest.approx(0.5, abs=0.06)
    assert second.mean() == pytest.approx(0.5, abs=0.06)
    correlation = torch.corrcoef(torch.stack([first, second]))[0, 1]
    assert abs(correlation) < 5 / math.sqrt(2000)


def test_the_mirrored_view_is_the_exact_mirror_without_camera_noise_where_nothing_is_erased():
    images = random_images(count=200)
    view = batch(images=images).mirrored(RandomErasing())
    expected = mirror(normalise(images))
    erased = (view == 0).all(1, keepdim=True).expand_as(view)
    assert 0 < erased.float().mean() < 0.2
    assert torch.equal(view[~erased], expected[~erased])
    assert torch.equal(batch(images=images).mirrored(None), expected)


def test_camera_noise_goes_to_half_of_the_images_each_drawn_by_itself():
    images = random_images(count=1000)
    changed = (batch(images=images).original(None) != normalise(images)).flatten(1).any(1).float()
    assert abs(changed.mean() - 0.5) < 5 * math.sqrt(0.25 / 1000)
    neighbours = torch.corrcoef(torch.stack([changed[1:], changed[:-1]]))[0, 1]
    assert abs(neighbours) < 5 / math.sqrt(999)


def test_half_of_a_view_is_flipped_and_every_image_is_itself_or_its_mirror():
    images = random_images(count=400)
    view, flipped = batch(images=images).original(None), batch(images=images).flipped(None)
    same = (flipped == view).flatten(1).all(1)
    turned = (flipped == mirror(view)).flatten(1).all(1)
    assert (same ^ turned).all()
    assert turned.float().mean() == pytest.approx(0.5, abs=0.13)


def test_a_view_has_the_size_that_was_asked_for():
    views = batch(size=24)
    assert views.original(RandomErasing()).shape == (8, 3, 24, 24)
    assert views.mirrored(RandomErasing()).shape == (8, 3, 24, 24)

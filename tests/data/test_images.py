"""Images in memory and in a file give the same bytes, whatever is asked for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eacbook.data.images import ImageFile, bring, fetch
from eacbook.errors import InputError


def random_pixels(count, height=5, width=4, channels=3, seed=0):
    shape = count, height, width, channels
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def saved(tmp_path):
    """A file of 20 images and the same images in memory."""
    pixels = random_pixels(20)
    np.save(tmp_path / "images.npy", pixels)
    return tmp_path / "images.npy", torch.from_numpy(pixels).permute(0, 3, 1, 2)


def test_a_file_is_indexed_as_a_tensor_is(saved):
    path, images = saved
    file = ImageFile(path)
    assert file.shape == images.shape and len(file) == 20 and file.dtype == images.dtype
    for index in (3, -1, slice(None), slice(2, 9), slice(5, 5), torch.tensor([7, 0, 7])):
        assert torch.equal(file[index], images[index])
    mask = torch.arange(20) % 3 == 0
    assert torch.equal(file[mask], images[mask])


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(data=st.data(), channels=st.sampled_from([1, 3]), count=st.integers(1, 12))
def test_fetching_is_indexing_from_memory_in_either_layout_and_from_a_file(
    tmp_path_factory, data, channels, count
):
    pixels = random_pixels(count, channels=channels, seed=count)
    path = tmp_path_factory.mktemp("images") / "images.npy"
    np.save(path, pixels)
    stored = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    first = data.draw(st.lists(st.integers(0, count - 1), min_size=1))
    second = data.draw(st.lists(st.integers(0, len(first) - 1)))
    first, index = torch.tensor(first), torch.tensor(second, dtype=torch.int64)
    expected = stored[first][index]
    assert torch.equal(fetch(stored[first].contiguous(), index), expected)
    assert torch.equal(fetch(bring(stored[first], "cpu"), index), expected)
    assert torch.equal(fetch(ImageFile(path).take(first), index), expected)


def test_several_threads_may_read_at_once(saved):
    path, images = saved
    file, together = ImageFile(path), threading.Barrier(4)

    def read(seed):
        order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
        together.wait()
        return all(torch.equal(file[order], images[order]) for _ in range(50))

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(read, range(4)))


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((2, 3, 3, 3), np.float32), "holds float32"),
        (np.zeros((2, 3, 3), np.uint8), r"holds uint8 \(2, 3, 3\)"),
        (np.asfortranarray(random_pixels(2)), "holds uint8"),
        (np.array([{"a": 1}], dtype=object), "no .npy file"),
    ],
)
def test_another_array_is_refused(tmp_path, array, found):
    np.save(tmp_path / "images.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=f"images.npy.*{found}"):
        ImageFile(tmp_path / "images.npy")


def test_a_file_that_is_cut_off_is_refused_also_while_it_is_in_use(saved):
    path, _ = saved
    file = ImageFile(path)
    with path.open("r+b") as content:
        content.truncate(path.stat().st_size - 1)
    assert file[18].shape == (3, 5, 4)
    with pytest.raises(InputError, match="ends before image 19"):
        file[19]
    with pytest.raises(InputError, match="truncated"):
        ImageFile(path)

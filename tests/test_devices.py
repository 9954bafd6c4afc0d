"""How many threads compute on the CPU, and what torch is told to do on CUDA."""

from __future__ import annotations

import contextlib
import os

import psutil
import pytest
import torch
from conftest import QUICK, small_network
from torch.backends import cudnn
from torch.utils import deterministic

import eacbook as eb
from eacbook import devices
from eacbook.synthetic import faces as synthetic

ONE_EPOCH = QUICK | {"epochs": 1}


@pytest.fixture
def two_threads(monkeypatch):
    """As on a computer with two cores, whatever this one has."""
    monkeypatch.setattr(devices.joblib, "cpu_count", lambda: 2)
    with devices.use_threads(2):
        yield


@pytest.mark.parametrize(
    ("percent", "threads"),
    [([0.0, 0.0], 2), ([100.0, 4.0], 1), ([30.0, 10.0], 2), ([100.0, 100.0], 1), ([0.0] * 8, 2)],
)
def test_threads_are_as_many_as_free_cores(monkeypatch, two_threads, percent, threads):
    monkeypatch.setattr(psutil, "cpu_percent", lambda seconds, percpu: percent)
    assert devices.choose_threads() == threads


def test_one_thread_is_never_asked_about(monkeypatch):
    monkeypatch.setattr(psutil, "cpu_percent", None)
    with devices.use_threads(1):
        assert devices.choose_threads() == 1


def test_threads_are_as_before_after_an_error(two_threads):
    with pytest.raises(KeyError), devices.use_threads(1):
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == 2


def test_faces_are_drawn_by_one_thread(monkeypatch, two_threads):
    """Two took 60 times as long with one of two cores busy."""
    seen = []
    photograph = synthetic.photograph

    def spy(*args):
        seen.append(torch.get_num_threads())
        return photograph(*args)

    monkeypatch.setattr(synthetic, "photograph", spy)
    eb.synthetic_faces(train=14, test=7, validation=7)
    assert set(seen) == {1}
    assert torch.get_num_threads() == 2


def torchs_settings():
    return (
        torch.get_deterministic_debug_mode(), cudnn.deterministic, cudnn.benchmark,
        deterministic.fill_uninitialized_memory,
    )  # fmt: skip


@pytest.fixture
def a_gpu(monkeypatch):
    """As on a computer with one GPU, as far as torch can say so without one."""
    monkeypatch.delenv(devices.CUBLAS_SETTING, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


@pytest.mark.parametrize(("before", "inside"), [(0, 1), (1, 1), (2, 2)])
def test_cuda_is_deterministic_inside_and_as_before_outside(before, inside):
    torch.set_deterministic_debug_mode(before)
    cudnn.benchmark = True
    was = torchs_settings()
    try:
        with pytest.raises(KeyError), devices.deterministic_algorithms(torch.device("cuda", 0)):
            assert torchs_settings() == (inside, True, False, False)
            raise KeyError
        assert torchs_settings() == was
        with devices.deterministic_algorithms(torch.device("cpu")):
            assert torchs_settings() == was, "the CPU is left alone"
    finally:
        torch.set_deterministic_debug_mode(0)
        cudnn.benchmark = False


def test_cublas_is_told_before_anything_is_on_the_gpu(a_gpu, monkeypatch):
    assert devices.choose_device("cpu").type == "cpu"
    assert devices.CUBLAS_SETTING not in os.environ
    assert devices.choose_device().type == "cuda"
    assert os.environ[devices.CUBLAS_SETTING] == ":4096:8"
    monkeypatch.setenv(devices.CUBLAS_SETTING, ":16:8")
    devices.choose_device("cuda")
    assert os.environ[devices.CUBLAS_SETTING] == ":16:8", "the user's own value stays"


@pytest.mark.parametrize("wanted", [True, False])
def test_a_training_asks_for_it_only_where_the_recipe_does(faces, noisy, monkeypatch, wanted):
    asked = []
    monkeypatch.setattr(
        "eacbook.training.loop.deterministic_algorithms",
        lambda device: asked.append(device) or contextlib.nullcontext(),
    )
    eb.train(eb.Baseline(), small_network(), faces, noisy, deterministic=wanted, **ONE_EPOCH)
    assert asked == [torch.device("cpu")] * wanted

"""How many threads compute on the CPU."""

from __future__ import annotations

import psutil
import pytest
import torch

import eacbook as eb
from eacbook import devices
from eacbook.synthetic import faces as synthetic


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

"""Two processes train what one trains: the same curve, the same selections, the same labels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import train_in_processes
from conftest import prepare_stripes, small_network
from torch import nn

from eacbook.errors import InputError
from eacbook.experiments.runs import list_runs
from eacbook.training import distributed

SCRIPT = Path(__file__).parent / "train_in_processes.py"
TORCHRUN = [*(sys.executable, "-m", "torch.distributed.run"), "--standalone", "--nproc-per-node=2"]
pytestmark = pytest.mark.slow
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What one process and what both of two say of the same trainings, and the folder of the two."""
    folder = tmp_path_factory.mktemp("processes")
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    command = [*TORCHRUN, SCRIPT, folder / "two", folder / "runs-of-two"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ONE_THREAD) as two:
        try:
            train_in_processes.main(folder / "one", folder / "runs-of-one")
            _, bars = two.communicate(timeout=300)
        finally:
            two.terminate()
    assert two.returncode == 0, bars[-3000:]
    alone, *both = [json.loads(path.read_text()) for path in sorted(folder.glob("*/[01].json"))]
    return alone, both, folder, bars


def test_two_processes_give_the_curve_of_one(trained):
    alone, both, _, _ = trained
    assert len(both) == 2 and len(alone) == len(train_in_processes.METHODS)
    for name, one in alone.items():
        for other in (process[name] for process in both):
            assert other["losses"] == pytest.approx(one["losses"], rel=1e-3), name
            assert other["accuracies"] == pytest.approx(one["accuracies"], abs=1 / 48), name
            # A bias before batch normalisation has no gradient but rounding, which Adam makes a step.
            assert np.allclose(other["weights"], one["weights"], atol=1e-2), name


def test_what_is_said_of_every_sample_is_gathered(trained):
    alone, both, _, _ = trained
    for name, one in alone.items():
        for other in (process[name] for process in both):
            assert other["kept"].keys() == one["kept"].keys(), name
            for of_samples, kept in one["kept"].items():
                found = np.array(other["kept"][of_samples])
                assert found.shape[:2] == (2, 97) and not np.isnan(found).any()
                close = np.isclose(found, kept, rtol=1e-2, atol=1e-2).mean()
                assert close > 0.97, (name, of_samples, close)
    (scn,) = (one for name, one in alone.items() if name.startswith("SCN"))
    labels = np.array(scn["kept"]["labels"])
    assert (labels[0] != labels[1]).any(), "labels were changed in training"


def test_both_processes_end_with_the_same_numbers(trained):
    first, second = trained[1]
    for name, curves in first.items():
        assert curves["weights"] == pytest.approx(second[name]["weights"], abs=1e-6), name


def test_one_process_writes_the_runs_and_the_bars_and_all_find_them(trained):
    _, both, folder, bars = trained
    places = sorted((folder / "runs-of-two").glob("[!.]*"))
    assert len(places) == len(train_in_processes.METHODS) and not any(
        ".partial" in place.name for place in places
    )
    assert "UserWarning" not in bars and "FutureWarning" not in bars
    assert bars.count("  0%|") == len(train_in_processes.METHODS), "one process speaks"
    for process in both:
        assert not any(curves["stored"] for curves in process.values())
        assert all(curves["stored again"] for curves in process.values())
    found = train_in_processes.runs_in(folder / "runs-of-two")
    assert all(run.stored for run in found.values()), "in a process alone, too"


def test_the_command_trains_in_processes_and_speaks_once(tmp_path):
    data = prepare_stripes(tmp_path / "stripes")
    command = [*TORCHRUN, "-m", "eacbook", "train", "--data", data, "--method", "scn"]
    result = subprocess.run(
        [*command, "--epochs=1", "--device=cpu", f"--folder={tmp_path / 'runs'}"],
        capture_output=True, text=True, timeout=300, env=ONE_THREAD,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("96 training and 48 test faces") == 1
    assert result.stdout.count("test accuracy") == 1
    assert [place.name.partition("-")[0] for place in list_runs(tmp_path / "runs")] == ["scn"]


@pytest.fixture
def as_in_two(monkeypatch):
    """What is done with other processes, alone: a sum over all is one's own."""
    monkeypatch.setattr(distributed.distributed, "all_reduce", lambda values: None)
    monkeypatch.setattr(distributed.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(distributed, "DistributedDataParallel", nn.Sequential)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "options", [{}, {"affine": False}, {"track_running_stats": False}, {"momentum": None}]
)
def test_normalisation_by_all_processes_is_torchs_own(as_in_two, dtype, options):
    norm, own = torch.nn.BatchNorm2d(3, **options), torch.nn.BatchNorm2d(3, **options)
    synced = distributed.SyncedBatchNorm(norm)
    for _ in range(2):
        values = torch.randn(11, 3, 7, 7).to(dtype)
        found = synced(values)
        assert found.dtype == dtype
        torch.testing.assert_close(found, own(values.float()).to(dtype))
    torch.testing.assert_close(norm.state_dict(), own.state_dict())
    synced.eval(), own.eval()
    torch.testing.assert_close(synced(values.float()), own(values.float()))


def test_normalisation_of_one_value_is_not_nan(as_in_two):
    norm = torch.nn.BatchNorm1d(3)
    assert distributed.SyncedBatchNorm(norm)(torch.randn(1, 3)).isfinite().all()
    assert norm.running_var.isfinite().all()


class TwoNames(nn.Module):
    """A network with one backbone under two names, and in it one layer under two names."""

    def __init__(self):
        super().__init__()
        self.features = self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.backbone.again = self.backbone[1]
        self.nothing = None
        self.register_module("optional", None)
        self.fc = nn.Linear(4, 3)

    def forward(self, images):
        maps = self.backbone(images)
        return self.fc(maps.mean((2, 3))), maps


def test_a_module_under_two_names_is_shared_under_both(as_in_two, monkeypatch):
    network = TwoNames()
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    twin = distributed.wrap_for_training(network)
    assert twin.features is twin.backbone and isinstance(twin.backbone, distributed.SharedBackbone)
    inner = twin.backbone.backbone[0]
    assert inner.again is inner[1] and isinstance(inner[1], distributed.SyncedBatchNorm)
    assert twin.optional is None
    logits, _ = twin(torch.randn(4, 3, 8, 8))
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_normalisation_that_nobody_knows_is_refused(as_in_two, monkeypatch):
    class Odd(nn.BatchNorm2d):
        pass

    network = TwoNames()
    network.backbone[1] = Odd(4)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(InputError, match="Odd in the backbone cannot be trained by several"):
        distributed.wrap_for_training(network)


def test_alone_nothing_is_shared():
    network = small_network()
    assert distributed.world_size() == 1 and distributed.is_first()
    assert distributed.wrap_for_training(network) is network
    with distributed.process_group():
        distributed.broadcast_weights(network)
        distributed.wait_for_all()
        assert not torch.distributed.is_initialized()


@pytest.fixture
def launched(monkeypatch):
    """A process that torchrun started on a machine with two GPUs: a function of rank, processes, device.

    It returns the backend and the GPUs that the process took.
    """
    monkeypatch.setattr(distributed.distributed, "is_torchelastic_launched", lambda: True)
    monkeypatch.setattr(distributed.distributed, "destroy_process_group", lambda: None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    for name, value in (("is_available", True), ("device_count", 2), ("current_device", 0)):
        monkeypatch.setattr(torch.cuda, name, lambda value=value: value)
    taken = []
    monkeypatch.setattr(distributed.distributed, "init_process_group", taken.append)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)

    def launch(rank, processes, device):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        taken.clear()
        with distributed.process_group(device):
            return list(taken)

    return launch


@pytest.mark.parametrize(
    ("rank", "processes", "device", "taken"),
    [
        (1, 2, None, [1, "nccl"]),
        (1, 2, "cuda", [1, "nccl"]),
        (0, 1, "cuda:1", [1, "nccl"]),
        (3, 4, "cpu", ["gloo"]),
    ],
)
def test_the_backend_is_that_of_the_device_that_is_used(launched, rank, processes, device, taken):
    assert launched(rank, processes, device) == taken


@pytest.mark.parametrize(
    ("processes", "device", "message"),
    [
        (3, None, "torchrun started 3 processes on this machine, for 2 GPUs: expected at most one"),
        (2, "cuda:1", "2 processes on this machine, for only GPU 1: expected"),
        (2, "cuda:7", "there is no device 'cuda:7' here"),
    ],
)
def test_more_processes_than_gpus_are_refused(launched, processes, device, message):
    with pytest.raises(InputError, match=message):
        launched(0, processes, device)

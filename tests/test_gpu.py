"""What can only be seen on a GPU. ``make test-gpu`` runs this; without a GPU each test is skipped.

``EACBOOK_TEST_DEVICE=cpu`` runs the same tests on the CPU, to check the tests themselves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest
import torch
from conftest import CountingSteps, prepare_stripes, same_weights, striped_faces
from torch.backends import cudnn

from eacbook.book.demo import run_demo
from eacbook.data import faces as data
from eacbook.data.faces import load_faces, synthetic_faces
from eacbook.data.images import ImageFile
from eacbook.experiments.runs import NETWORK, find_or_train, list_runs, read_facts
from eacbook.methods import EAC, ELR, RUL, SCN, Baseline, CoTeaching, ReSup
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import Hook, SampleLosses
from eacbook.training.loop import train
from eacbook.training.recipe import PRECISIONS

DEVICE = os.environ.get("EACBOOK_TEST_DEVICE", "cuda")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        DEVICE == "cuda" and not torch.cuda.is_available(), reason="PyTorch sees no GPU here"
    ),
    # torch's words where an operation or cuBLAS may give other numbers each time
    pytest.mark.filterwarnings("error:.*eterministic"),
]
METHODS = [
    Baseline(), CoTeaching(noise_rate=0.3, ramp=2), SCN(relabel_epoch=2), RUL(), ELR(), ReSup(),
    EAC(weight=1.0), EAC(weight=1.0, one_pass=True),
]  # fmt: skip
SIZES = {"tiny": None, "resnet18": 40, "dlib-face": 96}
"""The networks, and the pixels at which they train."""

RECIPE = {"epochs": 3, "batch_size": 32, "learning_rate": 1e-3, "device": DEVICE}
of_each_kind = pytest.mark.parametrize(
    ("method", "name", "precision"),
    [(method, name, precision) for method in METHODS for name in SIZES for precision in PRECISIONS],
    ids=str,
)  # fmt: skip


@pytest.fixture(scope="module")
def drawn():
    """Drawn faces of 48 pixels: 9 batches an epoch, the last one smaller."""
    return synthetic_faces(train=280, test=70, validation=70)


@pytest.fixture(scope="module")
def labels(drawn):
    return inject_noise(drawn.train.labels, 0.3, 7)


def build(name):
    if name == "resnet18":
        pytest.importorskip("torchvision")
    return build_network(name, 7)


@pytest.fixture
def make(drawn, labels):
    """Trains a method on the drawn faces."""

    def make(method, name, hooks=(), **recipe):
        recipe = RECIPE | {"size": SIZES[name]} | recipe
        return train(method, build(name), drawn, labels, hooks=hooks, **recipe)

    return make


class NoWaiting(Hook):
    """After the first step of each epoch, torch raises an error where the CPU waits for the GPU.

    The first step draws the random numbers of the epoch on the CPU, and copies them.
    """

    def __init__(self):
        self.steps = 0

    def on_batch_end(self, training):
        self.steps += len(training.losses) > 1
        last = len(training.losses) == training.batches_per_epoch
        self._set("default" if last else "error")

    def on_train_end(self, training):
        self._set("default")

    def _set(self, mode):
        if DEVICE != "cpu":
            torch.cuda.set_sync_debug_mode(mode)


@of_each_kind
def test_every_method_learns_and_no_step_waits(make, method, name, precision):
    watch = NoWaiting()
    run = make(method, name, [watch], precision=precision, epochs=6)
    assert watch.steps == 6 * 8
    assert next(run.network.parameters()).device.type == DEVICE
    assert run.rows[-1]["loss"] < run.rows[0]["loss"]


@of_each_kind
def test_the_same_seed_gives_the_same_weights(make, method, name, precision):
    recipe = {"precision": precision, "balanced": name == "tiny"}  # faces that come twice
    one, other = (make(method, name, [SampleLosses()], **recipe) for _ in range(2))
    assert same_weights(one.network, other.network)
    for kept, values in one.records.items():
        assert torch.equal(values.nan_to_num(), other.records[kept].nan_to_num()), kept
    assert (torch.get_deterministic_debug_mode(), cudnn.deterministic) == (0, False), "as before"


@of_each_kind
def test_an_interrupted_run_ends_as_if_it_had_never_been(
    drawn, labels, tmp_path, method, name, precision
):
    def find(folder, *hooks):
        recipe = RECIPE | {"precision": precision, "size": SIZES[name]}
        return find_or_train(
            method, build(name), drawn, labels, folder=tmp_path / folder, hooks=hooks, **recipe
        )

    whole = find("whole")
    with pytest.raises(KeyboardInterrupt, match="its first 1 of 3 epochs are kept"):
        find("interrupted", CountingSteps(interrupt_at=9 + 4))
    resumed = find("interrupted", rest := CountingSteps())
    assert rest.count == 2 * 9
    assert same_weights(resumed.network, whole.network)
    assert [row["loss"] for row in resumed.rows] == [row["loss"] for row in whole.rows]


def eacbook(*arguments, processes=0):
    """The command that a user types, perhaps after torchrun."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(torchrun if processes else []), "-m", "eacbook", *arguments]
    return [*command, f"--device={DEVICE}"]


@pytest.fixture
def training(tmp_path):
    """The arguments of a training of 100 short epochs, into a folder of that name."""
    stripes = prepare_stripes(tmp_path / "stripes")
    return lambda folder: [
        "train",
        f"--data={stripes}",
        "--epochs=100",
        "--folder",
        tmp_path / folder,
    ]


def of_a_run(folder):
    """What a training stored that does not depend on the clock."""
    (place,) = list_runs(folder)
    rows = [{**row, "seconds": None} for row in read_facts(place)["rows"]]
    return rows, (place / NETWORK).read_bytes()


@pytest.mark.skipif(os.name == "nt", reason="kill -9 needs a system with signals")
def test_a_killed_process_ends_as_if_it_had_never_been(training, tmp_path):
    subprocess.run(eacbook(*training("whole")), check=True, capture_output=True)
    with subprocess.Popen(eacbook(*training("killed")), stderr=subprocess.DEVNULL) as process:
        while not list((tmp_path / "killed").glob("*/checkpoint.safetensors")):
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.01)
        process.kill()
    assert process.returncode < 0 and not list_runs(tmp_path / "killed")
    subprocess.run(eacbook(*training("killed")), check=True, capture_output=True)
    assert of_a_run(tmp_path / "killed") == of_a_run(tmp_path / "whole")


def test_a_set_that_stays_in_its_file_gives_the_same_run(tmp_path, monkeypatch):
    folder = prepare_stripes(tmp_path / "stripes", train=280)
    runs = []
    for largest in (data.LARGE_BYTES, 0):
        monkeypatch.setattr(data, "LARGE_BYTES", largest)
        faces = load_faces(folder)
        assert isinstance(faces.train.images, ImageFile) == (not largest)
        noisy = inject_noise(faces.train.labels, 0.25, 3)
        runs.append(train(EAC(weight=1.0), build_network("tiny", 3), faces, noisy, **RECIPE))
    assert same_weights(runs[0].network, runs[1].network)


def test_torchrun_with_one_process_stores_the_run_of_none(training, tmp_path):
    """One process needs no other, but it connects by the backend of the device."""
    subprocess.run(eacbook(*training("one"), processes=1), check=True, capture_output=True)
    said = subprocess.run(
        eacbook(*training("one")), check=True, capture_output=True, text=True
    ).stdout
    assert "Found the stored run" in said
    subprocess.run(eacbook(*training("none")), check=True, capture_output=True)
    assert of_a_run(tmp_path / "one") == of_a_run(tmp_path / "none")


@pytest.mark.skipif(DEVICE == "cpu", reason="a CPU takes any number of processes")
def test_more_processes_than_gpus_are_refused_in_a_sentence(training):
    processes = torch.cuda.device_count() + 1
    result = subprocess.run(
        eacbook(*training("many"), processes=processes), capture_output=True, text=True
    )
    assert result.returncode != 0
    assert f"torchrun started {processes} processes on this machine, for" in result.stderr


def test_the_demo_shows_what_it_shows_on_a_cpu(tmp_path, capsys):
    results = run_demo(folder=tmp_path, device=DEVICE)
    assert json.loads((tmp_path / "demo" / "results.json").read_text()) == results
    assert (tmp_path / "demo" / "report.html").stat().st_size > 100_000
    baseline, eac = (results["methods"][name] for name in ("baseline", "eac"))
    assert eac["memorised"] < baseline["memorised"] / 2
    assert eac["test_accuracy"] > baseline["test_accuracy"]


def test_without_it_the_run_is_another_one(tmp_path):
    """Its numbers may be the same by chance; its name may not."""
    faces = striped_faces()
    noisy = inject_noise(faces.train.labels, 0.25, 3)
    for deterministic in (True, False):
        network, recipe = build_network("tiny", 3), RECIPE | {"deterministic": deterministic}
        find_or_train(Baseline(), network, faces, noisy, folder=tmp_path, **recipe)
    made = [read_facts(place)["made"] for place in list_runs(tmp_path)]
    assert sorted(facts["deterministic"] for facts in made) == [False, True]

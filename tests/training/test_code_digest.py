"""The user's own code in a run's key: what is edited counts, what only looks edited does not."""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
import types
from dataclasses import dataclass

import pytest
import torch
from conftest import BATCHES, QUICK, CountingSteps, small_network
from torch import nn

from eacbook.experiments.runs import find_or_train, list_runs
from eacbook.methods import EAC, METHODS, Baseline
from eacbook.models.networks import build_network
from eacbook.training.code_digest import describe_code, describe_structure, without_source
from eacbook.training.hooks import EarlyStopping, Hook, SampleLosses
from eacbook.training.recording import Recording

HELPERS = """
FACTOR = 2
def scaled(value):
    return FACTOR * value
def unused():
    return 1
"""
OWN = """
from dataclasses import dataclass, field
import torch
import helpers
from eacbook.methods import Baseline

MARGIN = 0.5

def clipped(loss):
    return loss.clamp(max=100 + MARGIN)

class Base(Baseline):
    def weigh(self, loss):
        return 1 * loss

@dataclass(frozen=True)
class Own(Base):
    name = "own"
    shift: float = 0.0

    def loss(self, network, batch):
        # a comment
        found = super().loss(network, batch)
        found["loss"] = self.weigh(clipped(helpers.scaled(found["loss"]))) + self.shift
        return found
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """The class of a file, as a new process would import it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def load(own=OWN, helpers=HELPERS):
        (tmp_path / "own.py").write_text(own)
        (tmp_path / "helpers.py").write_text(helpers)
        for name in ("own", "helpers"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("own").Own

    yield load
    for name in ("own", "helpers"):
        sys.modules.pop(name, None)


EDITS = {
    "loss": ("own", "+ self.shift", "- self.shift"),
    "base class": ("own", "1 * loss", "2 * loss"),
    "helper": ("own", "clamp(max", "clamp(min"),
    "constant": ("own", "MARGIN = 0.5", "MARGIN = 0.6"),
    "class attribute": ("own", 'name = "own"', 'name = "own"\n    head_rate = 2.0'),
    "helper of another file": ("helpers", "* value", "+ value"),
    "constant of another file": ("helpers", "FACTOR = 2", "FACTOR = 3"),
}
SAME = {
    "nothing": ("own", "MARGIN", "MARGIN"),
    "comment": ("own", "# a comment", "# another one"),
    "lines": ("own", "import helpers", "\n\n\nimport helpers"),
    "what is not used": ("helpers", "return 1", "return 2"),
}


@pytest.mark.parametrize("edit", [*EDITS, *SAME])
def test_an_edit_of_what_decides_gives_another_digest(load, edit):
    before = describe_code(load())
    file, old, new = (EDITS | SAME)[edit]
    texts = {"own": OWN, "helpers": HELPERS}
    assert old in texts[file]
    texts[file] = texts[file].replace(old, new)
    assert (describe_code(load(**texts)) == before) == (edit in SAME)


def test_an_edited_loss_is_trained_anew_and_found_again(load, faces, noisy, tmp_path):
    def find(cls):
        steps = CountingSteps()
        recipe = QUICK | {"epochs": 1}
        folder = tmp_path / "runs"
        find_or_train(cls(), small_network(), faces, noisy, folder=folder, hooks=[steps], **recipe)
        return steps.count

    assert find(load()) == BATCHES
    assert find(load()) == 0
    edited = OWN.replace("1 * loss", "0.5 * loss")
    first = load()
    (tmp_path / "own.py").write_text(edited)
    assert find(first) == 0, "the file was edited, and the code that is loaded was not"
    assert find(load(edited)) == BATCHES
    assert find(load(edited)) == 0
    assert len(list_runs(tmp_path / "runs")) == 2


def test_code_without_source_is_trained_and_not_stored(faces, noisy, tmp_path, capsys):
    for factor in (1, 2):
        scope = {"__name__": "__main__"} if factor == 1 else {}
        exec(
            "from eacbook.methods import Baseline\n"
            "class Typed(Baseline):\n"
            "    def loss(self, network, batch):\n"
            f"        return {{'loss': {factor} * super().loss(network, batch)['loss']}}\n",
            scope,
        )
        run = find_or_train(
            scope["Typed"](), small_network(), faces, noisy,
            folder=tmp_path / "runs", **(QUICK | {"epochs": 1}),
        )  # fmt: skip
        assert len(run.rows) == 1 and not run.stored
        said = capsys.readouterr().out.strip()
        assert said.startswith(
            "The run is not stored, because there is no source code of Typed.loss"
        )
        assert "\n" not in said
    assert not (tmp_path / "runs").exists()


def test_what_is_ours_has_no_digest():
    hooks = [EarlyStopping, SampleLosses, Recording]
    assert (
        describe_code(*METHODS.values(), build_network("tiny", 3), small_network(), *hooks) is None
    )
    assert describe_code(build_network("resnet18", 3)) is None
    assert without_source(*METHODS.values(), *hooks) is None


def test_a_function_put_into_our_class_counts(monkeypatch):
    monkeypatch.setattr(EAC, "loss", lambda self, network, batch: {"loss": 1})
    assert describe_code(EAC) is not None and describe_code(Baseline) is None


class Own(nn.Module):
    """A network with what is in no state dictionary."""

    def __init__(self, slope=0.1, activation=torch.relu, rate=0.5):
        super().__init__()
        self.slope, self.activation = slope, activation
        self.layers = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout(rate))

    def forward(self, images):
        maps = self.activation(self.slope * self.layers(images))
        return maps.mean((2, 3)), maps


def double(values):
    return 2 * values


def test_what_a_network_computes_counts_and_not_only_its_weights():
    networks = [
        Own(), Own(slope=0.2), Own(activation=double), Own(activation=lambda x: x),
        Own(activation=functools.partial(double, 3)),
    ]  # fmt: skip
    hooked = Own()
    hooked.layers.register_forward_hook(lambda module, inputs, output: output + 1)
    replaced = small_network()
    replaced.forward = types.MethodType(double, replaced)
    digests = [describe_code(network) for network in (*networks, hooked, replaced)]
    assert None not in digests and len(set(digests)) == len(digests)
    assert describe_code(Own()) == digests[0]
    assert describe_structure(Own()) == describe_structure(Own(slope=0.2))
    assert describe_structure(Own()) != describe_structure(Own(rate=0.6))


@pytest.mark.slow
def test_the_digest_is_that_of_another_process(load, tmp_path):
    here = describe_code(load())
    script = "import own, eacbook.training.code_digest as c; print(c.describe_code(own.Own))"
    for seed in ("1", "2"):
        path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
        shown = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path},
        ).stdout  # fmt: skip
        assert shown.strip() == here


@dataclass
class Deciding(Hook):
    """Describes itself; what it holds changes while it watches."""

    seen: int = 0

    def describe(self):
        return {"deciding": True}

    def on_epoch_end(self, training):
        self.seen += 1


def test_a_hook_counts_by_its_class_and_not_by_what_it_has_seen(faces, noisy, tmp_path):
    hook, recipe = Deciding(), QUICK | {"epochs": 1, "folder": tmp_path}
    find_or_train(Baseline(), small_network(), faces, noisy, hooks=[hook], **recipe)
    assert find_or_train(Baseline(), small_network(), faces, noisy, hooks=[hook], **recipe).stored
    assert hook.seen == 1

"""Hooks: interrupts, early stopping, kept losses, progress, and checkpoints that survive a kill."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from conftest import BATCHES, QUICK, same_weights, small_network, striped_faces
from safetensors.torch import save_file

from eacbook.errors import InputError
from eacbook.evaluation.evaluate import accuracy, confusion_matrix, predict
from eacbook.files import read_tensors, write_tensors
from eacbook.methods import EAC, Baseline
from eacbook.training import setup
from eacbook.training.checkpoint import Checkpoint
from eacbook.training.hooks import EarlyStopping, Hook, Progress, SampleLosses
from eacbook.training.loop import train
from eacbook.training.recipe import SCHEDULES


def facts(run):
    """The rows without what a clock says."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.rows]


class Weights(Hook):
    """A copy of the weights after every epoch."""

    def __init__(self):
        self.states = []

    def on_epoch_end(self, training):
        state = training.network.state_dict()
        self.states.append({name: tensor.clone() for name, tensor in state.items()})

    def are_those_of(self, network, epoch):
        state = network.state_dict()
        return all(torch.equal(t, state[name]) for name, t in self.states[epoch - 1].items())


class RaiseAt(Hook):
    """Raises in an epoch (from 1), after one of its batches (from 1) or after its last."""

    def __init__(self, error, epoch, batch=None):
        self.error, self.epoch, self.batch = error, epoch, batch

    def on_batch_end(self, training):
        if (training.epoch + 1, len(training.losses)) == (self.epoch, self.batch):
            raise self.error

    def on_epoch_end(self, training):
        if training.epoch + 1 == self.epoch and self.batch is None:
            raise self.error


class Ends(Hook):
    """Counts the batches and the ends."""

    def __init__(self):
        self.batches = self.ends = 0

    def on_batch_end(self, training):
        self.batches += 1

    def on_train_end(self, training):
        self.ends += 1


# ---------------------------------------------------------------------------- interrupts


@pytest.mark.slow
@pytest.mark.parametrize("batch", [2, None])
def test_an_interrupt_goes_through_and_says_what_is_kept(faces, noisy, tmp_path, batch):
    ends = Ends()
    hooks = [SampleLosses(), ends, RaiseAt(KeyboardInterrupt, 3, batch)]
    with pytest.raises(KeyboardInterrupt, match="in epoch 3 of 4; none of its epochs is kept"):
        train(EAC(weight=0.5), small_network(), faces, noisy, hooks=hooks, **QUICK)
    hooks.append(Checkpoint(tmp_path / "state"))
    with pytest.raises(
        KeyboardInterrupt, match="epoch 3 of 4; its first 2 epochs are kept in .*state"
    ):
        train(EAC(weight=0.5), small_network(), faces, noisy, hooks=hooks, **QUICK)
    assert ends.ends == 2


class StopAfter(Hook):
    """Asks for the end of the training in an epoch (from 1)."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, training):
        training.stop = training.epoch + 1 == self.epoch


def test_a_hook_may_stop_the_training(faces, noisy):
    run = train(Baseline(), small_network(), faces, noisy, hooks=[StopAfter(2)], **QUICK)
    assert len(run.rows) == 2


@pytest.mark.slow
@pytest.mark.parametrize("batch", [2, None])
def test_an_error_of_a_hook_goes_through_and_every_hook_is_ended(faces, noisy, batch):
    before, after = Ends(), Ends()
    raising = RaiseAt(ZeroDivisionError("mine"), 2, batch)
    with pytest.raises(ZeroDivisionError, match="mine"):
        hooks = [before, raising, after]
        train(Baseline(), small_network(), faces, noisy, hooks=hooks, **QUICK)
    assert before.ends == after.ends == 1
    assert before.batches == (BATCHES + 2 if batch else 2 * BATCHES)


def test_hooks_are_called_in_their_order_and_a_checkpoint_last(faces, noisy, tmp_path):
    calls = []

    class Note(Hook):
        def __init__(self, name):
            self.name = name

        def on_epoch_end(self, training):
            calls.append((self.name, "memorised" in training.row))

    class NotingCheckpoint(Checkpoint):
        def on_epoch_end(self, training):
            calls.append(("checkpoint", True))

    hooks = [Note("first"), NotingCheckpoint(tmp_path / "state"), Note("second")]
    train(Baseline(), small_network(), faces, noisy, hooks=hooks, **(QUICK | {"epochs": 1}))
    assert calls == [("first", True), ("second", True), ("checkpoint", True)]


# ---------------------------------------------------------------------------- what hooks keep


@dataclass(frozen=True)
class Telling(Baseline):
    """Says of every sample which row of the training set it is."""

    def loss(self, network, batch):
        return super().loss(network, batch) | {"sample_losses": batch.index.float()}


@dataclass(frozen=True)
class Silent(Baseline):
    """Says nothing of its samples."""

    def loss(self, network, batch):
        return {"loss": super().loss(network, batch)["loss"]}


def test_sample_losses_are_kept_in_the_order_of_the_training_set(faces, noisy):
    run = train(Telling(), small_network(), faces, noisy, hooks=[SampleLosses()], **QUICK)
    kept = run.records["sample_losses"]
    assert kept.dtype == torch.float32
    assert torch.equal(kept, torch.arange(96.0).expand(4, 96)), "though the batches were shuffled"


@pytest.mark.slow
def test_sample_losses_of_a_method_that_gives_none_are_refused(faces, noisy):
    with pytest.raises(InputError, match="baseline gives no losses of its samples"):
        train(Silent(), small_network(), faces, noisy, hooks=[SampleLosses()], **QUICK)
    with pytest.raises(InputError, match="baseline gives no losses of its samples"):
        hooks = [EarlyStopping(), SampleLosses()]  # which must not hide the first error by another
        train(Silent(), small_network(), faces, noisy, hooks=hooks, **QUICK)
    train(Silent(), small_network(), faces, noisy, **QUICK)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("reached", "patience", "epochs", "best"),
    [
        # 0.5 for the second time is no rise.
        ([0.2, 0.5, 0.4, 0.5, 0.3, 0.9], 3, 5, 2),
        ([0.2, 0.5, 0.4, 0.6, 0.3, 0.1], 2, 6, 4),
        ([0.2, 0.5, 0.4, 0.6, 0.7, 0.8], 1, 3, 2),
        ([0.9, 0.5, 0.4, 0.6, 0.7, 0.8], 9, 6, 1),
        ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 1, 6, 6),
    ],
)
def test_early_stopping_waits_and_gives_back_the_best_weights(
    faces, noisy, monkeypatch, reached, patience, epochs, best
):
    validation, script = faces.validation, iter(reached)
    real = sys.modules["eacbook.training.hooks"].accuracy

    def scripted(logits, labels):
        return next(script) if labels is validation.labels else real(logits, labels)

    monkeypatch.setattr("eacbook.training.hooks.accuracy", scripted)
    weights = Weights()
    run = train(
        Baseline(),
        small_network(),
        faces,
        noisy,
        hooks=[EarlyStopping(patience), weights],
        **(QUICK | {"epochs": 6}),
    )
    assert next(script, None) == (reached + [None])[epochs], "stopped after these epochs"
    assert [row["validation_accuracy"] for row in run.rows] == reached[:epochs]
    of_network = run.rows[best - 1]
    assert run.chosen_epoch == run.summary["network_epoch"] == best
    assert run.summary["epochs"] == epochs, "what was trained is told"
    names = "test_accuracy", "mean_class_accuracy", "validation_accuracy", "memorised", "recovered"
    for name in names:
        assert run.summary[name] == of_network[name]
    logits = predict(run.network, faces.test.images)
    assert torch.equal(run.confusion_matrix, confusion_matrix(logits, faces.test.labels))
    assert (
        accuracy(predict(run.network, faces.test.images), faces.test.labels)
        == (run.summary["test_accuracy"])
    )
    assert weights.are_those_of(run.network, best)
    assert not run.records, "the best weights are in the network, and only there"


def test_early_stopping_needs_a_validation_split(faces, noisy):
    without = replace(faces, validation=None)
    with pytest.raises(InputError, match="stripes has no validation split"):
        train(Baseline(), small_network(), without, noisy, hooks=[EarlyStopping()], **QUICK)


def test_progress_writes_what_it_is_and_where_it_stands(faces, noisy, capsys):
    hooks = [Progress("EAC, 30 %")]
    run = train(EAC(), small_network(), faces, noisy, hooks=hooks, **(QUICK | {"epochs": 2}))
    written = capsys.readouterr().err
    assert "EAC, 30 %" in written
    assert "epoch 2/2" in written and "100%" in written
    assert f"test {run.rows[-1]['test_accuracy']:.1%}" in written


def test_progress_is_named_after_the_method_by_default(faces, noisy, capsys):
    train(EAC(), small_network(), faces, noisy, hooks=[Progress()], **(QUICK | {"epochs": 1}))
    assert "eac, 1 thread " in capsys.readouterr().err


# ---------------------------------------------------------------------------- checkpoints

KILLED = """
import os, signal, sys
import torch
sys.path.insert(0, {tests!r})
from conftest import small_network, striped_faces
from eacbook.evaluation.evaluate import accuracy, predict
from eacbook.files import read_tensors, write_tensors
from eacbook.methods import EAC
from eacbook.noise.inject import inject_noise
from eacbook.training.checkpoint import Checkpoint
from eacbook.training.hooks import Hook, SampleLosses
from eacbook.training.loop import train

class Kill(Hook):
    def on_batch_end(self, training):
        if training.epoch == 2 and len(training.losses) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

faces = striped_faces()
noisy = inject_noise(faces.train.labels, 0.25, 3)
torch.optim.Adam(small_network().parameters())  # imports much, once for both
for schedule in {schedules!r}:
    child = os.fork()
    if not child:
        hooks = [Checkpoint(os.path.join({folder!r}, schedule, "state")), SampleLosses(), Kill()]
        recipe = {recipe!r} | {{"schedule": schedule}}
        train(EAC(weight=0.5), small_network(), faces, noisy, hooks=hooks, **recipe)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
"""
KILLED_RECIPE = QUICK | {"epochs": 5, "seed": 11}


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder with the checkpoint of a killed process for each schedule."""
    folder = tmp_path_factory.mktemp("killed")
    script = KILLED.format(
        tests=str(Path(__file__).parents[1]),
        folder=str(folder),
        schedules=SCHEDULES,
        recipe=KILLED_RECIPE,
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kill -9 needs a system with signals")
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_run_that_was_killed_ends_as_if_it_had_never_been(faces, noisy, killed, schedule):
    recipe = KILLED_RECIPE | {"schedule": schedule}
    counter = Ends()
    hooks = [Checkpoint(killed / schedule / "state"), SampleLosses(), counter]
    resumed = train(EAC(weight=0.5), small_network(), faces, noisy, hooks=hooks, **recipe)
    assert counter.batches == 3 * BATCHES, "two of the five epochs were whole"

    hooks = [SampleLosses()]
    whole = train(EAC(weight=0.5), small_network(), faces, noisy, hooks=hooks, **recipe)
    assert same_weights(resumed.network, whole.network)
    assert facts(resumed) == facts(whole)
    assert resumed.records.keys() == whole.records.keys()
    assert torch.equal(resumed.records["sample_losses"], whole.records["sample_losses"])


def interrupted(faces, noisy, path, hooks=(), **recipe):
    """Stopped in its third epoch, with a checkpoint."""
    hooks = [Checkpoint(path), *hooks, RaiseAt(KeyboardInterrupt, 3, 1)]
    with pytest.raises(KeyboardInterrupt):
        train(Baseline(), small_network(), faces, noisy, hooks=hooks, **(QUICK | recipe))


def resume(faces, noisy, path, method=None, hooks=(), **recipe):
    hooks = [*hooks, Checkpoint(path)]
    return train(
        method or Baseline(), small_network(), faces, noisy, hooks=hooks, **(QUICK | recipe)
    )


@pytest.mark.slow
def test_a_whole_run_is_not_trained_again(faces, noisy, tmp_path):
    path = tmp_path / "checkpoint"
    first, counter = resume(faces, noisy, path), Ends()
    again = resume(faces, noisy, path, hooks=[counter])
    assert counter.batches == 0
    assert same_weights(first.network, again.network)
    assert again.rows == first.rows
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.slow
def test_early_stopping_goes_on_from_a_checkpoint_with_its_best_weights(faces, noisy, tmp_path):
    def stopping():
        return EarlyStopping(patience=2)

    interrupted(faces, noisy, tmp_path / "checkpoint", [stopping()], epochs=8)
    resumed = resume(faces, noisy, tmp_path / "checkpoint", hooks=[stopping()], epochs=8)
    whole = train(
        Baseline(),
        small_network(),
        faces,
        noisy,
        hooks=[stopping()],
        **(QUICK | {"epochs": 8}),
    )
    assert facts(resumed) == facts(whole)
    assert same_weights(resumed.network, whole.network)


@pytest.mark.slow
def test_the_progress_bar_of_a_resumed_run_starts_where_it_stands(faces, noisy, tmp_path):
    interrupted(faces, noisy, tmp_path / "checkpoint")
    progress = Progress()
    resume(faces, noisy, tmp_path / "checkpoint", hooks=[progress])
    assert progress.bar.initial == 2 * BATCHES
    assert progress.bar.n == progress.bar.total == 4 * BATCHES


@pytest.mark.slow
def test_a_run_goes_on_with_the_threads_with_which_it_began(faces, noisy, tmp_path, monkeypatch):
    """However many cores are free by then: the number decides the last bits."""
    monkeypatch.setattr(setup, "choose_threads", lambda: 2)
    interrupted(faces, noisy, tmp_path / "checkpoint")
    whole = train(Baseline(), small_network(), faces, noisy, **QUICK)
    monkeypatch.setattr(setup, "choose_threads", lambda: 1)
    progress = Progress()
    resumed = resume(faces, noisy, tmp_path / "checkpoint", hooks=[progress])
    assert (resumed.threads, torch.get_num_threads()) == (2, 1)
    assert progress.bar.desc.startswith("baseline, 2 threads")
    assert same_weights(resumed.network, whole.network)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 9},
        {"learning_rate": 1e-4},
        {"method": EAC()},
        {"hooks": [SampleLosses()]},
        {"hooks": [EarlyStopping()]},
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(faces, noisy, tmp_path, change):
    interrupted(faces, noisy, tmp_path / "checkpoint")
    with pytest.raises(InputError, match="other settings"):
        resume(faces, noisy, tmp_path / "checkpoint", **change)


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "no facts", "other facts"])
def test_a_broken_checkpoint_is_refused(faces, noisy, tmp_path, damage):
    path = tmp_path / "checkpoint"
    interrupted(faces, noisy, path)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "noise":
        path.write_bytes(bytes(range(256)) * 40)
    elif damage == "no facts":
        save_file({"network.fc.bias": torch.zeros(3)}, path)
    else:
        save_file({"network.fc.bias": torch.zeros(3)}, path, {"facts": '{"epoch": 3}'})
    with pytest.raises(InputError, match="checkpoint .* is broken") as error:
        resume(faces, noisy, path)
    assert str(path) in str(error.value)


@pytest.mark.slow
def test_one_changed_bit_of_a_checkpoint_is_noticed(faces, noisy, tmp_path):
    path = tmp_path / "checkpoint"
    interrupted(faces, noisy, path)
    whole = path.read_bytes()
    for place in range(5, 8 * len(whole), 8 * len(whole) // 7):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="checkpoint .* is broken"):
            resume(faces, noisy, path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch", "2"), ("epoch", 99), ("epoch", 10**400), ("rows", {}), ("rows", []), ("stop", 1),
        ("rows", [1, 2]), ("scheduler", []), ("scheduler", {}), ("param_groups", {}), ("settings", 3),
        ("param_groups", [None]),
    ],
)  # fmt: skip
def test_a_checkpoint_of_another_form_is_refused(faces, noisy, tmp_path, name, value):
    """Though its checksum was made to fit."""
    path = tmp_path / "checkpoint"
    interrupted(faces, noisy, path)
    tensors, about = read_tensors(path)
    write_tensors(path, tensors, {"facts": json.dumps(json.loads(about["facts"]) | {name: value})})
    with pytest.raises(InputError, match=r"checkpoint .* (is broken|other settings)") as error:
        resume(faces, noisy, path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 500


def test_a_checkpoint_that_cannot_be_read_is_not_called_broken(faces, noisy, tmp_path, monkeypatch):
    interrupted(faces, noisy, tmp_path / "checkpoint")

    def read_bytes(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(InputError, match="cannot be read .Input/output error.") as error:
        resume(faces, noisy, tmp_path / "checkpoint")
    assert "remove" not in str(error.value)


def test_a_checkpoint_of_other_faces_is_refused(noisy, faces, tmp_path):
    interrupted(faces, noisy, tmp_path / "checkpoint")
    other = striped_faces(test=24)
    with pytest.raises(InputError, match="other settings"):
        resume(other, noisy, tmp_path / "checkpoint")

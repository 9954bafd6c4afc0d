"""Finished runs on disk: found, resumed, refused."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from conftest import BATCHES, QUICK, CountingSteps, same_weights, small_network, striped_faces
from filelock import FileLock
from torch import nn

from eacbook.errors import InputError
from eacbook.experiments import runs
from eacbook.experiments.runs import (
    FACTS,
    NETWORK,
    TENSORS,
    find_or_train,
    list_runs,
    read_facts,
    run_name,
    run_rows,
    summary_rows,
)
from eacbook.files import CHECKSUM, read_tensors, write_json, write_tensors
from eacbook.methods import EAC, Baseline
from eacbook.noise.inject import inject_noise
from eacbook.training import distributed
from eacbook.training.checkpoint import Checkpoint
from eacbook.training.hooks import EarlyStopping, SampleLosses
from eacbook.training.loop import train


@pytest.fixture
def find(faces, noisy, tmp_path):
    """Finds or trains one run; returns it and the number of steps that were trained."""

    def find(method=None, network=None, interrupt_at=None, hooks=(), **changes):
        counter = CountingSteps(interrupt_at)
        run = find_or_train(
            method or EAC(weight=0.5),
            network or small_network(),
            changes.pop("faces", faces),
            changes.pop("noisy", noisy),
            folder=tmp_path / "runs",
            hooks=[*hooks, counter],
            **(QUICK | {"epochs": 3} | changes),
        )
        return run, counter.count

    return find


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory, faces, noisy):
    """A folder with the run that ``find()`` looks for."""
    folder = tmp_path_factory.mktemp("trained") / "runs"
    recipe = QUICK | {"epochs": 3}
    find_or_train(EAC(weight=0.5), small_network(), faces, noisy, folder=folder, **recipe)
    return folder


@pytest.fixture
def stored(find, tmp_path, trained_once):
    """The folder of a run of this test's own."""
    shutil.copytree(trained_once, tmp_path / "runs")
    (place,) = list_runs(tmp_path / "runs")
    assert find()[1] == 0, "it is the one that is looked for"
    return place


def test_a_run_is_trained_once_and_then_found_as_it_was(find, tmp_path):
    first, steps = find(hooks=[SampleLosses()])
    assert steps == 3 * BATCHES
    network = small_network()
    found, steps = find(network=network, hooks=[SampleLosses()])
    assert steps == 0
    assert same_weights(found.network, first.network)
    assert same_weights(network, small_network()), "a copy received the weights"
    assert not found.network.training
    assert found.rows == first.rows
    assert found.summary == first.summary
    assert found.settings == first.settings
    assert torch.equal(found.noisy.given, first.noisy.given)
    assert torch.equal(found.noisy.true, first.noisy.true)
    assert torch.equal(found.noisy.transition_matrix, first.noisy.transition_matrix)
    assert found.noisy.settings == first.noisy.settings
    assert found.records.keys() == first.records.keys() == {"sample_losses"}
    assert torch.equal(found.records["sample_losses"], first.records["sample_losses"])
    assert torch.equal(found.confusion_matrix, first.confusion_matrix)
    assert first.stored is False and found.stored is True


class Tied(nn.Module):
    """One weight under two names, and a module under two names."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.second.weight = self.first.weight
        self.again = self.first

    def forward(self, images):
        maps = self.again(self.second(self.first(images)))
        return maps.mean((2, 3)), maps


@pytest.mark.slow
def test_tied_weights_are_stored_resumed_and_found(find):
    with pytest.raises(KeyboardInterrupt, match="first 2 of 3"):
        find(network=Tied(), method=Baseline(), interrupt_at=2 * BATCHES + 1)
    resumed, steps = find(network=Tied(), method=Baseline())
    assert steps == BATCHES
    found, steps = find(network=Tied(), method=Baseline())
    assert steps == 0 and same_weights(found.network, resumed.network)
    assert found.network.first.weight is found.network.second.weight
    whole, _ = find(network=Tied(), method=Baseline(), fresh=True)
    assert same_weights(whole.network, resumed.network)
    _, steps = find(network=Tied(), method=Baseline(), hooks=[EarlyStopping()])
    assert steps == 3 * BATCHES


def test_a_bfloat16_network_is_refused_before_the_first_step(find):
    with pytest.raises(InputError, match="holds first.weight as bfloat16, expected float32"):
        find(network=Tied().bfloat16())


def test_a_network_whose_state_is_no_tensor_is_refused(find):
    class Odd(Tied):
        def get_extra_state(self):
            return {"words": 1}

        def set_extra_state(self, state):
            pass

    with pytest.raises(
        InputError, match="_extra_state in the state of the network is not a tensor"
    ):
        find(network=Odd())


def test_a_found_run_is_described_by_the_same_settings(find):
    """So that a run that was found can be looked for again by what it says of itself."""
    first, _ = find()
    found, _ = find()
    assert run_name(found.settings) == run_name(first.settings)
    assert find(noisy=found.noisy)[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        {"method": EAC(weight=0.6)},
        {"method": Baseline()},
        {"network": small_network(seed=1)},
        {"seed": 1},
        {"epochs": 2},
        {"deterministic": False},
        {"faces": striped_faces(test=24)},
        {"noisy": inject_noise(torch.arange(96) % 3, 0.25, 3, seed=1)},
        {"hooks": [EarlyStopping()]},
        {"hooks": [SampleLosses()]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_run_of_other_settings_is_another_run(find, tmp_path, change):
    find()
    _, steps = find(**change)
    assert steps > 0
    assert len(list_runs(tmp_path / "runs")) == 2


@pytest.mark.slow
def test_fresh_trains_again_and_replaces_what_was_stored(find, tmp_path):
    find()
    (place,) = list_runs(tmp_path / "runs")
    before = read_facts(place)
    fresh, steps = find(fresh=True)
    assert steps == 3 * BATCHES
    assert read_facts(place)["rows"] == fresh.rows
    assert before["rows"] != fresh.rows, "the seconds differ"
    assert [path.name for path in (tmp_path / "runs").glob("[!.]*")] == [place.name]


@pytest.mark.slow
def test_fresh_replaces_a_broken_run(find, stored):
    (stored / NETWORK).write_bytes(b"")
    assert find(fresh=True)[1] == 3 * BATCHES
    assert find()[1] == 0


@pytest.mark.slow
def test_an_interrupted_run_goes_on_at_the_next_call(find, tmp_path):
    with pytest.raises(
        KeyboardInterrupt, match="first 2 of 3 epochs are kept, and the same call goes"
    ):
        find(interrupt_at=2 * BATCHES + 2)
    assert list_runs(tmp_path / "runs") == []

    resumed, steps = find()
    assert steps == BATCHES, "two of the three epochs were whole"
    whole, steps = find(fresh=True)
    assert steps == 3 * BATCHES
    assert same_weights(resumed.network, whole.network)
    # Exactly the three files, and no checkpoint any more.
    (place,) = list_runs(tmp_path / "runs")
    assert {path.name for path in place.iterdir()} == {FACTS, NETWORK, TENSORS}


@pytest.mark.slow
def test_fresh_forgets_an_interrupted_run_and_says_how_to_go_on(find):
    with pytest.raises(KeyboardInterrupt, match="are kept, and the same call without fresh"):
        find(interrupt_at=2 * BATCHES + 2, fresh=True)
    with pytest.raises(KeyboardInterrupt, match="in epoch 1 of 3; none of its epochs is kept"):
        find(interrupt_at=2, fresh=True)
    with pytest.raises(KeyboardInterrupt):
        find(interrupt_at=BATCHES + 1)
    assert find(fresh=True)[1] == 3 * BATCHES


def test_a_run_still_in_training_is_not_listed(stored):
    partial = stored.with_name(stored.name + ".partial")
    partial.mkdir()
    (partial / FACTS).write_text("{}")
    (stored.parent / "notes").mkdir()
    assert list_runs(stored.parent) == [stored]
    assert list_runs(stored.parent / "nowhere") == []


def test_what_is_stored_can_be_read_without_eacbook(stored):
    facts = json.loads((stored / FACTS).read_text())
    assert facts["settings"]["method"] == {"name": "eac", **vars(EAC(weight=0.5))}
    assert len(facts["rows"]) == 3
    assert facts["summary"]["epochs"] == 3
    assert facts["made"]["torch"] == torch.__version__
    assert stored.name.startswith("eac-stripes-")
    assert read_facts(stored) == {name: facts[name] for name in facts if name != CHECKSUM}


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.slow
@pytest.mark.parametrize("name", [FACTS, NETWORK, TENSORS])
@pytest.mark.parametrize(
    "damage",
    [cut, lambda path: path.write_bytes(b"\xff\x00not this"), lambda path: path.unlink()],
    ids=["cut", "other bytes", "missing"],
)
def test_a_broken_run_is_refused_and_says_what_to_do(find, stored, name, damage):
    damage(stored / name)
    with pytest.raises(InputError, match="broken.*remove it or train again with fresh") as error:
        find()
    assert str(stored) in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", [FACTS, NETWORK, TENSORS])
def test_one_changed_bit_is_noticed(find, stored, name):
    path, whole = stored / name, (stored / name).read_bytes()
    for place in range(0, 8 * len(whole), 8 * len(whole) // 7):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="broken"):
            find()


def as_before(facts):
    """The facts as an eacbook stored them that had no numbers of single classes."""
    rows = [{k: v for k, v in row.items() if k != "mean_class_accuracy"} for row in facts["rows"]]
    summary = {k: v for k, v in facts["summary"].items() if k != "mean_class_accuracy"}
    rest = {k: v for k, v in facts.items() if k != "confusion_matrix"}
    return rest | {"rows": rows, "summary": summary}


def test_a_run_from_before_the_numbers_of_single_classes_is_found(find, stored):
    write_json(stored / FACTS, as_before(read_facts(stored)))
    run, steps = find()
    assert steps == 0 and run.confusion_matrix is None
    assert run.summary["mean_class_accuracy"] is None and run.summary["test_accuracy"] > 0
    (shown,) = summary_rows({"eac": run})
    assert shown["mean class accuracy"] == "-" != shown["test accuracy"]


@pytest.mark.slow
def test_a_checkpoint_from_before_the_numbers_of_single_classes_goes_on(find, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        find(interrupt_at=2 * BATCHES + 2)
    (path,) = tmp_path.glob("runs/*.partial/checkpoint.safetensors")
    tensors, about = read_tensors(path)
    del tensors["records.confusion_matrix"]
    facts = json.loads(about["facts"])
    for row in facts["rows"]:
        del row["mean_class_accuracy"]
    write_tensors(path, tensors, {"facts": json.dumps(facts)})
    resumed, steps = find()
    whole, _ = find(fresh=True)
    assert steps == BATCHES and torch.equal(resumed.confusion_matrix, whole.confusion_matrix)
    assert resumed.summary["mean_class_accuracy"] is None
    assert find()[1] == 0


def other_counts(matrix):
    """A matrix of the same accuracies for twice as many faces."""
    return [[2 * count for count in line] for line in matrix]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: 3, "confusion_matrix is of type int, not list"),
        (lambda m: [], "confusion_matrix has no class"),
        (lambda m: [3, *m[1:]], "confusion_matrix is of type int, not list"),
        (lambda m: m[1:], "confusion_matrix has 2 rows and 3 columns"),
        (lambda m: [[0.5, *m[0][1:]], *m[1:]], "is of type float, not int"),
        (lambda m: [[True, *m[0][1:]], *m[1:]], "is of type bool, not int"),
        (lambda m: [[-1, *m[0][1:]], *m[1:]], "holds -1, not a number of faces"),
        (lambda m: [[2**63, *m[0][1:]], *m[1:]], "too large"),
        (lambda m: [[0] * 3] * 3, "means a test_accuracy of 0.0, rows has"),
        (lambda m: [line[1:] + line[:1] for line in m], "means a test_accuracy of"),
        (other_counts, r"counts \[32, 32, 32\] test faces, not \[16, 16, 16\]"),
    ],
)
def test_a_confusion_matrix_that_cannot_be_of_the_test_faces_is_refused(
    find, stored, change, expected
):
    facts = read_facts(stored)
    facts["confusion_matrix"] = change(facts["confusion_matrix"])
    write_json(stored / FACTS, facts)
    with pytest.raises(InputError, match=f"is broken .run.json: .*{expected}") as error:
        find()
    assert str(stored) in str(error.value) and len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("name", "value"), [("rows", math.nan), ("rows", "x"), ("rows", None), ("summary", [0.5])]
)
def test_a_mean_class_accuracy_of_another_form_is_refused(find, stored, name, value):
    facts = read_facts(stored)
    (facts["rows"][0] if name == "rows" else facts["summary"])["mean_class_accuracy"] = value
    write_json(stored / FACTS, facts)
    with pytest.raises(InputError, match="is broken .run.json: .*mean_class_accuracy is"):
        find()


DEEP = "[" * 100_000 + "]" * 100_000
CHANGES = [
    ("settings", []), ("settings", None), ("settings.noise", DEEP), ("settings.noise", [1]),
    ("settings.noise.kind", 3), ("settings.noise.rate", "much"), ("settings.method", "eac"),
    ("settings.method.name", None), ("settings.method.name", "\ud800"), ("settings.data.train", {}),
    ("settings.data.train", 10**400), ("settings.network.name", []), ("settings.recipe.seed", True),
    ("rows", {}), ("rows", [3]), ("rows", [{}]), ("rows", [{"test_accuracy": []}]),
    ("rows", []), ("summary.epochs", 10**18), ("summary.test_accuracy", 17.0),
    ("chosen_epoch", 99), ("chosen_epoch", -3), ("chosen_epoch", 1.5), ("chosen_epoch", 0),
    ("summary", []), ("summary.test_accuracy", None),
    ("summary.test_accuracy", float("nan")), ("summary.memorised", 10**400),
    ("summary.recovered", "x"), ("checksums", None), ("chosen_epoch", "last"),
    ("made", {"device": "cuda:0"}),  # of before trainings on a GPU were deterministic
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("where", "value"), CHANGES)
def test_a_description_of_another_form_is_refused_and_the_list_goes_on(find, stored, where, value):
    """Also where the checksum was made to fit."""
    other = stored.with_name("zzz")
    shutil.copytree(stored, other)
    *parts, last = where.split(".")
    inner = facts = read_facts(stored)
    for part in parts:
        inner = inner[part]
    inner[last] = value
    write_json(stored / FACTS, facts)
    if value is DEEP:
        text = (stored / FACTS).read_text().replace(f'"{DEEP}"', DEEP)
        (stored / FACTS).write_bytes(with_checksum(text))
    with pytest.raises(InputError, match="is broken .run.json") as error:
        find()
    assert len(str(error.value)) < 500
    table = {row["run"]: row["method"] for row in run_rows(list_runs(stored.parent))}
    assert table == {stored.name: "(broken)", "zzz": "eac"}


def with_checksum(text):
    """The text of a run.json with the checksum that fits it."""
    unset = re.sub("[0-9a-f]{64}", "0" * 64, text, count=1)
    return unset.replace("0" * 64, hashlib.sha256(unset.encode()).hexdigest(), 1).encode()


@pytest.mark.parametrize("text", ["[]", "3", "null", "{", "", '{"settings": {}, "rows": []}', DEEP])
def test_a_stray_run_json_is_broken_and_hides_no_run(find, stored, text):
    stray = stored.with_name("tensorboard")
    stray.mkdir()
    (stray / FACTS).write_text(text)
    table = {row["run"]: row["method"] for row in run_rows(list_runs(stored.parent))}
    assert table == {stored.name: "eac", "tensorboard": "(broken)"}


@pytest.mark.parametrize("name", [FACTS, NETWORK, TENSORS])
def test_a_run_that_cannot_be_read_is_not_called_broken(find, stored, name, monkeypatch):
    real = Path.read_bytes

    def read_bytes(path):
        if path.name == name:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(InputError, match="cannot be read .*Permission denied") as error:
        find()
    assert not re.search("broken|remove|fresh", str(error.value))
    if name == FACTS:
        assert [row["method"] for row in run_rows([stored])] == ["(cannot be read)"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="rights of files are those of POSIX")
def test_files_have_the_rights_that_the_umask_leaves(find, tmp_path):
    before = os.umask(0o027)
    try:
        with pytest.raises(KeyboardInterrupt):
            find(interrupt_at=BATCHES + 1)
        (checkpoint,) = tmp_path.glob("runs/*/checkpoint.safetensors")
        assert checkpoint.stat().st_mode & 0o777 == 0o640
        find()
    finally:
        os.umask(before)
    (place,) = list_runs(tmp_path / "runs")
    assert place.stat().st_mode & 0o777 == 0o750
    assert {path.stat().st_mode & 0o777 for path in place.iterdir()} == {0o640}


def test_who_waits_for_a_training_meets_the_others_often(find, stored, monkeypatch, capsys):
    """Several processes wait in short collectives: a long one ends with an error."""
    stored.rename(stored.with_name("elsewhere"))
    answers, real = [], distributed.broadcast_flag

    def agreed(answer):
        answers.append(answer)
        if len(answers) == 5:
            other.release()
            stored.with_name("elsewhere").rename(stored)
        return real(answer)

    monkeypatch.setattr(distributed, "broadcast_flag", agreed)
    monkeypatch.setattr(runs, "SECONDS_A_POLL", 0.01)
    other = FileLock(stored.parent / ".locks" / f"{stored.name}.lock")
    with other:
        assert find()[1] == 0
    assert answers == [False, False, False, False, False, True, True]
    assert capsys.readouterr().out == f"Another process is training {stored.name}; waiting.\n"


class Killed(BaseException):
    """Ends what is done, as a kill would."""


OPERATIONS = [*((False, at) for at in range(0, 6, 2)), *((True, at) for at in range(0, 10, 3))]


@pytest.mark.slow
@pytest.mark.parametrize(("fresh", "at"), OPERATIONS)
def test_a_kill_while_a_run_is_stored_or_replaced_leaves_nothing_behind(
    find, stored, tmp_path, monkeypatch, fresh, at
):
    """After each operation on the names of files in turn; the epochs are kept all the same."""
    if not fresh:
        with pytest.raises(KeyboardInterrupt):
            find(interrupt_at=3 * BATCHES, fresh=True)
    done = []

    def killing(real):
        def call(*args, **kwargs):
            result = real(*args, **kwargs)
            done.append(real.__name__)
            if len(done) == at + 1:
                raise Killed
            return result

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "unlink"):
            patch.setattr(Path, name, killing(getattr(Path, name)))
        patch.setattr(shutil, "rmtree", killing(shutil.rmtree))
        with pytest.raises(Killed):
            find(fresh=fresh)
    find()
    (place,) = list((tmp_path / "runs").glob("[!.]*"))
    assert {path.name for path in place.iterdir()} == {FACTS, NETWORK, TENSORS}
    assert find()[1] == 0


@pytest.mark.slow
def test_temporary_files_of_killed_processes_are_removed(find, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        find(interrupt_at=BATCHES + 1)
    (partial,) = (tmp_path / "runs").glob("*.partial")
    (partial / ".eacbook-otherhost-1-abc.tmp").touch()
    find()
    (place,) = list_runs(tmp_path / "runs")
    assert {path.name for path in place.iterdir()} == {FACTS, NETWORK, TENSORS}


@pytest.mark.parametrize("name", [NETWORK, TENSORS])
def test_files_of_a_run_in_each_others_place_are_refused(find, stored, name):
    other = {NETWORK: TENSORS, TENSORS: NETWORK}[name]
    (stored / name).write_bytes((stored / other).read_bytes())
    with pytest.raises(InputError, match="broken"):
        find()


def test_a_run_made_by_other_settings_than_its_name_says_is_refused(find, stored):
    facts = read_facts(stored)
    facts["settings"]["method"]["weight"] = 5.0
    write_json(stored / FACTS, facts)
    with pytest.raises(InputError, match="other settings"):
        find()


@dataclass(frozen=True)
class WithFunction(Baseline):
    name: ClassVar[str] = "with_function"
    transform: object = len


def test_a_method_without_plain_hyperparameters_trains_and_is_not_stored(faces, noisy, tmp_path):
    training = WithFunction(), small_network(), faces, noisy
    assert train(*training, **QUICK | {"epochs": 1}).rows
    with pytest.raises(InputError, match="cannot be stored, because its method .*plain values"):
        find_or_train(*training, folder=tmp_path / "runs", **QUICK)
    with pytest.raises(InputError, match="cannot be stored"):
        train(*training, hooks=[Checkpoint(tmp_path / "state")], **QUICK)
    assert not list(tmp_path.iterdir())

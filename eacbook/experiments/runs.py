"""Stored runs: finished runs on disk, which are found again by their settings.

A run is in the folder ``<folder>/<method>-<data>-<digest of its settings>/``. It has ``run.json``
(settings, rows, summary, confusion matrix, versions), ``network.safetensors`` and
``tensors.safetensors`` (given and true labels, and the records of hooks). During the training, the
checkpoint is in a folder whose name ends in ``.partial``. The folder gets its own name when the run is
complete, so there is never half a run under that name. Every file has a checksum. A run with damaged
files is refused as *broken*. A run that cannot be read, because of access rights or the disk, has
another message, which does not advise to remove it.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from eacbook.data.faces import FaceData
from eacbook.devices import choose_device
from eacbook.errors import InputError
from eacbook.evaluation.evaluate import mean_class_accuracy
from eacbook.extras import load
from eacbook.files import (
    CHECKSUM,
    read_json,
    read_tensors,
    remove_temporary,
    sync_folder,
    write_json,
    write_tensors,
)
from eacbook.methods import Method
from eacbook.models.networks import network_name
from eacbook.noise.labels import NoisyLabels
from eacbook.training import distributed
from eacbook.training.checkpoint import Checkpoint
from eacbook.training.code_digest import without_source
from eacbook.training.hooks import Hook
from eacbook.training.identity import check_storable, describe_training, fill_defaults
from eacbook.training.loop import train
from eacbook.training.setup import extend_network
from eacbook.training.state import Run

FOLDER = Path("runs")
FACTS, NETWORK, TENSORS = "run.json", "network.safetensors", "tensors.safetensors"
CHECKPOINT = "checkpoint.safetensors"
LOCKS = ".locks"
PARTIAL, REMOVED = ".partial", ".removed"
SECONDS_A_POLL = 2
"""How often all processes of a training synchronise, while the first one waits for another training."""


def find_or_train(
    method: Method,
    network: nn.Module,
    faces: FaceData,
    noisy: NoisyLabels,
    *,
    folder: str | Path = FOLDER,
    fresh: bool = False,
    device: str | torch.device | None = None,
    hooks: Sequence[Hook] = (),
    **recipe,
) -> Run:
    """The stored run of these settings, or a new run, which is trained and stored.

    If a run was killed or interrupted, the next call continues after its last whole epoch. If two
    processes need the same run at the same time, one of them trains it, and the other one waits.

    The settings of a run include the code of the method, the network and the hooks
    (:func:`eacbook.training.code_digest.describe_code`). If this code has no source, for example after
    ``exec``, nothing is stored.

    Args:
        method, network, faces, noisy, device: see :func:`eacbook.training.loop.train`.
        folder: the folder of the stored runs.
        fresh: remove the stored run and its checkpoint, and train from the start.
        hooks: those that describe themselves are part of the settings.
        **recipe: the fields of :class:`eacbook.training.recipe.Recipe` that are not the network's own.

    Raises:
        InputError: an argument is out of range, or the stored run or checkpoint is broken, cannot be
            read or belongs to other settings.
        KeyboardInterrupt: the training was interrupted. Its whole epochs are kept, and the message says
            how many.
    """
    method, chosen = fill_defaults(method, network_name(network), recipe)
    settings = describe_training(method, network, faces, noisy, chosen, hooks)
    describing = [type(hook) for hook in hooks if hook.describe()]
    if sourceless := without_source(type(method), network, *describing):
        if distributed.is_first():
            print(
                f"The run is not stored, because there is no source code of {sourceless}: define it "
                "in a file or in a notebook.",
                flush=True,
            )
        return train(method, network, faces, noisy, device=device, hooks=hooks, **recipe)
    choose_device(device)  # before a folder is made
    check_storable(settings)
    name = run_name(settings)
    place, partial = Path(folder) / name, Path(folder) / (name + PARTIAL)

    def stored() -> Run | None:
        if fresh or not distributed.broadcast_flag(_exists(place)):
            return None
        run = load_run(place, extend_network(method, network, faces, chosen), settings, device)
        _check_test_faces(place, run.confusion_matrix, faces)
        return run

    if run := stored():
        return run
    with _alone(Path(folder), name):
        if distributed.is_first():
            _tidy(partial, place, fresh)
        if run := stored():  # another process trained it while we waited
            return run
        checkpoint = Checkpoint(partial / CHECKPOINT)
        try:
            run = train(
                method, network, faces, noisy, device=device, hooks=[*hooks, checkpoint], **recipe
            )
        except KeyboardInterrupt:
            if not checkpoint.epoch:
                raise
            again = "the same call without fresh (--fresh)" if fresh else "the same call"
            raise KeyboardInterrupt(
                f"the training was interrupted; its first {checkpoint.epoch} of {chosen.epochs} "
                f"epochs are kept, and {again} goes on from there"
            ) from None
        if distributed.is_first():
            _store(run, partial)
            _put_in_place(partial, place)
        distributed.wait_for_all()
        return run


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Hold the lock of a run, so that no other process trains it. If we die, the system frees it."""
    lock = None
    if distributed.is_first():  # it holds the lock for all processes of this training
        (folder / LOCKS).mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCKS / f"{name}.lock")
    if not distributed.broadcast_flag(_acquire(lock, 0)):
        if lock:
            print(f"Another process is training {name}; waiting.", flush=True)
        # The other processes wait for the first one, and a collective call must not take long.
        while not distributed.broadcast_flag(_acquire(lock, SECONDS_A_POLL)):
            pass
    try:
        yield
    finally:
        if lock:
            lock.release()


def _acquire(lock: FileLock | None, timeout: float) -> bool:
    try:
        if lock:
            lock.acquire(timeout=timeout)
    except Timeout:
        return False
    return True


def run_name(settings: dict) -> str:
    """Folder name of a run: a readable part, and then a unique digest."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    return f"{settings['method']['name']}-{settings['data']['name']}-{digest}"


def load_run(
    place: Path,
    network: nn.Module,
    settings: dict,
    device: str | torch.device | None = None,
) -> Run:
    """Load a stored run.

    Args:
        place: the folder of the run.
        network: a network like the trained one (see :func:`eacbook.training.setup.extend_network`); it
            gets the stored weights.
        settings: the settings that the run must have.
        device: the device of the network; see :func:`eacbook.training.loop.train`.

    Raises:
        InputError: a file is missing, broken, cannot be read or is from other settings.
    """
    facts = read_facts(place)
    if facts["settings"] != json.loads(json.dumps(settings)):
        raise InputError(
            f"the stored run {place} was made with other settings than its name says; remove it or "
            "train again with fresh (--fresh)"
        )
    network = network.to(choose_device(device))
    read = {}
    for file in (NETWORK, TENSORS):
        try:
            read[file], about = read_tensors(place / file)
            if about[CHECKSUM] != facts["checksums"].get(file):
                raise ValueError("it belongs to another run")
        except (OSError, ValueError) as error:
            raise _refusal(place, file, error) from error
    try:
        network.load_state_dict(read[NETWORK])
    except RuntimeError as error:
        raise _refusal(place, NETWORK, "its tensors are not those of the network") from error
    tensors = read[TENSORS]
    try:
        given, true, transition = map(tensors.pop, ("given", "true", "transition_matrix"))
    except KeyError as error:
        raise _refusal(place, TENSORS, f"it lacks {error}") from error
    noise = {name: value for name, value in facts["settings"]["noise"].items() if name != "given"}
    noisy = NoisyLabels(given, true, transition, noise)
    matrix = facts.get(_CONFUSION)
    return Run(
        network.eval(), facts["rows"], noisy, facts["settings"], stored=True, records=tensors,
        chosen_epoch=facts.get("chosen_epoch"), threads=facts.get("made", {}).get("threads"),
        confusion_matrix=None if matrix is None else torch.tensor(matrix),
    )  # fmt: skip


def read_facts(place: Path) -> dict:
    """The content of ``run.json`` of a stored run: settings, rows, summary and versions.

    Raises:
        InputError: it is missing, broken or cannot be read.
    """
    try:
        facts = read_json(place / FACTS)
        _check_facts(facts)
    except (OSError, ValueError) as error:
        raise _refusal(place, FACTS, error) from error
    return facts


_FORM = {
    "settings.method.name": str,
    "settings.data.name": str,
    "settings.data.train": int,
    "settings.network.name": str,
    "settings.noise": dict,
    "settings.recipe.seed": int,
    "rows": list,
    "summary": dict,
    "summary.epochs": int,
    "summary.test_accuracy": float,
    "checksums": dict,
}
"""The entries of ``run.json`` that the code uses, and their types."""

_COLUMNS = ("epoch", "learning_rate", "loss", "test_accuracy", "seconds")
"""Numbers that every row has."""

_SHARES = ("memorised", "recovered")
"""Shares that every row and the summary have; None where no label is wrong."""

_ACCURACIES = ("test_accuracy", "mean_class_accuracy", "validation_accuracy")
"""Shares, too. Not every run has all of them."""

_CONFUSION = "confusion_matrix"
"""Numbers of test faces ``[K,K]``. Runs that were stored by 0.1 and early 0.2 have neither it nor the
mean_class_accuracy of rows and summary."""


def _check_facts(facts: dict) -> None:
    for where, kind in _FORM.items():
        value = facts
        for name in where.split("."):
            if not isinstance(value, dict) or name not in value:
                raise ValueError(f"it lacks {where}")
            value = value[name]
        _check_kind(value, kind, where)
    noise = facts["settings"]["noise"]
    _check_kind(noise.get("kind", ""), str, "settings.noise.kind")
    made = facts.get("made", {})
    _check_kind(made, dict, "made")
    if str(made.get("device")).startswith("cuda") and "deterministic" not in made:
        raise ValueError("a GPU trained it before eacbook was deterministic there")
    rows, epoch = facts["rows"], facts.get("chosen_epoch")
    epochs = facts["summary"]["epochs"]
    if not rows or epochs != len(rows):
        raise ValueError(f"its rows are of {len(rows)} epochs, its summary of {epochs}")
    if epoch is not None:
        _check_kind(epoch, int, "chosen_epoch")
        if not 1 <= epoch <= len(rows):
            raise ValueError(f"chosen_epoch is {epoch}, and there are {len(rows)} epochs")
    for where, value in {"noise.rate": noise.get("rate"), **facts["summary"]}.items():
        if value is not None:
            _check_kind(value, float, where)
    for row in rows:
        _check_kind(row, dict, "rows")
        for name in (*_COLUMNS, *(name for name in _ACCURACIES if name in row)):
            _check_kind(row.get(name), float, f"rows.{name}")
        _check_shares(row, "rows")
    _check_shares(facts["summary"], "summary")
    if facts.get(_CONFUSION) is not None:
        _check_confusion_matrix(facts)


def _check_shares(part: dict, where: str) -> None:
    for name in _SHARES:
        if name not in part:
            raise ValueError(f"it lacks {where}.{name}")
    for name in (*_SHARES, *_ACCURACIES):
        value = part.get(name)
        if value is None:
            continue
        _check_kind(value, float, f"{where}.{name}")
        if not 0 <= value <= 1:
            raise ValueError(f"{where}.{name} is {value}, not from 0 to 1")


def _check_confusion_matrix(facts: dict) -> None:
    """Check its form, and that it has the accuracies of the epoch of the run's network."""
    matrix, rows = facts[_CONFUSION], facts["rows"]
    _check_kind(matrix, list, _CONFUSION)
    if not matrix:
        raise ValueError(f"{_CONFUSION} has no class")
    for line in matrix:
        _check_kind(line, list, _CONFUSION)
        if len(line) != len(matrix):
            raise ValueError(f"{_CONFUSION} has {len(matrix)} rows and {len(line)} columns")
        for count in line:
            _check_kind(count, int, _CONFUSION)
            if count < 0:
                raise ValueError(f"{_CONFUSION} holds {count}, not a number of faces")
    epoch = facts.get("chosen_epoch") or len(rows)
    counts = torch.tensor(matrix)
    found = {
        "test_accuracy": counts.trace().item() / max(counts.sum().item(), 1),
        "mean_class_accuracy": mean_class_accuracy(counts),
    }
    for name, accuracy in found.items():
        stored = rows[epoch - 1].get(name, math.nan)
        if not math.isclose(stored, accuracy, abs_tol=1e-9):
            raise ValueError(f"{_CONFUSION} means a {name} of {accuracy}, rows has {stored}")


def _check_test_faces(place: Path, matrix: Tensor | None, faces: FaceData) -> None:
    """Check that the stored confusion matrix counts the test faces of this set."""
    if matrix is None:
        return
    expected = faces.test.labels.bincount(minlength=faces.num_classes)
    if matrix.sum(1).tolist() != expected.tolist():
        why = f"{_CONFUSION} counts {matrix.sum(1).tolist()} test faces, not {expected.tolist()}"
        raise _refusal(place, FACTS, why)


def _check_kind(value: object, kind: type, where: str) -> None:
    kinds = (int, float) if kind is float else kind
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise ValueError(f"{where} is of type {type(value).__name__}, not {kind.__name__}")
    if isinstance(value, str):
        value.encode()  # half a character cannot be shown
    elif isinstance(value, (int, float)) and not abs(value) < 2**63:
        raise ValueError(f"{where} is not finite or too large")


def list_runs(folder: str | Path = FOLDER) -> list[Path]:
    """Folders of the stored runs, the oldest first, without runs that are still in training.

    Raises:
        OSError: the folder cannot be read.
    """
    if not Path(folder).is_dir():
        return []
    made = {}
    for place in Path(folder).iterdir():
        if not place.name.endswith((PARTIAL, REMOVED)):
            try:
                made[place] = (place / FACTS).stat().st_mtime
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:  # it may be a run; a later error says why it cannot be read
                made[place] = -math.inf
    return sorted(made, key=lambda place: (made[place], place.name))


def summary_rows(runs: Mapping[str, Run]) -> list[dict[str, str]]:
    """The results of some runs as texts, a row for each run, with its name under ``""``.

    Accuracies and shares are in percent. Seconds are those of training, without evaluation.
    """
    columns = {
        "test accuracy": "test_accuracy",
        "mean class accuracy": "mean_class_accuracy",
        "last epoch": "test_accuracy_last",
        "best epoch": "test_accuracy_best",
        "memorised": "memorised",
        "recovered": "recovered",
    }
    return [
        {
            "": name,
            **{title: percent(run.summary[key]) for title, key in columns.items()},
            "seconds": f"{run.summary['seconds']:.0f}",
        }
        for name, run in runs.items()
    ]


def summary_table(runs: Mapping[str, Run]):
    """:func:`summary_rows` as a pandas DataFrame, indexed by name."""
    pandas = load("pandas")  # slow to import, and only readers of tables need it
    return pandas.DataFrame(summary_rows(runs)).set_index("").rename_axis(None)


def run_rows(places: Sequence[Path]) -> list[dict[str, str]]:
    """Stored runs as texts, a row for each folder."""
    rows = []
    for place in places:
        try:
            facts = read_facts(place)
        except InputError as error:
            readable = not isinstance(error.__cause__, OSError) or _is_missing(error.__cause__)
            state = "(broken)" if readable else "(cannot be read)"
            rows.append({"run": place.name, "method": state})
            continue
        settings, summary = facts["settings"], facts["summary"]
        noise = settings["noise"]
        rate = "" if noise.get("rate") is None else f" {noise['rate']:.0%}"
        rows.append(
            {
                "run": place.name,
                "method": settings["method"]["name"],
                "data": f"{settings['data']['name']} ({settings['data']['train']:,})",
                "noise": noise.get("kind", "") + rate,
                "network": settings["network"]["name"],
                "epochs": str(summary["epochs"]),
                "seed": str(settings["recipe"]["seed"]),
                "test accuracy": percent(summary["test_accuracy"]),
                "memorised": percent(summary["memorised"]),
            }
        )
    return rows


def percent(share: float | None) -> str:
    """``0.813`` as ``81.3 %``, and None as a dash."""
    return "-" if share is None else f"{100 * share:.1f} %"


def _store(run: Run, partial: Path) -> None:
    """Write a run into the partial folder. The facts are written last: then the run is complete."""
    noisy = run.noisy
    labels = {
        "given": noisy.given,
        "true": noisy.true,
        "transition_matrix": noisy.transition_matrix,
    }
    checksums = {
        TENSORS: write_tensors(partial / TENSORS, labels | run.records),
        NETWORK: write_tensors(partial / NETWORK, run.network.state_dict()),
    }
    facts = {
        "settings": run.settings,
        "summary": run.summary,
        "rows": run.rows,
        "chosen_epoch": run.chosen_epoch,
        _CONFUSION: None if run.confusion_matrix is None else run.confusion_matrix.tolist(),
        "checksums": checksums,
        "made": {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "torch": torch.__version__,
            "device": str(next(run.network.parameters()).device),
            "processor": torch.backends.cpu.get_cpu_capability(),
            "threads": run.threads,
            "deterministic": run.settings["recipe"].get("deterministic", True),
            "python": platform.python_version(),
            "machine": platform.machine(),
        },
    }
    write_json(partial / FACTS, facts)


def _put_in_place(partial: Path, place: Path) -> None:
    """Give a complete run its name. If we are killed before, the next process does this."""
    (partial / CHECKPOINT).unlink(missing_ok=True)
    partial.rename(place)
    sync_folder(place.parent)


def _tidy(partial: Path, place: Path, fresh: bool) -> None:
    """Finish or remove the files of a killed process. The caller must hold the lock."""
    removed = place.with_name(place.name + REMOVED)
    shutil.rmtree(removed, ignore_errors=True)
    if fresh:
        for folder in (partial, place):
            if folder.exists():
                folder.rename(removed)  # first, so that there is never half a run under its name
                shutil.rmtree(removed)
    remove_temporary(partial, of_all=True)
    if (partial / FACTS).exists():
        _put_in_place(partial, place)


def _exists(place: Path) -> bool:
    try:
        place.stat()
    except OSError as error:
        if _is_missing(error):
            return False
        raise _refusal(place, FACTS, error) from error
    return True


def _is_missing(error: OSError) -> bool:
    """Whether a file does not exist or is not a file, in contrast to one that we may not read."""
    return isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError))


def _refusal(place: Path, file: str, why: object) -> InputError:
    if isinstance(why, OSError) and not _is_missing(why):
        return InputError(
            f"the stored run {place} cannot be read ({file}: {why.strerror or why}); check that you "
            "may read it, or choose another folder (--folder)"
        )
    if isinstance(why, OSError):
        why = why.strerror
    return InputError(
        f"the stored run {place} is broken ({file}: {str(why)[:120]}); remove it or train again with "
        "fresh (--fresh)"
    )

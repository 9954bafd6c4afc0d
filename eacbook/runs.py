"""Finished runs on disk, found again by what produced them.

A run lives in ``<folder>/<method>-<data>-<digest of its settings>/``: ``run.json`` (settings, rows,
summary, versions), ``network.safetensors`` and ``tensors.safetensors`` (given and true labels, and
what hooks kept). While it is trained, its checkpoint stands beside that name with ``.partial``
behind it; the folder gets its name when it is whole, so that half a run is never taken for one.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from eacbook import processes
from eacbook.errors import InputError
from eacbook.faces import FaceData
from eacbook.files import write_tensors, write_text
from eacbook.hooks import Checkpoint, Hook
from eacbook.methods import Method
from eacbook.noise import NoisyLabels
from eacbook.training import Recipe, Run, choose_device, describe_training, extend_network, train

FOLDER = Path("runs")
FACTS, NETWORK, TENSORS = "run.json", "network.safetensors", "tensors.safetensors"
CHECKPOINT = "checkpoint.safetensors"
LOCKS = ".locks"


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
    """The stored run of these settings, or a new one, trained and stored.

    A run that was killed or interrupted goes on from its last whole epoch at the next call. Two that
    ask for the same run at once train it once: the second one waits.

    Args:
        method, network, faces, noisy, device: see :func:`eacbook.training.train`.
        folder: where runs are kept.
        fresh: train from the start, and replace a stored run.
        hooks: those that describe themselves are part of the settings.
        **recipe: the fields of :class:`eacbook.training.Recipe`.

    Raises:
        InputError: the stored run or checkpoint is broken or belongs to other settings.
    """
    chosen = Recipe(**recipe)
    settings = describe_training(method, network, faces, noisy, chosen, hooks)
    name = run_name(settings)
    place, partial = Path(folder) / name, Path(folder) / f"{name}.partial"

    def stored() -> Run | None:
        if fresh or not processes.agreed(place.exists()):
            return None
        return load_run(place, extend_network(method, network, faces, chosen), settings, device)

    if run := stored():
        return run
    with _alone(Path(folder), name):
        if fresh and processes.is_first():
            shutil.rmtree(partial, ignore_errors=True)
        if run := stored():  # by whom we waited for
            return run
        checkpoint = Checkpoint(partial / CHECKPOINT)
        run = train(
            method, network, faces, noisy, device=device, hooks=[*hooks, checkpoint], **recipe
        )
        if run.finished and processes.is_first():
            _store(run, partial, place)
        processes.wait_for_all()
        return run


@contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """Inside, nobody else trains the run of that name; the system frees the lock if we die."""
    if processes.is_first():  # it holds the lock for all that train together
        (folder / LOCKS).mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / LOCKS / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"Somebody else is training {name}; waiting for it.", flush=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
    else:
        yield


def run_name(settings: dict) -> str:
    """Folder name of a run: readable in front, unique behind."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    return f"{settings['method']['name']}-{settings['data']['name']}-{digest}"


def load_run(
    place: Path,
    network: nn.Module,
    settings: dict,
    device: str | torch.device | None = None,
) -> Run:
    """A stored run.

    Args:
        place: its folder.
        network: as it was trained (see :func:`eacbook.training.extend_network`); it receives the stored
            weights.
        settings: what the run must have been made by.
        device: where the network goes; see :func:`eacbook.training.train`.

    Raises:
        InputError: a file is missing, broken or from other settings.
    """
    facts = read_facts(place)
    if facts["settings"] != json.loads(json.dumps(settings)):
        raise InputError(
            f"the stored run {place} was made by other settings than its name says; remove it or "
            "train again with fresh (--fresh)"
        )
    network = network.to(choose_device(device))
    try:
        network.load_state_dict(load_file(place / NETWORK))
        tensors = load_file(place / TENSORS)
        labels = [tensors.pop(name) for name in ("given", "true", "asked")]
    except (SafetensorError, OSError, RuntimeError, KeyError) as error:
        raise _broken(place, error) from error
    noise = {name: value for name, value in facts["settings"]["noise"].items() if name != "given"}
    noisy = NoisyLabels(*labels, noise)
    return Run(network.eval(), facts["rows"], noisy, facts["settings"], stored=True, kept=tensors)


def read_facts(place: Path) -> dict:
    """What ``run.json`` of a stored run says: settings, rows, summary and versions.

    Raises:
        InputError: it is missing or broken.
    """
    try:
        facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
        missing = {"settings", "rows", "summary"} - set(facts)
    except (OSError, ValueError, TypeError) as error:
        raise _broken(place, error) from error
    if missing:
        raise _broken(place, f"{FACTS} lacks {', '.join(sorted(missing))}")
    return facts


def list_runs(folder: str | Path = FOLDER) -> list[Path]:
    """Folders of the stored runs, the oldest first; runs still in training are not among them."""
    places = [path.parent for path in Path(folder).glob(f"*/{FACTS}")]
    places = [place for place in places if not place.name.endswith(".partial")]
    return sorted(places, key=lambda place: (place / FACTS).stat().st_mtime)


def summary_table(runs: Mapping[str, Run]):
    """The figures of some runs as a pandas DataFrame of texts, a row a run.

    Accuracies and shares are in percent; seconds are those of training, without evaluation.
    """
    import pandas  # slow to import, and only readers of tables need it

    columns = {
        "test accuracy": "test_accuracy",
        "last epoch": "test_accuracy_last",
        "best epoch": "test_accuracy_best",
        "memorised": "memorised",
        "recovered": "recovered",
    }
    return pandas.DataFrame(
        {
            name: {
                **{title: percent(run.summary[key]) for title, key in columns.items()},
                "seconds": f"{run.summary['seconds']:.0f}",
            }
            for name, run in runs.items()
        }
    ).T


def runs_table(places: Sequence[Path]):
    """Stored runs as a pandas DataFrame of texts, a row a folder."""
    import pandas

    rows = []
    for place in places:
        try:
            facts = read_facts(place)
        except InputError:
            rows.append({"run": place.name, "method": "(broken)"})
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
    return pandas.DataFrame(rows).fillna("")


def percent(share: float | None) -> str:
    """``0.813`` as ``81.3 %``; a dash where there is nothing to count."""
    return "-" if share is None else f"{100 * share:.1f} %"


def _store(run: Run, partial: Path, place: Path) -> None:
    """Write everything into the partial folder, then give it its name."""
    noisy = run.noisy
    labels = {"given": noisy.given, "true": noisy.true, "asked": noisy.asked}
    write_tensors(partial / TENSORS, labels | run.kept)
    write_tensors(partial / NETWORK, run.network.state_dict())
    facts = {
        "settings": run.settings,
        "summary": run.summary,
        "rows": run.rows,
        "made": {
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "torch": torch.__version__,
            "device": str(next(run.network.parameters()).device),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "machine": platform.machine(),
        },
    }
    write_text(partial / FACTS, json.dumps(facts, indent=1) + "\n")
    if place.exists():
        shutil.rmtree(place)
    partial.rename(place)
    (place / CHECKPOINT).unlink()


def _broken(place: Path, why: object) -> InputError:
    return InputError(
        f"the stored run {place} is broken ({why}); remove it or train again with fresh (--fresh)"
    )

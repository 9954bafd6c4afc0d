"""Kinds of malformed files: eacbook's own, and weights and noisy labels from elsewhere."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import random
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from eacbook.cli import main
from eacbook.data.faces import SPLITS, load_faces
from eacbook.data.images import fetch
from eacbook.experiments.runs import find_or_train
from eacbook.methods import Baseline
from eacbook.models.networks import build_network
from eacbook.models.weight_files import read_weights
from eacbook.models.weights import fill_network
from eacbook.noise.inject import inject_noise, noise_from_file
from eacbook.training.loop import train

from ..conftest import prepare_stripes, striped_faces
from .mutations import change_bytes, change_json, change_table
from .trials import Trial, kind

RECIPE = {"epochs": 2, "batch_size": 16, "device": "cpu"}


def command(main, arguments: list[str]) -> str:
    """What a command prints; its refusal leaves as from the shell."""
    if status := main(arguments):
        raise SystemExit(status)
    return sys.stdout.getvalue()


def digest(*values: object) -> str:
    """Of tensors and plain values, to the last bit."""
    total = hashlib.sha256()
    for value in values:
        if isinstance(value, torch.Tensor):
            total.update(f"{value.dtype}{list(value.shape)}".encode())
            total.update(value.contiguous().numpy().tobytes())
        else:
            total.update(repr(value).encode())
    return total.hexdigest()


def digest_of_faces(faces, words: bool = True) -> str:
    """Of pixels, labels, names and votes, and of what is said in words."""
    splits = [getattr(faces, name) for name in SPLITS if getattr(faces, name)]
    parts = [faces.classes, faces.source, faces.licence] if words else [faces.num_classes]
    for split in splits:
        everything = torch.arange(len(split))
        parts += [fetch(split.images, everything), split.labels, split.files, split.votes]
    return digest(*parts)


def digest_of_run(run) -> str:
    """Of weights, labels, what was kept, and the rows without their seconds."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run.rows]
    tensors = [*run.network.state_dict().items(), *sorted(run.records.items())]
    plain = [part for name, tensor in tensors for part in (name, tensor)]
    return digest(rows, run.noisy.given, run.noisy.true, *plain)


def edit(rng: random.Random, path: Path, change=change_bytes) -> str:
    """Change a file in its place; what was changed, in words."""
    if change is change_bytes:
        content, words = change(rng, path.read_bytes())
    else:
        text, words = change(rng, path.read_text(encoding="utf-8"))
        content = text.encode("utf-8", "surrogatepass")
    path.write_bytes(content)
    return f"{path.name}: {words}"


def seal(path: Path) -> None:
    """Make the checksum inside one of eacbook's own files fit to its damage, where it still has one."""
    data = path.read_bytes()
    if place := re.search(rb'"eacbook_sha256": ?"([^"]{64})"', data):
        start, end = place.span(1)
        whole = hashlib.sha256(data[:start] + b"0" * 64 + data[end:]).hexdigest()
        path.write_bytes(data[:start] + whole.encode() + data[end:])


def whole_run(run) -> bool:
    """Whether everything is there and of its kind."""
    rows = [row.get(name) for row in run.rows for name in ("epoch", "loss", "test_accuracy")]
    shares = len(run.rows) == RECIPE["epochs"] and all(
        type(value) in (int, float) for value in rows
    )
    labels = torch.cat((run.noisy.given, run.noisy.true))
    in_range = len(labels) == 48 and 0 <= labels.min() <= labels.max() < 3
    return (
        shares and in_range and all(t.isfinite().all() for t in run.network.state_dict().values())
    )


SEALED = "the checksum was made to fit: a whole run, read as it stands"


@kind("prepared set")
def prepared_set(here: Path):
    folder = Path(prepare_stripes(here / "set", train=12, votes=True))
    untouched = digest_of_faces(load_faces(folder))
    pixels_and_labels = digest_of_faces(load_faces(folder), words=False)
    files = sorted(path.name for path in folder.iterdir())

    def make(rng: random.Random, place: Path) -> Trial:
        mine = Path(shutil.copytree(folder, place / "set"))
        name = rng.choice(files)
        structured = name == "faceset.json" and rng.random() < 0.8
        words = edit(rng, mine / name, change_json if structured else change_bytes)

        def attempt():
            faces = load_faces(mine)
            faces.limit(5)
            return faces

        def accept(faces):
            if digest_of_faces(faces) == untouched:
                return "the change is in what is not read"
            if digest_of_faces(faces, words=False) == pixels_and_labels:
                return "another name or word in faceset.json, taken as it stands"
            return None

        return Trial(words, attempt, (str(mine),), accept)

    return make


@kind("prepared set, checksums made to fit")
def forged_set(here: Path):
    folder = Path(prepare_stripes(here / "set", train=12, votes=True))
    untouched = load_faces(folder)

    def make(rng: random.Random, place: Path) -> Trial:
        mine = Path(shutil.copytree(folder, place / "set"))
        name = rng.choice(("labels.csv", "labels.csv", "images.npy"))
        path = mine / name
        if name == "labels.csv":
            words = edit(rng, path, rng.choice((change_table, change_table, change_bytes)))
        else:  # the header is the part that is read as text
            data = path.read_bytes()
            header, words = change_bytes(rng, data[:128])
            path.write_bytes(header + data[128:])
        description = json.loads((mine / "faceset.json").read_text())
        description["checksums"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
        (mine / "faceset.json").write_text(json.dumps(description))

        def accept(faces):
            """Every label and row in range, the counts kept: another set, and a whole one."""
            for split in SPLITS:
                of, was = getattr(faces, split), getattr(untouched, split)
                shapes = of.images.shape == was.images.shape and len(of) == len(was) == len(
                    of.files
                )
                if not shapes or not 0 <= of.labels.min() <= of.labels.max() < 3:
                    return None
                if of.votes is not None and (of.votes < 0).any():
                    return None
            return "another whole set: its labels and names are read as they stand"

        return Trial(f"{name}: {words}", lambda: load_faces(mine), (str(mine),), accept)

    return make


def small_training():
    faces = striped_faces(24, 12, 12)
    noisy = inject_noise(faces.train.labels, 0.25, 3)
    return Baseline(), build_network("tiny", 3), faces, noisy


@kind("stored run")
def stored_run(here: Path):
    inputs = small_training()
    folder = here / "runs"
    untouched = digest_of_run(find_or_train(*inputs, folder=folder, **RECIPE))
    (run,) = (path for path in folder.iterdir() if not path.name.startswith("."))
    files = sorted(path.name for path in run.iterdir())

    def make(rng: random.Random, place: Path) -> Trial:
        mine = Path(shutil.copytree(folder, place / "runs"))
        name = rng.choice(files)
        structured = name == "run.json" and rng.random() < 0.8
        untouched_file = rng.random() < 0.04
        words, sealed = "nothing", not untouched_file and rng.random() < 0.5
        if not untouched_file:
            words = edit(rng, mine / run.name / name, change_json if structured else change_bytes)
        if sealed:
            seal(mine / run.name / name)
            words += ", with a checksum that fits"

        def attempt():
            listed = command(main, ["runs", "--folder", str(mine)])
            if run.name not in listed:
                raise AssertionError(f"'eacbook runs' does not list {run.name}: {listed}")
            return find_or_train(*inputs, folder=mine, **RECIPE)

        def accept(result):
            if digest_of_run(result) == untouched:
                return "the change is in what is not read"
            return SEALED if sealed and whole_run(result) else None

        return Trial(words, attempt, (run.name,), accept, untouched_file)

    return make


@kind("list of runs")
def list_of_runs(here: Path):
    folder = here / "runs"
    find_or_train(*small_training(), folder=folder, **RECIPE)
    (run,) = (path for path in folder.iterdir() if not path.name.startswith("."))

    def make(rng: random.Random, place: Path) -> Trial:
        mine = Path(shutil.copytree(folder, place / "runs"))
        stray = Path(shutil.copytree(mine / run.name, mine / "another"))
        words = edit(rng, stray / "run.json", change_json if rng.random() < 0.8 else change_bytes)

        def accept(listed):
            both = run.name in listed and "another" in listed and listed.count("\n") == 3
            plain = all(letter.isprintable() for letter in listed.replace("\n", ""))
            return "all runs are listed, the damaged one among them" if both and plain else None

        arguments = ["runs", "--folder", str(mine)]
        return Trial(words, lambda: command(main, arguments), ("another",), accept)

    return make


@kind("checkpoint")
def checkpoint(here: Path):
    inputs = small_training()
    whole = digest_of_run(train(*inputs, **RECIPE))
    folder = here / "runs"
    killed = os.fork()
    if not killed:
        from eacbook.training.hooks import Hook

        class Kill(Hook):
            def on_batch_end(self, training):
                if training.epoch:
                    os._exit(0)

        find_or_train(*inputs, folder=folder, hooks=[Kill()], **RECIPE)
    os.waitpid(killed, 0)
    (partial,) = folder.glob("*.partial")

    def make(rng: random.Random, place: Path) -> Trial:
        mine = Path(shutil.copytree(folder, place / "runs"))
        path = mine / partial.name / "checkpoint.safetensors"
        data = path.read_bytes()
        size = int.from_bytes(data[:8], "little")
        untouched_file = rng.random() < 0.04
        if untouched_file:
            words = "nothing"
        elif rng.random() < 0.5:  # the header: sizes, and the facts of the training
            head, words = change_bytes(rng, data[: 8 + size])
            path.write_bytes(head + data[8 + size :])
        elif rng.random() < 0.5:
            header = json.loads(data[8 : 8 + size])
            facts, words = change_json(rng, header["__metadata__"]["facts"])
            header["__metadata__"]["facts"] = facts
            head = json.dumps(header).encode()
            path.write_bytes(len(head).to_bytes(8, "little") + head + data[8 + size :])
        else:
            words = edit(rng, path)
        sealed = not untouched_file and rng.random() < 0.6
        if sealed:
            seal(path)
            words += ", with a checksum that fits"

        def accept(run):
            if digest_of_run(run) == whole:
                return "the result is that of the untouched input"
            return SEALED if sealed and whole_run(run) else None

        def attempt():
            return find_or_train(*inputs, folder=mine, **RECIPE)

        names = (str(mine), "the loss", "the network")  # what it goes on from may be no numbers
        return Trial(f"checkpoint: {words}", attempt, names, accept, untouched_file)

    return make


class Canary:
    """Unpickled in the ordinary way it would leave a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def hostile_pickles(place: Path) -> dict[str, bytes]:
    """Programs for pickle's machine that would run something, or fill the memory."""
    canary = place / "canary"
    call = f"cos\nsystem\n(S'touch {canary}'\ntR.".encode()
    return {
        "os.system": pickle.dumps(Canary(canary)),
        "os.system, protocol 0": call,
        "beside arrays": pickle.dumps({"conv1.weight": np.zeros(3), "x": Canary(canary)}),
        "exec": f"c__builtin__\nexec\n(S'open({str(canary)!r}, \"w\")'\ntR.".encode(),
        "getattr": b"c__builtin__\ngetattr\n(c__builtin__\n__import__\n(S'os'\ntRS'system'\ntR.",
        "numpy's own loader": f"cnumpy\nload\n(S'{canary}'\ntR.".encode(),
        "runstring": f"cnumpy.testing._private.utils\nrunstring\n(S'1'\n(dtR.{canary}".encode(),
        "torch.load": b"ctorch.serialization\nload\n(S'x'\ntR.",
        "a large memory index": b"\x80\x02]r\xff\xff\xff\x7f.",
        "a long that never ends": b"\x80\x02\x8b\xff\xff\xff\x7f.",
        "nested": b"(" * 20_000 + b"t" * 20_000 + b".",
        "a billion laughs": b"\x80\x02]q\x00" + b"".join(
            b"]q%c(" % n + b"h%c" % (n - 1) * 10 + b"e" for n in range(1, 12)
        ) + b".",
        "persistent id": b"\x80\x02X\x01\x00\x00\x00xQ.",
        "extension": b"\x80\x02\x82\x01.",
        "inst": f"(S'touch {canary}'\nios\nsystem\n.".encode(),
        "obj": f"(cos\nsystem\nS'touch {canary}'\no.".encode(),
        "build": b"c__main__\nX\n(dS'__setstate__'\ncos\nsystem\nsb.",
    }  # fmt: skip


def torch_file(tree: object, legacy: bool = False) -> bytes:
    file = io.BytesIO()
    torch.save(tree, file, _use_new_zipfile_serialization=not legacy)
    return file.getvalue()


@kind("weights")
def weights(here: Path):
    network = build_network("tiny", 3)
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    contents = {
        "w.safetensors": save(state),
        "w.pth": torch_file(state),
        "legacy.pth": torch_file({"state_dict": state}, legacy=True),
        "w.pkl": pickle.dumps(arrays),
        "py2.pkl": pickle.dumps(arrays, protocol=2),
    }
    untouched = digest(*sorted(state), *(state[name] for name in sorted(state)))

    def make(rng: random.Random, place: Path) -> Trial:
        name = rng.choice(tuple(contents))
        content, canary = contents[name], place / "canary"
        if rng.random() < 0.35:
            what, content = rng.choice(tuple(hostile_pickles(place).items()))
            if rng.random() < 0.3:
                content, more = change_bytes(rng, content)
                what += f", {more}"
            if rng.random() < 0.3:
                what, content = f"{what}, gone on", content[:-1] + contents["w.pkl"]
            if name.endswith("pth"):  # in place of the pickle in the archive
                content = swap_in_zip(contents["w.pth"], "data.pkl", content)
            words = f"a hostile pickle: {what}"
        elif rng.random() < 0.15:
            odd = dict(state)
            which = rng.choice([n for n, t in state.items() if t.is_floating_point()])
            odd[which] = odd[which].clone()
            value = rng.choice((float("nan"), float("inf"), -float("inf")))
            odd[which].view(-1)[rng.randrange(odd[which].numel())] = value
            content, words = (save if name.endswith("tensors") else torch_file)(odd), f"{value}"
        elif name.endswith("tensors") and rng.random() < 0.5:
            size = int.from_bytes(content[:8], "little")
            change = rng.choice((change_bytes, change_json))
            head = content[8 : 8 + size]
            if change is change_json:
                head, words = change(rng, head.decode())
                head = head.encode("utf-8", "surrogatepass")
            else:
                head, words = change(rng, head)
            content = len(head).to_bytes(8, "little") + head + content[8 + size :]
        else:
            content, words = change_bytes(rng, content)
        path = place / name
        path.write_bytes(content)

        def attempt():
            tensors = read_weights(path)
            mine = build_network("tiny", 3)
            fill_network(mine, tensors, str(path))
            return mine

        def accept(filled):
            if canary.exists():
                return None
            state = filled.state_dict()
            if digest(*sorted(state), *(state[n] for n in sorted(state))) == untouched:
                return "the change is in what is not read"
            if not all(t.isfinite().all() for t in state.values()):
                return None
            if name == "w.pth":
                return None  # it has checksums
            return "other finite numbers or names: this kind of file has no checksum"

        return Trial(f"{name}: {words}", attempt, (str(path),), accept)

    return make


def swap_in_zip(content: bytes, ending: str, other: bytes) -> bytes:
    """The archive with another content under one name, and checksums that fit."""
    import zipfile

    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w") as new:
        for entry in old.infolist():
            mine = other if entry.filename.endswith(ending) else old.read(entry)
            new.writestr(entry.filename, mine)
    return file.getvalue()


@kind("noisy-label file")
def noisy_label_file(here: Path):
    files = tuple(f"train_{row:05d}.jpg" for row in range(1, 13))
    labels = torch.arange(12) % 3
    given = [(label + (row % 5 == 0)) % 3 for row, label in enumerate(labels.tolist())]

    def make(rng: random.Random, place: Path) -> Trial:
        path = place / "noise.txt"
        text = "".join(f"{name} {label + 1}\n" for name, label in zip(files, given, strict=True))
        path.write_text(text)
        if rng.random() < 0.5:
            words = edit(rng, path)
        else:
            words = edit(rng, path, lambda rng, text: change_table(rng, text, " "))

        def accept(noisy):
            """Each name with its label stands in a line of its own, in whatever order."""
            lines = path.read_bytes().decode("utf-8-sig", "replace").splitlines()
            fields = [re.split(r"[\s;,]+", line.strip()) for line in lines if line.strip()]
            read = {Path(parts[0]).name: parts[1] for parts in fields if len(parts) > 1}
            wanted = dict(zip(files, noisy.given.tolist(), strict=True))
            told = {n: str(label + 1) for n, label in wanted.items()}
            right = len(fields) == len(files) and all(
                read.get(n, "").lstrip("0") == label for n, label in told.items()
            )
            return (
                "every line is a name of the set and a class, read as it stands" if right else None
            )

        return Trial(words, lambda: noise_from_file(path, files, labels, 3), (str(path),), accept)

    return make

"""Small faces and networks that every test may use; nothing here is downloaded or slow."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from eacbook.augment.batch import Batch
from eacbook.augment.streams import Streams
from eacbook.data.faces import FaceData, FaceSet, synthetic_faces
from eacbook.data.format import SPLITS
from eacbook.data.prepared import LabelledImage, write_faces
from eacbook.models.networks import ClassActivationNetwork, build_network
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import Hook

torch.set_num_threads(1)
pytest.register_assert_rewrite("laboratory")  # a failure in tests/browser says what was found

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")

NOTEBOOKS = ROOT / "notebooks"

PIXELS = 16
QUICK = {"epochs": 4, "batch_size": 32, "learning_rate": 3e-3, "device": "cpu"}
BATCHES = 3
"""A recipe for the striped faces, and how many batches an epoch then has."""


def read_notebook(path):
    """A saved notebook. nbformat takes seconds to import, so only a test that reads one imports it."""
    import nbformat

    return nbformat.read(path, as_version=4)


@functools.cache
def notebook_script(name):
    """The module ``notebooks/source/<name>.py``. It imports nbformat, too."""
    spec = importlib.util.spec_from_file_location(name, NOTEBOOKS / "source" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class CountingSteps(Hook):
    """Counts the steps; interrupts the training after one of them where it is told to."""

    def __init__(self, interrupt_at=None):
        self.count, self.interrupt_at = 0, interrupt_at

    def on_batch_end(self, training):
        self.count += 1
        if self.count == self.interrupt_at:
            raise KeyboardInterrupt


LONG_FILES = (
    "test_cluster", "test_reliability", "test_features", "test_distributed", "test_grid", "test_hooks",
    "test_cli", "test_ferplus", "test_weights", "test_faces",
    "test_book_in_lab", "test_site", "test_primer_explorers", "test_attention_explorer",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """The longest files first, or one process would be left with the last of them."""
    place = {name: number for number, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


def striped_faces(train=96, test=48, validation=48, num_classes=3):
    """Grey pictures whose bright stripe tells the class: learnt in a few steps by any network."""

    def split(name, count, seed):
        generator = torch.Generator().manual_seed(seed)
        labels = torch.arange(count) % num_classes
        images = torch.randint(0, 60, (count, 1, PIXELS, PIXELS), generator=generator)
        height = PIXELS // num_classes
        rows = torch.arange(PIXELS) // height
        images[(rows[None] == labels[:, None])[:, None]] += 150
        files = tuple(f"{name}_{row}.png" for row in range(count))
        return FaceSet(images.to(torch.uint8), labels, files)

    return FaceData(
        name="stripes",
        train=split("train", train, 1),
        test=split("test", test, 2),
        validation=split("validation", validation, 3),
        classes=tuple(f"class {number}" for number in range(num_classes)),
        fingerprint=f"stripes-{train}-{test}-{validation}-{num_classes}",
        source="drawn by the tests",
        licence="MIT",
    )


def prepare_stripes(folder, train=96, source="drawn by the tests", notes=None, votes=False):
    """The striped faces as a prepared folder, which other processes can open."""
    faces = striped_faces(train)

    def ballot(label):
        """Of ten people eight agree with the label."""
        return {name: 8 if name == faces.classes[label] else 1 for name in faces.classes}

    images = [
        LabelledImage(
            split, int(label), file, image.permute(1, 2, 0).numpy(),
            ballot(int(label)) if votes else None,
        )
        for split in SPLITS
        for image, label, file in zip(
            getattr(faces, split).images, getattr(faces, split).labels, getattr(faces, split).files,
            strict=True,
        )
    ]  # fmt: skip
    write_faces(
        folder, images, classes=faces.classes, image_shape=(PIXELS, PIXELS, 1), source=source,
        licence="MIT", notes=notes or {},
    )  # fmt: skip
    return str(folder)


def pack(folder, archive):
    """A zip or a tar of what is in ``folder``, by the ending of ``archive``."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for path in paths:
                file.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w:gz" if archive.suffix in {".gz", ".tgz"} else "w") as file:
            for path in paths:
                file.add(path, path.relative_to(folder))
    return archive


def small_network(num_classes=3, dropout=0.2, seed=0):
    """The tiny backbone with dropout, so that the layers' own randomness is tested too."""
    tiny = build_network("tiny", num_classes, seed=seed)
    backbone = nn.Sequential(tiny.backbone, nn.Dropout(dropout))
    network = ClassActivationNetwork(backbone, 64, num_classes, "small")
    network.fc.load_state_dict(tiny.fc.state_dict())
    return network


@pytest.fixture(autouse=True)
def every_pytorch_reads_the_files_of_the_tests(monkeypatch):
    """Whether this PyTorch may read the files of others is the subject of one test alone."""
    monkeypatch.setattr("eacbook.models.weight_files.SAFE_TORCH", "2.0")


@pytest.fixture(scope="session")
def faces():
    return striped_faces()


@pytest.fixture(scope="module")
def drawn_once():
    """The drawn set is drawn by the first who loads it by name: it takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eacbook.data.faces.synthetic_faces", functools.cache(synthetic_faces))
        yield


@pytest.fixture(scope="session")
def noisy(faces):
    return inject_noise(faces.train.labels, 0.25, 3)


@pytest.fixture
def network():
    return small_network()


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def same_weights(one, other):
    """Whether two networks hold the same numbers to the last bit, and their buffers too."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def batch(count=2, labels=(0, 1), pixels=16, seed=0, epoch=0):
    """A batch of noise."""
    generator = torch.Generator().manual_seed(99)
    images = torch.randint(1, 256, (count, 1, pixels, pixels), generator=generator)
    streams = Streams(lambda name: seed + sum(name.encode()), [count])  # of each stream another one
    index = torch.arange(count)
    return Batch(images.to(torch.uint8), torch.tensor(labels), index, streams, epoch=epoch)


class Scripted(nn.Module):
    """Answers with what it was told, view after view, and remembers what it was shown."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.seen = list(answers), []

    def forward(self, x):
        self.seen.append(x)
        return self.answers[len(self.seen) - 1]


def leaf(values):
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def numpy_cross_entropy(logits, labels):
    """Of every row of ``[B,K]`` with its label, in float64, by its definition."""
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    shares = exponentials / exponentials.sum(1, keepdims=True)
    return -np.log(shares[np.arange(len(labels)), labels])


def numpy_gradient(function, values, step=1e-6):
    """The gradient of a scalar function of an array, by central differences."""
    gradient = np.zeros_like(values)
    for place in np.ndindex(values.shape):
        moved = [values.copy(), values.copy()]
        moved[0][place] += step
        moved[1][place] -= step
        gradient[place] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return gradient


@pytest.fixture(scope="session")
def built(tmp_path_factory):
    """What is published: the paths of the wheel and of the source archive."""
    if not UV.exists():
        pytest.skip("uv is not beside this Python")
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([UV, "build", "--quiet", "--out-dir", out, ROOT], check=True)
    (wheel,), (archive,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return wheel, archive

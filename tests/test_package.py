"""The public face: what `import eacbook` brings, and what it must not."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from test_cli import COMMANDS

import eacbook as eb
from eacbook.data.prepare import SETS

ROOT = Path(__file__).parents[1]
HEAVY = ["plotly", "umap", "ipywidgets", "pandas", "sklearn", "torchvision", "matplotlib"]


def run_python(script):
    """In a fresh process, because the tests import everything."""
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "unneeded"),
    [
        ("import eacbook", [*HEAVY, "torch", "numpy"]),
        ("from eacbook import *", HEAVY),
        ("import eacbook.experiments.tables", ["plotly"]),
    ],
)
def test_an_import_brings_nothing_heavy_that_it_does_not_need(script, unneeded):
    done = run_python(f"import sys\n{script}\nprint([m for m in {unneeded} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
    assert done.stderr == ""


def test_the_public_names_are_the_objects_of_their_modules():
    assert sorted(eb.__all__) == sorted(eb._MODULE_OF)
    assert set(eb.__all__) <= set(dir(eb))
    for name, module in eb._MODULE_OF.items():
        assert getattr(eb, name) is getattr(import_module(f"eacbook.{module}"), name)
    with pytest.raises(AttributeError, match="has no attribute 'magic'"):
        eb.magic()


@pytest.mark.slow
@pytest.mark.parametrize(
    "commands", [[[], *([name] for name in COMMANDS)], [["prepare", name] for name in SETS]]
)
def test_help_comes_without_torch(commands):
    """Of a data set's command, everything is: no word of a set needs it."""
    done = run_python(
        "import sys\nfrom eacbook import cli\n"
        f"for words in {commands}:\n"
        "    try: cli.main([*words, '--help'])\n"
        "    except SystemExit as ended: assert not ended.code\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    assert done.stderr.strip() == "False"
    assert done.stdout.startswith("usage: ")


@pytest.mark.slow
def test_a_training_does_not_import_torchs_compiler():
    """torch's own optimizers do, at their first step, and take seconds for it."""
    script = (
        "import sys, eacbook as eb\n"
        "faces = eb.synthetic_faces(train=14, test=7, validation=7)\n"
        "noisy = eb.inject_noise(faces.train.labels, 0.3, 7)\n"
        "eb.train(eb.EAC(), eb.build_network('tiny', 7), faces, noisy, epochs=1, device='cpu')\n"
        "print('torch._dynamo' in sys.modules)"
    )
    done = run_python(script)
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    "name",
    ["load_faces", "inject_noise", "train", "build_network", "build_method", "EAC", "Baseline"],
)
def test_the_public_names_are_there_and_say_what_they_do(name):
    assert len(getattr(eb, name).__doc__.strip()) > 20


def test_the_modules_that_others_rely_on():
    from eacbook.methods.eac import flip_consistency
    from eacbook.noise.label_files import read_label_file, write_label_file

    assert all(map(callable, (flip_consistency, read_label_file, write_label_file)))


def test_what_the_user_can_mend_is_a_value_error():
    assert issubclass(eb.InputError, ValueError)
    assert issubclass(eb.NonFiniteLossError, ArithmeticError)


def test_the_example_of_the_design_page():
    """Drawn faces, noise, network, training, figures: the whole path through public names."""
    faces = eb.synthetic_faces(train=42, test=21, validation=21)
    noisy = eb.inject_noise(faces.train.labels, rate=0.3, num_classes=7, kind="symmetric", seed=0)
    assert noisy.given.dtype == noisy.true.dtype == torch.int64
    assert noisy.wrong.dtype == torch.bool and noisy.wrong.sum() == 13
    network = eb.build_network("tiny", num_classes=7)
    run = eb.train(
        eb.EAC(weight=1.0), network, faces, noisy, epochs=2, seed=0, device="cpu", hooks=[]
    )
    assert list(run.history.index) == [1, 2]
    assert {"loss", "cross_entropy", "consistency", "test_accuracy"} <= set(run.history.columns)
    assert {"test_accuracy", "memorised", "recovered"} <= set(run.summary)
    for share in ("test_accuracy", "memorised", "recovered"):
        assert 0 <= run.summary[share] <= 1
    logits, maps = run.network(torch.zeros(2, 3, 48, 48))
    assert logits.shape == (2, 7) and maps.shape == (2, 7, 6, 6)


def test_an_unknown_data_set_is_refused():
    with pytest.raises(eb.InputError, match="'rafdb-of-nowhere'"):
        eb.load_faces("rafdb-of-nowhere")

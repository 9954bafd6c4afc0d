"""The command as a user types it: one small end-to-end run, and what it says of bad input."""

import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from conftest import ROOT
from hypothesis import example, given, settings
from hypothesis import strategies as st

from eacbook import cli
from eacbook.book import demo
from eacbook.data.faces import FaceSet, load_faces, synthetic_faces
from eacbook.errors import InputError
from eacbook.experiments.runs import list_runs, read_facts
from eacbook.experiments.workers import Workers
from eacbook.models.registry import NETWORKS
from eacbook.noise.inject import inject_noise, noise_from_file
from eacbook.noise.label_files import write_label_file

pytestmark = pytest.mark.usefixtures("drawn_once")

COMMANDS = ["demo", "train", "table", "audit", "noise", "prepare", "runs", "lab"]


def run(*arguments):
    return cli.main([str(argument) for argument in arguments])


@pytest.fixture
def small_demo(monkeypatch):
    """The demo on a handful of faces for two epochs, through the very same code, in this process."""
    monkeypatch.setattr(demo, "load_faces", lambda name: synthetic_faces(140, 70, 70))
    monkeypatch.setattr(demo, "workers_here", lambda *_: Workers(1, 1, "cpu"))
    entry = replace(NETWORKS["tiny"], recipe={"epochs": 2})
    monkeypatch.setitem(NETWORKS, "tiny", entry)


@pytest.mark.slow
def test_demo_trains_writes_and_finds_its_runs_again(small_demo, tmp_path, capsys):
    assert run("demo", "--folder", tmp_path) == 0
    results = json.loads((tmp_path / "demo" / "results.json").read_text())
    assert results["noise"] == 0.3 and results["seed"] == 0
    assert list(results["methods"]) == ["baseline", "eac"]
    for figures in results["methods"].values():
        for name in ("test_accuracy", "memorised", "recovered"):
            assert 0 <= figures[name] <= 1
        assert figures["seconds"] > 0
    assert "test accuracy" in capsys.readouterr().out

    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/network.safetensors")}
    assert len(before) == 2
    assert run("demo", "--folder", tmp_path) == 0
    assert "Found the stored runs" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in before}

    assert run("demo", "--folder", tmp_path, "--fresh") == 0
    assert "Found" not in capsys.readouterr().out
    assert all(path.stat().st_mtime_ns > then for path, then in before.items())


@pytest.mark.slow
def test_two_workers_train_the_demo_with_one_thread_each(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "load_faces", lambda name: synthetic_faces(42, 14, 14))
    monkeypatch.setattr(demo, "workers_here", lambda *_: Workers(2, 2, "cpu"))
    for stored in (False, True):
        _, runs = demo.train_demo(folder=tmp_path, device="cpu")
        found = [(name, run.threads, run.stored) for name, run in runs.items()]
        assert found == [("baseline", 1, stored), ("eac", 1, stored)]
    assert len(list_runs(tmp_path)) == 2


@pytest.mark.parametrize(
    ("fate", "status", "says"),
    [
        ((None, InputError("no such thing"), None), 2, "no such thing"),
        ((None, None, "its worker died (too little memory)"), 2, "too little memory"),
        (KeyboardInterrupt(), 130, "the same call without fresh (--fresh) goes on"),
    ],
)
def test_what_befalls_the_workers_of_the_demo_gets_one_sentence(
    small_demo, monkeypatch, tmp_path, capsys, fate, status, says
):
    def each_once(work, items, workers):
        if isinstance(fate, KeyboardInterrupt):
            raise fate
        yield items[0], *fate[1:]

    monkeypatch.setattr(demo, "each_once", each_once)
    assert run("demo", "--folder", tmp_path, "--fresh") == status
    error = capsys.readouterr().err
    assert says in error and "Traceback" not in error


@pytest.mark.slow
def test_report_opens_offline_and_shows_every_part(small_demo, tmp_path):
    run("demo", "--folder", tmp_path)
    page = (tmp_path / "demo" / "report.html").read_text(encoding="utf-8")
    own = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", own)
    assert own.count('src="data:image/png;base64,') == 2
    assert len(re.findall(r'class="plotly-graph-div"', own)) == 4
    assert own.count("<h2>") == 7
    assert "42 of 140 training labels (30.0%) are wrong" in own


@pytest.mark.slow
def test_train_stores_a_run_that_runs_lists(tmp_path, capsys):
    small = ("--limit", 60, "--epochs", 1, "--folder", tmp_path)
    assert run("train", "--method", "baseline", "--noise", 0.2, "--seed", 3, *small) == 0
    assert run("runs", "--folder", tmp_path) == 0
    listed = capsys.readouterr().out
    assert re.search(r"baseline +synthetic \(60\) +symmetric 20% +tiny +1 +3", listed)


@pytest.mark.slow
def test_train_reads_a_noise_file(tmp_path, capsys):
    train = load_faces("synthetic").train
    path = tmp_path / "noise.txt"
    write_label_file(path, train.files, (train.labels + 1) % 7)
    small = ("--limit", 30, "--epochs", 1, "--noise-file", path, "--folder", tmp_path)
    assert run("train", *small) == 0
    assert "100.0% of the training labels wrong" in capsys.readouterr().out
    path.write_text(path.read_text() + "stranger.png 1\n")
    assert run("train", *small) == 2
    assert "stranger.png of 3,001, which the face set lacks" in capsys.readouterr().err
    given = zip(train.files, ((train.labels + 1) % 7).tolist(), strict=True)
    path.write_text("".join(f"/home/me/{name} {label} 1\n" for name, label in given))
    assert run("train", *small) == 2
    assert "--noise-file-from 0" in capsys.readouterr().err
    assert run("train", *small, "--noise-file-from", 0) == 0
    said = capsys.readouterr().out
    assert "has 3 columns; the labels are the second" in said and "100.0% of the training" in said


@pytest.mark.slow
def test_train_takes_a_method_with_its_hyperparameters(tmp_path):
    small = ("--limit", 30, "--epochs", 1, "--balanced", "--folder", tmp_path)
    small += ("--no-deterministic",)
    assert run("train", "--method", "eac:weight=2,erasing=false", *small) == 0
    (place,) = list_runs(tmp_path)
    settings = read_facts(place)["settings"]
    assert settings["method"]["weight"] == 2 and settings["method"]["erasing"] is False
    assert settings["recipe"]["balanced"] is True
    assert settings["recipe"]["deterministic"] is False


@pytest.mark.slow
def test_table_writes_goes_on_and_tells_what_failed(tmp_path, capsys):
    small = ("--limit", 40, "--epochs", 1, "--workers", 1, "--device", "cpu", "--folder", tmp_path)
    grid = ("--methods", "baseline", "rul", "--noise", 0.3, "--seeds", 0, 1)
    assert run("table", *grid, *small) == 0
    assert "4 cells: 0 stored, 4 to train by 1 worker on cpu" in capsys.readouterr().out
    names = {path.name for path in (tmp_path / "table").iterdir()}
    tables = {"table.html", "table.csv", "table.md", "table.tex"}
    assert names == tables | {"cells.csv", "confusion.csv"}

    (list_runs(tmp_path)[0] / "run.json").write_text("{")
    assert run("table", *grid, *small, "--out", tmp_path / "out") == 1
    shown = capsys.readouterr()
    assert "4 cells: 3 stored, 1 to train" in shown.out
    assert "1 of 4 cells failed" in shown.err and "is broken" in shown.err
    assert "Traceback" in (tmp_path / "out" / "failures.txt").read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--methods", "eac", "magic"], "unknown method 'magic'"),
        (["--methods", "eac", "eac"], "a cell twice"),
        (["--seeds", "0", "0"], "a cell twice"),
        (["--noise", "2"], "--noise must be a number from 0 to 1"),
        (["--data", "nowhere"], "unknown data set 'nowhere'"),
        (["--workers", "0"], "workers must be a whole number of at least 1"),
        (["--device", "abacus"], "abacus"),
        (["--weights", "nowhere.pth"], "nowhere.pth"),
    ],
)
def test_bad_grid_gets_one_clear_line(arguments, expected, tmp_path, capsys):
    assert run("table", "--limit", 30, *arguments, "--folder", tmp_path) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("eacbook: error: ") and "\n" not in error
    assert expected in error
    assert not list(tmp_path.glob("*/run.json"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--noise", "0.1", "--noise-file", "labels.txt"], "give one"),
        (["--noise", "1.5"], "--noise must be a number from 0 to 1"),
        (["--method", "magic"], "baseline, coteaching, scn, rul, elr, resup, eac"),
        (["--method", "eac:weight=much"], "expected a number"),
        (["--network", "vgg"], "tiny, dlib-face, resnet18, resnet50"),
        (["--data", "nowhere"], "'synthetic' or a folder"),
        (["--noise-kind", "loud"], "symmetric, pair, matrix, annotator"),
        (["--noise-kind", "annotator"], "votes"),
        (["--noise-file", "missing.txt"], "missing.txt"),
        (["--noise-file-from", "0"], "--noise-file, which is not given"),
        (["--method", "baseline:weight=1"], "baseline has no weight"),
        (["--limit", "0"], "at least 1"),
        (["--noise", "nan"], "--noise must be a number from 0 to 1, got nan"),
        (["--epochs", "0"], "epochs must be a whole number of at least 1"),
        (["--device", "abacus"], "abacus"),
        (["--weights", "imagenet"], "'tiny'"),
    ],
)
def test_bad_input_gets_one_clear_line(arguments, expected, tmp_path, capsys):
    small = [] if "--limit" in arguments else ["--limit", "30"]
    assert run("train", *small, *arguments, "--folder", tmp_path) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("eacbook: error: ") and "\n" not in error
    assert expected in error
    assert not list(tmp_path.glob("*/run.json"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("demo", "--noise", "1_0"),
        ("train", "--epochs", "1_0"),
        ("train", "--seed", "1.5"),
        ("train", "--noise", "0x1"),
        ("table", "--seeds", "0", "\u0661"),
        ("table", "--noise", "0.1", "0,2"),
    ],
)
def test_a_number_that_is_none_gets_one_sentence(arguments, capsys):
    with pytest.raises(SystemExit) as done:
        run(*arguments)
    option = next(word for word in arguments if word.startswith("--"))
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert done.value.code == 2
    assert f"argument {option}: the value is {arguments[-1]!r}, expected a" in error


file_names = st.text(min_size=1, max_size=12).filter(
    lambda name: (
        name == name.strip() and len(name.splitlines()) == 1 and not {*"\t\0\ufeff"} & {*name}
    )
)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(file_names, min_size=1, max_size=20, unique=True),
    st.sampled_from(["symmetric", "pair", "annotator"]),
    st.floats(0, 1),
    st.integers(0, 2**31),
)
@example(["a/face 1.jpg", "a/face 2.jpg", "b,c.jpg", "x_aligned.jpg"], "symmetric", 0.3, 0)
@example(["a.jpg", "a_aligned.jpg", "b/a.jpg"], "pair", 1.0, 0)
def test_written_noise_is_read_as_the_same_labels(tmp_path_factory, files, kind, rate, seed):
    out = tmp_path_factory.mktemp("noise") / "new" / "noise.txt"
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(7, (len(files),), generator=generator)
    votes = torch.randint(5, (len(files), 7), generator=generator)
    whole = load_faces("synthetic")
    faces = replace(whole, train=FaceSet(whole.train.images, labels, tuple(files), votes))
    rated = [] if kind == "annotator" else ["--rate", rate]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eacbook.data.faces.load_faces", lambda name: faces)
        assert run("noise", "mine", *rated, "--kind", kind, "--seed", seed, "--out", out) == 0
    expected = inject_noise(
        labels, rate if rated else None, 7, kind, seed, classes=faces.classes, votes=votes
    )
    lines = out.read_text(encoding="utf-8").split("\n")[:-1]
    assert [int(line[-1]) for line in lines] == (expected.given + 1).tolist(), "counted from 1"
    assert torch.equal(noise_from_file(out, files, labels, 7).given, expected.given)


def test_noise_of_a_set_trains_like_the_same_noise_without_a_file(tmp_path, capsys):
    out = tmp_path / "noise20.txt"
    assert run("noise", "synthetic", "--rate", 0.2, "--seed", 3, "--out", out) == 0
    assert (
        "3,000 training faces, 600 of them wrong (20.0%): eacbook train" in capsys.readouterr().out
    )
    assert re.fullmatch(r"(train_\d{5}\.png [1-7]\n){3000}", out.read_text())
    train = load_faces("synthetic").train
    given = inject_noise(train.labels, 0.2, 7, seed=3).given
    assert torch.equal(noise_from_file(out, train.files, train.labels, 7).given, given)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere"], "unknown data set 'nowhere'"),
        (["--rate", "1.5"], "1.5"),
        (["--kind", "loud"], "symmetric, pair, matrix, annotator"),
        (["--kind", "annotator"], "votes"),
        (["--out", "{}"], "exists already; remove it or choose another --out"),
        (["--out", "{}/a" + 300 * "b"], "too long"),
    ],
)
def test_noise_that_cannot_be_written_gets_one_clear_line(arguments, expected, tmp_path, capsys):
    data = [] if arguments[0] == "nowhere" else ["synthetic"]
    out = [] if "--out" in arguments else ["--out", tmp_path / "noise.txt"]
    arguments = [argument.format(tmp_path) for argument in arguments]
    assert run("noise", *data, *arguments, *out) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("eacbook: error: ") and "\n" not in error and expected in error
    assert not list(tmp_path.iterdir())


def test_help_names_the_learning_rates_of_the_papers_networks(capsys):
    with pytest.raises(SystemExit):
        run("train", "--help")
    shown = " ".join(capsys.readouterr().out.split("--learning-rate")[-1].split())
    assert "2e-4 for resnet18, resnet18-caffe; 1e-4 for resnet50, resnet50-caffe" in shown


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit) as done:
        run(command, "--help")
    assert done.value.code == 0
    assert f"eacbook {command}" in capsys.readouterr().out.split("example:")[1]


def test_the_package_is_the_command():
    shown = subprocess.run(
        [sys.executable, "-m", "eacbook", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert re.findall(r"^    (\w+)  ", shown, re.MULTILINE) == COMMANDS


def test_lab_gives_its_options_to_jupyterlab_and_ends_as_it_did(monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: True)
    says_what_it_got = "import sys; print(sys.argv[1:]); sys.exit(3)"
    monkeypatch.setattr(cli, "JUPYTERLAB", [sys.executable, "-c", says_what_it_got])
    assert cli.main(["lab", "--", "--no-browser", "--port=8890"]) == 3
    got = ["notebooks/00_primer.ipynb", "--no-browser", "--port=8890"]
    assert capfd.readouterr().out.strip().replace("\\\\", "/") == str(got)

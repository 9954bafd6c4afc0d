"""The grid: what it refuses, what it trains once, what it says when something fails, and its table."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas
import psutil
import pytest
from conftest import prepare_stripes

from eacbook.data.faces import load_faces
from eacbook.errors import InputError
from eacbook.experiments import workers
from eacbook.experiments.grid import Cell, CellResult, make_cells, run_cell, run_grid
from eacbook.experiments.runs import list_runs, read_facts
from eacbook.experiments.tables import (
    FIGURES,
    STOPPED,
    cells_table,
    notes,
    show,
    shown_table,
    summary_over_seeds,
)
from eacbook.experiments.workers import Workers, each_once, workers_here
from eacbook.files import write_json
from eacbook.methods import EAC, Baseline, CoTeaching
from eacbook.noise.inject import inject_noise
from eacbook.training.recipe import recipe_of

ALONE = Workers(1, 1, "cpu")
QUICK = {"epochs": 2, "batch_size": 32}


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    return prepare_stripes(tmp_path_factory.mktemp("data") / "stripes")


@pytest.fixture(scope="module")
def ferplus(tmp_path_factory):
    return prepare_stripes(
        tmp_path_factory.mktemp("data") / "faces", source="FERPlus", notes={"rule": "majority"}
    )


def test_every_method_meets_every_rate_set_and_seed(stripes):
    cells = make_cells(["baseline", "coteaching"], [0.1, 0.3], [stripes], [0, 4], epochs=7)
    assert len(cells) == len(set(cells)) == 8
    assert {cell.recipe.seed for cell in cells} == {0, 4}
    assert {cell.recipe.epochs for cell in cells} == {7}
    told = {cell.method.noise_rate == cell.rate for cell in cells if cell.name == "coteaching"}
    assert told == {True}


def test_ablations_are_methods_of_the_same_grid():
    cells = make_cells(["eac", "eac:weight=2,erasing=false", "coteaching:noise_rate=0.5"], [0.1])
    assert [cell.method for cell in cells] == [
        EAC(weight=1.5), EAC(weight=2, erasing=False), CoTeaching(noise_rate=0.5)
    ]  # fmt: skip


@pytest.mark.slow
def test_annotators_have_a_rate_of_their_own_and_a_method_is_told_it(tmp_path):
    data = prepare_stripes(tmp_path / "voted", votes=True)
    (cell,) = make_cells(["coteaching"], [None], [data], kind="annotator", **QUICK)
    train = load_faces(data).train
    noisy = inject_noise(train.labels, None, 3, "annotator", votes=train.votes)
    assert cell.method.noise_rate == noisy.rate == pytest.approx(0.2, abs=0.1)
    name = run_cell(cell, tmp_path, "cpu")
    assert read_facts(tmp_path / name)["settings"]["noise"]["kind"] == "annotator"
    shown = shown_table(summary_over_seeds(cells_table([CellResult(cell, name)], tmp_path)))
    assert list(shown.columns.levels[0]) == ["single annotators' labels"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("methods", "rates", "data", "seeds", "more", "expected"),
    [
        (["magic"], [0.1], ["synthetic"], [0], {}, "unknown method 'magic'"),
        (["eac:weigth=2"], [0.1], ["synthetic"], [0], {}, "eac has no weigth"),
        (["eac"], [1.5], ["synthetic"], [0], {}, "rate must be a number from 0 to 1, got 1.5"),
        (["eac"], [0.1], ["nowhere"], [0], {}, "unknown data set 'nowhere'"),
        (["eac"], [0.1], ["synthetic"], [-1], {}, "seed must be a whole number of at least 0"),
        (["eac"], [0.1], ["synthetic"], [0], {"network": "vgg"}, "unknown network 'vgg'"),
        (
            ["eac"],
            [0.1],
            ["synthetic"],
            [0],
            {"kind": "loud"},
            "symmetric, pair or annotator, got 'loud'",
        ),
        (["eac"], [0.1], ["synthetic"], [0], {"epochs": 0}, "epochs must be a whole number"),
        (
            ["eac"],
            [0.1],
            ["synthetic"],
            [0, 0],
            {},
            "a cell twice: eac on synthetic, 10 % wrong labels",
        ),
        (["eac"], [0.1, 0.1], ["synthetic"], [0], {}, "a cell twice"),
        (["eac"], [0.1], ["synthetic"], [0], {"kind": "annotator"}, "has its own rate"),
        (["eac"], [None], ["synthetic"], [0], {}, "the other kinds need one"),
        (["eac"], [None], ["synthetic"], [0], {"kind": "annotator"}, "needs a data set with"),
        (["eac", "eac:weight=1.5"], [0.1], ["synthetic"], [0], {}, "mean the same"),
        ([], [0.1], ["synthetic"], [0], {}, "methods is empty"),
        (["eac"], [], ["synthetic"], [0], {}, "rates is empty"),
        (["eac"], [0.1], [], [0], {}, "data is empty"),
        (["eac"], [0.1], ["synthetic"], [], {}, "seeds is empty"),
        ("eac", [0.1], ["synthetic"], [0], {}, "methods must be a list, got 'eac'"),
        (["eac"], 0.1, ["synthetic"], [0], {}, "rates must be a list, got 0.1"),
        (["eac"], [True], ["synthetic"], [0], {}, "rate must be a number from 0 to 1, got True"),
        (["eac"], [0.1], [3], [0], {}, "data must be a path, got 3"),
        (["eac"], [0.1], ["synthetic"], [0], {"limit": 0}, "limit must be a whole number"),
        (["eac"], [0.1], ["synthetic"], [0.5], {}, "seed must be a whole number"),
    ],
)
def test_bad_grids_get_one_sentence(methods, rates, data, seeds, more, expected):
    with pytest.raises(InputError, match=re.escape(expected)) as caught:
        make_cells(methods, rates, data, seeds, **more)
    assert "\n" not in str(caught.value)


def test_two_sets_of_one_name_cannot_share_a_table(stripes, tmp_path):
    (tmp_path / "stripes").mkdir()
    with pytest.raises(InputError, match="2 data sets are named 'stripes'"):
        make_cells(["eac"], [0.1], [stripes, str(tmp_path / "stripes")])


@pytest.mark.slow
def test_cells_are_trained_once_and_found_again(stripes, tmp_path, capsys):
    cells = make_cells(["baseline", "eac"], [0.3], [stripes], [0, 1], **QUICK)
    first = run_grid(cells[:3], ALONE, tmp_path)
    assert [outcome.cell for outcome in first] == cells[:3]
    assert not any(outcome.failure for outcome in first)
    assert "3 cells: 0 stored, 3 to train by 1 worker on cpu" in capsys.readouterr().out

    before = {place: (place / "run.json").stat().st_mtime_ns for place in list_runs(tmp_path)}
    assert {place.name for place in before} == {outcome.run for outcome in first}
    assert run_grid(cells, ALONE, tmp_path)[:3] == first
    assert "4 cells: 3 stored, 1 to train" in capsys.readouterr().out
    assert all((place / "run.json").stat().st_mtime_ns == then for place, then in before.items())
    assert len(list_runs(tmp_path)) == 4


@pytest.mark.slow
def test_a_failing_cell_is_told_and_the_others_are_kept(stripes, tmp_path):
    good, bad = make_cells(["baseline"], [0.3], [stripes], [0, 1], **QUICK)
    (outcome,) = run_grid([bad], ALONE, tmp_path)
    (tmp_path / outcome.run / "run.json").write_text("{")
    outcomes = run_grid([bad, good], ALONE, tmp_path)
    assert "is broken" in outcomes[0].failure and "InputError" in outcomes[0].trace
    assert outcomes[0].run is None and outcomes[1].run
    table = cells_table(outcomes, tmp_path)
    assert table["test_accuracy"].isna().tolist() == [True, True, False, False]
    shown = shown_table(summary_over_seeds(table))
    assert shown.iloc[0, 0].endswith("(1 of 2)") and shown.iloc[1, 0].endswith("(1 of 2)")


@pytest.mark.slow
def test_a_run_that_is_being_trained_is_waited_for(stripes, tmp_path):
    """Two processes ask for one cell at the same time: one trains, the other finds."""
    (cell,) = make_cells(["baseline"], [0.3], [stripes], epochs=20)
    both = list(each_once(TrainInto(tmp_path, cell), ["one", "other"], Workers(2, 1, "cpu")))
    names = {name for _, name, _ in both}
    assert len(both) == 2 and len(names) == 1
    assert [place.name for place in list_runs(tmp_path)] == list(names)
    epochs = [row["epoch"] for row in read_facts(tmp_path / names.pop())["rows"]]
    assert epochs == list(range(1, 21))


class TrainInto:
    """Trains its cell whatever it is asked for; a class, so that a worker process can have it."""

    def __init__(self, folder, cell):
        self.folder, self.cell = folder, cell

    def __call__(self, _):
        return run_cell(self.cell, self.folder, "cpu")


class DieAt:
    """Kills its process at one item: once, or always."""

    def __init__(self, item, marker, always):
        self.item, self.marker, self.always = item, marker, always

    def __call__(self, item):
        if item == self.item and (self.always or not self.marker.exists()):
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return 10 * item


@pytest.mark.slow
@pytest.mark.parametrize("always", [False, True])
def test_workers_that_die_lose_nothing_but_what_kills_them(tmp_path, monkeypatch, always):
    monkeypatch.setattr("eacbook.experiments.workers.SETBACKS", 1)
    work = DieAt(0, tmp_path / "marker", always)
    results = sorted(each_once(work, range(3), Workers(2, 1, "cpu")))
    assert [item for item, _, _ in results] == list(range(3))
    for item, result, reason in results:
        if always and item == 0:
            assert result is None and reason.startswith("its worker died")
        else:
            assert (result, reason) == (10 * item, None)


TABLE = """
import sys
from eacbook.cli import main
if __name__ == "__main__":
    main(["table", "--data", sys.argv[1], "--folder", sys.argv[2], "--methods", "baseline",
          "--noise", "0.3", "--seeds", "0", "1", "--epochs", "5000", "--workers", "2",
          "--device", "cpu"])
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs signals")
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(stripes, tmp_path, by):
    script = tmp_path / "table.py"
    script.write_text(TABLE)
    runs = tmp_path / "runs"
    table = subprocess.Popen(
        [sys.executable, script, stripes, runs],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        wait_until(lambda: len(list(runs.glob("*.partial/checkpoint.safetensors"))) == 2, 240)
        children = psutil.Process(table.pid).children(recursive=True)
        assert len(children) >= 2
        table.send_signal(by)
        table.wait(30)
        wait_until(lambda: not any(is_alive(child) for child in children), 30)
    finally:
        table.kill()


def wait_until(reached, seconds):
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.2)


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Card:
    """What torch tells of a card; with or without what names it."""

    def __init__(self, **facts):
        vars(self).update(facts)


def test_a_card_is_locked_under_its_own_name(monkeypatch):
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda number: Card(uuid=f"abc-{number}")
    )
    assert workers._gpu_name(1) == "abc-1"
    monkeypatch.setattr("torch.cuda.get_device_properties", lambda number: Card())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    assert [workers._gpu_name(number) for number in range(3)] == ["3", "5", "2"]


def test_two_jobs_never_share_a_card_and_need_no_name_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "torch.cuda.get_device_properties", lambda number: Card(uuid=f"card{number}")
    )
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    for name in ("USER", "LOGNAME", "USERNAME", "LNAME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    with workers._free_gpu() as one, workers._free_gpu() as other:
        assert (one, other) == ("cuda:0", "cuda:1")


def test_workers_fit_the_machine(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 8)
    memory = type("Memory", (), {"available": 9 << 30})
    monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
    assert workers_here(None, "tiny", "cpu") == Workers(8, 1, "cpu")
    assert workers_here(None, "resnet18", "cpu") == Workers(2, 4, "cpu")
    assert workers_here(None, "resnet50", "cpu") == Workers(1, 8, "cpu")
    assert workers_here(3, "resnet50", "cpu") == Workers(3, 2, "cpu")
    with pytest.raises(InputError, match="workers must be a whole number of at least 1"):
        workers_here(0, "tiny", "cpu")


def test_each_gpu_has_a_worker(monkeypatch):
    monkeypatch.setattr("eacbook.experiments.workers.choose_device", lambda name: "cuda")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert workers_here(None, "resnet50").count == 4


def a_row(epoch, **figures):
    row = {"epoch": epoch, "test_accuracy": 0.5, "memorised": 0.1, "recovered": 0.8}
    return row | {"learning_rate": 0.1, "loss": 1, "seconds": 2} | figures


def outcome_of(folder, cell, rows=None, matrix=None, **figures):
    """A stored run with these figures."""
    name = f"{cell.name.replace(':', '-')}-{cell.rate}-{cell.recipe.seed}"
    (folder / name).mkdir()
    settings = {
        "method": {"name": cell.method.name}, "data": {"name": "faces", "train": 96}, "noise": {},
        "network": {"name": "tiny"}, "recipe": {"seed": cell.recipe.seed},
    }  # fmt: skip
    rows = rows or [a_row(epoch) for epoch in (1, 2)]
    summary = dict.fromkeys(FIGURES, 0.5) | {"epochs": len(rows)} | figures
    facts = {"settings": settings, "rows": rows, "summary": summary, "checksums": {}}
    write_json(folder / name / "run.json", facts | {"confusion_matrix": matrix})
    return CellResult(cell, name)


def small_grid(folder, data):
    """Two methods at two rates with two seeds; one cell failed, one has no seed left."""
    cells = make_cells(["eac", "eac:weight=2"], [0.1, 0.3], [data], [0, 1], **QUICK)
    accuracies = [0.80, 0.84, 0.7, 0.7, 0.6, None, None, None]
    by_class = iter([0.7, 0.72, None, 0.6, 0.5])  # None: a run of an older eacbook
    return [
        outcome_of(
            folder, cell, test_accuracy=accuracy, memorised=0.25, mean_class_accuracy=next(by_class)
        )
        if accuracy
        else CellResult(cell, failure="no")
        for cell, accuracy in zip(cells, accuracies, strict=True)
    ]


def test_table_by_hand(ferplus, tmp_path):
    cells = cells_table(small_grid(tmp_path, ferplus), tmp_path)
    assert len(cells) == 8 and cells["failure"].notna().sum() == 3
    summary = summary_over_seeds(cells).set_index(["noise", "method"])
    row = summary.loc["10 % wrong labels", "eac"]
    assert row["rate"] == 0.1
    assert row["test_accuracy"] == pytest.approx(0.82)
    assert row["test_accuracy_std"] == pytest.approx(0.04 / 2**0.5)  # divided by n - 1
    assert row["paper"] == pytest.approx(0.8703)
    shown = shown_table(summary.reset_index())
    assert shown["10 % wrong labels"].to_dict("index") == {
        "eac": {"ours": "82.0 ± 2.8", "paper": "87.03", "memorised": "25.0 ± 0.0"},
        "eac:weight=2": {"ours": "70.0 ± 0.0", "paper": "-", "memorised": "25.0 ± 0.0"},
    }
    assert shown["30 % wrong labels"].to_dict("index") == {
        "eac": {"ours": "60.0 (1 of 2)", "paper": "85.44", "memorised": "25.0 (1 of 2)"},
        "eac:weight=2": {"ours": "-", "paper": "-", "memorised": "-"},
    }
    wide = shown_table(summary.reset_index(), by_class=True)
    assert wide["10 % wrong labels", "mean class"].tolist() == ["71.0 ± 1.4", "-"]
    assert wide["30 % wrong labels", "mean class"].tolist() == ["50.0 (1 of 2)", "-"]
    assert wide.drop(columns="mean class", level=1).equals(shown)
    gap = shown_table(summary.drop(index=[("10 % wrong labels", "eac")]).reset_index())
    assert gap.loc["eac", "10 % wrong labels"].tolist() == ["-", "-", "-"]


def test_the_baseline_is_also_shown_at_its_best_validation_epoch(stripes, tmp_path):
    rows = [
        a_row(epoch, validation_accuracy=validation, test_accuracy=test)
        for epoch, validation, test in [(1, 0.5, 0.9), (2, 0.7, 0.6), (3, 0.7, 0.8), (4, 0.4, 0.5)]
    ]
    cells = make_cells(["baseline", "eac"], [0.1], [stripes], **QUICK)
    results = [outcome_of(tmp_path, cell, rows=rows) for cell in cells]
    table = cells_table(results, tmp_path)
    assert table["method"].tolist() == ["baseline", STOPPED, "eac"]
    stopped = table.iloc[1]
    assert stopped["test_accuracy"] == 0.6 and stopped["memorised"] == 0.1
    assert stopped["epochs"] == 2 and stopped["seconds"] == 4
    assert STOPPED in show(results, tmp_path, tmp_path / "table")
    assert "not a mean" in (tmp_path / "table" / "table.html").read_text(encoding="utf-8")
    assert STOPPED not in show(results[1:], tmp_path, tmp_path / "table")


def test_notes_say_what_differs(ferplus, stripes):
    told = " ".join(notes(make_cells(["eac"], [0.1], [ferplus], [0, 1], **QUICK)))
    for part in (
        "labels by the rule 'majority'", "seeds 0, 1", "arXiv 2207.10299, Table 1",
        "network: tiny (paper: resnet18)", "first weights: random (paper: MS-Celeb-1M faces)",
        "classes: 3 (paper: 7)", "epochs: 2 (paper: 60)", "pixels: 16 (paper: 224)",
    ):  # fmt: skip
        assert part in told
    assert "sampler: class-balanced (paper" not in told
    balanced = make_cells(["eac"], [0.1], [ferplus], balanced=True)
    assert "sampler: class-balanced (paper: every face once)" in " ".join(notes(balanced))
    assert "The paper has no such data" in notes(make_cells(["eac"], [0.1], [stripes]))[-1]


def test_written_tables(ferplus, tmp_path):
    out = tmp_path / "table"
    text = show(small_grid(tmp_path, ferplus), tmp_path, out)
    assert "82.0 ± 2.8" in text and "In percent" in text
    markdown = (out / "table.md").read_text(encoding="utf-8")
    assert re.search(r"\| eac +\| 82.0 ± 2.8 +\| 87.03 +\| 25.0 ± 0.0", markdown)
    assert pandas.read_csv(out / "table.csv")["paper"].tolist()[0] == 0.8703
    assert len(pandas.read_csv(out / "cells.csv")) == 8
    page = (out / "table.html").read_text(encoding="utf-8")
    assert "<td>71.0 ± 1.4</td>" in page and "71.0" not in text
    assert "<td>82.0 ± 2.8</td>" in page and "prefers-color-scheme: dark" in page
    assert not re.findall(r"""(?:src|href)\s*=|@import|url\(""", page)
    latex = (out / "table.tex").read_text(encoding="utf-8")
    assert r"eac & 82.0 $\pm$ 2.8 & 87.03 & 25.0 $\pm$ 0.0" in latex
    assert r"\toprule" in latex and r"10 \% wrong labels" in latex
    comments = [line for line in latex.splitlines() if re.search(r"(?<!\\)%", line)]
    assert comments == [r"% \usepackage{booktabs}"]


def test_confusion_is_summed_over_the_seeds(ferplus, tmp_path):
    matrix = [[4, 1, 0], [0, 5, 0], [2, 0, 3]]
    rows = [a_row(1), a_row(2, test_accuracy=0.8, mean_class_accuracy=0.8)]
    cells = make_cells(["eac"], [0.1], [ferplus], [0, 1], **QUICK)
    results = [outcome_of(tmp_path, cell, rows=rows, matrix=matrix) for cell in cells]
    show(results, tmp_path, tmp_path / "table")
    counts = pandas.read_csv(tmp_path / "table" / "confusion.csv")
    assert counts["faces"].tolist() == [8, 2, 0, 0, 10, 0, 4, 0, 6]
    assert counts[["true", "predicted"]].iloc[1].tolist() == ["class 0", "class 1"]


def test_names_are_escaped(tmp_path):
    data = prepare_stripes(tmp_path / "50%_<b>", source="a & b")
    cell = Cell("coteaching", Baseline(), str(data), 0.1, recipe_of("tiny"))
    show([outcome_of(tmp_path, cell)], tmp_path, tmp_path / "table")
    page = (tmp_path / "table" / "table.html").read_text()
    assert "50%_&lt;b&gt;" in page and "a &amp; b" in page and "<b>" not in page
    latex = (tmp_path / "table" / "table.tex").read_text()
    assert r"50\%\_<b>" in latex and r"a \& b" in latex


def test_drawn_faces_have_no_column_of_the_paper(stripes, tmp_path):
    (cell,) = make_cells(["eac"], [0.1], [stripes])
    cells = cells_table([outcome_of(tmp_path, cell)], tmp_path)
    shown = shown_table(summary_over_seeds(cells))
    assert list(shown["10 % wrong labels"].columns) == ["test accuracy", "memorised"]
    assert Path(cell.data).is_absolute()


def test_nothing_to_train_and_nothing_to_show_get_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cells is empty"):
        run_grid([], ALONE, tmp_path)
    with pytest.raises(InputError, match="no results"):
        show([], tmp_path, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_size_that_leaves_no_map_is_refused_before_any_training(stripes, tmp_path):
    cells = make_cells(["eac"], [0.1], [stripes], size=1)
    with pytest.raises(InputError, match="1 x 1 pixels"):
        run_grid(cells, ALONE, tmp_path)
    assert not list(tmp_path.iterdir())

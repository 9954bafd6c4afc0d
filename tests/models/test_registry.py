"""A method is a file and a line, a network is an entry: each is then known everywhere."""

from typing import ClassVar

import pytest
from torch import nn

from eacbook.cli import _recipe, build_parser
from eacbook.errors import InputError
from eacbook.experiments.grid import make_cells
from eacbook.methods import METHODS, Baseline, parse_method
from eacbook.models.networks import build_network
from eacbook.models.registry import NETWORKS, NetworkEntry
from eacbook.training.recipe import Recipe, recipe_of


class Patient(Baseline):
    name: ClassVar[str] = "patient"


def narrow():
    return nn.Sequential(nn.Conv2d(3, 5, 3, stride=2), nn.BatchNorm2d(5), nn.ReLU()), 5


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(METHODS, "patient", "test_registry:Patient")
    entry = NetworkEntry("test_registry:narrow", "for this test", {"epochs": 7}, eac_weight=3)
    monkeypatch.setitem(NETWORKS, "narrow", entry)


def help_of(command, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args([command, "--help"])
    return " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("command", ["train", "table"])
def test_a_new_method_and_a_new_network_are_in_the_help(registered, command, capsys):
    text = help_of(command, capsys)
    assert "patient" in text
    assert "narrow: for this test" in text
    assert "7 for narrow" in text


def test_they_are_in_the_grid(registered):
    cells = make_cells(["patient", "eac"], [0.1], network="narrow")
    assert [type(cell.method).__name__ for cell in cells] == ["Patient", "EAC"]
    assert cells[0].recipe == recipe_of("narrow") and cells[0].recipe.epochs == 7
    assert cells[1].method.weight == 3


def test_they_are_built_by_name(registered):
    assert type(parse_method("patient:erasing=false")).__name__ == "Patient"
    assert build_network("narrow", 4).fc.weight.shape == (4, 5)


def test_errors_list_them(registered):
    with pytest.raises(InputError, match="expected .*patient"):
        parse_method("impatient")
    with pytest.raises(InputError, match="expected .*narrow"):
        build_network("wide", 4)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_recipes_of_a_network_are_recipes(name):
    entry = NETWORKS[name]
    assert recipe_of(name) == Recipe(**entry.recipe)
    assert not entry.laptop or Recipe(**entry.laptop) != recipe_of(name)


def test_the_smaller_recipe_fills_what_the_command_line_leaves_open():
    parse = build_parser().parse_args
    options = parse(["train", "--network", "dlib-face", "--laptop", "--epochs", "2"])
    assert _recipe(options) == {**NETWORKS["dlib-face"].laptop, "epochs": 2}
    with pytest.raises(InputError, match="--laptop: tiny has no smaller recipe, only dlib-face"):
        _recipe(parse(["train", "--laptop"]))

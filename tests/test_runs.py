"""Finished runs on disk: found, resumed, refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from conftest import BATCHES, QUICK, CountingSteps, same_weights, small_network, striped_faces

from eacbook.errors import InputError
from eacbook.hooks import EarlyStopping, SampleLosses
from eacbook.methods import EAC, Baseline
from eacbook.noise import inject_noise
from eacbook.runs import FACTS, NETWORK, TENSORS, find_or_train, list_runs, read_facts, run_name


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
    assert found.finished
    assert torch.equal(found.noisy.given, first.noisy.given)
    assert torch.equal(found.noisy.true, first.noisy.true)
    assert torch.equal(found.noisy.asked, first.noisy.asked)
    assert found.noisy.settings == first.noisy.settings
    assert found.kept.keys() == first.kept.keys() == {"sample_losses"}
    assert torch.equal(found.kept["sample_losses"], first.kept["sample_losses"])
    assert first.stored is False and found.stored is True


def test_a_found_run_is_described_by_the_same_settings(find):
    """So that a run that was found can be looked for again by what it says of itself."""
    first, _ = find()
    found, _ = find()
    assert run_name(found.settings) == run_name(first.settings)
    assert find(noisy=found.noisy)[1] == 0


@pytest.mark.parametrize(
    "change",
    [
        {"method": EAC(weight=0.6)},
        {"method": Baseline()},
        {"network": small_network(seed=1)},
        {"seed": 1},
        {"epochs": 2},
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


def test_fresh_trains_again_and_replaces_what_was_stored(find, tmp_path):
    find()
    (place,) = list_runs(tmp_path / "runs")
    before = read_facts(place)
    fresh, steps = find(fresh=True)
    assert steps == 3 * BATCHES
    assert read_facts(place)["rows"] == fresh.rows
    assert before["rows"] != fresh.rows, "the seconds differ"
    assert [path.name for path in (tmp_path / "runs").glob("[!.]*")] == [place.name]


def test_fresh_replaces_a_broken_run(find, stored):
    (stored / NETWORK).write_bytes(b"")
    assert find(fresh=True)[1] == 3 * BATCHES
    assert find()[1] == 0


def test_an_interrupted_run_goes_on_at_the_next_call(find, tmp_path):
    half, _ = find(interrupt_at=2 * BATCHES + 2)
    assert not half.finished and len(half.rows) == 2
    assert list_runs(tmp_path / "runs") == []

    resumed, steps = find()
    assert steps == BATCHES, "two of the three epochs were whole"
    assert resumed.finished
    whole, steps = find(fresh=True)
    assert steps == 3 * BATCHES
    assert same_weights(resumed.network, whole.network)
    # Exactly the three files, and no checkpoint any more.
    (place,) = list_runs(tmp_path / "runs")
    assert {path.name for path in place.iterdir()} == {FACTS, NETWORK, TENSORS}


def test_fresh_forgets_an_interrupted_run(find):
    find(interrupt_at=2 * BATCHES + 2)
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
    assert read_facts(stored) == facts


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


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


@pytest.mark.parametrize("text", ["[]", "3", "null", '{"settings": {}, "rows": []}'])
def test_a_description_of_another_form_is_refused(find, stored, text):
    (stored / FACTS).write_text(text)
    with pytest.raises(InputError, match="broken"):
        find()


@pytest.mark.parametrize("name", [NETWORK, TENSORS])
def test_files_of_a_run_in_each_others_place_are_refused(find, stored, name):
    other = {NETWORK: TENSORS, TENSORS: NETWORK}[name]
    (stored / name).write_bytes((stored / other).read_bytes())
    with pytest.raises(InputError, match="broken"):
        find()


def test_a_run_made_by_other_settings_than_its_name_says_is_refused(find, stored):
    facts = json.loads((stored / FACTS).read_text())
    facts["settings"]["method"]["weight"] = 5.0
    (stored / FACTS).write_text(json.dumps(facts))
    with pytest.raises(InputError, match="other settings"):
        find()

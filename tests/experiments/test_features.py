"""Neighbours are counted as by hand, and maps keep what lies together together."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from eacbook.errors import InputError
from eacbook.experiments import features as module
from eacbook.experiments.features import (
    find_or_map,
    map_epochs,
    neighbour_shares,
    neighbourhoods,
    spread_epochs,
)
from eacbook.files import write_tensors
from eacbook.training.recording import Recorded

# Six faces on an arc, in degrees; the cosine tells how far apart they are. With two neighbours each:
# face        0       1       2       3       4       5
# neighbours  1, 2    0, 2    1, 0    2, 1    5, 3    4, 3
# classes     b, b    a, b    b, a    b, b    c, a    c, a
DEGREES = torch.tensor([0.0, 1, 3, 7, 50, 52])
TRUE = torch.tensor([0, 1, 1, 0, 2, 2])
GIVEN = torch.tensor([1, 1, 1, 0, 2, 0])
CLASSES = [1, 0, 1, 1, 2, 2]  # in a tie that of the nearest neighbour
PURITY = [1, 0.5, 0.5, 1, 0.5, 0.5]


def on_the_arc(lengths):
    angles = DEGREES.deg2rad()
    return torch.stack([angles.cos(), angles.sin()], 1) * torch.tensor(lengths)[:, None]


def recorded_with(features):
    nothing = torch.zeros(0)
    return Recorded(torch.arange(6), GIVEN, TRUE, features, *[nothing] * 4)


STAND_IN = """
import numba
@numba.njit(cache=True)
def following(number):
    return number + 1
"""
WITHOUT_HOME = """
import os, sys
sys.path.insert(0, sys.argv[1])
from eacbook.experiments.features import _import_umap
import numba
umap = _import_umap()
print(umap.following(1), numba.config.CACHE_DIR, len(os.listdir(numba.config.CACHE_DIR)))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("setpriv"),
    reason="only root can become a user who can write neither the packages nor a home",
)
def test_umap_finds_a_cache_without_a_home():
    """A stand-in for UMAP, of one function: UMAP itself compiles for most of a minute."""
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    environment = {**os.environ, "HOME": "/nonexistent"}
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        environment.pop(name, None)
    with tempfile.TemporaryDirectory() as packages:
        Path(packages).chmod(0o755)
        Path(packages, "umap.py").write_text(STAND_IN)
        done = subprocess.run(
            [*nobody, sys.executable, "-c", WITHOUT_HOME, packages],
            env=environment, cwd=Path(__file__).parents[2], capture_output=True, text=True,
        )  # fmt: skip
    if "Permission denied" in done.stderr:
        pytest.skip("another user cannot read this Python or this clone")
    assert done.returncode == 0, done.stderr
    result, folder, files = done.stdout.split()
    assert result == "2" and "eacbook-numba-" in folder and int(files) > 0
    assert not Path(folder).exists(), "it goes with the process"


def test_neighbourhoods_by_hand():
    short_and_long = on_the_arc([1.0, 9, 0.1, 4, 2, 3])  # only the direction counts
    both = torch.stack([on_the_arc([1.0] * 6), short_and_long])
    classes, purity = neighbourhoods(both, TRUE, neighbours=2)
    assert classes.tolist() == [CLASSES] * 2
    assert purity.tolist() == [PURITY] * 2


def test_shares_by_hand():
    """Faces 0 and 5 are labelled wrongly: 0 lies among its given class, 5 among its true one."""
    shares = neighbour_shares(recorded_with(on_the_arc([1.0] * 6)[None]), neighbours=2)
    assert {name: values.tolist() for name, values in shares.items()} == {
        "among_true": [0.5],
        "among_given": [0.5],
        "purity_wrong": [0.75],
        "purity_right": [0.625],
    }


def test_neighbours_are_those_that_scikit_learn_finds():
    from sklearn.neighbors import NearestNeighbors

    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 50, 8, generator=generator)
    true = torch.randint(0, 3, (50,), generator=generator)
    classes, purity = neighbourhoods(features, true, neighbours=7)
    for epoch, values in enumerate(features.numpy()):
        search = NearestNeighbors(n_neighbors=7, metric="cosine").fit(values)
        votes = true[torch.from_numpy(search.kneighbors(return_distance=False))]
        counts = torch.nn.functional.one_hot(votes).sum(1)
        assert torch.equal(counts.max(1).values / 7, purity[epoch])
        assert torch.equal(counts.gather(1, classes[epoch, :, None])[:, 0] / 7, purity[epoch])


@pytest.mark.parametrize("neighbours", [0, 6])
def test_there_must_be_enough_faces(neighbours):
    with pytest.raises(InputError, match="neighbours must be a whole number from 1 to 5"):
        neighbourhoods(on_the_arc([1.0] * 6)[None], TRUE, neighbours)


def test_epochs_are_spread_from_the_first_to_the_last():
    assert spread_epochs(30) == [0, 3, 6, 10, 13, 16, 19, 23, 26, 29]
    assert spread_epochs(4) == [0, 1, 2, 3]
    assert spread_epochs(1) == [0]
    assert spread_epochs(20, 3) == [0, 10, 19]


def three_clusters():
    """Three clusters of 20 faces, which part in three epochs; one face changes over at the last."""
    generator = torch.Generator().manual_seed(0)
    label = torch.arange(60) % 3
    noise = torch.rand(60, 16, generator=generator)
    features = torch.stack([noise + part * torch.eye(16)[label] for part in (1.0, 2.0, 4.0)])
    features[2, 0] = noise[0] + 4 * torch.eye(16)[1]
    return features, label


@pytest.fixture(scope="module")
def mapped():
    features, label = three_clusters()
    threads = torch.get_num_threads()
    positions = map_epochs(features)
    assert torch.get_num_threads() == threads, "though UMAP sets them"
    return features, label, positions


@pytest.mark.slow
def test_clusters_lie_apart_on_the_map(mapped):
    _, label, positions = mapped
    distances = torch.cdist(positions[1], positions[1]).fill_diagonal_(9)
    assert (label[distances.argmin(1)] == label).float().mean() > 0.95
    assert positions.shape == (3, 60, 2) and positions.dtype == torch.float32
    assert positions.mean(1).abs().max() < 1e-5
    assert torch.allclose(positions.square().sum(2).mean(1).sqrt(), torch.ones(3))


@pytest.mark.slow
def test_points_stay_and_who_changes_over_travels(mapped):
    _, label, positions = mapped
    way = (positions[2] - positions[1]).norm(dim=1)
    assert way[1:].mean() < 0.3, "in radii of the map"
    assert way[0] > 3 * way[1:].mean()
    centres = torch.stack([positions[2][1:][label[1:] == one].mean(0) for one in range(3)])
    assert (positions[2, 0] - centres).norm(dim=1).argmin() == 1


@pytest.mark.slow
def test_another_process_finds_the_same_map(mapped, tmp_path):
    script = (
        "import sys, torch, test_features as t\n"
        "torch.set_num_threads(1)\n"
        "t.find_or_map(t.three_clusters()[0], sys.argv[1])\n"
    )
    here = Path(__file__).parent
    paths = [here, here.parent, os.environ.get("PYTHONPATH")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, filter(None, paths)))}
    subprocess.run([sys.executable, "-c", script, tmp_path], env=environment, check=True)
    features, _, positions = mapped
    assert torch.equal(find_or_map(features, tmp_path), positions)
    assert len(list((tmp_path / "maps").iterdir())) == 1


@pytest.fixture
def counted(monkeypatch):
    """``map_epochs`` without UMAP, and what it was asked for."""
    asked = []

    def fake(features):
        asked.append(features)
        time.sleep(0.05)
        return features[..., :2].contiguous()

    monkeypatch.setattr(module, "map_epochs", fake)
    return asked


def test_a_map_is_made_once_for_the_same_features(counted, tmp_path):
    features = torch.rand(2, 5, 4)
    for _ in range(2):
        assert torch.equal(find_or_map(features, tmp_path / "new"), features[..., :2])
    assert len(counted) == 1
    find_or_map(features + 1, tmp_path / "new")
    assert len(counted) == 2


def test_who_asks_while_somebody_maps_waits_and_finds(counted, tmp_path):
    features = torch.rand(2, 5, 4)
    with ThreadPoolExecutor(4) as threads:
        found = threads.map(lambda _: find_or_map(features, tmp_path), range(4))
        assert all(torch.equal(positions, features[..., :2]) for positions in found)
    assert len(counted) == 1


@pytest.mark.parametrize("content", [b"", b"no tensors at all"])
def test_a_broken_map_is_named(counted, tmp_path, content):
    features = torch.rand(2, 5, 4)
    find_or_map(features, tmp_path)
    (place,) = (tmp_path / "maps").iterdir()
    place.write_bytes(content)
    with pytest.raises(InputError, match=place.name):
        find_or_map(features, tmp_path)


def test_a_map_of_another_shape_is_broken(counted, tmp_path):
    features = torch.rand(2, 5, 4)
    find_or_map(features, tmp_path)
    (place,) = (tmp_path / "maps").iterdir()
    write_tensors(place, {"positions": torch.zeros(1, 5, 2)})
    with pytest.raises(InputError, match=r"\[1, 5, 2\]"):
        find_or_map(features, tmp_path)


def test_a_map_of_too_few_faces_is_refused():
    with pytest.raises(InputError, match="more than 15 faces, got 15"):
        map_epochs(torch.rand(2, 15, 4))

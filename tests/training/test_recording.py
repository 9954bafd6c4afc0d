"""What is recorded of a training, and read back from the stored run."""

from __future__ import annotations

import pytest
import torch
from conftest import QUICK, small_network
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from eacbook.errors import InputError
from eacbook.evaluation.attention import attention_maps
from eacbook.experiments.runs import find_or_train
from eacbook.methods import EAC, Baseline
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import Hook, SampleLosses
from eacbook.training.loop import train
from eacbook.training.recording import Recorded, Recording, choose_watched

SHORT = QUICK | {"epochs": 2}


class Networks(Hook):
    """What the networks of every epoch make of the watched faces, worked out by other means."""

    def __init__(self, rows):
        self.rows, self.found = rows, []

    def on_epoch_end(self, training):
        images = training.faces.train.images[self.rows]
        self.found.append(attention_maps(training.network, images))


@pytest.fixture(scope="module")
def trained(faces, noisy, tmp_path_factory):
    """A stored run with what its networks made of the watched faces."""
    folder = tmp_path_factory.mktemp("runs")
    networks = Networks(choose_watched(noisy, 40, 6))
    hooks = [SampleLosses(), Recording(40, 6), networks]
    arguments = EAC(weight=0.5), small_network(), faces, noisy
    find_or_train(*arguments, folder=folder, hooks=hooks, **SHORT)
    run = find_or_train(*arguments, folder=folder, hooks=hooks, **SHORT)
    assert run.stored
    return run, networks.found


@pytest.mark.slow
def test_the_maps_of_probes_and_mirror_images_come_back(trained):
    run, found = trained
    recorded = Recorded.of(run)
    for epoch, (_, maps, of_mirror) in enumerate(found):
        both = torch.stack([maps[:6], of_mirror[:6]])
        step = both.amax((0, 2, 3, 4)) - both.amin((0, 2, 3, 4))
        for kept, right in ((recorded.maps, maps), (recorded.maps_of_mirror, of_mirror)):
            error = (kept[epoch] - right[:6]).abs().amax((1, 2, 3))
            assert (error <= 0.51 * step / 255 + 1e-6).all(), "to half a step of 8 bits"


def test_logits_features_and_attention_are_those_of_the_network(trained):
    run, found = trained
    recorded = Recorded.of(run)
    own = torch.arange(40)
    for epoch, (logits, maps, _) in enumerate(found):
        torch.testing.assert_close(recorded.logits[epoch], logits, atol=2e-3, rtol=2e-3)
        positive = maps[own, recorded.given].clamp(min=0)
        positive = positive / positive.amax((1, 2), keepdim=True).clamp(min=1e-8)
        torch.testing.assert_close(recorded.attention[epoch], positive, atol=3e-3, rtol=0)
    # The classifier takes the features to the logits, so they are the right ones.
    fc = run.network.fc
    torch.testing.assert_close(
        functional.linear(recorded.features[-1], fc.weight, fc.bias).detach(),
        recorded.logits[-1], atol=2e-2, rtol=2e-2,
    )  # fmt: skip


def test_what_is_kept_is_small_and_the_labels_are_those_of_the_rows(trained):
    run, _ = trained
    recorded = Recorded.of(run)
    assert run.records["maps"].dtype == run.records["attention"].dtype == torch.uint8
    assert run.records["features"].dtype == run.records["logits"].dtype == torch.float16
    assert recorded.epochs == len(run.records["sample_losses"]) == 2
    assert torch.equal(recorded.given, run.noisy.given[recorded.rows])
    assert torch.equal(recorded.true, run.noisy.true[recorded.rows])


@pytest.mark.slow
def test_recording_changes_nothing_about_the_training(faces, noisy):
    arguments = Baseline(), small_network(), faces, noisy
    plain = train(*arguments, **SHORT)
    watched = train(*arguments, hooks=[SampleLosses(), Recording(40, 6)], **SHORT)
    assert [row["loss"] for row in plain.rows] == [row["loss"] for row in watched.rows]
    assert plain.summary["test_accuracy"] == watched.summary["test_accuracy"]


def test_a_run_without_recording_says_so(faces, noisy):
    run = train(Baseline(), small_network(), faces, noisy, **QUICK | {"epochs": 1})
    with pytest.raises(InputError, match=r"hooks=\[Recording\(\)\]"):
        Recorded.of(run)


@pytest.mark.parametrize("probes", [0, 5])
def test_recording_refuses_impossible_numbers(probes):
    with pytest.raises(InputError, match="probes must be a whole number from 1 to 4"):
        Recording(4, probes)


@settings(max_examples=50, deadline=None)
@given(
    count=st.integers(1, 300), classes=st.integers(2, 8), rate=st.floats(0, 0.8),
    faces=st.integers(1, 200), probes=st.integers(1, 40), seed=st.integers(0, 99),
)  # fmt: skip
def test_watched_faces_are_different_rows_and_the_probes_balanced(
    count, classes, rate, faces, probes, seed
):
    labels = torch.randint(0, classes, (count,), generator=torch.Generator().manual_seed(seed))
    noisy = inject_noise(labels, rate, classes, seed=seed)
    rows = choose_watched(noisy, faces, probes)
    assert len(rows) == len(rows.unique()) == min(count, faces)
    assert torch.equal(rows, choose_watched(noisy, faces, probes))
    # As long as a kind (true class, right or wrong) has faces left, none has two more than it.
    kinds = 2 * noisy.true + noisy.wrong
    chosen = kinds[rows[:probes]].bincount(minlength=2 * classes)
    left = kinds[rows[probes:]].bincount(minlength=2 * classes)
    assert (chosen[left > 0][:, None] >= chosen[None] - 1).all()


def test_a_network_that_does_not_tell_its_features_is_refused_before_it_is_trained(faces, noisy):
    network = small_network()
    plain = torch.nn.Module()
    plain.inner, plain.forward = network, network.forward
    with pytest.raises(InputError, match="lacks .*classify"):
        train(Baseline(), plain, faces, noisy, hooks=[Recording(40, 6)], **SHORT)

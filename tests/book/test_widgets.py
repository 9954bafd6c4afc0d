"""The explorers show, for each position of their controls, what the pure functions give."""

import base64
import html
import io
import math
import threading
from dataclasses import replace

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image

from eacbook.book.widgets import (
    AttentionExplorer,
    ConvolutionExplorer,
    LossExplorer,
    NoiseExplorer,
    SoftmaxExplorer,
)
from eacbook.book.widgets.attention import (
    GIVEN,
    PREDICTED,
    TRUE,
    attention_view,
    class_shown,
    looks_at,
    recorded_look,
)
from eacbook.book.widgets.convolution import (
    FILTERS,
    brightness,
    convolution_view,
    convolve,
    largest_of_squares,
)
from eacbook.book.widgets.explorer import Explorer
from eacbook.book.widgets.losses import detection_text, loss_view
from eacbook.book.widgets.noise import HUMAN, PAIR, SYMMETRIC, noise_for, noise_picture
from eacbook.book.widgets.softmax import softmax_view
from eacbook.classes import CLASSES
from eacbook.data.faces import synthetic_faces
from eacbook.errors import InputError
from eacbook.evaluation.attention import relative_difference
from eacbook.methods import EAC, Baseline
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.plots.pictures import described
from eacbook.training.hooks import SampleLosses
from eacbook.training.loop import train
from eacbook.training.recording import Recorded, Recording


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(84, 7, 7)


@pytest.fixture(scope="module")
def explorer(faces):
    return NoiseExplorer(faces)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "rate"), [(SYMMETRIC, 0.0), (SYMMETRIC, 0.3), (PAIR, 0.5), (HUMAN, 0.2)]
)
def test_explorer_shows_the_noise_of_its_controls(faces, explorer, kind, rate):
    explorer.kind.value = kind
    explorer.rate.value = rate
    noisy = noise_for(faces, kind, rate)
    assert explorer.picture.value == noise_picture(faces, noisy, torch.arange(18))
    assert f"<b>{int(noisy.wrong.sum())}</b> of 84" in explorer.counts.value
    # Nothing says a rate that is not the rate.
    assert explorer.rate.layout.visibility == ("hidden" if kind == HUMAN else "visible")


@pytest.mark.slow
def test_noise_that_is_not_known_for_the_classes_is_left_out(faces, explorer):
    assert explorer.kind.options == (SYMMETRIC, PAIR, HUMAN) and not explorer.left_out.value
    other = NoiseExplorer(replace(faces, classes=(*CLASSES[:6], "contempt")), shown=2)
    assert other.kind.options == (SYMMETRIC,)
    assert "no class neutral" in other.left_out.value and "people" in other.left_out.value
    turned = replace(faces, classes=tuple(reversed(CLASSES[:7])))
    noisy = noise_for(turned, HUMAN, 0)
    assert torch.equal(
        noisy.transition_matrix, noise_for(faces, HUMAN, 0).transition_matrix.flip(0, 1)
    )


def test_the_last_change_stays_when_two_threads_change_the_controls():
    """As JupyterLab does, which sends the first messages to one thread and later ones to another."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(Explorer):
        def __init__(self):
            self.number = ipywidgets.IntSlider(0)
            super().__init__("slow", self.number)
            self.follow(self.number)

        def show(self):
            number = self.number.value
            if number == 1:
                begun.set()
                assert go_on.wait(60)
            self.picture.value = str(number).encode()

    explorer = Slow()

    def change(number):
        thread = threading.Thread(target=lambda: setattr(explorer.number, "value", number))
        thread.start()
        return thread

    older = change(1)
    assert begun.wait(60)
    newer = change(2)
    newer.join(0.3)  # in which it would be through, if it did not wait for its turn
    go_on.set()
    for thread in (older, newer):
        thread.join(60)
    assert explorer.picture.value == b"2"


@pytest.mark.slow
def test_saved_notebook_gets_the_current_picture(explorer):
    bundle, metadata = explorer._repr_mimebundle_()
    content = base64.b64decode(bundle["image/png"])
    now = Image.open(io.BytesIO(explorer.picture.value))
    kept = Image.open(io.BytesIO(content))
    assert kept.mode == "P" and kept.size == now.size and len(content) < len(now.tobytes()) / 4
    distance = np.abs(np.asarray(kept.convert("RGBA"), float) - np.asarray(now, float))
    assert distance[np.asarray(now)[..., 3] > 0].mean() < 4  # of 255: it is the same picture
    text = metadata["image/png"]["alt"]
    assert text == described(content) == described(explorer.picture.value)
    assert html.escape(text) in explorer.words.value and 'role="status"' in explorer.words.value
    assert "18 faces with their given labels" in text and "Matrix" in text
    assert bundle["text/plain"] == "NoiseExplorer"
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == explorer.box.model_id


# ------------------------------------------------------------------- attention and losses


@pytest.fixture(scope="module")
def runs(faces):
    """Baseline and EAC, two epochs each, recorded; and a run that was not."""
    noisy = inject_noise(faces.train.labels, 0.3, 7)
    hooks = [SampleLosses(), Recording(faces=30, probes=9)]
    recipe = {"epochs": 2, "device": "cpu"}
    network = build_network("tiny", 7)
    trained = {
        method.name: train(method, network, faces, noisy, hooks=hooks, **recipe)
        for method in (Baseline(), EAC(weight=1.0))
    }
    return trained, train(Baseline(), network, faces, noisy, **recipe)


@pytest.fixture
def attention(faces, runs):
    return AttentionExplorer(faces, runs[0])


def expected_view(attention, probe, epoch, shown, strength, names=("baseline", "eac")):
    """The picture by the pure function alone, from what was recorded."""
    records = {name: Recorded.of(attention.runs[name]) for name in names}
    first = records[names[0]]
    difference = {n: relative_difference(r.maps, r.maps_of_mirror) for n, r in records.items()}
    return attention_view(
        attention.faces.train.images[first.rows[probe]],
        {name: recorded_look(record, probe, epoch) for name, record in records.items()},
        shown, attention.faces.classes, (int(first.given[probe]), int(first.true[probe])), strength,
        {name: values[:, probe].numpy() for name, values in difference.items()}, epoch,
    )  # fmt: skip


@pytest.mark.slow
def test_attention_explorer_shows_what_its_controls_say(attention):
    assert attention.picture.value == expected_view(attention, 0, 2, GIVEN, 0.65)
    attention.thumbnails[4].click()
    assert attention.face.value == 4
    assert attention.picture.value == expected_view(attention, 4, 2, GIVEN, 0.65)
    attention.epoch.value = 1
    attention.strength.value = 0.3
    attention.shown.value = "anger"
    assert attention.picture.value == expected_view(attention, 4, 1, "anger", 0.3)
    attention.right.value = "baseline"
    assert attention.picture.value == expected_view(attention, 4, 1, "anger", 0.3, ("baseline",))


@pytest.mark.slow
def test_every_position_of_the_attention_explorer_is_another_picture(attention):
    seen = set()
    for place in (0, 8):
        attention.pick(place)
        for shown in attention.shown.options[3:]:
            attention.shown.value = shown
            for epoch in (1, 2):
                attention.epoch.value = epoch
                seen.add(attention.picture.value)
    assert len(seen) == 2 * 7 * 2


@pytest.mark.slow
def test_thumbnails_of_wrong_labels_are_marked(attention):
    flipped = Recorded.of(attention.runs["eac"]).wrong[:9].tolist()
    assert True in flipped and False in flipped
    names = [name for name, _ in attention.face.options]
    for button, name, wrong in zip(attention.thumbnails, names, flipped, strict=True):
        assert ("wrong" in button._dom_classes) == ("wrongly" in name) == wrong
        assert button.tooltip == name and not button.tabbable


@pytest.mark.parametrize(
    ("shown", "labels", "number"),
    [
        (GIVEN, (2, 5), 2), (TRUE, (2, 5), 5), (PREDICTED, (2, 5), 6), ("fear", (2, 5), 1),
        (GIVEN, None, 6), (TRUE, None, 6), ("fear", None, 1),
    ],
)  # fmt: skip
def test_which_class_is_shown(shown, labels, number):
    assert class_shown(shown, 6, CLASSES[:7], labels) == number


@pytest.mark.slow
def test_own_photograph_is_shown_and_a_broken_one_gets_a_sentence(attention, faces):
    before = attention.picture.value
    attention.take_photo(b"no picture at all")
    assert "not a picture" in attention.message.value and attention.picture.value == before

    photo = Image.fromarray(faces.test.images[3].permute(1, 2, 0).numpy()).resize((300, 300))
    content = io.BytesIO()
    photo.save(content, "png")
    for value in (
        ({"content": memoryview(content.getvalue()), "name": "me.png"},),  # ipywidgets 8
        {"me.png": {"content": content.getvalue()}},  # ipywidgets 7
    ):
        attention.pick(0)
        # Set as the front end sets it, whichever version of ipywidgets is here.
        attention._take_photo(value)
        assert "face found" in attention.message.value or "centre crop" in attention.message.value
        assert attention.epoch.disabled and not any(
            "chosen" in button._dom_classes for button in attention.thumbnails
        )
        looks = looks_at(attention.photo, attention.runs)
        view = attention_view(attention.photo, looks, GIVEN, faces.classes, None, 0.65)
        assert attention.picture.value == view != before
    attention.pick(0)
    assert attention.picture.value == before and not attention.epoch.disabled


@pytest.mark.slow
def test_runs_of_different_lengths_are_explored_together(faces, runs):
    trained, _ = runs
    kept = {name: values[:1] for name, values in trained["eac"].records.items()}
    shorter = replace(trained["eac"], records=kept, rows=trained["eac"].rows[:1])
    both = {"long": trained["baseline"], "short": shorter}
    for explored in (both, dict(reversed(both.items()))):
        for explorer in (AttentionExplorer(faces, explored), LossExplorer(explored)):
            assert explorer.epoch.max == 1 and explorer.picture.value


def test_what_cannot_be_compared_is_refused(faces, runs):
    trained, plain = runs
    with pytest.raises(InputError, match="other faces"):
        AttentionExplorer(synthetic_faces(85, 7, 7), trained)
    for explorer in (lambda r: AttentionExplorer(faces, r), LossExplorer):
        with pytest.raises(InputError, match="at least one"):
            explorer({})
    with pytest.raises(InputError, match="nothing was recorded"):
        AttentionExplorer(faces, {"plain": plain})
    with pytest.raises(InputError, match="has no recorded losses"):
        LossExplorer({"plain": plain})
    other = inject_noise(faces.train.labels, 0.3, 7, seed=5)
    elsewhere = replace(trained["eac"], noisy=other)
    for explorer in (lambda r: AttentionExplorer(faces, r), LossExplorer):
        with pytest.raises(InputError, match="different labels"):
            explorer({"eac": trained["eac"], "other": elsewhere})


def test_loss_explorer_shows_what_its_controls_say(runs):
    explorer = LossExplorer(runs[0])
    flipped = runs[0]["eac"].noisy.wrong
    for epoch, threshold in ((2, 2.0), (1, 2.0), (1, 1.3)):
        explorer.epoch.value, explorer.threshold.value = epoch, threshold
        losses = {name: run.records["sample_losses"][epoch - 1] for name, run in runs[0].items()}
        assert explorer.picture.value == loss_view(losses, flipped, threshold)
        for values in losses.values():
            assert detection_text(values > threshold, flipped) in explorer.numbers.value


def test_losses_of_faces_that_did_not_come_are_left_out(runs):
    run = runs[0]["eac"]
    losses = run.records["sample_losses"].clone()
    absent = torch.arange(84) % 4 == 0
    losses[:, absent] = math.nan
    explorer = LossExplorer({"eac": replace(run, records={"sample_losses": losses})})
    explorer.threshold.value = 0.5
    text = detection_text(losses[1, ~absent] > 0.5, run.noisy.wrong[~absent])
    assert explorer.numbers.value.endswith(f"{text} (21 faces did not come in this epoch)")


def test_detection_in_words():
    suspected = torch.tensor([1, 1, 1, 0, 0, 0]).bool()
    flipped = torch.tensor([1, 1, 0, 1, 1, 0]).bool()
    text = detection_text(suspected, flipped)
    assert "3 labels suspected" in text and "67%" in text and "50%" in text
    assert detection_text(~suspected & suspected, flipped) == "no label is suspected"


# ------------------------------------------------------------------- the primer


def test_softmax_explorer_shows_what_its_controls_say():
    names = ["happiness", "neutral", "<b>fear"]
    explorer = SoftmaxExplorer(names)
    assert "33.3%" in explorer.numbers.value and "1.10 nats" in explorer.numbers.value
    explorer.logits[0].value = 2.0
    assert "78.7%" in explorer.numbers.value and "0.24 nats" in explorer.numbers.value
    explorer.given.value = names[2]
    assert "2.24 nats" in explorer.numbers.value and "&lt;b&gt;fear" in explorer.numbers.value
    assert explorer.picture.value == softmax_view([2.0, 0.0, 0.0], 2, names)
    with pytest.raises(InputError, match="2 to 7 classes; these are 1"):
        SoftmaxExplorer(["alone"])


def test_a_convolution_is_the_sum_of_nine_products():
    values = torch.randn(6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for weights in FILTERS.values():
        filtered = convolve(values, weights)
        assert filtered.shape == values.shape
        by_hand = sum(
            weights[i][j] * values[2 + i - 1, 5 + j - 1] for i in range(3) for j in range(3)
        )
        assert torch.isclose(filtered[2, 5], by_hand)
    even = torch.full((6, 8), 3.0, dtype=torch.float64)
    zero = [not convolve(even, weights).any() for weights in FILTERS.values()]
    assert zero == [True, True, True, False]
    pooled = largest_of_squares(values, 2)
    assert pooled.shape == (3, 4) and pooled[1, 2] == values[2:4, 4:6].max()


@pytest.mark.slow
def test_convolution_explorer_shows_what_its_controls_say(faces):
    explorer = ConvolutionExplorer(faces)
    assert [name for name, _ in explorer.face.options] == list(faces.classes)
    image = faces.train.images[(faces.train.labels == 3).nonzero()[0, 0]]
    assert brightness(image).min() >= 0 and brightness(image).max() <= 10
    seen = {explorer.picture.value}
    explorer.face.value = 3
    explorer.filter.value = "bright spot"
    explorer.row.value, explorer.column.value, explorer.pool.value = 0, 47, 8
    seen.add(explorer.picture.value)
    assert explorer.picture.value == convolution_view(image, "bright spot", 0, 47, 8)
    assert len(seen) == 2

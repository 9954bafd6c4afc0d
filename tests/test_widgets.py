"""The explorer shows, for each position of its controls, what the pure functions give."""

import base64

import pytest
import torch

from eacbook.faces import synthetic_faces
from eacbook.widgets.noise import (
    HUMAN,
    PAIR,
    SYMMETRIC,
    NoiseExplorer,
    noise_for,
    noise_picture,
)


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(84, 7, 7)


@pytest.fixture(scope="module")
def explorer(faces):
    return NoiseExplorer(faces)


@pytest.mark.parametrize(
    ("kind", "rate"), [(SYMMETRIC, 0.0), (SYMMETRIC, 0.3), (PAIR, 0.5), (HUMAN, 0.2)]
)
def test_explorer_shows_the_noise_of_its_controls(faces, explorer, kind, rate):
    explorer.kind.value = kind
    explorer.rate.value = rate
    noisy = noise_for(faces.train.labels, 7, kind, rate)
    assert explorer.picture.value == noise_picture(faces, noisy, torch.arange(18))
    assert f"<b>{int(noisy.flipped.sum())}</b> of 84" in explorer.counts.value
    assert explorer.rate.disabled == (kind == HUMAN)


def test_saved_notebook_gets_the_current_picture(explorer):
    bundle = explorer._repr_mimebundle_()
    assert base64.b64decode(bundle["image/png"]) == explorer.picture.value
    assert bundle["text/plain"] == "NoiseExplorer"
    view = bundle["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == explorer.box.model_id

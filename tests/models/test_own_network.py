"""The page about a reader's own network: its code runs, and every method trains such a network."""

import re
from pathlib import Path

import pytest
from torchvision.models import mobilenet_v3_small

import eacbook as eb

PAGE = Path(__file__).parents[2] / "docs" / "networks.md"
NEEDS_RATE = {"coteaching": {"noise_rate": 0.3}}


@pytest.mark.slow
def test_the_code_of_the_page_runs(capsys):
    (code,) = re.findall("```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    exec(code, {})
    assert 0 <= float(capsys.readouterr().out.splitlines()[-1]) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("method", eb.METHODS)
def test_every_method_trains_a_backbone_that_eacbook_does_not_know(method):
    backbone = mobilenet_v3_small(weights=None).features
    network = eb.ClassActivationNetwork(backbone, channels=576, num_classes=7, name="mobilenet")
    before = backbone[0][0].weight.detach().clone()
    faces = eb.synthetic_faces(train=70, test=7, validation=7)
    noisy = eb.inject_noise(faces.train.labels, 0.3, faces.num_classes)
    run = eb.train(
        eb.METHODS[method](**NEEDS_RATE.get(method, {})), network, faces, noisy,
        epochs=1, batch_size=35, size=64, device="cpu",
    )  # fmt: skip
    assert (run.network.backbone[0][0].weight != before).any()
    assert run.rows[-1]["test_accuracy"] <= 1

"""The methods' losses by hand, and where their gradients go."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from conftest import Scripted, batch, leaf, small_network
from torch import nn

from eacbook.augment.erasing import RandomErasing
from eacbook.augment.normalise import mirror
from eacbook.errors import InputError
from eacbook.methods import (
    EAC,
    ELR,
    METHODS,
    RUL,
    SCN,
    Baseline,
    CoTeaching,
    Method,
    ReSup,
    build_method,
    describe_method,
    parse_method,
)

LN2, LN3 = math.log(2), math.log(3)


@pytest.fixture
def views():
    """Logits and maps of two faces and of their mirror images; two classes, maps of 1 x 2.

    Cross-entropy with the labels 0 and 1: the faces -ln(3/4) and ln 2, the mirror images -ln(1/4)
    and ln 2. The maps differ in one place only: 1 and 2 against 4 and 2 once the mirror's are
    flipped back, so that the mean over B, K, h, w is 3 x 3 / 8.
    """
    original = (leaf([[LN3, 0], [0, 0]]), leaf([[[[1, 2]], [[0, 0]]], [[[5, 6]], [[7, 7]]]]))
    mirrored = (leaf([[0, LN3], [0, 0]]), leaf([[[[2, 4]], [[0, 0]]], [[[6, 5]], [[7, 7]]]]))
    return original, mirrored


SAMPLES = [-math.log(3 / 4), LN2]
OF_FACES = (-math.log(3 / 4) + LN2) / 2
OF_MIRROR = (-math.log(1 / 4) + LN2) / 2
CONSISTENCY = 9 / 8


def test_baseline_by_hand(views):
    losses = Baseline().loss(Scripted(views[0]), batch())
    assert losses.keys() == {"loss", "sample_losses"}
    assert losses["sample_losses"].tolist() == pytest.approx(SAMPLES, abs=1e-12)
    assert losses["loss"].item() == pytest.approx(OF_FACES, abs=1e-12)


@pytest.mark.parametrize("weight", [1.0, 5.0, 0.25])
def test_eac_by_hand(views, weight):
    losses = EAC(weight=weight).loss(Scripted(*views), batch())
    assert losses["sample_losses"].tolist() == pytest.approx(SAMPLES, abs=1e-12)
    assert losses["cross_entropy"].item() == pytest.approx(OF_FACES, abs=1e-12)
    assert losses["consistency"].item() == pytest.approx(CONSISTENCY, abs=1e-12)
    assert losses["loss"].item() == pytest.approx(OF_FACES + weight * CONSISTENCY, abs=1e-12)


def test_labels_on_both_views_is_the_mean_of_both_cross_entropies(views):
    losses = EAC(weight=2, labels_on_both_views=True).loss(Scripted(*views), batch())
    expected = (OF_FACES + OF_MIRROR) / 2
    assert losses["cross_entropy"].item() == pytest.approx(expected, abs=1e-12)
    assert losses["loss"].item() == pytest.approx(expected + 2 * CONSISTENCY, abs=1e-12)


def test_one_pass_gives_the_same_loss_from_the_same_answers(views):
    together = tuple(torch.cat([a, b]) for a, b in zip(*views, strict=True))
    network = Scripted(together)
    losses = EAC(weight=3, one_pass=True).loss(network, batch())
    assert len(network.seen) == 1 and len(network.seen[0]) == 4
    assert losses["loss"].item() == pytest.approx(OF_FACES + 3 * CONSISTENCY, abs=1e-12)


def test_no_label_is_used_on_the_mirrored_view(views):
    (logits, maps), (logits_of_mirror, maps_of_mirror) = views
    EAC().loss(Scripted(*views), batch())["loss"].backward()
    assert logits.grad.any(1).all()
    assert logits_of_mirror.grad is None
    assert maps.grad.any() and maps_of_mirror.grad.any(), "both views learn from the consistency"
    # d/da mean((a - b)^2) = 2 (a - b) / 8, and the opposite for b where the flip puts it.
    expected = torch.zeros(2, 2, 1, 2, dtype=torch.float64)
    expected[0, 0, 0, 0] = 5 * 2 * -3 / 8
    assert torch.equal(maps.grad, expected)
    assert torch.equal(maps_of_mirror.grad, -mirror(expected))


def test_labels_on_both_views_does_use_them(views):
    EAC(labels_on_both_views=True).loss(Scripted(*views), batch())["loss"].backward()
    assert views[1][0].grad.any(1).all()


@pytest.mark.parametrize("one_pass", [False, True])
def test_the_consistency_moves_the_backbone_and_never_the_classifier(one_pass):
    network = small_network(num_classes=2)
    losses = EAC(one_pass=one_pass).loss(network, batch())
    losses["consistency"].backward()
    assert network.fc.weight.grad is None and network.fc.bias.grad is None
    assert all(p.grad.any() for p in network.backbone.parameters())


# ------------------------------------------------------------------------- which views are shown


def test_eac_shows_the_original_first_and_then_the_mirrored_view(views):
    network = Scripted(*views)
    EAC().loss(network, batch())
    again = batch()
    assert torch.equal(network.seen[0], again.original(RandomErasing()))
    assert torch.equal(network.seen[1], again.mirrored(RandomErasing()))


def test_without_erasing_nothing_is_erased(views):
    network = Scripted(*views)
    EAC(erasing=False).loss(network, batch())
    again = batch()
    assert torch.equal(network.seen[0], again.original(None))
    assert torch.equal(network.seen[1], again.mirrored(None))

    network = Scripted(*views)
    EAC(erasing_scale=0.9).loss(network, batch())
    again = batch()
    assert torch.equal(network.seen[0], again.original(RandomErasing(scale=(0.02, 0.9))))
    assert torch.equal(network.seen[1], again.mirrored(RandomErasing(scale=(0.02, 0.9))))

    plain = Scripted(views[0])
    Baseline(erasing=False).loss(plain, batch())
    again = batch()
    assert torch.equal(plain.seen[0], again.flipped(None))


def test_shared_erasing_mirrors_the_view_that_is_already_erased():
    count = 40
    answer = (torch.zeros(count, 2), torch.zeros(count, 2, 1, 1))
    network = Scripted(answer, answer)
    EAC(shared_erasing=True).loss(network, batch(count, [0] * count))
    original, mirrored = network.seen
    assert torch.equal(mirrored, mirror(original))
    assert (original == 0).any()


def test_weight_zero_computes_the_first_view_alone(views):
    network = Scripted(*views)
    losses = EAC(weight=0).loss(network, batch())
    assert len(network.seen) == 1
    assert losses.keys() == {"loss", "sample_losses"}
    assert losses["sample_losses"].tolist() == pytest.approx(SAMPLES, abs=1e-12)
    assert losses["loss"].item() == pytest.approx(OF_FACES, abs=1e-12)


def test_weight_zero_with_labels_on_both_views_still_needs_both(views):
    losses = EAC(weight=0, labels_on_both_views=True).loss(Scripted(*views), batch())
    assert losses["loss"].item() == pytest.approx((OF_FACES + OF_MIRROR) / 2, abs=1e-12)


@pytest.mark.parametrize("training", [False, True])
def test_one_pass_equals_two_passes_only_where_batch_norm_has_its_statistics(training):
    """In training, one pass normalises by both views together: another function."""
    count = 12
    network = small_network(num_classes=2, dropout=0.0)
    generator = torch.Generator().manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.5, 0.5, generator=generator)
            part.running_var.uniform_(0.5, 2, generator=generator)
    network.train(training)
    labels = [0, 1] * (count // 2)
    two, one = (
        EAC(one_pass=one_pass).loss(network, batch(count, labels)) for one_pass in (False, True)
    )
    for name in two:
        close = torch.allclose(two[name], one[name], rtol=1e-4)
        assert close is not training, name


# ------------------------------------------------------------------------- hyperparameters


@pytest.mark.parametrize("weight", [-1, math.inf, math.nan])
def test_a_weight_that_is_none_is_refused(weight):
    with pytest.raises(InputError, match="weight must be a finite number"):
        EAC(weight=weight)


@pytest.mark.parametrize(
    "method",
    [
        Baseline(erasing=False),
        EAC(weight=0.3, one_pass=True, erasing=False),
        CoTeaching(noise_rate=0.2, ramp=3),
        SCN(relabel_any=True),
        RUL(dimension=8),
    ],
)
def test_a_description_builds_the_same_method_again(method):
    description = json.loads(json.dumps(describe_method(method)))
    assert build_method(**description) == method


def test_an_unknown_method_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match=f"'mixup'.*{', '.join(METHODS)}"):
        build_method("mixup")


def test_an_unknown_hyperparameter_is_answered_with_the_known_ones():
    with pytest.raises(InputError, match="baseline has no strength, weight: it has erasing"):
        build_method("baseline", weight=5, strength=1)


@pytest.mark.parametrize(
    ("network", "weight"), [("tiny", 1.5), ("resnet18", 5.0), ("somebody's own", 5.0)]
)
def test_a_weight_that_is_not_given_is_the_networks(network, weight):
    assert EAC().for_network(network) == EAC(weight=weight)
    assert EAC(weight=0.5).for_network(network) == EAC(weight=0.5)
    assert Baseline().for_network(network) == build_method("baseline")


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("baseline", Baseline()),
        ("eac", EAC()),
        ("eac:weight=2, erasing=false", EAC(weight=2, erasing=False)),
        ("eac:erasing_scale=0.4,one_pass=TRUE", EAC(erasing_scale=0.4, one_pass=True)),
        ("coteaching", CoTeaching(noise_rate=0.3)),
        ("coteaching:noise_rate=0.1,ramp=5", CoTeaching(noise_rate=0.1, ramp=5)),
        ("scn:relabel_any=true", SCN(relabel_any=True)),
        ("rul:head_rate=1", RUL(head_rate=1)),
        ("rul:relabel_epoch=10", RUL(relabel_epoch=10)),
        ("elr:memory_weight=7,momentum=0.9", ELR(memory_weight=7, momentum=0.9)),
        ("resup:agreement=1", ReSup(agreement=1)),
    ],
)
def test_a_method_is_read_from_a_text(text, method):
    assert parse_method(text, noise_rate=0.3) == method


def test_without_a_rate_it_says_that_it_needs_one():
    with pytest.raises(InputError, match="coteaching needs a value for noise_rate"):
        parse_method("coteaching")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mixup:alpha=1", "unknown method 'mixup'"),
        ("eac:strength=2", "eac has no strength: it has weight, erasing"),
        ("eac:weight=much", "weight is 'much', expected a number"),
        ("scn:relabel_epoch=1.5", "relabel_epoch is '1.5', expected a whole number"),
        ("eac:erasing=no", "erasing is 'no', expected true or false"),
        ("eac:weight", "expected key=value once for each key, got 'weight'"),
        ("eac:weight=1,weight=2", "expected key=value once for each key, got 'weight=2'"),
        ("eac:weight=nan", "weight must be a finite number"),
        ("eac:weight=1e400", "weight must be a finite number"),
        ("eac:weight=1_0", "weight is '1_0', expected a number"),
        ("eac:weight=0x10", "weight is '0x10', expected a number"),
        ("eac:weight=\u0661", "weight is '\u0661', expected a number"),
        ("eac:weight=", "weight is '', expected a number"),
        ("eac:", "expected key=value once for each key, got ''"),
        ("eac:weight=1,", "expected key=value once for each key, got ''"),
        ("eac:name=eac", "eac has no name"),
        (" eac", "unknown method ' eac'"),
        (None, "method must be a str, such as 'eac'"),
        ("eac:erasing_scale=0.01", "erasing_scale must be a number from 0.02 to 1"),
        (
            "coteaching:noise_rate=1",
            "noise_rate must be a number of at least 0 and below 1, got 1.0",
        ),
        ("coteaching:noise_rate=0.2,ramp=0", "ramp must be a whole number of at least 1, got 0"),
        ("scn:high_share=2", "high_share must be a number from 0 to 1, got 2.0"),
        ("scn:relabel_epoch=0", "relabel_epoch must be a whole number of at least 1"),
        ("rul:dimension=0", "dimension must be a whole number from 1 to 65536, got 0"),
        ("rul:dropout=1", "dropout must be a number of at least 0 and below 1"),
        ("rul:head_rate=0", "head_rate must be a finite number above 0"),
        ("rul:relabel_epoch=0", "relabel_epoch must be a whole number of at least 1"),
        ("elr:momentum=1", "momentum must be a number of at least 0 and below 1"),
        ("elr:memory_weight=-1", "memory_weight must be a finite number of at least 0"),
        ("resup:agreement=-1", "agreement must be a finite number of at least 0"),
    ],
)
def test_a_text_that_is_no_method_gets_one_sentence(text, message):
    with pytest.raises(InputError, match=message):
        parse_method(text)


class Nameless(Method):
    def loss(self, network, batch):
        raise AssertionError("never asked")


class Plain(Nameless):
    name: ClassVar[str] = "plain"


@dataclass(frozen=True)
class Eager(Plain):
    name: ClassVar[str] = "eager"
    weight: float = 1.0
    shape: object = None


def test_a_readers_own_method_is_read_from_a_text(monkeypatch):
    """Also where its types are classes, as in a notebook without the future import."""
    monkeypatch.setattr(Eager.__dataclass_fields__["weight"], "type", float)
    monkeypatch.setitem(METHODS, "eager", Eager)
    assert parse_method("eager:weight=2").weight == 2
    with pytest.raises(InputError, match="shape is of type object, which cannot be read"):
        parse_method("eager:shape=3")
    monkeypatch.setitem(METHODS, "plain", Plain)
    with pytest.raises(InputError, match="Plain is not a dataclass"):
        parse_method("plain")


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (Nameless(), "the method Nameless has no name"),
        (Plain(), "the method Plain is not a dataclass: write @dataclass"),
    ],
)
def test_a_method_that_cannot_be_described_gets_one_sentence(method, words):
    with pytest.raises(InputError, match=words):
        describe_method(method)

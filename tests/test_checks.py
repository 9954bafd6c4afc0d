"""What is given is taken as a plain Python value, or refused in one sentence."""

import math
from dataclasses import asdict, fields
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eacbook import checks
from eacbook.errors import InputError
from eacbook.methods import METHODS, parse_method
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.noise.matrices import pair_matrix
from eacbook.training.recipe import Recipe

PLAIN = (int, float, bool, str, type(None))
NUMPY = [np.int64, np.uint8, np.float16, np.float32, np.float64, np.bool_]
NUMBERS = st.one_of(
    st.integers(),
    st.integers(-3, 70),
    st.floats(),
    st.floats(0, 1),
    st.booleans(),
    st.sampled_from([2**63 - 1, 2**63, 2**70, 10**400, 10**5000, -(10**400), Fraction(1, 3)]),
    st.builds(lambda kind, number: kind(number), st.sampled_from(NUMPY), st.integers(0, 3)),
    st.builds(torch.tensor, st.one_of(st.integers(-2, 70), st.floats(), st.booleans())),
)
ANYTHING = st.one_of(
    NUMBERS,
    st.none(),
    st.text(max_size=200),
    st.binary(max_size=5),
    st.complex_numbers(),
    st.lists(st.integers(), max_size=3),
    st.sampled_from(
        [object(), int, print, torch.zeros(3), np.array("3"), torch.empty((), device="meta")]
    ),
)
FIELDS = [
    (kind, field.name)
    for kind in (Recipe, *METHODS.values())
    for field in fields(kind)
    if field.init
]


def one_sentence(error: InputError, name: str) -> bool:
    text = str(error)
    return name in text and len(text.splitlines()) == 1 and len(text) < 300


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FIELDS), ANYTHING)
def test_every_field_is_a_plain_value_or_refused_in_one_sentence(where, value):
    kind, name = where
    needed = {"noise_rate": 0.2} if kind is METHODS["coteaching"] else {}
    try:
        made = kind(**{**needed, name: value})
    except InputError as error:
        assert one_sentence(error, name)
    else:
        assert all(type(field) in PLAIN for field in asdict(made).values())
        assert not any(isinstance(x, float) and not math.isfinite(x) for x in vars(made).values())


LABELS = torch.arange(7)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["rate", "num_classes", "kind", "seed", "exact"]), ANYTHING)
def test_every_argument_of_the_noise_works_or_is_refused_in_one_sentence(name, value):
    arguments = {"rate": 0.3, "num_classes": 7} | {name: value}
    try:
        noisy = inject_noise(LABELS, **arguments)
    except InputError as error:
        assert one_sentence(error, "")
    else:
        assert all(type(setting) in PLAIN for setting in noisy.settings.values())


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(["name", "num_classes", "weights", "seed"]), ANYTHING)
def test_every_argument_of_a_network_works_or_is_refused_in_one_sentence(name, value):
    if name == "weights" and value is None:
        return
    try:
        network = build_network(**({"name": "tiny", "num_classes": 3} | {name: value}))
    except InputError as error:
        assert one_sentence(error, "")
    else:
        assert network(torch.zeros(1, 3, 16, 16))[0].shape[0] == 1


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["", "eac", "scn", "rul:", "coteaching:noise_rate="]),
    st.text(st.sampled_from("weightrasngp:=,_.0123456789eE+-x١ \t\nTtruFfalse"), max_size=30),
)
def test_every_text_is_a_method_or_is_refused_in_one_sentence(start, text):
    try:
        parse_method(start + text)
    except InputError as error:
        assert one_sentence(error, "")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (np.float32(0.3), 0.3),
        (torch.tensor(0.3), 0.3),
        (np.float64(0.3), 0.3),
        (np.array(0.3), 0.3),
        (np.int64(1), 1.0),
        (torch.tensor(1), 1.0),
        (Fraction(1, 2), 0.5),
        (0, 0.0),
    ],
)
def test_a_number_of_any_kind_is_the_number_that_was_meant(value, number):
    checked = checks.real_number("rate", value, at_least=0, at_most=1)
    assert checked == number and type(checked) is float


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (2.5, "epochs must be a whole number of at least 1, got 2.5"),
        (1.0, "epochs must be a whole number of at least 1, got 1.0"),
        (True, "epochs must be a whole number of at least 1, got True"),
        ("3", "epochs must be a whole number of at least 1, got '3'"),
        (None, "epochs must be a whole number of at least 1, got None"),
        (2**63, "epochs must be a whole number from 1 to 9223372036854775807, got 9223372036854775808"),
        pytest.param(10**5000, "epochs must be a whole number from 1 to .*, got a value", id="huge"),
        ("x" * 999, "epochs must be a whole number of at least 1, got 'x{76}[.]{3}$"),
    ],
)  # fmt: skip
def test_the_sentence_names_the_argument_what_was_found_and_what_was_expected(value, message):
    with pytest.raises(InputError, match=message):
        checks.whole_number("epochs", value, 1)


@pytest.mark.parametrize("text", ["1_0", "0x10", "\u0661", "", " ", "1e", "e3", ".", "--1", "1 0"])
def test_a_text_in_other_than_plain_digits_is_no_number(text):
    for read in (checks.read_real_number, checks.read_whole_number):
        with pytest.raises(InputError, match="weight is .*, expected a"):
            read("weight", text)


def test_a_text_in_plain_digits_is_a_number():
    texts = ["3", " 3 ", "+3", "3.", "3.0", ".3e1", "30E-1"]
    assert [checks.read_real_number("weight", text) for text in texts] == [3] * 7
    assert [checks.read_whole_number("seed", text) for text in texts[:3]] == [3] * 3


@pytest.mark.parametrize("path", ["x" * 5000, "a\0b", b"bytes", 3])
def test_what_is_no_path_gets_a_sentence(path):
    with pytest.raises(InputError, match="weights"):
        build_network("tiny", 7, weights=path)


@pytest.mark.parametrize("confusion", [math.inf, [(0, 1)], {0: [1]}, {0: True, 1: 0}, "01"])
def test_a_confusion_that_is_no_table_of_classes_gets_a_sentence(confusion):
    with pytest.raises(InputError, match="confusion"):
        pair_matrix(0.3, 2, confusion)

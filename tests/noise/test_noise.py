"""Label noise: what is drawn is what was asked for, and what cannot be drawn is refused."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from eacbook.classes import CLASSES
from eacbook.errors import InputError
from eacbook.noise import label_files
from eacbook.noise.inject import KINDS, inject_noise, noise_from_file
from eacbook.noise.label_files import read_label_file, write_label_file
from eacbook.noise.labels import NoisyLabels
from eacbook.noise.matrices import (
    LIKELIEST_CONFUSION,
    SINGLE_VOTES,
    likeliest_confusion,
    pair_matrix,
    single_votes,
    symmetric_matrix,
)

ROTATING = [[0.6, 0.3, 0.1], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]]

rates = st.floats(0, 1) | st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.9])
seeds = st.integers(0, 2**31)


def balanced(count, num_classes):
    return torch.arange(count) % num_classes


@st.composite
def label_sets(draw, classes=(2, 9)):
    """Any labels of 2 to 9 classes; some classes may have no face."""
    num_classes = draw(st.integers(*classes))
    values = st.lists(st.integers(0, num_classes - 1), min_size=1, max_size=60)
    return torch.tensor(draw(values)), num_classes


# ---------------------------------------------------------------------- symmetric and pair noise


@settings(deadline=None, max_examples=200)
@given(label_sets(), rates, seeds)
# 1 - (1 - 0.3) is a little more than 0.3: 4.5 must be rounded as 4.5.
@example((torch.zeros(15, dtype=torch.int64), 7), 0.3, 0)
def test_symmetric_noise_flips_exactly_the_rounded_share(labelled, rate, seed):
    labels, num_classes = labelled
    noisy = inject_noise(labels, rate, num_classes, seed=seed)
    assert noisy.wrong.sum() == round(rate * len(labels))
    assert noisy.given.dtype == torch.int64
    assert set(noisy.given.tolist()) <= set(range(num_classes))
    assert torch.equal(noisy.true, labels)


@settings(deadline=None, max_examples=100)
@given(label_sets((7, 8)), rates, seeds)
def test_pair_noise_flips_exactly_the_rounded_share_to_the_likeliest_confusion(
    labelled, rate, seed
):
    labels, num_classes = labelled
    noisy = inject_noise(labels, rate, num_classes, "pair", seed, classes=CLASSES[:num_classes])
    assert noisy.wrong.sum() == round(rate * len(labels))
    for true, wrong in zip(noisy.true[noisy.wrong], noisy.given[noisy.wrong], strict=True):
        assert CLASSES[wrong] == LIKELIEST_CONFUSION[CLASSES[true]]


@pytest.mark.parametrize("exact", [True, False])
def test_symmetric_noise_is_uniform_over_the_other_classes(exact):
    noisy = inject_noise(balanced(70_000, 7), 0.5, 7, seed=3, exact=exact)
    wrong = noisy.counts.double().fill_diagonal_(0)
    expected = wrong.sum(1, keepdim=True) / 6
    chi_square = ((wrong - expected) ** 2 / expected).fill_diagonal_(0).sum()
    # 7 rows of 5 degrees of freedom: mean 35, standard deviation sqrt(70).
    assert abs(chi_square - 35) < 5 * math.sqrt(70)


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
def test_independent_draws_hit_the_rate_within_binomial_bounds(kind):
    count, rate = 50_000, 0.3
    labels = balanced(count, 7)
    shares = [
        inject_noise(labels, rate, 7, kind, seed, exact=False, classes=CLASSES[:7])
        .wrong.sum()
        .item()
        for seed in range(8)
    ]
    deviation = math.sqrt(count * rate * (1 - rate))
    assert all(abs(share - rate * count) < 5 * deviation for share in shares)
    assert len(set(shares)) > 1, "independent draws do not always draw the same number"


@pytest.mark.parametrize("exact", [True, False])
def test_the_wrong_labels_of_two_rates_are_not_nested(exact):
    labels = balanced(10_000, 7)
    low, high = (inject_noise(labels, rate, 7, exact=exact).wrong for rate in (0.1, 0.3))
    also_in_high = (low & high).sum() / low.sum()
    assert abs(also_in_high - 0.3) < 0.08, "drawn separately, 30 % of any faces are wrong"


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
@pytest.mark.parametrize("exact", [True, False])
def test_the_same_seed_draws_the_same_labels_and_another_seed_others(kind, exact):
    labels = balanced(500, 7)
    state = torch.random.get_rng_state()
    one, again, other = (
        inject_noise(labels, 0.3, 7, kind, s, exact=exact, classes=CLASSES[:7]) for s in (5, 5, 6)
    )
    assert torch.equal(one.given, again.given)
    assert not torch.equal(one.given, other.given)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(labels, balanced(500, 7)), "the labels that were given stay as they were"


def test_the_symmetric_matrix_by_hand():
    expected = torch.tensor(
        [[0.7, 0.15, 0.15], [0.15, 0.7, 0.15], [0.15, 0.15, 0.7]], dtype=torch.float64
    )
    torch.testing.assert_close(symmetric_matrix(0.3, 3), expected)


def test_the_pair_matrix_of_seven_expressions_by_hand():
    matrix = pair_matrix(0.2, 7, classes=CLASSES[:7])
    # surprise <-> fear, disgust -> anger, happiness, sadness and anger -> neutral,
    # neutral -> sadness
    for source, target in enumerate([1, 0, 5, 6, 6, 6, 4]):
        assert matrix[source, target] == 0.2
        assert matrix[source, source] == 0.8
    assert (matrix > 0).sum() == 14


def test_the_likeliest_confusions_are_those_of_the_votes():
    votes = torch.tensor(SINGLE_VOTES)
    for name, row in zip(CLASSES[:7], votes.fill_diagonal_(0), strict=True):
        assert LIKELIEST_CONFUSION[name] == CLASSES[row.argmax()]


def test_how_single_people_answered_can_be_drawn_from():
    noisy = inject_noise(balanced(70_000, 7), None, 7, "matrix", matrix=SINGLE_VOTES)
    torch.testing.assert_close(
        noisy.empirical_matrix, torch.tensor(SINGLE_VOTES, dtype=torch.float64), atol=1e-3, rtol=0
    )


def test_a_confusion_of_ones_own_is_followed():
    confusion = {0: 2, 1: 2, 2: 0}
    noisy = inject_noise(balanced(30, 3), 1.0, 3, "pair", confusion=confusion)
    assert torch.equal(noisy.given, torch.tensor([2, 2, 0]).repeat(10))


def test_two_confusions_have_different_settings():
    labels = balanced(30, 3)
    one, other = (
        inject_noise(labels, 0.3, 3, "pair", confusion=confusion).settings
        for confusion in ({0: 1, 1: 2, 2: 0}, {0: 2, 1: 0, 2: 1})
    )
    assert one != other


@pytest.mark.parametrize(
    ("confusion", "message"),
    [
        ({0: 1, 1: 1, 2: 0}, "itself"),
        ({0: 1, 1: 0}, "each of 0 to 2"),
        ({0: 1, 1: 0, 2: 3}, "each of 0 to 2"),
    ],
)
def test_a_confusion_that_is_none_is_refused(confusion, message):
    with pytest.raises(InputError, match=message):
        inject_noise(balanced(9, 3), 0.3, 3, "pair", confusion=confusion)


def test_pair_noise_goes_by_the_names_of_the_classes():
    """Whatever their order and spelling; and a set of eight has contempt."""
    for classes in (CLASSES, CLASSES[:7], tuple(reversed(CLASSES)), ("Fear", "SURPRISE")):
        confusion = likeliest_confusion(classes)
        assert list(confusion) == list(range(len(classes)))
        for place, target in confusion.items():
            assert LIKELIEST_CONFUSION[classes[place].lower()] == classes[target].lower()
    labels = balanced(80, 8)
    noisy = inject_noise(labels, 1.0, 8, "pair", classes=CLASSES)
    assert noisy.given.tolist() == [likeliest_confusion(CLASSES)[k] for k in labels.tolist()]


CKPLUS = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "contempt")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (None, "classes=faces.classes, or give your own table"),
        (CKPLUS, "confuses happiness with neutral, but the set has no class neutral: .*confusion="),
        (tuple("abcdefg"), "no confusion for the class 'a', only for surprise, .*confusion="),
        (("高兴", *CLASSES[:6]), "the class '高兴'"),
        (("x" * 10**6, *CLASSES[:6]), "the class 'xx.{1,80}', only"),
        (("Anger", *CLASSES[:6]), "two classes are named"),
        (CLASSES, "8 names of classes for 7 classes"),
    ],
)
def test_pair_noise_of_classes_it_does_not_know_is_refused(classes, message):
    with pytest.raises(InputError, match=message) as error:
        inject_noise(balanced(14, 7), 0.3, 7, "pair", classes=classes)
    assert len(str(error.value)) < 500


def test_a_confusion_may_name_the_classes():
    composed, decomposed = "\u00dcberraschung", "U\u0308berraschung"
    confusion = {decomposed: "Angst", "Angst": 2, 2: composed}
    matrix = pair_matrix(1.0, 3, confusion, classes=(composed, "Angst", "Ekel"))
    assert matrix.argmax(1).tolist() == [1, 2, 0]
    with pytest.raises(InputError, match="names the class 'Freude', and the set has a, b"):
        pair_matrix(1.0, 2, {"Freude": "a", "a": "b"}, classes=("a", "b"))


def test_the_answers_of_single_people_follow_the_order_of_the_set():
    order = [6, 0, 3, 2, 5, 1, 4]
    votes = single_votes([CLASSES[place] for place in order])
    assert votes.tolist() == torch.tensor(SINGLE_VOTES)[order][:, order].tolist()
    for classes in (CKPLUS, CLASSES, CLASSES[:3]):
        with pytest.raises(InputError, match="are known for surprise, .*; the set has surprise"):
            single_votes(classes)


OLD_MULTINOMIAL = pytest.mark.skipif(
    torch.__version__ < "2.5", reason="PyTorch 2.4 draws otherwise, as README says"
)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        pytest.param(
            "symmetric", [0, 1, 5, 3, 4, 3, 1, 0, 2, 3, 6, 2, 5, 6], marks=OLD_MULTINOMIAL
        ),
        ("pair", [0, 1, 5, 6, 4, 5, 4, 1, 1, 5, 6, 4, 5, 4]),
        ("matrix", [0, 0, 2, 3, 4, 5, 6, 0, 1, 5, 3, 4, 5, 6]),
        pytest.param(
            "annotator", [4, 0, 5, 3, 3, 3, 2, 0, 0, 6, 4, 1, 4, 5], marks=OLD_MULTINOMIAL
        ),
    ],
)
def test_what_a_seed_draws_never_changes(kind, given):
    """Stored runs and the book's text stand on these draws."""
    matrix, votes = torch.tensor(SINGLE_VOTES), torch.arange(98).view(14, 7) % 5
    rate = 0.5 if kind in ("symmetric", "pair") else None
    noisy = inject_noise(
        balanced(14, 7), rate, 7, kind, 3, classes=CLASSES[:7], matrix=matrix, votes=votes
    )
    assert noisy.given.tolist() == given
    if rate:
        assert noisy.settings == {"kind": kind, "rate": rate, "seed": 3, "exact": True}


# ------------------------------------------------------------------------------ any matrix


@st.composite
def labels_with_a_matrix(draw):
    labels, num_classes = draw(label_sets((2, 6)))
    cells = st.lists(st.integers(0, 9), min_size=num_classes, max_size=num_classes)
    rows = [draw(cells.filter(any)) for _ in range(num_classes)]
    matrix = torch.tensor(rows, dtype=torch.float64)
    return labels, num_classes, matrix / matrix.sum(1, keepdim=True)


@settings(deadline=None, max_examples=150)
@given(labels_with_a_matrix(), seeds)
def test_a_matrix_is_reproduced_to_within_one_label_a_cell(case, seed):
    labels, num_classes, matrix = case
    noisy = inject_noise(labels, None, num_classes, "matrix", seed, matrix=matrix)
    faces = labels.bincount(minlength=num_classes)
    assert torch.equal(noisy.counts.sum(1), faces)
    assert ((noisy.counts - matrix * faces[:, None]).abs() < 1).all()
    assert (noisy.counts[matrix == 0] == 0).all()
    torch.testing.assert_close(noisy.transition_matrix, matrix)


def test_exact_rows_by_hand_give_the_largest_remainders_one_more():
    # 7 faces of each class: 4.2, 2.1, 0.7 -> 4, 2, 1.
    noisy = inject_noise(balanced(21, 3), None, 3, "matrix", matrix=ROTATING)
    assert noisy.counts.tolist() == [[4, 2, 1], [1, 4, 2], [2, 1, 4]]


def test_independent_draws_follow_the_matrix():
    noisy = inject_noise(balanced(90_000, 3), None, 3, "matrix", matrix=ROTATING, exact=False)
    # A share of 30,000 draws has a standard deviation of at most 0.003.
    torch.testing.assert_close(noisy.empirical_matrix, noisy.transition_matrix, atol=0.015, rtol=0)
    assert not torch.equal(noisy.empirical_matrix, noisy.transition_matrix)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (None, "needs matrix="),
        ([[0.5, 0.5], [0.5, 0.5]], "3 x 3, got 2 x 2"),
        ([1.0, 0.0, 0.0], "3 x 3, got 3"),
        ([[1, 0, 0], [0, 0.7, 0.2], [0, 0, 1]], r"row 1 of the matrix sums to 0\.9"),
        ([[1.2, -0.2, 0], [0, 1, 0], [0, 0, 1]], "none below 0"),
        ([[math.nan, 0.5, 0.5], [0, 1, 0], [0, 0, 1]], "finite"),
        ([[0, 0, 0], [0, 1, 0], [0, 0, 1]], "row 0 of the matrix sums to 0"),
    ],
)
def test_what_is_no_transition_matrix_is_refused(matrix, message):
    with pytest.raises(InputError, match=message):
        inject_noise(balanced(9, 3), None, 3, "matrix", matrix=matrix)


# ------------------------------------------------------------------------------ annotators


@st.composite
def labels_with_votes(draw):
    labels, num_classes = draw(label_sets((2, 6)))
    row = st.lists(st.sampled_from([0, 0, 0, 1, 2, 9]), min_size=num_classes, max_size=num_classes)
    rows = draw(st.lists(row, min_size=len(labels), max_size=len(labels)))
    return labels, num_classes, torch.tensor(rows)


@pytest.mark.slow
@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(labels_with_votes(), seeds)
def test_a_label_by_an_annotator_is_one_that_somebody_gave(case, seed):
    labels, num_classes, votes = case
    noisy = inject_noise(labels, None, num_classes, "annotator", seed, votes=votes)
    received = votes.gather(1, noisy.given[:, None]).squeeze(1)
    nobody = votes.sum(1) == 0
    assert (received[~nobody] > 0).all()
    assert torch.equal(noisy.given[nobody], labels[nobody])


def test_the_matrix_of_the_annotators_is_the_mean_of_the_vote_shares():
    labels = torch.tensor([0, 0, 1, 1])
    votes = torch.tensor([[10, 0, 0], [3, 1, 0], [0, 0, 0], [2, 1, 1]])
    noisy = inject_noise(labels, None, 3, "annotator", votes=votes)
    expected = [
        [(1 + 0.75) / 2, 0.25 / 2, 0],
        # The face without a vote keeps its label: a share of 1 for its own class.
        [0.5 / 2, (1 + 0.25) / 2, 0.25 / 2],
        [0, 0, 1],
    ]
    torch.testing.assert_close(noisy.transition_matrix, torch.tensor(expected, dtype=torch.float64))


def test_annotators_are_drawn_in_proportion_to_their_votes():
    votes = torch.tensor([[7, 2, 1]]).expand(30_000, 3)
    labels = torch.zeros(30_000, dtype=torch.int64)
    noisy = inject_noise(labels, None, 3, "annotator", votes=votes)
    expected = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    torch.testing.assert_close(noisy.empirical_matrix[0], expected, atol=0.015, rtol=0)


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        (None, "annotators' votes"),
        (torch.ones(3, 3), r"\[N,K\] = \[4,3\], got \[3, 3\]"),
        (-torch.ones(4, 3), "none below 0"),
        (torch.full((4, 3), math.nan), "votes must be counts"),
        (torch.full((4, 3), math.inf), "votes must be counts"),
    ],
)
def test_votes_that_cannot_be_drawn_from_are_refused(votes, message):
    with pytest.raises(InputError, match=message):
        inject_noise(torch.tensor([0, 1, 2, 0]), None, 3, "annotator", votes=votes)


# --------------------------------------------------------------------- what cannot be asked for


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan, math.inf])
@pytest.mark.parametrize("kind", ["symmetric", "pair"])
def test_a_rate_outside_zero_to_one_is_refused(rate, kind):
    with pytest.raises(InputError, match="rate must be a number from 0 to 1"):
        inject_noise(balanced(14, 7), rate, 7, kind)


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
def test_a_missing_rate_is_refused(kind):
    with pytest.raises(InputError, match=f"{kind} noise needs a rate"):
        inject_noise(balanced(14, 7), None, 7, kind)


@pytest.mark.parametrize("kind", ["matrix", "annotator"])
def test_a_rate_is_refused_where_something_else_decides(kind):
    with pytest.raises(InputError, match="no rate of its own"):
        inject_noise(balanced(14, 7), 0.3, 7, kind, matrix=torch.eye(7), votes=torch.ones(14, 7))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (torch.tensor([0, 7]), "0 to 6, got 0 to 7"),
        (torch.tensor([-1, 2]), "0 to 6, got -1 to 2"),
        (torch.tensor([0.0, 1.0]), "whole numbers"),
        (torch.tensor([], dtype=torch.int64), "N > 0"),
        (torch.zeros(2, 2, dtype=torch.int64), "whole numbers"),
    ],
)
def test_labels_that_are_none_are_refused(labels, message):
    with pytest.raises(InputError, match=message):
        inject_noise(labels, 0.3, 7)


def test_one_class_is_refused():
    with pytest.raises(InputError, match="num_classes must be a whole number from 2 to 256, got 1"):
        inject_noise(torch.zeros(4, dtype=torch.int64), 0.3, 1)


def test_an_unknown_kind_is_answered_with_the_kinds():
    with pytest.raises(InputError, match=f"'asymmetric'.*{', '.join(KINDS)}"):
        inject_noise(balanced(14, 7), 0.3, 7, "asymmetric")


# ------------------------------------------------------------------------- what was drawn


def test_counts_rate_and_drawn_matrix_by_hand():
    noisy = NoisyLabels(
        given=torch.tensor([0, 1, 0, 2, 1]),
        true=torch.tensor([0, 0, 0, 0, 1]),
        transition_matrix=torch.full((3, 3), 1 / 3, dtype=torch.float64),
        settings={},
    )
    assert noisy.wrong.tolist() == [False, True, False, True, False]
    assert noisy.rate == 0.4
    assert noisy.counts.tolist() == [[2, 1, 1], [0, 1, 0], [0, 0, 0]]
    third = 1 / 3  # no face of class 2: the row that was asked for
    expected = [[0.5, 0.25, 0.25], [0, 1, 0], [third, third, third]]
    assert noisy.empirical_matrix.tolist() == expected


# ------------------------------------------------------------------------- label files


file_names = st.text(min_size=1, max_size=12).filter(
    lambda name: (
        name == name.strip() and len(name.splitlines()) == 1 and not {*"\t\0\ufeff"} & {*name}
    )
)


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(st.dictionaries(file_names, st.integers(0, 40), min_size=1, max_size=12))
@example({"my face 1.jpg": 0, "12": 3, "a  b": 1, "表情.png": 2})
@example({"face 1": 0, "face 2": 3})  # the number belongs to the name
@example({"a,1": 0, 'b;2,"': 3})
def test_any_label_file_reads_as_it_was_written(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("labels") / "noisy.txt"
    write_label_file(path, list(table), torch.tensor(list(table.values())))
    assert read_label_file(path) == table
    assert list(read_label_file(path)) == list(table), "in the order of the file"


def test_labels_count_from_one_in_a_file_and_from_zero_in_memory(tmp_path):
    path = tmp_path / "noisy.txt"
    write_label_file(path, ["a.jpg", "b c.jpg"], torch.tensor([0, 6]))
    assert path.read_text() == "a.jpg\t1\nb c.jpg\t7\n", "a tab where a name holds a blank"
    assert list(tmp_path.iterdir()) == [path]
    path.write_text("\n  b c.jpg   7 \r\n\na.jpg 1")
    assert read_label_file(path) == {"b c.jpg": 6, "a.jpg": 0}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg 1\nb.jpg zero\n", "line 2: found 'b.jpg zero'"),
        ("a.jpg 1\n\nb.jpg 0\n", "line 3: found 'b.jpg 0', .* --noise-file-from 0, or first=0"),
        ("a.jpg -1\n", "line 1"),
        ("a.jpg 1.5\n", "line 1"),
        ("a.jpg ²\n", "line 1"),
        ("a.jpg\n", "line 1"),
        ("7\n", "line 1"),
        (",7\n", "line 1"),
        ("name,label\nname,label\n", "line 2"),
        (f"a.jpg {10**100}\n", "line 1"),
        ("a.jpg " + "7" * 10**7, "line 1: 10,000,006 characters, too many"),
        ("a" * 9_000 + " x", "line 1: found 'a{77}\\.\\.\\.', expected"),
        ("a.jpg 1\nb.jpg 2\na.jpg 3\n", "line 3: a.jpg is listed here for the second time"),
        ("", "holds no label"),
        ("\n \n", "holds no label"),
    ],
)
def test_a_broken_label_file_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "noisy.txt"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=message) as error:
        read_label_file(path)
    assert str(path) in str(error.value) and len(str(error.value)) < 400 + len(str(path))


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("a.jpg 5", "a.jpg"),
        ("a.jpg     5", "a.jpg"),
        ("a.jpg\t5", "a.jpg"),
        ("my face 3.jpg\t\t5\t1", "my face 3.jpg"),
        ("a.jpg,5", "a.jpg"),
        ('"a, b.jpg"; 5;1', "a, b.jpg"),
        ("a.jpg, 5, 0.93", "a.jpg"),
        ("a.jpg 5 1", "a.jpg"),
        ("a.jpg 5 wrong", "a.jpg"),
        ("/home/me/raf db/a_aligned.jpg 5", "/home/me/raf db/a_aligned.jpg"),
        (r"C:\raf\a_aligned.jpg 5", r"C:\raf\a_aligned.jpg"),
    ],
)
def test_the_label_is_the_second_column_whatever_separates_them(tmp_path, line, name):
    path = tmp_path / "noisy.txt"
    for text in (line, f"{line}\r\n\r\n", f"\ufeffname,label\r\n{line}"):
        for encoding in ("utf-8", "utf-16"):
            path.write_text(
                text.removeprefix("\ufeff" * (encoding == "utf-16")), encoding, newline=""
            )
            assert read_label_file(path) == {name: 4}
            assert read_label_file(path, first=0) == {name: 5}
    with pytest.raises(InputError, match="0 or 1, got 2"):
        read_label_file(path, first=2)


def test_a_binary_file_is_no_label_file(tmp_path):
    path = tmp_path / "face.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe")
    with pytest.raises(InputError, match="not a text file"):
        read_label_file(path)
    for content in (bytes(10**6), "a.jpg 1".encode("utf-16-le"), "é.jpg 1".encode("latin-1")):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not a text file"):
            read_label_file(path)
    for other in (tmp_path, tmp_path / "missing.txt", "/dev/zero"):
        with pytest.raises(InputError, match="is no file"):
            read_label_file(other)


def test_a_file_too_large_to_be_a_list_is_refused_at_once(tmp_path, monkeypatch):
    path = tmp_path / "noisy.txt"
    with path.open("wb") as file:
        file.truncate(label_files.LARGEST_BYTES + 1)
    with pytest.raises(InputError, match="larger than 256 MB"):
        read_label_file(path)


@pytest.mark.parametrize(
    ("files", "labels", "message"),
    [
        (["a.jpg"], [0, 1], "1 file names and 2 labels"),
        (["a.jpg", "a.jpg"], [0, 1], "twice"),
        (["a\nb.jpg"], [0], "cannot be written"),
        (["a\tb.jpg"], [0], "cannot be written"),
        (["\ufeffb.jpg"], [0], "cannot be written"),
        (["\udce9.jpg"], [0], "cannot be written"),
        ([" a.jpg"], [0], "cannot be written"),
        ([""], [0], "cannot be written"),
        (["a.jpg"], [-1], "from 0"),
    ],
)
def test_what_a_label_file_cannot_hold_is_not_written(tmp_path, files, labels, message):
    with pytest.raises(InputError, match=message):
        write_label_file(tmp_path / "noisy.txt", files, torch.tensor(labels))
    assert not list(tmp_path.iterdir())


FILES = ("a.jpg", "b.jpg", "c.jpg")


def noise_of(tmp_path, text, files=FILES):
    path = tmp_path / "noisy.txt"
    path.write_text(text)
    return noise_from_file(path, files, torch.tensor([0, 1, 1]), 3)


def test_labels_of_a_file_are_matched_by_name(tmp_path):
    noisy = noise_of(tmp_path, "c.jpg 1\na.jpg 1\nb.jpg 2\n")
    assert noisy.given.tolist() == [0, 1, 0]
    assert noisy.wrong.tolist() == [False, False, True]
    assert noisy.transition_matrix.tolist() == [[1, 0, 0], [0.5, 0.5, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.jpg 1\nc.jpg 2\n", "no label for b.jpg of 3 training faces; expected one label"),
        ("a.jpg 1\nb.jpg 2\nc.jpg 2\nd.jpg 1\n", "labels for d.jpg of 4, which the face set lacks"),
        ("x/a.png 1\n", "no label for a.jpg, b.jpg, c.jpg of 3 .*, and labels for x/a.png of 1"),
        ("x/a.jpg 1\ny/a_aligned.jpg 2\n", "x/a.jpg and y/a_aligned.jpg are names of one image"),
        ("a.jpg 1\nb.jpg 4\nc.jpg 2\n", "b.jpg has label 4 of 3 classes"),
        (f"a.jpg 1\nb.jpg {10**30}\nc.jpg 2\n", f"b.jpg has label {10**30} of 3 classes"),
    ],
)
def test_a_label_file_that_does_not_fit_the_faces_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        noise_of(tmp_path, text)


def test_lines_of_test_images_are_left_out(tmp_path):
    """RAF-DB's own list has them, and so have files that were made from it."""
    path = tmp_path / "noise.txt"
    path.write_text(
        "test_0001.jpg 7\ntrain_00001.jpg 2\nTest_0002_aligned.jpg 1\ntrain_00002.jpg 1\n"
    )
    files = ["train_00001.jpg", "train_00002.jpg"]
    noisy = noise_from_file(path, files, torch.tensor([0, 0]), 7)
    assert noisy.given.tolist() == [1, 0]
    with pytest.raises(InputError, match="no label for test_0003.jpg of 3 training faces"):
        noise_from_file(path, [*files, "test_0003.jpg"], torch.tensor([0, 0, 0]), 7)


SCN = "/home/me/raf/aligned/{}_aligned.jpg {}"


@pytest.mark.parametrize(
    ("form", "files", "first"),
    [
        (SCN, "train_{:05d}.jpg", 0),
        (SCN.replace("/", "\\"), "train_{:05d}.jpg", 1),
        (SCN, "DATASET/train_{:05d}_aligned.jpg", 0),
        ("{}_aligned.jpg {} 1", "train_{:05d}.jpg", 1),
        ("{}_aligned {}", "train_{:05d}", 1),
        ("faces/{}.jpg,{}", "train_{:05d}.jpg", 1),
        ("a/é/{}.jpg\t{}", "a/e\u0301/train_{:05d}.jpg", 1),
    ],
)
def test_published_forms_of_names_find_their_faces(tmp_path, form, files, first):
    labels = balanced(14, 7)
    given = labels.roll(3)
    names = [f"train_{row:05d}" for row in range(14)]
    lines = [
        form.format(name, label + first) for name, label in zip(names, given.tolist(), strict=True)
    ]
    path = tmp_path / "noisy.txt"
    path.write_text("\n".join(reversed(lines)), "utf-8")
    noisy = noise_from_file(path, [files.format(row) for row in range(14)], labels, 7, first)
    assert noisy.given.tolist() == given.tolist()
    columns = {"columns": 3} if form.endswith("1") else {}
    assert noisy.settings == {"kind": "file", "file": "noisy.txt", **columns}


def test_folders_count_where_names_alone_do_not_tell_faces_apart(tmp_path):
    path, files = tmp_path / "noisy.txt", ["anger/0.png", "fear/0.png", "e\u0301.png", "é.png"]
    path.write_text("set/fear/0.png 1\nset/anger/0.png 2\n", "utf-8")
    noisy = noise_from_file(path, files[:2], torch.tensor([0, 0]), 2)
    assert noisy.given.tolist() == [1, 0]
    path.write_text("0.png 1\n", "utf-8")
    with pytest.raises(InputError, match="no label for anger/0.png, fear/0.png of 2"):
        noise_from_file(path, files[:2], torch.tensor([0, 0]), 2)
    path.write_text("e\u0301.png 1\né.png 2\n", "utf-8")  # two files all the same
    assert noise_from_file(path, files[2:], torch.tensor([0, 0]), 2).given.tolist() == [0, 1]


def test_labels_from_one_that_are_said_to_count_from_zero(tmp_path):
    path = tmp_path / "noisy.txt"
    path.write_text("a.jpg 1\nb.jpg 2\n")
    with pytest.raises(InputError, match="b.jpg has label 2 of 2 classes .* count from 1"):
        noise_from_file(path, ["a.jpg", "b.jpg"], torch.tensor([0, 1]), 2, first=0)


@settings(deadline=None, max_examples=30)
@given(seeds, st.sampled_from([0.1, 0.3]))
def test_noise_that_was_written_and_read_again_is_the_same_noise(tmp_path_factory, seed, rate):
    path = tmp_path_factory.mktemp("labels") / "noisy.txt"
    labels = balanced(40, 7)
    assume(seed)
    noisy = inject_noise(labels, rate, 7, seed=seed)
    files = [f"train_{row:05d}.jpg" for row in range(40)]
    write_label_file(path, files, noisy.given)
    again = noise_from_file(path, files, labels, 7)
    assert torch.equal(again.given, noisy.given)
    assert torch.equal(again.empirical_matrix, noisy.empirical_matrix)

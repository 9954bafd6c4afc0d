"""The drawn faces: the same for a seed, true to their action units, symmetric in expression."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eacbook.errors import InputError
from eacbook.synthetic import faces as synthetic
from eacbook.synthetic.faces import (
    ACTION_UNITS,
    CLASSES,
    EXPRESSIONS,
    LATERAL_TRAITS,
    REGIONS,
    draw_face_set,
    draw_faces,
    render,
    render_region_masks,
)

UNITS = list(ACTION_UNITS)
REGION_OF_UNIT = {1: "brows", 2: "brows", 4: "brows", 5: "eyes", 6: "eyes", 7: "eyes", 9: "nose"}


def neutral_traits(count: int, person: int = 5) -> dict[str, torch.Tensor]:
    """One person ``count`` times: no expression, no noise, no occluder, same photograph."""
    faces = draw_faces([CLASSES.index("neutral")] * count, [person] * count, seed=1)
    traits = {name: value[:1].repeat_interleave(count, 0) for name, value in faces.traits.items()}
    for name in ("action_units", "noise", "occluded"):
        traits[name].zero_()
    return traits


def without_lateral(traits: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return traits | {name: torch.zeros_like(traits[name]) for name in LATERAL_TRAITS}


def test_shapes_types_and_balance():
    faces = draw_face_set(100, identities=range(10, 20), size=48, seed=3)
    assert len(faces) == 100
    assert faces.images.shape == (100, 3, 48, 48) and faces.images.dtype == torch.uint8
    assert faces.labels.dtype == faces.identity.dtype == torch.int64
    assert faces.action_units.shape == (100, len(ACTION_UNITS))
    assert faces.action_units.dtype == faces.intensity.dtype == torch.float32
    assert faces.action_units.min() >= 0 and faces.action_units.max() <= 1
    counts = faces.labels.bincount(minlength=len(CLASSES))
    assert counts.max() - counts.min() <= 1
    assert not torch.equal(faces.labels, faces.labels.sort().values), "not shuffled"
    assert set(faces.identity.tolist()) <= set(range(10, 20))
    # An image made in inference mode could not enter a training step.
    assert not faces.images.is_inference() and not faces.action_units.is_inference()


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(0, 10**6), min_size=2, max_size=4), st.data())
def test_same_seed_same_faces_and_a_prefix_alone_is_the_same(seed, persons, data):
    labels = data.draw(st.lists(st.integers(0, 6), min_size=len(persons), max_size=len(persons)))
    faces = draw_faces(labels, persons, size=48, seed=seed)
    again = draw_faces(labels, persons, size=48, seed=seed)
    assert torch.equal(faces.images, again.images)
    first = draw_faces(labels[:-1], persons[:-1], size=48, seed=seed)
    assert torch.equal(faces.action_units[:-1], first.action_units)
    difference = faces.images[:-1].int() - first.images.int()
    assert difference.abs().max() <= 1
    other = draw_faces(labels, persons, size=48, seed=seed + 1)
    assert not torch.equal(faces.images, other.images)


def test_chunks_do_not_show(monkeypatch):
    whole = draw_face_set(23, identities=range(50), size=48, seed=2)
    monkeypatch.setattr(synthetic, "PIXELS_PER_CHUNK", 5 * 48 * 48)
    pieces = draw_face_set(23, identities=range(50), size=48, seed=2)
    assert (whole.images.int() - pieces.images.int()).abs().max() <= 1
    assert torch.equal(whole.region_masks(), pieces.region_masks())


def test_the_units_of_a_class_are_those_of_the_table():
    count = 3000
    for label, name in enumerate(CLASSES):
        traits = synthetic.sample_traits(torch.full((count,), label), torch.arange(count), seed=4)
        units, intensity = traits["action_units"], traits["intensity"]
        # An active unit is at least (1 - jitter) of the intensity; look where no stray reaches it.
        strong = intensity > (0.0 if name == "neutral" else 0.4)
        shown = (units[strong] > intensity[strong].clamp(min=0.4)[:, None] * 0.7).float().mean(0)
        prototype, variants = EXPRESSIONS[name]
        expected = dict.fromkeys(prototype, 1.0) | variants
        for unit, share in zip(UNITS, shown.tolist(), strict=True):
            assert share == pytest.approx(expected.get(unit, 0.0), abs=0.05), (name, unit)
        faint = intensity.max() < 0.2
        assert faint == (name == "neutral")


def test_a_number_is_a_person_in_every_call():
    person = ("head_width", "skin_colour", "hair_length", "brow_thickness", "glasses")
    one = draw_faces([0, 3], [7, 12345], size=48, seed=0).traits
    two = synthetic.sample_traits(torch.tensor([6, 2, 1]), torch.tensor([1, 12345, 7]), seed=9)
    for name in person[:1] + person[2:]:
        assert torch.equal(one[name], two[name][[2, 1]]), name
    persons = synthetic.sample_traits(torch.zeros(4000).long(), torch.arange(4000), seed=0)
    # Hashed uniforms: right mean, and neighbours have nothing in common.
    width = persons["jaw_squareness"] / 0.45
    assert width.mean() == pytest.approx(0.5, abs=0.02)
    assert torch.corrcoef(torch.stack([width[1:], width[:-1]]))[0, 1].abs() < 0.06
    assert len(width.unique()) > 3990


def test_people_look_different():
    count = 12
    traits = synthetic.sample_traits(torch.full((count,), 6), torch.arange(count), seed=0)
    photograph = set(synthetic.sample_traits(torch.tensor([6]), torch.tensor([0]), 0))
    assert photograph == set(traits)
    pictures = render(without_lateral(traits), 48).float().flatten(1)
    assert torch.pdist(pictures).min() > 500


def test_mirror_is_a_change_of_sign_in_the_lateral_traits():
    faces = draw_face_set(70, identities=range(300), size=64, seed=5)
    traits = faces.traits | {"noise": torch.zeros(70), "occluded": (torch.arange(70) < 20).float()}
    mirrored = traits | {name: -traits[name] for name in LATERAL_TRAITS}
    picture, mirror = render(traits, 64), render(mirrored, 64)
    difference = (picture.flip(-1).int() - mirror.int()).abs()
    assert difference.max() <= 2
    # The picture itself is not symmetric.
    assert (picture.flip(-1).int() - picture.int()).abs().float().mean() > 3
    masks = render_region_masks(traits, 64).flip(-1) ^ render_region_masks(mirrored, 64)
    assert masks.float().mean() < 1e-4


def test_an_expression_is_the_same_on_both_sides():
    traits = without_lateral(neutral_traits(len(UNITS)))
    traits["action_units"] = torch.eye(len(UNITS))
    pictures = render(traits, 64)
    assert (pictures.flip(-1).int() - pictures.int()).abs().max() <= 2


@pytest.mark.parametrize("size", [48, 96])
def test_every_unit_moves_the_part_of_the_face_that_it_is_named_after(size):
    traits = neutral_traits(len(UNITS) + 1)
    traits["action_units"][1:] = torch.eye(len(UNITS))
    pictures = render(traits, size).int()
    masks = render_region_masks(traits, size)
    for row, unit in enumerate(UNITS, start=1):
        change = (pictures[row] - pictures[0]).abs().float().mean(0)
        assert (change > 12).sum() >= (size / 48) ** 2 * 6, f"unit {unit} is hardly visible"
        change_of_region = {
            region: change[masks[row, index] | masks[0, index]].mean().item()
            for index, region in enumerate(REGIONS)
        }
        most = max(change_of_region, key=change_of_region.get)
        assert most == REGION_OF_UNIT.get(unit, "mouth"), (unit, change_of_region)


def test_masks_follow_the_action_units_and_lie_in_the_picture():
    faces = draw_face_set(200, identities=range(100), size=64, seed=6)
    masks = faces.region_masks()
    assert masks.shape == (200, 4, 64, 64) and masks.dtype == torch.bool
    area = masks.float().mean((2, 3))
    assert area.min() > 0.005 and area.max() < 0.25
    frame = torch.ones(64, 64, dtype=torch.bool)
    frame[1:-1, 1:-1] = False
    touching = masks[:, :, frame].flatten(1).any(1).float().mean()
    assert touching <= 0.01, "but for a widely opened mouth, features keep clear of the edge"
    for index in (slice(3, 9), [3, 4, 5, 6, 7, 8], torch.arange(3, 9)):
        assert torch.equal(faces.region_masks(index), masks[3:9])

    traits = neutral_traits(3)
    traits["action_units"][1, UNITS.index(26)] = traits["action_units"][2, UNITS.index(2)] = 1
    still, jaw_drop, brow_raise = render_region_masks(traits, 64).float()
    mouth, brows = REGIONS.index("mouth"), REGIONS.index("brows")
    assert jaw_drop[mouth].sum() > 1.4 * still[mouth].sum()
    rows = torch.arange(64.0)[:, None]

    def height(mask):
        return (mask * rows).sum() / mask.sum()

    assert height(brow_raise[brows]) < height(still[brows]) - 1


def test_the_seed_and_the_disjoint_ranges_keep_people_apart():
    train = draw_face_set(60, identities=range(0, 40), size=48, seed=0)
    test = draw_face_set(60, identities=range(40, 60), size=48, seed=0)
    assert not set(train.identity.tolist()) & set(test.identity.tolist())
    assert not set(train.traits["head_width"].tolist()) & set(test.traits["head_width"].tolist())


@pytest.mark.parametrize("size", [48, 75, 224])
def test_sizes(size):
    small = draw_faces([3], [2], size=48).images.float()
    faces = draw_faces([3], [2], size=size)
    assert faces.images.shape == (1, 3, size, size)
    assert faces.region_masks().shape == (1, 4, size, size)
    # A larger picture is the same picture with more pixels.
    shrunk = torch.nn.functional.interpolate(faces.images.float(), 48, mode="area")
    assert (shrunk - small).abs().mean() < 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"labels": [0], "identities": [0], "size": 47},
            "size must be a whole number from 48 to 224",
        ),
        ({"labels": [0], "identities": [0], "size": 225}, "48 to 224, got 225"),
        ({"labels": [7], "identities": [0]}, "labels from 0 to 6, found 7"),
        ({"labels": [-1], "identities": [0]}, "labels from 0 to 6, found -1"),
        ({"labels": [0, 1], "identities": [0]}, "same length"),
        ({"labels": [], "identities": []}, "same length"),
        ({"labels": [0], "identities": [-3]}, "identities of at least 0, found -3"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        draw_faces(**arguments)


def test_nothing_or_nobody_to_draw():
    with pytest.raises(InputError, match="count must be a whole number of at least 1, got 0"):
        draw_face_set(0, identities=range(3))
    with pytest.raises(InputError, match="0 identities"):
        draw_face_set(3, identities=range(0))

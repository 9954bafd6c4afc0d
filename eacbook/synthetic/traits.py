"""The numbers behind a synthetic face: its person, its expression and its photograph.

A face is described by *traits*, a dictionary of tensors with one row for each face. Its person
depends only on the identity number, so the same number is the same person in every call. Its
expression, pose, light and background depend on the seed. The expressions are combinations of
facial action units (Ekman, Friesen & Hager, "Facial Action Coding System", 2002). Their prototypes
and variants are those of Du, Tao & Martinez, "Compound facial expressions of emotion", PNAS
111(15), 2014, Table 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from eacbook.classes import RAFDB_CLASSES as CLASSES

ACTION_UNITS: dict[int, str] = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    15: "lip corner depressor",
    17: "chin raiser",
    20: "lip stretcher",
    23: "lip tightener",
    24: "lip pressor",
    25: "lips part",
    26: "jaw drop",
}

# class -> (prototype units, {variant unit: proportion of people who show it}). Unit 11 (nasolabial
# deepener, 26 % of sad faces) is not drawn: on a small face it looks like unit 10.
EXPRESSIONS: dict[str, tuple[tuple[int, ...], dict[int, float]]] = {
    "surprise": ((1, 2, 25, 26), {5: 0.66}),
    "fear": ((1, 4, 20, 25), {2: 0.57, 5: 0.63, 26: 0.33}),
    "disgust": ((9, 10, 17), {4: 0.31, 24: 0.26}),
    "happiness": ((12, 25), {6: 0.51}),
    "sadness": ((4, 15), {1: 0.60, 6: 0.50, 17: 0.67}),
    "anger": ((4, 7, 24), {10: 0.26, 17: 0.52, 23: 0.29}),
    "neutral": ((), {}),
}

# These decide how similar the seven classes are. A face of low intensity is nearly a neutral one.
INTENSITY_RANGE = (0.35, 1.0)
NEUTRAL_INTENSITY_RANGE = (0.0, 0.15)
UNIT_JITTER = 0.25  # an active unit is the intensity of the face times 1 +- this
STRAY_UNIT = 0.08  # every unit also moves by up to this, in every class

OCCLUSION_RATE = 0.08

# Traits of a person, uniform in a range. Lengths are in face units: half the head's height is 1,
# x is to the viewer's right and y down, and (0, 0) is the middle of the head.
PERSON_RANGES: dict[str, tuple[float, float]] = {
    "head_width": (0.71, 0.84),
    "jaw_taper": (0.10, 0.32),
    "jaw_squareness": (0.0, 0.45),
    "chin_length": (0.95, 1.05),
    "ear_size": (0.13, 0.19),
    "eye_distance": (0.315, 0.365),
    "eye_width": (0.175, 0.215),
    "eye_height": (0.10, 0.13),
    "eye_slant": (-0.10, 0.12),
    "brow_height": (-0.40, -0.34),
    "brow_thickness": (0.026, 0.052),
    "brow_arch": (0.01, 0.07),
    "nose_length": (0.24, 0.33),
    "nose_width": (0.11, 0.17),
    "mouth_width": (0.25, 0.32),
    "mouth_height": (0.53, 0.59),
    "lip_fullness": (0.042, 0.082),
    "wrinkles": (0.0, 0.3),
    "curl_scale": (11.0, 16.0),
    # Lateral traits: a change of sign mirrors the face.
    "lateral_warp": (-0.07, 0.07),
    "brow_tilt": (-0.06, 0.06),
    "mouth_tilt": (-0.06, 0.06),
    "nose_bend": (-0.025, 0.025),
    "parting": (-1.0, 1.0),
    "mole_x": (-0.5, 0.5),
    "mole_y": (0.1, 0.7),
}

# Traits of one photograph of that person, uniform in a range. The ranges are as narrow as for faces
# that were aligned by their landmarks, as in data sets of photographs. Shifts are in widths of the
# picture.
PHOTOGRAPH_RANGES: dict[str, tuple[float, float]] = {
    "scale": (0.95, 1.05),
    "shift_y": (-0.015, 0.015),
    "light_y": (-0.20, 0.02),
    "light_level": (0.93, 1.07),
    "light_warmth": (-0.05, 0.06),
    "gaze_y": (-0.010, 0.015),
    "noise": (0.003, 0.016),
    "background_y": (-0.5, 0.5),
    "occluder_y": (-0.6, 0.9),
    "occluder_width": (0.12, 0.2),
    # Lateral traits: a change of sign mirrors the face.
    "roll": (-0.08, 0.08),
    "yaw": (-0.8, 0.8),
    "shift_x": (-0.02, 0.02),
    "light_x": (-0.24, 0.24),
    "gaze_x": (-0.022, 0.022),
    "background_x": (-0.5, 0.5),
    "occluder_x": (-0.5, 0.5),
    "occluder_slant": (-1.4, 1.4),
}

# The mirror image of a face has these traits with the other sign. All other traits are the same.
LATERAL_TRAITS = (
    "lateral_warp", "brow_tilt", "mouth_tilt", "nose_bend", "parting", "mole_x",
    "roll", "yaw", "shift_x", "light_x", "gaze_x", "background_x", "occluder_x", "occluder_slant",
)  # fmt: skip

# The columns of a hair style. volume: thickness of the hair on the skull; length and sides: how far
# down its outline goes behind and in front of the ears; hairline: top of the forehead; flatness: 0
# for a round hairline, 1 for a straight fringe; parted: how much the parting changes it; curl:
# waviness; bun: radius; scarf: 1 if it is cloth and not hair; share: of the people with this style.
HAIR_COLUMNS = (
    "volume", "length", "sides", "hairline", "flatness", "parted", "curl", "bun", "scarf", "share",
)  # fmt: skip
HAIR_STYLES: dict[str, tuple[float, ...]] = {
    "bald":         (-0.10, 0.10, 0.10, -1.30, 0.0, 0.0, 0.000, -0.2, 0.0, 0.08),
    "cropped":      (0.035, 0.25, 0.20, -0.74, 0.4, 0.1, 0.000, -0.2, 0.0, 0.14),
    "short":        (0.140, 0.35, 0.30, -0.68, 0.2, 0.5, 0.010, -0.2, 0.0, 0.14),
    "side parting": (0.180, 0.30, 0.25, -0.66, 0.1, 1.0, 0.000, -0.2, 0.0, 0.14),
    "fringe":       (0.160, 1.15, 1.10, -0.62, 0.9, 0.1, 0.000, -0.2, 0.0, 0.12),
    "long":         (0.170, 3.20, 2.60, -0.74, 0.0, 0.6, 0.006, -0.2, 0.0, 0.14),
    "curly":        (0.300, 1.05, 0.60, -0.70, 0.3, 0.1, 0.050, -0.2, 0.0, 0.11),
    "bun":          (0.060, 0.30, 0.25, -0.76, 0.0, 0.3, 0.000, 0.27, 0.0, 0.08),
    "headscarf":    (0.110, 4.00, 6.00, -0.74, 0.1, 0.0, 0.000, -0.2, 1.0, 0.05),
}  # fmt: skip

# Palettes of red, green and blue in 0..1. In the first three, neighbours can be mixed.
SKIN_TONES = (
    (1.00, 0.88, 0.79), (0.98, 0.80, 0.67), (0.91, 0.70, 0.54),
    (0.78, 0.55, 0.39), (0.61, 0.40, 0.27), (0.43, 0.28, 0.20),
)  # fmt: skip
HAIR_TONES = (
    (0.11, 0.09, 0.10), (0.17, 0.11, 0.09), (0.30, 0.18, 0.11),
    (0.47, 0.26, 0.13), (0.66, 0.36, 0.16), (0.86, 0.68, 0.38),
)  # fmt: skip
IRIS_TONES = (
    (0.20, 0.12, 0.08), (0.33, 0.20, 0.10), (0.45, 0.31, 0.13),
    (0.30, 0.44, 0.26), (0.36, 0.53, 0.60), (0.27, 0.48, 0.74),
)  # fmt: skip
CLOTH_TONES = (
    (0.84, 0.34, 0.30), (0.93, 0.64, 0.28), (0.33, 0.55, 0.47), (0.24, 0.44, 0.62),
    (0.55, 0.40, 0.62), (0.88, 0.84, 0.76), (0.27, 0.29, 0.36), (0.77, 0.49, 0.55),
)  # fmt: skip
BACKGROUND_TONES = (
    (0.97, 0.89, 0.76), (0.80, 0.89, 0.90), (0.87, 0.83, 0.93), (0.80, 0.90, 0.79),
    (0.96, 0.80, 0.75), (0.52, 0.66, 0.72), (0.62, 0.56, 0.63), (0.90, 0.91, 0.92),
)  # fmt: skip
GREY_HAIR = (0.74, 0.73, 0.73)


def sample_traits(labels: Tensor, identities: Tensor, seed: int) -> dict[str, Tensor]:
    """Traits of one face for each entry. The first k rows do not depend on the rows after them.

    Args:
        labels: classes, int64 ``[N]`` on the CPU.
        identities: numbers of the persons, int64 ``[N]`` on the CPU, at least 0.
        seed: fixes expression, pose, light and background.

    Returns:
        A tensor ``[N]`` for each trait, float32 on the CPU. Colours are ``[N, 3]``. ``action_units``
        are ``[N, A]`` in the order of :data:`ACTION_UNITS`. ``intensity`` is ``[N]``.
    """
    units = len(ACTION_UNITS)
    generator = torch.Generator().manual_seed(seed)
    # One row of random numbers for each face, so a face does not depend on the faces after it.
    draws = torch.rand(len(labels), 1 + 3 * units + len(PHOTOGRAPH_RANGES) + 7, generator=generator)
    expression, photograph, rest = draws.split([1 + 3 * units, len(PHOTOGRAPH_RANGES), 7], dim=1)
    person = sample_persons(identities)
    photograph = scale_to_ranges(photograph, PHOTOGRAPH_RANGES)
    # A hand comes from below or from a side, and does not cover eyes and brows.
    is_hand = rest[:, 4] < 0.5
    photograph["occluder_y"] = torch.where(
        is_hand, 0.6 + 0.2 * photograph["occluder_y"], photograph["occluder_y"]
    )
    photograph["occluder_slant"] = photograph["occluder_slant"] * torch.where(is_hand, 0.6, 1.0)
    return light_colours(
        person
        | sample_expressions(labels, expression)
        | photograph
        | {
            "background_top": pick(BACKGROUND_TONES, rest[:, 0]),
            "background_bottom": pick(BACKGROUND_TONES, rest[:, 1]),
            "cloth_colour": pick(CLOTH_TONES, rest[:, 2]),
            "occluded": (rest[:, 3] < OCCLUSION_RATE).float(),
            "occluder_hand": is_hand.float(),
            "occluder_colour": torch.where(
                is_hand[:, None], person["skin_colour"] * 0.95, pick(CLOTH_TONES, rest[:, 5])
            ),
            "noise_place": rest[:, 6],
        }
    )


def sample_expressions(labels: Tensor, draws: Tensor) -> dict[str, Tensor]:
    """Action units ``[N, A]`` and intensity ``[N]`` of the classes ``labels`` ``[N]``.

    ``draws`` ``[N, 1 + 3 A]`` are uniform in 0..1. A unit is one number for both sides of the face.
    """
    column = {unit: index for index, unit in enumerate(ACTION_UNITS)}
    frequency = torch.zeros(len(CLASSES), len(ACTION_UNITS))
    for row, name in enumerate(CLASSES):
        prototype, variants = EXPRESSIONS[name]
        for unit, share in {**dict.fromkeys(prototype, 1.0), **variants}.items():
            frequency[row, column[unit]] = share
    shown, jitter, stray = draws[:, 1:].chunk(3, dim=1)
    ranges = torch.tensor([INTENSITY_RANGE] * len(CLASSES))
    ranges[CLASSES.index("neutral")] = torch.tensor(NEUTRAL_INTENSITY_RANGE)
    low, high = ranges[labels].unbind(1)
    intensity = low + (high - low) * draws[:, 0]
    active = (shown < frequency[labels]).float()
    units = active * intensity[:, None] * (1 + UNIT_JITTER * (2 * jitter - 1)) + STRAY_UNIT * stray
    return {"action_units": units.clamp_(0, 1), "intensity": intensity}


def sample_persons(identities: Tensor) -> dict[str, Tensor]:
    """Traits of the persons with these numbers, int64 ``[N]``. The same number is the same person."""
    draws = hashed_uniform(identities, len(PERSON_RANGES) + 16)
    proportions, rest = draws.split([len(PERSON_RANGES), 16], dim=1)
    (tone, undertone, hair_tone, age, style, iris, lips, beard, moustache, glasses,
     mole, freckles, cloth, glasses_tone, hair_volume, earring) = rest.unbind(1)  # fmt: skip
    traits = scale_to_ranges(proportions, PERSON_RANGES)

    skin = blend(SKIN_TONES, tone)
    skin = skin + (undertone[:, None] - 0.5) * torch.tensor([0.05, 0.0, -0.07])
    # A face with dark skin gets dark hair and eyes. A face with light skin gets any of the colours.
    grey = ((age - 0.72) * 4).clamp(0, 1)[:, None]
    hair = blend(HAIR_TONES, hair_tone * (1 - 0.8 * tone))
    hair = hair.lerp(torch.tensor(GREY_HAIR), grey)

    table = torch.tensor(list(HAIR_STYLES.values()))
    shares = table[:, -1].cumsum(0)
    chosen = torch.searchsorted(shares, style * shares[-1]).clamp_(max=len(table) - 1)
    cut = dict(zip(HAIR_COLUMNS, table[chosen].unbind(1), strict=True))
    has_hair_volume = cut["volume"] > 0.1
    cut["volume"] = cut["volume"] * torch.where(has_hair_volume, 0.8 + 0.45 * hair_volume, 1.0)
    scarf = cut["scarf"]
    short_hair = (cut["length"] < 0.5) & (cut["bun"] < 0)
    bearded = short_hair & (beard < 0.45)

    lip = skin * torch.tensor([0.86, 0.62, 0.60]) + torch.tensor([0.04, 0.0, 0.01])
    lip = lip.lerp(torch.tensor([0.74, 0.24, 0.30]), 0.35 * lips[:, None])
    return traits | {
        "skin_colour": skin.clamp(0, 1),
        "hair_colour": torch.where(scarf[:, None] > 0, pick(CLOTH_TONES, cloth), hair),
        # The colour of brows and beards is a little nearer to the skin than that of hair.
        "brow_colour": (hair * 0.8).lerp(skin * 0.5, 0.3),
        "iris_colour": blend(IRIS_TONES, iris * (1 - 0.8 * tone)),
        "lip_colour": lip,
        "glasses_colour": pick(((0.13, 0.12, 0.13), (0.45, 0.27, 0.15), (0.72, 0.60, 0.36),
                                (0.55, 0.16, 0.20)), glasses_tone),
        **{f"hair_{name}": cut[name] for name in HAIR_COLUMNS[:-1]},
        "beard": torch.where(bearded, 0.60 + 0.8 * beard, 0.0),
        "moustache": torch.where(short_hair & (moustache < 0.3), 0.9, 0.0),
        "glasses": (glasses < 0.2).float(),
        "mole": (mole < 0.15).float(),
        "freckles": ((freckles - 0.8) * 5).clamp(0, 1) * (1 - tone),
        "earring": ((earring < 0.5) & ~short_hair & (scarf == 0)).float(),
        "wrinkles": traits["wrinkles"] * (0.2 + 0.8 * grey[:, 0]),
        "white_colour": torch.tensor([[0.98, 0.97, 0.95]]).expand(len(identities), 3),
    }  # fmt: skip


def light_colours(traits: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same traits, with their colours in the warm or cool light of the photograph."""
    warmth = traits["light_warmth"][:, None] * torch.tensor([1.0, 0.1, -1.0])
    tint = traits["light_level"][:, None] * (1 + warmth)
    return {
        name: value * tint if value.ndim == 2 and name != "action_units" else value
        for name, value in traits.items()
    }


def hashed_uniform(numbers: Tensor, columns: int) -> Tensor:
    """Random numbers, float32 ``[N, columns]``, uniform in 0..1. A row depends only on its number.

    A generator without a state: rounds of multiplication and shift mix each pair (number, column)
    to 32 bits. So a person needs no table and does not depend on other persons.
    """
    mixed = (numbers[:, None] * columns + torch.arange(columns) + 0x9E3779B9) & 0xFFFFFFFF
    for _ in range(3):
        mixed = ((mixed ^ (mixed >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return ((mixed ^ (mixed >> 16)) >> 8).float() / 2**24


def scale_to_ranges(draws: Tensor, ranges: dict[str, tuple[float, float]]) -> dict[str, Tensor]:
    """Scale the columns of ``draws`` ``[N, len(ranges)]``, uniform in 0..1, to the named ranges."""
    low, high = torch.tensor(list(ranges.values())).unbind(1)
    return dict(zip(ranges, (low + (high - low) * draws).unbind(1), strict=True))


def blend(palette: tuple[tuple[float, ...], ...], place: Tensor) -> Tensor:
    """Colours ``[N, 3]`` at ``place`` ``[N]`` in 0..1 along a palette, as mixtures of neighbours."""
    colours = torch.tensor(palette)
    position = place * (len(colours) - 1)
    before = position.long().clamp(max=len(colours) - 2)
    return colours[before].lerp(colours[before + 1], (position - before)[:, None])


def pick(palette: tuple[tuple[float, ...], ...], place: Tensor) -> Tensor:
    """Colours ``[N, 3]``, one of the palette for each ``place`` ``[N]`` in 0..1."""
    return torch.tensor(palette)[(place * len(palette)).long().clamp(max=len(palette) - 1)]

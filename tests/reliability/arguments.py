"""Kinds of malformed arguments: values of every type in Python, texts of every kind in commands."""

from __future__ import annotations

import contextlib
import math
import numbers
import random
import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from eacbook.cli import main
from eacbook.data.faces import load_faces, synthetic_faces
from eacbook.data.photo import crop_face
from eacbook.methods import EAC, RUL, SCN, CoTeaching, parse_method
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import EarlyStopping
from eacbook.training.loop import train
from eacbook.training.recipe import PRECISIONS, SCHEDULES, Recipe

from ..conftest import prepare_stripes
from .files import command, small_training
from .trials import Trial, kind

VALUES = (
    *(None, True, False, 0, 1, -1, 2, 3, 7, 2.5, 0.3, -0.5, 1e308, 1e-308, 10**30, 2**63, -(2**63)),
    *(math.nan, math.inf, -math.inf, "", "1", "0.3", "no", "false", "cpu", "x" * 5_000_000, "a\nb"),
    *("\x00", "高兴", b"1", b"\xff", [], [1], (1, 2), {}, {0: 1}, set(), object(), int, len, ...),
    *(np.float32(0.3), np.int64(1), np.int8(-1), np.float64("nan"), np.bool_(True), np.array(1)),
    *(np.array([1, 2]), np.array([]), torch.tensor(1), torch.tensor(0.3), torch.tensor([0, 1])),
    *(Fraction(1, 3), Decimal("0.3"), 1j, range(3), Path("nowhere"), "tiny", "eac"),
    *("symmetric", "pair", "one-cycle", "exponential", "float32", "bfloat16", "cuda", "cuda:99"),
)

Judge = Callable[[object], bool | None]
"""Whether a value must be taken (True), refused (False), or may be either (None)."""


def is_number(value: object) -> bool:
    """A plain number or one of numpy's; True is none."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool | np.bool_ | Fraction)


def like_number(value: object) -> bool:
    """What may pass for a number, and need not."""
    odd = isinstance(value, Fraction | Decimal)
    return odd or (isinstance(value, np.ndarray | torch.Tensor) and math.prod(value.shape) == 1)


def whole(low: int, high: int = 2**31, none: bool = False) -> Judge:
    """A whole number from ``low``; from ``high`` on it may be too large for this machine."""

    def judge(value):
        if value is None:
            return none
        if like_number(value) or (is_number(value) and float(value).is_integer() and value < high):
            exact = isinstance(value, numbers.Integral)
            return (exact or None) if value >= low else False
        return None if is_number(value) and value >= high and value != math.inf else False

    return judge


def number(low: float, high: float = math.inf, *, above: bool = False, none: bool = False) -> Judge:
    def judge(value):
        if value is None:
            return none
        if not is_number(value) and not like_number(value):
            return False
        inside = low <= value <= high and not (above and value == low)
        with contextlib.suppress(OverflowError):
            inside = inside and math.isfinite(value)
        sensible = is_number(value) and 1e-6 <= abs(value) <= 1e6
        return (True if sensible or value == low else None) if inside else False

    return judge


def one_of(*choices: object) -> Judge:
    def judge(value):
        return isinstance(value, str) and value in choices

    return judge


def flag(value: object) -> bool | None:
    """True and False; numpy's own may do, too, and nothing else."""
    return True if isinstance(value, bool) else None if isinstance(value, np.bool_) else False


def never(value: object) -> bool | None:
    """Nothing of the list fits, unless it is left out."""
    return None if value is None else False


def calls() -> list[tuple[str, Judge, Callable[[object], object]]]:
    """Every argument, what it takes, and a call that gives it one."""
    labels = torch.arange(12) % 3
    inputs = small_training()
    faces = inputs[2]
    photo = __import__("PIL.Image").Image.new("RGB", (64, 64))
    share, seed, device = number(0, 1), whole(0, 2**63), one_of("cpu")
    if torch.cuda.is_available():
        device = one_of("cpu", "cuda")

    def fields(owner, **judges):
        return [
            (name, judge, lambda value, name=name: owner(**{name: value}))
            for name, judge in judges.items()
        ]

    def noise(**judges):
        return [
            (name, judge, lambda value, name=name: inject_noise(
                **{"labels": labels, "rate": 0.3, "num_classes": 3} | {name: value}
            ))
            for name, judge in judges.items()
        ]  # fmt: skip

    return [
        *fields(
            Recipe, epochs=whole(1), batch_size=whole(1), size=whole(1, none=True), seed=seed,
            learning_rate=number(0, above=True), weight_decay=number(0), balanced=flag,
            deterministic=flag,
            decay=number(0, 1, above=True), schedule=one_of(*SCHEDULES), precision=one_of(*PRECISIONS),
        ),
        *noise(
            labels=labels_perhaps, rate=share, num_classes=whole(3), kind=one_of("symmetric"),
            seed=seed, exact=flag,
        ),
        ("confusion", lambda value: value is None,
         lambda value: inject_noise(labels, 0.3, 7, "pair", confusion=value)),
        ("matrix", never, lambda value: inject_noise(labels, None, 3, "matrix", matrix=value)),
        ("votes", never, lambda value: inject_noise(labels, None, 3, "annotator", votes=value)),
        *fields(
            EAC, weight=number(0, none=None), erasing=flag, labels_on_both_views=flag,
            shared_erasing=flag, one_pass=flag,
        ),
        *fields(SCN, relabel_any=flag, relabel_epoch=whole(1, 2**31)),
        *fields(RUL, dimension=whole(1)),
        ("noise_rate", lambda v: share(v) and None, lambda v: CoTeaching(noise_rate=v)),
        ("num_classes", whole(2, 1000), lambda value: build_network("tiny", value)),
        ("network", one_of("tiny"), lambda value: build_network(value, 3)),
        ("weights", lambda value: value is None, lambda value: build_network("tiny", 3, weights=value)),
        ("seed", seed, lambda value: build_network("tiny", 3, seed=value)),
        ("limit", whole(1, 2**62), lambda value: faces.limit(value)),
        ("size", never_but(48), lambda value: synthetic_faces(7, 7, 7, size=value)),
        ("train", never_but(7), lambda value: synthetic_faces(value, 7, 7)),
        ("seed", seed, lambda value: synthetic_faces(7, 7, 7, seed=value)),
        ("device", lambda value: value is None or device(value),
         lambda value: train(*inputs, epochs=1, batch_size=16, device=value)),
        ("data set", never, lambda value: load_faces(value)),
        ("patience", whole(1), lambda value: EarlyStopping(patience=value)),
        ("size", whole(1, 10_000), lambda value: crop_face(photo, value, 3)),
        ("method", lambda value: value == "eac", lambda value: parse_method(value)),
    ]  # fmt: skip


def labels_perhaps(value: object) -> bool | None:
    return None if isinstance(value, torch.Tensor | np.ndarray | range | list) else False


def never_but(good: int) -> Judge:
    """A number that few values are right for: others, if they are like it, may be taken."""

    def judge(value):
        if is_number(value) and float(value).is_integer():
            return True if value == good and isinstance(value, int) else None
        return None if like_number(value) else False

    return judge


@kind("arguments in Python")
def arguments_in_python(here: Path):
    everything = calls()

    def make(rng: random.Random, place: Path) -> Trial:
        name, judge, call = rng.choice(everything)
        value = rng.choice(VALUES)
        shown = f"{type(value).__name__} {str(value)[:30]!r}"
        fits = judge(value)

        def accept(result):
            if fits is False:
                return None
            return "a value of the kind that is asked for" if fits else "a number of another type"

        names = (name, name.replace("_", " "), name.rstrip("s"))
        return Trial(f"{name} = {shown}", lambda: call(value), names, accept, bool(fits))

    return make


TEXTS = (
    *(
        "",
        " ",
        "0",
        "1",
        "-1",
        "2",
        "0.3",
        "2.5",
        "nan",
        "inf",
        "-inf",
        "1e400",
        "1e-400",
        "9" * 30,
    ),
    *("9" * 5000, "abc", "1_0", "0x10", "\u0663", "a\nb", "\x1b[2J", "高兴", "true", "None", "."),
    *(
        "/dev/null",
        "/nonexistent/x",
        "x" * 300,
        "x" * 200_000,
        "cpu",
        "tiny",
        "--",
        "-",
        "=",
        ",",
        ":",
    ),
    *(
        "eac:",
        "eac:weight",
        "eac:weight=",
        "eac:weight=1_0",
        "eac:weight=nan",
        "eac:weight=1,weight=2",
    ),
    *(
        "eac:erasing=1",
        "eac:erasing=yes",
        "eac:nothing=1",
        "eac:weight=9e999",
        "baseline",
        "Baseline",
    ),
    *(
        "coteaching:noise_rate=2",
        "scn:relabel_epoch=2.5",
        "rul:dimension=0",
        "rul:dimension=\u0663",
    ),
    *("ray://x", "ray://[", "http://x:99999", "(", "(.)", "a=b", "a,b", "cuda:99", "meta", "int8"),
)

WHOLE = dict.fromkeys(("--limit", "--epochs", "--batch-size", "--size", "--workers"), 1)
WHOLE |= {"--seed": 0, "--seeds": 0}
SHARES = {"--noise": (0, 1), "--learning-rate": (1e-300, 1e300), "--test": (0, 1)}
WORDS = {
    "--method": r"eac|baseline", "--methods": r"eac|baseline", "--network": "tiny", "--device": "cpu",
    "--noise-kind": r"symmetric", "--precision": "float32|bfloat16", "--classes": "7|8",
}  # fmt: skip
"""Options and the texts among the above that may be right for them: all others must be refused."""

TRAIN = ("--limit", "--epochs", "--batch-size", "--size", "--seed", "--noise", "--learning-rate")
TRAIN += ("--method", "--network", "--device", "--noise-kind", "--precision", "--weights", "--data")
TRAIN += ("--noise-file",)
REFUSED = {
    "table": ("--methods", "--noise", "--noise-kind", "--data", "--seeds", "--network", "--weights")
    + ("--epochs", "--batch-size", "--size", "--precision", "--workers", "--cluster", "--device"),
    "demo": ("--noise", "--seed", "--device"),
}
"""Here only what must be refused is tried: what is right trains for minutes."""


def may_be_right(option: str, text: str) -> bool:
    if option in WHOLE:
        with contextlib.suppress(ValueError):
            return WHOLE[option] <= int(text)
        return False
    if option in SHARES:
        with contextlib.suppress(ValueError):
            return SHARES[option][0] <= float(text) <= SHARES[option][1]
        return False
    return bool(re.fullmatch(WORDS.get(option, "(?!)"), text))


@kind("command line")
def command_line(here: Path):
    data = prepare_stripes(here / "set", train=12)

    def make(rng: random.Random, place: Path) -> Trial:
        name = rng.choice(("train", "train", "train", "train", "table", "demo", "runs", "odd"))
        texts = list(TEXTS)
        option = rng.choice(TRAIN if name == "train" else REFUSED.get(name, ("--folder",)))
        text = rng.choice(texts)
        if name in REFUSED:
            text = rng.choice([text for text in texts if not may_be_right(option, text)])
        arguments = [name, "--folder", str(place / "runs")]
        if name == "train":
            arguments += ["--data", data, "--epochs", "1", "--limit", "12"]
        if name == "odd":
            arguments = rng.choices([text, "train", "runs", "--folder", str(place), "--seed"], k=3)
        else:
            arguments += rng.choice(([option, text], [f"{option}={text}"]))

        def accept(printed):
            if name == "odd" or (name == "runs" and "no stored run" in printed):
                return "a list of runs, of which there are none"
            if may_be_right(option, text):
                return "a value of the kind that is asked for"
            return None

        names = (option, option[2:], option[2:].replace("-", " "), option[2:].replace("-", "_"))
        names += (
            text.strip()[:300] or "is no file",
            "method",
            "data set",
            "noise",
            "network",
            "weights",
            "unrecognized",
            "invalid choice",
        )
        if text.startswith("-") or name == "odd":
            names += ("required", "expected one argument", "argument --")
        shown = " ".join(arguments).replace(str(place), "")
        return Trial(f"eacbook {shown[:150]!r}", lambda: command(main, arguments), names, accept)

    return make

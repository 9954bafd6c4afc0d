"""Fonts for the pictures: a font with all letters of a name, or a number instead of the name.

Pillow's built-in font has the letters of English, and shows a box for every other letter. So a text is
drawn in the first installed font that has all its letters. If there is no such font, names become
numbers. So two names never look the same. A text beside the picture says what the numbers mean.
"""

from __future__ import annotations

import os
import string
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

from PIL import ImageFont, features

SUFFIXES = {".ttf", ".otf", ".ttc", ".otc"}
LESS_LEGIBLE = ("bold", "italic", "oblique", "mono", "serif", "condensed", "light", "thin", "black")
SIZE = 17
"""Size in pixels for the test of a font."""
AROUND = string.ascii_letters + string.digits + ".,:%()"
"""Other letters that can be in the same line as a name. Its font must have them, too."""
NO_LETTER = "\U0010ffff"
"""Unicode will never use this code. So a font shows its sign for missing letters."""

_found: dict[str, Path | None] = {}


def font_for(text: str, size: int) -> ImageFont.FreeTypeFont:
    """A font that has all letters of a text, or the built-in font if no font has them.

    Args:
        text: one line.
        size: pixels.
    """
    if all(map(_is_built_in, text)):
        return _built_in(size)
    _search([text])
    path = _found[text]
    return _open(path, size) if path else _built_in(size)


def drawable(names: Iterable[str], word: str = "class") -> tuple[str, ...]:
    """Names that can be drawn: the names themselves, or ``"class 3"`` if no font here has the letters.

    Args:
        names: different names, in label order.
        word: the word before a number.

    Returns:
        A text for each name. No two of them look the same in a picture.
    """
    return _drawable(tuple(names), word)


def legend(names: Sequence[str], word: str = "class") -> str:
    """The meaning of the numbers in a picture, ``"class 1: ..., class 2: ..."``, or an empty text."""
    pairs = zip(drawable(names, word), names, strict=True)
    return ", ".join(f"{drawn}: {name}" for drawn, name in pairs if drawn != _composed(name))


@cache
def _drawable(names: tuple[str, ...], word: str) -> tuple[str, ...]:
    texts = [_composed(name) for name in names]
    numbers = tuple(f"{word} {number}" for number in range(1, len(names) + 1))
    _search([text for text in texts if _is_line(text) and not all(map(_is_built_in, text))])
    drawn = tuple(
        text if _is_line(text) and _has(font_for(text, SIZE), text) else number
        for text, number in zip(texts, numbers, strict=True)
    )
    seen = {_picture(font_for(text, SIZE), text) for text in drawn}
    return drawn if len(seen) == len(drawn) else numbers


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _is_line(text: str) -> bool:
    """Whether this Pillow can draw the text as one line, if there is a font for it."""
    if not text.strip() or any(
        unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in text
    ):
        return False
    # Without this library, Pillow draws letters from left to right and does not join them.
    return features.check("raqm") or not any(
        unicodedata.bidirectional(letter) in ("R", "AL", "AN")
        or unicodedata.category(letter) in ("Mn", "Mc")
        for letter in text
    )


def _search(texts: Iterable[str]) -> None:
    """Find a font for each text. Every font file is opened once for all texts."""
    missing = {text for text in texts if text not in _found}
    for path in _installed() if missing else ():
        try:
            font = ImageFont.truetype(str(path), SIZE)  # Pillow 10.1 takes no Path
            here = {text for text in missing if _has(font, text + AROUND)}
        except OSError:  # not a font, or a font of pictures with a fixed size
            continue
        _found.update(dict.fromkeys(here, path))
        missing -= here
        if not missing:
            return
    _found.update(dict.fromkeys(missing, None))


def _has(font: ImageFont.FreeTypeFont, text: str) -> bool:
    """Whether a font has all letters of a text, without a box or an empty space for any of them."""
    no_letter = _picture(font, NO_LETTER)
    letters = {letter for letter in text if not letter.isspace()}
    return all(
        font.getmask(letter).getbbox() and _picture(font, letter) != no_letter
        for letter in letters
        if unicodedata.category(letter) != "Cf"  # invisible marks
    )


@cache
def _is_built_in(letter: str) -> bool:
    """Whether the built-in font has a letter. Every drawn text needs this, so it is cached."""
    return _has(_built_in(SIZE), letter)


def _picture(font: ImageFont.FreeTypeFont, text: str) -> tuple:
    mask = font.getmask(text)
    return mask.size, bytes(mask)


@cache
def _built_in(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


@cache
def _open(path: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(path), size)


@cache
def _installed() -> tuple[Path, ...]:
    """The font files of this machine. Plain fonts without serifs come first."""

    def order(path: Path) -> tuple:
        stem = path.stem.lower()
        return any(word in stem for word in LESS_LEGIBLE), "sans" not in stem, stem, path

    files = {
        path
        for folder in font_folders()
        for path in _files(folder)
        # Apple's font of last resort has a box for every letter, with different boxes.
        if path.suffix.lower() in SUFFIXES and not path.stem.lower().startswith("lastresort")
    }
    return tuple(sorted(files, key=order))


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in names)


def font_folders() -> list[Path]:
    """The font folders of the system, of the user and of this Python."""
    own = [Path(sys.prefix, "fonts"), Path(sys.prefix, "share", "fonts")]
    if sys.platform == "win32":
        windows = Path(os.environ.get("WINDIR", r"C:\Windows"), "Fonts")
        local = os.environ.get("LOCALAPPDATA")
        return [windows, *([Path(local, "Microsoft", "Windows", "Fonts")] if local else []), *own]
    home = Path(os.environ.get("HOME") or "/")
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts", *own]
    data = os.environ.get("XDG_DATA_HOME") or home / ".local" / "share"
    shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    places = [Path(data), *map(Path, shared.split(":"))]
    return [*(place / "fonts" for place in places), home / ".fonts", *own]

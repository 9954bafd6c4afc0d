"""The files of a download, whatever it came as: a folder, a zip, a tar, an archive inside another.

Archives are read in place and never unpacked. They are hostile until checked: one entry that is a
link or points outside condemns its archive, and what decompresses to far more than was downloaded
is refused.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeVar

from eacbook.errors import InputError

Opener = Callable[[], BinaryIO]
Files = dict[str, Opener]
K = TypeVar("K", bound=Hashable)

# RuntimeError is what zipfile says of an encrypted entry or an unknown compression.
DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error),
    *(EOFError, RuntimeError),
)

ARCHIVE = re.compile(r"\.(zip|tar|tar\.gz|tgz)$", re.IGNORECASE)
NOT_READ = {b"Rar!\x1a\x07": "RAR", b"7z\xbc\xaf\x27\x1c": "7z"}
HIDDEN = re.compile(r"(^|/)(\.|__MACOSX/)")  # what macOS adds to an archive

# An archive in an archive is honest, a deeper nest or a hundredfold growth is a trap.
DEEPEST, LARGEST_GROWTH = 2, 100
LONGEST_LINE = 1 << 16


@contextmanager
def open_files(source: Path, enter: Callable[[str], bool] = lambda name: False) -> Iterator[Files]:
    """By name, what opens each file of a folder or an archive; in the order that reads fastest.

    Args:
        source: a folder, a zip, or a tar, gzipped or not.
        enter: which archives inside it, by name, are read as folders of their name. One that
            stands beside the folder it was unpacked to is not read again.

    Raises:
        InputError: there is no such source, or it is damaged, a trap, or of another kind.
    """
    try:
        with ExitStack() as stack:
            if source.is_dir():
                files, size = list_folder(source), None
            elif source.is_file():
                file = stack.enter_context(source.open("rb"))
                files, size = list_archive(file, str(source), stack), source.stat().st_size
            else:
                raise InputError(f"there is no file or folder {source}")
            yield dict(Nest(str(source), stack, enter, size).expand(files))
    except DAMAGED as error:
        raise InputError(
            f"{source} is truncated, damaged or encrypted ({error}): download it again"
        ) from error


def list_folder(folder: Path) -> Files:
    """Linked files are the user's own and are read; linked folders are not entered."""

    def paths(of: str) -> Iterator[str]:
        with os.scandir(of) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from paths(entry.path)
                elif entry.is_file():
                    yield entry.path

    start = len(os.path.join(folder, ""))  # noqa: PTH118 (a Path drops the last separator)
    names = sorted((path[start:].replace(os.sep, "/"), path) for path in paths(str(folder)))
    return {name: partial(open, path, "rb") for name, path in names}


def list_archive(file: BinaryIO, name: str, stack: ExitStack) -> Files:
    start = file.read(512)
    file.seek(0)
    if start.startswith(b"PK"):
        archive = stack.enter_context(zipfile.ZipFile(file))
        return dict(sorted(zip_entries(archive, name)))
    if start.startswith(b"\x1f\x8b") or start[257:262] == b"ustar":
        # Left in the order of the archive: to go back in a gzip is to read it from the start.
        return dict(tar_entries(stack.enter_context(tarfile.open(fileobj=file)), name))
    for magic, kind in NOT_READ.items():
        if start.startswith(magic):
            raise InputError(f"{name} is a {kind} archive: unpack it and give the folder")
    raise InputError(f"{name} is neither a folder, a zip, a tar nor a tar.gz")


def zip_entries(archive: zipfile.ZipFile, source: str) -> Iterator[tuple[str, Opener]]:
    for entry in archive.infolist():
        is_link = stat.S_ISLNK(entry.external_attr >> 16)
        name = safe_name(entry.filename, source, is_plain=not is_link)
        if not entry.is_dir():
            yield name, partial(archive.open, entry)


def tar_entries(archive: tarfile.TarFile, source: str) -> Iterator[tuple[str, Opener]]:
    for entry in archive:
        name = safe_name(entry.name, source, is_plain=entry.isfile() or entry.isdir())
        if entry.isfile():
            yield name, partial(archive.extractfile, entry)


def safe_name(name: str, source: str, *, is_plain: bool) -> str:
    """The name of an entry, if it is one that an honest archive could hold."""
    path = PurePosixPath(name.replace("\\", "/"))
    if not is_plain or path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise InputError(
            f"{source}: the entry {name!r} is a link, a device or points outside the archive, "
            "expected plain files: refused whole"
        )
    return str(path)


@dataclass
class Nest:
    """Archives inside a source, read as if they were folders.

    Attributes:
        source: for messages.
        stack: closes what is opened.
        enter: which archives are read, by name.
        size: bytes of the archive that holds the others; None in a folder.
    """

    source: str
    stack: ExitStack
    enter: Callable[[str], bool]
    size: int | None

    def __post_init__(self):
        self.room = None if self.size is None else LARGEST_GROWTH * self.size

    def expand(
        self, files: Files, prefix: str = "", depth: int = 0
    ) -> Iterator[tuple[str, Opener]]:
        unpacked = {parent for name in files for parent in map(str, PurePosixPath(name).parents)}
        for name, opener in files.items():
            path = prefix + name
            if HIDDEN.search(name):
                continue
            is_new = ARCHIVE.search(name) and ARCHIVE.sub("", name) not in unpacked
            if not is_new or not self.enter(path):
                yield path, opener
                continue
            if depth == DEEPEST:
                raise InputError(
                    f"{self.source}: {path} is an archive in an archive in an archive: refused"
                )
            yield from self.inside(opener, path, depth)

    def inside(self, opener: Opener, path: str, depth: int) -> Iterator[tuple[str, Opener]]:
        if self.size is None:  # a file of the user's folder is the outermost archive
            file = self.stack.enter_context(opener())
            nest = Nest(self.source, self.stack, self.enter, file.seek(0, io.SEEK_END))
            file.seek(0)
        else:
            file, nest = self.copy(opener, path), self
        try:
            files = list_archive(file, f"{self.source}/{path}", self.stack)
        except DAMAGED as error:
            raise InputError(f"{self.source}/{path} is damaged or encrypted ({error})") from error
        yield from nest.expand(files, f"{path}/", depth + 1)

    def copy(self, opener: Opener, path: str) -> BinaryIO:
        """A temporary file without a name: to seek in a compressed entry is to read it again."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 (the stack closes it)
        self.stack.enter_context(file)
        with opener() as entry:
            while chunk := entry.read(1 << 20):
                self.room -= len(chunk)
                if self.room < 0:
                    raise InputError(
                        f"{self.source}: {path} decompresses to over {LARGEST_GROWTH} times the "
                        "size of the download, as a decompression bomb does: refused"
                    )
                file.write(chunk)
        file.seek(0)
        return file


def index(pairs: Iterable[tuple[K, str]], source: Path) -> dict[K, str]:
    """Paths by what they are to be found by, each by its own."""
    paths: dict[K, str] = {}
    for key, path in pairs:
        if key in paths:
            raise InputError(f"{source} holds {paths[key]} and {path}: expected one of them")
        paths[key] = path
    return paths


def read_lines(opener: Opener, name: str, most: int) -> Iterator[str]:
    """Lines of a text of any encoding close to UTF-8, with their ends, one in memory at a time.

    Raises:
        InputError: there are over ``most`` lines, or one is endless.
    """
    with io.TextIOWrapper(opener(), "utf-8-sig", errors="replace", newline="") as text:
        count = 0
        while line := text.readline(LONGEST_LINE):
            count += 1
            if len(line) == LONGEST_LINE:
                raise InputError(
                    f"{name}, line {count}: a line of over {LONGEST_LINE} characters: no such list"
                )
            if count > most:
                raise InputError(f"{name} has over {most:,} lines: no such list")
            yield line


def read_csv(opener: Opener, name: str, most: int) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and stripped fields, one row at a time; ``most`` lines at most."""
    rows = csv.reader(read_lines(opener, name, most))
    try:
        for row in filter(None, rows):
            yield rows.line_num, [field.strip() for field in row]
    except csv.Error as error:
        raise InputError(f"{name}, line {rows.line_num}: {error}, expected CSV") from error


def read_bytes(opener: Opener, name: str, most: int) -> bytes:
    """A whole file of at most ``most`` bytes, whatever size its archive says it has."""
    with opener() as stream:
        data = stream.read(most + 1)
    if len(data) > most:
        raise InputError(f"{name} is larger than {most:,} bytes, expected a smaller file")
    return data

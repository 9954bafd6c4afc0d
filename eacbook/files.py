"""Atomic file writes, and checksums that notice one changed bit.

A file is written under a temporary name in the same folder, brought to the disk and then renamed. So
after a kill or with a full disk, there is the old file or the complete new one. The access rights follow
the umask: users who can read other files of a shared folder can read these.

The checksum is inside the file, under ``eacbook_sha256`` in a JSON file or in the header of a
safetensors file. It is the SHA-256 of all bytes of the file, with 64 zeros in the place of the checksum.
Other programs can read such a file like any other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from torch import Tensor

CHECKSUM = "eacbook_sha256"
_UNSET = "0" * 64
_PLACE = re.compile(rb'"' + CHECKSUM.encode() + rb'": ?"([0-9a-f]{64})"')
_TEMPORARY = ".eacbook-{host}-{pid}-{token}.tmp"
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:8]


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically: the file is the old one or the complete new one."""
    _write(Path(path), text.encode("utf-8"))


def write_json(path: str | Path, facts: Mapping) -> None:
    """Write plain values as JSON with a checksum, atomically."""
    text = json.dumps({CHECKSUM: _UNSET, **facts}, indent=1) + "\n"
    _write(Path(path), _with_checksum(text.encode("utf-8"))[0])


def read_json(path: str | Path) -> dict:
    """Read the values that :func:`write_json` wrote.

    Raises:
        ValueError: the file is damaged, or was not written by :func:`write_json`.
        OSError: the file cannot be read.
    """
    data = Path(path).read_bytes()
    _verify(data)
    try:
        facts = json.loads(data)
    except RecursionError as error:
        raise ValueError("its values are nested too deeply") from error
    del facts[CHECKSUM]
    return facts


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> str:
    """Write tensors, from any device, as a safetensors file with a checksum, atomically.

    If tensors share their memory (tied weights), each of them is written completely.

    Returns:
        The checksum.

    Raises:
        OSError: the file could not be written, for example because the disk is full.
    """
    # Slow to import, and the scripts that prepare data only write texts.
    from safetensors.torch import save

    plain, written = {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        memory = tensor.untyped_storage().data_ptr()
        plain[name] = tensor.clone() if memory in written else tensor
        written.add(memory)
    data, checksum = _with_checksum(save(plain, (metadata or {}) | {CHECKSUM: _UNSET}))
    _write(Path(path), data)
    return checksum


def read_tensors(
    path: str | Path, *, foreign: bool = False
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read tensors and metadata that :func:`write_tensors` wrote. The metadata have the checksum.

    Args:
        path: the path of the file.
        foreign: accept also a safetensors file of another program, without a checksum.

    Raises:
        ValueError: the file is damaged, or was not written by :func:`write_tensors`.
        OSError: the file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    data = Path(path).read_bytes()
    _verify(data, needed=not foreign)
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    except (SafetensorError, RecursionError) as error:
        raise ValueError(f"it is not a safetensors file: {error}") from error
    return tensors, header.get("__metadata__", {})


def raw_bytes(tensor: Tensor) -> memoryview:
    """The numbers of a tensor, of any type and from any device, as bytes in the order of indices."""
    import torch

    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return memoryview(flat.view(torch.uint8).numpy())


def remove_temporary(folder: Path, *, of_all: bool = False) -> None:
    """Remove the temporary files of killed processes from a folder.

    Args:
        folder: the folder; nothing happens if it does not exist.
        of_all: remove the files of all processes. Use it only while you hold a lock. By default, the
            files of living processes and of other computers are kept.
    """
    host = "*" if of_all else _HOST
    for path in folder.glob(_TEMPORARY.format(host=host, pid="*", token="*")):
        pid = path.name.split("-")[2]
        if of_all or (pid.isdecimal() and not psutil.pid_exists(int(pid))):
            with contextlib.suppress(OSError):
                path.unlink()


def _write(path: Path, data: bytes) -> None:
    remove_temporary(path.parent)
    name = _TEMPORARY.format(host=_HOST, pid=os.getpid(), token=secrets.token_hex(4))
    partial = path.with_name(name)
    try:
        with partial.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, if the system can do so."""
    with contextlib.suppress(OSError):  # Windows cannot open a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _with_checksum(data: bytes) -> tuple[bytes, str]:
    start, end = _PLACE.search(data).span(1)
    checksum = hashlib.sha256(data).hexdigest()
    return b"".join((data[:start], checksum.encode(), data[end:])), checksum


def _verify(data: bytes, needed: bool = True) -> None:
    place = _PLACE.search(data)
    if place is None:
        if not needed:
            return
        raise ValueError("it has no checksum")
    start, end = place.span(1)
    digest = hashlib.sha256(memoryview(data)[:start])
    digest.update(_UNSET.encode())
    digest.update(memoryview(data)[end:])
    if digest.hexdigest().encode() != place[1]:
        raise ValueError("its checksum is wrong: its bytes are not those that were written")

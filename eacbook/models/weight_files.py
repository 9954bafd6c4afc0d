"""Read files of weights. There are four kinds, recognised by their content, not by their name.

The kinds are safetensors (our own runs and checkpoints), files of PyTorch (``torch.save``, new and
legacy), a pickle of numpy arrays (VGGFace2's) and dlib's face recognition network. No code in a file is
executed: see :mod:`eacbook.models.array_pickle`, and ``torch.load(weights_only=True)``, which makes only
tensors.
"""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from eacbook.errors import InputError
from eacbook.files import read_tensors
from eacbook.models.array_pickle import read_array_pickle
from eacbook.models.dlib_face import is_dlib_file, read_dlib_file

SAFE_TORCH = "2.10"
"""In earlier versions ``weights_only`` was not safe (CVE-2025-32434, CVE-2026-24747)."""

_LEGACY = torch.serialization.MAGIC_NUMBER.to_bytes(10, "little")
_WEB_PAGE = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<!--")
_WRAPPERS = ("model", "net", "network", "state_dict", "model_state_dict")
_NESTED = 4
"""How many wrappers are opened, one inside the other; a dictionary can contain itself."""


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU, with the names in the file.

    Wrappers such as ``{"state_dict": ...}`` are removed. From our own checkpoints only the tensors of
    the network are returned.

    Raises:
        InputError: it is not a file of weights, it is broken, or it contains something that would have
            to be executed.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, not a file of weights; a run keeps its own in network.safetensors"
        )
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise InputError(f"the weights {path} cannot be read: {error.strerror}") from error
    _refuse_failed_download(path, head)
    try:
        if head.startswith(b"PK\x03\x04") or _LEGACY in head[:16]:
            tree = _read_torch(path)
        elif head[8:9] == b"{":
            tree = _read_safetensors(path)
        elif is_dlib_file(head):
            tree = read_dlib_file(path)
        else:
            tree = read_array_pickle(path.read_bytes())
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        raise _not_weights(path, _reason(error)) from error
    except Exception as error:  # a broken or hostile file can raise any exception
        raise _not_weights(path, f"it is broken ({type(error).__name__})") from error
    tensors = _tensors_of(tree)
    if not tensors:
        raise _not_weights(path, "there are no tensors in it")
    return tensors


def _refuse_failed_download(path: Path, head: bytes) -> None:
    """Refuse the content that a failed download or a dead link often leaves in the file."""
    if not head:
        raise InputError(f"{path} is empty: the download failed")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_WEB_PAGE):
        raise InputError(
            f"{path} is a web page, not weights: the download failed (docs/weights.md says what to do)"
        )
    if head.startswith(b"version https://git-lfs"):
        raise InputError(
            f"{path} is a pointer of Git LFS, not weights: download the file itself with git lfs pull"
        )


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return read_tensors(path, foreign=True)[0]
    except ValueError as error:
        raise _not_weights(path, str(error)[:100]) from error


def _read_torch(path: Path) -> object:
    if torch.__version__ < SAFE_TORCH:
        raise InputError(
            f"{path} is a file of PyTorch. Only PyTorch {SAFE_TORCH} and later can read it without a "
            f"known risk to execute code in it; this is {torch.__version__}. Update PyTorch, or "
            "convert the file to safetensors (docs/weights.md)"
        )
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            # PyTorch never compresses. Content larger than its file is made to fill the memory.
            unpacked = sum(entry.file_size for entry in archive.infolist())
            if unpacked > path.stat().st_size:
                raise _not_weights(path, "unpacked it would be larger than the file")
            _check_crc(path, archive)
    return torch.load(path, map_location="cpu", weights_only=True)


def _check_crc(path: Path, archive: zipfile.ZipFile) -> None:
    """Check the CRC-32 of every part: PyTorch writes it, but does not check it when it reads."""
    if not any(entry.CRC for entry in archive.infolist()):
        return  # written under torch.serialization.set_crc32_options(False)
    damaged = archive.testzip()
    if damaged is not None:
        raise InputError(
            f"{path} is damaged: the bytes of {damaged[:80]} have changed (their CRC-32 differs); "
            "copy or download the file again"
        )


def _tensors_of(tree: object) -> dict[str, Tensor]:
    for _ in range(_NESTED):
        inner = [tree[key] for key in _WRAPPERS if isinstance(tree, Mapping) and key in tree]
        tree = next((part for part in inner if isinstance(part, Mapping)), tree)
    if not isinstance(tree, Mapping):
        return {}
    tensors = {
        name: tensor.detach()
        for name, tensor in tree.items()
        if isinstance(name, str) and isinstance(tensor, Tensor) and _is_plain(tensor)
    }
    network = {n: tensor for n, tensor in tensors.items() if n.startswith("network.")}
    return {n.removeprefix("network."): tensor for n, tensor in network.items()} or tensors


def _is_plain(tensor: Tensor) -> bool:
    stored = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return stored and not tensor.is_quantized


def _not_weights(path: Path, reason: str) -> InputError:
    return InputError(
        f"{path} was not read as weights: {reason}. Expected safetensors, a PyTorch file with tensors "
        "only, a pickle of numpy arrays, or dlib's face recognition network (docs/weights.md)"
    )


def _reason(error: Exception) -> str:
    """Our own reason, or a short form of torch's message, which advises to trust the file."""
    text = " ".join(str(error).split())
    name = re.search(r"GLOBAL (\S+)", text)
    if name:
        return f"it refers to {name[1]}, which tensors do not need"
    return text if len(text) < 100 else "it holds something other than tensors"

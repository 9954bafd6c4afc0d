"""Files that are the old one or the new one, never half of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text in one go: under its name stands the old file or the whole new one."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def write_tensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write tensors, from any device, as a safetensors file, in one go.

    Raises:
        OSError: the file could not be written, for example because the disk is full.
    """
    # Slow to import, and the scripts that prepare data only write texts.
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        save_file(plain, partial, metadata)
    except SafetensorError as error:
        raise OSError(f"{path} could not be written: {error}") from error
    partial.replace(path)

"""Putting published weights into a network; what matched and what did not is always said.

A ResNet's parts keep their published names under ``backbone.``, so a file and a network meet by name
and shape. Which file belongs to which network, and what to do when its link is dead:
``docs/weights.md``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from eacbook.errors import InputError
from eacbook.weight_files import read_weights

_PREFIXES = ("module.", "network.", "backbone.")
_COUNTER = "num_batches_tracked"
_VGGFACE2_PEOPLE = 8631
_ENOUGH = 0.9


@dataclass(frozen=True)
class Match:
    """What of a file went into a network; names as published (``layer1.0.conv1.weight``).

    Args:
        source: where the tensors came from.
        loaded: in the network and in the source.
        missing: only in the network, which keeps its random ones.
        wrong_shape: in both with different shapes; the network keeps its random ones.
        unexpected: only in the source.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    wrong_shape: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        wanted = len(self.loaded) + len(self.missing) + len(self.wrong_shape)
        parts = [f"{len(self.loaded)} of {wanted} tensors loaded from {self.source}"]
        for title, names in (
            ("left at random", self.missing),
            ("left at random because of another shape", self.wrong_shape),
            ("in the file but not used", self.unexpected),
        ):
            if names:
                parts.append(f"{title}: {_some(names)}")
        return "; ".join(parts)


def load_weights(network: nn.Module, path: str | Path) -> Match:
    """Put the weights of a file into a network.

    A classifier is only taken over from eacbook's own files, and only where its shape fits: the
    classes of other files are people or things, not expressions.

    Args:
        network: a :class:`eacbook.networks.ClassActivationNetwork`; it is changed.
        path: of a file that :func:`eacbook.weight_files.read_weights` reads.

    Returns:
        What matched; as text it is one line. A warning says so too where a part of the backbone
        did not.

    Raises:
        InputError: the file cannot be read, or is not for this network.
    """
    return fill_network(network, read_weights(path), str(path))


def fill_network(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> Match:
    """Put tensors into the network's places of the same name and shape.

    Args:
        network: see :func:`load_weights`.
        tensors: under their published names, or those of eacbook.
        source: where they come from, for the messages.

    Raises:
        InputError: they are not for this network.
    """
    own = all(name.startswith(("backbone.", "fc.")) for name in tensors)
    given = {_published(name): tensor for name, tensor in tensors.items()}
    _refuse_torchvision_for_vggface2(network, given, source)
    places = {_published(name): tensor for name, tensor in network.state_dict().items()}
    usable = {name: tensor for name, tensor in given.items() if own or not name.startswith("fc.")}
    fitting = {
        name: tensor
        for name, tensor in usable.items()
        if name in places and tensor.shape == places[name].shape
    }
    # Batch normalisation counts its batches, and files from before PyTorch 0.4.1 (or from Caffe) lack
    # the counters. Nothing here uses them, so nothing is said of them.
    wanted = [name for name in places if not name.endswith(_COUNTER)]
    match = Match(
        source,
        loaded=tuple(name for name in wanted if name in fitting),
        missing=tuple(name for name in wanted if name not in usable),
        wrong_shape=tuple(name for name in wanted if name in usable and name not in fitting),
        unexpected=tuple(
            name
            for name in given
            if not name.endswith(_COUNTER) and (name not in places or name not in usable)
        ),
    )
    backbone = [name for name in wanted if not name.startswith("fc.")]
    lacking = [name for name in backbone if name not in fitting]
    if len(lacking) > (1 - _ENOUGH) * len(backbone):
        raise InputError(_no_match(network, match, given, places))
    for name, tensor in fitting.items():
        places[name].copy_(tensor)
    if lacking:
        warnings.warn(str(match), stacklevel=3)
    return match


def _published(name: str) -> str:
    """``module.conv1.weight`` and ``backbone.conv1.weight`` are both published as conv1.weight."""
    while name.startswith(_PREFIXES):
        name = name.partition(".")[2]
    return name


def _refuse_torchvision_for_vggface2(
    network: nn.Module, given: Mapping[str, Tensor], source: str
) -> None:
    """Caffe knows no counters of batches; torchvision's ResNet trained on these people has them."""
    classifier = given.get("fc.weight")
    people = classifier is not None and len(classifier) == _VGGFACE2_PEOPLE
    counted = any(name.endswith(_COUNTER) for name in given)
    if network.name == "resnet50" and people and not counted:
        raise InputError(
            f"{source} holds the weights of VGGFace2, converted from Caffe: they fit torchvision's "
            "'resnet50' in shape and compute something else there; use the network 'resnet50-caffe'"
        )


def _no_match(
    network: nn.Module, match: Match, given: Mapping[str, Tensor], places: Mapping[str, Tensor]
) -> str:
    text = f"{match.source} is not for the network {network.name!r}: {match}"
    if match.wrong_shape:
        name = match.wrong_shape[0]
        return (
            f"{text}. {name} is {list(given[name].shape)} in the file and "
            f"{list(places[name].shape)} in the network"
        )
    return f"{text}. The file begins with {_some(given)}, the network with {_some(places)}"


def _some(names: Iterable[str]) -> str:
    names = [name if len(name) < 60 else name[:57] + "..." for name in names]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more

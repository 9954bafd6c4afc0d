"""Load published weights into a network, and report what matched and what did not.

The parts of a ResNet keep their published names under ``backbone.``, so the tensors of a file and of a
network are matched by name and shape. ``docs/weights.md`` lists which file belongs to which network, and
what to do if a link is dead.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from eacbook.errors import InputError
from eacbook.models.weight_files import read_weights

_ADDED_ANYWHERE = {
    "module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"
}  # fmt: skip
"""Parts of names added by torch's DataParallel, torch.compile, FSDP and activation checkpointing."""

_ADDED_IN_FRONT = {"model", "net", "network", "encoder"}
"""Prefixes added by Lightning and others, where the network is a part of another object."""

_EXTENSIONS = {"importance", "peer", "mu", "log_variance", "memory", "mixtures"}
"""The parts that the methods add to a network, beside its backbone and its classifier."""

OF_RUL, _OF_LAYER1 = "mu.3.weight", "layer1.0.conv1.weight"
_COUNTER = "num_batches_tracked"
_VGGFACE2_PEOPLE = 8631
_ENOUGH = 0.9


@dataclass(frozen=True)
class Match:
    """Which tensors of a file were loaded into a network; names as published.

    A published name is, for example, ``layer1.0.conv1.weight``.

    Args:
        source: the source of the tensors.
        loaded: names in the network and in the source.
        missing: names only in the network; these tensors stay random.
        wrong_shape: names in both, with different shapes; these tensors stay random.
        unexpected: names only in the source.
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
    """Load the weights of a file into a network.

    A classifier is loaded only from eacbook's own files, and only if its shape fits: the classes of
    other files are people or things, not expressions.

    Args:
        network: a :class:`eacbook.models.networks.ClassActivationNetwork`; it is changed.
        path: the path of a file that :func:`eacbook.models.weight_files.read_weights` reads.

    Returns:
        What matched; as text it is one line. If a part of the backbone did not match, there is also a
        warning.

    Raises:
        InputError: the file cannot be read, is not for this network, or contains values that no
            training gives: NaN, infinity, whole numbers, or the same number everywhere.
    """
    return fill_network(network, read_weights(path), str(path))


def fill_network(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> Match:
    """Copy tensors to the tensors of a network that have the same name and shape.

    Args:
        network: see :func:`load_weights`.
        tensors: name to tensor; the names are the published ones, or those of eacbook.
        source: the source of the tensors, for the messages.

    Raises:
        InputError: see :func:`load_weights`; then the network is not changed.
    """
    state, of_ours = network.state_dict(), own_tensors(tensors)
    # RUL's classifier uses RUL's branches: in another head it is useless, even if its shape fits.
    own = bool(of_ours) and (OF_RUL in of_ours) == (OF_RUL in state)
    short = _published if len(set(map(_published, state))) == len(state) else str
    places = {short(name): tensor for name, tensor in state.items()}
    names = _names_in(network, places, {name: short(name) for name in tensors})
    given = {names[name]: tensor for name, tensor in tensors.items()}
    _refuse_torchvision_for_vggface2(network, given, source)
    usable = {name: tensor for name, tensor in given.items() if own or not name.startswith("fc.")}
    fitting = {
        name: tensor
        for name, tensor in usable.items()
        if name in places and tensor.shape == places[name].shape
    }
    # Batch normalisation counts its batches. Files from before PyTorch 0.4.1 (or from Caffe) do not have
    # the counters. Nothing here uses them, so they are not reported.
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
        raise InputError(_no_match(network, match, tensors, given, places))
    _refuse_double_names({name: place for name, place in names.items() if place in fitting}, source)
    own_names = {names[name]: name for name in tensors if names[name] in fitting}
    for name, tensor in fitting.items():
        if not name.endswith(_COUNTER):
            fitting[name] = _as_numbers(tensor, places[name].dtype, own_names[name], source)
    kernels = {
        name: fitting[name] for name in backbone if name in fitting and fitting[name].ndim > 1
    }
    if kernels and all(tensor.min() == tensor.max() for tensor in kernels.values()):
        raise InputError(
            f"{source} is not from a trained network: all numbers of {_some(kernels)} are the same"
        )
    for name, tensor in fitting.items():
        places[name].copy_(tensor)
    if network.name == "resnet50" and "layer1" not in own_names.get(_OF_LAYER1, "layer1"):
        warnings.warn(
            f"{source} names its tensors as EAC's published code does. Its ResNet-50 is the network "
            "'resnet50-caffe': the tensors fit 'resnet50', but compute another function there",
            stacklevel=3,
        )
    empty = [name for name, tensor in kernels.items() if not tensor.any()]
    if empty:
        warnings.warn(f"{source} holds only zeros in {_some(empty)}", stacklevel=3)
    if lacking:
        warnings.warn(str(match), stacklevel=3)
    return match


def own_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a run of eacbook, by their names in eacbook; empty for any other file."""
    named = {_without_wrappers(name): tensor for name, tensor in tensors.items()}
    parts = {name.partition(".")[0] for name in named}
    own = {"backbone", "fc"} <= parts <= {"backbone", "fc"} | _EXTENSIONS
    return named if own else {}


def _without_wrappers(name: str, in_front: set[str] = _ADDED_IN_FRONT) -> str:
    parts = [part for part in name.split(".") if part not in _ADDED_ANYWHERE]
    while len(parts) > 1 and parts[0] in in_front:
        del parts[0]
    return ".".join(parts)


def _published(name: str) -> str:
    """The published name of a tensor: ``conv1.weight`` for ``model.conv1.weight`` and for
    ``backbone.conv1.weight``."""
    return _without_wrappers(name, _ADDED_IN_FRONT | {"backbone"})


def _names_in(
    network: nn.Module, places: Mapping[str, Tensor], published: Mapping[str, str]
) -> dict[str, str]:
    """The names of the tensors in the network, by their names in the file.

    EAC, SCN and RUL save ``features.0.weight``: the parts of a ResNet in a ``nn.Sequential``. They have
    the order of the network's own backbone, so the order gives their names.
    """
    backbone = getattr(network, "backbone", None)
    parts = backbone.named_children() if isinstance(backbone, nn.Sequential) else ()
    by_number = {str(number): name for number, (name, _) in enumerate(parts)}
    names = {}
    for name, place in published.items():
        number, _, rest = place.removeprefix("features.").partition(".")
        by_order = f"{by_number.get(number)}.{rest}"
        names[name] = by_order if place not in places and by_order in places else place
    return names


def _refuse_double_names(names: Mapping[str, str], source: str) -> None:
    """Refuse two tensors for one place, e.g. in a file of two networks: we cannot know which to use."""
    seen: dict[str, str] = {}
    for name, place in names.items():
        if place in seen:
            raise InputError(
                f"{source} holds {_cut(seen[place])} and {_cut(name)}, which are the same tensor of "
                "the network: keep one of them in the file"
            )
        seen[place] = name


def _as_numbers(tensor: Tensor, dtype: torch.dtype, name: str, source: str) -> Tensor:
    """A tensor in the dtype of the network.

    Raises:
        InputError: its numbers cannot be weights.
    """
    name = _cut(name)
    if not tensor.is_floating_point():
        raise InputError(
            f"{source}: {name} holds {str(tensor.dtype).removeprefix('torch.')}, expected floating "
            "point numbers"
        )
    numbers = tensor.to(dtype)
    finite = int(numbers.isfinite().sum())
    if finite < numbers.numel():
        what = "NaN" if numbers.isnan().any() else "infinity"
        raise InputError(
            f"{source}: {name} holds {what}: {numbers.numel() - finite:,} of its {numbers.numel():,} "
            "numbers cannot be used; take another copy, or weights from before the training went "
            "wrong"
        )
    if name.endswith("running_var") and (numbers < 0).any():
        raise InputError(f"{source}: {name} holds variances below 0")
    return numbers


def _refuse_torchvision_for_vggface2(
    network: nn.Module, given: Mapping[str, Tensor], source: str
) -> None:
    """Refuse VGGFace2's weights from Caffe for torchvision's ResNet-50.

    Files from Caffe have no counters of batches; a torchvision ResNet trained on these people has them.
    """
    classifier = given.get("fc.weight")
    people = classifier is not None and len(classifier) == _VGGFACE2_PEOPLE
    counted = any(name.endswith(_COUNTER) for name in given)
    if network.name == "resnet50" and people and not counted:
        raise InputError(
            f"{source} holds the weights of VGGFace2, converted from Caffe: their shapes fit "
            "torchvision's 'resnet50', but they compute another function there; use the network "
            "'resnet50-caffe'"
        )


def _no_match(
    network: nn.Module,
    match: Match,
    tensors: Mapping[str, Tensor],
    given: Mapping[str, Tensor],
    places: Mapping[str, Tensor],
) -> str:
    text = f"{match.source} is not for the network {network.name!r}: {match}"
    if match.wrong_shape:
        name = match.wrong_shape[0]
        return (
            f"{text}. {name} is {list(given[name].shape)} in the file and "
            f"{list(places[name].shape)} in the network"
        )
    return f"{text}. The file begins with {_some(tensors)}, the network with {_some(places)}"


def _some(names: Iterable[str]) -> str:
    names = [_cut(name) for name in names]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


def _cut(name: str) -> str:
    return name if len(name) < 60 else name[:57] + "..."

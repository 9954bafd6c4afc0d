"""Features, logits and attention of some training faces, recorded after every epoch.

Two fixed sets of training faces are recorded, in evaluation mode and without augmentation. For the
*watched* faces these are the features, the logits and the attention (the class activation map of the
given class). The first few of them are the *probes*: for these, all maps of the face and of its mirror
image are recorded, too. The records are small (float16, uint8), so that a slider over the epochs only
needs to look them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from eacbook.augment.normalise import mirror, normalise
from eacbook.checks import whole_number
from eacbook.data.images import fetch
from eacbook.errors import InputError
from eacbook.models.networks import WithParts, evaluation_mode, need_parts
from eacbook.noise.labels import NoisyLabels
from eacbook.training.hooks import Hook, record
from eacbook.training.state import Run, Training

FACES, PROBES = 400, 28
BATCH_SIZE = 128


def choose_watched(noisy: NoisyLabels, faces: int = FACES, probes: int = PROBES) -> Tensor:
    """The rows of the training set that are watched, ``[n]``; the same labels give the same rows.

    Args:
        noisy: the training labels.
        faces: n, the size of the random sample (or all faces, if there are fewer).
        probes: how many of them are probes; the probes come first. They are taken in turn from each true
            class, with a right and with a wrong label, where such faces exist.
    """
    order = torch.randperm(len(noisy.given), generator=torch.Generator().manual_seed(0))
    sample = order[:faces]
    kinds = 2 * noisy.true[sample] + noisy.wrong[sample]
    # The place of a face among the faces of its kind: sorting by it takes one of each kind in turn.
    place = torch.zeros_like(kinds)
    for kind in kinds.unique():
        place[kinds == kind] = torch.arange(int((kinds == kind).sum()))
    in_turn = (place * (kinds.max() + 1) + kinds).argsort()
    return torch.cat([sample[in_turn[:probes]], sample[in_turn[probes:].sort().values]])


class Recording(Hook):
    """Records features, logits, attention and maps of some training faces after every epoch.

    Read them with :meth:`Recorded.of`.

    Args:
        faces: the number of watched faces.
        probes: the number of watched faces for which all maps, also those of the mirror image, are
            recorded.

    Raises:
        InputError: there are more probes than faces; or, at the start of a training, the network does
            not give its features.
    """

    def __init__(self, faces: int = FACES, probes: int = PROBES):
        self.faces = whole_number("faces", faces, 1)
        self.probes = whole_number("probes", probes, 1, self.faces)

    def describe(self) -> dict[str, Any]:
        return {"records": {"faces": self.faces, "probes": self.probes}}

    def on_train_begin(self, training: Training) -> None:
        need_parts("recording", training.network, "backbone", "classify")
        self.rows = choose_watched(training.noisy, self.faces, self.probes)

    def on_epoch_end(self, training: Training) -> None:
        network: WithParts = training.network
        size = training.recipe.size
        given = training.noisy.given[self.rows]
        images = fetch(training.faces.train.images, self.rows)
        parts = []
        with evaluation_mode(network), torch.no_grad():
            for some, labels in zip(images.split(BATCH_SIZE), given.split(BATCH_SIZE), strict=True):
                features = network.backbone(normalise(some.to(training.device), size))
                logits, maps = network.classify(features)
                own = torch.arange(len(some), device=maps.device), labels.to(maps.device)
                parts.append((features.mean((2, 3)), logits, maps[own], maps))
            mirrored = normalise(mirror(images[: self.probes].to(training.device)), size)
            _, maps_of_mirror = network(mirrored)
        features, logits, attention, maps = (torch.cat(part) for part in zip(*parts, strict=True))
        record(training, "rows", self.rows)
        record(training, "features", features.half())
        record(training, "logits", logits.half())
        record(training, "attention", _positive(attention))
        both = torch.stack([maps[: self.probes], maps_of_mirror], dim=1)
        stored, lowest, step = _quantise(both)
        record(training, "maps", stored)
        record(training, "maps_scale", torch.stack([lowest, step], dim=1))


@dataclass(frozen=True)
class Recorded:
    """The records of :class:`Recording`: E epochs, n watched faces; the first p of them are the probes.

    Attributes:
        rows: int64 ``[n]``, the watched rows of the training set.
        given, true: int64 ``[n]``, their labels.
        features: float32 ``[E,n,C]``, the pooled features that the classifier gets.
        logits: float32 ``[E,n,K]``.
        attention: float32 ``[E,n,h,w]`` in 0-1: the positive part of the map of the given class.
        maps, maps_of_mirror: float32 ``[E,p,K,h,w]``, the maps of the probes and of their mirror images
            (as the network sees them, not mirrored back).
    """

    rows: Tensor
    given: Tensor
    true: Tensor
    features: Tensor
    logits: Tensor
    attention: Tensor
    maps: Tensor
    maps_of_mirror: Tensor

    @classmethod
    def of(cls, run: Run) -> Recorded:
        """The records of a run.

        Raises:
            InputError: the run was trained without :class:`Recording`.
        """
        kept = run.records
        if "rows" not in kept:
            raise InputError("nothing was recorded for this run: train it with hooks=[Recording()]")
        rows = kept["rows"][-1]
        lowest, step = kept["maps_scale"].unbind(2)
        maps = kept["maps"].float() * step[..., None, None, None, None]
        maps = maps + lowest[..., None, None, None, None]
        return cls(
            rows=rows,
            given=run.noisy.given[rows],
            true=run.noisy.true[rows],
            features=kept["features"].float(),
            logits=kept["logits"].float(),
            attention=kept["attention"].float() / 255,
            maps=maps[:, :, 0],
            maps_of_mirror=maps[:, :, 1],
        )

    @property
    def wrong(self) -> Tensor:
        """bool ``[n]``: which labels are wrong."""
        return self.given != self.true

    @property
    def epochs(self) -> int:
        return len(self.logits)


def _positive(maps: Tensor) -> Tensor:
    """The positive part of maps ``[n,h,w]`` as uint8; the maximum of each map becomes 255."""
    positive = maps.clamp(min=0)
    top = positive.amax((-2, -1), keepdim=True).clamp(min=1e-8)
    return (255 * positive / top).round().to(torch.uint8)


def _quantise(maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Maps ``[p,2,K,h,w]`` as uint8, and for each face ``[p]`` the lowest value and the step size."""
    flat = maps.flatten(1)
    lowest, highest = flat.amin(1), flat.amax(1)
    step = ((highest - lowest) / 255).clamp(min=1e-12)
    shape = (-1, *[1] * (maps.dim() - 1))
    scaled = (maps - lowest.view(shape)) / step.view(shape)
    return scaled.round().to(torch.uint8), lowest, step

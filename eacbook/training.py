"""One visible training loop: read it top to bottom.

Every random stream (order of the batches, camera noise, erasing of each view, flips, dropout) has a
generator of its own, made afresh for every epoch from (seed, stream, epoch). So two methods see the
same stream, whichever parts of it they use, and a run that was killed goes on just as it would have.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import math
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from inspect import unwrap

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from eacbook import processes
from eacbook.augment import Batch, Streams
from eacbook.checks import (
    boolean,
    choice,
    instance,
    put,
    real_number,
    seed_number,
    whole_number,
)
from eacbook.code_digest import describe_code, describe_structure
from eacbook.devices import choose_device, choose_threads, fits_memory, use_threads
from eacbook.errors import InputError, NonFiniteLossError
from eacbook.faces import FaceData
from eacbook.files import raw_bytes
from eacbook.hooks import Checkpoint, History, Hook, LabelsUsed, Memorisation
from eacbook.images import ImageFile, fetch
from eacbook.methods import Method, describe_method
from eacbook.networks import check_answer, check_network, network_name
from eacbook.noise import NoisyLabels

SCHEDULES = ("exponential", "one-cycle")
PRECISIONS = ("float32", "bfloat16")
VERSION = 3
"""Counted up when the same settings give other results; stored runs of before are not found.

It stands for the code of eacbook itself; the user's own is in the settings by its digest."""

LAST_EPOCHS = 5
"""The published figure is the mean test accuracy over these last epochs, never the best one."""


@dataclass(frozen=True)
class Recipe:
    """How long, how fast and in which steps a network is trained, always with Adam.

    The defaults are for ``tiny`` on drawn faces; :data:`RECIPES` holds the published ones too.

    Attributes:
        epochs: at least 1.
        batch_size: images per step.
        learning_rate: the first one (exponential), or the peak (one-cycle).
        weight_decay: L2 penalty.
        schedule: ``"one-cycle"`` warms up and then anneals to nearly zero at the last batch (Smith
            and Topin, 2019); ``"exponential"`` multiplies the learning rate by ``decay`` after each
            epoch, as in the paper.
        decay: for the exponential schedule.
        size: pixels at which the network works; None keeps the stored size.
        balanced: draw every class equally often in an epoch, faces of rare classes repeatedly and
            not every face of a frequent one; as the papers do for AffectNet, and only there.
        precision: in which training computes; ``"bfloat16"`` for convolutions and products, by torch's
            autocast, is faster where the hardware knows it. Losses and evaluation are in float32. (On
            CUDA, PyTorch's float32 convolutions round their inputs to TF32 unless told not to.)
        seed: of the order of the batches and of the augmentation.

    Raises:
        InputError: a value is of another type or out of range.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 1e-2
    weight_decay: float = 1e-4
    schedule: str = "one-cycle"
    decay: float = 0.95
    size: int | None = None
    balanced: bool = False
    precision: str = "float32"
    seed: int = 0

    def __post_init__(self):
        put(
            self,
            epochs=whole_number("epochs", self.epochs, 1),
            batch_size=whole_number("batch_size", self.batch_size, 1),
            learning_rate=real_number("learning_rate", self.learning_rate, above=0),
            weight_decay=real_number("weight_decay", self.weight_decay, at_least=0),
            schedule=choice("schedule", self.schedule, SCHEDULES),
            decay=real_number("decay", self.decay, above=0, at_most=1),
            size=self.size if self.size is None else whole_number("size", self.size, 1),
            balanced=boolean("balanced", self.balanced),
            precision=choice("precision", self.precision, PRECISIONS),
            seed=seed_number("seed", self.seed),
        )


_PUBLISHED_18 = Recipe(60, 32, 2e-4, 1e-4, "exponential", 0.9, 224)
_PUBLISHED_50 = Recipe(60, 32, 1e-4, 1e-4, "exponential", 0.9, 224)
RECIPES = {
    "tiny": Recipe(),
    "resnet18": _PUBLISHED_18,
    "resnet50": _PUBLISHED_50,
    "resnet18-caffe": _PUBLISHED_18,
    "resnet50-caffe": _PUBLISHED_50,
}
"""A recipe for each network: ours for ``tiny``, EAC's published ones for the ResNets."""


def fill_defaults(method: Method, network: str, recipe: Mapping) -> tuple[Method, Recipe]:
    """The method and the recipe, with the network's own wherever nothing was given.

    Args:
        method: EAC without a weight gets the network's.
        network: its name; one that is not in :data:`RECIPES` has the recipe ``Recipe()``.
        recipe: the fields of :class:`Recipe` that were given.

    Raises:
        InputError: there is no method, or a field is of another type or out of range.
    """
    instance("method", method, Method, "EAC()")
    return method.for_network(network), replace(RECIPES.get(network, Recipe()), **recipe)


@dataclass
class Training:
    """A training as its hooks see it.

    Attributes:
        network: what is trained, with what the method added to it.
        method, faces, noisy, recipe, optimizer, scheduler: how, and on what; the images of the faces
            are on the device, unless they are read from a file.
        settings: all that decides the outcome, as plain values; see :func:`describe_training`.
        device: where it is trained.
        batch_sizes: faces in each batch of an epoch; see :func:`split_batches`.
        epoch: number of finished epochs.
        labels: int64 ``[N]`` on the device, with which training goes on: the given ones, unless the
            method changed some.
        threads: of the CPU, for each free core one. A training that goes on from a checkpoint keeps its
            number, because the last digits of a sum depend on it.
        losses: the loss and its parts after every batch of this epoch, scalars on the device.
        samples: what the method said of every training face when its batch came in this epoch, float32
            ``[N]`` on the device, under the method's names; not a number where a face did not come,
            the last word where it came several times.
        row: what is known of this epoch; hooks add columns after the epoch.
        rows: the rows of all finished epochs.
        kept: tensors that hooks keep, the first dimension of each the epochs; checkpointed, and
            handed on with the run.
        stop: a hook sets it to True to end the training after this epoch.
        chosen_epoch: a hook that gives back the network of an earlier epoch says here of which one.
    """

    network: nn.Module
    method: Method
    faces: FaceData
    noisy: NoisyLabels
    recipe: Recipe
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler
    settings: dict
    device: torch.device
    batch_sizes: list[int]
    labels: Tensor
    threads: int
    epoch: int = 0
    losses: list[dict[str, Tensor]] = field(default_factory=list)
    samples: dict[str, Tensor] = field(default_factory=dict)
    row: dict[str, float] = field(default_factory=dict)
    rows: list[dict[str, float]] = field(default_factory=list)
    kept: dict[str, Tensor] = field(default_factory=dict)
    stop: bool = False
    chosen_epoch: int | None = None

    @property
    def batches_per_epoch(self) -> int:
        """How many batches an epoch has."""
        return len(self.batch_sizes)


@dataclass(frozen=True)
class Run:
    """A finished training.

    Attributes:
        network: the trained network.
        rows: one dictionary per epoch: epoch, learning_rate, loss and its parts, test_accuracy,
            validation_accuracy (where there is a split), memorised, recovered, seconds (of training,
            without evaluation), what the method made of the labels (selected_right, relabelled,
            relabelled_rightly), and what further hooks added.
        noisy: the training labels.
        settings: what produced the run; see :func:`describe_training`.
        stored: True if it was read from disk and not trained now.
        kept: tensors that hooks kept, the first dimension of each the epochs.
        chosen_epoch: the epoch (from 1) that the network is of, where a hook chose one, as
            :class:`eacbook.hooks.EarlyStopping` does; None: the last one.
        threads: of the CPU that computed it; another number gives other last digits.
    """

    network: nn.Module
    rows: list[dict[str, float]]
    noisy: NoisyLabels
    settings: dict
    stored: bool = False
    kept: dict[str, Tensor] = field(default_factory=dict)
    chosen_epoch: int | None = None
    threads: int | None = None

    @property
    def history(self):
        """The rows as a pandas DataFrame, indexed by epoch (from 1)."""
        import pandas  # slow to import, and only readers of tables need it

        return pandas.DataFrame(self.rows).set_index("epoch")

    @property
    def summary(self) -> dict[str, float]:
        """The figures of the run; accuracies and shares lie between 0 and 1.

        ``test_accuracy`` is the mean over the last five epochs; ``test_accuracy_last`` and
        ``test_accuracy_best`` (reached in ``best_epoch``) stand beside it. ``validation_accuracy``,
        by which to choose, is the same mean; None where there is no such split. ``memorised`` and
        ``recovered`` are those of the network, which is of ``network_epoch``.

        Where a hook chose the network's epoch (early stopping), ``test_accuracy`` and
        ``validation_accuracy`` are those of that epoch alone: no other network is left. ``epochs``
        and ``seconds`` count all that was trained.
        """
        rows, accuracies = self.rows, [row["test_accuracy"] for row in self.rows]
        network_epoch = self.chosen_epoch or len(rows)
        of_network = rows[network_epoch - 1]
        counted = [of_network] if self.chosen_epoch else rows[-LAST_EPOCHS:]

        def over_counted(name: str) -> float:
            return sum(row[name] for row in counted) / len(counted)

        validated = "validation_accuracy" in of_network
        return {
            "test_accuracy": over_counted("test_accuracy"),
            "validation_accuracy": over_counted("validation_accuracy") if validated else None,
            "test_accuracy_last": accuracies[-1],
            "test_accuracy_best": max(accuracies),
            "best_epoch": accuracies.index(max(accuracies)) + 1,
            "memorised": of_network["memorised"],
            "recovered": of_network["recovered"],
            "network_epoch": network_epoch,
            "epochs": len(rows),
            "seconds": sum(row["seconds"] for row in rows),
        }


def train(
    method: Method,
    network: nn.Module,
    faces: FaceData,
    noisy: NoisyLabels,
    *,
    device: str | torch.device | None = None,
    hooks: Sequence[Hook] = (),
    **recipe,
) -> Run:
    """Train a copy of ``network``; the one that is given keeps its weights.

    Args:
        method: e.g. ``EAC()``; its weight is the network's own, unless it is given.
        network: gives ``(logits, maps)``, as from :func:`eacbook.build_network`.
        faces: training and test faces.
        noisy: labels of the training faces, as from :func:`eacbook.inject_noise`.
        device: None takes CUDA or MPS where there is one, else the CPU.
        hooks: called at the start, after each batch, after each epoch and at the end, in this order
            behind the built-in history and memorisation; a checkpoint starts first and otherwise
            comes last, so that it holds what the others found. See :mod:`eacbook.hooks`.
        **recipe: the fields of :class:`Recipe` that are not the network's own in :data:`RECIPES`:
            epochs, learning_rate, seed, ...

    Returns:
        The run.

    Raises:
        InputError: an argument is out of range or does not fit the faces.
        NonFiniteLossError: the loss became infinite or not a number.
        KeyboardInterrupt: it was interrupted (Ctrl-C, the kernel's stop button), so a notebook stops
            there, too. The message says how many epochs are kept: those in the file of a
            :class:`eacbook.hooks.Checkpoint` among the hooks, from which the same call goes on. A
            training that should survive is started by :func:`eacbook.runs.find_or_train`.
    """
    method, recipe = fill_defaults(method, network_name(network), recipe)
    settings = describe_training(method, network, faces, noisy, recipe, hooks)
    device = choose_device(device)
    _check_memory(faces, recipe, device)
    network = extend_network(method, network, faces, recipe)
    check_answer(network, recipe.size or faces.image_size, faces.num_classes)
    network = network.to(device)
    optimizer = Adam(
        _parameter_groups(network, recipe.learning_rate, method.head_rate),
        weight_decay=recipe.weight_decay,
        fused=device.type != "mps",
    )
    batch_sizes = split_batches(len(faces.train), recipe.batch_size)
    _check_normalisation(network, batch_sizes)
    scheduler = _build_scheduler(optimizer, recipe, len(batch_sizes))
    training = Training(
        network,
        method,
        faces.to(device),
        noisy,
        recipe,
        optimizer,
        scheduler,
        settings,
        device,
        batch_sizes,
        noisy.given.to(device, copy=True),
        choose_threads() if device.type == "cpu" else torch.get_num_threads(),
    )
    hooks = [
        History(),
        Memorisation(),
        LabelsUsed(),
        *sorted(hooks, key=lambda h: isinstance(h, Checkpoint)),
    ]

    with contextlib.ExitStack() as endings:
        # A checkpoint starts first, so that the others see the epoch from which it goes on.
        for hook in sorted(hooks, key=lambda hook: not isinstance(hook, Checkpoint)):
            endings.callback(hook.on_end, training)
            hook.on_start(training)
        endings.enter_context(use_threads(training.threads))
        learner = processes.shared(network)
        try:
            while training.epoch < recipe.epochs and not training.stop:
                _train_one_epoch(training, learner, hooks)
                for hook in hooks:
                    hook.after_epoch(training)
                training.stop = processes.agreed(training.stop)
                training.rows.append(training.row)
                training.epoch += 1
        except KeyboardInterrupt:
            raise KeyboardInterrupt(_interruption(training, hooks)) from None

    return Run(
        network.eval(), training.rows, noisy, settings, kept=training.kept,
        chosen_epoch=training.chosen_epoch, threads=training.threads,
    )  # fmt: skip


def _interruption(training: Training, hooks: Sequence[Hook]) -> str:
    kept = "none of its epochs is kept"
    for hook in hooks:
        if isinstance(hook, Checkpoint) and hook.epoch:
            kept = f"its first {hook.epoch} epochs are kept in {hook.path}"
    at, epochs = min(training.epoch + 1, training.recipe.epochs), training.recipe.epochs
    return f"the training was interrupted in epoch {at} of {epochs}; {kept}"


def _check_memory(faces: FaceData, recipe: Recipe, device: torch.device) -> None:
    """Refuse a batch whose pictures alone are larger than the device's memory."""
    size = recipe.size or faces.image_size
    pictures = min(recipe.batch_size, len(faces.train))
    what = f"a batch of {pictures} pictures of {size} x {size} pixels"
    fits_memory(what, 4 * 3 * size**2 * pictures, device)


def extend_network(
    method: Method, network: nn.Module, faces: FaceData, recipe: Recipe
) -> nn.Module:
    """A copy of the network with what the method adds to it."""
    size = recipe.size or faces.image_size
    return method.extend(copy.deepcopy(network), size, recipe.seed)


class Adam(torch.optim.Adam):
    """torch's own, without a wait of some 3 seconds.

    torch hides these methods from its compiler, and imports that compiler, 900 modules, when the first
    of them is called. We compile nothing, so here they stand as they are behind those wrappers.
    """

    step = torch.no_grad()(unwrap(torch.optim.Adam.step))
    zero_grad = unwrap(torch.optim.Adam.zero_grad)
    add_param_group = unwrap(torch.optim.Adam.add_param_group)
    state_dict = unwrap(torch.optim.Adam.state_dict)
    load_state_dict = unwrap(torch.optim.Adam.load_state_dict)


def _parameter_groups(network: nn.Module, learning_rate: float, head_rate: float) -> list[dict]:
    """One group, or two where the classifier has a learning rate of its own."""
    if head_rate == 1:
        return [{"params": list(network.parameters()), "lr": learning_rate}]
    head = list(network.fc.parameters())
    rest = [p for p in network.parameters() if all(p is not of_head for of_head in head)]
    return [
        {"params": rest, "lr": learning_rate},
        {"params": head, "lr": learning_rate * head_rate},
    ]


def _build_scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, batches_per_epoch: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """A scheduler that is stepped after every batch."""
    if recipe.schedule == "one-cycle":
        steps = recipe.epochs * batches_per_epoch
        peaks = [group["lr"] for group in optimizer.param_groups]
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, peaks, steps)
    return torch.optim.lr_scheduler.StepLR(
        optimizer, step_size=batches_per_epoch, gamma=recipe.decay
    )


def _train_one_epoch(training: Training, learner: nn.Module, hooks: Sequence[Hook]) -> None:
    """Args: learner: the network, or what stands for it among several processes."""
    started = time.perf_counter()
    optimizer, scheduler = training.optimizer, training.scheduler
    training.row = {"epoch": training.epoch + 1, "learning_rate": scheduler.get_last_lr()[0]}
    training.losses, training.samples = [], {}
    processes.align(training.network)
    learner.train()
    # Layers with randomness of their own (dropout) draw from torch's global generator.
    gpus = [training.device] if training.device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(stream_seed(training.recipe.seed, "layers", training.epoch))
        for batch in batches(
            training.faces,
            training.noisy,
            training.recipe,
            training.epoch,
            training.device,
            training.labels,
        ):
            with mixed_precision(training.device, training.recipe.precision):
                losses = training.method.loss(learner, batch)
            optimizer.zero_grad()
            losses["loss"].backward()
            optimizer.step()
            scheduler.step()
            _note(training, batch, losses)
            for hook in hooks:
                hook.after_batch(training)
    _check_finite(training)
    training.row["seconds"] = time.perf_counter() - started


def mixed_precision(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Inside, what a recipe's precision asks for. (Not every torch knows autocast on every device.)"""
    if precision == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def _note(training: Training, batch: Batch, losses: dict[str, Tensor]) -> None:
    """Keep what the method said of a batch: scalars for the epoch's means, the rest by face.

    A balanced epoch may have a face several times in one batch: then its last place there counts.
    """
    scalars = {}
    last = last_places(batch.index) if training.recipe.balanced else slice(None)
    for name, value in losses.items():
        if not name.startswith("sample_"):
            scalars[name] = value.detach()
            continue
        if name == "sample_labels":
            training.labels[batch.index] = value[last]
        if name not in training.samples:
            training.samples[name] = torch.full_like(training.labels, math.nan, dtype=torch.float32)
        training.samples[name][batch.index] = value.detach().float()[last]
    training.losses.append(scalars)


def last_places(index: Tensor) -> Tensor:
    """For each face of a batch, int64 ``[B]``, the last place at which the same face stands: ``[B]``.

    What is taken from there is the same at all places of a face, so it does not matter in which order a
    device writes them; and no device is waited for.
    """
    places = torch.arange(len(index), device=index.device)
    return torch.where(index[:, None] == index, places, -1).amax(1)


def split_batches(count: int, batch_size: int) -> list[int]:
    """Faces in each batch of an epoch: ``batch_size``, and in the last one what remains.

    A single face that would remain joins the batch before it, for every method. So a batch of one face
    comes only where there is but one, or with ``batch_size=1``: nothing can be ranked, mixed or
    normalised within it.
    """
    sizes = [batch_size] * (count // batch_size)
    remaining = count % batch_size
    if remaining == 1 and sizes:
        sizes[-1] += 1
    elif remaining:
        sizes.append(remaining)
    return sizes


def _check_normalisation(network: nn.Module, batch_sizes: Sequence[int]) -> None:
    """Refuse, before the first step, what batch normalisation would end with an error or with NaN."""
    if min(batch_sizes) == 1 and any(isinstance(m, _BatchNorm) for m in network.modules()):
        found = "batch_size is 1" if len(batch_sizes) > 1 else "there is one training face"
        raise InputError(
            f"batch normalisation needs at least 2 faces in a batch, and {found}: choose a larger "
            "batch_size and more faces, or a network without it"
        )


def batches(
    faces: FaceData,
    noisy: NoisyLabels,
    recipe: Recipe,
    epoch: int,
    device: torch.device | str = "cpu",
    labels: Tensor | None = None,
) -> Iterator[Batch]:
    """The very batches of an epoch (from 0), in an order of this epoch; see :func:`split_batches`.

    Every training face comes once; with ``recipe.balanced``, as often as the draw has it. Images in
    memory are taken from there, on their own device; those in a file are read by threads of their own,
    ahead of the network.

    Args:
        labels: int64 ``[N]``, those of a method that changes labels; None for the given ones.
    """
    device = torch.device(device)

    def seed(stream: str) -> int:
        return stream_seed(recipe.seed, stream, epoch)

    images = faces.train.images
    labels = noisy.given.to(device) if labels is None else labels
    sizes = split_batches(len(faces.train), recipe.batch_size)
    order = _order(noisy.given, recipe.balanced, torch.Generator().manual_seed(seed("order")))
    if isinstance(images, Tensor):
        split = order.to(images.device).split(sizes)
        parts = ((index, fetch(images, index)) for index in split)
    else:
        split = order.split(sizes)
        parts = _read_ahead(images, split, device)
    streams = Streams(seed, sizes, device)
    for number, (index, part) in enumerate(parts):
        index, part = (tensor.to(device, non_blocking=True) for tensor in (index, part))
        yield Batch(part, labels[index], index, streams, number, recipe.size, epoch)


def _order(given: Tensor, balanced: bool, generator: torch.Generator) -> Tensor:
    """int64 ``[N]``, the rows in which an epoch sees them."""
    if not balanced:
        return torch.randperm(len(given), generator=generator)
    rarity = 1 / given.bincount().double()
    return torch.multinomial(rarity[given], len(given), replacement=True, generator=generator)


READERS = AHEAD = 4
"""Threads that read from a file, and how many batches they are ahead of the network."""


def _read_ahead(
    images: ImageFile, batches: Iterable[Tensor], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows and images of each batch, in order; threads read while those before are in use."""

    def read(index: Tensor) -> tuple[Tensor, Tensor]:
        part = images[index]
        # From pinned memory a GPU fetches them by itself.
        return index, part.pin_memory() if device.type == "cuda" else part

    with ThreadPoolExecutor(READERS) as threads:
        waiting = deque()
        for index in batches:
            waiting.append(threads.submit(read, index))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _check_finite(training: Training) -> None:
    """Once an epoch: to look at every loss as it comes would wait for the device each time."""
    losses = torch.stack([losses["loss"] for losses in training.losses])
    broken = (~losses.isfinite()).nonzero()
    if len(broken):
        batch = int(broken[0])
        parts = ", ".join(
            f"{name} {loss.item():.4g}" for name, loss in training.losses[batch].items()
        )
        raise NonFiniteLossError(
            f"{training.method.name}: the loss is not finite in epoch {training.epoch + 1}, batch "
            f"{batch + 1} of {training.batches_per_epoch} ({parts}). Try a smaller learning rate (now "
            f"{training.row['learning_rate']:.3g}) or, for EAC, a smaller weight."
        )
    state = training.network.state_dict()
    finite = torch.stack([tensor.isfinite().all() for tensor in state.values()])
    if not finite.all():
        name = list(state)[int((~finite).nonzero()[0])]
        raise NonFiniteLossError(
            f"{training.method.name}: {name} of the network is not finite after epoch "
            f"{training.epoch + 1}, though the loss is. Try a smaller learning rate (now "
            f"{training.row['learning_rate']:.3g})."
        )


def describe_training(
    method: Method,
    network: nn.Module,
    faces: FaceData,
    noisy: NoisyLabels,
    recipe: Recipe,
    hooks: Sequence[Hook] = (),
) -> dict:
    """Describe, as plain values, all that decides the outcome of a training.

    Two trainings with equal descriptions give the same run (on one kind of device); the initial
    weights, the given labels and the user's own code enter by a digest. For eacbook's own code stands
    :data:`VERSION`.

    Args:
        method, recipe: as from :func:`fill_defaults`.
        network, faces, noisy, hooks: see :func:`train`.

    Raises:
        InputError: an argument is of another class, the network cannot be trained, a part of its state
            is no tensor, or the labels do not fit the faces.
    """
    check_network(network)
    instance("faces", faces, FaceData, "load_faces('synthetic')")
    instance("noisy", noisy, NoisyLabels, "inject_noise(faces.train.labels, 0.3, 7)")
    for hook in instance("hooks", hooks, Sequence, "[Progress()]"):
        instance("each hook", hook, Hook, "Progress()")
    if len(noisy.given) != len(faces.train):
        raise InputError(f"{len(noisy.given)} noisy labels for {len(faces.train)} training faces")
    for label in (int(noisy.given.min()), int(noisy.given.max())):
        if not 0 <= label < faces.num_classes:
            raise InputError(f"a noisy label is {label}, with {faces.num_classes} classes")
    if not torch.equal(noisy.true, faces.train.labels.cpu()):
        raise InputError("the noisy labels were made for other faces: their true labels differ")
    weights = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        try:
            weights.update(raw_bytes(tensor))
        except (AttributeError, RuntimeError, ValueError) as error:
            raise InputError(
                f"{name} in the network's state is no tensor of plain numbers, and only such can be "
                f"trained and stored ({str(error).partition(chr(10))[0][:80]})"
            ) from error
    describing = [hook for hook in hooks if hook.describe()]
    deciding = {"method": type(method), "network": network, "hooks": list(map(type, describing))}
    given = hashlib.sha256(noisy.given.numpy().tobytes())
    return {
        "data": {"name": faces.name, "fingerprint": faces.fingerprint, "train": len(faces.train)},
        "noise": {**noisy.settings, "given": given.hexdigest()[:16]},
        "method": describe_method(method.for_network(network_name(network))),
        "network": {
            "name": network_name(network),
            "initial": weights.hexdigest()[:16],
            "structure": describe_structure(network),
        },
        "recipe": asdict(recipe),
        "hooks": [hook.describe() for hook in describing],
        "code": {
            name: digest for name, part in deciding.items() if (digest := describe_code(part))
        },
        "version": VERSION,
    }


def stream_seed(seed: int, stream: str, epoch: int) -> int:
    """A seed for one random stream in one epoch, unrelated to every other."""
    digest = hashlib.sha256(f"{seed}/{stream}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:7], "big")

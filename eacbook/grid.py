"""The grid: methods x noise rates x data sets x seeds, every cell a run that is stored and found again.

A cell is trained once, whoever asks for it, here or on a cluster (:func:`eacbook.runs.find_or_train`
holds a lock beside the runs), and goes on from the checkpoint that a worker which died may have left.
What fails is told at the end, and the other cells are kept.
"""

from __future__ import annotations

import functools
import traceback
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path

from tqdm.auto import tqdm

from eacbook.checks import choice, path_name, real_number, shown, whole_number
from eacbook.errors import InputError
from eacbook.faces import FaceData, load_faces
from eacbook.methods import Method, parse_method
from eacbook.networks import build_network
from eacbook.noise import inject_noise
from eacbook.runs import FOLDER, find_or_train, read_facts, run_name
from eacbook.training import RECIPES, Recipe, describe_training, fill_defaults
from eacbook.workers import Workers, each_once, training_place

PASSES = {"eac": 2, "small_loss": 2}
"""How often, about, a method runs a network a step; for the order of the cells and the time left."""


@dataclass(frozen=True)
class Cell:
    """One training of the grid.

    Attributes:
        name: the method as it was written, e.g. ``"eac:weight=2"``.
        method: that method.
        data: ``"synthetic"``, or the folder of a prepared set.
        rate: of wrong labels, 0 to 1; None where annotators' votes decide.
        recipe: its seed is also that of the wrong labels and of the initial weights.
        network, weights: see :func:`eacbook.networks.build_network`.
        kind: of noise, ``"symmetric"``, ``"pair"`` or ``"annotator"``.
        limit: at most so many images of each split.
    """

    name: str
    method: Method
    data: str
    rate: float | None
    recipe: Recipe
    network: str = "tiny"
    weights: str | None = None
    kind: str = "symmetric"
    limit: int | None = None

    def __str__(self) -> str:
        return f"{self.name} on {self.data}, {self.noise}, seed {self.recipe.seed}"

    @property
    def noise(self) -> str:
        """As the table is titled: ``"30 % wrong labels"``."""
        rate = "" if self.rate is None else f"{100 * self.rate:g} % "
        return {
            "symmetric": f"{rate}wrong labels",
            "pair": f"{rate}wrong labels (pair noise)",
            "annotator": "single annotators' labels",
        }[self.kind]


@dataclass(frozen=True)
class Outcome:
    """What became of a cell: the name of its run's folder, or why there is none.

    Attributes:
        cell: the cell.
        run: name of the folder.
        failure: one sentence.
        trace: where in the code it failed.
    """

    cell: Cell
    run: str | None = None
    failure: str | None = None
    trace: str = ""


def make_cells(
    methods: Sequence[str],
    rates: Sequence[float | None],
    data: Sequence[str] = ("synthetic",),
    seeds: Sequence[int] = (0,),
    *,
    network: str = "tiny",
    weights: str | None = None,
    kind: str = "symmetric",
    limit: int | None = None,
    **recipe,
) -> list[Cell]:
    """Every method with every rate, data set and seed.

    Args:
        methods: as :func:`eacbook.methods.parse_method` reads them; one that must know the noise rate
            is told that of its cell.
        rates, data, seeds, network, weights, kind, limit: see :class:`Cell`; the rates are
            ``[None]`` for annotator noise.
        **recipe: what differs from the network's own recipe in :data:`eacbook.training.RECIPES`.

    Raises:
        InputError: something is unknown, empty or out of range, or a cell would stand there twice.
            Nothing was trained until then.
    """
    methods, rates = _listed("methods", methods), _listed("rates", rates)
    data, seeds = _listed("data", data), _listed("seeds", seeds)
    choice("network", network, RECIPES)
    limit = None if limit is None else whole_number("limit", limit, 1)
    # Workers may have another working directory, and one folder has many names.
    if weights not in (None, "imagenet"):
        weights = str(Path(path_name("weights", weights)).resolve())
    if kind not in ("symmetric", "pair", "annotator"):
        raise InputError(f"the grid's noise is symmetric, pair or annotator, got {kind!r}")
    if (kind == "annotator") != (rates == [None]):
        raise InputError("annotator noise has its own rate, and the other kinds need one")
    if kind != "annotator":
        rates = [real_number("rate", rate, at_least=0, at_most=1) for rate in rates]
    for place in data:
        if path_name("data", place) != "synthetic" and not Path(place).is_dir():
            raise InputError(
                f"unknown data set {shown(place)}: expected 'synthetic' or a folder prepared by a "
                "script in data_scripts/"
            )
    cells = {}
    for place, rate, name, seed in product(data, rates, methods, seeds):
        place = place if place == "synthetic" else str(Path(place).resolve())
        share = _share_of_wrong_answers(place, limit, seed) if rate is None else rate
        method = parse_method(name, noise_rate=share)
        method, settings = fill_defaults(method, network, dict(**recipe, seed=seed))
        cell = Cell(name, method, place, rate, settings, network, weights, kind, limit)
        same = cells.setdefault((method, place, rate, seed), cell)
        if same is not cell:
            twice = "" if same.name == name else f" ({same.name!r} and {name!r} mean the same)"
            raise InputError(f"the grid has a cell twice: {cell}{twice}")
    names = Counter(Path(place).name for place in {cell.data for cell in cells.values()})
    name, count = names.most_common(1)[0]
    if count > 1:
        raise InputError(f"{count} data sets are named {name!r}, and the table tells them by name")
    return list(cells.values())


def _listed(name: str, values: Sequence) -> list:
    """The values in a list, when there are some."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name} must be a list, got {shown(values)}")
    values = list(values)
    if not values:
        raise InputError(f"{name} is empty, and a grid needs at least one of them")
    return values


def run_grid(cells: Sequence[Cell], workers: Workers, folder: str | Path = FOLDER) -> list[Outcome]:
    """Train every cell whose run is not stored yet.

    Args:
        cells: as from :func:`make_cells`.
        workers: as from :mod:`eacbook.workers`.
        folder: where runs are kept; all workers of a cluster must see it under this path.

    Returns:
        What became of each cell, in their order.

    Raises:
        InputError: there is no cell.
    """
    cells = _listed("cells", cells)
    folder = Path(folder).resolve()
    if cells[0].weights:
        network = _prepare(cells[0])[0][1]
        print(network.weights_match)
    outcomes = {cell: _look_up(cell, folder) for cell in cells}
    missing = [cell for cell, outcome in outcomes.items() if outcome.run is None]
    # The longest first, so that at the end no worker trains a long one while the others wait.
    missing.sort(key=_work, reverse=True)
    print(
        f"{len(cells)} cells: {len(cells) - len(missing)} stored, {len(missing)} to train by "
        f"{replace(workers, count=min(workers.count, len(missing) or 1))}",
        flush=True,
    )
    if not missing:
        return list(outcomes.values())
    attempt = functools.partial(_attempt, folder=str(folder), workers=workers)
    with tqdm(
        total=sum(map(_work, missing)),
        bar_format="{percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left{postfix}",
    ) as bar:
        try:
            for done, (cell, outcome, death) in enumerate(each_once(attempt, missing, workers), 1):
                outcomes[cell] = outcome or Outcome(cell, failure=death)
                bar.set_postfix_str(f"{done}/{len(missing)} cells, last: {cell}", refresh=False)
                bar.update(_work(cell))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "interrupted; what was trained is kept, and the same call goes on from there"
            ) from None
    return list(outcomes.values())


def run_cell(cell: Cell, folder: str | Path = FOLDER, device: str | None = None) -> str:
    """Find the run of a cell, or train it.

    Returns:
        The name of the run's folder.

    Raises:
        KeyboardInterrupt: the training was interrupted; its whole epochs are kept.
    """
    inputs, settings = _prepare(cell)
    find_or_train(*inputs, folder=folder, device=device, **asdict(cell.recipe))
    return run_name(settings)


@functools.lru_cache(maxsize=4)
def faces_of(data: str, limit: int | None = None) -> FaceData:
    """The faces of a cell, drawn or opened once in a process."""
    faces = load_faces(data)
    return faces if limit is None else faces.limit(limit)


@functools.lru_cache
def _share_of_wrong_answers(data: str, limit: int | None, seed: int) -> float:
    """The rate of annotator noise."""
    train, classes = faces_of(data, limit).train, faces_of(data, limit).num_classes
    return inject_noise(train.labels, None, classes, "annotator", seed, votes=train.votes).rate


def _prepare(cell: Cell) -> tuple[tuple, dict]:
    """What a training is given, and the settings that it will be stored under."""
    faces, seed = faces_of(cell.data, cell.limit), cell.recipe.seed
    classes = faces.num_classes
    noisy = inject_noise(
        faces.train.labels, cell.rate, classes, cell.kind, seed,
        classes=faces.classes, votes=faces.train.votes,
    )  # fmt: skip
    network = build_network(cell.network, classes, weights=cell.weights, seed=seed)
    inputs = cell.method, network, faces, noisy
    return inputs, describe_training(*inputs, cell.recipe)


def _look_up(cell: Cell, folder: Path) -> Outcome:
    """The stored run of a cell; a broken one is as good as none, and its worker will say so."""
    _, settings = _prepare(cell)
    name = run_name(settings)
    try:
        read_facts(folder / name)
    except InputError:
        return Outcome(cell)
    return Outcome(cell, name)


def _attempt(cell: Cell, folder: str, workers: Workers) -> Outcome:
    """In a worker: a failure is told, and does not end the grid."""
    try:
        with training_place(workers) as device:
            return Outcome(cell, run_cell(cell, folder, device))
    except Exception as error:
        sentence = str(error).partition("\n")[0]
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        return Outcome(cell, failure=kind + sentence, trace=traceback.format_exc())


def _work(cell: Cell) -> float:
    """How long a cell takes, in units of its own: cells of one grid are compared by it."""
    faces, recipe = faces_of(cell.data, cell.limit), cell.recipe
    pixels = (recipe.size or faces.image_size) ** 2
    return PASSES.get(cell.method.name, 1) * recipe.epochs * len(faces.train) * pixels

"""The grid: methods x noise rates x data sets x seeds. Every cell is a run that is stored.

A cell is trained once, even if several processes need it, here or on a cluster: the function
:func:`eacbook.experiments.runs.find_or_train` holds a lock. If a worker died, the next one continues
from its checkpoint. If a cell fails, the other cells are kept, and the failure is reported at the end.
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
from eacbook.data.faces import FaceData, load_faces
from eacbook.errors import InputError
from eacbook.experiments.runs import FOLDER, find_or_train, read_facts, run_name
from eacbook.experiments.workers import Workers, each_once, training_place
from eacbook.methods import Method, parse_method
from eacbook.models.networks import build_network, check_answer
from eacbook.models.registry import NETWORKS
from eacbook.noise.inject import inject_noise
from eacbook.training.identity import describe_training, fill_defaults
from eacbook.training.recipe import Recipe


@dataclass(frozen=True)
class Cell:
    """One training of the grid.

    Attributes:
        name: the method as the user wrote it, e.g. ``"eac:weight=2"``.
        method: the method itself.
        data: ``"synthetic"``, or the folder of a prepared set.
        rate: the share of wrong labels, 0 to 1; None if annotators' votes decide.
        recipe: the recipe; its seed is also that of the wrong labels and of the initial weights.
        network, weights: see :func:`eacbook.models.networks.build_network`.
        kind: the kind of noise, ``"symmetric"``, ``"pair"`` or ``"annotator"``.
        limit: at most this many images of each split.
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
        """The title of the column in the table: ``"30 % wrong labels"``."""
        rate = "" if self.rate is None else f"{100 * self.rate:g} % "
        return {
            "symmetric": f"{rate}wrong labels",
            "pair": f"{rate}wrong labels (pair noise)",
            "annotator": "single annotators' labels",
        }[self.kind]


@dataclass(frozen=True)
class CellResult:
    """The result of a cell: the name of its run's folder, or why there is none.

    Attributes:
        cell: the cell.
        run: the name of the folder, or None after a failure.
        failure: a sentence that says why it failed, or None.
        trace: the traceback of the failure.
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
    """The cells for every method with every rate, data set and seed.

    Args:
        methods: as :func:`eacbook.methods.parse_method` reads them. A method that needs the noise rate
            gets the rate of its cell.
        rates, data, seeds, network, weights, kind, limit: see :class:`Cell`; the rates are
            ``[None]`` for annotator noise.
        **recipe: the fields that differ from the network's own recipe.

    Raises:
        InputError: a value is unknown, empty or out of range, or a cell occurs twice. This happens
            before any training.
    """
    methods, rates = _listed("methods", methods), _listed("rates", rates)
    data, seeds = _listed("data", data), _listed("seeds", seeds)
    choice("network", network, NETWORKS)
    limit = None if limit is None else whole_number("limit", limit, 1)
    # Workers may have another working directory, and one folder can have several paths.
    if weights is not None and weights not in NETWORKS[network].weights:
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
                f"unknown data set {shown(place)}: expected 'synthetic' or a folder prepared by "
                "'eacbook prepare'"
            )
    cells: dict[tuple[object, ...], Cell] = {}
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
        raise InputError(
            f"{count} data sets are named {name!r}, but the table needs different names"
        )
    return list(cells.values())


def _listed(name: str, values: Sequence) -> list:
    """The values as a list, after a check that there are some."""
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InputError(f"{name} must be a list, got {shown(values)}")
    values = list(values)
    if not values:
        raise InputError(f"{name} is empty, and a grid needs at least one of them")
    return values


def run_grid(
    cells: Sequence[Cell], workers: Workers, folder: str | Path = FOLDER
) -> list[CellResult]:
    """Train every cell whose run is not stored yet.

    Args:
        cells: from :func:`make_cells`.
        workers: from :mod:`eacbook.experiments.workers`.
        folder: the folder of the runs; it must have this path on all workers of a cluster.

    Returns:
        The result of each cell, in the order of the cells.

    Raises:
        InputError: there is no cell.
    """
    cells = _listed("cells", cells)
    folder = Path(folder).resolve()
    for number, cell in enumerate({cell.data: cell for cell in cells}.values()):
        (_, network, faces, _), _ = _prepare(cell)
        if number == 0 and cell.weights:
            print(network.weights_match)
        check_answer(network, cell.recipe.size or faces.image_size, faces.num_classes)
    results = {cell: _look_up(cell, folder) for cell in cells}
    missing = [cell for cell, result in results.items() if result.run is None]
    # The longest cells first. Otherwise a worker could train a long cell last while the others wait.
    missing.sort(key=_work, reverse=True)
    print(
        f"{len(cells)} cells: {len(cells) - len(missing)} stored, {len(missing)} to train by "
        f"{replace(workers, count=min(workers.count, len(missing) or 1))}",
        flush=True,
    )
    if not missing:
        return list(results.values())
    attempt = functools.partial(_attempt, folder=str(folder), workers=workers)
    with tqdm(
        total=sum(map(_work, missing)),
        bar_format="{percentage:3.0f}%|{bar}| elapsed {elapsed}, remaining {remaining}{postfix}",
    ) as bar:
        try:
            for done, (cell, result, death) in enumerate(each_once(attempt, missing, workers), 1):
                results[cell] = result or CellResult(cell, failure=death)
                bar.set_postfix_str(f"{done}/{len(missing)} cells, last: {cell}", refresh=False)
                bar.update(_work(cell))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "interrupted; what was trained is kept, and the same call goes on from there"
            ) from None
    return list(results.values())


def run_cell(cell: Cell, folder: str | Path = FOLDER, device: str | None = None) -> str:
    """Find the stored run of a cell, or train the cell.

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
    """The faces of a cell. A process draws or opens them once."""
    faces = load_faces(data)
    return faces if limit is None else faces.limit(limit)


@functools.lru_cache
def _share_of_wrong_answers(data: str, limit: int | None, seed: int) -> float:
    """The rate of annotator noise: the share of single votes that differ from the true class."""
    train, classes = faces_of(data, limit).train, faces_of(data, limit).num_classes
    return inject_noise(train.labels, None, classes, "annotator", seed, votes=train.votes).rate


def _prepare(cell: Cell) -> tuple[tuple, dict]:
    """The inputs of a cell's training, and the settings under which its run is stored."""
    faces, seed = faces_of(cell.data, cell.limit), cell.recipe.seed
    classes = faces.num_classes
    noisy = inject_noise(
        faces.train.labels, cell.rate, classes, cell.kind, seed,
        classes=faces.classes, votes=faces.train.votes,
    )  # fmt: skip
    network = build_network(cell.network, classes, weights=cell.weights, seed=seed)
    inputs = cell.method, network, faces, noisy
    return inputs, describe_training(*inputs, cell.recipe)


def _look_up(cell: Cell, folder: Path) -> CellResult:
    """The stored run of a cell. A broken run counts as missing, and the worker will report it."""
    _, settings = _prepare(cell)
    name = run_name(settings)
    try:
        read_facts(folder / name)
    except InputError:
        return CellResult(cell)
    return CellResult(cell, name)


def _attempt(cell: Cell, folder: str, workers: Workers) -> CellResult:
    """Train a cell in a worker. A failure becomes part of the result and does not end the grid."""
    try:
        with training_place(workers) as device:
            return CellResult(cell, run_cell(cell, folder, device))
    except Exception as error:
        sentence = str(error).partition("\n")[0]
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        return CellResult(cell, failure=kind + sentence, trace=traceback.format_exc())


def _work(cell: Cell) -> float:
    """How long a cell takes, in an arbitrary unit. It is used to compare the cells of a grid."""
    faces, recipe = faces_of(cell.data, cell.limit), cell.recipe
    pixels = (recipe.size or faces.image_size) ** 2
    return cell.method.passes * recipe.epochs * len(faces.train) * pixels

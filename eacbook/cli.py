"""The ``eacbook`` command: demo, train, table, audit, noise, prepare, runs, lab."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from eacbook import __version__, terminal
from eacbook.checks import choice, path_name, read_real_number, read_whole_number, real_number
from eacbook.data.format import SPLITS
from eacbook.data.prepare import SETS, prepare
from eacbook.errors import InputError
from eacbook.extras import install_line
from eacbook.files import write_text
from eacbook.methods import METHODS
from eacbook.models.registry import NETWORKS
from eacbook.training.recipe import recipe_of

if TYPE_CHECKING:
    from eacbook.data.faces import FaceData
    from eacbook.noise.labels import NoisyLabels

NOISE_KINDS = "symmetric, pair, or annotator (one person's vote; needs a set with votes)"
LESS_MEMORY = "take a smaller --size or --batch-size, fewer images (--limit) or fewer --workers"
FIRST_NOTEBOOK = Path("notebooks/00_primer.ipynb")

# If a photograph is larger than this, the server closes the connection to the kernel without a message.
# JupyterLab's own limit is 10 MB. With a larger limit, the explorer can report that a file is too large.
LARGEST_MESSAGE = {"websocket_max_message_size": 64 << 20}
JUPYTERLAB = [
    sys.executable, "-m", "jupyterlab", f"--ServerApp.tornado_settings={LARGEST_MESSAGE}"
]  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit status (2 for an error that the user can correct)."""
    return terminal.run("eacbook", lambda: _run(arguments), LESS_MEMORY)


def _run(arguments: list[str] | None) -> int:
    options = build_parser().parse_args(arguments)
    noise = getattr(options, "noise", None)
    for rate in noise if isinstance(noise, list) else filter(None, [noise]):
        real_number("--noise", rate, at_least=0, at_most=1)
    try:
        return options.command(options) or 0
    except KeyboardInterrupt as interrupt:  # its message says what is kept
        print(f"\neacbook: {interrupt or 'interrupted'}", file=sys.stderr)
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The parser of all subcommands, each with an example in its help."""
    parser = terminal.Parser(prog="eacbook", description=sys.modules["eacbook"].__doc__)
    parser.add_argument("--version", action="version", version=f"eacbook {__version__}")
    methods = f"{', '.join(METHODS)}; with hyperparameters eac:weight=2,erasing=false"
    commands = parser.add_subparsers(
        required=True, metavar="{demo,train,table,audit,noise,prepare,runs,lab}"
    )

    demo = _add(
        commands, "demo", _demo,
        "Train baseline and EAC on synthetic faces with wrong labels; write a table and a report.",
        "eacbook demo\n  eacbook demo --noise 0.2 --seed 1",
    )  # fmt: skip
    demo.add_argument("--noise", type=_real, default=0.3, metavar="RATE", help="0 to 1 (0.3)")
    _add_seed(demo)
    _add_run_options(demo)

    train = _add(
        commands, "train", _train,
        "Train one method on one data set, print its table and store the run.",
        "eacbook train --method eac --noise 0.3\n"
        "  eacbook train --method eac:weight=2,erasing=false\n"
        "  eacbook train --data data/ferplus --method eac --noise 0.3 --limit 2000 --epochs 2\n"
        "  eacbook train --data data/ferplus --network dlib-face --weights dlib --laptop "
        "--limit 500\n"
        "  torchrun --nproc-per-node 4 -m eacbook train --data data/ferplus --network resnet18",
    )  # fmt: skip
    train.add_argument("--data", default="synthetic", help="'synthetic' or a prepared folder")
    train.add_argument("--method", default="eac", metavar="METHOD", help=f"{methods} (eac)")
    train.add_argument(
        "--noise", type=_real, metavar="RATE",
        help="share of wrong labels, 0 to 1 (0.3 for symmetric and pair)",
    )  # fmt: skip
    _add_noise_kind(train)
    train.add_argument(
        "--noise-file", type=Path, metavar="FILE",
        help="take the labels from a file, with lines such as 'train_00001.jpg 5'; further columns are "
        "not read",
    )  # fmt: skip
    train.add_argument(
        "--noise-file-from", type=_whole, choices=(0, 1), metavar="0|1",
        help="the label of the first class in that file (1, as in RAF-DB's own list)",
    )  # fmt: skip
    _add_recipe(train)
    train.add_argument("--learning-rate", type=_real, help=_own("learning_rate"))
    _add_seed(train)
    _add_run_options(train)

    table = _add(
        commands, "table", _table,
        "Train every method with every noise rate, data set and seed; print and write the table of "
        "mean and spread over the seeds, with the paper's numbers beside ours. A stored run is not "
        "trained again, so the same command continues after an interruption.",
        "eacbook table\n"
        "  eacbook table --methods baseline eac eac:weight=2 --noise 0.3 --seeds 0 1 2 3 4\n"
        "  eacbook table --data data/ferplus --network dlib-face --weights dlib\n"
        "  eacbook table --cluster ray://head-node:10001 --folder /shared/runs",
    )  # fmt: skip
    table.add_argument(
        "--methods", nargs="+", metavar="METHOD",
        help=f"{methods} (all of them); a method that needs the noise rate gets it",
    )  # fmt: skip
    table.add_argument(
        "--noise", type=_real, nargs="+", metavar="RATE",
        help="shares of wrong labels, 0 to 1 (0.1 0.2 0.3 for symmetric and pair)",
    )  # fmt: skip
    _add_noise_kind(table)
    table.add_argument(
        "--data", nargs="+", default=["synthetic"], metavar="DATA",
        help="'synthetic' or prepared folders (synthetic)",
    )  # fmt: skip
    table.add_argument(
        "--seeds", type=_whole, nargs="+", default=[0, 1, 2], metavar="N",
        help="seeds of noise, initial weights, order and augmentation (0 1 2)",
    )  # fmt: skip
    _add_recipe(table)
    table.add_argument(
        "--workers", type=_whole, metavar="N",
        help="cells trained at the same time (one for each GPU, or as many as cores and memory allow)",
    )  # fmt: skip
    table.add_argument(
        "--cluster", metavar="ADDRESS",
        help="train on a Ray cluster, ray://HOST:10001; every node needs eacbook with the extra "
        "'cluster', and the run and data folders under the same path",
    )  # fmt: skip
    table.add_argument(
        "--out", type=Path, help="folder for table.html, .csv, .md, .tex and cells.csv (runs/table)"
    )
    _add_device(table)
    _add_folder(table)

    audit = _add(
        commands, "audit", _audit,
        "Find the labels that are probably wrong: one EAC training, and a page to look and decide. "
        "First a self-test makes one label in twenty wrong on purpose, and says how many of them "
        "it finds. A doubted picture may also be rare, not wrong: only you can decide. A call that was "
        "interrupted goes on where it ended.",
        "eacbook audit FOLDER --out audit          # class folders, or a prepared set\n"
        "  eacbook audit FOLDER --person '(S\\d+)_' --folds 5 --out audit\n"
        "  eacbook audit --apply decisions.csv --out data/mine-clean",
    )  # fmt: skip
    audit.add_argument(
        "source", nargs="?", type=Path, metavar="SOURCE",
        help="class folders of any names (or a zip or tar of them), or a prepared folder; with "
        "--apply, the audit's folder (that of the decisions, or audit)",
    )  # fmt: skip
    audit.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER",
        help="folder of the audit, or with --apply the corrected copy to make",
    )  # fmt: skip
    audit.add_argument(
        "--network",
        help=f"{', '.join(NETWORKS)} (dlib-face if its weights are installed, else tiny)",
    )  # fmt: skip
    audit.add_argument("--quick", action="store_true", help="the small network: --network tiny")
    audit.add_argument(
        "--epochs", type=_whole,
        help="epochs of the training (those of the network, and more for a small set)",
    )  # fmt: skip
    audit.add_argument(
        "--folds", type=_whole, default=0, metavar="N",
        help="N trainings; each judges pictures that it has not seen (one training judges all)",
    )  # fmt: skip
    audit.add_argument(
        "--person", metavar="REGEX",
        help="regular expression with one group for the person in a path; no person is then in two "
        "folds or splits",
    )  # fmt: skip
    audit.add_argument(
        "--skip-broken", action="store_true", help="leave pictures out that do not decode"
    )
    audit.add_argument(
        "--no-thumbnails", action="store_true",
        help="a page without pictures, for pictures that may not leave the machine",
    )  # fmt: skip
    audit.add_argument(
        "--seed", type=_whole, default=0,
        help="seed of initial weights, order, augmentation, folds and self-test (0)",
    )  # fmt: skip
    _add_device(audit)
    audit.add_argument(
        "--apply", type=Path, metavar="DECISIONS",
        help="write a corrected copy of the set by the decisions that the page saved",
    )  # fmt: skip
    audit.add_argument(
        "--splits", nargs="+", choices=SPLITS, metavar="SPLIT",
        help=f"with --apply: splits that may be changed, of {', '.join(SPLITS)} (train)",
    )  # fmt: skip

    noise = _add(
        commands, "noise", _noise,
        "Make some labels of a set wrong, and write all of them into a file in the form that the "
        "papers publish: a line for each training image, with its name and its label. Labels count "
        "from 1. With the same rate, kind and seed, 'eacbook train' has the same labels.",
        "eacbook noise data/rafdb --rate 0.3 --out noise30.txt\n"
        "  eacbook noise data/ferplus --kind annotator --seed 1 --out annotator.txt\n"
        "  eacbook train --data data/rafdb --noise-file noise30.txt",
    )  # fmt: skip
    noise.add_argument("data", metavar="DATA", help="'synthetic' or a prepared folder")
    noise.add_argument(
        "--rate", type=_real,
        help="share of wrong labels, 0 to 1 (0.3 for symmetric and pair)",
    )  # fmt: skip
    noise.add_argument("--kind", default="symmetric", help=NOISE_KINDS)
    noise.add_argument("--seed", type=_whole, default=0, help="seed of the noise (0)")
    noise.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new file")

    sets = "\n".join(f"  {name:<10} {what}" for name, (_, what) in SETS.items())
    preparing = _add(
        commands, "prepare", _prepare,
        "Make a folder for --data from a download or from your own folders.",
        "eacbook prepare ferplus ferplus.zip --out data/ferplus\n"
        "  eacbook prepare own FOLDER --out data/mine\n"
        f"  eacbook prepare ferplus --help\n\nsets:\n{sets}",
    )  # fmt: skip
    preparing.add_argument("set", choices=SETS, metavar="SET", help=", ".join(SETS))
    preparing.add_argument("rest", nargs=argparse.REMAINDER, metavar="...", help="see SET --help")

    runs = _add(commands, "runs", _runs, "List the stored runs.", "eacbook runs --folder runs")
    _add_folder(runs)

    lab = _add(
        commands, "lab", _lab, "Open JupyterLab on the first notebook.",
        "eacbook lab\n  eacbook lab -- --no-browser --port=8890   # on another machine\n"
        "  eacbook lab -- --allow-root               # in a container",
    )  # fmt: skip
    lab.add_argument("options", nargs="*", metavar="-- OPTIONS", help="options of JupyterLab")
    return parser


def _demo(options: argparse.Namespace) -> None:
    from eacbook.book.demo import run_demo

    run_demo(
        options.noise, options.seed,
        folder=options.folder, fresh=options.fresh, device=options.device,
    )  # fmt: skip


def _train(options: argparse.Namespace) -> None:
    from eacbook.training import distributed

    with distributed.process_group(options.device), contextlib.ExitStack() as quiet:
        if not distributed.is_first():
            quiet.enter_context(contextlib.redirect_stdout(None))
        _train_one(options)


def _train_one(options: argparse.Namespace) -> None:
    import torch

    from eacbook.data.faces import load_faces
    from eacbook.experiments.runs import find_or_train, summary_rows
    from eacbook.methods import parse_method
    from eacbook.models.networks import build_network
    from eacbook.noise.inject import noise_from_file
    from eacbook.training.hooks import Progress

    whole = load_faces(options.data)
    faces = whole if options.limit is None else whole.limit(options.limit)
    train, classes = faces.train, faces.num_classes
    if options.noise_file:
        if options.noise is not None:
            raise InputError("--noise and --noise-file both set the wrong labels; give one of them")
        first = 1 if options.noise_file_from is None else options.noise_file_from
        noisy = noise_from_file(
            options.noise_file, whole.train.files, whole.train.labels, classes, first
        )
        if columns := noisy.settings.get("columns"):
            print(f"{options.noise_file} has {columns} columns; the labels are the second one")
        rows = {name: row for row, name in enumerate(whole.train.files)}
        noisy = noisy.take(torch.tensor([rows[name] for name in train.files]))
    else:
        if options.noise_file_from is not None:
            raise InputError("--noise-file-from needs --noise-file, which is not given")
        noisy = _wrong_labels(faces, options.noise, options.noise_kind, options.seed)
    network = build_network(options.network, classes, weights=options.weights, seed=options.seed)
    if network.weights_match:
        print(network.weights_match)
    noise_rate = noisy.settings.get("rate") or noisy.rate
    method = parse_method(options.method, noise_rate=noise_rate)
    print(
        f"{faces.name}: {len(train):,} training and {len(faces.test):,} test faces, "
        f"{classes} classes, {noisy.rate:.1%} of the training labels wrong", flush=True,
    )  # fmt: skip
    run = find_or_train(
        method, network, faces, noisy,
        folder=options.folder, fresh=options.fresh, device=options.device,
        hooks=[Progress()], seed=options.seed, **_recipe(options),
    )  # fmt: skip
    if run.stored:
        print(f"Found the stored run in {options.folder}; --fresh trains it again.")
    print("\n" + terminal.text_table(summary_rows({method.name: run})))


def _wrong_labels(faces: FaceData, rate: float | None, kind: str, seed: int) -> NoisyLabels:
    """The labels of the training faces, some of them wrong; without a rate the kind has its own."""
    from eacbook.noise.inject import inject_noise

    if rate is None and kind != "annotator":
        rate = 0.3
    train = faces.train
    return inject_noise(
        train.labels, rate, faces.num_classes, kind, seed, classes=faces.classes, votes=train.votes
    )


def _audit(options: argparse.Namespace) -> None:
    if options.apply is not None:
        from eacbook.audit.decisions import apply_decisions

        for name in (
            "network", "quick", "epochs", "folds", "person", "skip_broken", "no_thumbnails", "seed",
            "device",
        ):  # fmt: skip
            if getattr(options, name):
                raise InputError(f"--{name.replace('_', '-')} belongs to an audit, not to --apply")
        splits = options.splits or ("train",)
        print(apply_decisions(options.apply, options.out, source=options.source, splits=splits))
        return
    if options.source is None:
        raise InputError("audit needs SOURCE, the folder to audit, or --apply DECISIONS")
    if options.splits:
        raise InputError("--splits belongs to --apply, which is not given")
    from eacbook.audit.files import TABLE
    from eacbook.audit.page import PAGE
    from eacbook.audit.run import audit

    report = audit(
        options.source, options.out, network=options.network, quick=options.quick,
        epochs=options.epochs, folds=options.folds, person=options.person,
        skip_broken=options.skip_broken, thumbnails=not options.no_thumbnails,
        seed=options.seed, device=options.device,
    )  # fmt: skip
    pairs = len(report.duplicates)
    print(
        f"{pairs} pair{'' if pairs == 1 else 's'} of copies with other labels or across splits.\n"
        f"Open {options.out / PAGE}, decide, save decisions.csv there, then: eacbook audit --apply "
        f"{options.out / 'decisions.csv'} --out NEW_FOLDER\n"
        f"All rows: {options.out / TABLE}"
    )


def _noise(options: argparse.Namespace) -> None:
    from eacbook.data.faces import load_faces
    from eacbook.noise.label_files import write_label_file

    out = Path(path_name("--out", options.out))
    if out.exists():
        raise InputError(f"{out} exists already; remove it or choose another --out")
    faces = load_faces(options.data)
    noisy = _wrong_labels(faces, options.rate, options.kind, options.seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_label_file(out, faces.train.files, noisy.given)
    print(
        f"{out} has the labels of {len(faces.train):,} training faces, {noisy.wrong.sum():,} of them "
        f"wrong ({noisy.rate:.1%}): eacbook train --data {options.data} --noise-file {out}"
    )


def _table(options: argparse.Namespace) -> int:
    from eacbook.experiments.grid import make_cells, run_grid
    from eacbook.experiments.tables import show
    from eacbook.experiments.workers import workers_here, workers_of_cluster

    rates = [None] if options.noise_kind == "annotator" else [0.1, 0.2, 0.3]
    cells = make_cells(
        options.methods or list(METHODS), options.noise or rates, options.data, options.seeds,
        network=options.network, weights=options.weights, kind=options.noise_kind,
        limit=options.limit, **_recipe(options),
    )  # fmt: skip
    if options.cluster:
        workers = workers_of_cluster(options.cluster, options.workers, options.device)
    else:
        workers = workers_here(options.workers, options.network, options.device)
    results = run_grid(cells, workers, options.folder)
    out = options.out or options.folder / "table"
    print("\n" + show(results, options.folder, out))
    print(f"\nWrote table.html, table.csv, table.md, table.tex and cells.csv into {out}")
    failed = [result for result in results if result.failure]
    if not failed:
        (out / "failures.txt").unlink(missing_ok=True)
        return 0
    write_text(out / "failures.txt", "\n".join(f"{o.cell}\n{o.trace}" for o in failed))
    print(
        f"\n{len(failed)} of {len(cells)} cells failed ({out / 'failures.txt'}):", file=sys.stderr
    )
    for result in failed:
        print(f"  {result.cell}: {result.failure}", file=sys.stderr)
    return 1


def _prepare(options: argparse.Namespace) -> None:
    prepare(options.set, options.rest, f"eacbook prepare {options.set}")


def _runs(options: argparse.Namespace) -> None:
    from eacbook.experiments.runs import list_runs, run_rows

    places = list_runs(options.folder)
    if not places:
        print(f"no stored run in {options.folder}; 'eacbook train' makes one")
        return
    print(terminal.text_table(run_rows(places)))


def _lab(options: argparse.Namespace) -> int:
    if not FIRST_NOTEBOOK.is_file():
        raise InputError(f"{FIRST_NOTEBOOK} is not here; run this in a clone of the repository")
    if importlib.util.find_spec("jupyterlab") is None:
        raise InputError(f"JupyterLab is not installed: {install_line('lab')}")
    # The user ends JupyterLab with Ctrl-C.
    with contextlib.suppress(KeyboardInterrupt):
        return subprocess.run([*JUPYTERLAB, str(FIRST_NOTEBOOK), *options.options]).returncode
    return 0


def _whole(text: str) -> int:
    return _read(read_whole_number, text)


def _real(text: str) -> float:
    return _read(read_real_number, text)


def _read(read: Callable, text: str):
    """A number from the command line, or argparse's error with the message of our check."""
    try:
        return read("the value", text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _add(commands, name: str, command, text: str, example: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=text, description=text, epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.set_defaults(command=command)
    return parser


def _add_noise_kind(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--noise-kind", default="symmetric", metavar="KIND",
        help=NOISE_KINDS,
    )  # fmt: skip


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed", type=_whole, default=0,
        help="seed of noise, initial weights, order and augmentation (0)",
    )  # fmt: skip


def _add_recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=_whole, metavar="N", help="at most N images of each split")
    networks = "; ".join(f"{name}: {entry.about}" for name, entry in NETWORKS.items())
    parser.add_argument("--network", default="tiny", help=f"{networks} (tiny)")
    parser.add_argument(
        "--weights", metavar="WEIGHTS",
        help=f"{_known_weights()}, or a file (random weights)",
    )  # fmt: skip
    parser.add_argument(
        "--laptop", action="store_true",
        help=f"train with the smaller recipe for a CPU; for {', '.join(_having_laptop())}",
    )  # fmt: skip
    parser.add_argument("--epochs", type=_whole, help=_own("epochs"))
    parser.add_argument("--batch-size", type=_whole, help=_own("batch_size"))
    parser.add_argument("--size", type=_whole, help=f"pixels; {_own('size')}")
    parser.add_argument(
        "--balanced", action="store_true", default=None,
        help="sample every class equally often, as the papers do for AffectNet",
    )  # fmt: skip
    parser.add_argument(
        "--precision", help="float32, or bfloat16: faster if the hardware supports it (float32)"
    )
    parser.add_argument(
        "--no-deterministic", dest="deterministic", action="store_false", default=None,
        help="on CUDA: a little faster, but the same seed gives other weights each time",
    )  # fmt: skip


def _having_laptop() -> list[str]:
    """The networks with a smaller recipe for a CPU."""
    return [name for name, entry in NETWORKS.items() if entry.laptop]


def _known_weights() -> str:
    """The published weights that have names, with their networks: ``dlib (for dlib-face)``."""
    networks: dict[str, list[str]] = {}
    for name, entry in NETWORKS.items():
        for weights in entry.weights:
            networks.setdefault(weights, []).append(name)
    return ", ".join(f"{weights} (for {', '.join(n)})" for weights, n in networks.items())


def _own(field: str) -> str:
    """A text for the help: each value of a recipe's field, with the networks that use it."""
    networks: dict[float | None, list[str]] = {}
    for name in NETWORKS:
        networks.setdefault(getattr(recipe_of(name), field), []).append(name)
    shown = {value: "as stored" if value is None else _short(value) for value in networks}
    return "; ".join(f"{shown[value]} for {', '.join(names)}" for value, names in networks.items())


def _short(number: float) -> str:
    """A number as the papers write it: 0.01, but 2e-4."""
    return f"{number:g}" if number >= 1e-3 else f"{Decimal(repr(number)):e}"


def _recipe(options: argparse.Namespace) -> dict:
    """The fields of the recipe that the user chose; the network's own recipe has the others."""
    laptop = NETWORKS[choice("network", options.network, NETWORKS)].laptop
    if options.laptop and not laptop:
        raise InputError(
            f"--laptop: {options.network} has no smaller recipe, only {', '.join(_having_laptop())}"
        )
    names = (
        "epochs", "batch_size", "learning_rate", "size", "balanced", "precision", "deterministic"
    )  # fmt: skip
    chosen = {name: getattr(options, name, None) for name in names}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    return {**(laptop if options.laptop else {}), **chosen}


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fresh", action="store_true", help="train again, even if the run is stored"
    )
    _add_device(parser)
    _add_folder(parser)


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", help="cpu, cuda or mps (the fastest one here)")


def _add_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", type=Path, default=Path("runs"), help="folder of the stored runs (runs)"
    )

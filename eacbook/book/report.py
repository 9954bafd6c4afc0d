"""The report of the demo: one HTML file that opens offline, with all pictures and scripts inside."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from pathlib import Path

import plotly.graph_objects as go
import torch
from PIL import Image
from plotly.offline import get_plotlyjs
from torch import Tensor

from eacbook.data.faces import FaceData
from eacbook.evaluation.attention import attention_maps
from eacbook.evaluation.evaluate import confusion_matrix, predict, sample_losses
from eacbook.experiments.runs import percent, summary_table
from eacbook.files import write_text
from eacbook.methods.eac import flip_consistency
from eacbook.plots import figures
from eacbook.plots.fonts import drawable, legend
from eacbook.plots.palette import PAGE_STYLE
from eacbook.plots.pictures import attention_sheet, face_sheet, png
from eacbook.training.state import Run


def write_report(path: str | Path, faces: FaceData, runs: Mapping[str, Run]) -> None:
    """Write the report about runs that were trained on the same noisy labels.

    Args:
        path: the path of the HTML file; it is replaced when the new one is complete.
        faces: the data that the runs were trained on.
        runs: method name to run.
    """
    noisy = next(iter(runs.values())).noisy
    wrong = noisy.wrong
    losses = {
        name: sample_losses(predict(run.network, faces.train.images, _size(run)), noisy.given)
        for name, run in runs.items()
    }
    memorised = ", ".join(f"{name} {percent(runs[name].summary['memorised'])}" for name in runs)
    medians = ", ".join(f"{name} {losses[name][wrong].median():.2f} nats" for name in runs)
    shown = torch.arange(min(24, len(faces.train)))
    sheet = face_sheet(
        faces.train.images[shown], noisy.given[shown], noisy.true[shown], drawable(faces.classes)
    )
    attention, sentence = _attention(faces, runs)
    numbers = ", ".join(filter(None, [legend(faces.classes), legend(list(runs), "run")]))
    numbers = f" In the pictures the names have numbers: {numbers}." if numbers else ""
    sections = [
        ("The main numbers", summary_table(runs).to_html(border=0),
         "Test accuracy is the mean of the last five epochs. Mean class accuracy is the same, but every "
         "class of the test faces counts equally. Memorised and recovered are the shares of the wrong "
         "training labels that the trained network predicts as given, and as the true class."),
        ("The given labels", _image(sheet, "training faces and their labels"),
         f"{int(wrong.sum()):,} of {len(wrong):,} training labels ({noisy.rate:.1%}) are wrong. "
         "Faces with a wrong label have a frame; the line below the label is the true class."
         + numbers),
        ("Which label became which", _figure(
            figures.transition_matrix(noisy.empirical_matrix, faces.classes)),
         "Each row is a true class and shows which labels its faces were given: blue is the share "
         "with the right label, orange the shares with a wrong one."),
        ("First learnt, then memorised?", _figure(figures.training_curves(runs)),
         "All methods see the same faces with the same labels in the same order. Share of the wrong "
         f"training labels that the trained networks predict as given: {memorised}. Accuracy on new "
         "faces falls when a network memorises wrong labels."),
        ("Which class is taken for which", _figure(figures.confusion_matrices(
            {name: _confusion(faces, run) for name, run in runs.items()}, faces.classes)),
         "Each row is a true class and shows what its test faces are recognised as, in percent: blue "
         "is the share that is recognised rightly. The networks are those of the run's end."),
        ("What the losses show", _figure(figures.loss_histograms(losses, wrong)),
         "A memorised wrong label has a small loss, as the right labels have. A wrong label that is "
         f"not memorised has a large loss. Median loss of the wrong labels: {medians}."),
        ("Where they look", attention, sentence + numbers),
    ]  # fmt: skip
    body = "\n".join(
        f"<h2>{html.escape(title)}</h2>\n<p>{html.escape(text)}</p>\n{content}"
        for title, content, text in sections
    )
    page = (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>eacbook demo</title>'
        f"<style>{PAGE_STYLE}</style><script>{get_plotlyjs()}</script></head><body>\n"
        f"<h1>Wrong labels, memorised and not</h1>\n{body}\n</body></html>\n"
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)


def maps_of_true_class(
    faces: FaceData, runs: Mapping[str, Run], rows: Tensor
) -> dict[str, tuple[Tensor, Tensor]]:
    """For each run, the maps ``[n,h,w]`` of some test faces and of their mirror images.

    Args:
        faces: the data.
        runs: name to run.
        rows: int64 ``[n]``, which test faces.
    """
    labels, own = faces.test.labels[rows], torch.arange(len(rows))
    maps = {}
    for name, run in runs.items():
        _, of_face, of_mirror = attention_maps(run.network, faces.test.images[rows], _size(run))
        maps[name] = of_face[own, labels], of_mirror[own, labels]
    return maps


def _attention(faces: FaceData, runs: Mapping[str, Run]) -> tuple[str, str]:
    """The sheet of maps for one test face of each class, and a text with the numbers."""
    labels = faces.test.labels
    rows = torch.stack([(labels == label).nonzero()[0, 0] for label in labels.unique()])
    some = faces.test.images[:256]
    distances = []
    for name, run in runs.items():
        _, of_faces, of_mirrors = attention_maps(run.network, some, _size(run))
        # Relative to the size of the maps, which differs from network to network.
        distances.append((name, (flip_consistency(of_faces, of_mirrors) / of_faces.var()).item()))
    numbers = " and ".join(f"{distance:.2f} for {name}" for name, distance in distances)
    sentence = (
        "The class activation map of the true class, on test faces and on their mirror images. If a "
        "network looks at the same places in both, its maps are mirrored. The mean squared difference "
        f"over the first {len(some)} test faces and all classes, divided by the variance of the maps, "
        f"is {numbers}."
    )
    names = drawable(faces.classes)
    captions = [names[label] for label in labels[rows].tolist()]
    sheet = attention_sheet(
        faces.test.images[rows], maps_of_true_class(faces, runs, rows), captions
    )
    return _image(sheet, "attention maps of test faces and their mirror images"), sentence


def _confusion(faces: FaceData, run: Run) -> Tensor:
    """The confusion matrix of a run; a run that was stored without one is evaluated now."""
    if run.confusion_matrix is not None:
        return run.confusion_matrix
    return confusion_matrix(predict(run.network, faces.test.images, _size(run)), faces.test.labels)


def _size(run: Run) -> int | None:
    return run.settings["recipe"]["size"]


def _image(picture: Image.Image, alt: str) -> str:
    data = base64.b64encode(png(picture)).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'


def _figure(figure: go.Figure) -> str:
    return figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})

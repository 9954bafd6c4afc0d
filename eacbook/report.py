"""The demo's report: one HTML file that opens offline, pictures and scripts inside."""

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

from eacbook import figures
from eacbook.attention import attention_maps, flip_consistency
from eacbook.evaluate import predict, sample_losses
from eacbook.faces import FaceData
from eacbook.files import write_text
from eacbook.fonts import drawable, legend
from eacbook.palette import PAGE_STYLE
from eacbook.pictures import attention_sheet, face_sheet, png
from eacbook.runs import percent, summary_table
from eacbook.training import Run


def write_report(path: str | Path, faces: FaceData, runs: Mapping[str, Run]) -> None:
    """Write the report of runs that were trained on the same noisy labels.

    Args:
        path: of the HTML file; replaced when the new one is whole.
        faces: the data they were trained on.
        runs: method name to run.
    """
    noisy = next(iter(runs.values())).noisy
    flipped = noisy.flipped
    losses = {
        name: sample_losses(predict(run.network, faces.train.images, _size(run)), noisy.given)
        for name, run in runs.items()
    }
    memorised = ", ".join(f"{name} {percent(runs[name].summary['memorised'])}" for name in runs)
    medians = ", ".join(f"{name} {losses[name][flipped].median():.2f} nats" for name in runs)
    shown = torch.arange(min(24, len(faces.train)))
    sheet = face_sheet(
        faces.train.images[shown], noisy.given[shown], noisy.true[shown], drawable(faces.classes)
    )
    attention, sentence = _attention(faces, runs)
    numbers = ", ".join(filter(None, [legend(faces.classes), legend(list(runs), "run")]))
    numbers = f" In the pictures the names have numbers: {numbers}." if numbers else ""
    sections = [
        ("The figures", summary_table(runs).to_html(border=0),
         "Test accuracy is the mean of the last five epochs; memorised and recovered are the shares "
         "of the wrong training labels that the trained network predicts as given, and as the true "
         "class."),
        ("What the networks were given", _image(sheet, "training faces and their labels"),
         f"{int(flipped.sum()):,} of {len(flipped):,} training labels ({noisy.rate:.1%}) are wrong; "
         "framed faces carry a wrong label, and the line below it says what they really show."
         + numbers),
        ("Which label became which", _figure(
            figures.transition_matrix(noisy.drawn, faces.classes)),
         "Each row is a true class and says which labels its faces were given: blue kept the "
         "right one, orange got a wrong one."),
        ("First learnt, then memorised?", _figure(figures.training_curves(runs)),
         "Both see the same faces with the same labels in the same order. Of the wrong training "
         f"labels, the trained networks predict as given: {memorised}. Accuracy on new faces "
         "falls where exceptions are learnt by heart."),
        ("What the losses tell", _figure(figures.loss_histograms(losses, flipped)),
         "A wrong label that was memorised hides among the right ones with a small loss; one that "
         f"was not stands apart with a large loss. Median loss of the wrong labels: {medians}."),
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
    """For each run the maps ``[n,h,w]`` of some test faces, and those of their mirror images.

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
    """The sheet of maps on one test face of each class, and what it shows in numbers."""
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
        "The class activation map of the true class, on test faces and on their mirror images. A "
        "network that looks at the same places in both has mirrored maps. Over the first "
        f"{len(some)} test faces and all classes the mean squared difference, divided by the "
        f"variance of the maps, is {numbers}."
    )
    names = drawable(faces.classes)
    captions = [names[label] for label in labels[rows].tolist()]
    sheet = attention_sheet(
        faces.test.images[rows], maps_of_true_class(faces, runs, rows), captions
    )
    return _image(sheet, "attention maps of test faces and their mirror images"), sentence


def _size(run: Run) -> int | None:
    return run.settings["recipe"]["size"]


def _image(picture: Image.Image, alt: str) -> str:
    data = base64.b64encode(png(picture)).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{data}">'


def _figure(figure: go.Figure) -> str:
    return figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False})

"""The AttentionExplorer: where networks look, for each face and each epoch; and its pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import ipywidgets
import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from eacbook.book.widgets.explorer import WHOLE, Explorer
from eacbook.data.faces import FaceData
from eacbook.data.photo import LARGEST_BYTES, crop_face, read_photo
from eacbook.errors import InputError
from eacbook.evaluation.attention import attention_maps, heat, relative_difference
from eacbook.plots import palette
from eacbook.plots.charts import Axis, Chart
from eacbook.plots.fonts import drawable, font_for, legend
from eacbook.plots.pictures import DESCRIPTION, face_picture, heat_scale, overlay, png
from eacbook.training.recording import Recorded
from eacbook.training.state import Run

GIVEN, TRUE, PREDICTED = "the given label", "the true class", "the predicted class"
HINT = (
    f"a picture file of at most {LARGEST_BYTES // 10**6} MB; it is sent only to the computer that runs "
    "this notebook. What the networks say is how the picture looks to them. It is no finding about the "
    "person."
)
CELL, GAP, TEXT = 124, 26, 16
CHART = 410, 270


@dataclass(frozen=True)
class Look:
    """The output of one network for a face and for its mirror image.

    Attributes:
        logits: float ``[K]``, the logits of the face.
        maps, maps_of_mirror: float ``[K,h,w]``; the second as the network sees them, not mirrored back.
    """

    logits: Tensor
    maps: Tensor
    maps_of_mirror: Tensor

    @property
    def difference(self) -> float:
        """See :func:`eacbook.evaluation.attention.relative_difference`."""
        return relative_difference(self.maps, self.maps_of_mirror).item()


def recorded_look(recorded: Recorded, probe: int, epoch: int) -> Look:
    """The recorded output of a network for a probe face after an epoch (from 1)."""
    return Look(
        recorded.logits[epoch - 1, probe],
        recorded.maps[epoch - 1, probe],
        recorded.maps_of_mirror[epoch - 1, probe],
    )


def looks_at(image: Tensor, runs: Mapping[str, Run]) -> dict[str, Look]:
    """The output of the trained networks for any face, uint8 ``[C,H,W]``."""
    looks = {}
    for name, run in runs.items():
        found = attention_maps(run.network, image[None], run.settings["recipe"]["size"])
        looks[name] = Look(*(values[0] for values in found))
    return looks


def attention_view(
    image: Tensor,
    looks: Mapping[str, Look],
    shown: str,
    classes: Sequence[str],
    labels: tuple[int, int] | None = None,
    strength: float = 0.65,
    curves: Mapping[str, np.ndarray] | None = None,
    epoch: int = 0,
) -> bytes:
    """PNG: a face and its mirror image, a column of attention for each network, and their curves.

    The attention is the positive part of a class activation map, divided by its own maximum. The last
    row shows the map of the mirror image, mirrored back, over the face. It should look like the first.

    Args:
        image: uint8 ``[C,H,W]``.
        looks: name of the network to its output for the face.
        shown: the class of the map: :data:`GIVEN`, :data:`TRUE`, :data:`PREDICTED` or the name of a
            class; without labels the first two show the predicted class.
        classes: names in label order.
        labels: given and true label, or None for a face with unknown labels.
        strength: the largest opacity of the colour, 0 to 1.
        curves: name to the difference between the two maps after every epoch, ``[E]``; None for a
            face that was not recorded.
        epoch: the epoch of the mark in the curves, from 1.
    """
    looks = dict(zip(drawable(looks, "run"), looks.values(), strict=True))
    line = TEXT + 6
    step_x, step_y = CELL + GAP, CELL + line + 4
    top = 2 * line + 4
    left = 3 * step_x  # the same with one network, or without curves, so that nothing jumps
    width = left + CHART[0] + GAP
    sheet = Image.new("RGBA", (width, top + 3 * step_y), palette.rgba(palette.INK, 0))
    draw, drawn = ImageDraw.Draw(sheet), drawable(classes)

    def write(x: float, y: float, text: str) -> None:
        draw.text((x, y), text, palette.INK, font_for(text, TEXT), "ma")

    face = face_picture(image, CELL)
    mirrored = face.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    write(CELL / 2, top, "face")
    sheet.paste(face, (0, top + line))
    write(CELL / 2, top + step_y, "mirror image")
    sheet.paste(mirrored, (0, top + step_y + line))
    write((left - GAP) / 2, top + 2 * step_y, "its attention, mirrored back onto the face")
    y = top + 2 * step_y + line
    if labels is not None:
        given, true = labels
        wrong = given != true
        write(CELL / 2, y + 30, "given label:")
        write(CELL / 2, y + 30 + line, drawn[given])
        write(CELL / 2, y + 84, "truly:" if wrong else "which is right")
        if wrong:
            write(CELL / 2, y + 84 + line, drawn[true])

    colours, texts = palette.method_colours(looks), []
    for column, (name, look) in enumerate(looks.items(), start=1):
        x = column * step_x
        predicted = int(look.logits.argmax())
        chosen = class_shown(shown, predicted, classes, labels)
        share = look.logits.softmax(0)[predicted].item()
        write(x + CELL / 2, 0, name)
        draw.rectangle((x, line, x + CELL - 1, line + 3), colours[name])
        write(x + CELL / 2, line + 6, f"says {drawn[predicted]} {share:.0%}")
        write(x + CELL / 2, top, f"map of {drawn[chosen]}")
        write(x + CELL / 2, top + step_y, f"difference {look.difference:.2f}")
        of_face, of_mirror = heat(torch.stack([look.maps, look.maps_of_mirror])[:, chosen], CELL)
        views = ((face, of_face), (mirrored, of_mirror), (face, of_mirror.flip(-1)))
        for row, (view, values) in enumerate(views):
            picture = overlay(view, values, strength)
            sheet.paste(picture, (x, top + row * step_y + line))
        texts.append(
            f"{name} says {classes[predicted]} {share:.0%}, map of {classes[chosen]}, "
            f"difference {look.difference:.2f}"
        )

    if curves:
        chart = difference_chart(tuple(curves), tuple(map(tuple, curves.values())), epoch)
        sheet.alpha_composite(chart, (left + GAP, top + line))
    sheet.paste(heat_scale(CHART[0] - GAP, strength), (left + GAP, top + 2 * step_y + line))
    labelled = "" if labels is None else f" given {classes[labels[0]]}, truly {classes[labels[1]]}"
    when = f", epoch {epoch}" if curves else ""
    sheet.info[DESCRIPTION] = f"Attention on a face{labelled}{when}: {'; '.join(texts)}."
    return png(sheet, compress_level=1)


def class_shown(
    shown: str, predicted: int, classes: Sequence[str], labels: tuple[int, int] | None
) -> int:
    """The class whose map is shown for a choice of the explorer."""
    if shown in classes:
        return list(classes).index(shown)
    if labels is None or shown == PREDICTED:
        return predicted
    return labels[0] if shown == GIVEN else labels[1]


def difference_chart(
    names: tuple[str, ...], curves: tuple[tuple[float, ...], ...], epoch: int
) -> Image.Image:
    """The difference between the maps of a face and of its mirror image, one line for each network.

    Args:
        names: the names of the networks.
        curves: the differences of each network after every epoch.
        epoch: the epoch of the mark, from 1.
    """
    lines = _difference_lines(names, curves)
    chart = replace(lines, picture=lines.picture.copy())
    chart.mark(epoch)
    for colour, values in zip(palette.method_colours(names).values(), curves, strict=True):
        chart.point(epoch, values[epoch - 1], colour)
    return chart.picture


@lru_cache(maxsize=8)
def _difference_lines(names: tuple[str, ...], curves: tuple[tuple[float, ...], ...]) -> Chart:
    """The chart without the mark: only the mark moves with the slider."""
    longest = max(map(len, curves))
    top = max(0.5, np.ceil(2 * max(map(max, curves))) / 2)
    step = 0.25 if top <= 1 else 0.5
    chart = Chart.drawn(
        *CHART,
        Axis("epoch", 0, longest, [0, *range(10, longest + 1, 10)]),
        Axis("difference / variance", 0, top, np.arange(0, top + step / 2, step)),
    )
    colours, dashes = palette.method_colours(names), palette.method_dashes(names)
    for name, values in zip(names, curves, strict=True):
        epochs = np.arange(1, len(values) + 1)
        chart.line(epochs, np.asarray(values), colours[name], dash=dashes[name])
    chart.legend(colours, dashes)
    return chart


class AttentionExplorer(Explorer):
    """Choose a face, a class and an epoch: where do two networks look, in the face and its mirror image?

    Args:
        faces: the data that the runs were trained on.
        runs: name to run, at least one. The runs must be trained on the same labels with
            :class:`eacbook.training.recording.Recording`. Two of them are shown side by side.

    Attributes:
        face: the probe face; one stop of the Tab key, and the arrow keys choose.
        thumbnails: a button for each probe face, with a frame if the label is wrong; for the mouse.
        shown: the class whose map is shown.
        epoch, strength: the epoch, and the opacity of the colour.
        left, right: the two runs to compare.
        upload: a photograph of the reader; nothing leaves the machine.
        message: what was found in the photograph.

    Raises:
        InputError: there is no run, a run was not recorded or was trained on other faces, or the runs
            were trained on different labels.
    """

    def __init__(self, faces: FaceData, runs: Mapping[str, Run]):
        if not runs:
            raise InputError("there is no run to explore: give at least one")
        self.faces, self.runs = faces, dict(runs)
        for name, run in self.runs.items():
            if run.settings["data"]["fingerprint"] != faces.fingerprint:
                raise InputError(f"the run {name} was trained on other faces than these")
        self.records = {name: Recorded.of(run) for name, run in self.runs.items()}
        first, *others = self.records.values()
        for other in others:
            if not (torch.equal(first.rows, other.rows) and torch.equal(first.given, other.given)):
                raise InputError(
                    "the runs were trained on different labels; compare runs of one seed"
                )
        probes = first.maps.shape[1]
        self.images = faces.train.images[first.rows[:probes]]
        self.curves = {
            name: relative_difference(recorded.maps, recorded.maps_of_mirror).numpy()
            for name, recorded in self.records.items()
        }
        self.photo, self._photo_looks = None, {}

        names = [self._name_of(place) for place in range(probes)]
        self.face = ipywidgets.SelectionSlider(
            options=[(name, place) for place, name in enumerate(names)],
            description="face", readout=False, layout={"width": "460px"},
        )  # fmt: skip
        self.thumbnails = [ipywidgets.Button(tooltip=name) for name in names]
        for button in self.thumbnails:
            button.tabbable = False  # the slider is there for the keyboard (ipywidgets 8)
        self.upload = ipywidgets.FileUpload(accept="image/*", description="your own face")
        self.message = ipywidgets.HTML(HINT)
        names = list(self.runs)
        self.left = ipywidgets.Dropdown(options=names, description="compare", style=WHOLE)
        self.right = ipywidgets.Dropdown(
            options=names, value=names[-1], description="with", style=WHOLE
        )
        self.shown = ipywidgets.Dropdown(
            options=[GIVEN, TRUE, PREDICTED, *faces.classes], description="map of", style=WHOLE
        )
        self._names = dict(zip(names, drawable(names, "run"), strict=True))
        last = min(recorded.epochs for recorded in self.records.values())
        wide = {"width": "420px"}
        self.epoch = ipywidgets.IntSlider(last, 1, last, description="epoch", layout=wide)
        self.strength = ipywidgets.FloatSlider(
            0.65, min=0, max=1, step=0.05, description="overlay", layout=wide
        )
        super().__init__(
            "attention-explorer",
            ipywidgets.HTML(self._dress_thumbnails()),
            self.face,
            ipywidgets.HBox(self.thumbnails, layout={"flex_flow": "row wrap"}),
            ipywidgets.HBox([self.upload, self.message]),
            ipywidgets.HBox([self.shown, self.left, self.right], layout={"flex_flow": "row wrap"}),
            ipywidgets.HBox([self.epoch, self.strength], layout={"flex_flow": "row wrap"}),
            legend=", ".join(filter(None, [legend(faces.classes), legend(names, "run")])),
        )
        self.picture.layout.max_width = f"{3 * (CELL + GAP) + GAP + CHART[0]}px"  # never enlarged
        for place, button in enumerate(self.thumbnails):
            button.on_click(self.in_turn(partial(self.pick, place)))
        self.upload.observe(self.in_turn(lambda: self._take_photo(self.upload.value)), "value")
        self.face.observe(self.in_turn(self._leave_photo), "value")
        self.follow(self.face, self.shown, self.left, self.right, self.epoch, self.strength)

    def pick(self, probe: int) -> None:
        """Show the probe face of this number, as a click on its thumbnail does."""
        self._leave_photo()
        if self.face.value == probe:
            self.show()
        self.face.value = probe

    def take_photo(self, content: bytes) -> None:
        """Show a photograph of the reader (the bytes of a picture file), cropped to its face."""
        try:
            photo = read_photo(content)
        except InputError as error:
            self.message.value = html.escape(str(error))
            return
        size, channels = self.faces.image_size, self.images.shape[1]
        self.photo, how = crop_face(photo, size, channels)
        self._photo_looks = looks_at(self.photo, self.runs)
        self.message.value = html.escape(how)
        self.show()

    def show(self) -> None:
        names = list(dict.fromkeys([self.left.value, self.right.value]))
        own = self.photo is not None
        self.epoch.disabled = own  # for a photograph, only the trained networks are available
        for place, button in enumerate(self.thumbnails):
            chosen = place == self.face.value and not own
            (button.add_class if chosen else button.remove_class)("chosen")
        common = {"shown": self.shown.value, "strength": round(self.strength.value, 2)}
        if own:
            looks = {self._names[name]: self._photo_looks[name] for name in names}
            view = attention_view(self.photo, looks, classes=self.faces.classes, **common)
        else:
            view = self.view(names, self.face.value, self.epoch.value, **common)
        self.put(view)

    def view(
        self, names: Sequence[str], probe: int, epoch: int, shown: str, strength: float
    ) -> bytes:
        """The picture for some runs, a probe face and an epoch; see :func:`attention_view`."""
        first = next(iter(self.records.values()))
        return attention_view(
            self.images[probe],
            {self._names[name]: recorded_look(self.records[name], probe, epoch) for name in names},
            shown,
            self.faces.classes,
            (int(first.given[probe]), int(first.true[probe])),
            strength,
            {self._names[name]: self.curves[name][:, probe] for name in names},
            epoch,
        )

    def _leave_photo(self) -> None:
        self.photo, self.message.value = None, HINT

    def _take_photo(self, uploaded) -> None:
        """Use the value of the control: a dictionary in ipywidgets 7, a sequence in 8."""
        files = list(uploaded.values() if isinstance(uploaded, dict) else uploaded)
        if files:
            self.take_photo(bytes(files[-1]["content"]))
            # Empty the control. Otherwise the same file again would not be a change.
            self.upload.set_trait("value", type(self.upload.value)())

    def _name_of(self, probe: int) -> str:
        """What the slider and the thumbnail say of a face."""
        first = next(iter(self.records.values()))
        given, wrong = self.faces.classes[first.given[probe]], bool(first.wrong[probe])
        return f"{probe + 1}, given as {given}" + ", wrongly" * wrong

    def _dress_thumbnails(self) -> str:
        """Make each button show its face as a background, and return the style sheet for it.

        So the faces are real buttons, with a click.
        """
        wrong = next(iter(self.records.values())).wrong
        rules = [
            ".attention-explorer .thumbnail { width: 52px; height: 52px; padding: 0; margin: 3px;"
            " background-size: cover; border: 3px solid transparent; opacity: .85 }",
            f".attention-explorer .wrong {{ border-color: {palette.WRONG} }}",
            ".attention-explorer .chosen { outline: 3px solid currentColor; opacity: 1 }",
        ]
        for place, (button, image) in enumerate(zip(self.thumbnails, self.images, strict=True)):
            button.add_class("thumbnail")
            button.add_class(f"face-{button.model_id}")
            if wrong[place]:
                button.add_class("wrong")
            data = base64.b64encode(png(face_picture(image, 52))).decode()
            rules.append(
                f".attention-explorer .face-{button.model_id}"
                f" {{ background-image: url(data:image/png;base64,{data}) }}"
            )
        return f"<style>{' '.join(rules)}</style>"

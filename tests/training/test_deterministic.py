"""The operations of a step beside those that PyTorch calls nondeterministic on CUDA.

The list is that of ``torch.use_deterministic_algorithms`` (its docstring in torch 2.15). The names of
the operations, and that only the two-dimensional NLLLoss raises an error, are from ``ATen/native/cuda``.
"""

from __future__ import annotations

import contextlib
import re
from itertools import chain

import pytest
import torch
from conftest import striped_faces
from torch.utils._python_dispatch import TorchDispatchMode

from eacbook.methods import EAC, ELR, RUL, SCN, Baseline, CoTeaching, ReSup
from eacbook.models.networks import build_network
from eacbook.noise.inject import inject_noise
from eacbook.training.hooks import Hook
from eacbook.training.loop import train

COVERED = {
    **{f"nn.Conv{n}d": ["convolution", "convolution_backward"] for n in (1, 2, 3)},
    **{f"nn.ConvTranspose{n}d": ["convolution", "convolution_backward"] for n in (1, 2, 3)},
    **{f"nn.ReplicationPad{n}d": [f"replication_pad{n}d_backward"] for n in (1, 2, 3)},
    "bmm": ["_sparse_bmm"],  # of sparse tensors only
    "mm": [],  # by CUBLAS_WORKSPACE_CONFIG, as "mv"; PyTorch 2.4 names them
    "mv": [],
    "cumsum": ["cumsum", "cumsum_"],
    "Tensor.__getitem__": [],  # on the CPU only
    "Tensor.index_put": ["index_put", "index_put_", "_index_put_impl_"],
    "Tensor.scatter_add_": ["scatter_add", "scatter_add_"],
    "gather": ["gather_backward"],  # else scatter_add
    "index_add": ["index_add", "index_add_"],
    "index_select": ["index_select_backward"],  # else index_add
    "repeat_interleave": ["repeat_interleave_backward"],  # else index_add
    "Tensor.index_copy": ["index_copy", "index_copy_"],
    "Tensor.scatter": ["scatter", "scatter_"],
    "nn.MaxPool3d": ["max_pool3d_with_indices_backward"],
    "nn.Embedding": ["embedding_dense_backward"],
}
"""What has a deterministic algorithm, which the setting chooses, and its operations."""

UNCOVERED = {
    "nn.AvgPool3d": ["avg_pool3d_backward"],
    **{f"nn.AdaptiveAvgPool{n}d": [f"_adaptive_avg_pool{n}d_backward"] for n in (2, 3)},
    "nn.AdaptiveMaxPool2d": ["adaptive_max_pool2d_backward"],
    **{f"nn.FractionalMaxPool{n}d": [f"fractional_max_pool{n}d_backward"] for n in (2, 3)},
    "nn.MaxUnpool1d": ["max_unpool2d"],
    **{f"nn.MaxUnpool{n}d": [f"max_unpool{n}d"] for n in (2, 3)},
    "nn.functional.interpolate": [
        *(f"upsample_{kind}_backward" for kind in ("linear1d", "bilinear2d", "bicubic2d")),
        *(f"_upsample_{kind}2d_aa_backward" for kind in ("bilinear", "bicubic")),
        "upsample_trilinear3d_backward",
    ],
    **{f"nn.ReflectionPad{n}d": [f"reflection_pad{n}d_backward"] for n in (1, 2, 3)},
    "nn.NLLLoss": ["nll_loss2d_forward"],
    "nn.CTCLoss": ["_ctc_loss_backward"],
    "nn.EmbeddingBag": ["_embedding_bag_dense_backward"],
    "Tensor.put_": ["put", "put_"],
    "histc": ["histc"],
    "bincount": ["bincount"],
    "median": ["median"],
    "kthvalue": ["kthvalue"],
    "nn.functional.grid_sample": ["grid_sampler_2d_backward", "grid_sampler_3d_backward"],
    "Tensor.scatter_reduce": ["scatter_reduce", "scatter_reduce_"],
}
"""What has none: torch warns of it, and the same seed may give other weights."""


def of_cuda(text):
    """The names of the documented entries that concern CUDA."""
    entries = re.findall(r"^ +\* (:(?:class|func):`torch\..+?)(?=^ +\* |\n\n)", text, re.M | re.S)
    return {
        re.search(r"`torch\.([\w.]+)`", entry)[1]
        for entry in entries
        if "CUDA" in entry or not re.search(r"\b(MPS|CPU|quantized)\b", entry)
    }


def test_the_lists_name_what_torch_documents():
    documented = of_cuda(torch.use_deterministic_algorithms.__doc__)
    assert len(documented) > 30, "the docstring has another form now"
    new = documented - COVERED.keys() - UNCOVERED.keys()
    assert not new, f"torch documents {new}: add it here, and see whether a step uses it"


class SecondStep(Hook):
    """Notes every operation of the second step of the second epoch, of two."""

    def __init__(self):
        self.recorder, self.open = Recorder(), contextlib.ExitStack()

    def on_batch_end(self, training):
        if training.epoch == 0:
            return
        if len(training.losses) == 1:
            self.open.enter_context(self.recorder)
        else:
            self.open.close()


class Recorder(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.names.add(operation._schema.name.removeprefix("aten::"))
        return operation(*args, **(kwargs or {}))


def operations_of_a_step(method, name, size, **recipe):
    faces, step = striped_faces(train=8, test=3, validation=3), SecondStep()
    noisy = inject_noise(faces.train.labels, 0.25, 3)
    train(
        method, build_network(name, 3), faces, noisy, device="cpu", hooks=[step],
        epochs=2, batch_size=4, size=size, **recipe,
    )  # fmt: skip
    return step.recorder.names


@pytest.mark.slow  # such a recorder imports torch's compiler
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(
    "method",
    [
        Baseline(), CoTeaching(noise_rate=0.25, ramp=1), SCN(relabel_epoch=1), RUL(), EAC(weight=1.0),
        EAC(weight=1.0, one_pass=True), EAC(weight=1.0, labels_on_both_views=True, shared_erasing=True),
        ELR(), ReSup(),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize(
    ("name", "size"),
    [("tiny", None), ("tiny", 24), ("tiny", 12), ("resnet18", 32), ("dlib-face", 96)],
)
def test_a_step_uses_nothing_without_a_deterministic_algorithm(method, name, size, balanced):
    """docs/gpu.md names the same operations."""
    if name == "resnet18":
        pytest.importorskip("torchvision")
    names = operations_of_a_step(method, name, size, balanced=balanced)
    assert {"nll_loss_backward", "_fused_adam_"} <= names, "the whole step was seen"
    assert "_local_scalar_dense" not in names, "the step fetches a number, and would wait for a GPU"
    assert not names.intersection(chain(*UNCOVERED.values()))
    covered = names.intersection(chain(*COVERED.values()))
    needed = {"convolution", "convolution_backward", "index_put_"}
    assert needed <= covered <= needed | {"index_put", "_index_put_impl_"}

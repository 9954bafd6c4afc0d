"""dlib's face recognition network: the file, the function, and the statistics."""

import json
import shutil
import types
from pathlib import Path

import pytest
import torch
from torch import nn

from eacbook.augment.normalise import normalise
from eacbook.data.faces import synthetic_faces
from eacbook.errors import InputError
from eacbook.methods import CoTeaching
from eacbook.models import dlib_face
from eacbook.models.dlib_face import (
    BYTES,
    DESCRIPTOR,
    FILE_NAME,
    LAST_BLOCK,
    DlibBlock,
    DlibFace,
    dlib_weights,
    find_spec,
    read_dlib_file,
)
from eacbook.models.networks import build_network, check_answer, copy_with_new_randomness
from eacbook.noise.inject import inject_noise
from eacbook.training.identity import describe_training
from eacbook.training.recipe import Recipe

ENOUGH_PIXELS = 80


@pytest.fixture(scope="module")
def tensors():
    return dlib_weights()


@pytest.fixture(scope="module")
def folder():
    return Path(find_spec("face_recognition_models").submodule_search_locations[0], "models")


@pytest.fixture(scope="module")
def faces():
    return synthetic_faces(train=12, test=7, validation=7, seed=3)


def with_weights(faces):
    return build_network("dlib-face", 7, weights="dlib", faces=faces)


@pytest.fixture(scope="module")
def network(faces):
    return with_weights(faces)


def test_the_descriptor_is_that_of_dlib(tensors, folder):
    dlib = pytest.importorskip("dlib", reason="dlib-bin has no wheel for this machine")
    network = DlibFace()
    network.blocks.append(DlibBlock(*LAST_BLOCK))
    network.load_state_dict(
        {name: t for name, t in tensors.items() if name != DESCRIPTOR}, strict=False
    )
    faces = synthetic_faces(train=3, test=1, validation=1, size=150).train.images
    with torch.no_grad():
        features = network.eval()(normalise(faces)).mean((2, 3))
    ours = features @ tensors[DESCRIPTOR]
    model = dlib.face_recognition_model_v1(str(folder / FILE_NAME))
    for face, descriptor in zip(faces, ours, strict=True):
        theirs = model.compute_face_descriptor(face.permute(1, 2, 0).contiguous().numpy())
        assert (torch.tensor(list(theirs)) - descriptor).abs().max() < 1e-5


def test_statistics_do_not_change_the_function(tensors, faces):
    network = DlibFace()
    network.load_state_dict(tensors, strict=False)
    images = normalise(faces.train.images, ENOUGH_PIXELS)
    with torch.no_grad():
        before = network.eval()(images)
        network.set_statistics(images)
        assert network.conv.weight.dtype == torch.float32
        after = network(images)
        training = network.train()(images)
    assert (after - before).abs().max() < 1e-4 * before.abs().max()
    assert (training - before).abs().max() < 1e-2 * before.abs().max()
    variances = torch.cat(
        [m.running_var for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    )
    assert (variances - 1).abs().median() > 0.1, "the statistics were not measured"


@pytest.mark.slow
def test_all_of_the_backbone_is_loaded_and_the_rest_is_named(network):
    match = network.weights_match
    assert match.missing == ("fc.weight", "fc.bias") and not match.wrong_shape
    assert {name.partition(".conv")[0].partition(".norm")[0] for name in match.unexpected} == {
        "blocks.13", DESCRIPTOR,
    }  # fmt: skip


@pytest.mark.parametrize("size, maps", [(150, 4), (224, 6), (96, 2)])
def test_the_size_of_the_maps(size, maps):
    network = build_network("dlib-face", 7)
    assert network.eval()(torch.zeros(1, 3, size, size))[1].shape == (1, 7, maps, maps)


def test_pictures_that_leave_no_map_are_refused():
    network = build_network("dlib-face", 7)
    with pytest.raises(InputError, match="dlib-face cannot take pictures of 40 x 40 pixels"):
        check_answer(network, 40, 7)


@pytest.mark.slow
def test_the_file_of_the_package_and_its_path_give_the_same_network(network, faces, folder):
    by_path = build_network("dlib-face", 7, weights=folder / FILE_NAME, faces=faces).state_dict()
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, by_path[name]), name


@pytest.mark.slow
def test_the_faces_of_the_statistics_are_in_the_settings(faces):
    others = synthetic_faces(train=12, test=7, validation=7, seed=4)
    noisy = inject_noise(faces.train.labels, 0.2, 7)

    def settings(network):
        described = describe_training(CoTeaching(0.2), network, faces, noisy, Recipe())["network"]
        return json.loads(json.dumps(described))

    one, again, other = (settings(with_weights(part)) for part in (faces, faces, others))
    assert one == again and one["statistics"] == faces.name
    assert other["initial"] != one["initial"]
    assert "statistics" not in settings(build_network("dlib-face", 7))


@pytest.mark.slow
def test_the_statistics_of_synthetic_faces_are_measured_once(monkeypatch):
    one = build_network("dlib-face", 7, weights="dlib", seed=1)
    monkeypatch.setattr(DlibFace, "set_statistics", None)
    again = build_network("dlib-face", 7, weights="dlib", seed=1)
    assert one.statistics == again.statistics == "synthetic"
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def test_a_copy_keeps_what_was_loaded_and_draws_the_classifier_anew(network):
    state, copied = (n.state_dict() for n in (network, copy_with_new_randomness(network, 5)))
    differing = {name for name in state if not torch.equal(state[name], copied[name])}
    assert differing == {"fc.weight", "fc.bias"}


def test_a_copy_of_random_weights_is_random_everywhere():
    network = build_network("tiny", 7, seed=1)
    copied = copy_with_new_randomness(network, 2).state_dict()
    for name, tensor in build_network("tiny", 7, seed=2).state_dict().items():
        assert torch.equal(copied[name], tensor), name


@pytest.mark.parametrize(
    ("network", "anew"),
    [
        (lambda: nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), "2."),
        (lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.Linear(5, 4), nn.Conv2d(5, 3, 1)), "2."),
        (lambda: nn.ModuleDict({"fc": nn.Linear(4, 3), "head": nn.Linear(4, 9)}), "fc."),
    ],
)
def test_a_copy_of_your_own_network_gets_a_new_classifier_alone(network, anew):
    network = network()
    state, copied = (n.state_dict() for n in (network, copy_with_new_randomness(network, 5)))
    differing = {name for name in state if not torch.equal(state[name], copied[name])}
    assert differing == {f"{anew}weight", f"{anew}bias"}


def test_a_network_without_a_layer_to_draw_is_not_copied():
    with pytest.raises(InputError, match="BatchNorm2d has no linear layer and no convolution"):
        copy_with_new_randomness(nn.BatchNorm2d(3), 0)


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setattr(dlib_face, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="is not installed. Install it with: pip install"):
        build_network("dlib-face", 7, weights="dlib")


def test_a_package_without_the_file_is_one_sentence(monkeypatch, tmp_path):
    spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(dlib_face, "find_spec", lambda name: spec)
    with pytest.raises(InputError, match=f"installed without {FILE_NAME}. Install it"):
        build_network("dlib-face", 7, weights="dlib")


def huge_sizes(data):
    """Every size of a tensor says 2**63, as a hostile file could."""
    return data[:400].replace(b"\x02\x80\x12", b"\x08" + b"\xff" * 8) + data[400:]


CHANGED = {
    "truncated": (lambda data: data[: BYTES // 3], "found 7,488,688 bytes"),
    "longer": (lambda data: data + b"\0", "found 22,466,067 bytes"),
    "one bit": (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "found the same size and another"),
    "sizes that lie": (huge_sizes, "found 22,466,072 bytes"),
    "only a head": (lambda data: data[:40], "found 40 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CHANGED)
def test_other_content_is_refused(kind, folder, tmp_path):
    change, found = CHANGED[kind]
    path = tmp_path / "weights.dat"
    path.write_bytes(change((folder / FILE_NAME).read_bytes()))
    with pytest.raises(
        InputError, match=f"weights.dat is not dlib's face recognition network: {found}"
    ):
        build_network("dlib-face", 7, weights=path)


@pytest.mark.parametrize(
    "name", ["mmod_human_face_detector.dat", "shape_predictor_5_face_landmarks.dat"]
)
def test_other_models_of_dlib_are_refused(name, folder, tmp_path):
    path = shutil.copy(folder / name, tmp_path / "model.dat")
    with pytest.raises(InputError, match=r"model\.dat .*dlib's face recognition network"):
        build_network("dlib-face", 7, weights=path)


def test_the_file_is_not_for_another_network(folder):
    with pytest.raises(InputError, match="is not for the network 'tiny'"):
        build_network("tiny", 7, weights=folder / FILE_NAME)


def test_a_file_that_is_gone_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_dlib_file(tmp_path / "gone.dat")

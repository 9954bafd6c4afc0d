"""Weights into networks: what matches is loaded and said, what does not is said or refused."""

from __future__ import annotations

import pickle
import warnings
from urllib.error import URLError

import pytest
import torch
from conftest import QUICK, batch, same_weights
from safetensors.torch import save_file

from eacbook.errors import InputError
from eacbook.evaluation.evaluate import predict
from eacbook.experiments.runs import find_or_train
from eacbook.files import write_tensors
from eacbook.methods import EAC, RUL, SCN, Baseline, CoTeaching
from eacbook.models.networks import build_network
from eacbook.models.registry import NETWORKS
from eacbook.models.weights import Match, load_weights
from eacbook.training.recipe import Recipe
from eacbook.training.setup import extend_network

COUNTED = "num_batches_tracked"


def published(name="resnet18", classes=1000, counters=True, prefix="", seed=1):
    """Random tensors under the names that a published file of this network has."""
    torch.manual_seed(seed)
    from torchvision.models import get_model  # loads torch's compiler, which takes seconds

    state = get_model(name, num_classes=classes).state_dict()
    return {prefix + n: t for n, t in state.items() if counters or not n.endswith(COUNTED)}


def torch_file(path, content):
    torch.save(content, path)
    return path


def array_file(path, tensors):
    path.write_bytes(pickle.dumps({n: t.numpy() for n, t in tensors.items()}, 2))
    return path


def holds(network, tensors):
    own = network.backbone.state_dict()
    given = {n.removeprefix("module."): tensor for n, tensor in tensors.items()}
    return all(torch.equal(own[n], given[n]) for n in own if n in given)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "resnet18-caffe"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_layout_of_the_ms_celeb_resnet18(name, prefix, tmp_path):
    tensors = published(prefix=prefix)
    path = torch_file(tmp_path / "resnet18_msceleb.pth", {"state_dict": tensors, "epoch": 9})
    network = build_network(name, 7, weights=path, seed=3)
    assert holds(network, tensors)
    assert torch.equal(network.fc.weight, build_network(name, 7, seed=3).fc.weight)
    assert network.weights == str(path)
    assert str(network.weights_match) == (
        f"100 of 102 tensors loaded from {path}; left at random: fc.weight, fc.bias; "
        "in the file but not used: fc.weight, fc.bias"
    )
    sibling = build_network(network.name, 7, weights=network.weights, seed=3)
    assert same_weights(network, sibling)


@pytest.mark.slow
def test_the_layout_of_the_vggface2_resnet50(tmp_path):
    tensors = published("resnet50", classes=8631, counters=False)
    path = array_file(tmp_path / "resnet50_ft_weight.pkl", tensors)
    network = build_network("resnet50-caffe", 7, weights=path)
    assert holds(network, tensors)
    assert network.weights_match.unexpected == ("fc.weight", "fc.bias")
    with pytest.raises(InputError, match="VGGFace2.*use the network 'resnet50-caffe'"):
        build_network("resnet50", 7, weights=path)
    converted = torch_file(tmp_path / "converted.pth", tensors)
    with pytest.raises(InputError, match="use the network 'resnet50-caffe'"):
        build_network("resnet50", 7, weights=converted)
    trained_in_pytorch = tensors | {"bn1.num_batches_tracked": torch.tensor(9)}
    build_network("resnet50", 7, weights=torch_file(tmp_path / "own.pth", trained_in_pytorch))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny", "resnet18"])
def test_our_own_files_bring_the_classifier_where_it_fits(name, tmp_path):
    trained = build_network(name, 7, seed=5)
    for buffer in trained.buffers():
        buffer.add_(1)
    write_tensors(tmp_path / "network.safetensors", trained.state_dict())
    state = {f"network.{n}": tensor for n, tensor in trained.state_dict().items()}
    write_tensors(tmp_path / "checkpoint.safetensors", state | {"records.losses": torch.ones(3)})
    for file in ("network.safetensors", "checkpoint.safetensors"):
        network = build_network(name, 7, weights=tmp_path / file)
        assert same_weights(network, trained)
        assert not network.weights_match.missing and not network.weights_match.unexpected
    other = build_network(name, 8, weights=tmp_path / "network.safetensors")
    assert other.weights_match.wrong_shape == ("fc.weight", "fc.bias")
    assert torch.equal(other.fc.weight, build_network(name, 8).fc.weight)
    assert "left at random because of another shape: fc.weight, fc.bias" in str(other.weights_match)


@pytest.mark.slow
def test_a_classifier_of_strangers_is_left_out_though_it_fits(tmp_path):
    path = torch_file(tmp_path / "seven_things.pth", published(classes=7))
    network = build_network("resnet18", 7, weights=path, seed=3)
    assert torch.equal(network.fc.weight, build_network("resnet18", 7, seed=3).fc.weight)
    assert network.weights_match.missing == ("fc.weight", "fc.bias")


@pytest.mark.slow
def test_a_part_of_the_backbone_that_does_not_match_is_warned_of(tmp_path):
    tensors = published()
    del tensors["layer4.1.bn2.bias"]
    tensors["conv1.weight"] = tensors["conv1.weight"].mean(1, keepdim=True)
    path = torch_file(tmp_path / "grey.pth", tensors)
    with pytest.warns(
        UserWarning, match="98 of 102.*layer4.1.bn2.bias.*another shape: conv1.weight"
    ):
        network = build_network("resnet18", 7, weights=path, seed=3)
    random = build_network("resnet18", 7, seed=3)
    assert torch.equal(network.backbone.conv1.weight, random.backbone.conv1.weight)


@pytest.mark.parametrize(
    "prefix",
    [
        "module.",
        "_orig_mod.",
        "model.",
        "encoder.",
        "net.",
        "model._orig_mod.module.encoder.",
        "module._fsdp_wrapped_module.",
    ],
)
def test_what_others_put_in_front_of_names_comes_off(prefix, tmp_path):
    own = build_network("tiny", 7, seed=5)
    state = {prefix + name: tensor for name, tensor in own.state_dict().items()}
    network = build_network("tiny", 7, weights=torch_file(tmp_path / "own.pth", state))
    assert same_weights(network, own), "with its classifier"
    inside = {
        name.replace("backbone.", f"backbone.{prefix}"): tensor
        for name, tensor in own.state_dict().items()
    }
    state = {"state_dict": {"model": inside}, "epoch": 3}
    network = build_network("tiny", 7, weights=torch_file(tmp_path / "own.pth", state))
    assert same_weights(network, own)


CHILDREN = ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"]


@pytest.mark.slow
@pytest.mark.parametrize("front", ["features.", "module.features.", ""])
def test_the_numbered_names_of_eac_scn_and_rul(front, tmp_path):
    tensors = published(classes=7)
    numbered = {
        f"{front}{CHILDREN.index(part)}.{rest}": tensors[f"{part}.{rest}"]
        for part, _, rest in (name.partition(".") for name in tensors)
        if part != "fc"
    }
    content = {"model_state_dict": numbered, "fc_state_dict": {"weight": torch.ones(7, 64)}}
    network = build_network("resnet18", 7, weights=torch_file(tmp_path / "rul.pth", content))
    assert holds(network, tensors)
    assert network.weights_match.missing == ("fc.weight", "fc.bias")


@pytest.mark.slow
def test_numbered_names_of_a_resnet50_may_be_those_of_caffes(tmp_path):
    numbered = {
        f"features.{CHILDREN.index(name.partition('.')[0])}.{name.partition('.')[2]}": tensor
        for name, tensor in published("resnet50").items()
        if not name.startswith("fc.")
    }
    path = torch_file(tmp_path / "eac.pth", numbered)
    with pytest.warns(UserWarning, match="is the network 'resnet50-caffe'"):
        build_network("resnet50", 7, weights=path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_network("resnet50-caffe", 7, weights=path)


def changed(network, name, change):
    state = {n: tensor.clone() for n, tensor in network.state_dict().items()}
    state[name] = change(state[name])
    return state


def one(value):
    def put(tensor):
        tensor[(0,) * tensor.ndim] = value
        return tensor

    return put


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("backbone.1.0.weight", one(float("nan")), "backbone.1.0.weight holds NaN: 1 of its 4,608"),
        (
            "backbone.0.2.running_mean",
            one(-float("inf")),
            "running_mean holds infinity: 1 of its 16",
        ),
        ("fc.bias", one(float("nan")), "fc.bias holds NaN"),
        ("fc.weight", lambda t: t.double() * 1e300, "fc.weight holds infinity: 448 of its 448"),
        ("backbone.0.2.running_var", one(-1e-3), "running_var holds variances below 0"),
        ("backbone.1.0.weight", lambda t: t.long(), "holds int64, expected floating point"),
        ("backbone.1.0.weight", lambda t: t > 0, "holds bool, expected floating point"),
        ("backbone.1.0.weight", lambda t: t + 0j, "holds complex64, expected floating point"),
    ],
)
def test_what_is_no_number_is_said_with_the_tensors_name(name, change, sentence, tmp_path):
    path = torch_file(tmp_path / "w.pth", changed(build_network("tiny", 7, seed=5), name, change))
    network = build_network("tiny", 7, seed=2)
    with pytest.raises(InputError, match=sentence) as caught:
        load_weights(network, path)
    assert str(caught.value).startswith(str(path))
    assert same_weights(network, build_network("tiny", 7, seed=2)), "nothing is half loaded"


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_network_of_one_number_is_refused(value, tmp_path):
    state = {n: torch.full_like(t, value) for n, t in build_network("tiny", 7).state_dict().items()}
    with pytest.raises(InputError, match=r"not from a trained network: all numbers of 0.0.weight"):
        build_network("tiny", 7, weights=torch_file(tmp_path / "zeros.pth", state))


def test_a_layer_of_zeros_is_warned_of(tmp_path):
    state = changed(build_network("tiny", 7), "backbone.1.0.weight", torch.zeros_like)
    with pytest.warns(UserWarning, match="only zeros in 1.0.weight"):
        build_network("tiny", 7, weights=torch_file(tmp_path / "zeros.pth", state))


def test_what_is_not_loaded_is_not_looked_at(tmp_path):
    state = published() | {"fc.weight": torch.full((1000, 512), float("nan"))}
    state["bn1.num_batches_tracked"] = torch.tensor(float("nan"))
    build_network("resnet18", 7, weights=torch_file(tmp_path / "people.pth", state))


def test_two_networks_in_one_file_are_not_mixed(tmp_path):
    state = build_network("tiny", 7).state_dict()
    both = {f"{front}.{n}": t for front in ("model", "net") for n, t in state.items()}
    with pytest.raises(InputError, match="model.backbone.0.0.weight and net.backbone.0.0.weight"):
        build_network("tiny", 7, weights=torch_file(tmp_path / "two.pth", both))


@pytest.mark.slow
@pytest.mark.parametrize(
    "method", [Baseline(), CoTeaching(noise_rate=0.25), SCN(), RUL(), EAC()], ids=lambda m: m.name
)
def test_a_run_of_every_method_brings_its_classifier(method, faces, noisy, tmp_path):
    start = build_network("tiny", 3)
    run = find_or_train(method, start, faces, noisy, folder=tmp_path, **QUICK | {"epochs": 1})
    (path,) = tmp_path.glob("*/network.safetensors")
    network = build_network("tiny", 3, weights=path)
    images = faces.test.images
    assert torch.equal(predict(network, images), predict(run.network, images))
    assert "fc.weight" in network.weights_match.loaded and not network.weights_match.missing
    if isinstance(method, RUL):
        more = extend_network(method, network, faces, Recipe())
        assert torch.equal(predict(more, images), predict(run.network, images))
        with pytest.raises(InputError, match=r"trained on features of \(64, 2, 2\) and gets"):
            network(torch.zeros(1, 3, 48, 48))
        plain = load_weights(build_network("tiny", 3), path)
        assert plain.missing == ("fc.weight", "fc.bias"), "RUL's classifier is not for pooled ones"
    again = [Baseline(), CoTeaching(noise_rate=0.25), SCN(), RUL(), EAC()]
    for other in again:
        extended = extend_network(other, network, faces, Recipe())
        losses = other.loss(extended.train(), batch(4, [0, 1, 2, 0]))
        assert losses["loss"].isfinite()
    peers = extend_network(CoTeaching(noise_rate=0.25), network, faces, Recipe())
    assert not torch.equal(peers.fc.weight, peers.peer.fc.weight), "or they would stay the same"


@pytest.mark.slow
def test_what_matches_is_no_reason_for_a_warning(tmp_path):
    path = torch_file(tmp_path / "whole.pth", published())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_network("resnet18", 7, weights=path)


def test_weights_of_another_network_are_refused_with_the_names_of_both_sides(tmp_path):
    path = torch_file(tmp_path / "weights.pth", {"features.0.weight": torch.ones(3)})
    network = build_network("tiny", 7, seed=2)
    sentence = r"not for the network 'tiny'.*file begins with features.0.weight, .*0\.0\.weight"
    with pytest.raises(InputError, match=sentence):
        load_weights(network, path)
    assert same_weights(network, build_network("tiny", 7, seed=2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "name"), [("resnet50", "resnet18"), ("resnet18", "resnet50-caffe")]
)
def test_resnet18_and_resnet50_are_not_taken_for_each_other(file, name, tmp_path):
    path = torch_file(tmp_path / "weights.pth", published(file))
    with pytest.raises(
        InputError, match=r"is \[64, 64, \d, \d\] in the file and \[64, 64, \d, \d\]"
    ):
        build_network(name, 7, weights=path)


def test_a_long_list_of_names_is_cut():
    names = tuple(f"layer{n}.weight" for n in range(9))
    match = Match("a file", loaded=("conv1.weight",), missing=names, wrong_shape=(), unexpected=())
    assert str(match) == (
        "1 of 10 tensors loaded from a file; left at random: layer0.weight, layer1.weight, "
        "layer2.weight, layer3.weight and 5 more"
    )


@pytest.fixture
def hub(tmp_path):
    """An empty cache of torch.hub."""
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    yield folder
    torch.hub.set_dir(before)


def cached(hub, name):
    from torchvision.models import get_model_weights  # loads torch's compiler, which takes seconds

    url = get_model_weights(name).IMAGENET1K_V1.url
    return hub / url.rpartition("/")[2]


@pytest.mark.slow
def test_imagenet_comes_from_the_cache_of_torchvision(hub):
    tensors = published("resnet18")
    torch_file(cached(hub, "resnet18"), tensors)
    network = build_network("resnet18", 7, weights="imagenet", seed=3)
    assert holds(network, tensors)
    assert torch.equal(network.fc.weight, build_network("resnet18", 7, seed=3).fc.weight)
    assert network.weights == "imagenet"
    assert str(network.weights_match).startswith("100 of 102 tensors loaded from imagenet; ")


def test_without_a_network_the_sentence_says_where_to_put_imagenets_file(hub, monkeypatch):
    def no_network(*_, **__):
        raise URLError("Name or service not known")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    with pytest.raises(
        InputError, match="not known.*download.pytorch.org/models/resnet18"
    ) as caught:
        build_network("resnet18", 7, weights="imagenet")
    assert str(hub) in str(caught.value)


class Payload:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return exec, (f"open({str(self.marker)!r}, 'w').close()",)


def test_a_hostile_file_in_torchvisions_cache_is_not_executed(hub, tmp_path):
    torch_file(cached(hub, "resnet18"), {"conv1.weight": Payload(tmp_path / "executed")})
    with pytest.raises(InputError, match="could not be loaded"):
        build_network("resnet18", 7, weights="imagenet")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "name, weights, expected",
    [
        *((name, "imagenet", r"\(these are for resnet18 and resnet50\): expected .*a file")
          for name, entry in NETWORKS.items() if "imagenet" not in entry.weights),
        ("resnet18", "dlib", r"\(these are for dlib-face\): expected 'imagenet' or a file"),
        ("dlib-face", "nowhere.dat", "expected 'dlib' or a file"),
    ],
)  # fmt: skip
def test_weights_of_another_network_are_refused_by_name(name, weights, expected):
    with pytest.raises(InputError, match=f"no weights '{weights}' for '{name}'.*{expected}"):
        build_network(name, 7, weights=weights)


@pytest.mark.slow
def test_half_precision_and_safetensors_by_others_are_read(tmp_path):
    tensors = {n: t.half() if t.is_floating_point() else t for n, t in published().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    network = build_network("resnet18", 7, weights=tmp_path / "model.safetensors")
    assert network.backbone.conv1.weight.dtype == torch.float32
    assert torch.equal(network.backbone.conv1.weight, tensors["conv1.weight"].float())
    assert sorted(network.weights_match.unexpected) == ["fc.bias", "fc.weight"]


def test_random_weights_have_no_source():
    network = build_network("tiny", 7)
    assert network.weights is None and network.weights_match is None

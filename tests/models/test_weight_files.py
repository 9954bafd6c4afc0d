"""Files of weights: every published layout is read, and nothing in a file is ever executed."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from eacbook.errors import InputError
from eacbook.models import weight_files
from eacbook.models.weight_files import read_weights

ARRAYS = {
    "conv1.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7,
    "bn1.bias": np.array([1.5, -2.0], dtype=np.float32),
}


def same(tensors, arrays=ARRAYS):
    assert list(tensors) == list(arrays)
    for name, array in arrays.items():
        assert tensors[name].dtype == torch.from_numpy(array).dtype
        assert torch.equal(tensors[name], torch.from_numpy(array.copy(order="C")))
    return True


def written(folder, data, name="weights"):
    path = folder / name
    path.write_bytes(data)
    return path


def python2_pickle(arrays):
    """What Python 2's cPickle writes at protocol 2: text of bytes, numpy.core, one shared dtype."""
    out = [b"\x80\x02}q\x00("]
    dtype = b"h\x01"
    for index, (name, array) in enumerate(arrays.items()):
        made = b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87Rq\x01(K\x03U\x01<NNNJ\xff\xff\xff\xff"
        made += b"J\xff\xff\xff\xffK\x00tb"
        shape = b"(" + b"".join(b"K" + bytes([n]) for n in array.shape) + b"t"
        out += [
            b"U" + bytes([len(name)]) + name.encode(),
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R",
            b"(K\x01" + shape + (made if index == 0 else dtype) + b"\x89",
            b"T" + struct.pack("<i", array.nbytes) + array.tobytes() + b"tb",
        ]
    return b"".join([*out, b"u."])


def python2_text_pickle(arrays):
    """Python 2's protocol 0: everything is text, and the data a quoted string with escapes."""
    out = [b"(dp0\n"]
    for name, array in arrays.items():
        shape = b"".join(b"I%d\n" % n for n in array.shape)
        text = "".join(f"\\x{byte:02x}" for byte in array.tobytes()).encode()
        out += [
            b"S'" + name.encode() + b"'\n",
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR",
            b"(I1\n(" + shape + b"tcnumpy\ndtype\n(S'f4'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb",
            b"I00\nS'" + text + b"'\ntbs",
        ]
    return b"".join([*out, b"."])


@pytest.mark.parametrize("write", [python2_pickle, python2_text_pickle])
def test_the_pickles_of_python_2_are_read(write, tmp_path):
    data = write(ARRAYS)
    assert same({n: torch.from_numpy(a) for n, a in pickle.loads(data, encoding="latin1").items()})
    assert same(read_weights(written(tmp_path, data)))


@pytest.mark.parametrize("kind", [dict, OrderedDict])
@pytest.mark.parametrize("protocol", range(6))
def test_the_pickles_of_python_3_are_read(protocol, kind, tmp_path):
    assert same(read_weights(written(tmp_path, pickle.dumps(kind(ARRAYS), protocol))))


@pytest.mark.parametrize("protocol", [0, 2, 3])
@pytest.mark.parametrize("package", [b"cnumpy.core.", b"cnumpy._core."])
def test_numpy_before_and_since_version_2(package, protocol, tmp_path):
    data = pickle.dumps(ARRAYS, protocol)
    data = data.replace(b"cnumpy._core.", package).replace(b"cnumpy.core.", package)
    assert same(read_weights(written(tmp_path, data)))


@pytest.mark.parametrize("protocol", [2, 5])
def test_orders_types_and_scalars_of_arrays(protocol, tmp_path):
    arrays = {
        "fortran": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        "half": np.ones(3, dtype=np.float16),
        "counter": np.array(7, dtype=np.int64),
        "mask": np.array([True, False]),
        "strided": np.arange(10, dtype=np.int32)[::2],
    }
    assert same(read_weights(written(tmp_path, pickle.dumps(arrays, protocol))), arrays)
    other = {
        "scalar": np.float32(2.5),
        "big-endian": np.array([1, 2], dtype=">f4"),
        "epoch": 3,
    }
    tensors = read_weights(written(tmp_path, pickle.dumps(other, protocol)))
    assert tensors["scalar"].item() == 2.5
    assert tensors["big-endian"].tolist() == [1, 2]
    assert "epoch" not in tensors


def torch_file(content, new):
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=new)
    return buffer.getvalue()


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("key", [None, "state_dict", "model", "net", "model_state_dict"])
def test_files_of_pytorch_are_read_and_unwrapped(key, new, tmp_path):
    tensors = OrderedDict((name, torch.from_numpy(array)) for name, array in ARRAYS.items())
    content = tensors if key is None else {key: tensors, "epoch": 3, "arch": "resnet18"}
    path = written(tmp_path, torch_file(content, new), "any_name.pkl")
    assert same(read_weights(path))


def test_of_our_own_checkpoint_only_the_network_is_read(tmp_path):
    tensors = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
    moments = {"optimizer.0.exp_avg": torch.ones(2), "records.losses": torch.ones(3)}
    content = {f"network.{name}": tensor for name, tensor in tensors.items()}
    save_file(content | moments, tmp_path / "checkpoint.pth")
    tensors = read_weights(tmp_path / "checkpoint.pth")
    assert same({name: tensors[name] for name in ARRAYS})
    assert len(tensors) == len(ARRAYS)


def test_a_pytorch_with_a_known_hole_reads_no_file_of_pytorch(tmp_path, monkeypatch):
    monkeypatch.setattr(weight_files, "SAFE_TORCH", "99.0")
    with pytest.raises(InputError, match="99.0 and later.*safetensors"):
        read_weights(written(tmp_path, torch_file({"a": torch.ones(2)}, new=True)))


class Payload:
    """A hostile object: whoever unpickles it makes the call."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def hostile_pickles(marker):
    """(description, pickle) of files that create the marker when pickle reads them."""
    touch = f"touch '{marker}'"
    python = f"open({str(marker)!r}, 'w').close()"
    quoted = repr(touch).encode()
    system = Payload(os.system, touch)
    for protocol in range(6):
        yield f"os.system {protocol}", pickle.dumps({"conv1.weight": system}, protocol)
        array = np.array([system], dtype=object)
        yield f"array of objects {protocol}", pickle.dumps({"conv1.weight": array}, protocol)
    yield "exec", pickle.dumps({"conv1.weight": Payload(exec, python)})
    yield "eval", pickle.dumps({"conv1.weight": Payload(eval, python)})
    yield "getattr", pickle.dumps(Payload(getattr(os, "system"), touch))  # noqa: B009
    yield "GLOBAL", b"cposix\nsystem\n(S" + quoted + b"\ntR."
    yield "INST", b"(S" + quoted + b"\niposix\nsystem\n."
    yield "OBJ", b"(cposix\nsystem\nS" + quoted + b"\no."
    runstring = b"cnumpy.testing._private.utils\nrunstring\n(S"
    yield "a function of numpy", runstring + repr(python).encode() + b"\n}tR."
    arrays = python2_pickle(ARRAYS)
    yield "after good arrays", arrays[:-2] + b"U\x01x" + b"cposix\nsystem\n(S" + quoted + b"\ntRu."
    subclass = arrays.replace(b"cnumpy\nndarray\n", b"cposix\nsystem\n(S" + quoted + b"\ntR", 1)
    yield "in place of the array's class", subclass
    state = b"cposix\nsystem\n(S" + quoted + b"\ntR"
    yield "in an array's state", arrays.replace(b"(K\x01", b"(" + state, 1)


NAMES = [name for name, _ in hostile_pickles("marker")]


@pytest.mark.parametrize("index", range(len(NAMES)), ids=NAMES)
def test_a_hostile_pickle_is_refused_and_not_executed(index, tmp_path):
    marker = tmp_path / "executed"
    _, data = list(hostile_pickles(marker))[index]
    with contextlib.suppress(
        Exception
    ):  # numpy may refuse what the call returns, after it was made
        pickle.loads(data, encoding="latin1")
    assert marker.exists(), "the payload must be a live one, or the test shows nothing"
    marker.unlink()
    with pytest.raises(InputError, match="was not read as weights"):
        read_weights(written(tmp_path, data))
    assert not marker.exists()


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrap", [lambda p: p, lambda p: {"state_dict": {"conv1.weight": p}}])
@pytest.mark.parametrize("call", ["system", "exec", "tensor"])
def test_a_hostile_file_of_pytorch_is_refused_and_not_executed(call, wrap, new, tmp_path):
    marker = tmp_path / "executed"
    python = f"open({str(marker)!r}, 'w').close()"
    payload = {
        "system": Payload(os.system, f"touch '{marker}'"),
        "exec": Payload(exec, python),
        "tensor": Payload(torch.load, io.BytesIO(pickle.dumps(Payload(exec, python)))),
    }[call]
    path = written(tmp_path, torch_file(wrap(payload), new))
    if call != "tensor":
        torch.load(path, weights_only=False)
        assert marker.exists(), "the payload must be a live one, or the test shows nothing"
        marker.unlink()
    with pytest.raises(InputError, match="it refers to|something other than tensors"):
        read_weights(path)
    assert not marker.exists()


def test_the_sentence_names_what_a_hostile_file_asks_for(tmp_path):
    path = written(tmp_path, pickle.dumps({"a": Payload(exec, "1")}))
    with pytest.raises(InputError, match=r"it refers to builtins\.exec, which arrays do not need"):
        read_weights(path)
    path = written(tmp_path, torch_file({"a": Payload(exec, "1")}, new=True))
    with pytest.raises(InputError, match=r"it refers to .*exec, which tensors do not need"):
        read_weights(path)


def array_pickle(shape, data, dtype=b"U\x02f4"):
    """One array of whatever shape and data, as Python 2 would have written it."""
    good = python2_pickle({"a": np.zeros(2, dtype=np.float32)})
    good = good.replace(b"(K\x02t", b"(" + shape + b"t").replace(b"U\x02f4", dtype)
    return good.replace(b"T\x08\x00\x00\x00" + bytes(8), b"T" + struct.pack("<i", len(data)) + data)


HUGE = b"\x8a\x08" + struct.pack("<q", 10**15)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(array_pickle(HUGE, bytes(8)), id="a huge shape"),
        pytest.param(array_pickle(b"J\xff\xff\xff\xff", bytes(8)), id="a negative shape"),
        pytest.param(array_pickle(b"N", bytes(8)), id="no shape"),
        pytest.param(array_pickle(b"K\x03", bytes(8)), id="too little data"),
        pytest.param(array_pickle(b"K\x01", bytes(8), b"U\x02O8"), id="objects"),
        pytest.param(array_pickle(b"K\x01", bytes(8), b"U\x06f4,O,O"), id="records"),
        pytest.param(b"\x80\x04\x8e" + struct.pack("<Q", 2**60) + b"x.", id="huge bytes"),
        pytest.param(b"\x80\x05\x96" + struct.pack("<Q", 2**60) + b"x.", id="huge bytearray"),
        pytest.param(b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b".", id="huge memory index"),
        pytest.param(b"\x80\x02}N" + b"\x85" * 10**5 + b"Ns.", id="a deep name"),
        pytest.param(b"\x80\x02}]Ns.", id="a list"),
        pytest.param(b"\x80\x02}(U\x01aNU\x01bu.", id="a name without a value"),
        pytest.param(b"\x80\x02cnumpy\ndtype\n}b.", id="a state for a class"),
        pytest.param(b"\x80\x02cnumpy\nndarray\n)R.", id="calling the array's class"),
        pytest.param(b"\x80\x02K\x01.", id="a number"),
        pytest.param(b"\x80\x02}.", id="nothing"),
        pytest.param(b"\x80\x02\x82\x01.", id="an extension"),
        pytest.param(b"\x80\x02Uxa.", id="a wrong length"),
    ],
)
def test_a_pickle_made_to_break_the_reader_is_refused(data, tmp_path):
    with pytest.raises(InputError, match="was not read as weights"):
        read_weights(written(tmp_path, data))


def test_one_text_shared_by_many_arrays_does_not_fill_the_memory(tmp_path):
    count, text = 1000, b"\x01" * 4000
    first = array_pickle(b"M\xe8\x03", text)[6:-2].replace(text, text + b"q\x07")
    again = first.replace(b"T\xa0\x0f\x00\x00" + text + b"q\x07", b"h\x07")
    data = b"\x80\x02}(" + b"".join(
        (first if n == 0 else again).replace(b"U\x01a", b"U\x04%04d" % n) for n in range(count)
    )
    assert len(pickle.loads(data + b"u.", encoding="latin1")) == count
    with pytest.raises(InputError, match="larger than the file"):
        read_weights(written(tmp_path, data + b"u."))


def test_a_zip_bomb_is_refused(tmp_path):
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    with pytest.raises(InputError, match="larger than the file"):
        read_weights(path)


@pytest.mark.parametrize("form", ["pickle", "zip", "legacy", "safetensors"])
def test_a_cut_off_file_is_refused_wherever_it_was_cut(form, tmp_path):
    tensors = {name: torch.from_numpy(array) for name, array in ARRAYS.items()}
    if form == "pickle":
        data = python2_pickle(ARRAYS)
    elif form == "safetensors":
        save_file(tensors, tmp_path / "whole")
        data = (tmp_path / "whole").read_bytes()
    else:
        data = torch_file(tensors, new=form == "zip")
    for length in range(1, len(data), max(1, len(data) // 60)):
        with pytest.raises(InputError):
            read_weights(written(tmp_path, data[:length]))


@pytest.mark.parametrize("name", ["data/0", "data/1", "data.pkl"])
def test_one_flipped_bit_in_a_file_of_pytorch_is_noticed(name, tmp_path):
    data = torch_file({n: torch.from_numpy(array) for n, array in ARRAYS.items()}, new=True)
    assert same(read_weights(written(tmp_path, data)))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        (entry,) = (part for part in archive.infolist() if part.filename.endswith(name))
        start = data.index(archive.read(entry), entry.header_offset)
    for place in (start, start + entry.file_size // 2, start + entry.file_size - 1):
        broken = bytearray(data)
        broken[place] ^= 4
        path = written(tmp_path, bytes(broken))
        with pytest.raises(
            InputError, match=f"is damaged: the bytes of .*{name}.*CRC-32"
        ) as caught:
            read_weights(path)
        assert str(caught.value).startswith(str(path))


@pytest.mark.skipif(
    not hasattr(torch.serialization, "get_crc32_options"), reason="this PyTorch always writes it"
)
def test_a_file_that_was_written_without_crc_is_read(tmp_path):
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        data = torch_file({n: torch.from_numpy(array) for n, array in ARRAYS.items()}, new=True)
    finally:
        torch.serialization.set_crc32_options(before)
    assert same(read_weights(written(tmp_path, data)))


def test_a_dictionary_that_holds_itself_is_refused(tmp_path):
    tree = {}
    tree["model"] = tree
    with pytest.raises(InputError, match="there are no tensors in it"):
        read_weights(written(tmp_path, torch_file(tree, new=True)))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is empty: the download failed"),
        (
            b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded",
            "is a web page, not weights",
        ),
        (b"\xef\xbb\xbf\r\n <html lang=en>", "is a web page, not weights: the download failed"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "git lfs pull"),
        (b"Not Found", "was not read as weights"),
        (b'{"error": "gone"}', "was not read as weights"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), "was not read as weights"),
    ],
)
def test_what_a_dead_link_leaves_behind_is_told(data, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        read_weights(written(tmp_path, data, "resnet18_msceleb.pth"))


def test_a_folder_and_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="is a folder.*network.safetensors"):
        read_weights(tmp_path)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_weights(tmp_path / "none.pth")


@pytest.mark.parametrize("content", [[torch.ones(2)], torch.ones(2), {"epoch": 3}])
def test_a_file_of_pytorch_without_named_tensors(content, tmp_path):
    with pytest.raises(InputError, match="there are no tensors in it"):
        read_weights(written(tmp_path, torch_file(content, new=True)))

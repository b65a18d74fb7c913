"""Files of weights: what is read, what is refused, and how it is told."""

import hashlib
import io
import os
import pickle
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import pytest

from helpers.models.weights import (
    PACKAGED,
    WeightFile,
    read_arrays,
    read_state_dict,
)


def named(module, name):
    """A stand-in, so that PyTorch's names are written without PyTorch."""
    return type(name, (), {"__module__": module})


REBUILD = named("torch._utils", "_rebuild_tensor_v2")
KINDS = {
    "f4": named("torch", "FloatStorage"),
    "i8": named("torch", "LongStorage"),
    "f8": named("torch", "DoubleStorage"),
}


class Storage(NamedTuple):
    key: str
    array: np.ndarray


class Tensor:
    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, None)

    def __reduce__(self):
        return REBUILD, self.arguments


class Writer(pickle._Pickler):
    """Writes names without importing them, and storages by their keys."""

    def save_global(self, obj, name=None):
        name = name or obj.__qualname__
        self.write(pickle.GLOBAL + f"{obj.__module__}\n{name}\n".encode())
        self.memoize(obj)

    def persistent_id(self, obj):
        if isinstance(obj, Storage):
            kind = KINDS[obj.array.dtype.str[1:]]
            count = obj.array.size
            return ("storage", kind, obj.key, "cpu", count, None)
        return None


def legacy(state, storages, count=None):
    """The bytes of a state dict as PyTorch wrote it before 1.6."""
    stream = io.BytesIO()
    for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(header, stream, 2)
    Writer(stream, 2).dump(state)
    pickle.dump([storage.key for storage in storages], stream, 2)
    for storage in storages:
        size = storage.array.size if count is None else count
        stream.write(size.to_bytes(8, "little"))
        stream.write(storage.array.tobytes())
    return stream.getvalue()


KERNEL = Storage("94001", np.arange(12, dtype="<f4"))
STEPS = Storage("94002", np.array([7], "<i8"))
DOUBLE = Storage("94003", np.zeros(2, "<f8"))
STATE = OrderedDict(
    {
        "stem.0.weight": Tensor(KERNEL, 0, (2, 3), (3, 1)),
        "transposed": Tensor(KERNEL, 6, (3, 2), (1, 3)),
        "stem.1.num_batches_tracked": Tensor(STEPS, 0, (), ()),
    }
)
WHOLE = legacy(STATE, [KERNEL, STEPS])


@pytest.fixture
def written(tmp_path):
    def write(content):
        path = tmp_path / "net.pth"
        path.write_bytes(content)
        return path

    return write


def test_a_state_dict_is_read(written):
    state = read_state_dict(written(WHOLE))
    assert list(state) == list(STATE)
    kernel = state["stem.0.weight"]
    assert kernel.dtype == np.float32
    np.testing.assert_array_equal(kernel, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(
        state["transposed"], [[6, 9], [7, 10], [8, 11]]
    )
    assert state["stem.1.num_batches_tracked"] == 7


def test_a_state_dict_cut_anywhere_is_refused(written):
    for length in range(len(WHOLE)):
        with pytest.raises(ValueError, match="weights: net.pth: "):
            read_state_dict(written(WHOLE[:length]))


def test_a_changed_byte_is_refused_or_changes_a_value(written):
    """Whatever comes out of it, nothing but a ValueError is raised."""
    for place in range(len(WHOLE)):
        changed = bytearray(WHOLE)
        changed[place] ^= 0x5A
        try:
            state = read_state_dict(written(bytes(changed)))
        except ValueError as error:
            assert "net.pth" in str(error)
        else:
            assert isinstance(state, dict)


@pytest.mark.parametrize(
    ("tensor", "storages", "count", "message"),
    [
        (STATE, [KERNEL, STEPS], 3, "a storage is cut short"),
        ((KERNEL, 8, (2, 3), (3, 1)), [KERNEL], None, "strides is incomp"),
        ((KERNEL, 0, (2,), (-1,)), [KERNEL], None, "strides is incomp"),
        ((DOUBLE, 0, (2,), (1,)), [], None, "DoubleStorage, which is refused"),
    ],
    ids=["count", "offset", "stride", "type"],
)
def test_a_storage_that_does_not_fit_is_refused(
    written, tensor, storages, count, message
):
    state = tensor if tensor is STATE else {"a": Tensor(*tensor)}
    with pytest.raises(ValueError, match=f"net.pth: .*{message}"):
        read_state_dict(written(legacy(state, storages, count)))


class Command:
    """Asks for `os.system` when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"echo > {self.path}",)


def test_nothing_else_is_executed(written, tmp_path):
    trace = tmp_path / "trace"
    bare = pickle.dumps(Command(trace), 2)
    pickle.loads(bare)
    assert trace.is_file(), "the test would not notice"
    trace.unlink()
    where = os.system.__module__
    refused = f"net.pth: asks for {where}.system, which is refused"
    for content in (bare, legacy({"a": Command(trace)}, [])):
        with pytest.raises(ValueError, match=refused):
            read_state_dict(written(content))
    with pytest.raises(ValueError, match=refused):
        read_arrays(written(bare))
    assert not trace.exists()


def test_arrays_are_read_and_nothing_else(written):
    tree = {"VGG16_0": {"Conv_0": {"kernel": np.ones((3, 3, 3, 2), "f4")}}}
    # NumPy 2 moved the function; the packaged file names the old place.
    content = pickle.dumps(tree, 3).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )
    read = read_arrays(written(content))["VGG16_0"]["Conv_0"]["kernel"]
    np.testing.assert_array_equal(read, tree["VGG16_0"]["Conv_0"]["kernel"])
    with pytest.raises(ValueError, match="net.pth: "):
        read_arrays(written(content[:-20]))
    with pytest.raises(ValueError, match="collections.OrderedDict, which is"):
        read_arrays(written(pickle.dumps(OrderedDict(a=1), 2)))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package with a file, as it is installed, and its entry."""
    content = b"weights" * 100
    package = tmp_path / "some_weights_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    file = package / "net-1.pth"
    file.write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    digest = hashlib.sha256(content).hexdigest()
    return file, WeightFile(package.name, file.name, digest, "some-package==1")


def test_a_sound_file_is_found_without_an_import(installed):
    file, entry = installed
    assert entry.path() == file
    again = "; pip install --force-reinstall some-package==1"
    content = file.read_bytes()
    # Truncated, altered, another one.
    for bad in (content[:-1], content[:-1] + b"!", 2 * content):
        file.write_bytes(bad)
        with pytest.raises(ValueError, match=f"net-1.pth is trunc.*{again}"):
            entry.path()
    file.unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks its file.*{again}"):
        entry.path()


@pytest.mark.parametrize("name", ["EfficientNet-Lite0", "EfficientNet-Lite1"])
def test_the_lite_packages_are_installed_and_sound(name):
    path = PACKAGED[name].path()
    # PyTorch's custom: the name carries the first digits of the hash.
    assert path.stem.endswith(PACKAGED[name].sha256[:8])
    state = read_state_dict(path)
    assert {array.dtype.str for array in state.values()} == {"<f4", "<i8"}
    assert state["_fc.weight"].shape == (1000, 1280)

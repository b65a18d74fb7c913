"""Well-known data sets that come as arrays: scikit-learn's digits and CIFAR.

E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI
Machine Learning Repository, 1998, doi:10.24432/C50P49: its test set.

A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*,
technical report, University of Toronto, 2009.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from sklearn import datasets

from helpers import paths
from helpers.data.dataset import ImageDataset, from_arrays
from helpers.imbalance import class_counts

DIGIT_SIDE, CIFAR_SIDE = 8, 32
"""Side in pixels of an image as it is stored."""

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""The arrays of CIFAR's NPZ file, in the order of Keras' loader."""

_TEN = "airplane automobile bird cat deer dog frog horse ship truck"
_HUNDRED = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle
bowl boy bridge bus butterfly camel can castle caterpillar cattle
chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house
kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man
maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy
porcupine possum rabbit raccoon ray road rocket rose sea seal shark
shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor
train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""
CIFAR_CLASSES = {
    "cifar10": tuple(_TEN.split()),
    "cifar100": tuple(_HUNDRED.split()),
}
"""The classes in the order of the labels; of CIFAR-100 the fine ones."""


def load_digits(image_size: int = 16) -> ImageDataset:
    """Return the 1,797 digits, 174 to 183 a class, without groups.

    The grey levels 0 to 16 become 0 to 255 in three equal channels. The 8 × 8
    pixels are enlarged to image_size bilinearly, which invents no level
    beyond its neighbours; at 8 they stay as they are.

    The digits were written by 13 people, and which one wrote which is not
    told: every split of them tests on hands it has seen in training.

    Raises ValueError for an image_size below 8.
    """
    if not isinstance(image_size, int) or image_size < DIGIT_SIDE:
        raise ValueError(
            f"image_size: expected {DIGIT_SIDE} pixels or more, got "
            f"{image_size!r}"
        )
    bunch = datasets.load_digits()
    size = (image_size, image_size)
    grey = [
        Image.fromarray(levels).resize(size, Image.Resampling.BILINEAR)
        for levels in np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    ]
    return from_arrays(
        "digits",
        np.stack([image.convert("RGB") for image in grey]),
        bunch.target,
        tuple("0123456789"),
        origin="sklearn.datasets.load_digits (UCI, doi:10.24432/C50P49)",
        licence="CC BY 4.0",
        citation="Alpaydin & Kaynak 1998, doi:10.24432/C50P49",
    )


def load_cifar(name: str, data_dir: Path | str | None = None) -> ImageDataset:
    """Load "cifar10" or "cifar100": (N, 32, 32, 3), training set first.

    Read from ``cifar10.npz`` (``cifar100.npz``) in data_dir (default
    ``WORKBOOK_DATA`` or ``data/``) where it is there: arrays x_train, y_train,
    x_test, y_test as Keras returns them. The training set in it may be a
    subset, long-tailed for example. Without it, ``keras.datasets`` downloads
    the original once (170 MB), checks its hash, and keeps it in ``~/.keras``.

    The published split has "train" and "test" and no "val", as in the CEFL
    paper, which trains to the last epoch.

    Raises ValueError for another name and for a file with other arrays,
    naming it; OSError where the download fails.
    """
    if name not in CIFAR_CLASSES:
        raise ValueError(
            f"name: expected {' or '.join(CIFAR_CLASSES)}, got {name!r}"
        )
    path = paths.data_folder(data_dir) / f"{name}.npz"
    if path.is_file():
        arrays, origin = _from_npz(path), f"the file {path.name}"
    else:
        arrays, origin = _from_keras(name, path), f"keras.datasets.{name}"
    x_train, y_train, x_test, y_test = arrays
    return from_arrays(
        name,
        np.concatenate([x_train, x_test]),
        np.concatenate([y_train.ravel(), y_test.ravel()]),
        CIFAR_CLASSES[name],
        published_split=["train"] * len(y_train) + ["test"] * len(y_test),
        origin=f"{origin} (cs.toronto.edu/~kriz/cifar.html)",
        licence="not stated; research use",
        citation="Krizhevsky 2009, Learning Multiple Layers of Features",
    )


def _from_npz(path: Path) -> list[np.ndarray]:
    try:
        with path.open("rb") as opened:
            file = np.load(opened, allow_pickle=False)
            arrays = [file[key] for key in ARRAYS]
    # A damaged archive raises what zipfile, zlib or NumPy's header reader do.
    except Exception as error:
        raise ValueError(
            f"{path}: expected the arrays {', '.join(ARRAYS)} ({error})"
        ) from error
    shape = (CIFAR_SIDE, CIFAR_SIDE, 3)
    for part, x, y in (("train", *arrays[:2]), ("test", *arrays[2:])):
        if x.dtype != np.uint8 or x.shape[1:] != shape:
            raise ValueError(
                f"{path}: x_{part} is {x.dtype} of shape {x.shape}; expected "
                f"uint8 of shape (N, {', '.join(map(str, shape))})"
            )
        if y.size != len(x):
            raise ValueError(
                f"{path}: y_{part} has {y.size} labels for {len(x)} images"
            )
        try:
            class_counts(y.ravel(), len(CIFAR_CLASSES[path.stem]))
        except ValueError as error:
            raise ValueError(f"{path}: y_{part}: {error}") from error
    return arrays


def _from_keras(name: str, path: Path) -> list[np.ndarray]:
    # Not above: every loader would then start TensorFlow.
    import keras

    try:
        train, test = getattr(keras.datasets, name).load_data()
    # Keras wraps a failed download in a bare Exception.
    except Exception as error:
        raise OSError(
            f"{name} could not be downloaded ({error}). Without a network, "
            f"put {path.name} with the arrays {', '.join(ARRAYS)} into "
            f"{path.parent}, or name its folder by WORKBOOK_DATA or DATA_DIR; "
            "the digits of scikit-learn need no download"
        ) from error
    return [*train, *test]

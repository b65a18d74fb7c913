"""Every data set of the workbook by its name.

E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI
Machine Learning Repository, 1998, doi:10.24432/C50P49: its test set.

A. Krizhevsky, *Learning Multiple Layers of Features from Tiny Images*,
technical report, University of Toronto, 2009: CIFAR.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn import datasets

from helpers import paths
from helpers.data.dataset import ImageDataset, from_arrays
from helpers.data.groups import OWN, regroup
from helpers.data.image_folder import load_folder
from helpers.data.red_cells import CHULA, GROUP_RULES, load_cells
from helpers.data.synthetic import acne, severity, smears
from helpers.imbalance import class_counts, scaled_counts, subsample

SYNTHETIC = {"synthetic_acne": 1.0, "synthetic_acne_small": 0.12}
"""The folders of synthetic images and the scale at which each is made."""

IN_CHULA = {
    "Codocyte": "target cell",
    "Hypochromia": "hypochromia",
    "Normal": "normal cell",
}
"""What Chula RBC-12 calls the red-cell paper's classes."""

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""The arrays of CIFAR's NPZ file, in the order of Keras' loader."""

WRITER_STARTS = (
    *(0, 130, 256, 386, 516, 646, 776),
    *(915, 1029, 1157, 1287, 1415, 1545, 1667),
)
"""The rows of scikit-learn's digits where another writer seems to begin.

The lesson on grouped samples of scikit-learn's MOOC (INRIA) names them. At
most of them the digits 0 to 9 appear three times in order, and nowhere else.
"""

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


def load(
    name: str,
    data_dir: Path | str | None = None,
    image_size: int | None = None,
    groups: str | list[str] | None = OWN,
    labels: str | list[str] | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
) -> ImageDataset:
    """Load a data set by name.

    name: "synthetic_acne" or "synthetic_acne_small" (made in the cache
    folder on first use); "synthetic_severity", skin graded by its number of
    lesions; "synthetic_smears", cells of synthetic blood smears; "digits";
    "cifar10" or "cifar100"; "chula-rbc-12", the red cells; or the name of an
    image folder in data_dir.
    data_dir: where folders and files of arrays lie; default ``WORKBOOK_DATA``
    or ``data/``.
    image_size: side in pixels; default 150 for folders, 64 for cells and
    graded skin, 16 for digits, 32 for CIFAR, which has no other.
    groups: which images belong together, as in ``regroup``; "own" is the name
    before ".rf." for folders, the block for real red cells, which also have
    the rules of ``load_cells``, the smear or the person for synthetic ones.
    labels, file_column, label_column: of an image folder, its table of
    labels, as in ``load_folder``.

    Raises FileNotFoundError where there is no such data set, ValueError for
    groups, a size or a table that it does not have, and what its loader
    raises.
    """
    in_memory = {
        severity.NAME: severity.load_severity,
        smears.NAME: smears.load_smears,
        "digits": load_digits,
    }
    size = {} if image_size is None else {"image_size": image_size}
    if size and (not isinstance(image_size, int) or image_size < 1):
        raise ValueError(f"image_size: expected pixels, got {image_size!r}")
    tables = labels, file_column, label_column
    others = (*SYNTHETIC, *in_memory, *CIFAR_CLASSES, CHULA)
    if name in others and tables != (None, None, None):
        raise ValueError(
            f"LABELS, FILE_COLUMN, LABEL_COLUMN: {name} has its own labels; "
            "leave them out"
        )
    root = paths.data_folder(data_dir) / name
    if name in in_memory:
        ds = in_memory[name](**size)
    elif name == CHULA:
        rule = groups if groups in GROUP_RULES else "block"
        ds = load_cells(data_dir, **size, group_rule=rule)
    elif name in CIFAR_CLASSES:
        if image_size not in (None, 32):
            raise ValueError(
                f"image_size: {name} has images of 32 pixels, {image_size} "
                "was asked for; leave it out"
            )
        ds = load_cifar(name, data_dir)
    elif name in SYNTHETIC:
        root = acne.draw_acne(paths.CACHE_DIR / name, SYNTHETIC[name])
        ds = load_folder(root, name, **size)
    elif root.is_dir():
        shown = Path(name).name  # of "two/" and of "/data/two"
        ds = load_folder(root, shown, image_size or 150, *tables)
    else:
        raise FileNotFoundError(
            f"no data set '{name}': there is no folder {root}. Put the image "
            "folder there, name its parent folder by WORKBOOK_DATA or "
            "DATA_DIR, or use one that needs no download: "
            f"{', '.join((*SYNTHETIC, *in_memory))}. data/README.md says "
            "where to get each."
        )
    return regroup(ds, groups)


def load_three(
    name: str,
    data_dir: Path | str | None = None,
    image_size: int = 64,
    scale: float = 1.0,
    seed: int = 0,
    cells: str = "labelled",
) -> tuple[ImageDataset, pd.DataFrame]:
    """Load the red-cell paper's three classes, as many cells as it had.

    K. Pasupa, S. Vatathanavaro and S. Tungjitnob,
    doi:10.1007/s12652-020-01773-x, section 4.1: 345 codocytes (target
    cells), 356 hypochromic and 2,691 normal cells of dogs, never published.
    Where a class has fewer cells than asked for, all three shrink by one
    factor. Which cells are taken is random, whatever their source.

    name: "synthetic_smears", "chula-rbc-12" (human cells), or an image folder
    with the classes Codocyte, Hypochromia and Normal. scale: share of the
    paper's cells, in (0, 1]. seed: of the smears, or of the cells taken.
    cells: "labelled", or of synthetic smears as ``load_smears`` has them.

    Returns the data set, its classes in the paper's order, and a table with
    a row a class: published, there (before any was left out) and used.

    Raises ValueError for another scale, where a class is missing, and for
    other cells than labelled ones of data whose labels have no radius.
    """
    if not 0 < scale <= 1:
        raise ValueError(f"scale={scale} must lie in (0, 1]")
    if cells != "labelled" and name != smears.NAME:
        raise ValueError(
            f"cells: {cells} cells need the true circles of {smears.NAME}; "
            f"of {name} take labelled ones"
        )
    classes = smears.CLASS_NAMES
    published = [smears.COUNTS[c] for c in classes]
    if name == smears.NAME:
        ds = smears.load_smears(image_size, scale, seed, cells)
        there = ds.counts()
    else:
        ds = load(name, data_dir, image_size)
        names = [IN_CHULA[c] for c in classes] if name == CHULA else classes
        if missing := sorted(set(names) - set(ds.class_names)):
            raise ValueError(
                f"name: {name} has no class {', '.join(missing)}; take a "
                f"folder with the classes {', '.join(classes)}"
            )
        ds = ds.of_classes(names)
        there = ds.counts()
        wanted = [max(round(scale * n), 2) for n in published]
        rows = subsample(ds.labels, scaled_counts(wanted, there), seed)
        taken = {"cells_taken": len(rows), "seed_of_taking": seed}
        known = ds.provenance | taken
        ds = ds.take(rows, class_names=classes, provenance=known)
    columns = {"published": published, "there": there, "used": ds.counts()}
    return ds, pd.DataFrame(columns, pd.Index(classes, name="class"))


def load_digits(image_size: int = 16) -> ImageDataset:
    """Return scikit-learn's 1,797 digits, 174 to 183 a class, by writer.

    The grey levels 0 to 16 become 0 to 255 in three equal channels. The 8 × 8
    pixels are enlarged to image_size bilinearly. The groups are the 14 runs
    of rows that begin at ``WRITER_STARTS``. They are inferred: the set's
    description says that 13 people wrote the digits, and not who wrote which.
    """
    bunch = datasets.load_digits()
    rows = np.arange(len(bunch.target))
    writer = np.searchsorted(WRITER_STARTS, rows, side="right")
    size = (image_size, image_size)
    grey = [
        Image.fromarray(levels).resize(size, Image.Resampling.BILINEAR)
        for levels in np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    ]
    return from_arrays(
        "digits",
        np.stack([image.convert("RGB") for image in grey]),
        bunch.target,
        "0123456789",
        groups=np.char.mod("writer %02d", writer),
        group_rule="inferred writer",
        origin="sklearn.datasets.load_digits (UCI, doi:10.24432/C50P49)",
        licence="CC BY 4.0",
        citation="Alpaydin & Kaynak 1998, doi:10.24432/C50P49",
    )


def load_cifar(name: str, data_dir: Path | str | None = None) -> ImageDataset:
    """Load "cifar10" or "cifar100": (N, 32, 32, 3), training set first.

    Read from ``cifar10.npz`` (``cifar100.npz``) in data_dir where it is
    there: arrays x_train, y_train, x_test, y_test as Keras returns them, the
    training set perhaps a long-tailed part of it. Without it,
    ``keras.datasets`` downloads the original once (170 MB) and checks its
    hash. The published split has no "val": the CEFL paper has none.

    Raises ValueError for a file with other arrays, naming it; OSError where
    the download fails.
    """
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
        for part, x, y in (("train", *arrays[:2]), ("test", *arrays[2:])):
            if x.dtype != np.uint8 or x.shape != (y.size, 32, 32, 3):
                raise ValueError(
                    f"x_{part} is {x.dtype} of shape {x.shape}, for {y.size} "
                    f"labels in y_{part}; expected uint8 of (N, 32, 32, 3)"
                )
            class_counts(y.ravel(), len(CIFAR_CLASSES[path.stem]))
    # A damaged archive raises what zipfile, zlib or NumPy's header reader do.
    except Exception as error:
        raise ValueError(
            f"{path}: expected the arrays {', '.join(ARRAYS)} as Keras "
            f"returns them ({error})"
        ) from error
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

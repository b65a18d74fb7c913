"""The three kinds of red cell of the red-cell paper, drawn or real.

K. Pasupa, S. Vatathanavaro and S. Tungjitnob, *Convolutional neural networks
based focal loss for class imbalance problem: a case study of canine red blood
cells morphology classification*, doi:10.1007/s12652-020-01773-x, section 4.1:
345 codocytes, 356 hypochromic and 2,691 normal cells of dogs, never
published. Drawn cells, the human ones of Chula RBC-12 or an image folder
stand in for them.
"""

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from helpers.data import catalog as datasets
from helpers.data import chula
from helpers.data.dataset import ImageDataset
from helpers.data.synthetic import smears as smear_synthesis
from helpers.data.synthetic.smears import CLASS_NAMES, COUNTS
from helpers.imbalance.counts import scaled_counts
from helpers.imbalance.sampling import subsample

IN_CHULA = {
    "Codocyte": "target cell",
    "Hypochromia": "hypochromia",
    "Normal": "normal cell",
}
"""What Chula RBC-12 calls the paper's classes; a codocyte is a target cell."""


def load_three(
    name: str,
    data_dir: Path | str | None = None,
    image_size: int = 64,
    scale: float = 1.0,
    seed: int = 0,
) -> tuple[ImageDataset, pd.DataFrame]:
    """Load the paper's three classes, as many cells of each as it had.

    Where a class has fewer cells than asked for, all three shrink by one
    factor: the ratio is the paper's, as nearly as whole cells allow. Which
    cells are taken is random, whatever their source.

    name: "synthetic_smears", "chula-rbc-12" (grouped by blocks of
    photographs), or an image folder with the classes Codocyte, Hypochromia
    and Normal; data_dir, image_size: see `helpers.data.load`. scale:
    share of the paper's cells, in (0, 1]; drawn smears are drawn so. seed:
    of the drawing, or of which cells are taken.

    Returns the data set, its classes in the paper's order 0, 1, 2, and a
    table with a row a class: published, there (before any was left out) and
    used.

    Raises ValueError for another scale, and where one of the classes or the
    source of each picture is missing.
    """
    if not 0 < scale <= 1:
        raise ValueError(f"scale={scale} must lie in (0, 1]")
    if name == smear_synthesis.NAME:
        ds = smear_synthesis.load_smears(image_size, scale, seed)
        return ds, _counted(ds.counts(), ds.counts())
    ds = datasets.load(name, data_dir, image_size)
    names = CLASS_NAMES
    if name == chula.NAME:
        names = [IN_CHULA[own] for own in CLASS_NAMES]
    if missing := sorted(set(names) - set(ds.class_names)):
        raise ValueError(
            f"name: {name} has no class {', '.join(missing)}; take a folder "
            f"with the classes {', '.join(CLASS_NAMES)}"
        )
    if ds.groups is None:
        raise ValueError(
            f"name: {name} does not tell which pictures share a source, and "
            "the experiment divides by it; take a folder whose file names do"
        )
    ds = ds.of_classes(names)
    there = ds.counts()
    wanted = [max(round(scale * COUNTS[c]), 2) for c in CLASS_NAMES]
    rows = subsample(ds.labels, scaled_counts(wanted, there), seed)
    return _at(ds, rows, seed), _counted(there, np.bincount(ds.labels[rows]))


def rotated_copies(images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Copy each image, rotated and flipped at random, as the paper does.

    Section 4.2: by up to 15 degrees to either side, with flips left-right
    and up-down. The flips are drawn independently, so that of four copies
    one is expected to be flipped both ways and one not at all; Keras'
    ``RandomFlip("horizontal_and_vertical")`` would flip both ways or
    neither. What comes in from outside is mirrored at the edge: black
    corners would tell a copy, and with it a rare class.

    Parameters
    ----------
    images : uint8 (N, H, W, channels)
    seed : of the copies; repeated images get different copies

    Returns
    -------
    uint8 (N, H, W, channels)
    """
    steps = [
        keras.layers.RandomFlip("horizontal", seed=seed),
        keras.layers.RandomFlip("vertical", seed=seed + 1),
        keras.layers.RandomRotation(15 / 360, "reflect", seed=seed + 2),
    ]
    copies = images.astype("float32")
    for step in steps:
        copies = step(copies, training=True)
    copies = np.rint(keras.ops.convert_to_numpy(copies))
    return copies.clip(0, 255).astype(np.uint8)


def unit_of(ds: ImageDataset) -> str:
    """What one source is called: smear, block, photograph, else source."""
    rule = ds.provenance.get("group_rule")
    return rule if rule in ("smear", "block", "photograph") else "source"


def _counted(there, used) -> pd.DataFrame:
    published = [COUNTS[c] for c in CLASS_NAMES]
    columns = {"published": published, "there": there, "used": used}
    return pd.DataFrame(columns, pd.Index(CLASS_NAMES, name="class"))


def _at(ds: ImageDataset, rows: np.ndarray, seed: int) -> ImageDataset:
    """Some pictures of a data set, under the paper's class names."""
    images = ds.images[rows]
    images.flags.writeable = False
    facts, split = ds.facts, ds.published_split
    return replace(
        ds,
        images=images,
        labels=ds.labels[rows],
        class_names=CLASS_NAMES,
        groups=ds.groups[rows],
        published_split=None if split is None else split[rows],
        files=ds.files[rows],
        facts=None
        if facts is None
        else facts.iloc[rows].reset_index(drop=True),
        provenance={
            **ds.provenance,
            "cells_taken": len(rows),
            "seed_of_taking": seed,
        },
    )

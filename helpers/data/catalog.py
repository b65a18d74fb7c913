"""Every data set of the workbook by its name."""

from pathlib import Path

import pandas as pd

from helpers import paths
from helpers.data import in_memory, red_cells
from helpers.data.dataset import ImageDataset
from helpers.data.image_folder import GroupRule, load_folder
from helpers.data.synthetic import acne, severity, smears
from helpers.imbalance import scaled_counts, subsample

SYNTHETIC = {"synthetic_acne": 1.0, "synthetic_acne_small": 0.12}
"""The folders of synthetic images and the scale at which each is made."""

_IN_MEMORY = {
    severity.NAME: severity.load_severity,
    smears.NAME: smears.load_smears,
    "digits": in_memory.load_digits,
}

OWN = "own"
"""Stands for the data set's own way to tell which images share a source."""

IN_CHULA = {
    "Codocyte": "target cell",
    "Hypochromia": "hypochromia",
    "Normal": "normal cell",
}
"""What Chula RBC-12 calls the red-cell paper's classes."""


def load(
    name: str,
    data_dir: Path | str | None = None,
    image_size: int | None = None,
    group_rule: GroupRule = OWN,
) -> ImageDataset:
    """Load a data set by name.

    name: "synthetic_acne" or "synthetic_acne_small" (made in the cache
    folder on first use); "synthetic_severity", skin graded by its number of
    lesions; "synthetic_smears", cells of synthetic blood smears; "digits",
    which come with scikit-learn; "cifar10" or "cifar100"; "chula-rbc-12",
    the red cells; or the name of an image folder in data_dir.
    data_dir: where folders and files of arrays lie; default ``WORKBOOK_DATA``
    or ``data/``.
    image_size: side in pixels; default 150 for folders, 64 for cells and
    graded skin, 16 for digits, 32 for CIFAR, which has no other.
    group_rule: "own" is "roboflow" for folders and "block" for real red
    cells; synthetic cells come by smear and graded skin by person, and
    neither has another; digits and CIFAR know no sources. Other rules: see
    ``load_folder`` and ``red_cells.load_cells``.

    Raises FileNotFoundError where there is no such data set, ValueError for
    a rule or a size that it does not have, and what its loader raises.
    """
    if name == red_cells.CHULA:
        rule = "block" if group_rule == OWN else group_rule
        return red_cells.load_cells(
            data_dir, image_size or 64, group_rule=rule
        )
    in_arrays = name in (*_IN_MEMORY, *in_memory.CIFAR_CLASSES)
    if in_arrays and group_rule not in (OWN, None):
        raise ValueError(
            f"group_rule: {name} has no sources to tell by {group_rule!r};"
            " leave it out"
        )
    if name in _IN_MEMORY:
        sizes = [image_size] if image_size else []
        return _IN_MEMORY[name](*sizes)
    if in_arrays:
        if image_size not in (None, in_memory.CIFAR_SIDE):
            raise ValueError(
                f"image_size: {name} has images of {in_memory.CIFAR_SIDE} "
                f"pixels, {image_size} was asked for; leave it out"
            )
        return in_memory.load_cifar(name, data_dir)
    data_dir = paths.data_folder(data_dir)
    if name in SYNTHETIC:
        root = acne.draw_acne(paths.CACHE_DIR / name, scale=SYNTHETIC[name])
    elif not (root := data_dir / name).is_dir():
        raise FileNotFoundError(
            f"no data set '{name}': there is no folder {data_dir / name}. "
            "Put the image folder there, name its parent folder by "
            "WORKBOOK_DATA or DATA_DIR, or use one that needs no download: "
            f"{', '.join((*SYNTHETIC, *_IN_MEMORY))}. data/README.md says "
            "where to get each."
        )
    rule = "roboflow" if group_rule == OWN else group_rule
    return load_folder(root, name, image_size or 150, rule)


def load_three(
    name: str,
    data_dir: Path | str | None = None,
    image_size: int = 64,
    scale: float = 1.0,
    seed: int = 0,
) -> tuple[ImageDataset, pd.DataFrame]:
    """Load the red-cell paper's three classes, as many cells as it had.

    K. Pasupa, S. Vatathanavaro and S. Tungjitnob,
    doi:10.1007/s12652-020-01773-x, section 4.1: 345 codocytes (target
    cells), 356 hypochromic and 2,691 normal cells of dogs, never published.
    Where a class has fewer cells than asked for, all three shrink by one
    factor: the ratio is the paper's, as nearly as whole cells allow. Which
    cells are taken is random, whatever their source.

    name: "synthetic_smears", "chula-rbc-12" (human cells, grouped by blocks
    of photographs), or an image folder with the classes Codocyte, Hypochromia
    and Normal; data_dir, image_size: see `load`. scale: share of the paper's
    cells, in (0, 1]; synthetic smears are made so. seed: of the smears, or of
    which cells are taken.

    Returns the data set, its classes in the paper's order 0, 1, 2, and a
    table with a row a class: published, there (before any was left out) and
    used.

    Raises ValueError for another scale, and where one of the classes or the
    source of each image is missing.
    """
    if not 0 < scale <= 1:
        raise ValueError(f"scale={scale} must lie in (0, 1]")
    classes = smears.CLASS_NAMES
    published = [smears.COUNTS[c] for c in classes]
    if name == smears.NAME:
        ds = smears.load_smears(image_size, scale, seed)
        there = ds.counts()
    else:
        ds = load(name, data_dir, image_size)
        names = classes
        if name == red_cells.CHULA:
            names = [IN_CHULA[c] for c in classes]
        if missing := sorted(set(names) - set(ds.class_names)):
            raise ValueError(
                f"name: {name} has no class {', '.join(missing)}; take a "
                f"folder with the classes {', '.join(classes)}"
            )
        if ds.groups is None:
            raise ValueError(
                f"name: {name} does not tell which images share a source, "
                "and the experiment divides by it; take a folder whose file "
                "names do"
            )
        ds = ds.of_classes(names)
        there = ds.counts()
        wanted = [max(round(scale * n), 2) for n in published]
        rows = subsample(ds.labels, scaled_counts(wanted, there), seed)
        taken = {"cells_taken": len(rows), "seed_of_taking": seed}
        provenance = ds.provenance | taken
        ds = ds.take(rows, class_names=classes, provenance=provenance)
    columns = {"published": published, "there": there, "used": ds.counts()}
    return ds, pd.DataFrame(columns, pd.Index(classes, name="class"))

"""Every data set of the book by its name: drawn, well known, or a folder."""

from pathlib import Path

from helpers import paths
from helpers.data import chula, cifar
from helpers.data.dataset import ImageDataset
from helpers.data.digits import load_digits
from helpers.data.image_folder import GroupRule, load_folder
from helpers.data.synthetic import acne as synthetic
from helpers.data.synthetic import severity
from helpers.data.synthetic import smears as smear_synthesis

DRAWN = {"synthetic_acne": 1.0, "synthetic_acne_small": 0.12}
"""The drawn data sets and the scale at which each is drawn."""

_IN_MEMORY = {
    severity.NAME: severity.load_severity,
    smear_synthesis.NAME: smear_synthesis.load_smears,
    "digits": load_digits,
}

OWN = "own"
"""Stands for the data set's own way to tell which pictures share a source."""


def load(
    name: str,
    data_dir: Path | str | None = None,
    image_size: int | None = None,
    group_rule: GroupRule = OWN,
) -> ImageDataset:
    """Load a data set by name.

    name: "synthetic_acne" or "synthetic_acne_small" (drawn into the cache
    folder on first use); "synthetic_severity", drawn skin graded by its
    number of lesions; "synthetic_smears", cells of drawn blood smears;
    "digits", which come with scikit-learn; "cifar10" or "cifar100";
    "chula-rbc-12", the red cells; or the name of an image folder in data_dir.
    data_dir: where folders and files of arrays lie; default ``WORKBOOK_DATA``
    or ``data/``.
    image_size: side in pixels; default 150 for folders, 64 for cells and
    graded skin, 16 for digits, 32 for CIFAR, which has no other.
    group_rule: "own" is "roboflow" for folders and "block" for real red
    cells; drawn cells come by smear and graded skin by person, and neither
    has another; digits and CIFAR know no sources. Other rules: see
    ``helpers.data.load_folder`` and ``helpers.data.load_cells``.

    Raises FileNotFoundError where there is no such data set, ValueError for
    a rule or a size that it does not have, and what its loader raises.
    """
    if name == chula.NAME:
        rule = "block" if group_rule == OWN else group_rule
        return chula.load_cells(data_dir, image_size or 64, group_rule=rule)
    if name in (*_IN_MEMORY, *cifar.CLASS_NAMES):
        if group_rule not in (OWN, None):
            raise ValueError(
                f"group_rule: {name} has no sources to tell by {group_rule!r};"
                " leave it out"
            )
        return _in_memory(name, data_dir, image_size)
    rule = "roboflow" if group_rule == OWN else group_rule
    image_size = image_size or 150
    if name in DRAWN:
        root = synthetic.draw_acne(paths.CACHE_DIR / name, scale=DRAWN[name])
        return load_folder(root, name, image_size, rule)
    data_dir = paths.data_folder(data_dir)
    if not (data_dir / name).is_dir():
        raise FileNotFoundError(
            f"no data set '{name}': there is no folder {data_dir / name}. "
            "Put the image folder there, name its parent folder by "
            "WORKBOOK_DATA or DATA_DIR, or use one that needs no download: "
            f"{', '.join((*DRAWN, *_IN_MEMORY))}. data/README.md says where "
            "to get each."
        )
    return load_folder(data_dir / name, name, image_size, rule)


def _in_memory(name, data_dir, image_size) -> ImageDataset:
    if name in _IN_MEMORY:
        loader = _IN_MEMORY[name]
        return loader(image_size) if image_size else loader()
    if image_size not in (None, cifar.SIDE):
        raise ValueError(
            f"image_size: {name} has pictures of {cifar.SIDE} pixels, "
            f"{image_size} was asked for; leave it out"
        )
    return cifar.load_cifar(name, data_dir)

"""Data sets of labelled images: one loader each, the audit, segmentation.

`load` takes any of them by name; every one becomes an `ImageDataset`.
"""

from helpers.data.audit import (
    audit_report,
    duplicates,
    near_duplicates,
    thumbnails,
)
from helpers.data.catalog import load, load_three
from helpers.data.dataset import ImageDataset
from helpers.data.groups import NEAR, OWN, regroup
from helpers.data.image_folder import load_folder
from helpers.data.red_cells import (
    CHULA,
    CHULA_CLASSES,
    ELLIPTOCYTE,
    read_photograph,
    rotated_copies,
)
from helpers.data.segmentation import Search, segment
from helpers.data.synthetic.acne import CLASS_NAMES as ACNE_CLASSES

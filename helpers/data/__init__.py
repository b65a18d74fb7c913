"""Data sets of labelled images: one loader each, the audit, segmentation.

`load` takes any of them by name; every one becomes an `ImageDataset`. A folder
of images, one folder a class, needs no code: its name is the data set's. To
add another kind, write what makes an `ImageDataset` of it, with the groups of
images that belong together, call it in `data.catalog.load`, and add the name
to ``REAL_SETS`` or ``EMBEDDED_SETS`` in `runner.notebooks`.
"""

from helpers.data.audit import (
    audit_report,
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
)
from helpers.data.report import foldable, report
from helpers.data.segmentation import Search, segment
from helpers.data.synthetic.acne import CLASS_NAMES as ACNE_CLASSES

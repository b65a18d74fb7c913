"""Data sets of labelled images: one loader each, the audit, segmentation.

`load` takes any of them by name; every one becomes an `ImageDataset`.
"""

from helpers.data.audit import (
    duplicates,
    left_out,
    near_duplicates,
    used_files,
)
from helpers.data.catalog import DRAWN, OWN, load, load_folder
from helpers.data.chula import ELLIPTOCYTE, read_photograph
from helpers.data.pixels import statistics, thumbnails
from helpers.data.red_cells import load_three, rotated_copies, unit_of
from helpers.data.segmentation import (
    Search,
    cut_square,
    enlarge,
    foreground,
    lone_cells,
    segment,
    to_grey,
    typical_diameter,
)
from helpers.data.synthetic.acne import draw_lesion
from helpers.data.synthetic.severity import (
    GRADES,
    LIGHTS,
    RADIUS,
    lesion_maps,
    lesions,
    load_severity,
    reduced,
)
from helpers.data.synthetic.smears import DIAMETER, draw_smears, load_smears

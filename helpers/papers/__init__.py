"""Published tables beside measured ones, and what printed numbers allow.

`results` keeps and shows a notebook's own tables.
"""

from helpers.papers.claims import decided, read_claims, readable_verdicts
from helpers.papers.comparison import (
    compare,
    conditions,
    overview,
    published,
    same_conditions,
)
from helpers.papers.rounding import (
    fits_rounding,
    possible_errors,
    possible_hits,
)

"""Published tables beside measured ones, and what printed numbers allow.

`results` keeps and shows a notebook's own tables.
"""

from helpers.papers.claims import (
    fits_rounding,
    in_words,
    interval,
    measured_claims,
    possible_hits,
    read_claims,
    signed,
    verdict,
)
from helpers.papers.results import (
    compare,
    conditions,
    published,
    same_conditions,
)

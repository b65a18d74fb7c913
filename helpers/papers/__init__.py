"""Published tables beside measured ones, and what printed numbers allow."""

from helpers.papers.claims import decided, read_claims, readable_verdicts
from helpers.papers.comparison import (
    compare,
    conditions,
    overview,
    published,
    same_conditions,
)
from helpers.papers.results import readable, save, show, tidy
from helpers.papers.rounding import (
    fits_rounding,
    possible_errors,
    possible_hits,
)

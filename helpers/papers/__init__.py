"""Published tables beside measured ones, and what printed numbers allow."""

from helpers.papers.claims import decided, read_claims, readable_verdicts
from helpers.papers.conditions import cefl, compared, loss_balance
from helpers.papers.rbc_claims import ALPHAS, best_of
from helpers.papers.results import (
    compare,
    overview,
    published,
    readable,
    save,
    show,
    tidy,
)
from helpers.papers.rounding import (
    accuracy_from_recalls,
    fits_rounding,
    possible_errors,
    possible_hits,
)

"""Scores whose intervals know of test persons *and* of seeds."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from helpers.evaluation import Metric, bootstrap, differences
from helpers.training.sequential import (  # noqa: F401
    Job,
    Program,
    movement,
    two_at_a_time,
)

_OVER_BOTH = {"within_classes": False, "over_seeds": True}


class Estimate(NamedTuple):
    """A number with its 95 % interval, over persons and over seeds.

    ``half_width`` is that of the interval over the seeds alone, NaN with one
    seed, when ``low`` and ``high`` know of persons only.
    """

    value: float
    low: float
    high: float
    half_width: float


@dataclass(frozen=True)
class Scored:
    """A test set on which grades are scored, over persons and over seeds.

    Persons are drawn whole and *not* within classes: one photographed on
    several visits has images of several grades and belongs to none.

    truth : int (T,), the tested images' classes, with the last among them
    groups : (T,), whom each image shows, or None: each its own
    """

    truth: np.ndarray
    groups: np.ndarray | None

    def score(self, predicted: np.ndarray, metric: Metric) -> Estimate:
        """A score of predicted classes, int (S, T), a row a seed."""
        at = self.truth, {"": predicted}, self.groups
        row = bootstrap(*at, metric=metric, **_OVER_BOTH).iloc[0]
        return Estimate(*row[["mean", "low", "high", "half_width"]])

    def gain(
        self, before: np.ndarray, after: np.ndarray, metric: Metric
    ) -> Estimate:
        """How much ``after`` scores above ``before``, seed by seed."""
        at = self.truth, {"before": before, "after": after}, "before"
        table = differences(*at, self.groups, metric=metric, **_OVER_BOTH)
        return Estimate(*table.loc[0, ["delta", "low", "high", "half_width"]])

"""A paper's data set, rebuilt in its proportions from another one."""

from dataclasses import dataclass

import numpy as np

from helpers.imbalance.counts import class_counts, scaled_counts
from helpers.imbalance.sampling import hold_out, subsample
from helpers.imbalance.splits import Split


@dataclass(frozen=True, eq=False, repr=False)
class Rebuilt:
    """Some classes of a data set, with training parts in given proportions.

    rows: (N,) sorted int64, the pictures of these classes in the data set;
    labels: (N,) int64, 0 … C-1 in the *paper's* order; classes: (C,) int64,
    the data set's class for each of the paper's; counts: (C,) int64, training
    pictures; names: (C,) str, "C1" … but for the two smallest of the paper's
    counts, "S1" (the smaller one) and "S2"; runs: a `Split` a seed, indices
    into rows.
    """

    rows: np.ndarray
    labels: np.ndarray
    classes: np.ndarray
    counts: np.ndarray
    names: np.ndarray
    runs: tuple[Split, ...]

    def __repr__(self) -> str:
        pairs = zip(self.names, self.counts, strict=True)
        return f"Rebuilt({', '.join(f'{name} {n}' for name, n in pairs)})"


def rebuild(
    labels,
    counts,
    name: str,
    seeds,
    test: int,
    validation: int,
    classes=None,
    *,
    class_names=None,
) -> Rebuilt:
    """Cut a data set down to a paper's training counts.

    ``test`` and ``validation`` pictures of each class are set apart first,
    the same for all seeds; 0 for ``validation`` leaves it empty. Of the
    others each seed draws its own training part, of the counts as
    `helpers.imbalance.scaled_counts` scales them.

    labels: (N,) integers of the data set; counts: (C,), the paper's; name: of
    the splits; classes: (C,) the data set's class for each of the paper's.
    Default: the class with most pictures takes the largest count, and so on;
    class_names: names of the data set's classes, for errors. Raises
    ValueError where the data set has fewer classes than the paper or not
    enough pictures of one.
    """
    labels, counts = np.asarray(labels), np.asarray(counts)
    if classes is None:
        available = class_counts(labels, int(labels.max()) + 1)
        if len(available) < len(counts):
            raise ValueError(
                f"labels: {len(available)} classes, {len(counts)} are needed "
                "for these counts; take a data set with more"
            )
        largest = np.argsort(-available, kind="stable")[: len(counts)]
        classes = np.empty(len(counts), np.int64)
        classes[np.argsort(-counts, kind="stable")] = largest
    classes = np.asarray(classes)
    place = np.full(max(labels.max(), classes.max()) + 1, -1)
    place[classes] = np.arange(len(classes))
    rows = np.flatnonzero(place[labels] >= 0)
    own = place[labels[rows]]
    n = class_counts(own, len(classes))
    if n.min() < test + validation + 2:
        c = classes[n.argmin()]
        raise ValueError(
            f"class {c if class_names is None else repr(class_names[c])} has "
            f"{n.min()} images: {test} for test, {validation} for validation "
            "and two to train on are needed; set fewer apart, or leave the "
            "class out"
        )
    rest, tested = hold_out(own, len(classes), test, seed=0)
    pool, val = rest, rest[:0]
    if validation:
        kept, held = hold_out(own[rest], len(classes), validation, seed=0)
        pool, val = rest[kept], rest[held]
    scaled = scaled_counts(counts, class_counts(own[pool], len(classes)))
    names = np.array([f"C{c + 1}" for c in range(len(classes))])
    names[np.argsort(counts, kind="stable")[:2]] = ["S1", "S2"]
    runs = [
        Split(
            name, pool[subsample(own[pool], scaled, seed)], val, tested, seed
        )
        for seed in seeds
    ]
    return Rebuilt(rows, own, classes, scaled, names, tuple(runs))

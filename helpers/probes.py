"""What a backbone's features are worth: linear probes on the same splits.

A probe is multinomial logistic regression on standardised features, its
regularisation chosen on validation: nothing else tells backbones apart.
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.evaluation import bootstrap, bootstrap_difference, scores
from helpers.pixels import thumbnails
from helpers.splits import Split

PENALTIES = (1.0, 0.1, 0.01)
"""What each probe chooses from: the weight of half the squared norm of its
coefficients beside the *mean* loss, so that it means the same for 25 training
pictures as for thousands."""


def pixel_features(images: np.ndarray, side: int = 16) -> np.ndarray:
    """The pictures themselves, shrunk: uint8 (N, S, S, 3) to (N, 3 side²)."""
    return thumbnails(images, side).reshape(len(images), -1)


def few_per_class(
    labels: np.ndarray, per_class: int, n_draws: int, seed: int = 0
) -> list[Split]:
    """Draws of a few training pictures a class, all tested on the same half.

    One stratified half of the pictures is for test in every draw; from the
    other, each draw takes ``per_class`` pictures a class to train on and as
    many others to choose the regularisation on.  The draws' ``seed`` is their
    number.  Raises ValueError where a class is too small.
    """
    rng = np.random.default_rng(seed)
    classes = [
        rng.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)
    ]
    if min(len(rows) // 2 for rows in classes) < 2 * per_class:
        raise ValueError(
            f"per_class: {per_class} to train and as many to validate on are "
            "more than half of the smallest class"
        )
    test = np.sort(
        np.concatenate([rows[: len(rows) // 2] for rows in classes])
    )
    splits = []
    for draw in range(n_draws):
        drawn = np.stack(
            [
                rng.choice(rows[len(rows) // 2 :], 2 * per_class, False)
                for rows in classes
            ]
        )
        train, val = drawn[:, :per_class], drawn[:, per_class:]
        name = f"{per_class} a class"
        splits.append(Split(name, train.ravel(), val.ravel(), test, draw))
    return splits


def probe(
    features: np.ndarray,
    labels: np.ndarray,
    runs: list[Split],
    penalties: tuple[float, ...] = PENALTIES,
) -> tuple[np.ndarray, np.ndarray]:
    """Probe features on every run; runs of one seed are folds and pooled.

    features: float (N, F); labels: int (N,); runs: each tests other rows of
    its seed.  Returns the tested rows (T,) and the classes predicted for
    them, (S, T), one row a seed.
    """
    # An untrained network's features are of the order of 1e-6.
    features = features.astype(np.float64)
    by_seed = {}
    for run in runs:
        fitted = [_fit(features, labels, run, c) for c in penalties]
        best = max(
            fitted, key=lambda one: _macro_f1(one, features, labels, run.val)
        )
        rows, predicted = by_seed.setdefault(run.seed, ([], []))
        rows.append(run.test)
        predicted.append(best.predict(features[run.test]))
    pooled = []
    for rows, predicted in by_seed.values():
        rows = np.concatenate(rows)
        order = np.argsort(rows)
        pooled.append((rows[order], np.concatenate(predicted)[order]))
    return pooled[0][0], np.stack([predicted for _, predicted in pooled])


def probe_table(
    features: dict[str, np.ndarray],
    labels: np.ndarray,
    runs: list[Split],
    units: np.ndarray | None,
    reference: str,
    penalties: tuple[float, ...] = PENALTIES,
) -> pd.DataFrame:
    """Macro-F1 of every backbone, and how far ``reference`` lies above it.

    features: name to (N, F); units: (N,) what is independent (sources,
    blocks), or None: each picture.  One row a name: macro_f1 with low and
    high, accuracy, difference (reference - this one, on the same resamples)
    with difference_low and difference_high; 95 % intervals over units.
    """
    found = {
        name: probe(array, labels, runs, penalties)
        for name, array in features.items()
    }
    rows = found[reference][0]
    truth, n_classes = labels[rows], int(labels.max()) + 1
    own = None if units is None else units[rows]
    table = bootstrap(
        truth, {name: p for name, (_, p) in found.items()}, own, n_classes
    ).rename(columns={"method": "backbone", "mean": "macro_f1"})
    extra = []
    for name in table["backbone"]:
        predicted = found[name][1]
        apart = bootstrap_difference(
            truth, predicted, found[reference][1], own, n_classes
        )
        extra.append(
            {
                "accuracy": float((predicted == truth).mean()),
                "difference": apart.delta,
                "difference_low": apart.low,
                "difference_high": apart.high,
            }
        )
    return table.join(pd.DataFrame(extra))


def _fit(features, labels, run, penalty):
    strength = 1 / (penalty * len(run.train))
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=strength, tol=1e-3, max_iter=1000),
    )
    return model.fit(features[run.train], labels[run.train])


def _macro_f1(model, features, labels, rows):
    predicted = model.predict(features[rows])
    return scores(labels[rows], predicted, int(labels.max()) + 1)["macro_f1"]

"""Many methods on the same test pictures: scores, and differences in pairs.

For accuracy, and for the mean recall of some of the classes, all that counts
of a picture is whether it was hit.  So the resamples of
`helpers.evaluation.bootstrap` become one matrix product for all methods,
however many classes and seeds there are.
"""

import numpy as np
import pandas as pd
from scipy import stats

Hits = dict[str, np.ndarray]

N_BOOT = 2000
LEVEL = 0.95


def hit_scores(hits: Hits, labels, inside=None, seed: int = 0) -> pd.DataFrame:
    """Score each method with an interval that resamples test pictures.

    The pictures of each class are drawn anew, and the runs of a method are
    averaged inside; as `helpers.evaluation.bootstrap` has it for accuracy.
    The interval says how the score would move with other test pictures and
    these same networks, not with other seeds.

    Parameters
    ----------
    hits : for each method, bool (R, T): was test picture t hit in run r?
    labels : int (T,), the pictures' classes
    inside : bool (T,), whole classes whose pictures alone count; default all.
        With classes of one size the score is then their mean recall.

    Returns
    -------
    One row a method: method, mean, low, high (95 % percentile interval).
    """
    labels = np.asarray(labels)
    inside = np.ones(len(labels), bool) if inside is None else inside
    values = _means(hits)[:, inside]
    boot = _resampled(values, labels[inside], seed)
    low, high = _bounds(boot)
    return pd.DataFrame(
        {
            "method": list(hits),
            "mean": values.mean(axis=1),
            "low": low,
            "high": high,
        }
    )


def hit_differences(
    hits: Hits,
    pairs: list[tuple[str, str]],
    labels,
    strata=None,
    seed: int = 0,
) -> pd.DataFrame:
    """How much more often a hits than b, for each of the pairs (a, b).

    The intervals are those of `hit_scores`, of differences on the same
    resamples: as `helpers.evaluation.bootstrap_difference` has it for
    accuracy.  They say how the difference would move with other test
    pictures and these same networks; ``luck`` says how far it may be off
    because other seeds would have trained other networks.

    Of many such intervals some miss zero by luck.  ``clear`` is a difference
    beyond its ``luck``, and beyond zero even when all intervals are widened
    to ``delta ± c sd`` with one c, so that in 95 % of the resamples none is
    left by its resampled difference (single-step maxT, Westfall & Young
    1993).

    Parameters
    ----------
    hits, labels : as `hit_scores` has them; run r of a and of b are a pair:
        they share training part, initial weights and batches
    pairs : names in ``hits``
    strata : (R,), what the runs were trained on apart from their seed;
        default the same for all

    Returns
    -------
    One row a pair: a, b, delta, low, high (95 % percentile interval), luck
    (half the width of the 95 % t interval over the runs, about the means of
    their strata; NaN where no stratum has two runs), clear, and in how many
    runs a hit more pictures than b (above) and fewer (below).
    """
    means = dict(zip(hits, _means(hits), strict=True))
    values = np.array([means[a] - means[b] for a, b in pairs])
    boot = _resampled(values, np.asarray(labels), seed)
    delta, sd = values.mean(axis=1), boot.std(axis=1)
    # Two methods that never differ have no spread, and no difference either.
    apart = np.abs(boot - delta[:, None]) / np.where(sd > 0, sd, 1)[:, None]
    at_once = np.quantile(apart.max(axis=0), LEVEL) * sd
    low, high = _bounds(boot)
    scores = {name: np.mean(own, axis=1) for name, own in hits.items()}
    by_run = np.array([scores[a] - scores[b] for a, b in pairs])
    luck = _luck(by_run, strata)
    return pd.DataFrame(pairs, columns=["a", "b"]).assign(
        delta=delta,
        low=low,
        high=high,
        luck=luck,
        # A NaN is no proof: it makes this False.
        clear=(np.abs(delta) > at_once) & (np.abs(delta) > luck),
        above=(by_run > 0).sum(axis=1),
        below=(by_run < 0).sum(axis=1),
    )


def _luck(by_run, strata):
    """Half widths of t intervals over the runs, (P, R) to (P,)."""
    runs = by_run.shape[1]
    strata = np.zeros(runs) if strata is None else np.asarray(strata)
    kinds, own = np.unique(strata, return_inverse=True)
    free = runs - len(kinds)
    if not free:
        return np.full(len(by_run), np.nan)
    means = np.stack(
        [by_run[:, own == k].mean(axis=1) for k in range(len(kinds))], axis=1
    )
    squares = np.square(by_run - means[:, own]).sum(axis=1)
    factor = stats.t.ppf((1 + LEVEL) / 2, free)
    return factor * np.sqrt(squares / free / runs)


def _means(hits):
    """Share of the runs that hit each picture, (M, T)."""
    return np.array([np.mean(own, axis=0) for own in hits.values()])


def _resampled(values, labels, seed):
    """Means of (M, T) values over resampled pictures, (M, N_BOOT)."""
    rng = np.random.default_rng(seed)
    sums = np.zeros((len(values), N_BOOT))
    for label in np.unique(labels):
        own = values[:, labels == label]
        size = own.shape[1]
        times = rng.multinomial(size, np.full(size, 1 / size), N_BOOT)
        sums += own @ times.T
    return sums / len(labels)


def _bounds(boot):
    tail = (1 - LEVEL) / 2
    return np.quantile(boot, [tail, 1 - tail], axis=1)

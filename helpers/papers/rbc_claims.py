"""The red-cell paper's sentences beside what its own tables give.

K. Pasupa, S. Vatathanavaro and S. Tungjitnob,
doi:10.1007/s12652-020-01773-x.  Every line is computed from the printed
numbers in ``data/published/rbc_*.csv``; nothing here was measured.
"""

import numpy as np
import pandas as pd
from scipy import integrate, stats

from helpers.papers import results
from helpers.papers.rounding import fits_rounding

ALPHAS = (0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75)
"""The paper's grid over the α of focal loss, at γ = 2 (section 4.2)."""

NETWORKS = ("densenet121", "resnet50")


def audit() -> pd.DataFrame:
    """Return a row a sentence: what the text says, what the numbers give.

    Columns ``in the text`` and ``from the printed numbers``, both text;
    where two numbers stand with a bar between them, DenseNet-121 is first.
    """
    said = results.published("rbc_text").set_index(
        ["network", "method", "class", "metric"]
    )["value"]
    said = said.sort_index()
    table1 = results.published("rbc_table1").set_index(
        ["network", "metric", "method", "alpha"]
    )["value"]
    table1 = table1.sort_index()
    table2 = results.published("rbc_table2").query("`class` != ''")
    cells = table2.query("metric == 'cells'").pivot(
        index="imbalance_ratio", columns="class", values="value"
    )
    table3 = results.published("rbc_table3").pivot(
        index=["network", "metric", "imbalance_ratio"],
        columns="method",
        values="value",
    )
    ratios = table2["imbalance_ratio"].unique()
    table3 = table3.reindex(ratios, level="imbalance_ratio")
    lines = [
        *_of_table_1(said, table1),
        *_of_the_test_part(said, table3, cells),
        *_of_the_sweep(table3, cells.loc[ratios]),
    ]
    return pd.DataFrame(
        lines, columns=["in the text", "from the printed numbers"]
    )


def best_of(n: int) -> float:
    """Return how far the best of n equal runs lies above their mean.

    In standard deviations of a run, for normal scores: the expected largest
    of n standard normal numbers, 1.35 for n = 7.
    """
    largest, _ = integrate.quad(
        lambda t: n * t * stats.norm.pdf(t) * stats.norm.cdf(t) ** (n - 1),
        -9,
        9,
    )
    return largest


def _each(of) -> str:
    """What ``of`` gives for DenseNet-121 | ResNet-50."""
    return " | ".join(str(of(network)) for network in NETWORKS)


def _of_table_1(said, table1):
    """Lines about the grid over α, and the best of it."""
    tries = len(ALPHAS)
    grids = {n: table1[n, "f1", "focal"].to_numpy() for n in NETWORKS}
    ce = {n: table1[n, "f1", "cross_entropy", ""] for n in NETWORKS}
    rank = {n: stats.spearmanr(ALPHAS, f).statistic for n, f in grids.items()}
    yield (
        "F1 rises slightly with α, up to a peak",
        "rank correlation of F1 and α "
        + _each(lambda n: f"{rank[n]:+.2f}")
        + "; range of F1 "
        + _each(lambda n: f"{np.ptp(grids[n]):.2f}"),
    )
    key = ("focal", "", "settings_ahead_of_cross_entropy")
    stated = _each(lambda n: f"{said[n, *key]:.0f}")
    for metric in ("f1", "accuracy", "auroc"):
        own_ce = table1.xs((metric, "cross_entropy", ""), level=[1, 2, 3])
        gain = table1.xs((metric, "focal"), level=[1, 2]).unstack("network")
        signs = np.sign((gain - own_ce).round(4)).loc[:, list(NETWORKS)]
        above, ties = (signs.eq(k).sum() for k in (1, 0))
        yield (
            f"focal loss ahead of cross-entropy at {stated} of {tries} α",
            f"{metric}: {above.iloc[0]} | {above.iloc[1]}; "
            f"ties {ties.iloc[0]} | {ties.iloc[1]}",
        )
    yield (
        "focal loss clearly improves both networks",
        "mean F1 over α minus cross-entropy "
        + _each(lambda n: f"{grids[n].mean() - ce[n]:+.3f}"),
    )
    gain = {n: grids[n].max() - ce[n] for n in NETWORKS}
    largest = best_of(tries)
    yield (
        "the best α is ahead by " + _each(lambda n: f"{gain[n]:.2f}"),
        f"expected of {tries} equal runs: {largest:.2f} s; s would have to be "
        + _each(lambda n: f"{gain[n] / largest:.3f}")
        + ", over α it is "
        + _each(lambda n: f"{grids[n].std(ddof=1):.3f}"),
    )
    over = {n: table1[n, "f1", "over_sampling", ""] for n in NETWORKS}
    yield (
        "over-sampling is in line with focal loss",
        "F1 minus the best α's "
        + _each(lambda n: f"{over[n] - grids[n].max():+.2f}"),
    )
    n_test = int(np.ceil(0.3 * said["", "", "", "cells"]))
    accuracies = table1.xs("accuracy", level="metric")
    fits = [fits_rounding(value, n_test, 4) for value in accuracies]
    yield (
        "cross-validation evaluates the settings; Table 1 has each α",
        f"{sum(fits)} of its {len(fits)} accuracies are shares of the "
        f"{n_test} test cells",
    )


def _of_the_test_part(said, table3, cells):
    """Lines about how many cells of a class were tested."""
    key = ("cross_entropy", "Codocyte", "recall")
    recalls = [said[n, *key] for n in NETWORKS]
    more = said["densenet121", "focal", "Codocyte", "recall_gain"]
    recalls.append(recalls[0] + more)
    sizes = [
        n
        for n in range(80, 131)
        if all(fits_rounding(recall, n, 3) for recall in recalls)
    ]
    gain = said["resnet50", "focal", "", "accuracy_gain"]
    accuracy = table3.loc[("resnet50", "accuracy", "7.80")]
    yield (
        f"focal loss improves ResNet-50's accuracy by {gain:.1%}",
        f"accuracy {accuracy.focal - accuracy.cross_entropy:+.3f}; Codocyte's "
        f"recalls fit {sizes} test cells, of which "
        + ", ".join(
            f"{round(gain * n)} are {round(gain * n) / n:.1%}" for n in sizes
        ),
    )
    expected = 0.3 * cells.loc["7.80", "Codocyte"]
    yield (
        "70/30 at random",
        f"Codocytes in test: {sizes}; in a stratified part {expected:.1f}",
    )


def _of_the_sweep(table3, cells):
    """Lines about Tables 2 and 3 and Fig. 13; cells in the order of ρ."""
    majority = cells["Normal"] / cells.sum(axis=1)
    below = table3.xs("accuracy", level="metric").unstack("network")
    below = below.loc[cells.index].lt(majority, axis=0).sum(axis=1)
    yield (
        "at ρ = 37.90 cross-entropy has the higher accuracy, focal the better "
        "F1",
        f"always Normal is right for {majority['37.90']:.4f}: above "
        f"{below['37.90']} of the 4 accuracies (at other ρ: "
        f"{below.drop('37.90').sum()})",
    )
    f1 = (table3.focal - table3.cross_entropy).xs("f1", level="metric")
    yield (
        "focal ahead in F1 at every ρ",
        f"{(f1 > 0).sum()} of {len(f1)}",
    )
    relative = table3.focal / table3.cross_entropy - 1
    for metric in ("f1", "accuracy"):
        mean = relative.xs(metric, level="metric").unstack("network")
        mean = mean.loc[cells.index].mean(axis=1)
        order = stats.spearmanr(mean.index.astype(float), mean)
        yield (
            f"the gain in {metric} has a trend with ρ (Fig. 13)",
            f"rank correlation {order.statistic:+.2f}, p = {order.pvalue:.2f}",
        )

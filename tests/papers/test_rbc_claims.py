"""The red-cell paper's claims, each finding made anew from its tables."""

import numpy as np
import pandas as pd
from published import CE, OVER, D, R, fits, wide
from scipy import integrate, stats

from helpers.paths import PUBLISHED_DIR

NETWORKS = D, R
TEST = 1018  # test cells: 30 % of 3,392, rounded up
TABLE_1 = wide("rbc_table1", ["method", "alpha"], ["network", "metric"])
SETS = wide("rbc_table2", "imbalance_ratio", "class", metric="cells")
TABLE_3 = wide(
    "rbc_table3", "imbalance_ratio", ["network", "metric", "method"]
).sort_index(axis=1)


def both(of):
    """For DenseNet-121 | ResNet-50, as the claims have it."""
    return " | ".join(str(of(network)) for network in NETWORKS)


def claims():
    """Parts of the findings of ``rbc_claims.csv``, by words of the claim."""
    alphas = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]
    f1 = {n: TABLE_1[n, "f1"] for n in NETWORKS}
    grid = {n: f1[n]["focal"].to_numpy() for n in NETWORKS}
    rank = {n: stats.spearmanr(alphas, grid[n]).statistic for n in NETWORKS}
    rises = "rank correlation of F1 and α " + both(lambda n: f"{rank[n]:+.2f}")
    rises += "; range of F1 " + both(lambda n: f"{np.ptp(grid[n]):.2f}")
    yield "F1 rises slightly", rises
    for metric in ("f1", "accuracy", "auroc"):
        signs = {
            n: np.sign((TABLE_1[n, metric]["focal"]
                        - TABLE_1[n, metric][CE, ""]).round(4))
            for n in NETWORKS
        }  # fmt: skip
        ahead, ties = (
            both(lambda n, k=k, of=signs: (of[n] == k).sum()) for k in (1, 0)
        )
        yield "at 4 | 2 of 7 α", f"{metric}: {ahead}; ties {ties}"
    mean = both(lambda n: f"{grid[n].mean() - f1[n][CE, '']:+.3f}")
    yield "clearly improves", f"mean F1 over α minus cross-entropy {mean}"
    largest, _ = integrate.quad(
        lambda x: 7 * x * stats.norm.pdf(x) * stats.norm.cdf(x) ** 6, -9, 9
    )
    gain = {n: grid[n].max() - f1[n][CE, ""] for n in NETWORKS}
    ahead = "ahead by " + both(lambda n: f"{gain[n]:.2f}")
    yield ahead, f"expected of 7 equal runs: {largest:.2f} s"
    yield ahead, "be " + both(lambda n: f"{gain[n] / largest:.3f}")
    yield ahead, "over α it is " + both(lambda n: f"{grid[n].std(ddof=1):.3f}")
    over = both(lambda n: f"{f1[n][OVER, ''] - grid[n].max():+.2f}")
    yield "over-sampling is in line", f"F1 minus the best α's {over}"
    fitting = fits(TABLE_1.xs("accuracy", axis=1, level=1).stack(), TEST)
    yield "each α", f"{sum(fitting)} of its {len(fitting)} accuracies"
    accuracy = TABLE_3.loc["7.80"][R, "accuracy"]
    more = f"accuracy {accuracy['focal'] - accuracy[CE]:+.3f}"
    recalls = [0.529, 0.719, 0.719 + 0.033]
    sizes = [n for n in range(80, 131) if all(fits(recalls, n, 3))]
    hits = round(0.066 * sizes[0])
    more += (
        f"; Codocyte's recalls fit {sizes} test cells, of which {hits} are "
    )
    yield "accuracy by 6.6%", more + f"{hits / sizes[0]:.1%}"
    stratified = 0.3 * SETS.loc["7.80", "Codocyte"]
    text = f"in test: {sizes}; in a stratified part {stratified:.1f}"
    yield "70/30 at random", text
    majority = SETS["Normal"] / SETS[""]
    accuracy = TABLE_3.xs("accuracy", axis=1, level=1)
    below = accuracy.lt(majority, axis=0).sum(axis=1)
    text = f"{majority['37.90']:.4f}: above {below['37.90']} of the 4"
    yield "at ρ = 37.90", text
    yield "at ρ = 37.90", f"(at other ρ: {below.drop('37.90').sum()})"
    by_loss = TABLE_3.swaplevel(0, 2, axis=1)
    focal, plain = by_loss["focal"], by_loss[CE]
    gains = (focal - plain)["f1"].stack()
    yield "ahead in F1 at every ρ", f"{(gains > 0).sum()} of {gains.size}"
    for metric in ("f1", "accuracy"):
        relative = (focal / plain - 1)[metric].mean(axis=1)
        trend = stats.spearmanr(relative.index.astype(float), relative)
        text = f"correlation {trend.statistic:+.2f}, p = {trend.pvalue:.2f}"
        yield f"gain in {metric} has a trend", text


def test_red_cell_claims_follow_from_the_printed_numbers():
    table = pd.read_csv(PUBLISHED_DIR / "rbc_claims.csv")
    assert list(table) == ["in the text", "from the printed numbers"]
    proven = set()
    for words, found in claims():
        of_claim = table["in the text"].str.contains(words, regex=False)
        there = of_claim & table.iloc[:, 1].str.contains(found, regex=False)
        assert there.sum() == 1, (words, found)
        proven |= set(table.index[there])
    assert proven == set(table.index)

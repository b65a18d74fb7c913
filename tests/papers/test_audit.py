"""What `audit_claims.csv` says of the claims that notebook 11 does not audit.

Found and verdict of each are worked out here from the printed numbers.
"""

import numpy as np
from scipy import stats

from helpers.papers import fits_rounding, published, read_claims, signed

CE, LOSS = "cross_entropy", ["method", "alpha", "gamma"]
VERDICTS = {True: "consistent", False: "contradicted", None: "open"}


def judged(claim, holds, found):
    """Compare a claim's verdict, and what it rests on, with the file."""
    row = read_claims("audit_claims").loc[claim]
    assert (row["found"], row["verdict"]) == (found, VERDICTS[holds])


def wide(name, index, columns, query):
    rows = published(name).query(query)
    return rows.pivot(index=index, columns=columns, values="value")


def test_acne():
    """Recalls weighted by the class sizes of the public set."""
    accuracies = []
    for number in (1, 2):
        query = "metric == 'recall' and `class` != ''"
        recall = published(f"acne_table{number}").query(query)
        recall = recall.set_index("class")["value"].sort_index()
        images = [1240, 1030, 1032, 1006, 299]
        accuracies.append(np.average(recall, weights=images).round(3))
    close = np.abs(np.subtract(accuracies, [0.8, 0.86])).max() <= 0.01
    found = "{} and {} in the public set".format(*accuracies)
    judged("accuracy", None if not close else True, found)


def test_cefl():
    columns = ["metric", "imbalance_ratio"]
    fits, best = 0, []
    for number in (2, 3):
        table = wide(f"cefl_table{number}", LOSS, columns, "value >= 0")
        mean = table["average_accuracy"].squeeze()
        off = table["accuracy"].drop(columns="1").mean(axis=1) - mean
        fits += (off.abs() <= 0.0000501).sum()
        best.append(mean.idxmax()[0].upper())
    judged("averages", fits == 30, f"{fits} of 30 fit")
    judged("best", all(b[:4] == "CEFL" for b in best), " | ".join(best))
    columns = ["dataset", "metric", "network"]
    table = wide("cefl_table4", LOSS, columns, "value >= 0")
    ahead = table.loc[["cefl", "cefl2"]].min() > table.loc[[CE, "focal"]].max()
    judged("depths", ahead.all(), f"{ahead.sum()} of {len(ahead)} columns")
    accuracies = published("cefl_table4").query("metric == 'accuracy'")
    found, hits = [], 0
    for name, n in (("crop_disease", 4540), ("mushrooms", 2700)):
        own = accuracies[accuracies["dataset"] == name]["value"]
        fit = sum(fits_rounding(value, n, 4) for value in own)
        chance = len(own) * n / 10_000
        found.append(f"{fit} of {len(own)} (by chance {chance:.0f})")
        hits += fit
    judged("hits", hits == len(accuracies), " and ".join(found))
    # (TP + TN) / all of cross-entropy's nine classes, 300 images each.
    query = "method == @CE and `class` != ''"
    table = wide("cefl_table5", "class", "metric", query)
    hits = (300 * table["recall"]).round()
    given = (hits / table["precision"]).round()
    binary = (1 - (given + 300 - 2 * hits) / 2700).mean()
    usual = round(hits.sum() / 2700, 4)
    judged(
        "eq. (13)", abs(binary - usual) < 1e-4, f"{binary:.3f}, but {usual}"
    )


def test_loss_balance():
    # chandelier, Faces, ketch, Leopards, airplanes, Motorbikes, watch, bonsai
    caltech = [107, 435, 114, 200, 800, 798, 239, 128]
    query = "metric == 'train_images' and dataset == 'caltech_part'"
    sizes = published("loss_balance_table1").query(query)["value"]
    match = (sizes + 100 == caltech).sum()
    judged("caltech", match == 8, f"{match} of 8 categories")
    # Shares of the test images, or of r times as many in a mean of r runs.
    accuracies = published("loss_balance_table2").query("metric == 'accuracy'")
    sets = accuracies.groupby("dataset")["value"]
    best = [
        max(
            sum(fits_rounding(value, runs * n, 4) for value in own)
            for runs in range(1, 7)
        )
        for (_, own), n in zip(sets, (800, 1350, 1350), strict=True)
    ]
    judged("runs", True if min(best) == 12 else None, f"{best} of 12 at best")
    index = ["metric", "dataset", "network", "class"]
    table = wide("loss_balance_table2", index, "method", "value >= 0")
    lead = table["loss_balance"] - table.drop(columns="loss_balance").max(
        axis=1
    )
    for claim, metric in (("accuracy, LE", "accuracy"), ("small, LE", "f1")):
        own = lead.round(4)[metric]
        found = f"best in {(own > 0).sum()} of {len(own)}, tied in"
        judged(claim, (own >= 0).all(), f"{found} {(own == 0).sum()}")
    own = lead["accuracy"]
    found = (
        f"leads of {own.min():.4f} to {own.max():.4f}, no standard deviation"
    )
    judged("noise, LE", None, found)


def test_red_cells_over_alpha():
    """DenseNet-121 is the first of two numbers side by side."""
    columns, query = ["metric", "network"], "metric != 'optimal_epoch'"
    table = wide("rbc_table1", ["method", "alpha"], columns, query)
    focal, plain = table.loc["focal"], table.loc[CE].loc[""]
    focal.index = focal.index.astype(float)
    f1 = focal["f1"].sort_index()
    rising = [f1[n].loc[: f1[n].idxmax()].diff().dropna() > 0 for n in f1]
    found = " | ".join(f"{up.sum()} of {len(up)} steps" for up in rising)
    found += "; range {:.2f} | {:.2f}".format(*(f1.max() - f1.min()))
    judged("rises", all(up.all() for up in rising), found)
    ahead = (focal > plain).sum().unstack("network")
    found = "; ".join(f"{m} {a} | {b}" for m, a, b in ahead.itertuples())
    judged("4 and 2 of 7", [4, 2] in ahead.to_numpy().tolist(), found)
    more = f1.mean() - plain["f1"]
    found = f"mean over α: {' | '.join(more.map(signed))}"
    judged("clearly", (more > 0).all(), found)
    over = table["f1"].loc["over_sampling"].loc[""] - f1.max()
    found = " | ".join(signed(x, 2) for x in over)
    judged("over-sampling", (over.abs() < 0.015).all(), found)


def test_red_cells_over_the_imbalance():
    # Codocyte's recalls fit one size of its class only.
    recalls = (0.529, 0.719, 0.719 + 0.033)
    (n,) = (
        n
        for n in range(80, 131)
        if all(fits_rounding(recall, n, 3) for recall in recalls)
    )
    away = (n - 0.3 * 345) / stats.hypergeom(3392, 345, 1018).std()
    found = f"{n} Codocytes, {away:.1f} standard deviations above 30 %"
    judged("division", abs(away) <= 3, found)
    index, columns = ["imbalance_ratio", "network"], ["metric", "method"]
    table = wide("rbc_table3", index, columns, "value >= 0")
    focal, plain = (table.xs(m, axis=1, level=1) for m in ("focal", CE))
    gain = focal - plain
    more = gain.loc[("7.80", "resnet50"), "accuracy"]
    found = f"{signed(more)}; 8 of {n} Codocytes are {8 / n:.1%}"
    judged("6.6 %", abs(more - 0.066) < 0.001, found)
    ahead = gain["f1"] > 0
    judged("every ρ", ahead.all(), f"{ahead.sum()} of {ahead.size}")
    for name, metric, sign in (("F1", "f1", 1), ("accuracy", "accuracy", -1)):
        change = (focal / plain - 1)[metric].groupby("imbalance_ratio").mean()
        trend, p = stats.spearmanr(change.index.astype(float), change)
        found = f"rank correlation {signed(trend, 2)}, p = {p:.2f}"
        clear = sign * trend > 0 and p < 0.05
        judged(f"trend, {name}", True if clear else None, found)
    query = "metric == 'cells' and imbalance_ratio == '37.90'"
    cells = published("rbc_table2").query(query).set_index("class")["value"]
    always, at = (
        cells["Normal"] / cells[""],
        gain.loc[("37.90", "densenet121")],
    )
    below = (table["accuracy"].loc["37.90"] < always).sum().sum()
    found = (
        f"{signed(at['accuracy'])} and {signed(at['f1'], 2)}; always Normal:"
    )
    found += f" {always:.3f}, above {below} of the 4 accuracies"
    judged("majority", at["accuracy"] < 0 < at["f1"], found)


def test_what_only_reading_decides_is_open():
    for claim, found in (
        ("fluctuation", "one run of each loss"),
        ("validation loss", "not said whether B's loss is weighted"),
        ("augmentation", "both scenarios were augmented (Section 2.2)"),
    ):
        judged(claim, None, found)

"""The scorecard: each published number and claim beside what was measured."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.methods import METHODS, focal
from helpers.papers.claims import measured_claims, read_claims, signed
from helpers.papers.results import compare, published
from helpers.paths import MEASURED_DIR, NOTEBOOKS_DIR, PUBLISHED_DIR
from helpers.session import Workspace

PAPERS = {
    "acne": ("acne", "03"),
    "cefl": ("CEFL", "05"),
    "loss_balance": ("loss balance", "06"),
    "rbc_chula": ("Chula RBC-12", "A1"),
    "rbc": ("red cells", "08"),
    "bagoftricks": ("Bag of Tricks", "05"),
    "severity": ("severity", "09"),
}
"""By how a file of `data/published` begins: the paper, and the notebook."""

STATUSES = ["within", "outside", "not comparable", "not measured"]
SIDES = ["own run", "reference"]
KEYS = ["file", "dataset", "imbalance_ratio", "network", "method", "class"]
KEYS += ["metric"]
_VALUES = ["mean", "n", "low", "high"]
_RESULTS = (
    "accuracy|f1|auroc|precision|recall|macro_.*|average_accuracy|errors_.*"
    "|f1_difference|validation_accuracy|validation_loss|train_accuracy"
    "|optimal_epoch|.*_gain|peak_alpha|settings_ahead_.*|separation_accuracy"
)
"""Metrics whose numbers are results; the others state the protocol."""
_NETWORKS = {"ResNet-50": "resnet50", "DenseNet-121": "densenet121"}
_NETWORKS |= {"EfficientNetB1": "efficientnetb1"}
_PROTOCOL = "states the protocol, not a result"
_OTHER = "other images, network or training than the paper's"
_ROTATED = "over_sampling_turned"
_NAMES = {
    "class_balanced_b0.9999": "class_balanced",
    "class_balanced_focal_b0.9999_g1": "class_balanced_focal_g1",
    "loss_balance_counts": "loss_balance",
}
"""Methods whose parameters, or reading, the papers' tables do not name."""


def notebook_file(number: str) -> str:
    """The file of a notebook, "03_baseline_vs_weighted.ipynb" of "03"."""
    return next(NOTEBOOKS_DIR.glob(f"{number}_*.ipynb")).name


def printed_numbers() -> pd.DataFrame:
    """Every number in `data/published`, with keys that measured ones have.

    Columns: paper, number (of the notebook), table, metric as printed,
    `KEYS`, label of the method, value and note. A method is named as in the
    registry where its parameters are printed; an F1 over all classes is a
    macro-F1.
    """
    files = [p.stem for p in PUBLISHED_DIR.glob("*.csv")]
    files = sorted({f for f in files if "_claims" not in f} - {"conditions"})
    tables = [published(file).assign(file=file) for file in files]
    table = pd.concat(tables, ignore_index=True).fillna("")
    for key in ("alpha", "gamma"):  # focal, 1, 2 becomes focal_a1_g2
        number = f"_{key[0]}" + table[key]
        table["method"] += number.where(table[key] != "", "")
    table["printed metric"] = table["metric"]
    whole = (table["metric"] == "f1") & (table["class"] == "")
    table.loc[whole, "metric"] = "macro_f1"
    table[["paper", "number"]] = [_of(file) for file in table["file"]]
    table["label"] = table["method"].map(_label)
    columns = ["paper", "number", "table", "printed metric", *KEYS, "label"]
    return table[[*columns, "value", "note"]]


def _of(file: str) -> tuple[str, str]:
    return next(PAPERS[start] for start in PAPERS if file.startswith(start))


def _label(method: str) -> str:
    if found := re.fullmatch(r"focal_a([\d.]+)_g([\d.]+)", method):
        return focal(float(found[2]), float(found[1])).label
    return METHODS[method].label if method in METHODS else method


def scorecard(run_results: Path) -> pd.DataFrame:
    """Every published number beside the measured ones, a row a number.

    ``run_results`` is the folder of a run's tables; what it lacks counts as
    not measured. Columns beside those of `printed_numbers`: mean, n, low and
    high (a 95 % prediction interval of one more run) and status for each of
    `SIDES`, such as "mean, own run"; a status of both; why; notebook.

    A number is *within* or *outside* where a side has the paper's conditions
    and five random seeds, else *not comparable*; n is NaN where a table has
    means only.
    """
    numbers = printed_numbers()
    names = [f"{c}, {side}" for side in SIDES for c in (*_VALUES, "status")]
    numbers[names] = pd.DataFrame(index=numbers.index, columns=names)
    result = numbers["printed metric"].str.fullmatch(_RESULTS)
    numbers["why"] = np.where(result, "not trained here", _PROTOCOL)
    for side, folder in zip(SIDES, (run_results, MEASURED_DIR), strict=True):
        for number, files, measured, comparable, why in _measured(folder):
            rows = numbers[
                numbers["file"].str.fullmatch(files)
                & numbers[f"mean, {side}"].isna()
            ]
            found = _beside(rows, measured, comparable)
            for column in (*_VALUES, "status"):
                numbers.loc[found.index, f"{column}, {side}"] = found[column]
            numbers.loc[found.index, ["number", "why"]] = number, why
    numbers["status"] = _status(numbers[[f"status, {s}" for s in SIDES]])
    same = numbers["status"].isin(STATUSES[:2])
    numbers.loc[same, "why"] = "the paper's conditions, five random seeds"
    numbers["notebook"] = numbers["number"].map(notebook_file)
    return numbers


def _beside(rows, measured, comparable: bool) -> pd.DataFrame:
    """The rows that a table has a value for: `_VALUES` and status.

    ``measured`` has some of `KEYS`, and seed and value or what `compare`
    returns.
    """
    keys = [key for key in KEYS if key in measured]
    if "seed" in measured:
        found = compare(rows, measured, comparable, keys).set_axis(rows.index)
    else:
        own = measured.drop_duplicates(keys).set_index(keys)
        own = own.reindex(columns=[*_VALUES, "status"])
        found = rows[keys].join(own, on=keys)
    found = found[found["mean"].notna()]
    status = found["status"].astype(object).fillna("not comparable")
    return found.assign(status=status)


def _status(sides: pd.DataFrame) -> pd.Series:
    """The status of a number by those of its sides, the reader's first."""
    decided = sides.where(sides.isin(STATUSES[:2])).bfill(axis=1).iloc[:, 0]
    rest = np.where(sides.notna().any(axis=1), *STATUSES[2:])
    return decided.fillna(pd.Series(rest, sides.index))


def _measured(folder: Path) -> Iterator[tuple]:
    """A folder's measured values: number, files, table, comparable, why.

    The notebook that measured them, the published files that they are beside,
    and why they are not comparable. Of two for one number, the first counts.
    """
    own = folder != MEASURED_DIR

    def table(name: str, reference: str = "") -> pd.DataFrame:
        files = sorted(folder.glob(f"{name if own else reference}.csv"))
        return pd.concat([pd.DataFrame(), *map(_read, files)])

    def because(reason: str) -> str:
        return _OTHER if own else reason

    if len(scores := table("03_scores", "acne5_scores")):
        same = _comparable(table("03_comparison"))
        why = "another network, frozen; the paper does not name its images"
        yield "03", "acne_.*", _acne(scores), same, because(why)
    if len(scores := table("05_scores", "cifar10_lt_scores")):
        why = "the paper's images; a smaller network, 30 epochs, two seeds"
        files = "bagoftricks_.*" if own else "cefl_table[23]|bagoftricks_.*"
        yield "05", files, _cifar(scores), False, because(why)
    if len(printed := table("05_comparison")):
        file = "cefl_table" + printed["table"].str[-1]
        of_table4 = printed["table"] == "Table 4"
        ratio = printed["imbalance_ratio"].mask(of_table4, "")
        printed = printed.assign(file=file, imbalance_ratio=ratio)
        yield "05", "cefl_.*", printed, True, _OTHER
    if len(printed := table("04_comparison")):
        printed = printed.assign(imbalance_ratio="50")
        yield "04", "cefl_table2", printed, True, _OTHER
    if len(printed := table("06_comparison")):
        printed = printed.replace({"method": _NAMES})
        yield "06", "loss_balance_table2", printed, True, _OTHER
    if len(scores := table("A1_*_scores", "rbc_[nt]*_scores")):
        scores = _networks(scores)
        why = "the paper's network; human cells, 64 pixels, few epochs"
        files = "rbc_table1|rbc_text"
        yield "A1", files, scores, False, because(why)
        if not own:
            scores = scores.query("network == 'efficientnetb1'")
            why = "the paper's cells and network; other weights, one run"
            yield "A1", "rbc_chula", scores.drop(columns="method"), False, why
    why = because("human cells; another network, frozen")
    if len(scores := table("08_scores", "rbc_experiment_means")):
        files = "rbc_table1|rbc_text"
        yield "08", files, _cells(scores), False, why
    if len(sweep := table("08_sweep", "rbc_experiment_sweep")):
        yield "08", "rbc_table3", _sweep(sweep), False, why


def _read(path: Path) -> pd.DataFrame:
    """A table as text, but for what is a number in each row."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    for column in {"seed", "value", *_VALUES} & {*table}:
        table[column] = pd.to_numeric(table[column], errors="coerce")
    return table


def _comparable(comparison: pd.DataFrame) -> bool:
    """Whether a notebook has found the paper's conditions in its run."""
    status = comparison.get("status", pd.Series(dtype=str))
    return bool((~status.isin(STATUSES[2:])).any())


def _acne(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of the random split, and B - A in F1 of each class and seed."""
    scores = scores[scores["split"] == "random"]
    columns = ["method", "class", "metric", "seed", "value"]
    f1 = scores[(scores["metric"] == "f1") & (scores["class"] != "")]
    f1 = f1.pivot(index=["class", "seed"], columns="method", values="value")
    gain = f1["weighted_cross_entropy"] - f1["cross_entropy"]
    gain = gain.rename("value").reset_index()
    gain = gain.assign(method="", metric="f1_difference")
    return pd.concat([scores[columns], gain[columns]])


def _cifar(scores: pd.DataFrame) -> pd.DataFrame:
    scores = scores[scores["dataset"].str.startswith("cifar")]
    ratio = scores["split"].str.removeprefix("ρ = ")
    scores = scores.assign(imbalance_ratio=ratio)
    return scores.replace({"method": _NAMES})


def _networks(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of whole networks, the random split, by the networks' names."""
    scores = scores[scores["split"] == "random"]
    facts = scores["hyperparameters"].map(json.loads)
    network = facts.str["network"].map(_NETWORKS)
    scores = scores.assign(network=network).dropna(subset="network")
    return scores.drop(columns="dataset")


def _cells(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores, or means, on folds at random; oversampling as the paper does it.

    That is by rotated and flipped copies.
    """
    scores = scores[scores["split"] == "random"]
    scores = scores[scores["method"] != "over_sampling"]
    scores = scores.replace({"method": {_ROTATED: "over_sampling"}})
    scores = scores.assign(**{"class": scores.get("class", "")})
    return scores.drop(columns="dataset", errors="ignore")


def _sweep(sweep: pd.DataFrame) -> pd.DataFrame:
    """Macro-F1 over the imbalance ratio, divided as the paper does it."""
    sweep = sweep[sweep["design"] == "as published"]
    ratio = sweep["rho"].astype(float).map("{:.2f}".format)
    losses = sweep[["cross_entropy", "focal"]].astype(float)
    table = losses.assign(imbalance_ratio=ratio, metric="macro_f1")
    keys = ["imbalance_ratio", "metric"]
    return table.melt(keys, var_name="method", value_name="mean")


def numbers_table(numbers: pd.DataFrame) -> pd.DataFrame:
    """`scorecard` as a reader wants it in a file: what each number is of."""
    parts = numbers[["dataset", "imbalance_ratio", "network", "method"]]
    ratio = "ρ = " + parts["imbalance_ratio"]
    parts = parts.assign(
        imbalance_ratio=ratio.mask(parts["imbalance_ratio"] == "", ""),
        method=numbers["label"],
        of=numbers["class"],
        metric=numbers["printed metric"],
    )
    what = [", ".join(filter(None, row)) for row in parts.to_numpy()]
    table = numbers.rename(columns={"value": "published"})
    table["what"] = [text.replace("_", " ") for text in what]
    found = [c for c in table if c.endswith(tuple(f", {s}" for s in SIDES))]
    first = ["paper", "table", "what", "published"]
    return table[[*first, *found, "status", "why", "notebook"]]


def claims_table(audited: pd.DataFrame) -> pd.DataFrame:
    """Each claim of each source with its verdict, by what, and a notebook.

    ``audited`` has found and verdict of the claims of ``audit_claims.csv``
    whose arithmetic notebook 11 does; the file has those of the others.
    """
    audit = read_claims("audit_claims").assign(by="arithmetic")
    audit.update(audited)
    numbers = dict(PAPERS.values())
    audit["notebook"] = audit["paper"].map(numbers)
    severity = pd.read_csv(MEASURED_DIR / "severity_verdicts.csv")
    severity = severity.rename(columns={"part": "where"}).assign(
        paper="severity", notebook="09"
    )
    images = read_claims("severity_claims")["on"]
    severity["on"] = severity["claim"].map(images)
    measured = pd.concat([measured_claims(), severity]).assign(
        by="measurement"
    )
    ends = measured[["number", "low", "high"]].map(signed).to_numpy()
    measured["found"] = [
        "{}: {} [{}, {}]; {}".format(number, *row, on)
        for number, row, on in zip(
            measured["its number"], ends, measured["on"], strict=True
        )
    ]
    table = pd.concat([audit, measured])
    order = {name: k for k, name in enumerate(numbers)}
    table = table.sort_values(
        "paper", key=lambda p: p.map(order), kind="stable"
    )
    table["notebook"] = table["notebook"].map(notebook_file)
    columns = ["paper", "what it says", "where", "by", "found", "verdict"]
    return table[[*columns, "notebook"]].reset_index(drop=True)


def markdown(table: pd.DataFrame) -> str:
    """A table in Markdown, left-aligned; its notebooks become links."""
    table = table.astype(str)
    if "notebook" in table:
        links = [f"[{f.split('_')[0]}]({f})" for f in table["notebook"]]
        table = table.assign(notebook=links)
    rows = [[*table], [":--"] * table.shape[1], *table.to_numpy()]
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def tables(workspace: Workspace, own: str, reference: str) -> dict:
    """A result of the reader's run and one of `data/measured`, if there.

    By the name of the side, one of `SIDES`; names without ".csv".
    """
    places = workspace.run_results / own, MEASURED_DIR / reference
    return {
        side: pd.read_csv(f"{place}.csv")
        for side, place in zip(SIDES, places, strict=True)
        if Path(f"{place}.csv").is_file()
    }


def gains(rows: pd.DataFrame) -> pd.DataFrame:
    """Published numbers minus cross-entropy's, all other keys the same.

    ``rows`` of `scorecard`; the column delta comes to those of all other
    methods.
    """
    keys = [key for key in KEYS if key != "method"]
    plain = rows["method"] == "cross_entropy"
    base = rows[plain].set_index(keys)["value"].rename("base")
    gain = rows["value"] - rows.join(base, on=keys)["base"]
    return rows.assign(delta=gain)[~plain].dropna(subset="delta")


def at_the_same(rows, side: str, table, keys: list[str]) -> pd.DataFrame:
    """The measured gains beside the numbers that a side has measured.

    ``table`` has ``keys``, delta, low and high; returns one row a label.
    """
    rows = rows[rows[f"mean, {side}"].notna()][["label", *keys]]
    found = rows.merge(table[[*keys, "delta", "low", "high"]], on=keys)
    return found.drop_duplicates("label")


def counts(numbers: pd.DataFrame) -> pd.DataFrame:
    """How many numbers of each paper have which status, why, and a notebook.

    ``numbers`` is `scorecard`'s; a row a paper, with the `STATUSES`.
    """
    table = pd.crosstab(numbers["paper"], numbers["status"])
    papers = numbers["paper"].unique()
    table = table.reindex(index=papers, columns=STATUSES, fill_value=0)
    kinds = numbers.groupby(["paper", "why"]).size().reset_index(name="n")
    reasons = kinds["n"].astype(str) + " " + kinds["why"]
    table["why"] = reasons.groupby(kinds["paper"]).agg("; ".join)
    files = numbers.groupby("paper")["notebook"]
    table["notebook"] = files.agg(lambda names: names.mode()[0])
    return table.rename_axis(index="paper", columns=None)


def overview(numbers: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """What a run shows at its end: numbers by status, claims by verdict.

    A row a paper; a claim *holds* if it is consistent or supported.
    """
    held = {"consistent": "holds", "supported": "holds"}
    verdicts = claims["verdict"].replace(held)
    tally = pd.crosstab(claims["paper"], verdicts)
    tally = tally.reindex(columns=["holds", "contradicted", "open"])
    table = counts(numbers)[STATUSES].join(tally, how="outer")
    order = [name for name, _ in PAPERS.values()]
    table = table.reindex(order).fillna(0).astype(int)
    return table.rename_axis("paper")

"""Labels and facts from tables: CSV files that name the images of a folder.

A table has a column of file names and a column of labels, as HAM10000 and
most Kaggle sets, or one column of 0 and 1 for each class, as ISIC 2019 and
the ``_classes.csv`` of Roboflow. Its columns are facts, such as the patient.
Several tables are read as one, their rows joined by file.
"""

import io
import posixpath
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

LABELS, FACTS = "labels.csv", "manifest.csv"
"""Tables of a data set's folder that are read without being named; the
second adds facts only."""

LABEL_NAMES = ("label", "labels", "class", "class_name", "category", "dx")
LABEL_NAMES += ("diagnosis", "target", "grade", "severity")
"""Names of label columns, in any case, in the order of the guess."""

UNLABELLED, EMPTY = "not in the table of labels", "empty label"
TWO, NO_FILE = "two labels or more", "label without a file"
SEVERAL, OUTSIDE = "label for several files", "path out of the folder"
READ, ROWS = "table that was read", (NO_FILE, SEVERAL, OUTSIDE)
REASONS = {
    READ: "it has labels or facts of the images",
    UNLABELLED: "an image without a label; add a row for it to use it",
    EMPTY: "its row names no class",
    TWO: "its rows name different classes, or one row several",
    NO_FILE: "a row of the table; get the file, or remove the row",
    SEVERAL: "a row that fits several files; write their paths from the data "
    "set's folder on, with the extension",
    OUTSIDE: "a row; write paths from the data set's folder on",
}
"""Why an image, or a row of a table (``ROWS``), is left out; what to do."""


@dataclass(frozen=True)
class Table:
    """What tables say of the files that they name.

    classes: the class of each file, or None where the tables hold facts
    only; facts: a row a file, all other columns, as text; left_out: a reason
    for each file or row that cannot be used; paths: of the tables; columns:
    which were read, in words.
    """

    classes: dict[str, str] | None
    facts: pd.DataFrame
    left_out: dict[str, str]
    paths: tuple[str, ...]
    columns: str


def read_table(
    root: Path,
    files: list[str],
    named: str | list[str] | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
) -> Table | None:
    """Read the tables of a data set's folder; None where there are none.

    files: the images' paths in root, POSIX. A table names them by their path
    from root or from its own folder on, or by their file name, with or
    without extension, in any case. named: paths of tables in root; by default
    ``labels.csv``, else each ``_classes.csv``, and ``manifest.csv``.
    file_column, label_column: None guesses, see ``Table.columns``.

    Raises FileNotFoundError for a named table that is not there, ValueError
    for one that cannot be read, a column that is not there or cannot be
    guessed, and classes that differ in case only.
    """
    tables = {path: _read(root / path) for path in _paths(root, named)}
    if not tables:
        return None
    _check_asked(tables, FILE_COLUMN=file_column, LABEL_COLUMN=label_column)
    only_facts = {FACTS} if named is None else set()
    alone = len(tables.keys() - only_facts) == 1
    exact, ends = set(files), _ends(files)
    labels, facts, left_out, told = defaultdict(set), [], {}, defaultdict(list)
    for path, table in tables.items():
        matches = {
            column: [_match(name, path, exact, ends) for name in table[column]]
            for column in ([file_column] if file_column in table else table)
        }
        file = file_column
        if file not in table:
            file = _most_files(path, matches, exact)
        names, label = table.pop(file), []
        if path not in only_facts:
            asked = [label_column] if label_column in table else []
            label = asked or _guess(table, alone)
            told[_in_words(file, label)].append(path)
        match = matches[file]
        rows = zip(names, match, _classes(table, label), strict=True)
        for line, (name, found, classes) in enumerate(rows, start=2):
            if found in exact and label:
                labels[found].update(classes)
            elif found not in exact and label:
                left_out[name or f"{path}, line {line}"] = found
        table.index = match
        facts.append(table[table.index.isin(exact)])
    facts = pd.concat(facts).replace("", None).groupby(level=0).first()
    facts, paths = facts.fillna("").astype(str), tuple(tables)
    if tables.keys() <= only_facts:
        return Table(None, facts, {}, paths, "")
    told = "; ".join(f"{', '.join(p)} ({how})" for how, p in told.items())
    if not labels and left_out:
        name, reason = next(iter(left_out.items()))
        raise ValueError(
            f"no row of {told} names an image in {root}; the first is "
            f"{name!r}: {reason}. Set FILE_COLUMN, or put the images there"
        )
    if not labels:
        raise ValueError(
            f"which column has the labels? Read {told}. Name it by "
            f"LABEL_COLUMN, one of {_listed(facts)}"
        )
    classes = {f: min(some) for f, some in labels.items() if len(some) == 1}
    for file in labels.keys() - classes.keys():
        left_out[file] = TWO if labels[file] else EMPTY
    _check_case(sorted(set(classes.values())), told)
    return Table(classes, facts, left_out, paths, told)


def _paths(root: Path, named) -> list[str]:
    """Return the paths of the tables in root, POSIX."""
    if named is None:
        labels = [path for path in [root / LABELS] if path.is_file()]
        labels = labels or sorted(root.glob("**/_classes.csv"))
        labels += [path for path in [root / FACTS] if path.is_file()]
        return [path.relative_to(root).as_posix() for path in labels]
    paths = [named] if isinstance(named, str) else list(named)
    for path in paths:
        if not (root / path).is_file():
            there = [
                p.relative_to(root).as_posix() for p in root.rglob("*.csv")
            ]
            raise FileNotFoundError(
                f"LABELS: there is no table {path} in {root}; put it there, "
                f"or name one of {_listed(sorted(there)) or '(no *.csv)'}"
            )
    return paths


def _read(path: Path) -> pd.DataFrame:
    """Read a table as spreadsheets save it, as text.

    Columns are divided by comma, semicolon or tab; a byte-order mark at the
    beginning and blanks around names and values are skipped.
    """
    try:
        text = path.read_text("utf-8-sig")
        comma = max(",;\t", key=text.partition("\n")[0].count)
        table = pd.read_csv(
            io.StringIO(text), sep=comma, dtype=str, keep_default_na=False
        )
        if table.empty:
            raise ValueError("it has no rows")
        if not isinstance(table.index, pd.RangeIndex):
            raise ValueError("a row has more values than the first row")
        table = table.fillna("").astype(str)
        table.columns = table.columns.astype(str).str.strip()
        return table.apply(lambda column: column.str.strip())
    except ValueError as error:  # of decoding or of parsing
        raise ValueError(
            f"{path} is no table in UTF-8 ({str(error).strip()}); save it as "
            "'CSV UTF-8', or rename it"
        ) from error


def _listed(names) -> str:
    return ", ".join(map(repr, names))


def _check_asked(tables: dict[str, pd.DataFrame], **asked) -> None:
    there = dict.fromkeys(column for t in tables.values() for column in t)
    for key, column in asked.items():
        if column not in (None, *there):
            raise ValueError(
                f"{key}: there is no column {column!r} in "
                f"{', '.join(tables)}, only {_listed(there)}"
            )


def _check_case(classes: list[str], told: str) -> None:
    by_case = {name.casefold(): name for name in classes}
    if alike := sorted(set(classes) - set(by_case.values())):
        pairs = [
            f"{name!r} and {by_case[name.casefold()]!r}" for name in alike
        ]
        raise ValueError(
            f"the classes {', '.join(pairs)} seem to be one, spelt in two "
            f"ways; correct the table. Read {told}"
        )


def _in_words(file: str, label: list[str]) -> str:
    """Say which columns were read."""
    labels = f"labels: {_listed(label) or 'none'}"
    if len(label) > 1:
        labels = f"a class in each of {len(label)} columns of 0 and 1"
    return f"files: {file!r}, {labels}"


def _ends(files: list[str]) -> dict[str, set[str]]:
    """Find files by each end of their path, with and without extension."""
    ends = defaultdict(set)
    for file in files:
        parts = file.casefold().split("/")
        for k in range(len(parts)):
            end = "/".join(parts[k:])
            ends[end].add(file)
            ends[end.rpartition(".")[0]].add(file)
    return ends


def _match(name: str, table: str, exact: set, ends: dict) -> str:
    """Return the file that a table names, or the reason why none."""
    path = posixpath.normpath(name.replace("\\", "/"))
    if re.match(r"\.\./|/|[a-zA-Z]:/|\.\.$", path):
        return OUTSIDE
    beside = posixpath.join(posixpath.dirname(table), path)
    for place in dict.fromkeys((beside, path)):
        if place in exact:
            return place
        if there := ends.get(place.casefold()):
            return SEVERAL if len(there) > 1 else min(there)
    return NO_FILE


def _most_files(path: str, matches: dict[str, list], exact: set) -> str:
    """Return the column whose values name most files."""
    named = {c: len(exact & set(match)) for c, match in matches.items()}
    file = max(named, key=named.get)
    if not named[file]:
        raise ValueError(
            f"no column of {path} names image files in the data set's folder; "
            f"columns: {_listed(named)}. Put the images there, or name the "
            "column by FILE_COLUMN; a table of other things has to be renamed"
        )
    rivals = [c for c in named if named[c] == named[file]]
    if any(matches[c] != matches[file] for c in rivals):
        raise ValueError(
            f"each of the columns {_listed(rivals)} of {path} names other "
            "image files; choose one by FILE_COLUMN"
        )
    return file


def _guess(table: pd.DataFrame, alone: bool) -> list[str]:
    """Guess the column of labels, or those of 0 and 1; [] if none is clear.

    Where no other table may hold the labels, the only column of repeated
    values does, whatever its name.
    """
    names = {re.sub(r"\W", "_", c.casefold()): c for c in table}
    for name in LABEL_NAMES:
        if name in names:
            return [names[name]]
    hot = _numbers(table)
    hot = hot.loc[:, hot.isin([0, 1]).all()]
    if hot.shape[1] > 1 and (hot.sum(axis=1) == 1).mean() > 0.5:
        return list(hot)
    several = table.nunique().between(2, min(50, len(table) / 2))
    return list(table.columns[several]) if alone and several.sum() == 1 else []


def _numbers(table: pd.DataFrame) -> pd.DataFrame:
    return table.apply(pd.to_numeric, errors="coerce")


def _classes(table: pd.DataFrame, label: list[str]) -> list[list[str]]:
    """Return the classes that each row names: by one column, or by ones."""
    if not label:
        return [[]] * len(table)
    if len(label) == 1:
        return [[name] if name else [] for name in table[label[0]]]
    hot = np.array(label)
    return [
        hot[row].tolist() for row in (_numbers(table[label]) == 1).to_numpy()
    ]

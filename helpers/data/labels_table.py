"""Labels and facts from tables: CSV files that name the images of a folder.

A table has a column of file names and a column of labels, as HAM10000 and
most Kaggle sets, or one column of 0 and 1 for each class, as ISIC 2019 and
the ``_classes.csv`` of Roboflow. Its columns are facts, such as the patient.
Several tables are read as one, their rows joined by file.
"""

import io
import os
import posixpath
import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache, partial
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
    """What tables say of the files that they name; nothing without tables.

    classes: the class of each file, or None where no table has labels;
    facts: a row a file, all other columns, as text; left_out: a reason for
    each file or row that cannot be used; paths: of the tables; columns: where
    the labels were read, in words.
    """

    classes: dict[str, str] | None = None
    facts: pd.DataFrame | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    columns: str = ""


def read_table(
    root: Path,
    images: list[str],
    others: list[str] = (),
    named: str | list[str] | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
) -> Table:
    """Read the tables of a data set's folder.

    images: paths in root, POSIX. A table names them by their path from root
    or from its own folder on, or by their file name, with or without
    extension, in any case. others: paths among which tables are looked for.
    named: paths of tables in root; by default ``labels.csv``, else each
    ``_classes.csv``, and ``manifest.csv``. file_column, label_column: None
    guesses, see ``Table.columns``.

    Raises FileNotFoundError for a named table that is not there, ValueError
    for one that cannot be read, a column that is not there or cannot be
    guessed, and classes that differ in case only.
    """
    paths = _paths(root, others, named)
    tables = {path: _read(root / path) for path in paths}
    if not tables:
        return Table()
    _check_asked(tables, FILE_COLUMN=file_column, LABEL_COLUMN=label_column)
    labelled = [path for path in paths if named or path != FACTS]
    exact, ends = set(images), _ends(images)
    labels, facts, left_out, told = defaultdict(set), [], {}, defaultdict(list)
    for path, table in tables.items():
        match = cache(partial(_match, path, exact, ends))
        asked = [file_column] if file_column in table else list(table)
        file = _most_files(path, table[asked], match, images)
        names = table.pop(file)
        table.index = [match(name) for name in names]
        facts.append(table[table.index.isin(exact)])
        if path not in labelled:
            continue
        label = [label_column]
        if label_column not in table:
            label = _guess(table, alone=len(labelled) == 1)
        told[_in_words(file, label)].append(path)
        if not label:
            continue
        rows = zip(names, table.index, _classes(table, label), strict=True)
        for line, (name, found, classes) in enumerate(rows, start=2):
            if found in exact:
                labels[found].update(classes)
            else:
                left_out[name or f"{path}, line {line}"] = found
    facts = pd.concat(facts).replace("", None).groupby(level=0).first()
    facts = facts.fillna("").astype(str)
    if not labelled:
        return Table(facts=facts, paths=paths)
    told = "; ".join(f"{', '.join(p)} ({how})" for how, p in told.items())
    if not labels:
        raise ValueError(
            f"which column has the labels? Read {told}. Name it by "
            f"LABEL_COLUMN, one of {_listed(facts)}"
        )
    for file, classes in labels.items():
        if len(classes) != 1:
            left_out[file] = TWO if classes else EMPTY
    classes = {f: min(some) for f, some in labels.items() if len(some) == 1}
    _check_case(sorted(set(classes.values())), told)
    return Table(classes, facts, left_out, paths, told)


def _paths(root: Path, others, named) -> tuple[str, ...]:
    """Return the paths of the tables in root, POSIX."""
    if named is None:
        parts = [f for f in others if f.rpartition("/")[2] == "_classes.csv"]
        tables = [f for f in others if f == LABELS] or parts
        return (*tables, *(f for f in others if f == FACTS))
    paths = [named] if isinstance(named, str) else named
    for path in paths:
        if not (root / path).is_file():
            there = [f for f in others if f.lower().endswith(".csv")]
            raise FileNotFoundError(
                f"LABELS: there is no table {path} in {root}; put it there, "
                f"or name one of {_listed(there) or '(no *.csv)'}"
            )
    return tuple(
        Path(os.path.relpath(root / path, root)).as_posix() for path in paths
    )


def _read(path: Path) -> pd.DataFrame:
    """Read a table as spreadsheets save it, as text.

    Columns are divided by comma, semicolon or tab; a byte-order mark and
    Excel's line "sep=;" at the beginning, and blanks around names and values,
    are skipped.
    """
    try:
        text = re.sub(r"\Asep=.\s+", "", path.read_text("utf-8-sig"))
        comma = max(",;\t", key=text.partition("\n")[0].count)
        table = pd.read_csv(
            io.StringIO(text), sep=comma, dtype=str, keep_default_na=False
        )
        if table.empty:
            raise ValueError("it has no rows")
        if not isinstance(table.index, pd.RangeIndex):
            raise ValueError("a row has more values than the first row")
        table = table.fillna("").rename(columns=lambda name: str(name).strip())
        if twice := table.columns[table.columns.duplicated()].tolist():
            raise ValueError(f"it has two columns {twice[0]!r}")
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
    """Raise ValueError for classes such as "Nevus" and "nevus", 1 and 1.0."""
    plain = [re.sub(r"(?<=\d)\.0+$", "", c.casefold()) for c in classes]
    first = dict(zip(reversed(plain), reversed(classes), strict=True))
    pairs = [
        f"{first[key]!r} and {name!r}"
        for key, name in zip(plain, classes, strict=True)
        if first[key] != name
    ]
    if pairs:
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
        parts = _key(file).split("/")
        for k in range(len(parts)):
            end = "/".join(parts[k:])
            ends[end].add(file)
            ends[end.rpartition(".")[0]].add(file)
    return ends


def _key(path: str) -> str:
    """Return a path for comparison: in any case and form of Unicode."""
    return unicodedata.normalize("NFC", path.casefold())


def _match(table: str, exact: set, ends: dict, name: str) -> str:
    """Return the file that a table names, or the reason why none."""
    path = posixpath.normpath(name.replace("\\", "/"))
    if re.match(r"\.\./|/|[a-zA-Z]:/|\.\.$", path):
        return OUTSIDE
    beside = posixpath.join(posixpath.dirname(table), path)
    for place in dict.fromkeys((beside, path)):
        if place in exact:
            return place
        if there := ends.get(_key(place)):
            return SEVERAL if len(there) > 1 else min(there)
    return NO_FILE


def _most_files(path: str, table: pd.DataFrame, match, images) -> str:
    """Return the column whose values name most files."""
    files = {c: [match(name) for name in table[c]] for c in table}
    named = {c: len(set(images) & set(files[c])) for c in table}
    file = max(named, key=named.get)
    if not named[file]:
        raise ValueError(
            f"no column of {path} names image files in the data set's folder, "
            f"such as {_listed(images[:1]) or '(there is none)'}; columns: "
            f"{_listed(named)}, first row: {_listed(table.iloc[0])}. Write "
            "paths from the folder on, put the images there, or name the "
            "column by FILE_COLUMN; a table of other things has to be renamed"
        )
    if match(file) in images:
        raise ValueError(
            f"the first row of {path} names an image, {file!r}; put the names "
            "of the columns above it, such as 'file' and 'label'"
        )
    rivals = [c for c in named if named[c] == named[file]]
    if any(files[c] != files[file] for c in rivals):
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
    truth = table.replace({"True": "1", "False": "0"})
    return truth.apply(pd.to_numeric, errors="coerce")


def _classes(table: pd.DataFrame, label: list[str]) -> list[list[str]]:
    """Return the classes that each row names: by one column, or by ones."""
    if len(label) == 1:
        return [[name] if name else [] for name in table[label[0]]]
    hot = np.array(label)
    return [
        hot[row].tolist() for row in (_numbers(table[label]) == 1).to_numpy()
    ]

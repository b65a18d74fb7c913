"""Images from a folder: a folder a class, every file told.

Layouts: ``ROOT/CLASS/*`` or, where at least two sets of a published split (or
nothing else) lie in ROOT, ``ROOT/{train,valid|val,test}/CLASS/*``. Folders
below a class folder are read as part of the class, links to folders are
followed.
"""

import difflib
import io
import os
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from helpers.data.dataset import (
    ImageDataset,
    content_hash,
    found_table,
    from_arrays,
)
from helpers.data.image_file import (
    BAD_NAME,
    HIDDEN,
    OUTSIDE,
    is_hidden,
    read_image,
    readable_name,
)

PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Folder names (in any case) of a published split, and the set of each."""

_DRAWN = ("drawn by helpers/data/synthetic/acne.py", "MIT")
ORIGINS = {
    "synthetic_acne": _DRAWN,
    "synthetic_acne_small": _DRAWN,
    "acne5": (
        "universe.roboflow.com/acnescan/acne-scanner-2qfa0, "
        "Kaggle tiswan14/acne-dataset-image",
        "CC BY 4.0 claimed by its uploader, unverified",
    ),
}
"""Where a data set of this name comes from, and its licence."""

GroupRule = str | Callable[[str], str] | None

_Layout = dict[tuple[str, ...], tuple[str, str]]
"""The path of each class folder: its set ("" without a split), its class."""


def load_folder(
    root: Path | str,
    name: str | None = None,
    image_size: int = 150,
    group_rule: GroupRule = "roboflow",
) -> ImageDataset:
    """Read an image folder, each file once, and report every file in it.

    image_size: side in pixels to which each image is stretched.
    group_rule: what tells the source of an image.
    "roboflow": the class and the file name before ".rf." (without one, the
    name's stem: the file is its own source). Another string: a regular
    expression with one group, searched in the path below the class folder;
    what the group matches is the source, in whichever class. A function:
    gets that path, returns the source. None: no sources.

    Files that cannot be used are left out by name and reason, never
    silently: ``found`` has a row for each. Raises FileNotFoundError for an
    absent folder; ValueError for fewer than two classes, a class without or
    with only one usable image, class folders that seem to be one class
    spelt in two ways, a folder around the class folders, a group rule that
    does not fit a file, or a ``manifest.csv`` without a column "file" or that
    does not list a used file; PermissionError for a folder that may not be
    entered.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"there is no folder {root}; name a folder with one folder of "
            "images for each class"
        )
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(f"image_size: expected pixels, got {image_size!r}")
    pattern = isinstance(group_rule, str) and group_rule != "roboflow"
    if pattern and (n := re.compile(group_rule).groups) != 1:
        raise ValueError(
            f"group_rule {group_rule!r}: expected a regular expression with "
            f"one (group), it has {n}"
        )
    layout = _layout(root)
    _check_folders(root, layout)
    found, images = _read(root, layout, image_size, group_rule)
    class_names = sorted({name for _, name in layout.values()})
    _check_classes(root, class_names, found)
    used = found[found["used"]].reset_index(drop=True)
    split = used["split"].to_numpy(str)
    name = name or root.name
    origin, licence = ORIGINS.get(name, ("an image folder", "not stated"))
    return from_arrays(
        name,
        images,
        np.searchsorted(class_names, used["class"].to_numpy(str)),
        class_names,
        files=used["file"].to_numpy(str),
        found=found,
        sha256=content_hash(
            sorted(zip(used["file"], used["sha256"], strict=True))
        ),
        groups=None if group_rule is None else used["source"].to_numpy(str),
        published_split=split if split[0] else None,
        facts=_facts(root, used["file"]),
        group_rule=getattr(group_rule, "__name__", group_rule),
        origin=origin,
        licence=licence,
    )


def _folders(root: Path) -> list[str]:
    return sorted(
        p.name for p in root.iterdir() if p.is_dir() and not is_hidden(p.name)
    )


def _layout(root: Path) -> _Layout:
    names = _folders(root)
    parts = [name for name in names if name.lower() in PARTS]
    # One such name among others may be a class ("train", "bus", ...).
    if len(parts) < 2 and parts != names or not parts:
        return {(name,): ("", name) for name in names}
    return {
        (part, name): (PARTS[part.lower()], name)
        for part in parts
        for name in _folders(root / part)
    }


def _check_folders(root: Path, layout: _Layout) -> None:
    """Raise ValueError where a class folder is likely misnamed."""
    for folder in map("/".join, layout):
        if (shown := readable_name(folder)) != folder:
            raise ValueError(
                f"the name of the folder '{shown}' in {root} is not in "
                "UTF-8; rename it"
            )
    if around := _around(root, layout):
        raise ValueError(
            f"the folders {', '.join(around)} in {root} hold only folders: if "
            "those are the classes, put them directly into train, valid and "
            "test"
        )
    parts: dict[str, list[str]] = {}
    for part, name in layout.values():
        parts.setdefault(part, []).append(name)
    if pairs := _same_class(parts):
        classes = "; ".join(
            f"{part + ': ' if part else ''}{', '.join(sorted(names))}"
            for part, names in parts.items()
        )
        raise ValueError(
            f"some class folders in {root} seem to be one class spelt in "
            f"two ways: {'; '.join(pairs)}. Classes: {classes}. Rename the "
            "folders so that a class has the same name everywhere. (Where two "
            "are different classes, add an empty folder of either name beside "
            "the other.)"
        )


def _around(root: Path, layout: _Layout) -> list[str]:
    """Find folders between the sets of a split and the class folders."""

    def inner(folder: tuple[str, ...]) -> list[str]:
        """Return the folders in one that holds no files, else nothing."""
        path = root.joinpath(*folder)
        files = (p.name for p in path.iterdir() if p.is_file())
        return _folders(path) if all(map(is_hidden, files)) else []

    if any(part for part, _ in layout.values()):
        tops = [folder[0] for folder in layout]
        alone = [folder for folder in layout if tops.count(folder[0]) == 1]
        classes = {folder[1] for folder in layout if folder not in alone}
        return [
            "/".join(folder)
            for folder in alone
            if folder[1] not in classes and len(inner(folder)) >= 2
        ]
    # Names such as seg_train and seg_test, with nothing but folders in them.
    sets = {}
    for (name,) in layout:
        for word in PARTS.keys() & re.split("[^a-z]+", name.lower()):
            sets[name] = PARTS[word]
    several = len(set(sets.values())) >= 2
    return list(sets) if several and all(inner((n,)) for n in sets) else []


def _same_class(parts: dict[str, list[str]]) -> list[str]:
    """Find pairs of class names that seem to mean one class.

    parts: the class names of each set. Names that occur in one and the same
    set are different classes, unless they differ in how Unicode writes
    their letters, which cannot be seen; then their code is returned.
    """
    pairs = []
    for a, b in combinations(sorted(set().union(*parts.values())), 2):
        x, y = (unicodedata.normalize("NFC", name) for name in (a, b))
        if x == y:
            pairs.append(f"{a!a} and {b!a} (two Unicode forms)")
        elif _alike(x, y) and not any(
            a in names and b in names for names in parts.values()
        ):
            pairs.append(f"'{a}' and '{b}'")
    return pairs


def _alike(a: str, b: str) -> bool:
    """Whether two names differ as little as two spellings of one do.

    In upper and lower case, blanks and signs, singular and plural, or a
    letter or two.
    """
    a, b = (re.sub(r"[\W_]+", "", name.casefold()) for name in (a, b))
    if a == b:
        return bool(a)
    # "stage 1" and "stage 2" differ in one letter and are no misspelling.
    if re.findall(r"\d+", a) != re.findall(r"\d+", b):
        return False
    if any(x in (y + "s", y + "es") for x, y in ((a, b), (b, a))):
        return True
    near = difflib.SequenceMatcher(None, a, b).ratio() >= 0.85
    return near and min(len(a), len(b)) >= 5


def _files(root: Path) -> Iterator[PurePosixPath]:
    """Yield every file below root, also hidden ones and broken links."""

    def refuse(error):
        raise error

    for folder, dirs, names in os.walk(root, followlinks=True, onerror=refuse):
        here = Path(folder)
        for name in list(dirs):
            link = here / name
            # A link to a folder above itself would be followed for ever.
            if link.is_symlink() and here.resolve().is_relative_to(
                link.resolve()
            ):
                dirs.remove(name)
                names.append(name)
        for name in names:
            yield PurePosixPath((here / name).relative_to(root).as_posix())


def _read(root, layout, image_size, rule) -> tuple[pd.DataFrame, np.ndarray]:
    """Read all files, in the order of their names, by a few threads."""

    def read(file: PurePosixPath) -> tuple[np.ndarray | None, dict]:
        row = {"file": readable_name(str(file))}
        depth = next((d for d in (1, 2) if file.parts[:d] in layout), 0)
        inside = 0 < depth < len(file.parts)
        if inside:
            row["split"], row["class"] = layout[file.parts[:depth]]
        if any(map(is_hidden, file.parts)):
            return None, row | {"reason": HIDDEN}
        if row["file"] != str(file):
            return None, row | {"reason": BAD_NAME}
        if not inside:
            return None, row | {"reason": OUTSIDE}
        image, known = read_image(root / file, image_size)
        row["below"] = "/".join(file.parts[depth:])
        return image, row | known

    files = sorted(_files(root), key=str)
    images = np.empty((len(files), image_size, image_size, 3), np.uint8)
    rows, n_used = [], 0
    threads = min(8, os.cpu_count() or 1)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        # Pillow warns of damaged camera notes; the images are sound.
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        for image, row in pool.map(read, files):
            rows.append(row)
            if image is not None:
                row["source"] = _source(rule, row["class"], row["below"])
                row["used"] = True
                images[n_used] = image
                n_used += 1
    return found_table(rows), images[:n_used]


def _source(rule: GroupRule, class_name: str, below: str) -> str:
    """Return the source of a file by a rule of ``load_folder``."""
    if rule is None:
        return ""
    if callable(rule):
        return str(rule(below))
    if rule == "roboflow":
        name, tag, _ = below.partition(".rf.")
        return f"{class_name}/{name if tag else below.rpartition('.')[0]}"
    match = re.search(rule, below)
    if match is None or match[1] is None:
        raise ValueError(
            f"group_rule {rule!r} matches nothing in '{below}' of class "
            f"'{class_name}'; widen the rule or remove the file"
        )
    return match[1]


def _check_classes(root, names: tuple[str, ...], found: pd.DataFrame) -> None:
    """Raise ValueError for fewer than two classes, or two images of one."""
    if len(names) < 2:
        seen = f"only '{names[0]}'" if names else "none"
        raise ValueError(
            f"fewer than two classes in {root}: found {seen}. Expected one "
            "folder of images for each class, or train/, valid/ and test/ "
            "with such folders; do they lie one folder deeper?"
        )
    for name in names:
        rows = found[found["class"] == name]
        if (n_used := rows["used"].sum()) < 2:
            reasons = rows.loc[~rows["used"], "reason"].value_counts(
                sort=False
            )
            left_out = ", ".join(f"{n} {r}" for r, n in reasons.items())
            raise ValueError(
                f"class '{name}' in {root} has "
                + ("one usable image" if n_used else "no usable image")
                + (f" (left out: {left_out})" if left_out else "")
                + "; add images or remove its folder"
            )


def _facts(root: Path, files: pd.Series) -> pd.DataFrame | None:
    """Read what a manifest knows of each used file, in their order.

    It is a table as spreadsheets save it: columns are divided by comma,
    semicolon or tab; a byte-order mark at the beginning is skipped.
    """
    path = root / "manifest.csv"
    if not path.is_file():
        return None
    try:
        text = path.read_text("utf-8-sig")
        comma = max(",;\t", key=text.partition("\n")[0].count)
        table = pd.read_csv(io.StringIO(text), sep=comma)
    except (
        UnicodeDecodeError,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
    ) as error:
        raise ValueError(
            f"{path} is no table in UTF-8 ({str(error).strip()}); save it as "
            "'CSV UTF-8', or rename it"
        ) from error
    table.columns = table.columns.str.strip()
    if "file" not in table:
        raise ValueError(
            f"{path} has no column 'file', only "
            f"{', '.join(map(repr, table.columns))}; name the column with "
            "the images' paths 'file', or rename the manifest"
        )
    table = table.drop_duplicates("file").set_index("file")
    missing = files[~files.isin(table.index)]
    if len(missing):
        raise ValueError(
            f"{path} does not list '{missing.iloc[0]}' ({len(missing)} files "
            "in all); add them to it or rename the manifest"
        )
    known = ["class", "source", "sha256"]
    facts = table.loc[files].drop(columns=known, errors="ignore")
    return facts.reset_index(drop=True)

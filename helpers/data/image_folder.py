"""Pictures from a folder: a folder a class, every file told.

Layouts: ``ROOT/CLASS/*`` or, where at least two parts (or nothing else) lie
in ROOT, ``ROOT/{train,valid|val,test}/CLASS/*``. Folders below a class folder
are read as part of the class, links to folders are followed.
"""

import difflib
import hashlib
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from helpers.data.dataset import FOUND, ImageDataset
from helpers.data.image_file import (
    BAD_NAME,
    HIDDEN,
    Picture,
    is_hidden,
    read_picture,
    readable_name,
)

OUTSIDE = "outside a class folder"
"""Reason for files that lie beside the class folders, such as a README."""

PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Folder names (in any case) of a published split, and the part of each."""

ORIGINS = {
    "synthetic_acne": ("drawn by helpers/data/synthetic/acne.py", "MIT"),
    "synthetic_acne_small": ("drawn by helpers/data/synthetic/acne.py", "MIT"),
    "acne5": (
        "universe.roboflow.com/acnescan/acne-scanner-2qfa0, "
        "Kaggle tiswan14/acne-dataset-image",
        "CC BY 4.0 claimed by its uploader, unverified",
    ),
}
"""Where a data set of this name comes from, and its licence."""

GroupRule = str | Callable[[str], str] | None


def load_folder(
    root: Path | str,
    name: str | None = None,
    image_size: int = 150,
    group_rule: GroupRule = "roboflow",
) -> ImageDataset:
    """Read an image folder, each file once, and report every file in it.

    image_size: side in pixels to which each picture is stretched.
    group_rule: what tells the source of a picture.
    "roboflow": the class and the file name before ".rf." (without one, the
    name's stem: the file is its own source). Another string: a regular
    expression with one group, searched in the path below the class folder;
    what the group matches is the source, in whichever class. A function:
    gets that path, returns the source. None: no sources.

    Files that cannot be used are left out by name and reason, never
    silently: ``found`` has a row for each. Raises FileNotFoundError for an
    absent folder; ValueError for fewer than two classes, a class without or
    with only one usable picture, class folders that seem to be one class
    spelt in two ways, a folder around the class folders, a group rule that
    does not fit a file, or a ``manifest.csv`` without a column "file" or that
    does not list a used file; PermissionError for a folder that may not be
    entered.
    """
    root = Path(root)
    if not root.is_dir():
        raise FileNotFoundError(
            f"there is no folder {root}; name a folder with one folder of "
            "pictures for each class"
        )
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(f"image_size: expected pixels, got {image_size!r}")
    layout = _Layout.of(root)
    layout.check(root)
    found, images = _read(
        root, layout, image_size, _group_function(group_rule)
    )
    used = found[found["used"]].reset_index(drop=True)
    class_names = _checked_classes(root, layout.class_names(), found)
    labels = used["class"].map({c: i for i, c in enumerate(class_names)})
    name = name or root.name
    origin, licence = ORIGINS.get(name, ("an image folder", "not stated"))
    images.flags.writeable = False
    return ImageDataset(
        name=name,
        images=images,
        labels=labels.to_numpy(np.int64),
        class_names=class_names,
        groups=None if group_rule is None else used["source"].to_numpy(str),
        published_split=used["split"].to_numpy(str) if layout.split else None,
        files=used["file"].to_numpy(str),
        found=found,
        facts=_facts(root, used["file"]),
        provenance={
            "name": name,
            "origin": origin,
            "licence": licence,
            "found": len(found),
            "used": len(used),
            "left_out": len(found) - len(used),
            "image_size": image_size,
            "group_rule": getattr(group_rule, "__name__", group_rule),
            "sha256": _content_hash(used),
        },
    )


@dataclass(frozen=True)
class _Layout:
    """Which folders are classes, and which are parts of a split."""

    split: bool
    folders: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, root: Path) -> "_Layout":
        names = _folders(root)
        parts = [name for name in names if name.lower() in PARTS]
        # One such name among others may be a class ("train", "bus", ...).
        split = len(parts) >= 2 or bool(parts) and parts == names
        if not split:
            return cls(False, tuple((name,) for name in names))
        inner = [(p, name) for p in parts for name in _folders(root / p)]
        return cls(True, tuple(inner))

    def class_names(self) -> tuple[str, ...]:
        return tuple(sorted({folder[-1] for folder in self.folders}))

    def by_part(self) -> dict[str, list[str]]:
        """Return the class folders of each part ("" without a split)."""
        parts: dict[str, list[str]] = {}
        for folder in self.folders:
            part = PARTS[folder[0].lower()] if self.split else ""
            parts.setdefault(part, []).append(folder[-1])
        return parts

    def check(self, root: Path) -> None:
        """Raise ValueError where a class folder is likely misnamed."""
        for folder in self.folders:
            shown = readable_name("/".join(folder))
            if shown != "/".join(folder):
                raise ValueError(
                    f"the name of the folder '{shown}' in {root} is not in "
                    "UTF-8; rename it"
                )
        self._check_wrapping(root)
        parts = self.by_part()
        twins = _same_class(parts)
        if twins:
            pairs = "; ".join(
                f"'{a}' and '{b}' ({why})" for a, b, why in twins
            )
            classes = "; ".join(
                f"{part + ': ' if part else ''}{', '.join(sorted(set(names)))}"
                for part, names in parts.items()
            )
            raise ValueError(
                f"some class folders in {root} seem to be one class spelt in "
                f"two ways: {pairs}. Classes: {classes}. Rename the folders "
                "so that a class has the same name everywhere. (Where two are "
                "different classes, add an empty folder of either name beside "
                "the other.)"
            )

    def _check_wrapping(self, root: Path) -> None:
        """Refuse a folder between a part and its class folders."""
        if not self.split:
            words = {f[0]: _split_word(f[0]) for f in self.folders}
            named = sorted(name for name, part in words.items() if part)
            several = len({words[name] for name in named}) >= 2
            if several and all(_only_folders(root / name) for name in named):
                raise ValueError(
                    f"the folders {', '.join(named)} in {root} look like the "
                    "sets of a published split, not like classes: name them "
                    "train, valid and test, with one folder of images for "
                    "each class directly in them"
                )
        several = {f[-1] for f in self.folders if self._siblings(f) > 1}
        for folder in self.folders if self.split else ():
            inner = _only_folders(root.joinpath(*folder))
            if self._siblings(folder) > 1 or folder[-1] in several:
                continue
            if len(inner) >= 2:
                part, name = folder
                raise ValueError(
                    f"'{part}' in {root} holds only the folder '{name}', and "
                    f"that holds the folders {', '.join(inner)}: if these "
                    f"are the classes, move them up into '{part}'"
                )

    def _siblings(self, folder: tuple[str, ...]) -> int:
        return sum(other[0] == folder[0] for other in self.folders)

    def place(self, file: PurePosixPath) -> tuple[str, str, str] | None:
        """Return a file's part, class, and path below the class folder."""
        depth = 2 if self.split else 1
        if len(file.parts) <= depth or file.parts[:depth] not in self.folders:
            return None
        part = PARTS[file.parts[0].lower()] if self.split else ""
        return part, file.parts[depth - 1], "/".join(file.parts[depth:])


def _split_word(name: str) -> str | None:
    """Return the part that a word of a folder's name stands for."""
    words = re.split(r"[^a-z]+", name.lower())
    return next((PARTS[word] for word in words if word in PARTS), None)


def _same_class(parts: dict[str, list[str]]) -> list[tuple[str, str, str]]:
    """Find pairs of class names that seem to mean one class, and why.

    parts: the class names of each part. Names that occur in one and the same
    part are different classes, unless they differ in how Unicode writes
    their letters, which cannot be seen.
    """
    where: dict[str, set[str]] = {}
    for part, names in parts.items():
        for name in names:
            where.setdefault(name, set()).add(part)
    pairs = []
    for a, b in combinations(sorted(where), 2):
        if not where[a] & where[b]:
            why = _alike(a, b)
        else:
            why = _UNICODE if _nfc(a) == _nfc(b) else None
        if why:
            pairs.append((a, b, why))
    return pairs


_UNICODE = "the same letters in two Unicode forms"


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _alike(a: str, b: str) -> str | None:
    """Say in what two names differ, where they are likely to be one."""
    a, b = _nfc(a), _nfc(b)
    if a == b:
        return _UNICODE
    if a.casefold() == b.casefold():
        return "upper and lower case"
    a, b = (re.sub(r"[\W_]+", "", name.casefold()) for name in (a, b))
    if a and a == b:
        return "blanks and signs"
    # "stage 1" and "stage 2" differ in one letter and are no misspelling.
    if re.findall(r"\d+", a) != re.findall(r"\d+", b):
        return None
    if any(x in (y + "s", y + "es") for x, y in ((a, b), (b, a))):
        return "singular and plural"
    near = difflib.SequenceMatcher(None, a, b).ratio() >= 0.85
    return "spelling" if near and min(len(a), len(b)) >= 5 else None


def _folders(root: Path) -> list[str]:
    return sorted(
        p.name for p in root.iterdir() if p.is_dir() and not is_hidden(p.name)
    )


def _only_folders(root: Path) -> list[str]:
    """Return the folders in one that holds no files, else nothing."""
    files = (p for p in root.iterdir() if p.is_file())
    if any(not is_hidden(file.name) for file in files):
        return []
    return _folders(root)


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


def _read(root, layout, image_size, group) -> tuple[pd.DataFrame, np.ndarray]:
    """Read all files, in the order of their names, by a few threads."""
    files = sorted(_files(root), key=str)
    places = [layout.place(file) for file in files]

    def read(file, place):
        if any(is_hidden(part) for part in file.parts):
            return Picture(reason=HIDDEN)
        if readable_name(str(file)) != str(file):
            return Picture(reason=BAD_NAME)
        if place is None:
            return Picture(reason=OUTSIDE)
        return read_picture(root / file, image_size)

    rows, n_used = [], 0
    images = np.empty((len(files), image_size, image_size, 3), np.uint8)
    threads = min(8, os.cpu_count() or 1)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        # Pillow warns of damaged camera notes; the pictures are sound.
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        pictures = pool.map(read, files, places)
        for file, place, picture in zip(files, places, pictures, strict=True):
            used = picture.image is not None
            if used:
                images[n_used] = picture.image
                n_used += 1
            part, class_name, below = place or ("", "", "")
            source = group(class_name, below) if used else ""
            rows.append(_row(file, part, class_name, source, picture))
    table = pd.DataFrame(rows, columns=list(FOUND)).astype(FOUND)
    return table, images[:n_used]


def _row(file, part, class_name, source, picture) -> tuple:
    return (
        readable_name(str(file)),
        class_name,
        part,
        source,
        picture.image is not None,
        picture.reason or "",
        picture.mistyped,
        picture.width,
        picture.height,
        picture.format or "",
        picture.mode or "",
        picture.sha256 or "",
        picture.phash,
    )


def _group_function(rule: GroupRule) -> Callable[[str, str], str]:
    """Turn a group rule into a function of the class and the path below."""
    if rule is None:
        return lambda class_name, below: ""
    if callable(rule):
        return lambda class_name, below: str(rule(below))
    if rule == "roboflow":
        return _roboflow
    pattern = re.compile(rule)
    if pattern.groups != 1:
        raise ValueError(
            f"group_rule {rule!r}: expected a regular expression with one "
            f"(group), it has {pattern.groups}"
        )

    def group(class_name: str, below: str) -> str:
        match = pattern.search(below)
        if match is None or match[1] is None:
            raise ValueError(
                f"group_rule {rule!r} matches nothing in '{below}' of class "
                f"'{class_name}'; widen the rule or remove the file"
            )
        return match[1]

    return group


def _roboflow(class_name: str, below: str) -> str:
    if ".rf." in below:
        return f"{class_name}/{below.split('.rf.')[0]}"
    return f"{class_name}/{PurePosixPath(below).with_suffix('')}"


def _checked_classes(root, names, found) -> tuple[str, ...]:
    if len(names) < 2:
        seen = f"only '{names[0]}'" if names else "none"
        raise ValueError(
            f"fewer than two classes in {root}: found {seen}. Expected one "
            "folder of pictures for each class, or train/, valid/ and test/ "
            "with such folders; do they lie one folder deeper?"
        )
    for name in names:
        rows = found[found["class"] == name]
        n_used = int(rows["used"].sum())
        if n_used < 2:
            reasons = Counter(rows.loc[~rows["used"], "reason"])
            left_out = ", ".join(f"{n} {r}" for r, n in reasons.items())
            raise ValueError(
                f"class '{name}' in {root} has "
                + ("no usable picture" if not n_used else "one usable picture")
                + (f" (left out: {left_out})" if left_out else "")
                + "; add pictures or remove its folder"
            )
    return names


def _facts(root: Path, files: pd.Series) -> pd.DataFrame | None:
    """Read what a manifest knows of each used file, in their order."""
    path = root / "manifest.csv"
    if not path.is_file():
        return None
    manifest = _manifest(path).drop_duplicates("file").set_index("file")
    missing = files[~files.isin(manifest.index)]
    if len(missing):
        raise ValueError(
            f"{path} does not list '{missing.iloc[0]}' ({len(missing)} files "
            "in all); add them to it or rename the manifest"
        )
    known = ["class", "source", "sha256"]
    facts = manifest.loc[files].drop(columns=known, errors="ignore")
    return facts.reset_index(drop=True)


def _manifest(path: Path) -> pd.DataFrame:
    """Read a table with a column "file", as spreadsheets save it.

    Columns are divided by comma, semicolon or tab; a byte-order mark at the
    beginning is skipped.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            heading = file.readline()
        comma = max(",;\t", key=heading.count)
        table = pd.read_csv(path, sep=comma, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not in UTF-8; save it as 'CSV UTF-8' or rename it"
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(
            f"{path} is no table: {str(error).strip()}; correct or rename it"
        ) from error
    table = table.rename(columns=lambda name: str(name).strip())
    if "file" not in table:
        raise ValueError(
            f"{path} has no column 'file', only "
            f"{', '.join(map(repr, table.columns))}; name the column with "
            "the images' paths 'file', or rename the manifest"
        )
    return table


def _content_hash(used: pd.DataFrame) -> str:
    digest = hashlib.sha256()
    for file, sha256 in sorted(zip(used["file"], used["sha256"], strict=True)):
        digest.update(f"{file}\0{sha256}\n".encode())
    return digest.hexdigest()

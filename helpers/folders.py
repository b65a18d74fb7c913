"""Pictures from a folder: a folder a class, every file told.

Layouts: ``ROOT/CLASS/*`` or, where at least two parts (or nothing else) lie
in ROOT, ``ROOT/{train,valid|val,test}/CLASS/*``. Folders below a class folder
are read as part of the class, links to folders are followed.
"""

import hashlib
import os
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from helpers.imagedata import FOUND, ImageDataset
from helpers.pictures import HIDDEN, Picture, is_hidden, read_picture

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
    "synthetic_acne": ("drawn by helpers/synthetic.py", "MIT"),
    "synthetic_acne_small": ("drawn by helpers/synthetic.py", "MIT"),
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
    with only one usable picture, a group rule that does not fit a file, or a
    ``manifest.csv`` with a column "file" that does not list a used file;
    PermissionError for a folder that may not be entered.
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

    def place(self, file: PurePosixPath) -> tuple[str, str, str] | None:
        """Return a file's part, class, and path below the class folder."""
        depth = 2 if self.split else 1
        if len(file.parts) <= depth or file.parts[:depth] not in self.folders:
            return None
        part = PARTS[file.parts[0].lower()] if self.split else ""
        return part, file.parts[depth - 1], "/".join(file.parts[depth:])


def _folders(root: Path) -> list[str]:
    return sorted(
        p.name for p in root.iterdir() if p.is_dir() and not is_hidden(p.name)
    )


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
        str(file),
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
    manifest = pd.read_csv(path)
    if "file" not in manifest.columns:
        return None
    manifest = manifest.drop_duplicates("file").set_index("file")
    missing = files[~files.isin(manifest.index)]
    if len(missing):
        raise ValueError(
            f"{path} does not list '{missing.iloc[0]}' ({len(missing)} files "
            "in all); add them to it or rename the manifest"
        )
    known = ["class", "source", "sha256"]
    facts = manifest.loc[files].drop(columns=known, errors="ignore")
    return facts.reset_index(drop=True)


def _content_hash(used: pd.DataFrame) -> str:
    digest = hashlib.sha256()
    for file, sha256 in sorted(zip(used["file"], used["sha256"], strict=True)):
        digest.update(f"{file}\0{sha256}\n".encode())
    return digest.hexdigest()

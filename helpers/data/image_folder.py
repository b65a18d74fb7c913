"""Images from a folder: each file used, or left out by name.

Layouts: ``ROOT/CLASS/*`` or, where at least two sets of a published split (or
nothing else) lie in ROOT, ``ROOT/{train,valid|val,test}/CLASS/*``. Folders
below a class folder are read as part of the class, links to folders are
followed. With a table of labels (``labels_table``) the images lie anywhere.
"""

import difflib
import hashlib
import os
import re
import unicodedata
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from helpers.data import labels_table
from helpers.data.dataset import (
    CLASS_LEFT_OUT,
    ImageDataset,
    content_hash,
    found_table,
    from_arrays,
)

SETS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "val"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Folder names (in any case) of a published split, and the set of each."""

MIN_SIDE = 16
"""Shortest side in pixels; a smaller image is an icon, not a photograph."""

PIXEL_LIMIT = 50_000_000
"""Width × height above which a file is not decoded (an image bomb)."""

FORMATS = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
}
"""The extensions that are read (in any case), and what each promises."""

HIDDEN = "hidden"
REASONS = {
    "outside a class folder": "READMEs and the like; move images into their "
    "class's folder",
    HIDDEN: "files of the operating system or of an editor",
    "broken link": "the file it points to is not there",
    "not an image": "an extension that is not read; convert if it is an image",
    "zero-byte": "an empty file; download it again",
    "unreadable": "damaged, or of a format that is not read, whatever its "
    "extension; convert it or download it again",
    "truncated": "the file ends too early; download it again",
    f"smaller than {MIN_SIDE} px": "an icon or a thumbnail",
    "larger than the pixel limit": "an image bomb or a scan; scale it down",
    "name not in UTF-8": "the name has letters in another encoding; rename "
    "the file",
    "cannot be opened": "the system refuses to open it; check its permissions",
    "too much text inside": "a sound image with more than 1 MB of text or "
    "colour profile; save it without",
    **labels_table.REASONS,
    CLASS_LEFT_OUT: "too few images or sources, or it was not asked for",
}
"""Why a file is left out, and what that means or what to do about it."""

_SYNTHETIC = ("drawn by helpers/data/synthetic/acne.py", "MIT")
ORIGINS = {
    "synthetic_acne": _SYNTHETIC,
    "synthetic_acne_small": _SYNTHETIC,
    "acne5": (
        "universe.roboflow.com/acnescan/acne-scanner-2qfa0, "
        "Kaggle tiswan14/acne-dataset-image",
        "CC BY 4.0 claimed by its uploader, unverified",
    ),
}
"""Where a data set of this name comes from, and its licence."""

# The path of each class folder: its set ("" without a split), its class.
_Layout = dict[tuple[str, ...], tuple[str, str]]


def load_folder(
    root: Path | str,
    name: str | None = None,
    image_size: int = 150,
    labels: str | list[str] | None = None,
    file_column: str | None = None,
    label_column: str | None = None,
) -> ImageDataset:
    """Read an image folder, each file once, and report every file in it.

    image_size: side in pixels to which each image is stretched. labels,
    file_column, label_column: a table of labels, as ``read_table`` takes
    them. ``manifest.csv`` adds its columns to ``facts``.

    The source of an image is its class and the file name before ".rf.", as
    Roboflow marks copies; without one, the file is its own source.

    Raises ValueError for fewer than two classes; for a class folder with
    fewer than two usable images, that seems to be another one's spelt in
    another way, or that holds the class folders; for a ``manifest.csv`` that
    does not list a used file; and what ``read_table`` raises.
    """
    root = Path(root)
    files = sorted(_files(root), key=Path.as_posix)
    shown = [f.as_posix() for f in files if _may_be_image(f)]
    table = labels_table.read_table(
        root, shown, labels, file_column, label_column
    )
    by_table = table is not None and table.classes is not None
    layout = {} if by_table else _layout(root)
    _check_folders(root, layout)
    found, images = _read(root, files, layout, table, image_size)
    used = found[found["used"]].reset_index(drop=True)
    class_names = sorted({name for _, name in layout.values()})
    if by_table:
        class_names = sorted(used["class"].unique())
        _check_table(root, class_names, found, table.columns)
    else:
        _check_classes(root, class_names, found)
    split = used["split"].to_numpy(str)
    name = name or root.name
    origin, licence = ORIGINS.get(name, ("an image folder", "not stated"))
    known = {"labels_from": table.columns} if by_table else {}
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
        groups=used["source"].to_numpy(str),
        published_split=split if (split != "").all() else None,
        facts=None if table is None else _facts(root, table, used["file"]),
        group_rule="roboflow",
        origin=origin,
        licence=licence,
        **known,
    )


# --- folders --------------------------------------------------------------


def is_hidden(name: str) -> bool:
    """Whether a name is not meant for readers: ``._x.jpg``, ``__MACOSX``."""
    return name.startswith(".") or name == "__MACOSX"


def readable_name(name: str) -> str:
    """Return a name with bytes that are not UTF-8 as ``\\xe9``, printable."""
    raw = name.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


def _folders(root: Path) -> list[str]:
    names = (path.name for path in root.iterdir() if path.is_dir())
    return sorted(name for name in names if not is_hidden(name))


def _sets(root: Path) -> list[str]:
    """Return the folders of a published split, [] without one."""
    names = _folders(root)
    sets = [name for name in names if name.lower() in SETS]
    # One such name among others may be a class ("train", "bus", ...).
    return [] if len(sets) < 2 and sets != names else sets


def _layout(root: Path) -> _Layout:
    if sets := _sets(root):
        return {
            (part, name): (SETS[part.lower()], name)
            for part in sets
            for name in _folders(root / part)
        }
    return {(name,): ("", name) for name in _folders(root)}


def _check_folders(root: Path, layout: _Layout) -> None:
    """Raise ValueError where a class folder is likely misnamed."""
    folders = ["/".join(folder) for folder in layout]
    for folder in folders:
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
    if pairs := _same_class(layout):
        raise ValueError(
            f"some class folders in {root} seem to be one class spelt in "
            f"two ways: {'; '.join(pairs)}. Class folders: "
            f"{', '.join(folders)}. Rename them so that a class has the same "
            "name everywhere. (Where two are different classes, add an empty "
            "folder of either name beside the other.)"
        )


def _around(root: Path, layout: _Layout) -> list[str]:
    """Find folders such as seg_train that hold the class folders."""
    around, sets = [], set()
    for folder, (part, name) in layout.items():
        words = SETS.keys() & re.split("[^a-z]+", name.lower())
        path = root.joinpath(*folder)
        files = (p.name for p in path.iterdir() if p.is_file())
        alone = all(map(is_hidden, files)) and len(_folders(path)) >= 2
        if words and alone:
            around.append("/".join(folder))
            sets |= {part or SETS[word] for word in words}
    # Without a split, one such folder may be a class.
    split = any(part for part, _ in layout.values())
    return around if split or len(sets) >= 2 else []


def _same_class(layout: _Layout) -> list[str]:
    """Find pairs of class names that seem to mean one class.

    Names that occur in one and the same set are different classes, unless
    only Unicode's code tells them apart, which cannot be seen.
    """
    sets: dict[str, set[str]] = {}
    for part, name in layout.values():
        sets.setdefault(name, set()).add(part)
    pairs = []
    for a, b in combinations(sorted(sets), 2):
        x, y = (unicodedata.normalize("NFC", name) for name in (a, b))
        if x == y:
            pairs.append(f"{a!a} and {b!a} (two Unicode forms)")
        elif _alike(x, y) and not sets[a] & sets[b]:
            pairs.append(f"'{a}' and '{b}'")
    return pairs


def _alike(a: str, b: str) -> bool:
    """Whether names differ in case, signs, a plural, or a letter or two."""
    a, b = (re.sub(r"[\W_]+", "", name.casefold()) for name in (a, b))
    # "stage 1" and "stage 2" differ in one letter and are no misspelling.
    if re.findall(r"\d+", a) != re.findall(r"\d+", b) or not a + b:
        return False
    if a == b or a in (b + "s", b + "es") or b in (a + "s", a + "es"):
        return True
    near = difflib.SequenceMatcher(None, a, b).ratio() >= 0.85
    return near and min(len(a), len(b)) >= 5


def _check_table(root: Path, names: list[str], found, columns: str) -> None:
    if len(names) < 2:
        reasons = found["reason"].replace("", "used").value_counts()
        seen = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
        raise ValueError(
            f"fewer than two classes in {root}: {', '.join(names) or 'none'} "
            f"by {columns}. Files and rows: {seen}"
        )


def _check_classes(root: Path, names: list[str], found: pd.DataFrame) -> None:
    if len(names) < 2:
        seen = f"only '{names[0]}'" if names else "none"
        raise ValueError(
            f"fewer than two classes in {root}: found {seen}. Expected one "
            "folder of images for each class, or train/, valid/ and test/ "
            "with such folders (do they lie one folder deeper?), or a table "
            f"of labels, {labels_table.LABELS} or another named by LABELS "
            f"(there: {', '.join(p.name for p in root.glob('*.csv'))})"
        )
    for name in names:
        rows = found[found["class"] == name]
        if rows["used"].sum() < 2:
            files = rows["reason"].replace("", "used").value_counts(sort=False)
            seen = ", ".join(f"{n} {reason}" for reason, n in files.items())
            raise ValueError(
                f"class '{name}' in {root} has fewer than two usable images "
                f"({seen or 'no file'}); add images or remove its folder"
            )


# --- files ----------------------------------------------------------------


def _files(root: Path) -> Iterator[Path]:
    """Yield every file below root, also hidden ones and broken links."""

    def refuse(error):
        raise error

    for folder, dirs, names in os.walk(root, followlinks=True, onerror=refuse):
        here = Path(folder)
        for link in [here / name for name in dirs]:
            # A link to a folder above itself would be followed for ever.
            above = [here.resolve(), *here.resolve().parents]
            if link.is_symlink() and link.resolve() in above:
                dirs.remove(link.name)
                names.append(link.name)
        yield from ((here / name).relative_to(root) for name in names)


def _may_be_image(file: Path) -> bool:
    """Whether a table's row may mean a file."""
    sound = readable_name(file.as_posix()) == file.as_posix()
    shown = not any(map(is_hidden, file.parts))
    return sound and shown and file.suffix.lower() in FORMATS


def _read(root, files, layout, table, image_size):
    """Read files in their order by a few threads: ``found``, the images."""
    classes = None if table is None else table.classes
    left_out = dict(table.left_out) if table is not None else {}
    paths = table.paths if table is not None else ()
    sets = _sets(root) if classes is not None else []

    def place(file: Path) -> dict:
        """Return a file's set, class and source, or why it has none."""
        if file.as_posix() in paths:
            return {"reason": labels_table.READ}
        if classes is None:
            depth = next((d for d in (1, 2) if file.parts[:d] in layout), 0)
            if not 0 < depth < len(file.parts):
                return {"reason": "outside a class folder"}
            split, name = layout[file.parts[:depth]]
        else:
            depth = int(file.parts[0] in sets)
            split = SETS[file.parts[0].lower()] if depth else ""
            name = classes.get(file.as_posix())
            if name is None:
                no_row = labels_table.UNLABELLED
                usual = no_row if _may_be_image(file) else "not an image"
                return {"reason": left_out.pop(file.as_posix(), usual)}
        below, tag, _ = "/".join(file.parts[depth:]).partition(".rf.")
        source = f"{name}/{below if tag else below.rpartition('.')[0]}"
        return {"split": split, "class": name, "source": source}

    def read(file: Path) -> tuple[np.ndarray | None, dict]:
        row = {"file": readable_name(file.as_posix())}
        if any(map(is_hidden, file.parts)):
            return None, row | {"reason": HIDDEN}
        if row["file"] != file.as_posix():
            return None, row | {"reason": "name not in UTF-8"}
        row |= place(file)
        if "reason" in row:
            return None, row
        image, known = read_image(root / file, image_size)
        return image, row | known | {"used": image is not None}

    images = np.empty((len(files), image_size, image_size, 3), np.uint8)
    rows, n_used = [], 0
    threads = min(8, os.cpu_count() or 1)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        # Pillow warns of damaged camera notes; the images are sound. Of
        # large images too: they meet our limit.
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        for image, row in pool.map(read, files):
            rows.append(row)
            if image is not None:
                images[n_used] = image
                n_used += 1
    rows += [{"file": f, "reason": why} for f, why in left_out.items()]
    return found_table(rows), images[:n_used]


def _facts(root: Path, table, files: pd.Series) -> pd.DataFrame:
    """Return what tables add to each used file, in their order."""
    missing = files[~files.isin(table.facts.index)]
    if len(missing):
        raise ValueError(
            f"{root / labels_table.FACTS} does not list '{missing.iloc[0]}' "
            f"({len(missing)} files in all); add them to it or rename it"
        )
    return table.facts.loc[files].reset_index(drop=True)


# --- one file -------------------------------------------------------------


def read_image(path: Path, size: int | None) -> tuple[np.ndarray | None, dict]:
    """Read one file as 8-bit RGB; a bad file gives a reason, no exception.

    size: side in pixels to which the image is stretched, bilinear with
    antialiasing (as the acne paper resizes); None keeps its size.

    Grey and palette images become RGB; 16-bit grey is scaled by 1/257, not
    clipped; CMYK is converted; transparent pixels are laid on white; the
    EXIF rotation is applied; of an animation the first frame counts.

    Returns the image, (H, W, 3) uint8, upright, or None, and a row of
    ``ImageDataset.found`` as far as the file was read: reason, "" or a key
    of ``REASONS``; width and height in pixels, upright once it is decoded;
    format and mode, Pillow's names of what the file *is*; mistyped, whether
    its extension promises another format; sha256 of its bytes; phash, the
    64-bit perceptual hash of the full-size image (DCT), uint64.
    """
    row = {"reason": _reason_unopened(path)}
    if row["reason"]:
        return None, row
    try:
        with path.open("rb") as file:
            row["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
            formats = sorted(set(FORMATS.values()))
            with Image.open(file, formats=formats) as opened:
                # A phone's multi-picture JPEG ("MPO") is a JPEG to others.
                kind = {"MPO": "JPEG"}.get(opened.format, opened.format)
                row |= {
                    "width": opened.width,
                    "height": opened.height,
                    "format": kind,
                    "mode": opened.mode,
                    "mistyped": kind != FORMATS[path.suffix.lower()],
                }
                # By the header, before any pixel is decoded.
                if opened.width * opened.height > PIXEL_LIMIT:
                    raise Image.DecompressionBombError
                if min(opened.size) < MIN_SIDE:
                    reason = f"smaller than {MIN_SIDE} px"
                    return None, row | {"reason": reason}
                opened.load()
                image = _rgb(_upright(opened))
    except MemoryError:
        raise  # says nothing about the file
    # Decoders raise many kinds of exception on damaged bytes (OSError,
    # SyntaxError, ValueError, struct.error, ...): all mean the same here.
    except Exception as error:
        return None, row | {"reason": _reason_of(error)}
    row["width"], row["height"] = image.size
    bits = np.packbits(imagehash.phash(image).hash)
    row["phash"] = bits.view(">u8")[0].astype(np.uint64)
    if size is not None:
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.array(image), row


def _reason_unopened(path: Path) -> str:
    if not path.is_file():
        return "broken link" if path.is_symlink() else "not an image"
    if path.suffix.lower() not in FORMATS:
        return "not an image"
    return "" if path.stat().st_size else "zero-byte"


def _reason_of(error: Exception) -> str:
    bomb = Image.DecompressionBombError, Image.DecompressionBombWarning
    if isinstance(error, bomb):
        return "larger than the pixel limit"
    # Only the system's errors have a number: no permission, a bad disk.
    if isinstance(error, OSError) and error.errno is not None:
        return "cannot be opened"
    words = str(error).lower()
    # Pillow reads at most 1 MB of compressed text or colour profile of a PNG.
    if "max_text" in words:
        return "too much text inside"
    return "truncated" if "truncated" in words else "unreadable"


def _upright(image: Image.Image) -> Image.Image:
    try:
        image.getexif()  # kept, while Pillow rewrites only notes in info
        for key in ("exif", "Raw profile type exif"):
            image.info.pop(key, None)
        return ImageOps.exif_transpose(image)
    except Exception:
        # The pixels are sound even where the camera's notes are not.
        return image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow would clip 16 bits at 255, i.e. show a white image.
        grey = np.asarray(image).astype(np.float64) / 257
        image = Image.fromarray(np.rint(grey).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image)
    return image.convert("RGB")

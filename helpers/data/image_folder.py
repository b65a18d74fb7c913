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
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
    "outside a class folder": "READMEs and the like; move images into a class "
    "folder, name tables by LABELS",
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
    tree = _tree(root)
    files = sorted(file for _, there in tree.values() for file in there)
    rows = [{"file": readable_name(f), "reason": _unseen(f)} for f in files]
    seen = {row["file"]: row for row in rows if not row["reason"]}
    images = list(filter(_is_image, seen))
    named = labels, file_column, label_column
    table = labels_table.read_table(root, images, list(seen), *named)
    sets = _sets(tree)
    layout = {} if table.columns else _layout(tree, sets)
    _check_folders(root, tree, sets, layout)
    for file, row in seen.items():
        row |= _place(file, sets, table)
    rows += [
        {"file": file, "reason": why}
        for file, why in table.left_out.items()
        if file not in seen
    ]
    todo = [row for row in rows if not row["reason"]]
    pixels = _read(root, todo, image_size)
    found = found_table(rows)
    used = found[found["used"]].reset_index(drop=True)
    class_names = sorted({name for _, name in layout.values()})
    if table.columns:
        class_names = sorted(used["class"].unique())
    _check_classes(root, class_names, found, table.columns)
    facts = table.facts
    if facts is not None:
        if missing := sorted(set(used["file"]) - set(facts.index)):
            raise ValueError(
                f"{root / labels_table.FACTS} does not list '{missing[0]}' "
                f"({len(missing)} files in all); add them to it or rename it"
            )
        facts = facts.loc[used["file"]].reset_index(drop=True)
    split = used["split"].to_numpy(str)
    name = name or root.name
    origin, licence = ORIGINS.get(name, ("an image folder", "not stated"))
    known = {"labels_from": table.columns} if table.columns else {}
    digests = sorted(zip(used["file"], used["sha256"], strict=True))
    return from_arrays(
        name,
        pixels,
        np.searchsorted(class_names, used["class"].to_numpy(str)),
        class_names,
        files=used["file"].to_numpy(str),
        found=found,
        sha256=content_hash(digests),
        groups=used["source"].to_numpy(str),
        published_split=split if (split != "").all() else None,
        facts=facts,
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


def _tree(root: Path) -> dict[tuple[str, ...], tuple[list[str], list[str]]]:
    """List every folder, also hidden ones, by the parts of its path.

    Each has the names of the folders in it that are not hidden, and the
    paths of its files, POSIX, broken links among them.
    """

    def refuse(error):
        raise error

    tree = {}
    for path, dirs, names in os.walk(root, followlinks=True, onerror=refuse):
        here = Path(path)
        # A link to a folder above itself would be followed for ever.
        links = [here / name for name in dirs if (here / name).is_symlink()]
        for link in links:
            if here.resolve().is_relative_to(link.resolve()):
                dirs.remove(link.name)
                names.append(link.name)
        place = here.relative_to(root).parts
        files = ["/".join((*place, name)) for name in names]
        tree[place] = sorted(n for n in dirs if not is_hidden(n)), files
    return tree


def _sets(tree) -> dict[str, str]:
    """Return the folders of a published split and their sets, or none."""
    names = tree[()][0]
    sets = {n: SETS[n.lower()] for n in names if n.lower() in SETS}
    # One such name among others may be a class ("train", "bus", ...).
    return sets if len(sets) > 1 or [*sets] == names else {}


def _layout(tree, sets: dict[str, str]) -> dict[tuple, tuple[str, str]]:
    """Return the set and the class of each class folder, by its path."""
    parts = {(name,): part for name, part in sets.items()} or {(): ""}
    return {
        (*place, name): (part, name)
        for place, part in parts.items()
        for name in tree[place][0]
    }


def _check_folders(root: Path, tree, sets, layout) -> None:
    """Raise ValueError where a class folder is likely misnamed."""
    folders = ["/".join(place) for place in layout]
    for folder in folders:
        if (shown := readable_name(folder)) != folder:
            raise ValueError(
                f"the name of the folder '{shown}' in {root} is not in "
                "UTF-8; rename it"
            )
    # Folders such as seg_train, which hold folders only, and their sets.
    around = {
        "/".join(place): {part or SETS[word] for word in words}
        for place, (part, name) in layout.items()
        if (words := SETS.keys() & re.split("[^a-z]+", name.lower()))
        and len(tree[place][0]) >= 2
        and all(map(_unseen, tree[place][1]))
    }
    # Without a split, one such folder may be a class.
    if around and (sets or len(set().union(*around.values())) > 1):
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


def _same_class(layout) -> list[str]:
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
        elif not sets[a] & sets[b] and _alike(x, y):
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


def _check_classes(root: Path, names: list[str], found, columns) -> None:
    """Raise ValueError for fewer than two classes or an empty folder."""

    def told(rows: pd.DataFrame) -> str:
        reasons = rows["reason"].replace("", "used").value_counts(sort=False)
        return ", ".join(f"{n} {reason}" for reason, n in reasons.items())

    few = f"fewer than two classes in {root}: {', '.join(names) or 'none'}"
    if len(names) < 2 and columns:
        raise ValueError(f"{few} by {columns}. Files and rows: {told(found)}")
    if len(names) < 2:
        tables = found["file"][found["file"].str.lower().str.endswith(".csv")]
        raise ValueError(
            f"{few}. Expected one folder of images for each class, or train/, "
            "valid/ and test/ with such folders (do they lie one folder "
            f"deeper?), or a table of labels, {labels_table.LABELS} or "
            f"another named by LABELS (there: {', '.join(tables)})"
        )
    for name in [] if columns else names:
        rows = found[found["class"] == name]
        if rows["used"].sum() < 2:
            kinds = [kind for kind in rows["reason"].unique() if kind]
            raise ValueError(
                f"class '{name}' in {root} has fewer than two usable images "
                f"({told(rows) or 'no file'}); add images or remove its folder"
                + "".join(f". {kind}: {REASONS[kind]}" for kind in kinds)
            )


# --- files ----------------------------------------------------------------


def _unseen(file: str) -> str:
    """Return why a file's name alone rules it out, "" where it does not."""
    if any(map(is_hidden, file.split("/"))):
        return HIDDEN
    return "" if readable_name(file) == file else "name not in UTF-8"


def _is_image(file: str) -> bool:
    return os.path.splitext(file)[1].lower() in FORMATS


def _place(file: str, sets: dict[str, str], table) -> dict[str, str]:
    """Return a file's set, class and source, or why it has none."""
    if file in table.paths:
        return {"reason": labels_table.READ}
    parts = file.split("/")
    split = sets[parts.pop(0)] if parts[0] in sets else ""
    if table.columns:
        if file not in table.classes:
            no_row = table.left_out.get(file, labels_table.UNLABELLED)
            return {"reason": no_row if _is_image(file) else "not an image"}
        name = table.classes[file]
    elif len(parts) < 2 or (sets and not split):
        return {"reason": "outside a class folder"}
    else:
        name = parts.pop(0)
    below, tag, _ = "/".join(parts).partition(".rf.")
    source = f"{name}/{below if tag else below.rpartition('.')[0]}"
    return {"split": split, "class": name, "source": source}


def _read(root: Path, rows: list[dict], size: int) -> np.ndarray:
    """Return the images of some rows of ``found``, and complete the rows."""
    images, n_used = np.empty((len(rows), size, size, 3), np.uint8), 0
    threads = min(8, os.cpu_count() or 1)
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        # Pillow warns of damaged camera notes; the images are sound. Of
        # large images too: they meet our limit.
        warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        read = pool.map(lambda row: read_image(root / row["file"], size), rows)
        for row, (image, known) in zip(rows, read, strict=True):
            row |= known | {"used": image is not None}
            if image is not None:
                images[n_used] = image
                n_used += 1
    return images[:n_used]


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
                _turn_upright(opened)
                image = _rgb(opened)
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


def _turn_upright(image: Image.Image) -> None:
    # The pixels are sound even where the camera's notes are not.
    with suppress(Exception):
        image.getexif()  # kept, while Pillow rewrites only notes in info
        for key in ("exif", "Raw profile type exif"):
            image.info.pop(key, None)
        ImageOps.exif_transpose(image, in_place=True)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow would clip 16 bits at 255, i.e. show a white image.
        grey = np.asarray(image).astype(np.float64) / 257
        image = Image.fromarray(np.rint(grey).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image)
    # Of an RGB image that would be a copy.
    return image if image.mode == "RGB" else image.convert("RGB")

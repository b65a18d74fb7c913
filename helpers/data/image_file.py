"""Decode one picture file safely, or say why it cannot be used."""

import hashlib
import os
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from PIL import ExifTags, Image

MIN_SIDE = 16
"""Shortest side in pixels; a smaller picture is an icon, not a photograph."""

PIXEL_LIMIT = 50_000_000
"""Width × height above which a file is not decoded (an image bomb)."""

FORMATS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".gif": "GIF",
}
"""The extensions that are read (in any case), and what each promises."""

HIDDEN = "hidden"
BROKEN_LINK = "broken link"
NOT_AN_IMAGE = "not an image"
ZERO_BYTE = "zero-byte"
UNREADABLE = "unreadable"
TRUNCATED = "truncated"
TOO_SMALL = f"smaller than {MIN_SIDE} px"
TOO_LARGE = "larger than the pixel limit"
BAD_NAME = "name not in UTF-8"
NOT_OPENED = "cannot be opened"
LONG_TEXT = "too much text inside"
REASONS = (
    HIDDEN,
    BROKEN_LINK,
    NOT_AN_IMAGE,
    ZERO_BYTE,
    UNREADABLE,
    TRUNCATED,
    TOO_SMALL,
    TOO_LARGE,
    BAD_NAME,
    NOT_OPENED,
    LONG_TEXT,
)

# How each EXIF orientation is undone; 1 is upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Python's warning filters are shared by all threads: one thread at a time
# may swap them while it looks at a header.
_FILTERS = threading.Lock()


@dataclass(frozen=True, eq=False)
class Picture:
    """What is known of one file after reading it.

    image: (H, W, 3) uint8, upright, or None; reason: None, or why there is
    no image (one of ``REASONS``); width, height: pixels, upright once it is
    decoded; format, mode: Pillow's names of what the file *is*; mistyped:
    the extension promises another format; sha256: of the file's bytes;
    phash: the 64-bit perceptual hash of the full-size picture, as uint64.
    Whatever was not reached is None.
    """

    image: np.ndarray | None = None
    reason: str | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    mode: str | None = None
    mistyped: bool = False
    sha256: str | None = None
    phash: np.uint64 | None = None


def is_hidden(name: str) -> bool:
    """Whether a file's or folder's name marks it as not meant for readers.

    Names that begin with a dot (``._x.jpg``, ``.DS_Store``,
    ``.ipynb_checkpoints``) and the ``__MACOSX`` folder of macOS archives.
    """
    return name.startswith(".") or name == "__MACOSX"


def readable_name(name: str) -> str:
    """Return a file's name in a form that can be printed and saved.

    Bytes that are not UTF-8 (which Python keeps as lone surrogates) become
    escapes such as ``\\xe9``; any other name is returned as it is.
    """
    raw = name.encode("utf-8", "surrogateescape")
    return raw.decode("utf-8", "backslashreplace")


def read_picture(
    path: Path, size: int | None, pixel_limit: int = PIXEL_LIMIT
) -> Picture:
    """Read one file as 8-bit RGB; a bad file gives a reason, no exception.

    size: side in pixels to which the picture is stretched, bilinear with
    antialiasing (as the acne paper resizes); None keeps its own size.

    Grey and palette pictures become RGB; 16-bit grey is scaled by 1/257, not
    clipped; CMYK is converted; transparent pixels are laid on white; the
    EXIF rotation is applied; of an animation the first frame counts. The
    header is compared with pixel_limit before any pixel is decoded.
    """
    path = Path(path)
    reason = _reason_outside(path)
    if reason:
        return Picture(reason=reason)
    known = {}
    try:
        with path.open("rb") as file:
            known["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            with _open(file) as opened:
                known |= _header(opened, path)
                reason = _size_reason(opened.size, pixel_limit)
                if reason:
                    return Picture(reason=reason, **known)
                opened.load()
                image = _rgb(_upright(opened))
        known["width"], known["height"] = image.size
        known["phash"] = _phash(image)
        if size is not None:
            image = image.resize((size, size), Image.Resampling.BILINEAR)
        return Picture(image=np.array(image), **known)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Picture(reason=TOO_LARGE, **known)
    except MemoryError:
        raise  # says nothing about the file
    # Decoders raise many kinds of exception on damaged bytes (OSError,
    # SyntaxError, ValueError, struct.error, ...): all mean the same here.
    except Exception as error:
        return Picture(reason=_reason_of(error), **known)


def _reason_of(error: Exception) -> str:
    """Name what an exception of the system or of Pillow says of a file."""
    # Only the system's own errors have a number: no permission, a bad disk.
    if isinstance(error, OSError) and error.errno is not None:
        return NOT_OPENED
    words = str(error).lower()
    # Pillow reads at most 1 MB of compressed text or colour profile of a PNG.
    if "max_text" in words:
        return LONG_TEXT
    return TRUNCATED if "truncated" in words else UNREADABLE


def _reason_outside(path: Path) -> str | None:
    """Find why not to use a file that can be told without opening it."""
    if is_hidden(path.name):
        return HIDDEN
    if readable_name(path.name) != path.name:
        return BAD_NAME
    if not path.is_file():
        return BROKEN_LINK if path.is_symlink() else NOT_AN_IMAGE
    if path.suffix.lower() not in FORMATS:
        return NOT_AN_IMAGE
    return ZERO_BYTE if os.stat(path).st_size == 0 else None


def _open(file) -> Image.Image:
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(file, formats=sorted(set(FORMATS.values())))


def _header(image: Image.Image, path: Path) -> dict:
    # A phone's multi-picture JPEG ("MPO") is a JPEG to every reader.
    kind = "JPEG" if image.format == "MPO" else image.format
    return {
        "width": image.width,
        "height": image.height,
        "format": kind,
        "mode": image.mode,
        "mistyped": kind != FORMATS[path.suffix.lower()],
    }


def _size_reason(size: tuple[int, int], pixel_limit: int) -> str | None:
    if size[0] * size[1] > pixel_limit:
        return TOO_LARGE
    return TOO_SMALL if min(size) < MIN_SIDE else None


def _upright(image: Image.Image) -> Image.Image:
    """Undo the camera's rotation, by its orientation alone.

    ``ImageOps.exif_transpose`` would also rewrite the other notes of the
    camera, and fails where they cannot be written.
    """
    try:
        how = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:
        # The pixels are sound even where the camera's notes are not.
        return image
    return image if how is None else image.transpose(how)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow would clip 16 bits at 255, i.e. show a white picture.
        grey = np.asarray(image).astype(np.float64) / 257
        image = Image.fromarray(np.rint(grey).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image)
    return image.convert("RGB")


def _phash(image: Image.Image) -> np.uint64:
    """Hash the picture's low frequencies (the DCT hash of ImageHash)."""
    bits = imagehash.phash(image).hash.ravel()
    return np.packbits(bits).view(">u8")[0].astype(np.uint64)

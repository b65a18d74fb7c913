"""Decode one image file safely, or say why it cannot be used."""

import hashlib
import threading
import warnings
from pathlib import Path

import imagehash
import numpy as np
from PIL import ExifTags, Image

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

OUTSIDE = "outside a class folder"
HIDDEN = "hidden"
TOO_LARGE = "larger than the pixel limit"
BAD_NAME = "name not in UTF-8"
REASONS = {
    OUTSIDE: "READMEs and the like; move images into their class's folder",
    HIDDEN: "files of the operating system or of an editor",
    "broken link": "the file it points to is not there",
    "not an image": "an extension that is not read; convert if it is an image",
    "zero-byte": "an empty file; download it again",
    "unreadable": "damaged, or of a format that is not read, whatever its "
    "extension; convert it or download it again",
    "truncated": "the file ends too early; download it again",
    f"smaller than {MIN_SIDE} px": "an icon or a thumbnail",
    TOO_LARGE: "an image bomb or a scan; scale it down",
    BAD_NAME: "the name has letters in another encoding; rename the file",
    "cannot be opened": "the system refuses to open it; check its permissions",
    "too much text inside": "a sound image with more than 1 MB of text or "
    "colour profile; save it without",
}
"""Why a file is left out, and what that means or what to do about it."""

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


def read_image(
    path: Path, size: int | None, pixel_limit: int = PIXEL_LIMIT
) -> tuple[np.ndarray | None, dict]:
    """Read one file as 8-bit RGB; a bad file gives a reason, no exception.

    size: side in pixels to which the image is stretched, bilinear with
    antialiasing (as the acne paper resizes); None keeps its own size.

    Grey and palette images become RGB; 16-bit grey is scaled by 1/257, not
    clipped; CMYK is converted; transparent pixels are laid on white; the
    EXIF rotation is applied; of an animation the first frame counts. The
    header is compared with pixel_limit before any pixel is decoded.

    Returns the image, (H, W, 3) uint8, upright, or None, and what is known of
    the file, as far as it was read: reason, "" or a key of ``REASONS``;
    width, height in pixels, upright once it is decoded; format and mode,
    Pillow's names of what the file *is*; mistyped, whether its extension
    promises another format; sha256 of its bytes; phash, the 64-bit perceptual
    hash of the full-size image (the DCT hash of ImageHash), uint64.
    """
    path = Path(path)
    known = {"reason": _reason_outside(path)}
    if known["reason"]:
        return None, known
    try:
        with path.open("rb") as file:
            known["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            with _open(file) as opened:
                # A phone's multi-picture JPEG ("MPO") is a JPEG to others.
                kind = {"MPO": "JPEG"}.get(opened.format, opened.format)
                known |= {
                    "width": opened.width,
                    "height": opened.height,
                    "format": kind,
                    "mode": opened.mode,
                    "mistyped": kind != FORMATS[path.suffix.lower()],
                }
                if opened.width * opened.height > pixel_limit:
                    return None, known | {"reason": TOO_LARGE}
                if min(opened.size) < MIN_SIDE:
                    reason = f"smaller than {MIN_SIDE} px"
                    return None, known | {"reason": reason}
                opened.load()
                image = _rgb(_upright(opened))
        known["width"], known["height"] = image.size
        bits = np.packbits(imagehash.phash(image).hash)
        known["phash"] = bits.view(">u8")[0].astype(np.uint64)
        if size is not None:
            image = image.resize((size, size), Image.Resampling.BILINEAR)
        return np.array(image), known
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None, known | {"reason": TOO_LARGE}
    except MemoryError:
        raise  # says nothing about the file
    # Decoders raise many kinds of exception on damaged bytes (OSError,
    # SyntaxError, ValueError, struct.error, ...): all mean the same here.
    except Exception as error:
        return None, known | {"reason": _reason_of(error)}


def _reason_outside(path: Path) -> str:
    """Find why not to use a file that can be told without opening it."""
    if is_hidden(path.name):
        return HIDDEN
    if readable_name(path.name) != path.name:
        return BAD_NAME
    if not path.is_file():
        return "broken link" if path.is_symlink() else "not an image"
    if path.suffix.lower() not in FORMATS:
        return "not an image"
    return "" if path.stat().st_size else "zero-byte"


def _reason_of(error: Exception) -> str:
    """Name what an exception of the system or of Pillow says of a file."""
    # Only the system's own errors have a number: no permission, a bad disk.
    if isinstance(error, OSError) and error.errno is not None:
        return "cannot be opened"
    words = str(error).lower()
    # Pillow reads at most 1 MB of compressed text or colour profile of a PNG.
    if "max_text" in words:
        return "too much text inside"
    return "truncated" if "truncated" in words else "unreadable"


def _open(file) -> Image.Image:
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(file, formats=sorted(set(FORMATS.values())))


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
        # Pillow would clip 16 bits at 255, i.e. show a white image.
        grey = np.asarray(image).astype(np.float64) / 257
        image = Image.fromarray(np.rint(grey).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image)
    return image.convert("RGB")

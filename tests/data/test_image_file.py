"""Every format reads right; every kind of bad file gives its reason."""

import hashlib
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from helpers.data import image_folder
from helpers.data.image_folder import read_image, readable_name

RED, BLUE = (200, 30, 40), (30, 60, 210)
LARGE = "larger than the pixel limit"


@pytest.fixture
def halves():
    """An image whose left half is red and whose right half is blue."""
    image = Image.new("RGB", (40, 30), RED)
    image.paste(BLUE, (20, 0, 40, 30))
    return image


def noise(side=64):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))


def pixels_of(path):
    image, row = read_image(path, None)
    assert row["reason"] == "" and image.dtype == np.uint8
    return image


def reason_of(path):
    image, row = read_image(path, 32)
    assert (image is None) == bool(row["reason"])
    assert not row["reason"] or row["reason"] in image_folder.REASONS
    return row["reason"]


def assert_halves(path, tolerance=12):
    image = pixels_of(path).astype(int)
    assert image.shape == (30, 40, 3)
    assert np.abs(image[15, 5] - RED).max() <= tolerance
    assert np.abs(image[15, 35] - BLUE).max() <= tolerance


# --- what is read ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.JPeG", "JPEG"),
        ("a.jfif", "JPEG"),
        ("a.PNG", "PNG"),
        ("a.webp", "WEBP"),
        ("a.bmp", "BMP"),
        ("a.gif", "GIF"),
        ("mistyped.jpg", "PNG"),
    ],
)
def test_formats(tmp_path, halves, name, kind):
    path = tmp_path / name
    halves.save(path, kind)
    assert_halves(path)
    image, row = read_image(path, 24)
    assert image.shape == (24, 24, 3)
    assert (row["width"], row["height"]) == (40, 30)
    assert row["format"] == kind
    assert row["mistyped"] == name.startswith("mistyped")
    assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert isinstance(row["phash"], np.uint64)


def test_first_frame_of_an_animation(tmp_path, halves):
    path, other = tmp_path / "a.gif", Image.new("RGB", halves.size, "green")
    halves.save(path, save_all=True, append_images=[other], duration=50)
    assert_halves(path)


@pytest.mark.parametrize(
    ("mode", "pixel", "shown"),
    [
        ("L", 100, (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
        # Sixteen bits are scaled by 1/257, not clipped.
        ("I;16", 32896, (128, 128, 128)),
        # No cyan, full magenta and yellow.
        ("CMYK", (0, 255, 255, 0), (254, 0, 0)),
        # Transparent pixels lie on white: 0.2 · 200 + 0.8 · 255 = 244.
        ("RGBA", (200, 0, 0, 255), (200, 0, 0)),
        ("RGBA", (200, 0, 0, 51), (244, 204, 204)),
        ("LA", (100, 255), (100, 100, 100)),
        ("LA", (100, 0), (255, 255, 255)),
    ],
)
def test_modes(tmp_path, mode, pixel, shown):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new(mode, (20, 20), pixel).save(path)
    assert np.abs(pixels_of(path)[5, 5].astype(int) - shown).max() <= 1


def test_palette_and_its_transparent_colour(tmp_path, halves):
    indexed = halves.quantize(4)
    indexed.save(tmp_path / "a.png")
    assert_halves(tmp_path / "a.png")
    clear = indexed.getpixel((35, 15))
    indexed.save(tmp_path / "b.png", transparency=clear)
    image = pixels_of(tmp_path / "b.png")
    assert image[15, 35].tolist() == [255, 255, 255]
    assert np.abs(image[15, 5].astype(int) - RED).max() <= 12


# --- the camera's notes ---------------------------------------------------

STORED_BY = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
    9: None,  # means nothing
}


@pytest.mark.parametrize("orientation", STORED_BY)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_exif_rotation(tmp_path, halves, orientation, monkeypatch):
    """Undone by the orientation alone: no other note is ever rewritten."""
    how = STORED_BY[orientation]
    stored = halves if how is None else halves.transpose(how)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x9286] = "no comment"
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)

    def refuse(*args, **kwargs):
        raise struct.error("'H' format requires 0 <= number <= 65535")

    monkeypatch.setattr(Image.Exif, "tobytes", refuse)
    assert_halves(tmp_path / "a.jpg", tolerance=25)
    _, row = read_image(tmp_path / "a.jpg", None)
    assert (row["width"], row["height"]) == (40, 30)


def test_damaged_exif_does_not_cost_the_image(tmp_path, halves):
    halves.save(tmp_path / "a.jpg", exif=b"Exif\0\0not a tiff header")
    assert_halves(tmp_path / "a.jpg")


# --- what is left out -----------------------------------------------------


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".webp", ".gif"])
def test_half_and_damaged_files_are_never_used(tmp_path, ending):
    whole, half = tmp_path / f"whole{ending}", tmp_path / f"half{ending}"
    noise().save(whole)
    content = whole.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    if ending == ".png":
        damaged = content[:60] + b"\xff" * 30 + content[90:]
        (tmp_path / "damaged.png").write_bytes(damaged)
        assert reason_of(tmp_path / "damaged.png") == "unreadable"
    assert reason_of(whole) == ""
    if ending in (".webp", ".gif"):
        assert reason_of(half) in ("truncated", "unreadable")
    else:
        assert reason_of(half) == "truncated"
        assert read_image(half, 32)[1]["width"] == 64


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jpg", b"", "zero-byte"),
        ("a.jpg", b"<html>404</html>", "unreadable"),
        ("Thumbs.db", b"x", "not an image"),
        ("README", b"x", "not an image"),
        ("a.tiff", b"x", "not an image"),
    ],
)
def test_files_that_are_no_images(tmp_path, name, content, reason):
    (tmp_path / name).write_bytes(content)
    assert reason_of(tmp_path / name) == reason


def test_links_and_pipes(tmp_path, halves):
    halves.save(tmp_path / "a.png")
    (tmp_path / "sound.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")
    assert_halves(tmp_path / "sound.png")
    assert reason_of(tmp_path / "broken.png") == "broken link"
    os.mkfifo(tmp_path / "a.jpg")  # is not waited for
    assert reason_of(tmp_path / "a.jpg") == "not an image"


def test_bounds_of_the_size_are_inclusive(tmp_path, halves, monkeypatch):
    halves.save(tmp_path / "a.png")
    for limit, reason in ((1200, ""), (1199, LARGE)):
        monkeypatch.setattr(image_folder, "PIXEL_LIMIT", limit)
        assert reason_of(tmp_path / "a.png") == reason
    for side, reason in ((15, "smaller than 16 px"), (16, "")):
        Image.new("RGB", (side, 40), RED).save(tmp_path / "b.png")
        assert reason_of(tmp_path / "b.png") == reason


def chunk(kind, body):
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


@pytest.mark.parametrize("side", [8_000, 10_000, 60_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_by_their_header(tmp_path, side):
    # 64 Mpx is over our limit only, 100 Mpx makes Pillow warn, 3.6 Gpx is
    # Pillow's error. Decoding any would find the body missing: "truncated".
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))
    content = b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content)
    assert reason_of(tmp_path / "a.png") == LARGE


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        (b"zTXt", b"Comment\0\0"),
        (b"iTXt", b"Comment\0\1\0\0\0"),
        (b"iCCP", b"profile\0\0"),
    ],
)
def test_much_text_in_a_png_is_told_apart_from_damage(
    tmp_path, halves, kind, head
):
    halves.save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    text = chunk(kind, head + zlib.compress(b"x" * 2_000_000))
    (tmp_path / "a.png").write_bytes(content[:33] + text + content[33:])
    assert reason_of(tmp_path / "a.png") == "too much text inside"


def test_what_the_system_refuses(tmp_path, halves, monkeypatch):
    halves.save(tmp_path / "a.png")

    def refuse(*args):
        raise error

    error = PermissionError(13, "Permission denied")
    monkeypatch.setattr(image_folder.Path, "open", refuse)
    assert reason_of(tmp_path / "a.png") == "cannot be opened"
    error = MemoryError()  # is no fault of the file
    with pytest.raises(MemoryError):
        read_image(tmp_path / "a.png", 8)


# --- names and hashes -----------------------------------------------------


def test_phash_finds_a_recompressed_copy(tmp_path):
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (6, 6, 3), np.uint8)
    image = Image.fromarray(small).resize((120, 120), 3)
    image.save(tmp_path / "a.png")
    image.resize((80, 80)).save(tmp_path / "b.jpg", quality=60)
    noise().save(tmp_path / "c.png")
    a, b, c = (
        read_image(tmp_path / name, 32)[1]["phash"]
        for name in ("a.png", "b.jpg", "c.png")
    )
    assert np.bitwise_count(a ^ b) <= 4
    assert np.bitwise_count(a ^ c) > 12


def test_readable_name():
    raw = b"cr\xe8me.png".decode("utf-8", "surrogateescape")
    assert readable_name(raw) == "cr\\xe8me.png"
    for name in ("crème brûlée.png", r"a\xe8b.png"):
        assert readable_name(name) == name

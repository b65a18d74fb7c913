"""Every format reads right; every kind of bad file gives its reason."""

import hashlib
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from helpers.data import image_file
from helpers.data.image_file import read_image, readable_name

RED, BLUE = (200, 30, 40), (30, 60, 210)


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
    image, known = read_image(path, None)
    assert known["reason"] == "" and image.dtype == np.uint8
    return image


def reason_of(path, **options):
    image, known = read_image(path, 32, **options)
    assert (image is None) == bool(known["reason"])
    assert not known["reason"] or known["reason"] in image_file.REASONS
    return known["reason"]


def assert_halves(path, tolerance=12):
    image = pixels_of(path).astype(int)
    assert image.shape == (30, 40, 3)
    assert np.abs(image[15, 5] - RED).max() <= tolerance
    assert np.abs(image[15, 35] - BLUE).max() <= tolerance


# --- what is read ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.jpg", "JPEG"),
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
    _, known = read_image(path, None)
    assert (known["width"], known["height"]) == (40, 30)
    assert known["format"] == kind
    assert known["mistyped"] == name.startswith("mistyped")
    assert known["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert isinstance(known["phash"], np.uint64)


def test_resize_stretches(tmp_path, halves):
    halves.save(tmp_path / "a.png")
    image, known = read_image(tmp_path / "a.png", 24)
    assert image.shape == (24, 24, 3)
    assert (known["width"], known["height"]) == (40, 30)
    assert np.array_equal(image[3, 2], RED)
    assert np.array_equal(image[20, 22], BLUE)


def test_first_frame_of_an_animation(tmp_path, halves):
    other = Image.new("RGB", halves.size, (0, 255, 0))
    halves.save(
        tmp_path / "a.gif", save_all=True, append_images=[other], duration=50
    )
    assert_halves(tmp_path / "a.gif")


RAMP = np.tile(np.arange(20, dtype=np.uint8) * 12, (20, 1))
DEEP = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (RAMP, RAMP),
        (np.eye(20, dtype=bool), np.eye(20, dtype=np.uint8) * 255),
        # Sixteen bits are scaled, not clipped.
        (DEEP, np.rint(DEEP / 257).astype(np.uint8)),
    ],
    ids=["grey", "one bit", "sixteen bits"],
)
def test_grey(tmp_path, stored, shown):
    Image.fromarray(stored).save(tmp_path / "a.png")
    image = pixels_of(tmp_path / "a.png")
    assert np.array_equal(image, np.repeat(shown[..., None], 3, axis=2))


def test_palette_and_its_transparent_colour(tmp_path, halves):
    indexed = halves.quantize(4)
    indexed.save(tmp_path / "a.png")
    assert_halves(tmp_path / "a.png")
    clear = indexed.getpixel((35, 15))
    indexed.save(tmp_path / "b.png", transparency=clear)
    assert read_image(tmp_path / "b.png", None)[1]["mode"] == "P"
    image = pixels_of(tmp_path / "b.png")
    assert image[15, 35].tolist() == [255, 255, 255]
    assert np.abs(image[15, 5].astype(int) - RED).max() <= 12


@pytest.mark.parametrize(
    ("mode", "upper", "lower", "shown"),
    [
        # 0.2 · 200 + 0.8 · 255 = 244 and 0.8 · 255 = 204
        ("RGBA", (200, 0, 0, 255), (200, 0, 0, 51), (244, 204, 204)),
        ("LA", (100, 255), (100, 0), (255, 255, 255)),
    ],
)
def test_alpha_lies_on_white(tmp_path, mode, upper, lower, shown):
    pixels = np.full((20, 20, len(mode)), upper, np.uint8)
    pixels[10:] = lower
    Image.fromarray(pixels, mode).save(tmp_path / "a.png")
    image = pixels_of(tmp_path / "a.png")
    assert image[5, 5].tolist() == list((upper[:-1] * 3)[:3])
    assert image[15, 5].tolist() == list(shown)


def test_cmyk_jpeg(tmp_path):
    # CMYK of pure red: no cyan, full magenta and yellow.
    Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red, green, blue = pixels_of(tmp_path / "a.jpg")[10, 10].tolist()
    assert red > 220 and green < 60 and blue < 60


# --- the camera's notes ---------------------------------------------------

UNDONE_BY = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.mark.parametrize("orientation", UNDONE_BY)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_exif_rotation(tmp_path, halves, orientation, monkeypatch):
    """Undone by the orientation alone: no other note is ever rewritten."""
    how = UNDONE_BY[orientation]
    stored = halves if how is None else halves.transpose(how)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x9286] = "no comment"
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)

    def refuse(*args, **kwargs):
        raise struct.error("'H' format requires 0 <= number <= 65535")

    monkeypatch.setattr(Image.Exif, "tobytes", refuse)
    assert_halves(tmp_path / "a.jpg", tolerance=25)
    _, known = read_image(tmp_path / "a.jpg", None)
    assert (known["width"], known["height"]) == (40, 30)


@pytest.mark.parametrize("value", [0, 9, "6", (6, 1)])
def test_an_orientation_that_means_nothing(tmp_path, halves, value):
    halves.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        image.getexif()[0x0112] = value
        assert image_file._upright(image) is image


def test_damaged_exif_does_not_cost_the_image(tmp_path, halves):
    halves.save(tmp_path / "a.jpg", exif=b"Exif\0\0not a tiff header")
    assert_halves(tmp_path / "a.jpg")


# --- what is left out -----------------------------------------------------


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp", ".webp", ".gif"])
def test_half_a_file_is_never_used(tmp_path, ending):
    whole, half = tmp_path / f"whole{ending}", tmp_path / f"half{ending}"
    noise().save(whole)
    content = whole.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    if ending == ".jpg":
        # Why a loader has to decode: verify() has nothing against it.
        with Image.open(half) as image:
            image.verify()
    assert reason_of(whole) == ""
    if ending in (".webp", ".gif"):
        assert reason_of(half) in ("truncated", "unreadable")
    else:
        assert reason_of(half) == "truncated"
        assert read_image(half, 32)[1]["width"] == 64


def test_a_damaged_body_is_unreadable(tmp_path):
    noise().save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[60:90] = b"\xff" * 30
    (tmp_path / "a.png").write_bytes(content)
    assert reason_of(tmp_path / "a.png") == "unreadable"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.jpg", b"", "zero-byte"),
        ("a.jpg", b"<html>404</html>", "unreadable"),
        ("._x.jpg", b"x", "hidden"),
        (".DS_Store", b"x", "hidden"),
        (".a.png", b"x", "hidden"),
        ("a.txt", b"x", "not an image"),
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


def test_bounds_of_the_size_are_inclusive(tmp_path, halves):
    halves.save(tmp_path / "a.png")
    assert reason_of(tmp_path / "a.png", pixel_limit=1200) == ""
    large = reason_of(tmp_path / "a.png", pixel_limit=1199)
    assert large == "larger than the pixel limit"
    for side, reason in ((15, "smaller than 16 px"), (16, "")):
        Image.new("RGB", (side, 40), RED).save(tmp_path / "b.png")
        assert reason_of(tmp_path / "b.png") == reason


def chunk(kind, body):
    crc = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + crc


@pytest.mark.parametrize("side", [8_000, 10_000, 60_000])
@pytest.mark.filterwarnings("error")
def test_bombs_are_refused_by_their_header(tmp_path, side, recwarn):
    # 64 Mpx is over our limit only, 100 Mpx makes Pillow warn, 3.6 Gpx is
    # Pillow's error. Decoding any would find the body missing: "truncated".
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))
    content = b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content)
    assert reason_of(tmp_path / "a.png") == "larger than the pixel limit"
    assert not recwarn.list


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


def test_a_file_that_the_system_refuses(tmp_path, halves, monkeypatch):
    halves.save(tmp_path / "a.png")

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(image_file.Path, "open", refuse)
    assert reason_of(tmp_path / "a.png") == "cannot be opened"


def test_memory_that_is_short_is_no_fault_of_the_file(
    tmp_path, halves, monkeypatch
):
    halves.save(tmp_path / "a.png")

    def refuse(image):
        raise MemoryError

    monkeypatch.setattr(image_file, "_rgb", refuse)
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

"""Every format reads right; every kind of bad file gives its reason."""

import hashlib
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from helpers.data import image_file as pictures
from helpers.data.image_file import read_picture

RED, BLUE = (200, 30, 40), (30, 60, 210)


@pytest.fixture
def halves():
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", (40, 30), RED)
    image.paste(BLUE, (20, 0, 40, 30))
    return image


def noise(side=64):
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))


def assert_halves(picture, tolerance=12):
    assert picture.reason is None
    image = picture.image.astype(int)
    assert image.dtype == int and picture.image.dtype == np.uint8
    assert image.shape == (30, 40, 3)
    assert np.abs(image[15, 5] - RED).max() <= tolerance
    assert np.abs(image[15, 35] - BLUE).max() <= tolerance


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.jpg", "JPEG"),
        ("a.JPeG", "JPEG"),
        ("a.jfif", "JPEG"),
        ("a.PNG", "PNG"),
        ("a.webp", "WEBP"),
        ("a.bmp", "BMP"),
        ("a.gif", "GIF"),
    ],
)
def test_formats(tmp_path, halves, name, format):
    halves.save(tmp_path / name, format)
    picture = read_picture(tmp_path / name, None)
    assert_halves(picture)
    assert (picture.width, picture.height) == (40, 30)
    assert picture.format == format
    assert not picture.mistyped
    content = (tmp_path / name).read_bytes()
    assert picture.sha256 == hashlib.sha256(content).hexdigest()
    assert isinstance(picture.phash, np.uint64)


def test_resize_stretches(tmp_path, halves):
    halves.save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", 24)
    assert picture.image.shape == (24, 24, 3)
    assert (picture.width, picture.height) == (40, 30)
    assert np.array_equal(picture.image[3, 2], RED)
    assert np.array_equal(picture.image[20, 22], BLUE)


def test_first_frame_of_an_animation(tmp_path, halves):
    other = Image.new("RGB", halves.size, (0, 255, 0))
    halves.save(
        tmp_path / "a.gif", save_all=True, append_images=[other], duration=50
    )
    assert_halves(read_picture(tmp_path / "a.gif", None))


def test_grey(tmp_path):
    ramp = np.tile(np.arange(40, dtype=np.uint8) * 6, (20, 1))
    Image.fromarray(ramp).save(tmp_path / "a.png")
    image = read_picture(tmp_path / "a.png", None).image
    assert np.array_equal(image, np.repeat(ramp[..., None], 3, axis=2))


def test_one_bit(tmp_path):
    Image.fromarray(np.eye(20, dtype=bool)).save(tmp_path / "a.png")
    image = read_picture(tmp_path / "a.png", None).image
    assert np.array_equal(image[..., 0], np.eye(20, dtype=np.uint8) * 255)


def test_palette(tmp_path, halves):
    halves.quantize(4).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", None)
    assert picture.mode == "P"
    assert_halves(picture)


def test_transparent_palette_lies_on_white(tmp_path, halves):
    indexed = halves.quantize(4)
    clear = indexed.getpixel((35, 15))
    indexed.save(tmp_path / "a.png", transparency=clear)
    picture = read_picture(tmp_path / "a.png", None)
    assert picture.mode == "P"
    assert picture.image[15, 35].tolist() == [255, 255, 255]
    assert np.abs(picture.image[15, 5].astype(int) - RED).max() <= 12


def test_alpha_lies_on_white(tmp_path):
    pixels = np.zeros((20, 20, 4), np.uint8)
    pixels[:10] = (200, 0, 0, 255)
    pixels[10:] = (200, 0, 0, 51)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = read_picture(tmp_path / "a.png", None).image
    assert image[5, 5].tolist() == [200, 0, 0]
    # 0.2 · 200 + 0.8 · 255 = 244 and 0.8 · 255 = 204
    assert image[15, 5].tolist() == [244, 204, 204]


def test_grey_with_alpha(tmp_path):
    pixels = np.full((20, 20, 2), (100, 255), np.uint8)
    pixels[10:, :, 1] = 0
    Image.fromarray(pixels, "LA").save(tmp_path / "a.png")
    image = read_picture(tmp_path / "a.png", None).image
    assert image[5, 5].tolist() == [100] * 3
    assert image[15, 5].tolist() == [255] * 3


def test_cmyk_jpeg(tmp_path):
    # CMYK of pure red: no cyan, full magenta and yellow.
    Image.new("CMYK", (20, 20), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    picture = read_picture(tmp_path / "a.jpg", None)
    assert picture.mode == "CMYK"
    red, green, blue = picture.image[10, 10].tolist()
    assert red > 220 and green < 60 and blue < 60


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    deep = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)
    Image.fromarray(deep).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png", None)
    assert picture.mode.startswith("I;16")
    expected = np.rint(deep / 257).astype(np.uint8)
    assert np.array_equal(picture.image[..., 0], expected)
    assert len(np.unique(picture.image)) > 200


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, halves, orientation):
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = halves if undo is None else halves.transpose(undo)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)
    picture = read_picture(tmp_path / "a.jpg", None)
    assert_halves(picture, tolerance=25)
    assert (picture.width, picture.height) == (40, 30)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_exif_that_cannot_be_rewritten(tmp_path, halves, monkeypatch):
    """The image is turned by its orientation; the other notes do not count."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x9286] = "no comment"
    stored = halves.transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95)

    def refuse(*args, **kwargs):
        raise struct.error("'H' format requires 0 <= number <= 65535")

    monkeypatch.setattr(Image.Exif, "tobytes", refuse)
    assert_halves(read_picture(tmp_path / "a.jpg", None))


@pytest.mark.parametrize("value", [0, 9, "6", (6, 1)])
def test_an_orientation_that_means_nothing(tmp_path, halves, value):
    halves.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        image.getexif()[0x0112] = value
        assert pictures._upright(image) is image


def test_damaged_exif_does_not_cost_the_picture(tmp_path, halves):
    halves.save(tmp_path / "a.jpg", exif=b"Exif\0\0not a tiff header")
    assert_halves(read_picture(tmp_path / "a.jpg", None))


def test_png_named_jpg_is_used_and_flagged(tmp_path, halves):
    halves.save(tmp_path / "a.jpg", "PNG")
    picture = read_picture(tmp_path / "a.jpg", None)
    assert_halves(picture)
    assert picture.mistyped
    assert picture.format == "PNG"


def test_text_named_jpg_is_unreadable(tmp_path):
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    picture = read_picture(tmp_path / "a.jpg", 32)
    assert picture.reason == "unreadable"
    assert picture.image is None


@pytest.mark.parametrize("ending", [".jpg", ".png", ".bmp"])
def test_truncated(tmp_path, ending):
    whole, cut = tmp_path / f"whole{ending}", tmp_path / f"cut{ending}"
    noise().save(whole)
    content = whole.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    if ending == ".jpg":
        # Why a loader has to decode: verify() has nothing against it.
        with Image.open(cut) as image:
            image.verify()
    picture = read_picture(cut, 32)
    assert picture.reason == "truncated"
    assert (picture.width, picture.height) == (64, 64)
    assert read_picture(whole, 32).reason is None


@pytest.mark.parametrize("ending", [".webp", ".gif"])
def test_half_a_file_is_never_used(tmp_path, ending):
    noise().save(tmp_path / f"a{ending}")
    content = (tmp_path / f"a{ending}").read_bytes()
    (tmp_path / f"a{ending}").write_bytes(content[: len(content) // 2])
    picture = read_picture(tmp_path / f"a{ending}", 32)
    assert picture.reason in {"truncated", "unreadable"}


def test_a_damaged_body_is_unreadable(tmp_path):
    noise().save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[60:90] = b"\xff" * 30
    (tmp_path / "a.png").write_bytes(content)
    assert read_picture(tmp_path / "a.png", 32).reason == "unreadable"


def test_zero_byte(tmp_path):
    (tmp_path / "a.jpg").touch()
    assert read_picture(tmp_path / "a.jpg", 32).reason == "zero-byte"


@pytest.mark.parametrize(
    ("size", "reason"),
    [((15, 40), "smaller than 16 px"), ((16, 16), None)],
)
def test_smallest_side(tmp_path, size, reason):
    Image.new("RGB", size, RED).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png", 32).reason == reason


def test_pixel_limit_is_inclusive(tmp_path, halves):
    halves.save(tmp_path / "a.png")
    read = read_picture(tmp_path / "a.png", None, pixel_limit=1200)
    assert_halves(read)
    refused = read_picture(tmp_path / "a.png", None, pixel_limit=1199)
    assert refused.reason == "larger than the pixel limit"
    assert refused.image is None
    assert (refused.width, refused.height) == (40, 30)


def claim(path, side):
    """Write a PNG whose header claims a size that its body does not hold."""

    def chunk(kind, body):
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b""))


@pytest.mark.parametrize("side", [8_000, 10_000, 60_000])
@pytest.mark.filterwarnings("error")
def test_bombs_are_refused_by_their_header(tmp_path, side):
    # 64 Mpx is over our limit only, 100 Mpx makes Pillow warn, 3.6 Gpx is
    # Pillow's error. Decoding any would find the body missing: "truncated".
    claim(tmp_path / "a.png", side)
    picture = read_picture(tmp_path / "a.png", 32)
    assert picture.reason == "larger than the pixel limit"


def test_a_bomb_leaves_no_warning(tmp_path, recwarn):
    claim(tmp_path / "a.png", 10_000)
    read_picture(tmp_path / "a.png", 32)
    assert not recwarn.list


@pytest.mark.parametrize("name", ["._x.jpg", ".DS_Store", ".a.png"])
def test_hidden(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    assert read_picture(tmp_path / name, 32).reason == "hidden"


@pytest.mark.parametrize("name", ["a.txt", "Thumbs.db", "README", "a.tiff"])
def test_not_an_image(tmp_path, name):
    (tmp_path / name).write_bytes(b"x")
    assert read_picture(tmp_path / name, 32).reason == "not an image"


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    assert read_picture(tmp_path / "a.jpg", 32).reason == "not an image"


def test_links(tmp_path, halves):
    halves.save(tmp_path / "a.png")
    (tmp_path / "sound.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")
    assert_halves(read_picture(tmp_path / "sound.png", None))
    assert read_picture(tmp_path / "broken.png", 32).reason == "broken link"


def test_phash_finds_a_recompressed_copy(tmp_path):
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (6, 6, 3), np.uint8)
    image = Image.fromarray(small).resize((120, 120), 3)
    image.save(tmp_path / "a.png")
    image.resize((80, 80)).save(tmp_path / "b.jpg", quality=60)
    noise().save(tmp_path / "c.png")
    a, b, c = (
        read_picture(tmp_path / name, 32).phash
        for name in ("a.png", "b.jpg", "c.png")
    )
    assert np.bitwise_count(a ^ b) <= 4
    assert np.bitwise_count(a ^ c) > 12


@pytest.mark.parametrize("kind", ["zTXt", "iTXt", "iCCP"])
def test_much_text_in_a_png_is_told_apart_from_damage(tmp_path, halves, kind):
    long = zlib.compress(b"x" * 2_000_000)
    inside = {
        "zTXt": b"Comment\0\0" + long,
        "iTXt": b"Comment\0\1\0\0\0" + long,
        "iCCP": b"profile\0\0" + long,
    }[kind]
    chunk = kind.encode() + inside
    packed = struct.pack(">I", len(inside)) + chunk
    packed += struct.pack(">I", zlib.crc32(chunk))
    halves.save(tmp_path / "a.png")
    content = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(content[:33] + packed + content[33:])
    assert read_picture(tmp_path / "a.png", 8).reason == "too much text inside"


def test_a_file_that_the_system_refuses(tmp_path, halves, monkeypatch):
    halves.save(tmp_path / "a.png")

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pictures.Path, "open", refuse)
    assert read_picture(tmp_path / "a.png", 8).reason == "cannot be opened"


def test_memory_that_is_short_is_no_fault_of_the_file(
    tmp_path, halves, monkeypatch
):
    halves.save(tmp_path / "a.png")

    def refuse(image):
        raise MemoryError

    monkeypatch.setattr(pictures, "_rgb", refuse)
    with pytest.raises(MemoryError):
        read_picture(tmp_path / "a.png", 8)


def test_readable_name():
    assert pictures.readable_name("crème brûlée.png") == "crème brûlée.png"
    raw = b"cr\xe8me.png".decode("utf-8", "surrogateescape")
    assert pictures.readable_name(raw) == "cr\\xe8me.png"
    assert pictures.readable_name(r"a\xe8b.png") == r"a\xe8b.png"


def test_every_reason_is_listed():
    assert len(set(pictures.REASONS)) == len(pictures.REASONS) == 11

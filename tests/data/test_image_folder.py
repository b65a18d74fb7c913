"""The image-folder loader: layouts, bad files told by name, clear errors."""

import os

import numpy as np
import pandas as pd
import pytest
from image_files import draw, fill
from PIL import Image

from helpers.data import image_folder
from helpers.data.image_folder import load_folder


@pytest.fixture
def flat(tmp_path):
    """Two classes, two copies of each of two sources a class."""
    root = tmp_path / "set"
    for c, name in enumerate(["Cyst", "Papules"]):
        for source in range(2):
            for copy in range(2):
                seed = 100 * c + 10 * source + copy
                draw(root / name / f"s{source}_png.rf.{copy:08x}.png", seed)
    return root


def test_flat_layout(flat):
    ds = load_folder(flat, image_size=20)
    assert ds.name == "set"
    assert ds.class_names == ("Cyst", "Papules") and ds.n_classes == 2
    assert len(ds) == 8
    assert ds.images.shape == (8, 20, 20, 3) and ds.images.dtype == np.uint8
    assert ds.labels.tolist() == [0] * 4 + [1] * 4
    assert ds.labels.dtype == np.int64
    assert ds.counts().tolist() == [4, 4]
    assert ds.published_split is None and ds.facts is None
    assert ds.files[0] == "Cyst/s0_png.rf.00000000.png"
    assert sorted(set(ds.groups)) == [
        "Cyst/s0_png",
        "Cyst/s1_png",
        "Papules/s0_png",
        "Papules/s1_png",
    ]
    for image, file in zip(ds.images, ds.files, strict=True):
        with Image.open(flat / file) as stored:
            assert np.array_equal(image, np.asarray(stored))
    with pytest.raises(ValueError, match="read-only"):
        ds.images[0] = 0


THREE = [
    f"{part}/{name}" for part in ("train", "valid", "test") for name in "ab"
]


@pytest.mark.parametrize(
    ("folders", "counts", "split"),
    [
        (THREE, [6, 6], ["test", "train", "val"]),
        (
            ["Training/a", "Training/b", "VAL/a", "VAL/b", "Test/a", "Test/b"],
            [6, 6],
            ["test", "train", "val"],
        ),
        # A set may lack a class or be absent.
        (["train/a", "train/b", "test/a"], [4, 2], ["test", "train"]),
        # A set with one class, by patient, is no folder around the classes.
        (
            ["train/a/p1", "train/a/p2", "train/b", "test/a/p3", "test/a/p4"],
            [8, 2],
            ["test", "train"],
        ),
        (["bus", "train"], [2, 2], None),
    ],
)
def test_layouts(tmp_path, folders, counts, split):
    ds = load_folder(fill(tmp_path, *folders), image_size=8)
    names = ("a", "b") if split else ("bus", "train")
    assert ds.class_names == names and ds.counts().tolist() == counts
    found = ds.published_split
    if split is None:
        assert found is None
    else:
        assert sorted(set(found)) == split
        first = [file.split("/")[0].lower() for file in ds.files]
        assert found.tolist() == [image_folder.SETS[name] for name in first]


def test_links_and_folders_below_a_class_belong_to_it(flat, tmp_path):
    (flat / "Cyst").rename(tmp_path / "elsewhere")
    (flat / "Cyst").symlink_to(tmp_path / "elsewhere")
    draw(flat / "Cyst" / "batch 2" / "deep" / "x.png", 7)
    ds = load_folder(flat, image_size=8)
    at = ds.files.tolist().index("Cyst/batch 2/deep/x.png")
    assert ds.labels[at] == 0
    assert ds.groups[at] == "Cyst/batch 2/deep/x"


@pytest.fixture
def bad(flat):
    """The sound folder with every kind of bad file beside it."""
    papules = flat / "Papules"
    (flat / "README.txt").write_text("words")
    draw(flat / "stray.png")
    (flat / ".DS_Store").write_bytes(b"x")
    (papules / "._s0.png").write_bytes(b"x")
    draw(papules / ".ipynb_checkpoints" / "s0.png")
    draw(flat / "__MACOSX" / "Papules" / "s0.png")
    (papules / "broken.png").symlink_to(flat / "gone.png")
    (papules / "loop").symlink_to(flat)
    (papules / "notes.txt").write_text("words")
    (papules / "empty.jpg").touch()
    (papules / "text.jpg").write_text("<html>404</html>")
    whole = draw(flat / "whole.jpg", 3, side=64)
    content = whole.read_bytes()
    (papules / "cut.jpg").write_bytes(content[: len(content) // 2])
    whole.rename(papules / "whole.JPG")
    draw(papules / "tiny.png", side=15)
    draw(papules / "is_png.png", 5).rename(papules / "is_png.jpg")
    return flat


def test_left_out_by_name_and_reason(bad, monkeypatch):
    draw(bad / "Cyst" / "large.png", 1, side=70)
    monkeypatch.setattr(image_folder, "PIXEL_LIMIT", 4500)
    ds = load_folder(bad, image_size=8)
    left_out = ds.found[~ds.found["used"]]
    assert dict(zip(left_out["file"], left_out["reason"], strict=True)) == {
        ".DS_Store": "hidden",
        "Papules/._s0.png": "hidden",
        "Papules/.ipynb_checkpoints/s0.png": "hidden",
        "__MACOSX/Papules/s0.png": "hidden",
        "README.txt": "outside a class folder",
        "stray.png": "outside a class folder",
        "Papules/broken.png": "broken link",
        "Papules/loop": "broken link",
        "Papules/notes.txt": "not an image",
        "Papules/empty.jpg": "zero-byte",
        "Papules/text.jpg": "unreadable",
        "Papules/cut.jpg": "truncated",
        "Papules/tiny.png": "smaller than 16 px",
        "Cyst/large.png": "larger than the pixel limit",
    }
    used = ds.found[ds.found["used"]].set_index("file")
    assert (used["reason"] == "").all()
    assert used.index[used["mistyped"]].tolist() == ["Papules/is_png.jpg"]
    assert "Papules/whole.JPG" in used.index
    on_disk = sum(len(names) for _, _, names in os.walk(bad)) + 1  # the loop
    assert len(ds.found) == on_disk and ds.found["file"].is_unique
    assert len(ds) == len(used) == len(ds.images) == on_disk - len(left_out)
    counts = ds.provenance
    assert counts["found"] == on_disk and counts["used"] == len(ds)
    assert counts["used"] + counts["left_out"] == on_disk


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_classes(tmp_path, n):
    (tmp_path / "note.txt").touch()
    for k in range(2 * n):
        draw(tmp_path / "only" / f"{k}.png")
    with pytest.raises(ValueError, match="fewer than two classes"):
        load_folder(tmp_path)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ([], r"images \(no file\); add"),
        (["a.jpg", "b.jpg"], r"images \(1 zero-byte, 1 unreadable\)"),
        (["a.png"], r"images \(1 used\); add"),
        (["a.tif"], r"images \(1 not an image\); add.*convert if it is an"),
    ],
)
def test_a_class_without_enough_images(flat, files, told):
    (flat / "Nodule").mkdir()
    for file in files:
        path = flat / "Nodule" / file
        if path.suffix == ".png":
            draw(path)
        else:
            path.write_text("x" if file == "b.jpg" else "")
    with pytest.raises(ValueError, match=f"'Nodule'.*{told}"):
        load_folder(flat)


def test_nothing_is_written_beside_the_images(flat):
    """So the data may be read-only."""

    def seen():
        places = [flat, *flat.rglob("*")]
        return {path: path.stat().st_ctime_ns for path in places}

    before = seen()
    load_folder(flat, image_size=16)
    assert seen() == before


def test_provenance_and_its_hash_of_names_and_bytes(flat):
    def content():
        return load_folder(flat, image_size=8).provenance["sha256"]

    known = load_folder(flat, "acne5", image_size=8).provenance
    assert str(flat.parent) not in repr(known)
    assert "unverified" in known["licence"] and known["image_size"] == 8
    first = content()
    (flat / "README.txt").write_text("not used, not hashed")
    assert content() == first
    renamed = flat / "Cyst" / "renamed.png"
    original = next((flat / "Cyst").glob("*.png")).rename(renamed)
    assert content() != first
    draw(original, 999)
    assert len({first, content()}) == 2


def rename_to_bytes(path, name):
    """Give a file or folder a name that is not UTF-8, if that is allowed."""
    target = os.path.join(os.fsencode(path.parent), name)
    try:
        os.rename(os.fsencode(path), target)
    except OSError:
        pytest.skip("this file system knows no such names")


def test_names_that_are_not_utf8(flat):
    rename_to_bytes(draw(flat / "Cyst" / "x.png", 7), b"caf\xe9.png")
    inner = draw(flat / "Papules" / "inner" / "x.png", 8).parent
    rename_to_bytes(inner, b"caf\xe9")
    ds = load_folder(flat, image_size=8)
    out = ds.found[~ds.found["used"]].set_index("file")["reason"]
    assert out.to_dict() == {
        r"Cyst/caf\xe9.png": "name not in UTF-8",
        r"Papules/caf\xe9/x.png": "name not in UTF-8",
    }
    assert len(ds) == 8
    assert ds.found.to_csv(index=False).encode("utf-8")
    rename_to_bytes(flat / "Cyst", b"Cyst\xe9")
    with pytest.raises(ValueError, match=r"'Cyst\\xe9'.*UTF-8; rename it"):
        load_folder(flat, image_size=8)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("whiteheads", "whitehead"),
        ("Whiteheads", "whiteheads"),
        ("white_heads", "white heads"),
        ("n\u00e9vus", "ne\u0301vus"),
        ("blackheads", "blakcheads"),
        ("boxes", "box"),
    ],
)
def test_a_class_spelt_in_two_ways(tmp_path, train, test):
    sets = ["train/cyst", f"train/{train}", "test/cyst", f"test/{test}"]
    root = fill(tmp_path, *sets)
    with pytest.raises(ValueError, match="spelt in two ways: '") as raised:
        load_folder(root, image_size=8)
    words = str(raised.value)
    assert f"train/{train}" in words and f"test/{test}" in words
    # An empty folder says that they are two classes.
    if "\u00e9" in train:
        assert r"'ne\u0301vus' and 'n\xe9vus' (two Unicode forms)" in words
    else:
        (root / "test" / train).mkdir()
        assert load_folder(root, image_size=8).n_classes == 3


def test_one_name_in_two_unicode_forms_without_a_split(flat):
    fill(flat, "n\u00e9vus", "ne\u0301vus")
    if len(os.listdir(flat)) < 4:
        pytest.skip("this file system takes the two names for one")
    with pytest.raises(ValueError, match="Unicode forms"):
        load_folder(flat, image_size=8)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (["stage 1", "stage 2"], ["stage 2", "stage 3"]),
        (["cat", "dog"], ["dog", "cow"]),
        (["a", "b"], ["b", "c"]),
        (["papules", "cysts"], ["pustules", "cysts"]),
    ],
)
def test_different_classes_are_no_misspelling(tmp_path, train, test):
    folders = [f"train/{n}" for n in train] + [f"test/{n}" for n in test]
    ds = load_folder(fill(tmp_path, *folders), "x", 8)
    assert ds.class_names == tuple(sorted({*train, *test}))


SEA = ("sea", "street")


@pytest.mark.parametrize(
    ("wrapped", "around"),
    [
        (["train/seg_train", "test/seg_test"], "test/seg_test, train/seg"),
        (["seg_train", "seg_test"], "seg_test, seg_train"),
        (["train", "test/seg_test"], "test/seg_test"),
    ],
)
def test_a_folder_around_the_class_folders(tmp_path, wrapped, around):
    fill(tmp_path, *(f"{w}/{name}" for w in wrapped for name in SEA))
    with pytest.raises(ValueError, match=f"folders {around}.*hold only"):
        load_folder(tmp_path, image_size=8)


def test_a_manifest_adds_facts_of_every_image(flat):
    files = load_folder(flat, image_size=8).files
    table = pd.DataFrame({"file": files, "class": "x", "sha256": "y"})
    table["skin_tone"] = [f"tone {k}" for k in range(len(files))]
    shuffled = table.sample(frac=1, random_state=0)
    shuffled.to_csv(flat / "manifest.csv", index=False)
    ds = load_folder(flat, image_size=8)
    assert list(ds.facts.columns) == ["class", "sha256", "skin_tone"]
    assert ds.labels.tolist() == [0] * 4 + [1] * 4  # by folder, not by "x"
    assert ds.facts["skin_tone"].tolist() == table["skin_tone"].tolist()
    row = ds.found.set_index("file").loc["manifest.csv"]
    assert row["reason"] == "table that was read"
    draw(flat / "Cyst" / "new.png")
    with pytest.raises(ValueError, match="does not list 'Cyst/new.png'"):
        load_folder(flat, image_size=8)

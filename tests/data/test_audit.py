"""The audit's counts against folders whose faults are known."""

import numpy as np
import pytest
from image_files import folder_with
from PIL import Image

from helpers.data import audit, load, load_folder, regroup
from helpers.data.image_folder import REASONS


def blobs(seed):
    """A smooth random picture, unlike those of other seeds."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC)


def save(image, path, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)


@pytest.fixture
def folder(tmp_path):
    """Two classes, three parts, one source of one picture a place."""
    root, seed = tmp_path / "set", 0
    for part in ("train", "valid", "test"):
        for name in ("a", "b"):
            for k in range(2):
                seed += 1
                file = f"{part}{k}_png.rf.{seed:08x}.png"
                save(blobs(seed), root / part / name / file)
    return root


def counts(folder, groups="own"):
    ds = regroup(load_folder(folder, image_size=64), groups)
    table = audit.audit_report(ds)
    assert table["check"].is_unique
    assert (table["meaning"] != "").all()
    return table.set_index("check")["count"].to_dict()


def test_clean_folder(folder):
    table = counts(folder)
    assert table.pop("files found") == table.pop("used") == 12
    assert table.pop("sources") == 12
    assert table.pop("classes with fewer than 10 pictures") == 2
    assert table.pop("classes with fewer than 10 sources") == 2
    assert set(table.values()) == {0}


def test_found_is_used_plus_left_out(folder):
    (folder / "README.txt").write_text("x")
    (folder / "train" / "a" / "._x.png").write_bytes(b"x")
    (folder / "train" / "a" / "x.png").touch()
    (folder / "test" / "b" / "y.jpg").write_text("x")
    (folder / "test" / "b" / "z.jpg").symlink_to("nowhere")
    table = counts(folder)
    left_out = {kind: table[f"left out: {kind}"] for kind in REASONS}
    assert table["files found"] == table["used"] + sum(left_out.values()) == 17
    assert {kind for kind, n in left_out.items() if n == 1} == {
        "outside a class folder",
        "hidden",
        "zero-byte",
        "unreadable",
        "broken link",
    }


def test_exact_duplicates(folder):
    original = next((folder / "train" / "a").iterdir()).read_bytes()
    for place in ("train/a/copy.png", "test/b/copy.png", "test/b/more.png"):
        (folder / place).write_bytes(original)
    table = counts(folder)
    assert table["exact duplicates"] == 3
    assert table["exact duplicates with two classes"] == 1
    assert table["exact duplicates across the published split"] == 1
    # The same to the byte is not "near".
    assert table["near duplicates"] == 0


def test_near_duplicates_within_and_across(folder):
    twin = blobs(1).resize((80, 80))
    save(twin, folder / "train" / "a" / "x.jpg", quality=70)
    table = counts(folder)
    assert table["near duplicates"] == 2
    assert table["near duplicates within a published part"] == 2
    assert table["near duplicates across the published split"] == 0
    assert table["near duplicates in another class"] == 0
    assert table["near duplicates of another source"] == 2
    save(twin, folder / "test" / "b" / "y.webp", quality=70)
    table = counts(folder)
    assert table["near duplicates"] == 3
    assert table["near duplicates across the published split"] == 3
    assert table["near duplicates in another class"] == 3


def test_a_common_border_makes_no_near_duplicate(folder, monkeypatch):
    """The hash alone is fooled by a black frame; the pixels are not."""
    for k, colour in enumerate([(220, 150, 120), (120, 200, 230)]):
        framed = Image.new("RGB", (96, 96))
        framed.paste(colour, (20, 30, 80, 70))
        save(framed, folder / "train" / "a" / f"framed{k}.png")
    ds = load_folder(folder, image_size=64)
    assert len(audit.near_duplicates(ds)) == 0
    monkeypatch.setattr(audit, "MAX_DIFFERENCE", 255)
    by_hash = audit.near_duplicates(ds)
    assert by_hash["first"].tolist() == ["train/a/framed0.png"]


def test_faults_of_the_published_split(folder):
    for place in ("valid/a", "test/a"):
        file = folder / place / "train0_png.rf.0000beef.png"
        save(blobs(len(place) * 7), file)
    save(blobs(50), folder / "test" / "a" / "x.jpg", format="PNG")
    for file in (folder / "valid" / "b").iterdir():
        file.unlink()
    table = counts(folder)
    assert table["used, mis-typed"] == 1
    assert table["classes missing from a published part"] == 1
    assert table["sources"] == 11
    assert table["sources in two or more published parts"] == 1
    assert table["validation images with a sibling in train"] == 1
    assert table["test images with a sibling in train"] == 1


def test_rows_that_do_not_apply_are_not_there(folder):
    (folder / "train").rename(folder.parent / "flat")
    table = counts(folder.parent / "flat", groups=None)
    assert not [row for row in table if "source" in row or "publish" in row]


@pytest.mark.real
def test_public_acne_set():
    data = folder_with("acne5")
    table = audit.audit_report(load("acne5", data, image_size=32))
    table = table.set_index("check")["count"]
    assert table["used"] == 4607
    assert table["sources"] == 221
    assert table["test images with a sibling in train"] == 906
    assert table["files found"] == 4607 + table.filter(like="left out").sum()


def test_without_files_nothing_is_said_of_near_duplicates():
    ds = load("digits")
    table = audit.audit_report(ds).set_index("check")["count"]
    assert table["used"] == table["files found"] == 1797
    assert table["sources"] == 14 and table["exact duplicates"] == 0
    assert not table.index.str.contains("near").any()
    with pytest.raises(ValueError, match="digits has no file for each image"):
        audit.near_duplicates(ds)


def test_thumbnails_are_box_means():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 64, 32, 3), np.uint8)
    small = audit.thumbnails(images, 8)
    assert small.shape == (3, 8, 8, 3) and small.dtype == np.float32
    means = images.reshape(3, 8, 8, 8, 4, 3).mean(axis=(2, 4))
    # Pillow rounds to whole grey levels, once for each direction.
    assert np.abs(small - means).max() <= 1

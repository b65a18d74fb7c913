"""The drawn pictures: their bytes, counts, looks, and their folder."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.data.synthetic import acne as synthetic
from helpers.data.synthetic import skin
from helpers.data.synthetic.acne import CLASS_NAMES, draw_acne, draw_lesion

SCALE = 0.05


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return draw_acne(tmp_path_factory.mktemp("data") / "acne", SCALE)


def read_manifest(folder: Path) -> list[dict]:
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file()
    }


# --- what is drawn --------------------------------------------------------


def test_the_full_plan_has_the_stated_counts():
    plan = synthetic._plan(1.0, seed=0)
    pictures, sources = Counter(), Counter()
    for name, _, copies in plan:
        assert copies >= 1
        pictures[name] += copies
        sources[name] += 1
    assert pictures == synthetic.PICTURES
    assert pictures["Blackheads"] / pictures["Whiteheads"] == 5.6
    assert 950 <= sum(pictures.values()) <= 1050
    assert min(sources.values()) >= 20
    assert sum(sources.values()) >= 300
    copies = {name: pictures[name] / sources[name] for name in CLASS_NAMES}
    assert max(copies, key=copies.get) == "Cyst"
    assert len({n for name, _, n in plan if name == "Cyst"}) > 3


def test_a_small_set_is_whole_and_keeps_five_sources_a_class(folder):
    rows = read_manifest(folder)
    assert tuple(rows[0]) == synthetic.COLUMNS
    for name in CLASS_NAMES:
        sources = {r["source"] for r in rows if r["class"] == name}
        assert len(sources) >= 5
    counts = Counter(r["class"] for r in rows)
    stated = json.loads((folder / "manifest.json").read_text())["counts"]
    assert counts == {name: stated[name]["pictures"] for name in stated}


def test_the_manifest_tells_the_truth(folder):
    rows = read_manifest(folder)
    on_disk = {p.relative_to(folder).as_posix() for p in folder.glob("*/*")}
    assert on_disk == {r["file"] for r in rows}
    for row in rows:
        path = folder / row["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
        # Roboflow's rule: the part before ".rf." names the source.
        stem = path.name.split(".rf.")[0]
        assert row["source"] == f"{path.parent.name}/{stem}"
        assert row["class"] == path.parent.name
        assert row["skin_tone"] in ("I-II", "III-IV", "V-VI")
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert image.size == (150, 150)
    for source in {r["source"] for r in rows}:
        family = [r for r in rows if r["source"] == source]
        copies = [int(r["copy"]) for r in family]
        assert copies == list(range(len(family)))
        assert len({(r["skin_tone"], r["light"]) for r in family}) == 1
    assert len({r["sha256"] for r in rows}) == len(rows)


def test_two_draws_agree_to_the_byte_and_seeds_differ(folder, tmp_path):
    again = draw_acne(tmp_path / "again", SCALE)
    assert contents(again) == contents(folder)
    draw_acne(again, SCALE, seed=1)
    ours, other = read_manifest(folder), read_manifest(again)
    assert {r["sha256"] for r in ours}.isdisjoint(r["sha256"] for r in other)
    on_disk = {p.relative_to(again).as_posix() for p in again.glob("*/*")}
    assert on_disk == {r["file"] for r in other}


def test_the_small_set_shows_scenes_of_the_larger(folder, tmp_path):
    larger = draw_acne(tmp_path / "larger", 0.06)
    originals = {
        r["sha256"] for r in read_manifest(folder) if r["copy"] == "0"
    }
    assert originals <= {r["sha256"] for r in read_manifest(larger)}


def test_copies_of_a_source_are_alike(folder):
    rows = read_manifest(folder)
    pictures = np.stack(
        [np.asarray(Image.open(folder / r["file"]), float) for r in rows]
    )
    looks = np.concatenate((pictures.mean((1, 2)), pictures.std((1, 2))), 1)
    gaps = np.linalg.norm(looks[:, None] - looks[None], axis=-1)
    source = np.array([r["source"] for r in rows])
    kind = np.array([r["class"] for r in rows])
    kin = source[:, None] == source[None]
    within = gaps[kin & ~np.eye(len(rows), dtype=bool)]
    between = gaps[(kind[:, None] == kind[None]) & ~kin]
    assert within.min() > 0
    assert np.median(within) < 0.5 * np.median(between)


# --- what it looks like ---------------------------------------------------

FRONTAL = skin.Light("neutral", 0, 20, 0.6, 1.0, 0.0, 0.0)


def change(class_name: str, seed: int, tone: float = 0.3):
    """How lesions change the picture, where they do, and the skin."""
    rng = np.random.default_rng(seed)
    patch = skin.healthy_skin(rng, tone)
    before = np.asarray(skin.render(patch, FRONTAL), float)
    skin.lesions(patch, rng, class_name)
    after = np.asarray(skin.render(patch, FRONTAL), float)
    difference = after - before
    return difference, np.abs(difference).sum(-1) > 30, patch


def mean_change(class_name: str) -> np.ndarray:
    parts = [change(class_name, seed) for seed in range(8)]
    return np.concatenate([d[where] for d, where, _ in parts]).mean(0)


def test_plugs_darken_and_closed_pores_lighten():
    assert (mean_change("Blackheads") < -15).all()
    assert mean_change("Whiteheads").mean() > 3


@pytest.mark.parametrize("class_name", ["Cyst", "Papules", "Pustules"])
def test_inflamed_lesions_redden(class_name):
    # Blood takes green and blue away and leaves the red.
    red, green, blue = mean_change(class_name)
    assert red - green > 10
    assert red - blue > 5


def test_a_cyst_is_larger_than_a_papule_and_only_pustules_hold_pus():
    area, pus = {}, {}
    for name in CLASS_NAMES:
        parts = [change(name, seed) for seed in range(8)]
        area[name] = np.mean([where.mean() for _, where, _ in parts])
        pus[name] = min(p.pus.max() for *_, p in parts)
        if name != "Pustules":
            assert max(p.pus.max() for *_, p in parts) == 0
    assert pus["Pustules"] > 0.05
    assert area["Cyst"] > 1.5 * area["Papules"]


def test_a_lesion_for_teaching():
    picture = draw_lesion("Pustules", seed=3, tone=0.5)
    assert picture.shape == (150, 150, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, draw_lesion("Pustules", 3, 0.5))
    assert not np.array_equal(picture, draw_lesion("Pustules", 4, 0.5))
    light, dark = (draw_lesion("Cyst", 3, tone).mean() for tone in (0, 1))
    assert dark < 0.6 * light
    with pytest.raises(ValueError, match="Pimple"):
        draw_lesion("Pimple")
    with pytest.raises(ValueError, match="tone=2"):
        draw_lesion("Cyst", tone=2)


# --- the folder -----------------------------------------------------------


def test_a_whole_folder_is_kept_and_a_stale_one_redrawn(folder):
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*")}
    assert draw_acne(folder, SCALE) == folder
    assert {p: p.stat().st_mtime_ns for p in folder.rglob("*")} == before
    whole = contents(folder)
    for damage in ("file gone", "older generator"):
        if damage == "file gone":
            next(folder.glob("Cyst/*")).unlink()
        else:
            manifest = json.loads((folder / "manifest.json").read_text())
            manifest["key"] = "of an older generator"
            (folder / "manifest.json").write_text(json.dumps(manifest))
        draw_acne(folder, SCALE)
        assert contents(folder) == whole, damage
    assert os.listdir(folder.parent) == [folder.name]


@pytest.mark.parametrize("stranger", ["notes.txt", "Cyst/mine.jpg"])
def test_a_foreign_folder_is_left_alone(tmp_path, stranger):
    mine = tmp_path / "acne" / stranger
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    with pytest.raises(FileExistsError, match="not drawn here"):
        draw_acne(tmp_path / "acne", SCALE)
    assert mine.read_text() == "precious"
    assert os.listdir(tmp_path) == ["acne"]


def test_a_file_added_to_our_folder_is_not_deleted(tmp_path, folder):
    folder = shutil.copytree(folder, tmp_path / "acne")
    (folder / "Cyst" / "mine.jpg").write_text("precious")
    assert draw_acne(folder, SCALE) == folder
    with pytest.raises(FileExistsError, match=r"Cyst/mine\.jpg"):
        draw_acne(folder, SCALE, seed=1)
    assert (folder / "Cyst" / "mine.jpg").read_text() == "precious"


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "acne").write_text("precious")
    with pytest.raises(FileExistsError, match="is a file"):
        draw_acne(tmp_path / "acne", SCALE)


def test_an_error_while_drawing_leaves_nothing(tmp_path, monkeypatch):
    draw = synthetic._draw_source

    def fail(folder, seed, class_name, *job):
        if class_name == "Whiteheads":
            raise OSError("disk full")
        return draw(folder, seed, class_name, *job)

    monkeypatch.setattr(synthetic, "_draw_source", fail)
    with pytest.raises(OSError, match="disk full"):
        draw_acne(tmp_path / "acne", SCALE)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("scale", [0, -1, 1.5, float("nan")])
def test_a_wrong_scale_is_refused(tmp_path, scale):
    with pytest.raises(ValueError, match="scale="):
        draw_acne(tmp_path / "acne", scale)
    with pytest.raises(ValueError, match="seed=-1"):
        draw_acne(tmp_path / "acne", SCALE, seed=-1)


def start(folder: Path, scale: float) -> subprocess.Popen:
    code = (
        "import sys; from helpers.data.synthetic.acne import draw_acne; "
        "draw_acne(sys.argv[1], float(sys.argv[2]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(scale)],
        stderr=subprocess.PIPE,
    )


def test_two_processes_at_once(tmp_path, folder):
    target = tmp_path / "acne"
    both = [start(target, SCALE) for _ in range(2)]
    for process in both:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint.decode()
    assert contents(target) == contents(folder)
    assert os.listdir(tmp_path) == ["acne"]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_draw_leaves_nothing_that_looks_whole(tmp_path):
    target = tmp_path / "acne"
    process = start(target, 1.0)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.jpg")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not target.exists()
    assert not list(tmp_path.rglob("manifest.*"))
    assert len(read_manifest(draw_acne(target, SCALE))) > 25

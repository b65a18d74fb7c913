"""The acne images: their bytes, counts, looks, and their folder."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.spatial.distance import pdist, squareform

from helpers.data.synthetic import acne, skin
from helpers.data.synthetic.acne import CLASS_NAMES, draw_acne

SCALE = 0.05


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return draw_acne(tmp_path_factory.mktemp("data") / "acne", SCALE)


def manifest(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "manifest.csv")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file()
    }


def test_the_full_plan_has_the_stated_counts():
    columns = ["class", "source", "copies"]
    plan = pd.DataFrame(acne._plan(1.0), columns=columns)
    of_class = plan.groupby("class")["copies"]
    assert plan["copies"].min() >= 1
    assert of_class.sum().to_dict() == acne.IMAGES
    assert of_class.count().to_dict() == acne.SOURCES
    assert acne.IMAGES["Blackheads"] / acne.IMAGES["Whiteheads"] == 5.6
    assert of_class.mean().idxmax() == "Cyst"


def test_the_manifest_tells_the_truth(folder):
    rows = manifest(folder)
    assert list(rows) == [
        *("file", "class", "source", "skin_tone", "light", "copy", "sha256")
    ]
    assert set(contents(folder)) == {"manifest.csv", *rows["file"]}
    for row in rows.to_dict("records"):
        path = folder / row["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row["sha256"]
        # Roboflow's rule: the part before ".rf." names the source.
        stem = path.name.split(".rf.")[0]
        assert row["source"] == f"{path.parent.name}/{stem}"
        assert row["class"] == path.parent.name
        with Image.open(path) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB")
            assert image.size == (150, 150)
    assert set(rows["skin_tone"]) <= {"I-II", "III-IV", "V-VI"}
    assert rows["sha256"].is_unique
    family = rows.groupby("source")
    assert (rows["copy"] == family.cumcount()).all()
    assert (family[["skin_tone", "light"]].nunique() == 1).all(axis=None)
    # A small set keeps five sources of each class.
    sources = rows.groupby("class")["source"].nunique()
    assert set(sources.index) == set(CLASS_NAMES) and sources.min() >= 5


def test_the_small_set_shows_scenes_of_the_larger(folder, tmp_path):
    larger = manifest(draw_acne(tmp_path, 0.06))
    originals = manifest(folder).query("copy == 0")
    assert set(originals["sha256"]) <= set(larger["sha256"])


def test_copies_of_a_source_are_alike(folder):
    rows = manifest(folder)
    images = [np.asarray(Image.open(folder / f), float) for f in rows["file"]]
    looks = np.stack([[*x.mean((0, 1)), *x.std((0, 1))] for x in images])
    gaps = squareform(pdist(looks))
    source, kind = (rows[key].to_numpy(str) for key in ("source", "class"))
    kin = source[:, None] == source
    within = gaps[np.triu(kin, 1)]
    between = gaps[(kind[:, None] == kind) & ~kin]
    assert within.min() > 0
    assert np.median(within) < 0.5 * np.median(between)


def changes(class_name: str) -> list:
    """How lesions change an image, where they do, and the skin, 8 times."""
    frontal = skin.Light("neutral", 0, 20, 0.6, 1.0, 0.0, 0.0)
    made = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        patch = skin.healthy_skin(rng, 0.3)
        before = np.asarray(skin.render(patch, frontal), float)
        skin.lesions(patch, rng, class_name)
        change = np.asarray(skin.render(patch, frontal)) - before
        made.append((change, np.abs(change).sum(-1) > 30, patch))
    return made


def test_lesions_look_as_named():
    mean, area, pus = {}, {}, {}
    for name in CLASS_NAMES:
        made = changes(name)
        mean[name] = np.concatenate([d[w] for d, w, _ in made]).mean(0)
        area[name] = np.mean([where.mean() for _, where, _ in made])
        pus[name] = [patch.pus.max() for *_, patch in made]
    assert (mean["Blackheads"] < -15).all() and mean["Whiteheads"].mean() > 3
    # Blood takes green and blue away and leaves the red.
    for name in ("Cyst", "Papules", "Pustules"):
        red, green, blue = mean[name]
        assert red - green > 10 and red - blue > 5, name
    assert min(pus.pop("Pustules")) > 0.05 and not any(map(any, pus.values()))
    assert area["Cyst"] > 1.5 * area["Papules"]


def versions(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name != ".lock")


def test_a_whole_folder_is_kept(folder, capsys):
    made = (folder / "manifest.csv").stat().st_mtime_ns
    assert draw_acne(folder.parent, SCALE) == folder
    assert (folder / "manifest.csv").stat().st_mtime_ns == made
    assert versions(folder.parent) == [folder.name]
    assert not capsys.readouterr().out


def test_lost_and_altered_files_come_back(folder, capsys):
    whole = contents(folder)
    cyst, another = sorted(folder.glob("Cyst/*"))[:2]
    table = folder / "manifest.csv"
    text = table.read_text("utf-8")
    for number, damage in enumerate(
        (
            lambda: cyst.write_bytes(another.read_bytes()),
            lambda: cyst.write_bytes(cyst.read_bytes()[:-9]),
            cyst.unlink,
            table.unlink,
            lambda: table.write_text(text[: text.index("\n", 999)], "utf-8"),
            lambda: table.write_text(text.replace("Cyst", "Pimple", 1)),
        )
    ):
        damage()
        assert draw_acne(folder.parent, SCALE) == folder
        assert contents(folder) == whole, number
        told = ": files were missing or altered: drawn anew"
        assert told in capsys.readouterr().out
    assert versions(folder.parent) == [folder.name]


def test_an_older_version_stays(tmp_path, monkeypatch):
    first = draw_acne(tmp_path, SCALE)
    monkeypatch.setattr(skin, "__file__", __file__)
    assert draw_acne(tmp_path, SCALE) != first and first.is_dir()


def test_what_cannot_be_drawn_is_refused(tmp_path):
    for scale in (0, -1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="scale="):
            draw_acne(tmp_path, scale)
    (tmp_path / "acne").write_text("a file in the way")
    with pytest.raises(FileExistsError, match="WORKBOOK_CACHE.*acne"):
        draw_acne(tmp_path / "acne", SCALE)


def start(folder: Path, scale: float) -> subprocess.Popen:
    code = (
        "import sys; from helpers.data.synthetic.acne import draw_acne; "
        "draw_acne(sys.argv[1], float(sys.argv[2]))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), str(scale)],
        stderr=subprocess.PIPE,
    )


def test_two_processes_at_once_and_the_same_bytes(tmp_path, folder):
    both = [start(tmp_path, SCALE) for _ in range(2)]
    for process in both:
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 0, complaint.decode()
    assert versions(tmp_path) == [folder.name]
    assert contents(tmp_path / folder.name) == contents(folder)


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_draw_leaves_nothing_that_looks_whole(tmp_path):
    process = start(tmp_path, 1.0)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.jpg")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not list(tmp_path.rglob("manifest.*"))
    drawn = draw_acne(tmp_path, SCALE)
    assert len(manifest(drawn)) > 25 and versions(tmp_path) == [drawn.name]

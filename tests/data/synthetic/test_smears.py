"""Synthetic smears: counts, places, looks, and the cells cut from them."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from helpers.data.segmentation import cut_square, pad, segment
from helpers.data.synthetic import smears
from helpers.data.synthetic.smears import (
    CLASS_NAMES,
    CROP,
    DIAMETER,
    draw_smear,
    draw_smears,
    load_smears,
)
from helpers.evaluation.detection import overlapped

MIXED = {"Codocyte": 4, "Hypochromia": 5, "Normal": 21}


@pytest.fixture(scope="module")
def smear():
    return draw_smear(MIXED, seed=1)


@pytest.fixture(scope="module")
def few():
    return draw_smears(0.05, seed=2)


def test_what_a_smear_holds(smear):
    height, width = smear.image.shape[:2]
    assert smear.image.shape == (height, width, 3)
    assert width / height == pytest.approx(4 / 3, rel=0.01)
    assert Counter(smear.cells["label"]) == MIXED
    assert smear.cells["x"].between(0, width).all()
    assert smear.cells["y"].between(0, height).all()
    radius = smear.cells["radius"].median()
    assert radius == pytest.approx(DIAMETER / 2, rel=0.1)
    assert set(smear.distractors["kind"]) == {"platelet", "cut cell"}
    cut = smear.distractors.query("kind == 'cut cell'")
    inside = cut["x"].between(0, width) & cut["y"].between(0, height)
    assert len(cut) > 2 and not inside.any()


def looked_at(smear):
    """Grey levels, and the distance of each pixel from each cell in radii."""
    y, x = np.mgrid[: smear.image.shape[0], : smear.image.shape[1]]
    away = [
        np.hypot(x - cell.x, y - cell.y) / cell.radius
        for cell in smear.cells.itertuples()
    ]
    return smear.image.mean(axis=-1), away


def radial(label, ratio):
    """Mean darkness of a class at a distance, in radii, over many cells."""
    smear = draw_smear({label: 40}, seed=9, overlap=0, noise=0)
    grey, distances = looked_at(smear)
    rings = [grey[abs(away - ratio) < 0.06].mean() for away in distances]
    return np.median(grey) - np.mean(rings)


def test_the_classes_look_as_named():
    for label in CLASS_NAMES:
        # Half way down, at the radius, lies the rim; beyond it all is light.
        half = radial(label, 0.85) / 2
        assert half > 30 and radial(label, 1) == pytest.approx(half, rel=0.15)
        assert radial(label, 1.15) < 2
    target = {r: radial("Codocyte", r) for r in (0, 0.55, 0.85)}
    assert target[0] > 1.15 * target[0.55] < target[0.85]
    pale = {r: radial("Hypochromia", r) for r in (0, 0.5, 0.9)}
    assert pale[0] < 0.7 * pale[0.9] > pale[0.5]
    normal = {r: radial("Normal", r) for r in (0, 0.5, 0.75)}
    assert 0.4 * normal[0.75] < normal[0] < normal[0.75]
    assert normal[0.5] > 0.85 * normal[0.75]


def test_overlap_is_as_asked():
    shares = [
        overlapped(draw_smear({"Normal": 80}, 1, overlap=o).cells).mean()
        for o in (0, 0.1, 0.4, 0.8)
    ]
    assert shares[0] == 0 and 0.05 < shares[1] < shares[2] < shares[3]
    assert shares[3] > 0.8


def test_two_cells_over_each_other_are_darker():
    smear = draw_smear({"Normal": 60}, seed=1, overlap=0.9, noise=0)
    grey, distances = looked_at(smear)
    layers = sum(away < 0.85 for away in distances)
    bare, one, two = (np.median(grey[layers == k]) for k in (0, 1, 2))
    assert bare - one > 10 and one - two > 8
    # Beer and Lambert: equal ratios, not equal steps.
    assert two / one == pytest.approx(one / bare, rel=0.15)


def test_noise_is_as_asked():
    calm, loud = (draw_smear(MIXED, 1, noise=n).image for n in (0, 12.0))
    difference = loud.astype(float) - calm
    assert difference.std() == pytest.approx(12, rel=0.05)
    assert abs(difference.mean()) < 0.5


@pytest.mark.parametrize(
    ("function", "settings", "message"),
    [
        (draw_smear, {"counts": MIXED, "overlap": 1.5}, "overlap=1.5"),
        (draw_smears, {"noise": -1}, "noise=-1"),
        (draw_smear, {"counts": MIXED, "size": (50, 70)}, "no place is left"),
        (draw_smears, {"scale": 0}, "scale=0"),
        (draw_smears, {"scale": 1.1}, "scale=1.1"),
        (draw_smears, {"seed": -1}, "seed=-1"),
        (load_smears, {"image_size": 7}, "image_size: .* got 7"),
        (load_smears, {"image_size": 32.0}, "image_size: .* got 32.0"),
    ],
)
def test_bad_settings(function, settings, message):
    with pytest.raises(ValueError, match=message):
        function(**settings)


def test_the_full_set_has_the_papers_counts():
    plan = pd.DataFrame(smears._plan(1.0, seed=0))
    assert len(plan) == 22 and plan.min(axis=None) >= 1
    total = {"Codocyte": 345, "Hypochromia": 356, "Normal": 2691}
    assert plan.sum().to_dict() == total
    # Unevenly spread, as patients are.
    assert plan["Codocyte"].max() > 3 * plan["Codocyte"].min()


def test_a_small_set(few):
    assert [s.name for s in few] == [f"smear {k:02d}" for k in range(1, 6)]
    assert len({s.image.shape for s in few}) == 1
    labels = Counter(label for s in few for label in s.cells["label"])
    assert labels["Normal"] == round(0.05 * 2691)
    assert 4 < labels["Normal"] / labels["Codocyte"] < 9
    assert all(set(s.cells["label"]) == set(CLASS_NAMES) for s in few)
    colours = [np.median(s.image, axis=(0, 1)) for s in few]
    assert np.ptp(colours, axis=0).min() > 5
    # It repeats, and follows its seed.
    again, other = (draw_smears(0.05, seed=seed)[0].image for seed in (2, 3))
    assert np.array_equal(few[0].image, again)
    assert not np.array_equal(few[0].image, other)


def test_cells_of_the_set(few):
    ds = load_smears(CROP, 0.05, seed=2)
    assert ds.name == "synthetic_smears" and ds.class_names == CLASS_NAMES
    n = sum(len(s.cells) for s in few)
    assert ds.images.shape == (n, CROP, CROP, 3)
    labels = np.concatenate([s.cells["label"] for s in few])
    assert np.array_equal(np.array(CLASS_NAMES)[ds.labels], labels)
    assert set(ds.groups) == {s.name for s in few}
    assert ds.files[0] == "smear 01/1" and len(set(ds.files)) == n
    assert ds.provenance["group_rule"] == "smear"
    cell = few[0].cells.iloc[7]
    expected = cut_square(few[0].image, cell.x, cell.y, CROP)
    assert np.array_equal(ds.images[7], expected)
    facts = {"smear": "smear 01", **cell[["x", "y", "radius"]]}
    assert ds.facts.iloc[7].to_dict() == facts
    # Beyond the border all is black.
    assert 0.05 < (ds.images == 0).all(axis=-1).any(axis=(1, 2)).mean() < 0.6
    for size in (16, 96):
        other = load_smears(size, 0.05, seed=2)
        assert other.images.shape == (n, size, size, 3)
        assert other.images.mean() == pytest.approx(ds.images.mean(), abs=1)


def test_detected_cells_have_the_label_of_the_cell_they_lie_on(few):
    ds = load_smears(32, 0.05, seed=2, cells="detected")
    true = pd.concat([s.cells.assign(smear=s.name) for s in few])
    known = ds.provenance
    assert len(ds) == known["circles"] - known["without_label"]
    assert len(true) - len(ds) == known["missed"] < 0.1 * len(true)
    assert ds.images.shape[1:] == (32, 32, 3) and len(set(ds.files)) == len(ds)
    rows = ds.facts.assign(label=np.array(CLASS_NAMES)[ds.labels])
    assert np.array_equal(ds.groups, rows["smear"])
    for row in rows[::20].itertuples():
        own = true[true["smear"] == row.smear]
        gaps = np.hypot(own["x"] - row.x, own["y"] - row.y)
        nearest = own.iloc[gaps.argmin()]
        assert gaps.min() <= nearest.radius / 2
        assert nearest.label == row.label
    # Padded where the circle is smaller than a typical cell.
    smear = few[0]
    steps = segment(smear.image, side=32)
    assert np.array_equal(ds.images[0], steps.cells[0])
    # The true circles are cut in the same way.
    circled = load_smears(32, 0.05, seed=2, cells="labelled circles")
    assert len(circled) == len(true)
    x, y, radius = smear.cells.loc[0, ["x", "y", "radius"]] * steps.ratio
    square = cut_square(steps.enlarged, x, y, int(np.ceil(2 * radius)))
    assert np.array_equal(circled.images[0], pad(square, 32))

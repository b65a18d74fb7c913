"""Graded skin: counts, truth, what changes with what, and no short cut."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.data import catalog as datasets
from helpers.data import pixels
from helpers.data.synthetic import severity
from helpers.data.synthetic.severity import (
    COUNTS,
    GRADES,
    LIGHTS,
    MOST_LESIONS,
    SIDE,
    grade,
    lesion_maps,
    lesions,
    load_severity,
    reduced,
)

FEW = 0.05


@pytest.fixture(scope="module")
def few():
    return load_severity(SIDE, FEW)


@pytest.fixture(scope="module")
def bare():
    """The same skin under lesions too small to see."""
    return load_severity(SIDE, FEW, lesion_size=0.01)


@pytest.fixture(scope="module")
def shifted():
    return load_severity(SIDE, FEW, light="shifted")


# --- counts and grades ----------------------------------------------------


def test_grades_are_those_of_hayashi():
    counts = [0, 5, 6, 20, 21, 50, 51, 300]
    assert grade(counts).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert grade(counts).dtype == np.int64
    assert grade(7) == 1
    for wrong in (-1, [3, 2.5], float("nan")):
        with pytest.raises(ValueError, match="count: lesions are 0, 1"):
            grade(wrong)


def test_the_full_plan_has_the_stated_counts():
    plan = severity._plan(1.0, seed=0)
    counts = np.bincount(plan["label"])
    assert counts.tolist() == list(COUNTS.values())
    assert (np.diff(counts) < 0).all()
    visits = plan.groupby("person").size()
    assert visits.max() == 6 and visits.mean() > 3
    assert len(visits) > 100
    # A person does not give the grade away: most persons show several.
    shown = plan[plan["person"].isin(visits.index[visits > 2])]
    assert (shown.groupby("person")["label"].nunique() > 1).mean() > 0.7


def test_every_grade_shows_its_whole_range():
    plan = severity._plan(1.0, seed=0)
    counts = np.array(
        [len(severity._layout(0, *row, 1.0)) for row in plan.to_numpy()]
    )
    assert np.array_equal(grade(counts), plan["label"])
    told = [counts[plan["label"] == g] for g in range(4)]
    assert [(c.min(), c.max()) for c in told[:2]] == [(0, 5), (6, 20)]
    assert told[2].min() < 25 and told[2].max() > 46
    assert told[3].min() < 57 and 80 < told[3].max() <= MOST_LESIONS


def test_what_a_set_holds(few):
    assert few.name == severity.NAME and few.class_names == GRADES
    assert few.images.shape == (len(few), SIDE, SIDE, 3)
    assert few.images.dtype == np.uint8
    assert few.counts().tolist() == [16, 8, 5, 5]
    assert np.array_equal(grade(few.facts["n_lesions"]), few.labels)
    assert np.array_equal(few.groups, few.facts["person"])
    visits = few.facts["person"] + "/visit " + few.facts["visit"].astype(str)
    assert np.array_equal(few.files, visits)
    assert len(set(few.files)) == len(set(few.found["sha256"])) == len(few)
    assert few.provenance["group_rule"] == "person"
    alike = ["tone", "skin_tone", "moles", "freckles", "hairs"]
    assert (few.facts.groupby("person")[alike].nunique() == 1).all(axis=None)
    lamps = few.facts["light"].str.split(",").str[0]
    assert (lamps.groupby(few.groups).nunique() == 1).all()
    # Yet each visit is a picture of its own.
    assert few.facts["flush"].nunique() == len(few)


def test_the_book_knows_it_by_name(monkeypatch):
    monkeypatch.setattr(severity, "COUNTS", dict.fromkeys(GRADES, 6))
    ds = datasets.load("synthetic_severity", image_size=16)
    assert ds.images.shape == (24, 16, 16, 3)
    assert datasets.load("synthetic_severity").images.shape[1] == 64
    with pytest.raises(ValueError, match="group_rule: synthetic_severity"):
        datasets.load("synthetic_severity", group_rule="roboflow")


# --- what changes with what -----------------------------------------------


def test_two_draws_agree_and_seeds_differ(few):
    again = load_severity(SIDE, FEW)
    assert np.array_equal(again.images, few.images)
    pd.testing.assert_frame_equal(again.facts, few.facts)
    pd.testing.assert_frame_equal(lesions(again), lesions(few))
    other = load_severity(SIDE, FEW, seed=1)
    assert set(other.found["sha256"]).isdisjoint(few.found["sha256"])
    assert set(other.facts["tone"]).isdisjoint(few.facts["tone"])


def test_a_small_set_is_part_of_a_larger(few):
    larger = load_severity(SIDE, 0.08)
    place = pd.Series(range(len(larger)), larger.files)[few.files]
    assert np.array_equal(larger.images[place], few.images)
    assert np.array_equal(larger.labels[place], few.labels)
    assert len(larger) > len(few)


def test_smaller_pictures_are_means_of_areas(few):
    small = load_severity(56, FEW)
    assert np.array_equal(small.images, reduced(few.images, 56))
    boxes = few.images.reshape(len(few), 56, 4, 56, 4, 3).mean((2, 4))
    assert np.abs(small.images - boxes).max() <= 0.5
    assert np.array_equal(reduced(few.images, SIDE), few.images)
    with pytest.raises(ValueError, match="image_size=64: the pictures have"):
        reduced(small.images, 64)


def test_lesion_size_changes_radii_and_nothing_else(few, bare):
    half = load_severity(SIDE, FEW, lesion_size=0.5)
    ours, theirs = lesions(few), lesions(half)
    kept = ["picture", "file", "x", "y", "kind"]
    pd.testing.assert_frame_equal(ours[kept], theirs[kept])
    assert np.allclose(theirs["radius"], 0.5 * ours["radius"])
    pd.testing.assert_frame_equal(few.facts, half.facts)
    clear = few.facts["n_lesions"] == 0
    assert clear.any()
    assert np.array_equal(half.images[clear], few.images[clear])
    # Larger lesions change more of the skin than smaller ones.
    small, large = (
        (np.abs(ds.images - bare.images.astype(float)) > 12)[~clear].mean()
        for ds in (half, few)
    )
    assert 2 * small < large


def test_shifted_light_is_outside_the_usual_range(few, shifted):
    usual, other = LIGHTS["usual"], LIGHTS["shifted"]
    for ds, limits in ((few, usual), (shifted, other)):
        assert ds.facts["tone"].between(*limits.tone).all()
        assert ds.facts["exposure"].between(*limits.exposure).all()
        lamps = ds.facts["light"].str.split(",").str[0]
        assert set(lamps) <= set(limits.temperatures)
    assert few.facts["tone"].max() < shifted.facts["tone"].min()
    assert few.facts["exposure"].max() < shifted.facts["exposure"].min()
    assert not set(few.facts["light"]) & set(shifted.facts["light"])
    # It shows in the pictures too.
    looks = [ds.images.mean((1, 2, 3)) for ds in (few, shifted)]
    assert np.median(looks[1]) < looks[0].min()


def test_shifted_light_keeps_the_skin_and_the_lesions(few, shifted):
    pd.testing.assert_frame_equal(lesions(few), lesions(shifted))
    kept = ["person", "visit", "n_lesions", "flush", "moles", "freckles"]
    pd.testing.assert_frame_equal(few.facts[kept], shifted.facts[kept])
    assert np.array_equal(few.labels, shifted.labels)


# --- the truth ------------------------------------------------------------


def test_lesions_lie_apart_within_the_picture(few):
    table = lesions(few)
    assert np.array_equal(
        np.bincount(table["picture"], minlength=len(few)),
        few.facts["n_lesions"],
    )
    assert (few.files[table["picture"]] == table["file"]).all()
    assert table[["x", "y"]].stack().between(0.02, 0.98).all()
    assert set(table["kind"]) == {"papule", "pustule"}
    ratio = table["radius"] / severity.RADIUS
    assert ratio.min() > 0.3 and ratio.max() < 2.5
    assert ratio.median() == pytest.approx(1, abs=0.2)
    for _, own in table.groupby("picture"):
        gaps = np.hypot(*(own[c].to_numpy()[:, None] - own[c].to_numpy()
                          for c in "xy"))  # fmt: skip
        assert gaps[~np.eye(len(own), dtype=bool)].min(initial=1) > 0.05


def test_the_truth_matches_the_pixels(few, bare):
    change = np.abs(few.images - bare.images.astype(float)).sum(-1)
    inside = lesion_maps(few) > 0.5
    assert change[inside].mean() > 10 * change[~inside].mean()
    # Of all change in a picture, next to none is far from any lesion.
    table = lesions(few)
    at = (np.arange(SIDE) + 0.5) / SIDE
    for picture, own in table.groupby("picture"):
        far = np.ones((SIDE, SIDE), bool)
        for spot in own.itertuples():
            away = np.hypot(at[:, None] - spot.y, at - spot.x)
            far &= away > 3 * spot.radius
            near = change[picture][away < 0.7 * spot.radius]
            assert near.mean() > 4, (few.files[picture], spot)
        assert change[picture][far].sum() < 0.1 * change[picture].sum()


def test_a_lesion_reddens_within_its_radius(few, bare):
    def redness(ds):
        red, green = (ds.images[..., c] + 1.0 for c in (0, 1))
        return np.log(red / green)

    more = redness(few) - redness(bare)
    at = (np.arange(SIDE) + 0.5) / SIDE
    rings = []
    for spot in lesions(few).query("kind == 'papule'").itertuples():
        away = np.hypot(at[:, None] - spot.y, at - spot.x) / spot.radius
        limits = [(0, 0.6), (0.9, 1.1), (2.0, 2.4)]
        rings.append(
            [
                more[spot.picture][(low <= away) & (away < high)].mean()
                for low, high in limits
            ]
        )
    middle, edge, beyond = np.mean(rings, axis=0)
    # Overlapping neighbours redden the outer ring a little as well.
    assert middle > 0.05
    assert 0.3 * middle < edge < 0.9 * middle
    assert beyond < 0.35 * middle


def test_maps_hold_the_share_of_a_pixel_that_lesions_cover(few):
    fine, coarse = lesion_maps(few), lesion_maps(few, 7)
    assert fine.shape == (len(few), SIDE, SIDE) and fine.dtype == np.float32
    assert coarse.shape == (len(few), 7, 7)
    assert set(np.unique(fine)) == {0, 1} and coarse.max() <= 1
    assert np.allclose(coarse.mean((1, 2)), fine.mean((1, 2)), atol=1e-5)
    # Few discs overlap, so that their areas add up.
    table = lesions(few).assign(area=lambda t: np.pi * t["radius"] ** 2)
    area = table.groupby("picture")["area"].sum()
    assert np.allclose(fine.mean((1, 2))[area.index], area, rtol=0.15)
    rows = fine[area.index[0]]
    first = table[table["picture"] == area.index[0]].iloc[0]
    assert rows[int(first["y"] * SIDE), int(first["x"] * SIDE)] == 1


def test_the_truth_of_some_grades_only(few):
    some = few.of_classes(("very severe", "mild"))
    table = lesions(some)
    assert np.array_equal(
        np.bincount(table["picture"], minlength=len(some)),
        some.facts["n_lesions"],
    )
    with pytest.raises(ValueError, match="'digits' was not drawn by"):
        lesions(replace(few, name="digits"))
    with pytest.raises(ValueError, match="side=0 must lie between 1 and 224"):
        lesion_maps(few, 0)


# --- no short cut ---------------------------------------------------------


def test_neither_colour_nor_distractors_give_the_grade_away():
    ds = load_severity(64, 0.4)
    facts = ds.facts.astype({"hairs": float})
    for other in ("moles", "freckles", "hairs", "glare", "tone", "exposure"):
        found = np.corrcoef(facts["n_lesions"], facts[other])[0, 1]
        assert abs(found) < 0.25, other
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000),
    )
    folds = StratifiedGroupKFold(4, shuffle=True, random_state=0)
    colour = ds.images.mean((1, 2))
    small = pixels.thumbnails(ds.images, 8).reshape(len(ds), -1)
    told = np.log1p(facts[["n_lesions"]].to_numpy(float))
    scores = {
        name: balanced_accuracy_score(
            ds.labels,
            cross_val_predict(model, x, ds.labels, cv=folds, groups=ds.groups),
        )
        for name, x in {
            "colour": colour,
            "thumbnail": np.hstack([colour, small]),
            "count": told,
        }.items()
    }
    assert scores["colour"] < 0.45 and scores["thumbnail"] < 0.45
    assert scores["count"] > 0.6


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"image_size": 7}, "image_size: expected 8 to 224 pixels, got 7"),
        ({"image_size": 225}, "image_size: .* got 225"),
        ({"image_size": 64.0}, r"image_size: .* got 64\.0"),
        ({"scale": 0}, r"scale=0 must lie in \(0, 1\]"),
        ({"scale": 1.1}, r"scale=1\.1"),
        ({"seed": -1}, "seed=-1 must not be negative"),
        ({"lesion_size": 0}, "lesion_size=0 must lie"),
        ({"lesion_size": 3.5}, r"lesion_size=3\.5 must lie in \(0, 3\]"),
        ({"light": "dim"}, "light='dim' is unknown; use one of usual, sh"),
    ],
)
def test_wrong_arguments_are_named(wrong, told):
    with pytest.raises(ValueError, match=told):
        load_severity(**wrong)

"""Graded skin: counts, truth, what changes with what, and no short cut."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers.data import catalog as datasets
from helpers.data.synthetic import severity
from helpers.data.synthetic.severity import (
    GRADES,
    LIGHTS,
    SIDE,
    lesion_maps,
    lesions,
    load_severity,
    reduced,
)

FEW = 0.05
AXIS = (np.arange(SIDE) + 0.5) / SIDE


@pytest.fixture(scope="module")
def few():
    return load_severity(SIDE, FEW)


@pytest.fixture(scope="module")
def bare():
    """The same skin under lesions too small to see."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(severity, "RADIUS", 0.01 * severity.RADIUS)
        return load_severity(SIDE, FEW)


def grade(count):
    """Hayashi et al. 2008: mild 0-5, moderate 6-20, severe 21-50, more."""
    return np.searchsorted([5, 20, 50], count)


def away(spot):
    """How far each pixel is from a lesion's centre, (SIDE, SIDE)."""
    return np.hypot(AXIS[:, None] - spot.y, AXIS - spot.x)


def test_the_full_plan_has_the_stated_counts_and_ranges():
    plan = severity._plan(1.0, seed=0)
    assert np.bincount(plan["label"]).tolist() == [320, 160, 80, 40]
    visits = plan.groupby("person").size()
    assert visits.max() == 6 and len(visits) > 100
    # A person does not give the grade away: most persons show several.
    shown = plan[plan["person"].isin(visits.index[visits > 2])]
    assert (shown.groupby("person")["label"].nunique() > 1).mean() > 0.7
    each = plan[["person", "visit", "label"]].to_numpy()
    counts = np.array([len(severity._layout(0, *row)) for row in each])
    assert np.array_equal(grade(counts), plan["label"])
    assert counts.min() == 0 and 80 < counts.max() <= 90


def test_what_a_set_holds(few):
    assert few.name == severity.NAME and few.class_names == GRADES
    assert few.images.shape == (len(few), SIDE, SIDE, 3)
    assert few.counts().tolist() == [16, 8, 5, 5]
    assert np.array_equal(grade(few.facts["n_lesions"]), few.labels)
    assert np.array_equal(few.groups, few.facts["person"])
    visits = few.facts["person"] + "/visit " + few.facts["visit"].astype(str)
    assert np.array_equal(few.files, visits)
    assert len(set(few.files)) == len(set(few.found["sha256"])) == len(few)
    assert few.provenance["group_rule"] == "person"
    facts = few.facts.assign(lamp=few.facts["light"].str.split(",").str[0])
    alike = ["tone", "skin_tone", "moles", "freckles", "hairs", "lamp"]
    assert (facts.groupby("person")[alike].nunique() == 1).all(axis=None)
    # Yet each visit is an image of its own.
    assert few.facts["flush"].nunique() == len(few)


def test_the_catalog_knows_it_by_name(monkeypatch):
    monkeypatch.setattr(severity, "COUNTS", dict.fromkeys(GRADES, 6))
    ds = datasets.load("synthetic_severity", image_size=16)
    assert ds.images.shape == (24, 16, 16, 3)


def test_a_small_set_is_part_of_a_larger_and_seeds_differ(few):
    larger = load_severity(SIDE, 0.08)
    place = pd.Series(range(len(larger)), larger.files)[few.files]
    assert np.array_equal(larger.images[place], few.images)
    assert np.array_equal(larger.labels[place], few.labels)
    other = load_severity(SIDE, FEW, seed=1)
    assert set(other.found["sha256"]).isdisjoint(few.found["sha256"])
    assert set(other.facts["tone"]).isdisjoint(few.facts["tone"])


def test_smaller_images_are_means_of_areas(few):
    small = load_severity(56, FEW)
    assert np.array_equal(small.images, reduced(few.images, 56))
    boxes = few.images.reshape(len(few), 56, 4, 56, 4, 3).mean((2, 4))
    assert np.abs(small.images - boxes).max() <= 0.5
    assert np.array_equal(reduced(few.images, SIDE), few.images)
    with pytest.raises(ValueError, match="image_size=64: the images have"):
        reduced(small.images, 64)


def test_shifted_light_is_outside_the_usual_range(few):
    shifted = load_severity(SIDE, FEW, light="shifted")
    for ds, limits in zip((few, shifted), LIGHTS.values(), strict=True):
        tones, lamps, exposures, _ = limits
        assert ds.facts["tone"].between(*tones).all()
        assert ds.facts["exposure"].between(*exposures).all()
        assert set(ds.facts["light"].str.split(",").str[0]) <= set(lamps)
    for name in ("tone", "exposure"):
        assert few.facts[name].max() < shifted.facts[name].min()
    # It shows in the images too.
    looks = [ds.images.mean((1, 2, 3)) for ds in (few, shifted)]
    assert np.median(looks[1]) < looks[0].min()
    # The skin and the lesions stay.
    pd.testing.assert_frame_equal(lesions(few), lesions(shifted))
    kept = ["person", "visit", "n_lesions", "flush", "moles", "freckles"]
    pd.testing.assert_frame_equal(few.facts[kept], shifted.facts[kept])


def test_lesions_lie_apart_within_the_image(few):
    table = lesions(few)
    assert table[["x", "y"]].stack().between(0.02, 0.98).all()
    assert set(table["kind"]) == {"papule", "pustule"}
    ratio = table["radius"] / severity.RADIUS
    assert ratio.min() > 0.3 and ratio.max() < 2.5
    assert ratio.median() == pytest.approx(1, abs=0.2)
    for _, spots in table.groupby("image"):
        assert pdist(spots[["x", "y"]]).min(initial=1) > 0.05
    # Of some grades only as well.
    some = few.of_classes(("very severe", "mild"))
    counts = np.bincount(lesions(some)["image"], minlength=len(some))
    assert np.array_equal(counts, some.facts["n_lesions"])
    with pytest.raises(ValueError, match="'digits' was not drawn by"):
        lesions(replace(few, name="digits"))


def test_the_truth_matches_the_pixels(few, bare):
    change = np.abs(few.images - bare.images.astype(float)).sum(-1)
    inside = lesion_maps(few, SIDE) > 0.5
    assert change[inside].mean() > 10 * change[~inside].mean()
    # Of all change in an image, next to none is far from any lesion.
    for image, spots in lesions(few).groupby("image"):
        far = np.ones((SIDE, SIDE), bool)
        for spot in spots.itertuples():
            far &= away(spot) > 3 * spot.radius
            near = change[image][away(spot) < 0.7 * spot.radius]
            assert near.mean() > 4, (few.files[image], spot)
        assert change[image][far].sum() < 0.1 * change[image].sum()


def test_maps_hold_the_share_of_a_pixel_that_lesions_cover(few):
    fine, coarse = lesion_maps(few, SIDE), lesion_maps(few, 7)
    assert fine.shape == (len(few), SIDE, SIDE) and fine.dtype == np.float32
    assert set(np.unique(fine)) == {0, 1} and coarse.max() <= 1
    assert np.allclose(coarse.mean((1, 2)), fine.mean((1, 2)), atol=1e-5)
    # Few discs overlap, so that their areas add up.
    table = lesions(few).assign(area=lambda t: np.pi * t["radius"] ** 2)
    area = table.groupby("image")["area"].sum()
    assert np.allclose(fine.mean((1, 2))[area.index], area, rtol=0.15)


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
    scores = []
    for features in (
        ds.images.mean((1, 2)),
        reduced(ds.images, 8).reshape(len(ds), -1),
        np.log1p(facts[["n_lesions"]].to_numpy(float)),
    ):
        predicted = cross_val_predict(
            model, features, ds.labels, cv=folds, groups=ds.groups
        )
        scores.append(balanced_accuracy_score(ds.labels, predicted))
    colour, thumbnail, count = scores
    assert colour < 0.45 and thumbnail < 0.45 and count > 0.6


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        *(("image_size", size) for size in (7, 225, 64.0)),
        *(("scale", 1.1), ("seed", -1), ("light", "dim")),
    ],
)
def test_wrong_settings_are_named(setting, value):
    with pytest.raises(ValueError, match=f"{setting}.*{value}"):
        load_severity(**{setting: value})

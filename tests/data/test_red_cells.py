"""The paper's three classes: drawn, of Chula RBC-12, or from a folder."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.data import red_cells
from helpers.data.arrays import from_arrays
from helpers.data.red_cells import load_three, unit_of

NAMES = ("normal cell", "macrocyte", "target cell", "hypochromia")


def cells(names, counts, rule="block"):
    """A data set whose every picture's pixels are its own number."""
    labels = np.repeat(np.arange(len(names)), counts)
    numbers = np.arange(len(labels), dtype=np.uint8)
    images = np.tile(numbers[:, None, None, None], (1, 8, 8, 3))
    ds = from_arrays("cells", images, labels, names)
    groups = np.char.add("block ", (numbers % 7).astype(str))
    return replace(
        ds,
        groups=groups,
        facts=pd.DataFrame({"number": numbers}),
        provenance=ds.provenance | {"group_rule": rule},
    )


@pytest.fixture
def given(monkeypatch):
    """Makes `datasets.load` hand out one data set."""

    def give(ds):
        monkeypatch.setattr(red_cells.datasets, "load", lambda *a: ds)

    return give


def test_drawn_cells_are_those_of_the_paper():
    ds, counts = load_three("synthetic_smears", image_size=16, scale=0.05)
    assert ds.class_names == ("Codocyte", "Hypochromia", "Normal")
    assert counts["published"].tolist() == [345, 356, 2691]
    assert counts["used"].tolist() == counts["there"].tolist()
    assert counts["used"].tolist() == ds.counts().tolist()
    assert unit_of(ds) == "smear"


def test_real_cells_get_the_papers_names_order_and_ratio(given):
    whole = cells(NAMES, [100, 40, 30, 25])
    given(whole)
    ds, counts = load_three("chula-rbc-12", scale=0.02)
    assert ds.class_names == ("Codocyte", "Hypochromia", "Normal")
    # 2 % of 345, 356 and 2,691.
    assert counts["used"].tolist() == ds.counts().tolist() == [7, 7, 54]
    assert counts["there"].tolist() == [30, 25, 100]
    assert unit_of(ds) == "block"
    # All that is known of a cell went along with it.
    numbers = ds.images[:, 0, 0, 0]
    assert np.array_equal(ds.facts["number"], numbers)
    assert np.array_equal(ds.groups, whole.groups[numbers])
    assert np.array_equal(ds.files, whole.files[numbers])
    old = np.array(NAMES)[whole.labels[numbers]]
    new = [red_cells.IN_CHULA[ds.class_names[c]] for c in ds.labels]
    assert old.tolist() == new
    with pytest.raises(ValueError, match="read-only"):
        ds.images[0] = 0


def test_all_shrink_alike_where_one_class_is_short(given):
    given(cells(NAMES, [120, 40, 5, 25]))
    ds, counts = load_three("chula-rbc-12")
    assert counts["used"].tolist() == [5, 5, 39]
    again, _ = load_three("chula-rbc-12")
    other, _ = load_three("chula-rbc-12", seed=1)
    assert np.array_equal(ds.images, again.images)
    assert not np.array_equal(ds.images, other.images)
    assert other.provenance["seed_of_taking"] == 1


def test_a_folder_needs_the_classes_and_the_sources(given):
    ds = cells(("Normal", "Codocyte", "Hypochromia"), [80, 12, 12], "roboflow")
    given(ds)
    mine, _ = load_three("own", scale=0.02)
    assert mine.counts().tolist() == [7, 7, 54] and unit_of(mine) == "source"
    given(replace(ds, groups=None))
    with pytest.raises(ValueError, match="which pictures share a source"):
        load_three("own")
    given(cells(("Normal", "Codocyte"), [80, 12]))
    with pytest.raises(ValueError, match="has no class Hypochromia"):
        load_three("own")
    with pytest.raises(ValueError, match="scale=2 must lie"):
        load_three("own", scale=2)


def test_an_image_folder_on_disk(tmp_path):
    rng = np.random.default_rng(0)
    for name, count in (("Normal", 20), ("Codocyte", 4), ("Hypochromia", 4)):
        (tmp_path / "own" / name).mkdir(parents=True)
        for k in range(count):
            pixels = rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
            file = tmp_path / "own" / name / f"{name}{k}.png"
            Image.fromarray(pixels).save(file)
    ds, counts = load_three("own", tmp_path, 16)
    assert ds.class_names == ("Codocyte", "Hypochromia", "Normal")
    # 345 : 356 : 2,691, by one factor, within 4, 4 and 20 pictures.
    assert counts["used"].tolist() == [3, 3, 20]
    assert len(np.unique(ds.groups)) == 26

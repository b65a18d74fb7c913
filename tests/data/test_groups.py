"""Groups by column, by name, by looks, and joined."""

import numpy as np
import pandas as pd
import pytest
from image_files import draw
from PIL import Image

from helpers.data import load, load_folder, regroup
from helpers.data.dataset import from_arrays
from helpers.imbalance import splits


def blobs(path, seed, size=64, **options):
    """A smooth random image, of which copies are recognised."""
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    image = Image.fromarray(small).resize((96, 96), Image.Resampling.BICUBIC)
    path.parent.mkdir(parents=True, exist_ok=True)
    image.resize((size, size)).save(path, **options)


@pytest.fixture
def root(tmp_path):
    """Two classes of eight images; each second one is a copy, renamed."""
    lines = ["file,patient"]
    for c, name in enumerate("ab"):
        for k in range(8):
            file = f"p{k // 4}_{name}{k}.png"
            blobs(tmp_path / name / file, 10 * c + k // 2, 64 + 8 * (k % 2))
            lines.append(f"{name}/{file},{'' if k == 7 else f'P{k // 4}'}")
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    return tmp_path


def groups(root, rules):
    ds = load(root.name, root.parent, 16, rules)
    used = ds.found[ds.found["used"]]
    assert used["source"].tolist() == ds.groups.tolist()
    return ds.groups.tolist()


def same(first, second):
    """Whether two groupings are one, whatever their names."""
    return (
        len(set(zip(first, second, strict=True)))
        == len(set(first))
        == len(set(second))
    )


def test_own_and_none(root):
    own = groups(root, "own")
    assert own[0] == "a/p0_a0" and len(set(own)) == 16
    assert groups(root, ["own"]) == own
    only = load(root.name, root.parent, 16, ["own"])
    assert only.provenance["group_rule"] == "roboflow"
    assert load(root.name, root.parent, 16, "none").groups is None
    ds = load(root.name, root.parent, 16, None)
    assert ds.groups is None and (ds.found["source"] == "").all()
    assert ds.provenance["group_rule"] is None


def test_a_column_joins_classes_and_its_blanks_join_nothing(root):
    one = [*["P0"] * 4, *["P1"] * 3]
    assert groups(root, "patient") == [
        *(*one, "a/p1_a7.png"),
        *(*one, "b/p1_b7.png"),
    ]


def test_an_expression_sees_the_path_below_the_class(root):
    assert groups(root, r"^(p\d)_") == [*["p0"] * 4, *["p1"] * 4] * 2


def test_near_duplicates(root):
    expected = np.repeat(np.arange(8), 2)
    made = groups(root, "near-duplicates")
    assert same(made, expected)
    assert made[:3] == ["a/p0_a0.png", "a/p0_a0.png", "a/p0_a2.png"]
    # The same to the byte, in another class and set of files.
    copy = (root / "a/p0_a0.png").read_bytes()
    (root / "b/p9_b9.png").write_bytes(copy)
    text = (root / "manifest.csv").read_text()
    (root / "manifest.csv").write_text(f"{text}\nb/p9_b9.png,")
    made = groups(root, "near-duplicates")
    assert made[-1] == made[0] and len(set(made)) == 8


def test_several_rules_are_joined_by_chains(root):
    by_both = groups(root, ["patient", "near-duplicates"])
    # The copy of the image without a patient brings it to its patient.
    assert same(by_both, [*[0] * 4, *[1] * 4] * 2)
    assert same(groups(root, ["own", "near-duplicates"]), np.arange(16) // 2)
    ds = load(root.name, root.parent, 16, ["own", "near-duplicates"])
    assert ds.provenance["group_rule"] == "own + near-duplicates"


def test_a_chain_of_two_rules_never_straddles_folds():
    """On random groupings, whichever rule put two images together."""
    rng = np.random.default_rng(0)
    n = 400
    facts = {key: rng.integers(0, 250, n).astype(str) for key in "vw"}
    labels = rng.integers(0, 2, n)
    images = np.zeros((n, 2, 2, 3), np.uint8)
    ds = from_arrays("toy", images, labels, "ab", facts=pd.DataFrame(facts))
    ds = regroup(ds, ["v", "w"])
    assert 10 < len(set(ds.groups)) < 250
    for split in splits.folds(labels, ds.groups, 5, 0):
        for column in facts.values():
            held = [set(column[rows]) for rows in split.sets().values()]
            assert len(set.union(*held)) == sum(map(len, held))


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (r"^(t\d)_", "matches nothing in 'p0_a0.png' of class 'a'"),
        (r"^p\d_", r"neither .*\(file|patient\).*has 0 \(groups\)"),
        ("pateint", "neither .*patient.*has 0"),
        ("([", "neither .*unterminated"),
        ([], "an empty list"),
        (["patient", "nothing"], "'nothing' is neither"),
    ],
)
def test_errors(root, rules, told):
    with pytest.raises(ValueError, match=f"groups: .*{told}"):
        groups(root, rules)


def test_red_cells_by_their_rules_and_columns(tmp_path):
    for number in (1, 2, 30):
        draw(tmp_path / f"chula-rbc-12/Dataset/{number}.jpg", number, 300)
        label = tmp_path / f"chula-rbc-12/Label/{number}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("100 100 0\n200 200 1\n")

    def count(rule):
        ds = load("chula-rbc-12", tmp_path, 8, rule)
        assert ds.images.shape == (6, 8, 8, 3)
        return len(set(ds.groups))

    assert [count(rule) for rule in ("cell", "photograph", "own")] == [6, 3, 2]
    assert count(["own", "photograph"]) == 2
    with pytest.raises(ValueError, match="no file for each image"):
        count("near-duplicates")


def test_a_folder_keeps_its_files_in_order(root):
    ds = load_folder(root, image_size=16)
    again = regroup(ds, "patient")
    assert again.files.tolist() == ds.files.tolist()
    assert ds.found["source"].tolist() != again.found["source"].tolist()

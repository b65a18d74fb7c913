"""Splits: proportions, no shared source, determinism, clear errors."""

from itertools import combinations, product
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

from helpers.data.catalog import WRITER_STARTS
from helpers.imbalance import splits


@pytest.fixture
def uneven():
    """Five classes with 94, 19, 44, 45, 19 sources of 2 to 90 copies."""
    rng = np.random.default_rng(0)
    labels, groups = [], []
    for label, n in enumerate([94, 19, 44, 45, 19]):
        for source in range(n):
            copies = int(np.clip(rng.lognormal(2.5, 1), 2, 90))
            labels += [label] * copies
            groups += [f"{label}/{source}"] * copies
    order = rng.permutation(len(labels))
    return np.array(labels)[order], np.array(groups)[order]


def assert_partition(split, labels, groups=None):
    """All images once, each class in each set, no group in two."""
    sets = list(split.sets().values())
    assert np.array_equal(
        np.sort(np.concatenate(sets)), np.arange(len(labels))
    )
    for index in sets:
        assert index.dtype == np.int64
        assert np.all(np.diff(index) > 0)
        assert set(labels[index]) == set(labels)
    if groups is not None:
        train, val, test = (set(groups[index]) for index in sets)
        assert not (train & val) | (train & test) | (val & test)


@pytest.mark.parametrize("fractions", [(0.7, 0.2, 0.1), (0.5, 0.25, 0.25)])
def test_stratified_is_within_one_image(fractions):
    counts = np.array([1240, 1030, 1032, 1006, 299, 3])
    labels = np.repeat(np.arange(6), counts)
    split = splits.stratified(labels, 3, fractions)
    assert_partition(split, labels)
    held = [np.bincount(labels[index]) for index in split.sets().values()]
    held = np.transpose(held)
    assert np.abs(held - np.outer(counts, fractions))[:5].max() < 1
    # Three images: one in each set rather than 2.1, 0.6 and 0.3.
    assert held[5].tolist() == [1, 1, 1]
    assert split.name == "random" and split.seed == 3


def test_bad_fractions():
    for fractions in ((0.7, 0.2), (0.7, 0.2, 0.2), (1.0, 0.1, -0.1)):
        with pytest.raises(ValueError, match="fractions"):
            splits.stratified(np.repeat([0, 1], 20), 0, fractions)


def test_by_group(uneven):
    labels, groups = uneven
    split = splits.by_group(labels, groups, 0)
    assert_partition(split, labels, groups)
    table = splits.class_shares(split, labels, "abcde")
    shares = table.filter(like="_share").to_numpy()
    assert np.abs(shares - [0.7, 0.2, 0.1]).max() < 0.03
    sources = [
        [len(set(groups[i][labels[i] == c])) for i in split.sets().values()]
        for c in range(5)
    ]
    assert sources[1] == sources[4] == [13, 4, 2]


def test_by_group_does_not_send_large_sources_to_train(uneven):
    labels, groups = uneven
    _, source, sizes = np.unique(
        groups, return_inverse=True, return_counts=True
    )
    large = sizes > np.quantile(sizes, 0.9)
    counts = np.zeros(3)
    for seed in range(30):
        sets = splits.by_group(labels, groups, seed).sets().values()
        counts += [large[np.unique(source[index])].sum() for index in sets]
    assert np.abs(counts / counts.sum() - [0.7, 0.2, 0.1]).max() < 0.06


def test_too_few_groups_say_how_many():
    labels = np.repeat([0, 1], [30, 8])
    groups = np.concatenate([np.arange(30), 30 + np.arange(8) // 2])
    names = {"class_names": ["acne", "boil"]}
    few = "class 'boil' has 4 sources, too few for 5 folds; take 4 folds"
    with pytest.raises(splits.Impossible, match=few):
        splits.folds(labels, groups, 5, 0, **names)
    labels, groups = labels[:32], groups[:32]
    with pytest.raises(splits.Impossible, match="'boil' has 2 images.*3 sets"):
        splits.stratified(labels, 0, **names)
    with pytest.raises(splits.Impossible, match="class 1 has 1 source, .*lea"):
        splits.by_group(labels, groups, 0)


def test_impossible_mixture_is_an_error():
    # Classes 0 and 1 force a, b and c apart and d beside c; class 2 (c, d
    # and e) then cannot be in three parts, though it has three sources.
    labels = np.array([0, 1, 0, 1, 0, 2, 1, 2, 2])
    groups = np.array(list("aabbccdde"))
    with pytest.raises(ValueError, match="no way found to have every class"):
        splits.by_group(labels, groups, 0)


def patients(rng, n_parts, n_classes, extra, copies=4):
    """Labels and groups for which a split into n_parts exists, and is rare.

    Each class is once in each part's own groups; the extra groups hold
    classes 0 and 1 alone.
    """
    holds = [
        own
        for _ in range(n_parts)
        for own in np.array_split(rng.permutation(n_classes), 2)
    ]
    holds += [np.array([0, 1])] * extra
    labels, groups = [], []
    for group, classes in zip(rng.permutation(len(holds)), holds, strict=True):
        for label in classes:
            n = rng.integers(1, copies)
            labels += [label] * n
            groups += [f"patient {group}"] * n
    return np.array(labels), np.array(groups)


@pytest.mark.parametrize("seed", range(8))
def test_a_split_by_group_that_exists_is_found(seed):
    rng = np.random.default_rng(seed)
    n_parts, n_classes = rng.integers(3, 6), rng.integers(3, 9)
    labels, groups = patients(rng, n_parts, n_classes, rng.integers(0, 30))
    made = splits.folds(labels, groups, n_parts, seed)
    made.append(splits.by_group(labels, groups, seed))
    for split in made:
        assert_partition(split, labels, groups)
    again = splits.by_group(labels, groups, seed)
    assert np.array_equal(again.test, made[-1].test)


def test_a_found_split_is_near_its_fractions_and_another_with_a_seed():
    labels, groups = patients(np.random.default_rng(0), 3, 8, 60)
    made = [splits.by_group(labels, groups, seed) for seed in range(5)]
    for split in made:
        sizes = np.array([len(index) for index in split.sets().values()])
        assert np.abs(sizes / len(labels) - [0.7, 0.2, 0.1]).max() < 0.05
    assert len({tuple(split.test) for split in made}) > 1


def test_the_search_agrees_with_trying_everything():
    rng = np.random.default_rng(0)
    answers = []
    for seed in range(60):
        holds = rng.random((rng.integers(4, 8), 3)) < 0.5
        every = (
            splits._held(holds, np.array(dealt), 3)
            for dealt in product(range(3), repeat=len(holds))
        )
        exists = any((held > 0).all() for held in every)
        dealt = splits._search(holds, 3, np.random.default_rng(seed))
        assert (dealt is not None) == exists
        assert not exists or (splits._held(holds, dealt, 3) > 0).all()
        answers.append(exists)
    assert 10 < sum(answers) < 50


def ways(labels, groups, published=None, seed=0):
    ds = SimpleNamespace(labels=labels, groups=groups, class_names="ab")
    ds.published_split = published
    return splits.ways(ds, seed)


def test_ways():
    labels, groups = np.repeat([0, 1], 12), np.arange(24).astype(str)
    three = np.array(["train", "train", "val", "test"] * 6)
    made, left_out = ways(labels, groups, three, seed=3)
    assert list(made) == ["random", "by source", "published"]
    assert not left_out
    same = splits.by_group(labels, groups, 3)
    assert np.array_equal(made["by source"].test, same.test)
    with pytest.raises(splits.Impossible, match="class 'b' has 1 image"):
        ways(labels[:13], None)


def test_ways_that_are_left_out_say_why():
    labels, groups = np.repeat([0, 1], 12), np.arange(24).astype(str)
    groups[12:] = ["x", "y"] * 6
    made, left_out = ways(labels, groups, ["train", "train", "test"] * 8)
    assert list(made) == ["random"]
    assert "class 'b' has 2 sources" in left_out["by source"]
    assert left_out["published"].startswith(
        "The published split is left out: no validation set is published"
    )
    gap = np.where(np.arange(24) < 12, "train", "val")
    gap[[5, 11, 20]] = "test", "val", "train"
    _, left_out = ways(labels, None, gap)
    assert left_out["published"].endswith("test set has no image of 'b'.")
    assert left_out["by source"] == (
        "The split by source is left out: this data set does not tell the "
        "sources."
    )


def test_published():
    labels = np.array([0, 0, 0, 1, 1, 1, 1])
    given = ["test", "train", "val", "train", "val", "train", "test"]
    split = splits.published(given, labels, "ab")
    sets = [index.tolist() for index in split.sets().values()]
    assert sets == [[1, 3, 5], [2, 4], [0, 6]] and split.seed is None
    with pytest.raises(ValueError, match="extra"):
        splits.published(["extra", *given[1:]], labels, "ab")


@pytest.mark.parametrize("grouped", [True, False])
def test_folds(uneven, grouped):
    labels, groups = uneven
    made = splits.folds(labels, groups if grouped else None, 5, seed=1)
    tested = np.concatenate([split.test for split in made])
    assert np.array_equal(np.sort(tested), np.arange(len(labels)))
    counts = np.bincount(labels)
    for k, split in enumerate(made):
        assert_partition(split, labels, groups if grouped else None)
        assert np.array_equal(split.val, made[(k + 1) % 5].test)
        share = np.bincount(labels[split.test], minlength=5) / counts
        assert np.abs(share - 0.2).max() < (0.07 if grouped else 0.01)
    with pytest.raises(ValueError, match="n_folds"):
        splits.folds(labels, groups, 2, 0)


def test_reshuffles_really_reshuffle(uneven):
    """StratifiedGroupKFold fails this where copies a source are uneven."""
    labels, groups = uneven
    _, first = np.unique(groups, return_index=True)
    fold = np.empty((5, len(labels)), int)
    for seed in range(5):
        for k, split in enumerate(splits.folds(labels, groups, 5, seed)):
            fold[seed, split.test] = k
    for label in range(5):
        of_class = fold[:, first[labels[first] == label]]
        agreement = [
            adjusted_rand_score(a, b) for a, b in combinations(of_class, 2)
        ]
        assert np.mean(agreement) < 0.15


def test_leakage_and_class_shares():
    groups = np.array(["a", "a", "b", "b", "c", "d"])
    train, val, test = (np.array(i) for i in ([0, 2], [1, 4], [3, 5]))
    split = splits.Split("given", train, val, test, seed=None)
    table = splits.leakage(split, groups).set_index("part")
    assert table.images.tolist() == table.sources.tolist() == [2, 2, 2]
    assert table.leaking[["val", "test"]].tolist() == [1, 1]
    assert table.share[["val", "test"]].tolist() == [0.5, 0.5]
    assert pd.isna(table.leaking["train"])
    split = splits.Split("no validation", train, val[:0], test, 0)
    table = splits.leakage(split, groups).set_index("part")
    assert table.leaking["val"] == 0 and pd.isna(table.share["val"])
    with pytest.raises(ValueError, match="groups"):
        splits.leakage(split, None)
    labels = np.array([0, 0, 1, 1, 1, 0])
    table = splits.class_shares(split, labels, ["x", "y"]).set_index("class")
    assert table.loc["x", [*splits.SETS]].tolist() == [1, 0, 1]
    assert table.loc["all", [*splits.SETS]].tolist() == [2, 0, 2]
    assert table.loc["x", "train_share"] == 0.5


def test_training_sets_alone_are_cut():
    labels = np.repeat([0, 1, 2], [40, 50, 60])
    groups = np.arange(len(labels)) // 5
    whole = splits.folds(labels, groups, 3, 0) + splits.folds(
        labels, groups, 3, 1
    )
    cut = splits.cut_to(whole, labels, [2, 9, 4], "part")
    for before, after in zip(whole, cut, strict=True):
        assert np.bincount(labels[after.train]).tolist() == [2, 9, 4]
        assert set(after.train) < set(before.train)
        assert after.val is before.val and after.test is before.test
        assert (after.name, after.seed) == ("part", before.seed)


def test_long_tail_folds_of_the_digits_by_writer():
    """Each writer is tested once; only training sets are cut, all alike."""
    bunch = load_digits()
    labels = bunch.target
    writers = np.repeat(np.arange(14), np.diff([*WRITER_STARTS, len(labels)]))
    made = {
        rho: splits.long_tail_folds(labels, writers, rho, 7, seed=0)
        for rho in (10, 50)
    }
    assert np.array_equal(
        np.sort(np.concatenate([split.test for split in made[10]])),
        np.arange(len(labels)),
    )
    for flat, steep in zip(made[10], made[50], strict=True):
        counts = np.bincount(labels[steep.train])
        assert counts[-1] == 100
        assert counts[0] == counts[-1] // 50
        assert set(steep.train) < set(flat.train)
        sets = [set(writers[getattr(steep, k)]) for k in splits.SETS]
        assert not (
            sets[0] & sets[1] or sets[0] & sets[2] or sets[1] & sets[2]
        )
        assert steep.name == "long tail"

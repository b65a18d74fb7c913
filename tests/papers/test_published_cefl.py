"""The CEFL paper's printed numbers: complete, and what they add up to.

Values are fractions with the four decimals of the printed percentages.
"""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from helpers.papers import rounding as rd
from helpers.paths import PUBLISHED_DIR

COLUMNS = [
    "source",
    "table",
    "dataset",
    "imbalance_ratio",
    "network",
    "method",
    "alpha",
    "gamma",
    "class",
    "metric",
    "value",
    "note",
]
RATIOS = ["1", "10", "20", "50", "100", "200", "500"]
NETWORKS = ["resnet18", "resnet34", "resnet50", "resnet101"]
CLASSES = [
    "Amanita",
    "Russula",
    "Hygrocybe",
    "Cortinarius",
    "Suillus",
    "Entoloma",
    "Boletus",
    "Lactarius",
    "Agaricus",
]
MINOR = ["Hygrocybe", "Suillus", "Entoloma", "Agaricus"]
# Pictures of each class in the public set (Kaggle, "Mushrooms
# classification - Common genus's images"), in the order of CLASSES.
PUBLIC = np.array([750, 1148, 316, 836, 311, 364, 1073, 1563, 353])
PER_CLASS, MUSHROOMS, CROPS = 300, 2700, 4540  # test pictures
LOSS = ["method", "alpha", "gamma"]
CE = ("cross_entropy", "", "")
FOCAL_GRID = [
    ("focal", alpha, gamma)
    for alpha, gamma in product(("0.75", "1"), ("0.5", "1", "2", "5"))
]
PROPOSED_GRID = [
    (method, "", gamma)
    for method, gamma in product(("cefl", "cefl2"), ("1", "2", "5"))
]
FOCAL, CEFL, CEFL2 = ("focal", "1", "2"), ("cefl", "", "2"), ("cefl2", "", "2")
FOCAL_4 = [
    ("focal", alpha, gamma)
    for alpha, gamma in (
        ("1", "0.5"),
        ("0.25", "2"),
        ("1", "2"),
        ("0.75", "2"),
    )
]
HALF = 0.5e-4  # half a unit of the last printed digit


def _read(name):
    text = dict.fromkeys(COLUMNS, str) | {"value": float}
    path = PUBLISHED_DIR / f"cefl_{name}.csv"
    table = pd.read_csv(path, dtype=text, na_values={"value": [""]})
    return table.fillna(dict.fromkeys(set(COLUMNS) - {"value"}, ""))


def _cifar(name):
    """Losses by imbalance ratio, the printed average last."""
    table = _read(name)
    ratio = table["imbalance_ratio"].where(
        table["metric"] == "accuracy", "average"
    )
    wide = table.assign(ratio=ratio).pivot(
        index=LOSS, columns="ratio", values="value"
    )
    return wide[[*RATIOS, "average"]]


def _table_4(dataset, metric):
    """Losses by networks."""
    rows = _read("table4").query("dataset == @dataset and metric == @metric")
    return rows.pivot(index=LOSS, columns="network", values="value")[NETWORKS]


def _table_5(loss):
    """Classes by precision, recall and F1."""
    rows = _read("table5").set_index(LOSS).sort_index().loc[loss]
    rows = rows[rows["class"] != ""]
    return rows.pivot(index="class", columns="metric", values="value").loc[
        CLASSES
    ]


def _printed_average(loss, metric):
    rows = _read("table5").set_index(LOSS).sort_index().loc[loss]
    return rows.loc[rows["metric"] == metric, "value"].item()


def _counts(loss):
    """What Table 5 leaves no choice about: hits and predictions, (C,) int.

    A class has 300 test pictures, so its recall is one number of hits; the
    hits and the precision are one number of pictures given to the class.
    """
    hits, predicted = [], []
    for _, row in _table_5(loss).iterrows():
        (hit,) = rd.possible_hits(row["recall"], PER_CLASS, decimals=4)
        sizes = np.arange(hit, MUSHROOMS + 1)
        fits = np.abs(hit / sizes - row["precision"]) <= HALF + 1e-9
        (size,) = sizes[fits]
        hits.append(hit)
        predicted.append(size)
    return np.array(hits), np.array(predicted)


def _text(metric, dataset=""):
    rows = _read("text").query(
        "metric == @metric and dataset == @dataset and `class` == ''"
    )
    return rows["value"].item()


# --- the files ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("table1", 32),
        ("table2", 120),
        ("table3", 120),
        ("table4", 112),
        ("table5", 120),
        ("text", 66),
    ],
)
def test_columns_and_keys(name, rows):
    table = _read(name)
    assert table.columns.tolist() == COLUMNS
    assert len(table) == rows
    assert set(table["method"]) <= {
        "cross_entropy",
        "focal",
        "cefl",
        "cefl2",
        "",
    }
    assert not table.duplicated([*COLUMNS[1:10]]).any()
    assert set(table["source"]) == {"cefl_class_balanced_loss"}
    if name == "text":
        assert table["table"].str.match(r"Section IV-(A\.[123]|B)$").all()
    else:
        assert set(table["table"]) == {f"Table {name[-1]}"}
        assert table["value"].dropna().between(0, 1).all()


@pytest.mark.parametrize("name", ["table2", "table3"])
def test_tables_2_and_3_are_whole(name):
    table = _cifar(name)
    assert set(table.index) == {CE, *FOCAL_GRID, *PROPOSED_GRID}
    assert table.shape == (15, 8)
    assert table.notna().all(axis=None)


def test_table_4_is_whole_but_for_one_illegible_cell():
    losses = {CE, *FOCAL_4, CEFL, CEFL2}
    for dataset, metric in product(
        ("crop_disease", "mushrooms"), ("macro_f1", "accuracy")
    ):
        table = _table_4(dataset, metric)
        assert set(table.index) == losses
        assert table.shape == (7, 4)
    table = _read("table4")
    missing = table[table["value"].isna()]
    keys = ["dataset", "network", "method", "metric"]
    assert missing[keys].to_numpy().tolist() == [
        ["mushrooms", "resnet34", "cefl2", "accuracy"]
    ]
    assert missing["note"].str.contains("illegible").all()


def test_table_5_is_whole():
    table = _read("table5")
    assert table["value"].notna().all()
    for loss in (CE, FOCAL, CEFL, CEFL2):
        assert _table_5(loss).shape == (9, 3)
        for metric in ("precision", "recall", "f1"):
            assert _printed_average(loss, f"macro_{metric}") > 0
    minor = table.loc[table["note"] == "minor class", "class"]
    assert set(minor) == set(MINOR)


# Sums of the printed columns, in per cent, added up outside this project.
@pytest.mark.parametrize(
    ("name", "sums"),
    [
        (
            "table2",
            [1399.45, 1277.29, 1217.91, 1115.93, 1005.92, 913.12, 792.10],
        ),
        ("table3", [1101.99, 863.21, 777.26, 651.43, 582.41, 517.45, 448.71]),
    ],
)
def test_columns_of_tables_2_and_3_add_up(name, sums):
    total = 100 * _cifar(name)[RATIOS].sum()
    assert total.tolist() == pytest.approx(sums)


def test_columns_of_table_4_add_up():
    sums = {
        ("crop_disease", "macro_f1"): 1826.41,
        ("crop_disease", "accuracy"): 2309.22,
        ("mushrooms", "macro_f1"): 1725.48,
        ("mushrooms", "accuracy"): 1730.55,
    }
    for key, total in sums.items():
        assert 100 * _table_4(*key).sum(axis=None) == pytest.approx(total)


def test_augmentations_of_table_1():
    used = _read("table1").pivot(
        index="dataset", columns="metric", values="value"
    )
    assert set(used.to_numpy().ravel()) == {0.0, 1.0}
    assert used.loc["cifar10"].equals(used.loc["cifar100"])
    assert used.loc["crop_disease"].equals(used.loc["mushrooms"])
    # The small pictures are cropped as they are, the large ones resized.
    assert (used["random_crop"] + used["random_resized_crop"] == 1).all()
    assert used.sum(axis=1).to_dict() == {
        "cifar10": 5,
        "cifar100": 5,
        "crop_disease": 7,
        "mushrooms": 7,
    }


def test_protocol_of_the_text():
    protocol = {
        "cifar10": (32, 128, 100, 0.05, 60, 80),
        "cifar100": (32, 128, 100, 0.05, 60, 80),
        "crop_disease": (224, 64, 60, 0.01, 30, 50),
        "mushrooms": (224, 64, 100, 0.01, 60, 80),
    }
    metrics = (
        "image_side",
        "batch_size",
        "epochs",
        "learning_rate",
        "first_drop_epoch",
        "second_drop_epoch",
    )
    for dataset, numbers in protocol.items():
        assert tuple(_text(m, dataset) for m in metrics) == numbers
        assert _text("learning_rate_factor", dataset) == 0.1
    assert (_text("momentum"), _text("weight_decay")) == (0.9, 1e-4)
    assert _text("warm_up_epochs") == 0


def test_data_of_the_text():
    sizes = {
        ("train_images", "cifar10"): 50000,
        ("test_images", "cifar10"): 10000,
        ("largest_class", "cifar10"): 5000,
        ("train_images", "cifar100"): 50000,
        ("test_images", "cifar100"): 10000,
        ("largest_class", "cifar100"): 500,
        ("train_images", "crop_disease"): 31718,
        ("largest_class", "crop_disease"): 2500,
        ("classes", "crop_disease"): 61,
        ("smallest_class", "mushrooms"): 300,
        ("largest_class", "mushrooms"): 1500,
    }
    assert {key: _text(*key) for key in sizes} == sizes
    assert _text("validation_images", "crop_disease") == CROPS
    assert _text("classes", "mushrooms") == len(CLASSES)
    assert _text("test_images_per_class", "mushrooms") == PER_CLASS
    networks = _read("text").query("metric == 'pretrained'")
    used = networks.pivot(index="dataset", columns="network", values="value")
    for dataset in ("cifar10", "cifar100"):
        assert used.loc[dataset].dropna().to_dict() == {"resnet18": 0}
    for dataset in ("crop_disease", "mushrooms"):
        assert used.loc[dataset].to_dict() == dict.fromkeys(NETWORKS, 1)


# --- Tables 2 and 3: CIFAR ---------------------------------------------------


@pytest.mark.parametrize("name", ["table2", "table3"])
def test_averages_leave_out_ratio_1(name):
    table = _cifar(name)
    without = table[RATIOS[1:]].mean(axis=1)
    assert (table["average"] - without).abs().max() <= HALF + 1e-9
    # With ratio 1 no average would be near the printed one.
    assert (table[RATIOS].mean(axis=1) - table["average"]).min() > 0.02


@pytest.mark.parametrize("name", ["table2", "table3"])
def test_the_best_of_every_column_is_cefl_or_cefl2(name):
    best = _cifar(name).idxmax()
    assert set(best) <= set(PROPOSED_GRID)


@pytest.mark.parametrize(
    ("name", "over_ce", "over_focal"),
    [("table2", 0.0293, 0.0093), ("table3", 0.0352, 0.0107)],
)
def test_gain_of_the_best_average(name, over_ce, over_focal):
    average = _cifar(name)["average"]
    best = average.loc[PROPOSED_GRID].max()
    assert best - average[CE] == pytest.approx(over_ce)
    assert best - average.loc[FOCAL_GRID].max() == pytest.approx(over_focal)


def test_neither_of_cefl_and_cefl2_is_ahead_at_every_gamma():
    for name in ("table2", "table3"):
        average = _cifar(name)["average"]
        gain = [
            average["cefl2", "", gamma] - average["cefl", "", gamma]
            for gamma in ("1", "2", "5")
        ]
        assert min(gain) < 0 < max(gain)
        assert max(np.abs(gain)) < 0.009


@pytest.mark.parametrize(
    ("name", "largest", "one_run"),
    [("table2", 0.0237, 0.0075), ("table3", 0.0062, 0.0024)],
)
def test_a_scale_alone_moves_the_results(name, largest, one_run):
    """Alpha only rescales the loss: its two values stand for two runs.

    (0.75 is three quarters of the step and 4/3 of the weight decay.)
    gamma = 5 trains badly and is left out.
    """
    table = _cifar(name)[RATIOS[1:]].drop(index="5", level="gamma")
    change = (
        table.xs("0.75", level="alpha") - table.xs("1", level="alpha")
    ).to_numpy()
    assert change.shape == (3, 6)
    assert np.abs(change).max() == pytest.approx(largest)
    std = np.sqrt(np.mean(change**2) / 2)
    assert std == pytest.approx(one_run, abs=HALF)


def test_on_cifar_10_a_scale_moves_more_than_the_proposal_gains():
    table = _cifar("table2")
    proposed = table.loc[PROPOSED_GRID].max()
    gain = proposed - table.loc[FOCAL_GRID].max()
    scale = (table.loc[("focal", "0.75")] - table.loc[("focal", "1")]).abs()
    larger = [
        r for r in RATIOS if scale.loc[["0.5", "1", "2"], r].max() > gain[r]
    ]
    assert larger == ["1", "50", "200"]
    assert gain["100"] == pytest.approx(0.0278)


def test_on_cifar_100_the_proposal_gains_without_any_imbalance():
    balanced = _cifar("table3")["1"]
    gain = balanced.loc[PROPOSED_GRID] - balanced[CE]
    assert gain.min() == pytest.approx(0.0101)
    assert gain.max() == pytest.approx(0.0153)


def test_only_focal_falls_below_cross_entropy_at_gamma_5():
    average = _cifar("table2")["average"]
    for alpha in ("0.75", "1"):
        assert average["focal", alpha, "5"] < average[CE] - 0.012
    for method in ("cefl", "cefl2"):
        assert average[method, "", "5"] > average[CE] + 0.02


def test_the_example_counts_are_cut_off_not_rounded():
    rows = _read("text").query("metric == 'train_images' and `class` != ''")
    exact = 5000 * 10 ** (rows["class"].astype(int) / 9 - 1)
    printed = rows["value"]
    np.testing.assert_array_equal(printed, np.floor(exact + 1e-9))
    assert exact.round()[printed != exact.round()].tolist() == [
        646,
        1797,
        2321,
    ]
    # So CIFAR-100 at ratio 200 keeps 2 pictures, not 2.5, of its last class.
    assert 500 / np.floor(500 / 200) == 250


# --- Tables 4 and 5: crops and mushrooms -------------------------------------


def test_every_column_of_table_4_has_the_same_order():
    """More regular than single runs of losses that differ in scale only."""
    for dataset, last in (
        ("crop_disease", [CEFL, CEFL2]),
        ("mushrooms", [CEFL2, CEFL]),
    ):
        for metric in ("macro_f1", "accuracy"):
            table = _table_4(dataset, metric)
            for network in NETWORKS:
                column = table[network].dropna()
                expected = [CE, *FOCAL_4, *last]
                expected = [loss for loss in expected if loss in column.index]
                assert column.sort_values().index.tolist() == expected
            deeper = table.diff(axis=1).stack().dropna()
            assert (deeper > 0).all()


def test_differences_in_table_4():
    """Between CEFL and CEFL2, and over the best focal loss."""
    crops = _table_4("crop_disease", "accuracy")
    apart = crops.loc[CEFL2] - crops.loc[CEFL]
    assert apart.tolist() == pytest.approx([0.0033, 0.0011, 0.0009, 0.0011])
    gain = crops.loc[CEFL] - crops.loc[FOCAL_4].max()
    assert gain.tolist() == pytest.approx([0.0081, 0.0068, 0.0106, 0.0077])
    mushrooms = _table_4("mushrooms", "accuracy")
    apart = (mushrooms.loc[CEFL] - mushrooms.loc[CEFL2]).dropna()
    assert apart.tolist() == pytest.approx([0.0021, 0.0031, 0.0032])
    gain = mushrooms.loc[CEFL] - mushrooms.loc[FOCAL_4].max()
    assert gain.tolist() == pytest.approx([0.0221, 0.0194, 0.0223, 0.0198])
    # The three scales at gamma = 2 are 4 to 10 of 4,540 pictures apart.
    scales = crops.loc[FOCAL_4[1:]]
    apart = CROPS * (scales.max() - scales.min())
    assert apart.round().tolist() == [10, 5, 4, 9]


def test_tables_4_and_5_disagree_on_two_accuracies():
    f1 = _table_4("mushrooms", "macro_f1")["resnet101"]
    accuracy = _table_4("mushrooms", "accuracy")["resnet101"]
    for loss in (CE, FOCAL, CEFL, CEFL2):
        assert f1[loss] == _printed_average(loss, "macro_f1")
    for loss in (CE, FOCAL):
        assert accuracy[loss] == _printed_average(loss, "macro_recall")
    assert (accuracy[CEFL], accuracy[CEFL2]) == (0.6734, 0.6702)
    # With as many pictures of each class accuracy is the mean recall.
    recall = [_printed_average(x, "macro_recall") for x in (CEFL, CEFL2)]
    assert recall == [0.6737, 0.6708]
    # Hits over 2,700 pictures never print as Table 4's two numbers.
    for loss, hits in ((CEFL, 1819), (CEFL2, 1811)):
        assert _counts(loss)[0].sum() == hits
        assert not rd.fits_rounding(accuracy[loss], MUSHROOMS, decimals=4)
    assert rd.possible_hits(recall[0], MUSHROOMS, decimals=4) == [1819]


def test_most_mushroom_accuracies_are_no_share_of_2700():
    """About a quarter of all four-digit numbers fit by chance."""
    printed = _table_4("mushrooms", "accuracy").stack().dropna()
    fits = [rd.fits_rounding(x, MUSHROOMS, decimals=4) for x in printed]
    assert (sum(fits), len(fits)) == (9, 27)
    printed = _table_4("crop_disease", "accuracy").stack()
    fits = np.array([rd.fits_rounding(x, CROPS, decimals=4) for x in printed])
    assert fits.sum() == 23
    assert sorted(printed[~fits]) == [0.8144, 0.8166, 0.8223, 0.8248, 0.8265]


def test_table_5_gives_every_picture_to_one_class():
    for loss in (CE, FOCAL, CEFL, CEFL2):
        hits, predicted = _counts(loss)
        assert predicted.sum() == MUSHROOMS
        table = _table_5(loss)
        f1 = 2 * hits / (predicted + PER_CLASS)
        assert np.abs(f1 - table["f1"]).max() < 1e-4
        for metric in ("precision", "recall", "f1"):
            printed = _printed_average(loss, f"macro_{metric}")
            assert table[metric].mean() == pytest.approx(printed, abs=1e-4)


def test_last_digits_of_table_5_were_rounded_twice():
    """Five F1 and an average come from rounded numbers, not from counts."""
    off = []
    for loss in (CE, FOCAL, CEFL, CEFL2):
        hits, predicted = _counts(loss)
        table = _table_5(loss)
        p, r = table["precision"], table["recall"]
        f1 = 2 * hits / (predicted + PER_CLASS)
        wrong = np.abs(f1 - table["f1"]) > HALF + 1e-9
        off += [(loss[0], name) for name in table.index[wrong]]
        again = 2 * p * r / (p + r)
        assert np.abs(again - table["f1"]).max() <= HALF + 1e-5
    assert off == [
        ("focal", "Amanita"),
        ("cefl2", "Amanita"),
        ("cefl2", "Russula"),
        ("cefl2", "Suillus"),
        ("cefl2", "Agaricus"),
    ]
    assert round(1811 / MUSHROOMS, 4) == 0.6707
    assert _printed_average(CEFL2, "macro_recall") == 0.6708


def test_macro_f1_is_the_mean_of_the_f1s():
    for loss in (CE, FOCAL, CEFL, CEFL2):
        means = _table_5(loss).mean()
        p, r = means["precision"], means["recall"]
        printed = _printed_average(loss, "macro_f1")
        assert means["f1"] == pytest.approx(printed, abs=1e-4)
        assert 2 * p * r / (p + r) - printed > 0.028


def test_equation_13_is_not_the_accuracy_in_the_tables():
    """Per class (TP + TN) / N counts each error twice among 2,700 · 9."""
    for loss, binary in ((CE, 0.9170), (CEFL, 0.9275)):
        hits, predicted = _counts(loss)
        negatives = MUSHROOMS - PER_CLASS - predicted + hits
        each = (hits + negatives) / MUSHROOMS
        assert each.mean() == pytest.approx(binary, abs=HALF)
        printed = _printed_average(loss, "macro_recall")
        assert hits.sum() / MUSHROOMS == pytest.approx(printed, abs=HALF)


def test_the_gain_is_in_the_minor_classes():
    minor = np.isin(CLASSES, MINOR)
    hits, given = {}, {}
    for loss in (CE, FOCAL, CEFL, CEFL2):
        h, g = _counts(loss)
        hits[loss[0]] = (h[minor].sum(), h[~minor].sum())
        given[loss[0]] = g[minor].sum()
    assert hits == {
        "cross_entropy": (387, 1304),
        "focal": (457, 1305),
        "cefl": (512, 1307),
        "cefl2": (521, 1290),
    }
    # 1,200 of the 2,700 pictures are of a minor class; CEFL finds more of
    # them although it calls fewer pictures minor than cross-entropy does.
    assert given == {
        "cross_entropy": 656,
        "focal": 652,
        "cefl": 612,
        "cefl2": 647,
    }


def test_not_every_class_gains():
    before = _table_5(FOCAL)["f1"]
    for loss, lost in (
        (CEFL, {"Russula", "Cortinarius", "Boletus", "Lactarius"}),
        (CEFL2, {"Russula", "Cortinarius", "Boletus", "Lactarius"}),
    ):
        change = _table_5(loss)["f1"] - before
        assert set(change.index[change < 0]) == lost
        assert (change[MINOR] > 0.03).all()


def test_number_of_mushroom_pictures():
    """The text has 1,100 pictures fewer than the public set of nine."""
    assert PUBLIC.sum() - _text("images", "mushrooms") == 1100
    smallest = np.array(CLASSES)[np.argsort(PUBLIC)[:4]]
    assert set(smallest) == set(MINOR)
    assert PUBLIC.min() >= _text("smallest_class", "mushrooms")
    assert PUBLIC.max() >= _text("largest_class", "mushrooms")
    # 300 test pictures of each leave 11 of the smallest class to train on.
    left = PUBLIC - int(_text("test_images_per_class", "mushrooms"))
    assert left.min() == 11
    assert left.max() / left.min() == pytest.approx(114.8, abs=0.05)

"""Labels from tables: three public layouts, and each fault by its name."""

import csv

import numpy as np
import pandas as pd
import pytest
from image_files import draw

from helpers.data import load_folder
from helpers.data.labels_table import Table, read_table


def names(n, prefix="ISIC_00"):
    return [f"{prefix}{k:02}" for k in range(n)]


def put(root, table, text, encoding="utf-8"):
    root.mkdir(parents=True, exist_ok=True)
    (root / table).write_bytes(text.encode(encoding))


def images(root, *files):
    for k, file in enumerate(files):
        draw(root / file, k)


def left_out(ds):
    rows = ds.found[~ds.found["used"]]
    seen = dict(zip(rows["file"], rows["reason"], strict=True))
    return {f: r for f, r in seen.items() if r != "table that was read"}


# --- three public layouts -------------------------------------------------


def ham10000(root):
    """Two folders of images and a table that names them without extension."""
    lines = ["lesion_id,image_id,dx,dx_type,age,sex,localization,dataset"]
    for k, name in enumerate(names(12)):
        folder = f"HAM10000_images_part_{1 + k % 2}"
        draw(root / folder / f"{name}.jpg", k)
        kind = "nv" if k < 6 else ("mel" if k < 10 else "df")
        rest = f"{kind},histo,{40 + k}.0,male,back,vidir_modern"
        lines.append(f"HAM_{k // 2:07},{name},{rest}")
    put(root, "HAM10000_metadata.csv", "\n".join(lines) + "\n")


def isic2019(root):
    """One-hot ground truth, metadata apart, images one folder deeper."""
    truth = ["image,MEL,NV,BCC,UNK"]
    known = ["image,age_approx,anatom_site_general,lesion_id,sex"]
    for k, name in enumerate(names(9)):
        draw(root / f"ISIC_2019_Training_Input/{name}.jpg", k)
        hot = [float(k % 3 == c) for c in range(3)]
        truth.append(f"{name},{','.join(map(str, hot))},0.0")
        lesion = "" if k > 6 else f"BCN_{k // 3:04}"
        known.append(
            f"{name},{k}5.0,anterior torso,{lesion},{'fe' * (k % 2)}male"
        )
    put(root, "ISIC_2019_Training_GroundTruth.csv", "\n".join(truth))
    put(root, "ISIC_2019_Training_Metadata.csv", "\n".join(known))


def roboflow(root):
    """A multi-label export: a table in each set, blanks before names."""
    k = 0
    for part in ("train", "valid", "test"):
        lines = ["filename, Cyst, Papule"]
        for hot in ("1, 0", "0, 1", "1, 0", "1, 1", "0, 0"):
            k += 1
            name = f"photo{k % 5}_jpg.rf.{k:032x}.jpg"
            draw(root / part / name, k)
            lines.append(f"{name}, {hot}")
        put(root / part, "_classes.csv", "\n".join(lines))


def test_ham10000(tmp_path):
    ham10000(tmp_path)
    ds = load_folder(tmp_path, image_size=8, labels="HAM10000_metadata.csv")
    assert ds.class_names == ("df", "mel", "nv")
    assert ds.counts().tolist() == [2, 4, 6] and not left_out(ds)
    assert ds.facts["lesion_id"][0] == "HAM_0000000"
    at = ds.files.tolist().index("HAM10000_images_part_2/ISIC_0007.jpg")
    assert ds.class_names[ds.labels[at]] == "mel"
    assert ds.facts.loc[at, "lesion_id"] == "HAM_0000003"
    assert ds.published_split is None
    assert ds.provenance["labels_from"] == (
        "HAM10000_metadata.csv (files: 'image_id', labels: 'dx')"
    )


def test_isic_2019(tmp_path):
    isic2019(tmp_path)
    tables = [
        f"ISIC_2019_Training_{kind}.csv"
        for kind in ("GroundTruth", "Metadata")
    ]
    ds = load_folder(tmp_path, image_size=8, labels=tables)
    assert ds.class_names == ("BCC", "MEL", "NV")  # nothing is UNK
    assert ds.counts().tolist() == [3, 3, 3]
    assert ds.labels.tolist() == [1, 2, 0] * 3
    assert ds.facts["lesion_id"].tolist()[5:] == [
        "BCN_0001",
        "BCN_0002",
        "",
        "",
    ]
    # An image of the second table alone has facts, and no label.
    images(tmp_path, "more/ISIC_0099.jpg")
    with (tmp_path / tables[1]).open("a") as file:
        file.write("\nISIC_0099,45.0,anterior torso,,male")
    more = load_folder(tmp_path, image_size=8, labels=tables)
    unlabelled = {"more/ISIC_0099.jpg": "not in the table of labels"}
    assert left_out(more) == unlabelled and len(more) == 9
    alone = load_folder(tmp_path, image_size=8, labels=tables[0])
    assert np.array_equal(alone.labels, ds.labels)
    with pytest.raises(ValueError, match="which column .*Metadata.csv"):
        load_folder(tmp_path, image_size=8, labels=tables[1:])


def test_roboflow_classes(tmp_path):
    roboflow(tmp_path)
    ds = load_folder(tmp_path, image_size=8)
    assert ds.class_names == ("Cyst", "Papule")
    assert ds.counts().tolist() == [6, 3]
    # The sets stay as they were published.
    assert ds.published_split.tolist() == [
        part for part in ("test", "train", "val") for _ in range(3)
    ]
    reasons = pd.Series(left_out(ds))
    assert reasons.value_counts().to_dict() == {
        "two labels or more": 3,
        "empty label": 3,
    }
    assert all(reasons.index.str.match(r"(train|valid|test)/photo[40]_jpg"))
    assert ds.groups[0] == "Cyst/photo1_jpg"


# --- how a table may be written -------------------------------------------


@pytest.fixture
def root(tmp_path):
    images(tmp_path, "a/x1.JPG", "a/x2.png", "b/x3.jpeg", "x4.jpg")
    return tmp_path


ROWS = [("a/x1.JPG", "no"), ("a/x2.png", "NA"), ("b/x3.jpeg", "no")]
ROWS += [("x4.jpg", "NA")]


def label_of(root, **named):
    ds = load_folder(root, image_size=8, **named)
    return dict(
        zip(ds.files, np.array(ds.class_names)[ds.labels], strict=True)
    )


@pytest.mark.parametrize(
    ("mark", "comma"), [("", ","), ("\ufeff", ";"), ("", "\t")]
)
@pytest.mark.parametrize(
    "written",
    [
        lambda f: f,
        lambda f: f.rpartition("/")[2],
        lambda f: f.rpartition(".")[0],
        lambda f: f.rpartition("/")[2].rpartition(".")[0],
        lambda f: f.upper(),
        lambda f: f.replace("/", "\\"),
        lambda f: f"./{f} ",
    ],
)
def test_files_and_tables_as_they_are_written(root, written, mark, comma):
    """A class may be called NA; it is no missing value."""
    lines = [f"{written(f)}{comma} {c}" for f, c in ROWS]
    text = "\r\n".join([f"name{comma}label", *lines])
    put(root, "labels.csv", mark + text)
    assert label_of(root) == dict(ROWS)
    assert not left_out(load_folder(root, image_size=8))


def test_a_table_in_a_folder_of_its_own(root):
    put(root / "a", "Info.csv", "image,what\nx1,p\nx2,q\n../x4,p\n")
    names = {"labels": "a/Info.csv", "label_column": "what"}
    assert label_of(root, **names) == {"a/x1.JPG": "p", "a/x2.png": "q"}


def test_columns_by_name_where_the_guess_is_another(root):
    lines = ["id,copy_of,label,coarse"]
    lines += [f"{f},{f},{k},{k // 2}" for k, (f, _) in enumerate(ROWS)]
    put(root, "labels.csv", "\n".join(lines))
    columns = {"file_column": "copy_of", "label_column": "coarse"}
    ds = load_folder(root, image_size=8, **columns)
    assert (
        "(files: 'copy_of', labels: 'coarse')" in ds.provenance["labels_from"]
    )
    assert ds.counts().tolist() == [2, 2]
    assert load_folder(root, image_size=8).n_classes == 4
    put(root, "more.csv", "where,tone\nx2,dark\nx1,light")
    columns["labels"] = ["labels.csv", "more.csv"]
    ds = load_folder(root, image_size=8, **columns)
    assert ds.facts["tone"].tolist() == ["light", "dark", "", ""]


def test_a_column_of_repeated_values_is_the_guess(root):
    lines = [f"{f},{c}" for f, c in ROWS]
    put(root, "labels.csv", "\n".join(["where,what", *lines]))
    assert label_of(root) == dict(ROWS)


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\r\nf;label\r\nx1;no\r\nx2;NA\r\nx3;no\r\nx4;NA",
        "f,NA,no\nx1,False,True\nx2,True,False\nx3,False,True\nx4,True,False",
        ",f,label\n7,x1,no\n8,x2,NA\n9,x3,no\n9,x3,no\n6,x4,NA",
    ],
)
def test_tables_as_excel_and_pandas_write_them(root, text):
    """Excel's first line; get_dummies; an index column and a row twice."""
    put(root, "labels.csv", text)
    assert label_of(root) == dict(ROWS)


def test_names_in_another_form_of_unicode(root):
    """As a Mac packs them: a letter and its dots are two characters."""
    (root / "x4.jpg").rename(root / "u\u0308ber 4.jpg")
    put(root, "labels.csv", "f,label\nx1,a\nx2,b\n\u00dcBER 4,a")
    assert label_of(root)["u\u0308ber 4.jpg"] == "a"


# --- faults, each by its name ---------------------------------------------


@pytest.mark.parametrize(
    ("table", "named", "told"),
    [
        ("f,label\nx1,p\n", {"labels": "L.csv"}, "no table L.csv.*labels.csv"),
        (
            "f,label\nx1,p\n",
            {"label_column": "lable"},
            "LABEL_COLUMN: .* 'lable' .*only 'f', 'label'",
        ),
        ("f,label\nx1,p\n", {"file_column": "g"}, "no column 'g'"),
        ("f,g,label\nx1,y,p\n", {"file_column": "g"}, "'g', first row: 'y'"),
        ("f,label\ny,p\n", {}, "names image files in .*'f', 'label'"),
        ("f,x\nx1,p\nx2,q\n", {"label_column": "f"}, "which column"),
        ("f,what\nx1,p\nx2,q\n", {}, "which column .*LABEL_COLUMN.* 'what'"),
        ("f,label\nx1,p\nx2,P\n", {}, "'P' and 'p'.*two ways"),
        (
            "f,label\nx1,p\nx2,p\n",
            {},
            "classes in .*: p by .*2 used, 2 not in the table",
        ),
        (",f,label\nx1,x2,p\nx2,x1,q\n", {}, "each of .*'Unnamed: 0', 'f'"),
        ("f,label\nx1,p,1\nx2,q,1\n", {}, "more values than the first row"),
        ("f,label\n", {}, "labels.csv is no table .*no rows"),
        ("", {}, "labels.csv is no table"),
        ('f,label\nx1\n"x', {}, "labels.csv is no table"),
        ("x1.JPG,p\nx2.png,q\n", {}, "first row .* names an image, 'x1.JPG'"),
        ("f,label, label\nx1,p,p\n", {}, "two columns 'label'"),
        ("f,label\nx1,1\nx2,1.0\n", {}, "'1' and '1.0'.*two ways"),
        (
            "f,label\nC:\\set\\x1.jpg,p\n",
            {},
            r"'a/x1.JPG'.*first row: 'C:\\\\set\\\\x1.jpg'.* paths from",
        ),
    ],
)
def test_errors(root, table, named, told):
    put(root, "labels.csv", table)
    kind = FileNotFoundError if "labels" in named else ValueError
    with pytest.raises(kind, match=told):
        load_folder(root, image_size=8, **named)


@pytest.mark.parametrize("name", ["labels.csv", "manifest.csv"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_another_encoding_is_refused(root, name, encoding):
    put(root, name, "f,label\nx1,n\u00e9vus\nx2,p", encoding)
    told = f"{name} is no table in UTF-8 .*CSV UTF-8"
    with pytest.raises(ValueError, match=told):
        load_folder(root, image_size=8)


def test_rows_and_files_left_out_by_name(root):
    images(root, "a/same.jpg", "b/same.png", "b/twice.png", "b/none.png")
    images(root, "b/forgotten.png", "b/hot.png", "a/._x1.JPG")
    (root / "b/empty.png").touch()
    lines = [f"{f},{c}" for f, c in ROWS] + ["b/hot.png,no", "b/hot.png,no"]
    lines += ["same,no", "twice,no", "b\\twice.png,NA", "none,", "gone,NA"]
    lines += ["../out.jpg,NA", "/etc/x.jpg,NA", "C:\\x.jpg,no", ",NA"]
    lines += ["empty,no"]
    put(root, "labels.csv", "\n".join(["f,label", *lines]))
    ds = load_folder(root, image_size=8)
    assert left_out(ds) == {
        "a/._x1.JPG": "hidden",
        "a/same.jpg": "not in the table of labels",
        "b/same.png": "not in the table of labels",
        "b/forgotten.png": "not in the table of labels",
        "b/twice.png": "two labels or more",
        "b/none.png": "empty label",
        "b/empty.png": "zero-byte",
        "same": "label for several files",
        "gone": "label without a file",
        "../out.jpg": "path out of the folder",
        "/etc/x.jpg": "path out of the folder",
        "C:\\x.jpg": "path out of the folder",
        "labels.csv, line 16": "label without a file",
    }
    assert label_of(root) == dict(ROWS) | {"b/hot.png": "no"}
    assert ds.provenance["used"] == 5


def test_a_table_wins_over_class_folders_and_a_manifest_does_not(root):
    images(root, "a/x5.png", "b/x6.png")
    put(
        root,
        "manifest.csv",
        "file,label,tone\na/x1,z,1\na/x2,z,2\na/x5,z,3\nb/x3,z,4\nb/x6,z,5",
    )
    ds = load_folder(root, image_size=8)
    assert ds.class_names == ("a", "b")
    assert ds.facts["tone"].tolist() == ["1", "2", "3", "4", "5"]
    put(root, "labels.csv", "f;label\nx1;p\nx2;q\nx3;q")
    ds = load_folder(root, image_size=8)
    assert ds.class_names == ("p", "q") and len(ds) == 3
    assert ds.facts["tone"].tolist() == ["1", "2", "4"]


def test_no_table(root):
    assert read_table(root, ["a/x1.JPG"]) == Table()
    (root / "a").rename(root / "b" / "a")
    put(root, "train.csv", "f,label\nx1,p\nx3,q")
    with pytest.raises(
        ValueError, match=r"named by LABELS \(there: train.csv"
    ):
        load_folder(root, image_size=8)


def test_a_large_table_is_read_in_seconds(tmp_path):
    """Thousands of rows, without opening an image."""
    files = [f"in/{name}.jpg" for name in names(5_000)]
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "MEL", "NV"])
        rows.writerows(
            [f[3:-4], k % 2, 1 - k % 2] for k, f in enumerate(files)
        )
    table = read_table(tmp_path, files, ["labels.csv"])
    assert len(table.classes) == 5_000 and not table.left_out

"""What the notebooks draw on: rooms, each a concept of the field.

paths, session : where things lie; a notebook's profile, folders and device
imbalance : class counts, imbalance ratio and class weights; resampling; splits
    into training, validation and test sets, and what leaks
evaluation : metrics, intervals over independent groups, paired differences,
    scores of a detector
data : every data set by its name, one file read safely, the audit,
    blood-smear segmentation (Algorithm 1); images made from formulas
methods : every loss, rules that decide after training, and the one registry
models : backbones by name with their weights and preprocessing, heads,
    ResNets, frozen features
training : many networks in one compiled program, or one after another
figures : one style, one colour a method, every chart
papers : published tables beside measured ones, what rounded numbers allow, a
    sentence from an interval
check : whether the answer to an exercise is right, and if not, why
runner, run : the notebooks, headless, through papermill; the studies
book, lab : the executed notebooks as web pages; JupyterLab on them

A room imports only from those above it, and says itself what it holds and
how to add to it: a loss or a method in `methods`, a data set in `data`, an
exercise in `check`, a measured study in `runner.study`.

To add a notebook, give it the next free number, ``12_name.ipynb``; the runner,
the tests and the order of a run find it by that. It opens with one title, then
one cell tagged ``parameters`` (literals only, each annotated, but PROFILE,
DATA_DIR and RUN_DIR), then a cell that begins with
``from helpers import session`` and calls ``session.begin``. Its last sections
are *What we saw*, *Exercises* and *Further reading*. The metadata
``{"workbook": {"datasets": ["digits", "*"]}}`` name the data sets it takes,
"*" for a reader's own folder. ``tests/test_notebooks_static.py`` checks all
this; ``python -m helpers.run --in-place --only 12`` executes it.
"""

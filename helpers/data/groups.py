"""Which images belong together: the groups of a data set, by several rules."""

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from helpers.data.audit import near_duplicates
from helpers.data.dataset import ImageDataset

OWN, NEAR = "own", "near-duplicates"
"""The data set's own groups; those of images that look alike."""


def regroup(
    ds: ImageDataset, rules: str | Sequence[str] | None
) -> ImageDataset:
    """Return a data set with other groups, in ``found`` too.

    rules: "own", as the data set has them; "near-duplicates": images that are
    near duplicates, or the same to the byte, of each other, directly or by a
    chain of others; a column of ``facts``, where an empty value groups
    nothing; a regular expression with one group, searched in the path (below
    the folder of set and class), that groups what it matches alike; several
    of them: images that any rule puts together, directly or by a chain; None
    or "none": no groups. Groups of look-alikes and of several rules are named
    by their first file.

    Raises ValueError for a rule that is none of these, and for a path in
    which an expression matches nothing.
    """
    rules = [rules] if isinstance(rules, str) else rules
    # As a text too: the runner takes None for "as usual".
    rules = None if rules == ["none"] else rules
    own = OWN, ds.provenance["group_rule"]
    if rules is None:
        groups, rule = None, None
    elif not rules:
        raise ValueError("groups: an empty list; say 'own' or None")
    elif len(rules) == 1 and rules[0] in own:
        return ds
    else:
        ways = [_by(ds, rule) for rule in rules]
        groups = ways[0] if len(ways) == 1 else _joined(ds, ways)
        rule = " + ".join(rules)
    found = ds.found.copy()
    if len(ds) == found["used"].sum():
        source = "" if groups is None else groups
        found.loc[found["used"], "source"] = source
    known = {**ds.provenance, "group_rule": rule}
    return replace(ds, groups=groups, found=found, provenance=known)


def _by(ds: ImageDataset, rule: str) -> np.ndarray:
    """Return the group of each image by one rule, (N,) str."""
    columns = [] if ds.facts is None else list(ds.facts)
    if rule in (OWN, ds.provenance["group_rule"]):
        if ds.groups is None:
            raise ValueError(f"groups: {ds.name} has none of its {rule}")
        return ds.groups
    if rule == NEAR:
        return _look_alikes(ds)
    if rule in columns:
        values = ds.facts[rule].astype(str).str.strip().to_numpy(str)
        return np.where(values == "", ds.files, values)
    try:
        pattern = re.compile(rule)
        why = f"as a regular expression it has {pattern.groups} (groups)"
    except re.error as error:
        pattern, why = None, str(error)
    if pattern is None or pattern.groups != 1:
        there = ", ".join(columns) or "there is none; LABELS names one"
        raise ValueError(
            f"groups: {rule!r} is neither 'own' nor 'near-duplicates', nor a "
            f"column of a table ({there}), nor an expression with one "
            f"(group): {why}"
        )
    made, depth = [], int(ds.published_split is not None)
    for file, label in zip(ds.files, ds.labels, strict=True):
        name = ds.class_names[label]
        below = "/".join(file.split("/")[depth:]).removeprefix(f"{name}/")
        match = pattern.search(below)
        if match is None or match[1] is None:
            raise ValueError(
                f"groups: {rule!r} matches nothing in '{below}' of class "
                f"'{name}'; widen the rule or remove the file"
            )
        made.append(match[1])
    return np.array(made)


def _look_alikes(ds: ImageDataset) -> np.ndarray:
    pairs = near_duplicates(ds)
    place = pd.Series(np.arange(len(ds)), ds.files)
    edges = place[pairs["first"]].to_numpy(), place[pairs["second"]].to_numpy()
    contents = ds.found.loc[ds.found["used"], "sha256"].to_numpy(str)
    return _joined(ds, [contents], edges)


def _joined(ds, ways, edges=((), ())) -> np.ndarray:
    """Join images that are alike in any way or by an edge, by components."""
    n = len(ds)
    first, second = map(list, edges)
    for way in ways:
        # Each image and a node of its group.
        codes = np.unique(way, return_inverse=True)[1]
        start = np.unique(codes, return_index=True)[1]
        first, second = [*first, *range(n)], [*second, *start[codes]]
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(n, n))
    part = connected_components(graph, directed=False)[1]
    start = np.unique(part, return_index=True)[1]
    return ds.files[start[part]]

"""The executed notebooks as a book of web pages: ``python -m helpers.book``.

Sphinx, myst-nb and its book theme render them. No page fetches anything from
the network, so the book opens from a disk as well as from a web server.
"""

import argparse
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import nbformat
from docutils.nodes import SkipNode
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from papermill.exceptions import strip_color
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace
from sphinx.util.logging import getLogger

from helpers.paths import FIGURES_DIR, NOTEBOOKS_DIR, ROOT, RUNS_DIR
from helpers.runner.notebooks import WIDGET, Refused, clean, read_notebooks
from helpers.session import any_text, say

LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:)([^)#\s]*)(#[^)\s]*)?\)")
TITLE = "Class imbalance in image classification"
READING = """Solutions are folded: a click opens them. Each page is a notebook
as it ran; to change something and run it again, open it in JupyterLab."""

# On a phone, what is wider than the screen scrolls inside its own box.
STYLE = """
.bd-article table { display: block; overflow-x: auto; width: fit-content;
  max-width: 100%; }
.cell_output .output, .formula { overflow-x: auto; }
.cell_output pre { white-space: pre-wrap; }
.dataframe :is(td, th) { padding: .2rem .6rem; text-align: right; }
.bd-article code, .bd-article code .pre { overflow-wrap: anywhere;
  white-space: normal; }
.bd-article details { border: 1px solid var(--pst-color-border);
  border-radius: .25rem; padding: .5rem 1rem; margin: 1rem 0; }
.bd-article summary { cursor: pointer; font-weight: 600; }
.formula { margin: 1rem 0; }
mfrac > * { padding-block: .15em; }
@media (max-width: 600px) {
  .bd-article :is(p, li, td) a { overflow-wrap: anywhere; }
  .cell_output pre { font-size: .7rem; }
  .prev-next-area a { max-width: 100% !important; }
}
"""
# A page on a disk may not read the others, for extracts of what was found.
SCRIPT = """if (location.protocol === "file:")
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;"""
SETTINGS = {
    "project": TITLE,
    "extensions": ["myst_nb", "helpers.book"],
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},
    "nb_render_markdown_format": "myst",
    "myst_dmath_double_inline": True,  # $$ inside a paragraph
    "myst_enable_extensions": ["dollarmath"],
    "html_title": TITLE,
    "html_theme": "sphinx_book_theme",
    "html_theme_options": {
        "footer_content_items": [],
        "navbar_persistent": [],
        "search_bar_text": "Search",
        "use_download_button": False,
    },
    "html_context": {"default_mode": "auto"},
    "html_copy_source": False,
    "html_css_files": ["book.css"],
    "html_js_files": [(None, {"body": SCRIPT})],
    "html_math_renderer": "mathml",
    "html_static_path": ["_static"],
    "html_use_index": False,
}


def setup(app: Sphinx) -> None:
    """Teach Sphinx to write formulas as MathML, which browsers draw alone."""
    app.add_html_math_renderer("mathml", (_formula, None), (_formula, None))


def _formula(translator, node) -> None:
    block = node.tagname == "math_block"
    # Of \big( and the like: browsers choose the size of brackets themselves.
    tex = re.sub(r"\\[bB]igg?[lrm]?(?![a-zA-Z])", "", node.astext())
    try:
        formula = tex2mathml(tex.strip(), as_block=block)
        around = ("<div class='formula'>", "</div>") if block else ("", "")
        translator.body.append(formula.join(around))
    except MathError as error:
        wrong = f"no MathML for the formula {tex}: {error}"
        getLogger(__name__).warning(wrong, location=node)
    raise SkipNode


def newest_run(
    notebooks_dir: Path = NOTEBOOKS_DIR, runs_dir: Path = RUNS_DIR
) -> Path | None:
    """The notebooks of the newest run, none in smoke, that has all of them.

    A run of other cells than those of ``notebooks_dir`` does not count; None
    where no run is left.
    """

    def cells(path: Path) -> list[str]:
        return [c.source for c in clean(nbformat.read(path, 4)).cells]

    there = [n.path for n in read_notebooks(notebooks_dir)]
    for ran in sorted(runs_dir.glob("[0-9]*-*/notebooks"), reverse=True):
        if not ran.parent.name.endswith("-smoke") and all(
            (ran / path.name).is_file()
            and cells(ran / path.name) == cells(path)
            for path in there
        ):
            return ran
    return None


def build(notebooks_dir: Path, book_dir: Path = RUNS_DIR / "book") -> Path:
    """Render the notebooks of a folder; returns the path of index.html.

    An earlier book goes once the new one is whole. Raises ``Refused`` with
    Sphinx's words where it has anything to warn of.
    """
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as place:
        source, pages, trees = (Path(place) / name for name in "spt")
        _write_source(notebooks_dir, source)
        folders = source, None, pages, trees
        with docutils_namespace():
            Sphinx(*folders, "html", SETTINGS, None, said).build()
        if wrong := strip_color(said.getvalue()):
            raise Refused(f"the book is not whole:\n{wrong}")
        shutil.rmtree(book_dir, ignore_errors=True)
        shutil.move(pages, book_dir)
    return book_dir / "index.html"


def _write_source(notebooks_dir: Path, source: Path) -> None:
    """What Sphinx reads: a page a notebook, one for teachers, the front."""
    shutil.copytree(FIGURES_DIR, source / "figures")
    (source / "_static").mkdir()
    (source / "_static/book.css").write_text(STYLE)
    found = sorted(read_notebooks(notebooks_dir), key=lambda n: n.name)
    pages = {NOTEBOOKS_DIR / n.path.name: n.path.name for n in found}
    pages[NOTEBOOKS_DIR / "README.md"] = "teaching.md"
    entries, table = [], ""
    for notebook in found:
        nb = _for_page(nbformat.read(notebook.path, 4), pages)
        nbformat.write(nb, source / notebook.path.name)
        title = re.search(r"(?m)^# (.*)", nb.cells[0].source)[1]
        entries.append(f"{notebook.number}. {title} <{notebook.name}>")
        for output in (o for c in nb.cells for o in c.get("outputs", [])):
            text = output.get("data", {}).get("text/markdown", "")
            table = text if text.startswith("| notebook | question") else table
    tree = ["```{toctree}", ":hidden:", *entries, "teaching", "```"]
    readme = (ROOT / "README.md").read_text("utf-8")
    opening = linked(readme.split("\n## ")[0], ROOT, pages)
    front = [opening, "## The notebooks", table, READING, "\n".join(tree)]
    guide = (NOTEBOOKS_DIR / "README.md").read_text("utf-8")
    guide = linked(guide, NOTEBOOKS_DIR, pages)
    (source / "teaching.md").write_text(guide, "utf-8")
    (source / "index.md").write_text("\n\n".join(front), "utf-8")


def _for_page(nb: nbformat.NotebookNode, pages: Mapping[Path, str]):
    """A notebook whose links stay in the book, without widgets."""
    nb.metadata["language_info"] = {"name": "python"}
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(cell.source, NOTEBOOKS_DIR, pages)
            continue
        if "injected-parameters" in cell.metadata.get("tags", []):
            # It names a folder of this machine.
            cell.source = re.sub("(?m)^RUN_DIR = .*\n?", "", cell.source)
        shown = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
        cell.outputs = shown
        for data in (output.get("data", {}) for output in shown):
            if text := data.get("text/markdown"):
                data["text/markdown"] = linked(text, NOTEBOOKS_DIR, pages)
    return nb


def linked(text: str, base: Path, pages: Mapping[Path, str]) -> str:
    """Markdown whose links to files are links to pages, else plain words.

    ``base`` is the folder at which its links start, ``pages`` the page of
    each file that has one. A link that shows its path shows the page's title.
    """

    def link(match: re.Match) -> str:
        words, target, place = match.groups("")
        page = pages.get(Path(os.path.normpath(base / target)))
        # MyST puts the title into []; a name with spaces wraps in a table.
        shown = "" if words == target else words.replace("_", " ")
        return f"[{shown}]({page}{place})" if page else words

    return LINK.sub(link, text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and build; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m helpers.book",
        description="Render executed notebooks as web pages in runs/book.",
    )
    told = "folder of the notebooks (default: those of the newest run, none in"
    told += " smoke, of all notebooks as they are now; without one, notebooks)"
    parser.add_argument("folder", nargs="?", type=Path, help=told)
    any_text()
    folder = parser.parse_args(arguments).folder
    try:
        folder = folder or newest_run() or NOTEBOOKS_DIR
        say(f"Rendering the notebooks in {folder}")
        say(f"Open {build(folder)}")
    except Refused as error:
        say(f"error: {error}", sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

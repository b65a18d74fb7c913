"""The book and JupyterLab, as a reader's browser shows them."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.parse import unquote, urlsplit
from urllib.request import urlopen

import nbformat
import pytest

from helpers.book import build
from helpers.paths import NOTEBOOKS_DIR, ROOT

api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed"
)
NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
PHONE = {"width": 390, "height": 844}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium or Chrome here"),
    # Sphinx tells the authors of its extensions.
    pytest.mark.filterwarnings("ignore:.*Check CHANGES for Sphinx"),
]

# What reaches beyond the screen and does not scroll inside a box of its own.
CUT = """() => {
  const main = document.querySelector(".bd-article-container");
  const cut = (box) => {
    if (box.getBoundingClientRect().right <= innerWidth + 1) return false;
    for (let p = box; p !== main; p = p.parentElement)
      if (["auto", "scroll"].includes(getComputedStyle(p).overflowX))
        return p.getBoundingClientRect().right > innerWidth + 1;
    return true;
  };
  const kinds = "table, pre, img, svg, math, code, a";
  return [...main.querySelectorAll(kinds)].filter(cut).map(
    (box) => box.tagName + ": " + box.textContent.slice(0, 80));
}"""
# Marks of Markdown and of TeX that came out as text.
MARKS = r"""() => {
  const page = document.querySelector(".bd-article-container").cloneNode(true);
  page.querySelectorAll("pre, code, math, script").forEach((p) => p.remove());
  return page.textContent.match(/.{0,40}(\$|\*\*|\\[a-z]).{0,40}/g);
}"""
EMPTY = "() => [...document.images].filter((i) => !i.naturalWidth).length"
LINKS = "() => [...document.querySelectorAll('a[href]')].map((a) => a.href)"


@pytest.fixture(scope="module")
def browser():
    args = ["--no-sandbox"] * IS_ROOT
    with api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=CHROMIUM, args=args)
        yield started
        started.close()


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    return build(NOTEBOOKS_DIR, tmp_path_factory.mktemp("book") / "book")


@pytest.fixture
def page(browser, request):
    """A page; at the end, it has complained of nothing and asked nobody."""
    page, wrong = browser.new_page(), []
    page.set_default_timeout(120_000)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda m: m.type == "error" and wrong.append(m.text))
    local = ("file:", "data:", "blob:", "http://127.0.0.1")
    page.on(
        "request",
        lambda r: (
            r.url.startswith(local) or wrong.append(f"asked for {r.url}")
        ),
    )
    yield page
    page.close()
    assert wrong == []


def test_every_page_fits_a_phone_and_its_links_lead_somewhere(page, book):
    page.set_viewport_size(PHONE)
    written = {path.stem for path in book.parent.glob("*.html")}
    assert written >= {path.stem for path in NOTEBOOKS_DIR.glob("*.ipynb")}
    for name in sorted(written):
        page.goto((book.parent / f"{name}.html").as_uri())
        assert page.evaluate(CUT) == [], name
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate(MARKS) is None, name
        assert page.evaluate(EMPTY) == 0, name
        links = {urlsplit(link) for link in page.evaluate(LINKS)}
        for link in links:
            file = link.path if os.name == "posix" else link.path[1:]
            assert link.scheme != "file" or os.path.exists(unquote(file)), link


def test_search_finds_a_page(page, book):
    page.goto(book.as_uri())
    page.keyboard.press("Control+k")
    page.locator("input[type=search]:visible").first.fill("logit adjustment")
    page.keyboard.press("Enter")
    hits = page.locator("#search-results li a")
    hits.first.wait_for()
    assert hits.count() >= 2
    hits.first.click()
    article = page.locator("article").inner_text().lower()
    assert "logit adjustment" in article


def test_a_solution_is_folded_and_opens(page, book):
    page.goto((book.parent / "00_start_here.html").as_uri())
    solution = page.locator("details").filter(has_text="def f1_answer")
    code = solution.locator("pre")
    assert not code.is_visible()
    solution.locator("summary").click()
    assert code.is_visible()


def test_the_front_page_leads_to_all_notebooks(page, book):
    page.goto(book.as_uri())
    there = [path.stem for path in sorted(NOTEBOOKS_DIR.glob("*.ipynb"))]
    links = [
        page.locator(f"{where} a").evaluate_all(
            "(links) => links.map((a) => a.getAttribute('href').slice(0, -5))"
        )
        for where in ("nav.bd-links", "article table")
    ]
    assert links[0] == [*there, "teaching"]
    assert sorted(links[1]) == there


OPEN = """async (path) => {
  const panel = await jupyterapp.commands.execute("docmanager:open", {path});
  await panel.context.ready;
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session.kernel;
  await kernel.info;
  await kernel.spec;
}"""
CELLS = "() => jupyterapp.shell.currentWidget.content.model.toJSON().cells"
IDLE = """() => {
  const panel = jupyterapp.shell.currentWidget;
  const cells = panel.content.model.toJSON().cells;
  const code = cells.filter((c) => c.cell_type === "code" && c.source.length);
  return panel.sessionContext.session?.kernel?.status === "idle"
    && (code.every((c) => c.execution_count)
      || code.some((c) => c.outputs.some((o) => o.output_type === "error")));
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """The address of a JupyterLab on a copy of the notebooks.

    They write into the copy's folder. It is started as by ``make lab``.
    One more, ``odd.ipynb``, has other metadata than JupyterLab would write.
    """
    place = tmp_path_factory.mktemp("lab")
    for path in NOTEBOOKS_DIR.glob("*.ipynb"):
        nb = nbformat.read(path, as_version=4)
        # As if another Python had executed it.
        nb.metadata.language_info.version = "3.11.0"
        for cell in nb.cells:
            if "parameters" in cell.metadata.get("tags", []):
                mine = f"RUN_DIR = {str(place / 'run')!r}"
                cell.source = cell.source.replace("RUN_DIR = None", mine)
        nbformat.write(nb, place / path.name)
    nb.metadata.language_info = {"name": "python"}
    nbformat.write(nb, place / "odd.ipynb")
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    for kind in ("JUPYTER_CONFIG", "JUPYTER_RUNTIME", "JUPYTERLAB_SETTINGS"):
        env[f"{kind}_DIR"] = str(place / ".jupyter" / kind)
    env["JUPYTERLAB_WORKSPACES_DIR"] = str(place / ".jupyter/workspaces")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser"]
    command += [f"--port={port}", "--expose-app-in-browser"]
    command += [f"--ServerApp.root_dir={place}", "--IdentityProvider.token="]
    command += re.findall(r"--ServerApp\S+", (ROOT / "Makefile").read_text())
    command += ["--LabApp.news_url=None"] + ["--allow-root"] * IS_ROOT
    never = "jupyterlab.NeverCheckForUpdate"
    command.append(f"--LabApp.check_for_updates_class={never}")
    address, log = f"http://127.0.0.1:{port}/lab", place / ".jupyter/log"
    log.parent.mkdir()
    with log.open("w") as out:
        both = {"stdout": out, "stderr": subprocess.STDOUT}
        server = subprocess.Popen(command, cwd=place, env=env, **both)
    try:
        for _ in range(240):
            assert server.poll() is None, log.read_text()
            try:
                urlopen(address).close()
                break
            except URLError:
                time.sleep(0.5)
        yield address
    finally:
        server.terminate()  # and its kernels
        server.wait(60)


@pytest.fixture
def start(page, lab):
    page.set_viewport_size({"width": 1400, "height": 1000})
    page.goto(f"{lab}?reset")
    page.wait_for_function("() => window.jupyterapp")
    page.evaluate("() => jupyterapp.restored.then(() => null)")
    return page


def run_all(page):
    """Run all cells by the menu; returns the cells once all have run."""
    edit, run = (
        page.locator(f".lm-MenuBar-itemLabel:text-is('{name}')")
        for name in ("Edit", "Run")
    )
    edit.click()
    page.get_by_text("Clear Outputs of All Cells", exact=True).click()
    run.click()
    page.get_by_text("Run All Cells", exact=True).click()
    page.wait_for_function(IDLE, timeout=300_000, polling=500)
    cells = page.evaluate(CELLS)
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert [o for o in outputs if o["output_type"] == "error"] == []
    return cells


def test_opening_a_notebook_does_not_mark_it_as_modified(start):
    names = [path.name for path in sorted(NOTEBOOKS_DIR.glob("*.ipynb"))]
    for name in ["odd.ipynb", *names]:
        start.evaluate(OPEN, name)
    dirty = start.locator(".lm-TabBar-tab.jp-mod-dirty")
    dirty.first.wait_for()
    start.wait_for_timeout(1000)
    assert dirty.all_inner_texts() == ["odd.ipynb"]
    assert start.locator(".lm-DockPanel-tabBar .lm-TabBar-tab").count() == 14
    start.evaluate("() => jupyterapp.serviceManager.sessions.shutdownAll()")


def test_the_first_notebook_runs_by_its_menu_and_shows_its_figure(start):
    start.evaluate(OPEN, "00_start_here.ipynb")
    change_profile(start)
    run_all(start)
    figure = start.locator(".jp-OutputArea-output img").first
    figure.scroll_into_view_if_needed()
    assert figure.bounding_box()["width"] > 200


def change_profile(page):
    """Type another value into the parameters cell, as a reader does."""
    line = page.locator(".cm-line").filter(has_text="PROFILE = ").first
    line.click()
    page.keyboard.press("Home")
    page.keyboard.press("Shift+End")
    page.keyboard.type('PROFILE = "smoke"')
    assert page.locator(".lm-TabBar-tab.jp-mod-dirty").count() == 1


def test_another_profile_is_typed_in_and_the_notebook_runs(start):
    start.evaluate(OPEN, "03_baseline_vs_weighted.ipynb")
    change_profile(start)
    cells = run_all(start)
    setup = next(c for c in cells if "session.begin" in "".join(c["source"]))
    assert "Profile: smoke" in str(setup["outputs"])

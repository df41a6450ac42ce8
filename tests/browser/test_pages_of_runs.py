"""Index, comparison and sweep in a browser; and nothing that a run carries is ever run by any page."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from playwright.sync_api import Browser, Page, expect
from typer.testing import CliRunner

from workbench.cli import app
from workbench.parameters import read_notebook
from workbench.report.check import check
from workbench.report.sweep import Sweep, SweptRun
from workbench.report.sweep_page import write_sweep_page

pytestmark = pytest.mark.browser

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'><b>&amp;"
NOTEBOOK = """
import pandas as pd
import matplotlib.pyplot as plt
import plotly.graph_objects as go
import workbench as wb
from IPython.display import display
display(pd.DataFrame({text: [text, "b"]}))
plt.plot([0, 1]); plt.title(text.replace("$", "")); plt.show()
go.Figure(go.Scatter(x=[1, 2], y=[1, 2], name=text), layout={"title": {"text": text}}).show()
print(text)
wb.record("words", text)
wb.record("length", len(text) * k)
wb.record("trace", wb.Estimate(text, 1.0 * k, 0.1, (1.0, 2.0 * k), 2))
"""


@dataclass
class Opened:
    page: Page
    dialogs: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[[Path], Opened]]:
    contexts = []

    def open_page(path: Path, figures: bool = True) -> Opened:
        context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.on("dialog", lambda dialog: (opened.dialogs.append(dialog.message), dialog.dismiss()))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("console", lambda m: m.type == "error" and opened.complaints.append(m.text))
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.goto(path.as_uri())
        if figures:
            opened.page.wait_for_selector("html[data-figures=ready]", state="attached", timeout=120_000)
        return opened

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Two runs whose parameter, figures, table, result, title and log all say what no page may do."""
    folder = tmp_path_factory.mktemp("evil")
    cells = [
        new_markdown_cell("# A title\n\ntext"),
        new_code_cell("text: str = 'a'\nk: int = 1", metadata={"tags": ["parameters"]}),
        new_code_cell(NOTEBOOK),
    ]
    metadata = {"workbench": {"title": EVIL}}
    nbformat.write(new_notebook(cells=cells, metadata=metadata), folder / "evil.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_REPORTS", str(folder))
        for k in "12":
            command = "from workbench.cli import main; main()"
            arguments = ["report", folder / "evil.ipynb", "-p", "text", EVIL, "-p", "k", k, "-o", folder / k]
            done = subprocess.run([sys.executable, "-c", command, *arguments], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
        assert CliRunner().invoke(app, ["compare", "1", "2"]).exit_code == 1
        assert CliRunner().invoke(app, ["index"]).exit_code == 0
        check([folder / "1"], update=True)
        check([folder / "2"])
        yield folder


def harmless(opened: Opened, path: Path) -> None:
    assert opened.dialogs == []
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]


def test_a_report_shows_a_parameter_as_text(reports: Path, open_page: Callable[[Path], Opened]) -> None:
    opened = open_page(reports / "1" / "report.html")
    page = opened.page
    expect(page.get_by_role("heading", level=1).first).to_have_text(EVIL)
    expect(page.locator(".parameters td code").first).to_have_text(EVIL)
    assert "alert(1)" in page.locator("#command").inner_text()
    assert page.locator("table.dataframe thead th").nth(1).inner_text() == EVIL
    page.locator("table.dataframe thead th button").nth(1).click()
    page.get_by_role("button", name="Enlarge").first.click()
    expect(page.get_by_role("dialog").locator("img")).to_be_visible()
    harmless(opened, reports / "1" / "report.html")


def test_a_comparison_shows_it_as_text(reports: Path, open_page: Callable[[Path], Opened]) -> None:
    path = reports / "2" / "compared-1.html"
    opened = open_page(path)
    expect(opened.page.locator("h2#figures ~ .scroll td").filter(has_text=EVIL).first).to_be_visible()
    opened.page.get_by_text("Tables", exact=True).click()
    assert opened.page.locator("table.dataframe thead th").nth(1).inner_text() == EVIL
    expect(opened.page.locator(".js-plotly-plot .ytitle")).to_contain_text("alert(1)")
    colors = opened.page.evaluate(
        "() => document.querySelector('.js-plotly-plot')._fullData.map((a) => [a.name, a.line.color])"
    )
    assert colors == [["A", "#0072b2"], ["B", "#d55e00"]]
    harmless(opened, path)


def test_the_index_shows_it_as_text_and_filters(reports: Path, open_page: Callable[[Path], Opened]) -> None:
    opened = open_page(reports / "index.html")
    page = opened.page
    rows = page.locator(".runs tbody tr:visible")
    expect(rows).to_have_count(2)
    expect(rows.first.get_by_role("link")).to_have_text(EVIL)
    expect(rows.first.locator("code").first).to_have_text(f"text={EVIL}")
    page.get_by_label("Parameters").fill("K=2 ALERT")
    expect(rows).to_have_count(1)
    expect(page.locator("#count")).to_have_text("1 of 2 runs")
    page.get_by_label("Parameters").fill("k=2 nothing")
    expect(rows).to_have_count(0)
    page.get_by_role("button", name="Clear").click()
    expect(rows).to_have_count(2)
    page.get_by_label("Status").select_option("ok")
    page.get_by_label("Notebook").select_option("evil")
    expect(rows).to_have_count(2)
    page.get_by_label("From", exact=True).fill("2999-01-01")
    expect(rows).to_have_count(0)
    page.get_by_label("From", exact=True).fill("2000-01-01")
    page.get_by_label("To", exact=True).fill("2001-01-01")
    expect(rows).to_have_count(0)
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="Parameters set").dblclick()
    expect(rows.first.locator("code").last).to_have_text("k=2")  # 1 is the default, so not named
    harmless(opened, reports / "index.html")
    rows.first.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1).first).to_have_text(EVIL)


def test_a_drift_shows_it_as_text_and_both_pictures(reports: Path, open_page: Callable[..., Opened]) -> None:
    path = reports / "2" / "drift.html"
    opened = open_page(path, figures=False)
    page = opened.page
    expect(page.get_by_role("heading", level=1)).to_have_text(EVIL)
    rows = page.locator("tbody tr")
    assert [row.split("\t")[0] for row in rows.all_inner_texts()] == ["length", "k", "words"]
    assert rows.last.locator("td").all_inner_texts()[:2] == [EVIL, EVIL]
    expect(page.locator("figure img")).to_have_count(2)
    assert page.evaluate("() => [...document.images].every((image) => image.naturalWidth > 300)")
    left, right = (each.bounding_box() for each in page.locator("figure img").all())
    assert left["x"] + left["width"] <= right["x"]
    assert left["y"] == right["y"]
    harmless(opened, path)


@pytest.fixture
def swept(reports: Path, tmp_path: Path) -> Path:
    """The page of a sweep over two parameters, one of whose runs failed."""
    grid = {"k": [1, 2, 10], "text": ["a", EVIL]}
    runs = []
    for k in grid["k"]:
        for text in grid["text"]:
            good = (k, text) != (10, EVIL)
            figures = {"trace": 100.0 / k, EVIL: float(k * len(text)), "words": text} if good else {}
            end = ("ok", 0, 1.5 * k, None) if good else ("failed", 3, 2.0, f"cell [1] raised {EVIL}")
            runs.append(SweptRun(f"run-{len(runs)}", {"text": text, "k": k}, *end, figures))
    (tmp_path / "run-0").mkdir()
    (tmp_path / "run-0" / "report.html").write_text("<!DOCTYPE html><title>A report</title>")
    write_sweep_page(
        Sweep(read_notebook(reports / "evil.ipynb"), grid, tmp_path, tuple(runs)), tmp_path / "sweep.html"
    )
    return tmp_path / "sweep.html"


def test_a_sweep_draws_its_figures_over_the_grid(swept: Path, open_page: Callable[[Path], Opened]) -> None:
    opened = open_page(swept)
    lines = opened.page.evaluate(
        """() => document.querySelector(".js-plotly-plot")._fullData.map(
          ({ name, x, y }) => [name, Array.from(x), Array.from(y)])"""
    )
    evil = f"text = {EVIL}".replace("&", "&amp;").replace("<", "&lt;")  # plotly reads a little HTML
    assert lines == [
        ["text = a", [1, 2, 10], [100, 50, 10]],
        ["text = a", [1, 2, 10], [1, 2, 10]],
        [evil, [1, 2], [100, 50]],
        [evil, [1, 2], [len(EVIL), 2 * len(EVIL)]],
    ]
    expect(opened.page.locator(".legendtext").last).to_have_text(f"text = {EVIL}")
    expect(opened.page.locator(".js-plotly-plot .ytitle, .js-plotly-plot .y2title").last).to_have_text(EVIL)
    harmless(opened, swept)


def test_a_sweep_has_a_table_that_sorts_and_leads_to_each_run(
    swept: Path, open_page: Callable[[Path], Opened]
) -> None:
    opened = open_page(swept)
    page = opened.page
    expect(page.get_by_role("heading", level=1)).to_have_text(EVIL)
    table = page.locator("h2#runs ~ .scroll table").first
    assert table.locator("thead th").all_inner_texts() == [
        "run", "k", "text", "status", "seconds", "trace", EVIL, "words",
    ]  # fmt: skip
    column = table.locator("tbody tr > :nth-child(2)")
    table.get_by_role("button", name="seconds").dblclick()  # the largest first
    assert column.all_inner_texts() == ["10", "2", "2", "10", "1", "1"]
    table.get_by_role("button", name="k", exact=True).click()
    assert column.all_inner_texts() == ["1", "1", "2", "2", "10", "10"]
    expect(table.locator("td", has_text="failed")).to_have_attribute("title", f"cell [1] raised {EVIL}")
    expect(page.locator("h2#failures + dl dd")).to_have_text(f"cell [1] raised {EVIL}")
    harmless(opened, swept)
    table.get_by_role("link", name="run-0").click()
    expect(page).to_have_title("A report")


@pytest.mark.parametrize(
    "place", ["index.html", "2/compared-1.html", "1/report.html", "2/drift.html", "sweep.html"]
)
def test_a_telephone_has_no_sideways_scroll(
    reports: Path, swept: Path, open_page: Callable[..., Opened], place: str
) -> None:
    page = open_page(swept if place == "sweep.html" else reports / place, figures="drift" not in place).page
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390

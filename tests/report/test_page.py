import base64
import gzip
import json
import re

import nbformat
import plotly.graph_objects as go
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from workbench.report.page import write_page

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"
VIEW = {"model_id": "0123", "version_major": 2, "version_minor": 0}


def code(source, *outputs, tags=(), count=1):
    return new_code_cell(source, outputs=list(outputs), execution_count=count, metadata={"tags": list(tags)})


def display(**data):
    return new_output("display_data", data=data)


def stream(text, name="stderr"):
    return new_output("stream", name=name, text=text)


def figure(name="a"):
    return json.loads(go.Figure(go.Scatter(x=[1, 2], y=[3, 4], name=name)).to_json())


ERROR = new_output(
    "error", ename="ValueError", evalue="k is 0", traceback=["\x1b[31mTraceback\x1b[0m", "<b>"]
)


@pytest.fixture
def page(tmp_path):
    """Write a page from cells and read it back."""

    def write(*cells, title="A title", status="ok", parameters=(), details=None, metadata=None):
        notebook = new_notebook(cells=list(cells), metadata=metadata or {})
        nbformat.validate(notebook)
        path = tmp_path / "report.html"
        write_page(
            notebook, path, title=title, status=status, parameters=list(parameters), details=details or {}
        )
        return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")

    return write


def words(element):
    return " ".join(element.get_text().split())


def test_heading(page):
    soup = page(
        new_markdown_cell("# A <b>title</b>\n\nThe question."),
        title="A <b>title</b>",
        parameters=[("k", "20", "how many <pairs>"), ("problem", "digits-cnn", "what")],
        details={"torch": "2.13.0", "took": "3 s"},
    )
    assert soup.title.string == "A <b>title</b>"
    assert [words(heading) for heading in soup.find_all("h1")] == ["A <b>title</b>"]
    rows = [
        [words(cell) for cell in row.find_all(["th", "td"])] for row in soup.select(".parameters tbody tr")
    ]
    assert rows == [["k", "20", "how many <pairs>"], ["problem", "digits-cnn", "what"]]
    assert words(soup.select_one(".run-details dl")) == "torch2.13.0took3 s"
    assert words(soup.select_one(".status.good")) == "ok"
    assert soup.select(".banner") == []
    assert "The question." in words(soup.main)


def test_another_first_heading_stays(page):
    soup = page(new_markdown_cell("# Another\n\ntext"), title="A title")
    assert [words(heading).rstrip("¶") for heading in soup.find_all("h1")] == ["A title", "Another"]


def test_the_notebook_is_not_changed(tmp_path):
    notebook = new_notebook(
        cells=[code("k = 1", tags=["parameters"]), code("x", stream("a"), stream("b"), ERROR)]
    )
    before = nbformat.writes(notebook)
    write_page(notebook, tmp_path / "a.html", title="t", parameters=[], status="failed", details={})
    assert nbformat.writes(notebook) == before


def test_parameters_and_papermills_notice_are_hidden(page):
    soup = page(
        code("k = 1", tags=["parameters"]),
        code("k = 2", tags=["injected-parameters"]),
        new_markdown_cell("An Exception was encountered", metadata={"tags": ["papermill-error-cell-tag"]}),
        code("shown = 3"),
    )
    assert [words(cell) for cell in soup.select("details.code .highlight")] == ["shown = 3"]
    assert "An Exception" not in words(soup.main)


def test_parameters_that_raise_are_shown(page):
    soup = page(code("k = 1 / 0", ERROR, tags=["parameters"]), status="failed")
    assert "k = 1 / 0" in words(soup.select_one("details.code"))


def test_a_failure_is_told_and_linked(page):
    soup = page(code("fine"), code("bad()", ERROR, count=2), code("never", count=None), status="failed")
    banner = soup.select_one(".banner[role=alert]")
    assert "ValueError: k is 0" in words(banner)
    cell = soup.find(id=banner.a["href"].removeprefix("#"))
    assert "bad()" in words(cell)
    assert cell.select_one("details.code").has_attr("open")
    assert "Traceback <b>" in words(cell.select_one(".error-output pre"))
    assert len(soup.select("details.code[open]")) == 1
    assert words(soup.select_one(".status.bad")) == "failed"


def test_a_killed_kernel_is_linked_to_the_cell_that_did_not_end(page):
    soup = page(code("fine"), code("hungry()", count=None), code("never", count=None), status="kernel died")
    cell = soup.find(id=soup.select_one(".banner a")["href"].removeprefix("#"))
    assert "hungry()" in words(cell)


def test_a_lesson_that_raises_on_purpose_is_no_failure(page):
    soup = page(code("1 / 0", ERROR, tags=["raises-exception"]))
    assert soup.select(".banner") == []
    assert soup.select_one(".error-output") is not None


def test_progress_in_text_takes_a_line(page):
    bars = [stream(f"\r{percent}%|{'#' * percent}| {percent}/100") for percent in range(101)]
    soup = page(code("train()", *bars, stream("\ndone\n"), stream("printed\n", "stdout")))
    printed = [words(pre) for pre in soup.select(".jp-OutputArea pre")]
    assert printed == [f"100%|{'#' * 100}| 100/100 done", "printed"]


def test_widgets(page):
    bar = "  0%|          | 0/30 [00:00<?, ?it/s]"
    soup = page(
        code("bar", display(**{WIDGET: VIEW, "text/plain": bar})),
        code("slider", display(**{WIDGET: VIEW, "text/plain": "IntSlider(value=1)"})),
        code("twin", display(**{WIDGET: VIEW, "text/plain": "VBox()", "text/html": "<i>static twin</i>"})),
        metadata={"widgets": {"application/vnd.jupyter.widget-state+json": {"state": {"0123": {"big": 1}}}}},
    )
    outputs = [words(area) for area in soup.select(".jp-OutputArea")]
    assert outputs == ["An interactive control stands here in JupyterLab.", "static twin"]
    assert "0123" not in str(soup)


def test_an_unknown_output_is_told(page):
    soup = page(code("x", display(**{"application/x-odd": "data"})))
    assert "application/x-odd" in words(soup.select_one(".jp-OutputArea .left-out"))
    assert "application/x-odd" in words(soup.select_one(".banner.warn"))


def test_an_output_that_needs_the_network_is_told(page):
    soup = page(code("x", display(**{"text/html": '<script src="https://example.org/a.js"></script>'})))
    assert "https://example.org/a.js" in words(soup.select_one(".banner.warn"))


def test_formulas_that_cannot_be_set_are_told(page):
    latex = display(**{"text/latex": r"$\nosuch{y}$", "text/plain": "y"})
    soup = page(new_markdown_cell(r"$\foo x$ and $z$"), code("x", latex))
    assert [words(item) for item in soup.select(".banner.warn li")] == [
        r"unknown command \foo in $\foo x$",
        r"unknown command \nosuch in $\nosuch{y}$",
    ]
    assert [words(source) for source in soup.select("code.left-out")] == [r"$\foo x$", r"$\nosuch{y}$"]


def test_maths_and_markdown_in_outputs(page):
    soup = page(
        code("a", display(**{"text/latex": r"$\displaystyle \lambda$", "text/plain": "l"})),
        code("b", display(**{"text/markdown": "**bold** $x$", "text/plain": "m"})),
    )
    assert len(soup.select(".jp-OutputArea math")) == 2
    assert words(soup.select_one(".jp-OutputArea strong")) == "bold"


def test_plotly_is_inside_once_and_whole(page):
    from plotly.offline import get_plotlyjs

    soup = page(
        code("a", display(**{PLOTLY: figure("</script><!--")})), code("b", display(**{PLOTLY: figure()}))
    )
    (packed,) = soup.select("#plotly-js")
    assert gzip.decompress(base64.b64decode(packed.string)).decode() == get_plotlyjs()
    inlined = [script.string for script in soup.select(".plotly-figure script")]
    assert [json.loads(each)["data"][0]["name"] for each in inlined] == ["</script><!--", "a"]
    assert "<" not in inlined[0]
    assert len(str(soup)) < 3_000_000


def test_a_page_without_plotly_is_small(page):
    assert len(str(page(code("x", stream("text"))))) < 100_000


def test_a_still_comes_with_its_figure(page):
    svg = "<svg xmlns='http://www.w3.org/2000/svg'/>"
    soup = page(
        code("a", display(**{PLOTLY: figure(), "image/png": "QUJD\n"})),
        code("b", display(**{PLOTLY: figure(), "image/png": "QUJD", "image/svg+xml": svg})),
        code("c", display(**{PLOTLY: figure()})),
        code("d", display(**{PLOTLY: figure(), "image/jpeg": "QUJD"})),
    )
    first, second, third, fourth = soup.select(".plotly-still")
    assert fourth["src"] == "data:image/jpeg;base64,QUJD"
    assert first["src"] == "data:image/png;base64,QUJD"
    assert base64.b64decode(second["src"].removeprefix("data:image/svg+xml;base64,")).decode() == svg
    assert not third.has_attr("src")
    assert len(soup.select("noscript")) == 1


def test_nothing_points_outside(page):
    soup = page(
        new_markdown_cell("$x$ ![a](https://example.org/a.png)"), code("a", display(**{PLOTLY: figure()}))
    )
    policy = soup.select_one("meta[http-equiv=Content-Security-Policy]")["content"]
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"https?:|connect-src|\*", policy)
    addresses = [tag.get("src") or tag.get("href") for tag in soup.select("[src], link[href]")]
    assert [address for address in addresses if not address.startswith("data:")] == []


def test_local_pictures_are_relative_to_the_source(page, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a.png").write_bytes(b"bytes")
    soup = page(
        new_markdown_cell("![a](a.png)"),
        metadata={"papermill": {"input_path": str(tmp_path / "source" / "n.ipynb")}},
    )
    assert soup.main.img["src"] == f"data:image/png;base64,{base64.b64encode(b'bytes').decode()}"


def test_the_page_appears_whole_or_not_at_all(page, tmp_path, monkeypatch):
    page(code("first"))
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        page(code("second"))
    kept = (tmp_path / "report.html").read_text()
    assert "first" in kept
    assert "second" not in kept


def test_a_picture_says_what_it_is(page):
    soup = page(
        new_markdown_cell("## The <picture>"),
        code("a", display(**{"image/png": "aGk=", "text/plain": "<Figure size 640x480 with 1 Axes>"})),
        code("b", display(**{PLOTLY: figure(), "text/plain": "two points"})),
    )
    assert [image["alt"] for image in soup.select("main img")] == ["Figure 1: The <picture>", "two points"]
    assert soup.select_one("figure")["aria-label"] == "two points"

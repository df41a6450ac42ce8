import base64
import io
import json
import re
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Page
from plotly.subplots import make_subplots

from workbench.report.page import write_page

pytestmark = pytest.mark.browser

PLOTLY = "application/vnd.plotly.v1+json"
X = np.linspace(0.0, 1.0, 7)


def png() -> str:
    buffer = io.BytesIO()
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1], [0, 1])
    figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


def cell(source, *outputs):
    return new_code_cell(source, outputs=list(outputs), execution_count=1)


def shown(figure, **others):
    """What a kernel sends for a plotly figure."""
    return new_output("display_data", data={PLOTLY: json.loads(figure.to_json()), **others})


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    line = go.Figure(go.Scatter(x=X, y=X**2, name="</script><!-- a name -->"))
    surface = go.Figure(go.Surface(z=np.outer(X, X)))
    with_still = go.Figure(go.Bar(x=[1, 2], y=[3, 4]))
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# Title\n\nThe bound is $\\frac{2}{\\lambda}$ and it costs $5 and $6."),
            new_markdown_cell(
                "## About $\\lambda_{\\max}$\n\n$$\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}$$"
            ),
            cell("matplotlib", new_output("display_data", data={"image/png": png()})),
            cell("line", shown(line)),
            cell("surface", shown(surface)),
            cell("bar", shown(with_still, **{"image/png": png()})),
            cell(
                "table",
                new_output("execute_result", data={"text/html": "<table><tr><td>41.5</td></tr></table>"}),
            ),
            cell(
                "1 / 0",
                new_output("error", ename="ZeroDivisionError", evalue="by zero", traceback=["Traceback"]),
            ),
        ]
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_page(
        notebook,
        path,
        title="Title",
        parameters=[("k", "20", "pairs")],
        status="failed",
        details={"torch": "2"},
    )
    return path


@dataclass
class Loaded:
    """The page, opened once, with what it asked for and what the browser complained of meanwhile."""

    page: Page
    requests: list[str]
    complaints: list[str]


@pytest.fixture(scope="module")
def loaded(browser, report):
    context = browser.new_context(offline=True)
    page = context.new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-figures=ready]", state="attached", timeout=120_000)
    yield Loaded(page, requests.copy(), complaints.copy())
    context.close()


@pytest.fixture
def opened(loaded):
    """The page as a reader at a desk has it."""
    loaded.page.emulate_media(media="screen", color_scheme="light")
    loaded.page.set_viewport_size({"width": 1400, "height": 1000})
    return loaded.page


def test_no_request_and_no_complaint(loaded, report):
    outside = [url for url in loaded.requests if not url.startswith(("data:", "blob:"))]
    assert outside == [report.as_uri()]
    assert loaded.complaints == []


def test_the_policy_stops_requests(opened):
    stopped = opened.evaluate("""() => new Promise((resolve) => {
      document.addEventListener("securitypolicyviolation", (event) => resolve(event.blockedURI));
      new Image().src = "http://127.0.0.1:9/a.png";
    })""")
    assert stopped == "http://127.0.0.1:9/a.png"


def test_plotly_figures_have_their_data(opened):
    kinds, y, z, name = opened.evaluate("""() => {
      const plots = [...document.querySelectorAll(".js-plotly-plot")];
      const [line, surface, bar] = plots.map((plot) => plot._fullData[0]);
      return [[line.type, surface.type, bar.type], Array.from(line.y), Array.from(surface.z[6]), line.name];
    }""")
    assert kinds == ["scatter", "surface", "bar"]
    np.testing.assert_allclose(y, X**2)
    np.testing.assert_allclose(z, X)
    assert name == "</script><!-- a name -->"
    assert opened.locator(".plotly-figure canvas").count() > 0  # the surface is drawn by WebGL


def test_pictures_are_decoded(opened):
    sizes = opened.evaluate("() => [...document.images].map((image) => image.naturalWidth)")
    assert len(sizes) == 4  # one of matplotlib, a still of each plotly figure
    assert min(sizes) > 0


def test_paper_gets_the_stills(opened):
    live, still = opened.locator(".plotly-live"), opened.locator(".plotly-still")
    assert [live.nth(i).is_visible() for i in range(3)] == [True] * 3
    assert [still.nth(i).is_visible() for i in range(3)] == [False] * 3
    opened.emulate_media(media="print")
    assert [live.nth(i).is_visible() for i in range(3)] == [False] * 3
    assert [still.nth(i).is_visible() for i in range(3)] == [True] * 3
    kinds = [still.nth(i).get_attribute("src").partition(",")[0].partition(";")[0] for i in range(3)]
    assert kinds == ["data:image/svg+xml", "data:image/svg+xml", "data:image/png"]
    assert len(opened.pdf()) > 20_000


def test_maths_is_drawn(opened):
    formula = opened.locator("p math mfrac").first.bounding_box()
    line = opened.locator("p math").first.bounding_box()
    assert formula["height"] > 1.2 * opened.locator("p math mfrac mn").first.bounding_box()["height"]
    assert line["width"] > 0
    assert opened.locator("h2 math").count() == 1
    assert "costs $5 and $6" in opened.locator("main").inner_text()


def test_the_failure_is_at_the_top_and_leads_to_the_cell(opened):
    banner = opened.get_by_role("alert")
    assert "ZeroDivisionError: by zero" in banner.inner_text()
    assert banner.bounding_box()["y"] < 400
    banner.get_by_role("link").click()
    failed = opened.locator(".jp-Cell:target")
    assert "ZeroDivisionError" in failed.inner_text()
    assert failed.locator("details.code").get_attribute("open") is not None


def test_code_is_folded_until_asked_for(opened):
    code = opened.locator(".jp-InputArea-editor").filter(has_text=re.compile("^\\s*matplotlib"))
    assert not code.is_visible()
    opened.get_by_role("button", name="Show all code").click()
    assert code.is_visible()
    opened.get_by_role("button", name="Hide all code").click()
    assert not code.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_telephone(opened, scheme):
    opened.emulate_media(color_scheme=scheme)
    opened.set_viewport_size({"width": 375, "height": 700})
    assert opened.evaluate("() => document.documentElement.scrollWidth") <= 375
    ground = opened.evaluate("() => getComputedStyle(document.body).backgroundColor")
    shade = sum(map(int, re.findall(r"\d+", ground)[:3])) / 3
    assert (shade > 200) if scheme == "light" else (shade < 60)


def test_plots_side_by_side_keep_a_width_that_can_be_read(browser, tmp_path):
    figure = make_subplots(
        1, 2, subplot_titles=("eigenvalues that are extreme", "density of all eigenvalues")
    )
    for column in (1, 2):
        figure.add_scatter(x=X, y=X, row=1, col=column)
    notebook = new_notebook(
        cells=[cell("two", shown(figure)), cell("one", shown(go.Figure(go.Scatter(y=X))))]
    )
    path = tmp_path / "report.html"
    write_page(notebook, path, title="Title", parameters=[], status="ok", details={})
    context = browser.new_context(viewport={"width": 375, "height": 700})
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-figures=ready]", state="attached", timeout=120_000)
    left, right = (page.locator(".annotation").nth(each).bounding_box() for each in (0, 1))
    assert left["x"] + left["width"] < right["x"]
    assert page.locator(".plotly-live").nth(1).bounding_box()["width"] <= 375
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 375
    context.close()


def test_a_slider_moves_without_a_kernel(browser, tmp_path):
    steps = [{"label": str(i), "method": "update", "args": [{"y": [[i, i]]}, {}, [0]]} for i in range(3)]
    figure = go.Figure(go.Scatter(y=[0, 0]), layout={"sliders": [{"steps": steps}]})
    path = tmp_path / "report.html"
    notebook = new_notebook(cells=[cell("slider", shown(figure))])
    write_page(notebook, path, title="Title", parameters=[], status="ok", details={})
    context = browser.new_context(offline=True)
    page = context.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-figures=ready]", state="attached", timeout=120_000)
    rail = page.locator(".slider-rail-touch-rect")
    rail.click(position={"x": rail.bounding_box()["width"] - 5, "y": 5})
    page.wait_for_function(
        "() => document.querySelector('.js-plotly-plot')._fullData[0].y.join() === '2,2'", timeout=20_000
    )
    context.close()


def test_without_javascript_a_still_or_a_note_stands_in(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator(".plotly-still").nth(2).is_visible()
    notes = page.locator(".plotly-figure noscript p")
    assert [notes.nth(i).is_visible() for i in range(notes.count())] == [True, True]
    context.close()

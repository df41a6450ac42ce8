"""What a reader does on a report page: contents, sorting, zoom, copying the command; by mouse and keys."""

import base64
import io
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Browser, Page, expect

from workbench.report.page import write_page

pytestmark = pytest.mark.browser

COMMAND = "workbench report curvature -p problem 'my problem.py:make' -p k 20"
TABLE = pd.DataFrame({"value": [10.0, 9.5, float("nan"), -1e-3], "layer": ["b10", "b9", "a", "a"]})


def picture() -> str:
    buffer = io.BytesIO()
    figure = Figure(figsize=(6, 4), dpi=100)
    figure.subplots().plot([0, 1], [0, 1])
    figure.savefig(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Page:
    def cell(**data: str) -> dict:
        return new_code_cell("x", outputs=[new_output("display_data", data=data)], execution_count=1)

    notebook = new_notebook(
        cells=[
            new_markdown_cell("## One\n\ntext\n\n## Two $x$\n\n### Three\n\n## One"),
            cell(**{"image/png": picture(), "text/plain": "A line"}),
            cell(**{"text/html": TABLE.to_html()}),
        ]
    )
    path = tmp_path / "report.html"
    write_page(
        notebook, path, title="T", parameters=[("k", "20", "a"), ("a", "3", "b")], status="ok", details={},
        command=COMMAND,
    )  # fmt: skip
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    page = context.new_page()
    page.goto(path.as_uri())
    yield page
    context.close()


def column(page: Page, number: int) -> list[str]:
    return page.locator("table.dataframe tbody tr").locator(f":nth-child({number})").all_inner_texts()


def test_contents_are_a_fold_or_a_column_and_lead_to_each_heading(opened: Page) -> None:
    links = opened.get_by_role("navigation", name="Contents").get_by_role("link")
    expect(links.first).not_to_be_visible()
    opened.get_by_text("Contents", exact=True).click()
    assert [text.split()[0] for text in links.all_inner_texts()] == ["One", "Two", "Three", "One"]
    assert links.locator("math").count() == 1
    tops = []
    for i in range(4):
        links.nth(i).click()
        tops.append(opened.evaluate("() => document.querySelector(':target').offsetTop"))
    assert tops == sorted(set(tops))
    opened.set_viewport_size({"width": 1600, "height": 700})
    opened.evaluate("() => scrollTo(0, 1e5)")
    expect(links.first).to_be_in_viewport()


def test_a_table_sorts_by_numbers_or_words_and_back(opened: Page) -> None:
    value = opened.get_by_role("button", name="value", exact=True).last
    header = opened.locator("table.dataframe thead th").nth(1)
    value.click()
    assert column(opened, 2) == ["-0.001", "9.500", "10.000", "NaN"]
    assert header.get_attribute("aria-sort") == "ascending"
    value.press("Enter")
    assert column(opened, 2) == ["10.000", "9.500", "-0.001", "NaN"]
    assert header.get_attribute("aria-sort") == "descending"
    value.press("Space")
    assert column(opened, 2) == ["10.000", "9.500", "NaN", "-0.001"]
    assert header.get_attribute("aria-sort") is None
    opened.get_by_role("button", name="layer").click()
    assert column(opened, 3) == ["a", "a", "b9", "b10"]
    opened.get_by_role("button", name="Parameter").click()
    names = opened.locator(".parameters tbody th").all_inner_texts()
    assert names == ["a", "k"]


def test_a_picture_enlarges_and_escape_brings_the_page_back(opened: Page) -> None:
    button = opened.get_by_role("button", name="Enlarge: A line")
    before = button.locator("img").bounding_box()
    button.press("Enter")
    large = opened.get_by_role("dialog").locator("img")
    expect(large).to_be_visible()
    assert large.bounding_box()["width"] > 1.2 * before["width"]
    opened.keyboard.press("Escape")
    expect(opened.get_by_role("dialog")).not_to_be_visible()
    expect(button).to_be_focused()
    opened.set_viewport_size({"width": 390, "height": 700})
    button.click()
    assert large.bounding_box()["width"] == 600  # its own size, to be moved under the finger
    opened.get_by_role("button", name="Close").click()
    expect(large).to_have_count(0)


def test_the_command_is_copied_as_it_stands(opened: Page) -> None:
    opened.evaluate("() => document.addEventListener('copy', () => (window.copied = String(getSelection())))")
    opened.get_by_role("button", name="Copy").click()
    expect(opened.locator("#copy-command")).to_have_text("Copied")
    assert opened.evaluate("() => window.copied") == COMMAND


def test_paper_keeps_pictures_and_headers_of_tables(opened: Page) -> None:
    opened.emulate_media(media="print")
    expect(opened.locator(".jp-RenderedImage img")).to_be_visible()
    expect(opened.locator("table.dataframe th").nth(1)).to_have_text("value")
    expect(opened.get_by_role("button", name="value", exact=True).last).to_be_visible()
    expect(opened.locator("#copy-command")).not_to_be_visible()
    expect(opened.locator("#command")).to_be_visible()

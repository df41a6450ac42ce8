"""`workbench compare`: what differs, what agrees, and the exit code that says so."""

import json
from pathlib import Path

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from run_folders import add_result, figure, finished_run, picture, started_run
from typer.testing import CliRunner, Result

from workbench.cli import app
from workbench.report.overlay import overlay


def invoke(a: Path, b: Path, *more: object) -> Result:
    return CliRunner().invoke(app, ["compare", str(a), str(b), *map(str, more)], env={"COLUMNS": "80"})


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    a = finished_run(
        tmp_path / "a",
        recorded={"top": figure(2.0), "loss": figure(0.1)},
        k=5,
        problem="digits",
        versions={"torch": "2.6", "numpy": "2"},
    )
    b = finished_run(
        tmp_path / "b",
        recorded={"top": figure(2.5), "loss": figure(0.101)},
        k=7,
        problem="digits",
        versions={"torch": "2.7", "numpy": "2"},
    )
    add_result(a, "trace", (1.0, 2.0, 6.0))
    add_result(b, "trace", (1.5, 2.5))
    add_result(a, "alone", (1.0,))
    return a, b


def rows(soup: BeautifulSoup, heading: str) -> list[list[str]]:
    table = soup.find(id=heading).find_next("table")
    return [[cell.get_text() for cell in row.find_all(["th", "td"])] for row in table.tbody.find_all("tr")]


def test_the_page_and_the_terminal_show_what_differs(pair: tuple[Path, Path]) -> None:
    a, b = pair
    result = invoke(a, b)
    assert result.exit_code == 1, result.output
    table = [line.split() for line in result.stdout.splitlines() if line.strip()]
    assert ["top", "2", "2.5", "+0.5", "rtol", "0.02", "drift"] in [
        [word.removesuffix(".0") for word in line] for line in table
    ]
    assert "…" not in result.stdout
    soup = BeautifulSoup((b / "compared-a.html").read_text(), "html.parser")
    assert rows(soup, "figures") == [
        ["top", "2", "2.5", "+0.5", "0.25", "rtol 0.02", "drift"],
        ["loss", "0.1", "0.101", "+0.001", "0.01", "rtol 0.02", "ok"],
    ]
    assert rows(soup, "parameters") == [["k", "5", "7"]]
    assert rows(soup, "environment") == [["torch", "2.6", "2.7"]]
    assert soup.select_one(".status.bad").get_text() == "1 of 2 figures differ"
    assert [link["href"] for link in soup.select("header a")] == ["../a/report.html", "report.html"]
    drawn = json.loads(soup.select_one(".plotly-figure script").string)
    assert [(curve["name"], curve["x"], curve["y"]) for curve in drawn["data"]] == [
        ("A", [0.0, 1.0, 2.0], [1.0, 2.0, 6.0]),
        ("B", [0.0, 1.0], [1.5, 2.5]),
    ]
    assert "only one of them has: alone" in soup.get_text()
    assert "trace = 3 ± 0.1 (3 samples" in soup.get_text()
    assert len(str(soup)) < 3_000_000


def test_the_pictures_of_both_stand_side_by_side(tmp_path: Path) -> None:
    a = finished_run(tmp_path / "a", shown=picture((60, 30)))
    b, blind = finished_run(tmp_path / "b", shown=picture((50, 30))), finished_run(tmp_path / "blind")
    assert invoke(a, b).exit_code == 0
    pair = (
        BeautifulSoup((b / "compared-a.html").read_text(), "html.parser").find(id="pictures").find_next("div")
    )
    assert [caption.get_text() for caption in pair.find_all("figcaption")] == ["A", "B"]
    first, second = (image["src"] for image in pair.find_all("img"))
    assert first != second
    assert {first[:22], second[:22]} == {"data:image/png;base64,"}
    assert invoke(a, blind).exit_code == 0
    assert "There is none" in (blind / "compared-a.html").read_text()


def test_a_run_agrees_with_itself(pair: tuple[Path, Path], tmp_path: Path) -> None:
    result = invoke(pair[0], pair[0], "-o", tmp_path / "same.html")
    assert result.exit_code == 0, result.output
    soup = BeautifulSoup((tmp_path / "same.html").read_text(), "html.parser")
    assert soup.select_one(".status.good").get_text() == "2 figures agree"
    assert soup.find(id="parameters").find_next("p").get_text() == "No difference."


def test_a_failed_run_is_never_the_same(tmp_path: Path) -> None:
    good, bad = finished_run(tmp_path / "a"), finished_run(tmp_path / "b", status="failed")
    assert invoke(good, bad).exit_code == 1
    soup = BeautifulSoup((bad / "compared-a.html").read_text(), "html.parser")
    assert soup.select_one(".status").get_text().startswith("B failed")
    assert "cell [1] raised ValueError: x" in soup.header.get_text()


def test_bad_input(tmp_path: Path) -> None:
    good, broken = finished_run(tmp_path / "a"), started_run(tmp_path / "b")
    for arguments in ((good, broken), (good, tmp_path), (good, good, "-o", good / "run.json" / "x.html")):
        result = invoke(*arguments)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "b cannot be compared: it is broken off" in invoke(good, broken).stderr


def test_columns_are_drawn_over_the_first_on_fitting_axes() -> None:
    steep = pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [1e-30, 1e-3, 1.0], "flag": [True, False, True]})
    flat = pd.DataFrame({"x": [3.0, 1.0], "y": [0.0, float("nan")], "word": ["a", "b"]})
    drawn, note = overlay(steep, flat)
    assert note == ""
    first, second = drawn["data"]
    assert (first["mode"], second["mode"]) == ("lines+markers", "markers")  # what goes back is no curve
    assert second["y"] == [0.0, None]
    assert drawn["layout"]["yaxis1"]["type"] == "log"
    assert drawn["layout"]["yaxis1"]["range"] == [pytest.approx(-8.2), pytest.approx(0.2)]
    assert drawn["layout"]["xaxis1"]["title"]["text"] == "x"


def test_tables_without_numbers_or_with_too_many(tmp_path: Path) -> None:
    words = pd.DataFrame({"word": ["a"]})
    assert overlay(words, words) == (None, "The two have no number in common to draw.")
    many = pd.DataFrame({f"c{i}": [1.0, 2.0] for i in range(12)})
    drawn, note = overlay(many, many)
    assert len(drawn["data"]) == 16
    assert note == "Not drawn: c9, c10, c11."


def test_a_long_curve_is_thinned() -> None:
    long = pd.DataFrame({"x": range(100_000), "y": range(100_000)})
    drawn, _ = overlay(long, long)
    assert all(1000 < len(curve["x"]) <= 2000 for curve in drawn["data"])

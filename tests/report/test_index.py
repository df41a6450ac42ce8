"""`workbench index`: every run as it stands, on one page."""

import base64
import io
from pathlib import Path

import pytest
from bs4 import BeautifulSoup
from PIL import Image
from run_folders import as_preview, asked_run, figure, finished_run, held, picture, started_run
from typer.testing import CliRunner

from workbench.cli import app


@pytest.fixture(autouse=True)
def reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_REPORTS", str(tmp_path / "reports"))
    return tmp_path / "reports"


def index(*arguments: object) -> None:
    result = CliRunner().invoke(app, ["index", *map(str, arguments)])
    assert result.exit_code == 0, result.output


def rows(page: Path) -> dict[str, BeautifulSoup]:
    soup = BeautifulSoup(page.read_text(), "html.parser")
    return {row.th.small.get_text(): row for row in soup.select("tbody tr")}


def test_each_run_is_shown_as_it_stands(reports: Path) -> None:
    recorded = {
        name: figure(value) for name, value in zip("abcde", (1.23456789, True, "flat", 4, 5), strict=True)
    }
    finished_run(reports / "p" / "good", recorded=recorded, shown=picture(), k=3, text="a b")
    as_preview(finished_run(reports / "p" / "bad", status="failed"))
    asked_run(reports / "p" / "asked")
    broken = started_run(reports / "p" / "broken")
    (broken / "report.html").write_text("half of it")
    running = started_run(reports / "sweep" / "one" / "running")
    with held(running):
        index()
    found = rows(reports / "index.html")
    states = {name: row.select_one(".state") for name, row in found.items()}
    assert {name: state.get_text() for name, state in states.items()} == {
        "p/good": "ok",
        "p/bad": "failed",
        "p/asked": "not started",
        "p/broken": "broken off",
        "sweep/one/running": "running",
    }
    assert [name for name, state in states.items() if "good" in state["class"]] == ["p/good"]
    links = {name: row.a and row.a["href"] for name, row in found.items()}
    assert {name: link for name, link in links.items() if link} == {
        "p/good": "p/good/report.html",
        "p/bad": "p/bad/report.html",
    }
    assert [name for name, row in found.items() if "preview" in row.get_text()] == ["p/bad"]
    good = found["p/good"]
    assert [code.get_text() for code in good.find_all("code")] == ["k=3", "text=a b"]
    assert [each.get_text() for each in good.select(".headline")] == ["a 1.23457", "b True", "c flat", "d 4"]
    assert good.select_one("td.number").get_text() == "12.3"
    assert "cell [1] raised ValueError: x" in found["p/bad"].get_text()


def test_the_thumbnail_is_the_first_picture_made_small(reports: Path) -> None:
    finished_run(reports / "p" / "wide", shown=picture((600, 300)))
    finished_run(reports / "p" / "none")
    finished_run(reports / "p" / "damaged", shown="QUJD")
    index()
    found = rows(reports / "index.html")
    assert [name for name, row in found.items() if row.img] == ["p/wide"]
    content = base64.b64decode(found["p/wide"].img["src"].partition(",")[2])
    assert Image.open(io.BytesIO(content)).size == (200, 100)
    assert len(content) < 12_000  # of noise, which nothing compresses


def test_links_are_relative_to_the_page(reports: Path, tmp_path: Path) -> None:
    finished_run(reports / "p" / "run")
    index("-o", tmp_path / "elsewhere" / "deep" / "runs.html")
    (row,) = rows(tmp_path / "elsewhere" / "deep" / "runs.html").values()
    assert row.a["href"] == "../../reports/p/run/report.html"


def test_no_runs_and_no_place(reports: Path, tmp_path: Path) -> None:
    index()
    assert "There are none yet" in (reports / "index.html").read_text()
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["index", "-o", str(tmp_path / "file" / "index.html")])
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)


def test_five_hundred_runs_fit_a_page(reports: Path) -> None:
    recorded = {f"a_figure_with_a_name_{i}": figure(1.5 * i) for i in range(6)}
    for number in range(500):
        finished_run(reports / "p" / f"{number:03}", recorded=recorded, k=number, problem="digits-mlp")
    index()
    assert len(rows(reports / "index.html")) == 500
    assert (reports / "index.html").stat().st_size < 1_000_000  # and 2 kB for each thumbnail of a plot

"""The picture of a run: on white, and small."""

import base64
import io
from pathlib import Path

import pytest
from PIL import Image
from run_folders import finished_run, picture

from workbench.report.picture import first_picture, small_png


def clear_picture() -> str:
    buffer = io.BytesIO()
    Image.new("RGBA", (30, 20), (0, 0, 0, 0)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_what_is_clear_becomes_white(tmp_path: Path) -> None:
    found = first_picture(finished_run(tmp_path / "run", shown=clear_picture()) / "notebook.ipynb")
    assert found is not None
    assert (found.mode, found.size, found.getpixel((3, 3))) == ("RGB", (30, 20), (255, 255, 255))


@pytest.mark.parametrize("size", [(900, 300), (2000, 2000)])
def test_a_small_png_keeps_its_shape_and_its_limit(tmp_path: Path, size: tuple[int, int]) -> None:
    folder = finished_run(tmp_path / "run", shown=picture(size))
    content = small_png(folder / "notebook.ipynb")
    assert content is not None
    assert len(content) <= 40_000  # though noise does not compress
    small = Image.open(io.BytesIO(content))
    assert small.format == "PNG"
    assert small.width / small.height == pytest.approx(size[0] / size[1], rel=0.02)
    assert small.width >= 150


def test_a_picture_that_is_small_is_not_scaled(tmp_path: Path) -> None:
    folder = finished_run(tmp_path / "run", shown=clear_picture())
    assert Image.open(io.BytesIO(small_png(folder / "notebook.ipynb") or b"")).size == (30, 20)


@pytest.mark.parametrize("shown", [None, "QUJD"])
def test_no_picture_and_a_damaged_one_are_none(tmp_path: Path, shown: str | None) -> None:
    assert small_png(finished_run(tmp_path / "run", shown=shown) / "notebook.ipynb") is None

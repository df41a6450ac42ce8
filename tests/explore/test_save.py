"""Pictures and tables of what is shown, and never over another file."""

import pandas as pd
import pytest

from workbench import Estimate
from workbench.explore.save import save

RESULTS = {
    "trace": Estimate("trace", 1.0, 0.1, (0.9, 1.1), 2),
    "norm": Estimate("norm", 2.0, 0.1, (1.9, 2.0, 2.1), 3),
}
STARTS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.mark.parametrize("form", STARTS)
def test_a_picture(tmp_path, form):
    (path,) = save(RESULTS, tmp_path / "shown", form)
    assert path.name == f"shown.{form}"
    assert path.read_bytes().startswith(STARTS[form])


@pytest.mark.parametrize(("form", "read"), [("parquet", pd.read_parquet), ("csv", pd.read_csv)])
def test_a_table_each(tmp_path, form, read):
    paths = save(RESULTS, tmp_path / "shown", form)
    assert [path.name for path in paths] == [f"shown-trace.{form}", f"shown-norm.{form}"]
    pd.testing.assert_frame_equal(read(paths[1]), RESULTS["norm"].frame())


def test_no_file_is_overwritten(tmp_path):
    first, second, third = (save(RESULTS, tmp_path / "shown", "png")[0] for _ in range(3))
    assert [first.name, second.name, third.name] == ["shown.png", "shown-2.png", "shown-3.png"]


def test_unknown_form(tmp_path):
    with pytest.raises(ValueError, match="png, svg, pdf, parquet, csv"):
        save(RESULTS, tmp_path / "shown", "bmp")

"""The wheel and the source distribution hold all that the package needs, and work outside the checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """An sdist of the tree, and the wheel that is built from that sdist."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    (wheel,) = out.glob("*.whl")
    return wheel


def test_the_wheel_holds_notebooks_data_and_templates(built):
    names = zipfile.ZipFile(built).namelist()
    for tracked, packed in (
        ("notebooks/*.ipynb", "workbench/notebooks"),
        ("data/*.md", "workbench/data"),
        ("data/text/*", "workbench/data/text"),
        ("kernels/*.py", "workbench/kernels"),
        ("workbench/report/template/*", "workbench/report/template"),
        ("workbench/starter/*.py", "workbench/starter"),
    ):
        expected = {f"{packed}/{path.name}" for path in ROOT.glob(tracked)}
        assert expected
        assert expected <= set(names)
    assert not any("cache" in name for name in names if name.startswith("workbench/data"))


def test_the_wheel_works_in_another_place(built, tmp_path):
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path / "site")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("WORKBENCH_")},
        "PYTHONPATH": str(tmp_path / "site"),
        "HOME": str(tmp_path / "home"),
        "XDG_CACHE_HOME": str(tmp_path / "home" / "cache"),
        "XDG_DATA_HOME": str(tmp_path / "home" / "data"),
    }

    def run(code):
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout

    assert "curvature" in run(
        "import sys; sys.argv = ['workbench', 'list']; import workbench.cli as c; c.main()"
    )
    run("import sys; sys.argv = ['workbench', 'init']; import workbench.cli as c; c.main()")
    assert "def make(" in (tmp_path / "my_problem.py").read_text()
    where = run(
        "from workbench import paths; print(paths.PACKAGE, paths.cache(), paths.reports(), sep='\\n')"
    )
    package, cache, reports = where.splitlines()
    assert package == str(tmp_path / "site" / "workbench")
    assert Path(cache).is_relative_to(tmp_path / "home")
    assert Path(reports).is_relative_to(tmp_path / "home")

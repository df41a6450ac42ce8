"""Where compiled code is kept."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.particles.compiled import compilation

PROGRAM = """
import workbench.particles
import sys
assert "numba" not in sys.modules
from numba.core import config
from workbench.particles import noise
assert noise.normals(0, [0], 0, 1, 1).shape == (1, 1, 1)
assert not config.CACHE_DIR or config.CACHE_DIR == {kept!r}
"""


@pytest.mark.parametrize("chosen", [False, True])
def test_code_is_kept_in_the_cache_folder_or_where_the_user_says(chosen: bool, tmp_path: Path) -> None:
    environment = os.environ | {"WORKBENCH_CACHE": str(tmp_path / "ours")}
    environment.pop("NUMBA_CACHE_DIR", None)
    if chosen:
        environment["NUMBA_CACHE_DIR"] = str(tmp_path / "theirs")
    program = PROGRAM.format(kept=str(tmp_path / "theirs") if chosen else "")
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    folder = tmp_path / "theirs" if chosen else tmp_path / "ours" / "numba"
    assert list(folder.rglob("noise.fill_runs*.nbi"))


def test_kernels_do_without_a_folder_to_write_to(monkeypatch, tmp_path) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("WORKBENCH_CACHE", str(file / "cache"))
    monkeypatch.setattr(compilation.config, "CACHE_DIR", "")
    compilation._folder.cache_clear()
    try:
        with pytest.warns(UserWarning, match="cannot be kept"):
            double = compilation.kernel()(lambda x: 2 * x)
        assert double(3) == 6
    finally:
        compilation._folder.cache_clear()

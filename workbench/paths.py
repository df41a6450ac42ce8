"""Where notebooks, caches, reports and baselines live: in the source tree, or in the user's folders.

An editable install works inside its checkout; an installed wheel must not write beside itself.
The environment variables ``WORKBENCH_CACHE`` and ``WORKBENCH_REPORTS`` win over both.
"""

import os
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parent
_ROOT = PACKAGE.parent
_IN_CHECKOUT = (_ROOT / "pyproject.toml").is_file() and (_ROOT / "notebooks").is_dir()


def notebooks() -> Path:
    """Folder of the notebooks that ship with Workbench."""
    return PACKAGE / "notebooks"


def data() -> Path:
    """Folder of the data cards and of the data that ships with Workbench."""
    return PACKAGE / "data"


def cache() -> Path:
    """Folder for trained built-in problems; created on first use."""
    default = _ROOT / "data" / "cache" if _IN_CHECKOUT else Path(platformdirs.user_cache_dir("workbench"))
    return _created(Path(os.environ.get("WORKBENCH_CACHE") or default))


def reports() -> Path:
    """Folder that reports are written to by default; not created here."""
    default = _ROOT / "reports" if _IN_CHECKOUT else Path(platformdirs.user_data_dir("workbench")) / "reports"
    return Path(os.environ.get("WORKBENCH_REPORTS") or default)


def baselines() -> Path:
    """Folder of the recorded figures that ``workbench check`` compares with."""
    return reports() / "baselines"


def _created(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder

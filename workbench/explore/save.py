"""Save what an explorer shows: the picture, or the numbers behind it."""

from collections.abc import Mapping
from pathlib import Path

from workbench.explore.picture import picture
from workbench.result import Result

PICTURES = ("png", "svg", "pdf")
TABLES = ("parquet", "csv")


def save(results: Mapping[str, Result], stem: Path, form: str) -> list[Path]:
    """Write the results as one picture, or as one table each, and never over an existing file.

    Parameters
    ----------
    results : mapping of str to Result
        What is shown, by name.
    stem : Path
        Of the files: ``stem.png``, or ``stem-NAME.csv``; a number is added where such a file exists.
    form : str
        One of ``PICTURES`` or ``TABLES``.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ValueError
        If the form is unknown.
    OSError
        If a file cannot be written.
    """
    if form in PICTURES:
        path = _free(stem.with_name(f"{stem.name}.{form}"))
        picture(results).savefig(path, dpi=200)
        return [path]
    if form not in TABLES:
        raise ValueError(f"unknown form {form!r}: use one of {', '.join(PICTURES + TABLES)}")
    paths = []
    for name, result in results.items():
        path = _free(stem.with_name(f"{stem.name}-{name}.{form}"))
        frame = result.frame()
        if form == "parquet":
            frame.to_parquet(path)
        else:
            frame.to_csv(path, index=False)
        paths.append(path)
    return paths


def _free(path: Path) -> Path:
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate

"""The results of two runs, as frames and summaries."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.report.picture import address

if TYPE_CHECKING:
    import pandas as pd

    from workbench.result import Result

_ROWS = 20  # of a table that are shown
_SIZE = (8.0, 4.2)  # inches of a picture
_DOTS = 80  # to the inch


@dataclass(frozen=True)
class Side:
    """One run's result of a name: its table, and its summary and picture if the result itself can be read.

    The picture is an address, empty if there is none.
    """

    frame: "pd.DataFrame"
    summary: str
    picture: str = ""

    @property
    def first_is_text(self) -> bool:
        """Whether the rows have names and not places on an axis."""
        return len(self.frame.columns) > 0 and any(isinstance(name, str) for name in self.frame.iloc[:, 0])

    def shown(self) -> dict[str, Any]:
        """The first rows as text, for a page."""
        head = self.frame.head(_ROWS)
        return {
            "summary": self.summary,
            "picture": self.picture,
            "columns": [str(name) for name in head.columns],
            "rows": [[_cell(value) for value in row] for row in head.itertuples(index=False)],
            "more": len(self.frame) - len(head),
        }


def read_results(a: Path, b: Path) -> tuple[dict[str, tuple[Side, Side]], list[str]]:
    """Read what both run folders have, by name, and the names that only one of them has."""
    ours, theirs = ({path.stem for path in (folder / "results").glob("*.parquet")} for folder in (a, b))
    both = {name: (_read(a, name), _read(b, name)) for name in sorted(ours & theirs)}
    return both, sorted(ours ^ theirs)


def _read(folder: Path, name: str) -> Side:
    import pandas as pd

    from workbench.result import load_result

    table = folder / "results" / f"{name}.parquet"
    try:
        result = load_result(table.with_suffix(".npz"))
    except ValueError as error:  # of a type that only its own notebook knows, for example
        return Side(pd.read_parquet(table), str(error))
    return Side(pd.read_parquet(table), result.summary(), _picture(result))


def _picture(result: "Result") -> str:
    """The result's own picture, small enough for two side by side; empty if it cannot be drawn."""
    from matplotlib.figure import Figure

    figure, buffer = Figure(figsize=_SIZE, layout="constrained"), io.BytesIO()
    try:
        result.draw(figure)
        figure.savefig(buffer, format="png", dpi=_DOTS, facecolor="white")
    except Exception:  # a result of anybody's; its table and summary are there all the same
        return ""
    return address(buffer.getvalue(), "png")


def _cell(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)

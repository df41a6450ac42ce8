"""The results of two runs, as frames and summaries."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_ROWS = 20  # of a table that are shown


@dataclass(frozen=True)
class Side:
    """One run's result of a name: its table, and its summary if the result itself can be read."""

    frame: "pd.DataFrame"
    summary: str

    def shown(self) -> dict[str, Any]:
        """The first rows as text, for a page."""
        head = self.frame.head(_ROWS)
        return {
            "summary": self.summary,
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
        summary = load_result(table.with_suffix(".npz")).summary()
    except ValueError as error:  # of a type that only its own notebook knows, for example
        summary = str(error)
    return Side(pd.read_parquet(table), summary)


def _cell(value: Any) -> str:
    return f"{value:.5g}" if isinstance(value, float) else str(value)

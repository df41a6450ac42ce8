"""``Overview``: how a training problem stands, on one page."""

import dataclasses
import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from workbench.choices import check_choice
from workbench.overview.caution import Caution
from workbench.overview.section import Section, plural
from workbench.problems import list_problems
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Overview(Result):
    """How a training problem stands.

    Attributes
    ----------
    problem : str
        Its name.
    sections : dict of str to Section
        By key, in the order of the page.
    missing : tuple of str
        Sections that the budget did not reach, and what they would have cost.
    budget : str
        What was asked for.
    allowed, gradients : float
        Gradients over the data that the budget bought here, and those that were spent.
    seconds, gradient_seconds : float
        Wall time in all, and of one gradient (nan if nobody measured it).
    examples, of_examples : int
        Examples that were measured on, of how many there are.
    interrupted : bool
        Whether something is missing because the user stopped it.
    """

    problem: str
    sections: dict[str, Section]
    missing: tuple[str, ...]
    budget: str
    allowed: float
    gradients: float
    seconds: float
    gradient_seconds: float
    examples: int
    of_examples: int
    interrupted: bool = False

    def __getitem__(self, key: str) -> Section:
        """Return a section by its key.

        Raises
        ------
        ValueError
            If there is none.
        """
        if not self.sections:
            raise ValueError(f"section={key!r} was not measured, as no other: {'; '.join(self.missing)}")
        check_choice("section", key, tuple(self.sections))
        return self.sections[key]

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """All warnings."""
        return tuple(caution for section in self.sections.values() for caution in section.cautions)

    @property
    def sentence(self) -> str:
        """The first thing to know: what rate to try, and how many warnings there are."""
        if not self.sections:
            return "Nothing was measured: the budget is too small."
        count = len(self.cautions)
        warned = plural(count, "warning") if count else "Nothing to warn of"
        step = self.sections.get("step")
        return f"{warned}. {step.sentence}" if step is not None else f"{warned}."

    @property
    def argument(self) -> str:
        """What the command line calls the problem; empty if it is none that comes along."""
        return self.problem if self.problem in {card.name for card in list_problems()} else ""

    @property
    def account(self) -> str:
        """What was spent of what, on which examples."""
        some = (
            ""
            if self.examples == self.of_examples
            else f", on {self.examples:,} of {self.of_examples:,} examples"
        )
        each = "" if math.isnan(self.gradient_seconds) else f" of {_duration(self.gradient_seconds)}"
        note = ", INTERRUPTED" if self.interrupted else ""
        return (
            f"Budget {self.budget}: {_count(self.gradients)} of {_count(self.allowed)} gradients{each} over "
            f"the data, {self.seconds:.0f} s{some}{note}."
        )

    def frame(self) -> pd.DataFrame:
        """One row per figure, with its section and interval; ``figure`` is its name as one word."""
        frames = [section.frame() for section in self.sections.values()]
        frames = [frame for frame in frames if len(frame)]
        if not frames:
            return pd.DataFrame(columns=["figure", "section", "name", "value", "low", "high", "kind", "unit"])
        table = pd.concat(frames, ignore_index=True)
        words = (table["section"] + "_" + table["name"]).map(_as_word)
        return pd.concat([words.rename("figure"), table], axis=1)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the learning rates; if there are none, the first section that has a picture."""
        ax = new_axes(ax)
        drawn = [section for section in self.sections.values() if section.drawable]
        first = [section for section in drawn if section.key == "step"]
        for section in (first or drawn)[:1]:
            section.plot(ax)
        return ax

    def summary(self) -> str:
        """All sections as text."""
        missing = [f"beyond the budget: {each}" for each in self.missing]
        return "\n".join(
            [
                self.sentence,
                *(section.summary() for section in self.sections.values()),
                *missing,
                self.account,
            ]
        )

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Write a page that opens without a network; returns its path.

        The file appears whole or not at all. In a folder of the project its sections link to their notebooks.
        """
        from workbench.overview.pages import page_html

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.write_text(page_html(self, path), encoding="utf-8")
        partial.replace(path)
        return path

    def _repr_html_(self) -> str:
        from workbench.overview.pages import heading_html, with_style

        return with_style(heading_html(self))


def _as_word(text: str) -> str:
    """A name of letters, digits and single underscores."""
    return re.sub(r"[\W_]+", "_", text).strip("_")


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"


def _count(gradients: float) -> str:
    return f"{gradients:,.0f}" if gradients >= 100 else f"{gradients:.3g}"

"""``Section``: one part of an overview; what all parts share."""

import dataclasses
from typing import ClassVar

import pandas as pd

from workbench.overview.caution import Caution
from workbench.overview.finding import Finding
from workbench.overview.picture import picture_address
from workbench.result import Result


@dataclasses.dataclass(frozen=True, repr=False, eq=False)
class Section(Result):
    """One part of an overview: a sentence, a picture, the figures, and where to go deeper.

    A subclass holds the results of the analyses as its fields, and reads all it says off them; there is a
    picture if any of them is a result. Only what runs under :meth:`~.watch.Watch.measure` may raise: offering
    depths, reading off findings and drawing may not, whatever the model.

    Attributes
    ----------
    left_out : tuple of str
        What does not apply or did not fit, each with the reason.
    gradients : float
        What it cost, in gradients over the data.
    seconds : float
        How long it took.
    interrupted : bool
        Whether something was cut short, by the budget or by an interrupt.
    """

    key: ClassVar[str]
    title: ClassVar[str]
    notebook: ClassVar[str]
    """Name of the notebook that goes deeper."""
    size: ClassVar[tuple[float, float]] = (7.5, 4.0)
    """Of the picture, in inches."""

    left_out: tuple[str, ...]
    gradients: float
    seconds: float
    interrupted: bool

    @property
    def sentence(self) -> str:
        """What was found, in plain words."""
        raise NotImplementedError

    @property
    def caption(self) -> str:
        """How to read the picture."""
        raise NotImplementedError

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The figures."""
        raise NotImplementedError

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """What to be warned of."""
        return ()

    @property
    def drawable(self) -> bool:
        """Whether there is a picture."""
        return any(
            isinstance(getattr(self, field.name), Result)
            for field in dataclasses.fields(self)
            if field.name not in {each.name for each in dataclasses.fields(Section)}
        )

    @property
    def picture(self) -> str:
        """The picture as an address that a page carries in itself; empty if there is none."""
        if not self.drawable:
            return ""
        from matplotlib.figure import Figure

        figure = Figure(figsize=self.size, layout="constrained")
        self.draw(figure)
        return picture_address(figure)

    def frame(self) -> pd.DataFrame:
        """One row per figure."""
        rows = [dataclasses.asdict(finding) for finding in self.findings]
        columns = [field.name for field in dataclasses.fields(Finding)]
        return pd.DataFrame(rows, columns=columns).assign(section=self.key)

    def summary(self) -> str:
        """The sentence, the figures, what was left out, and the cost."""
        lines = [f"{self.title}: {self.sentence}", *(f"  {each.summary()}" for each in self.findings)]
        lines += [f"  CAUTION: {each.text}" for each in self.cautions]
        lines += [f"  left out: {each}" for each in self.left_out]
        note = ", INTERRUPTED" if self.interrupted else ""
        return "\n".join([*lines, f"  {self.gradients:.3g} gradients, {self.seconds:.1f} s{note}"])

    def _repr_html_(self) -> str:
        from workbench.overview.pages import section_html, with_style

        return with_style(section_html(self))


def rate_text(rate: float) -> str:
    """A learning rate with two digits, and no power of ten where it can be written without."""
    return f"{rate:.0f}" if 100 <= rate < 1e6 else f"{rate:.2g}"


def plural(count: int, word: str) -> str:
    """``"1 layer"``, ``"2 layers"``."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def join(words: list[str]) -> str:
    """``"a, b and c"``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)

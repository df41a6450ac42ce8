"""``TokenMaps``: which tokens of a text a prediction has its reasons in."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, VERMILION
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("text", "bars")
_INVISIBLE = str.maketrans({"\n": "⏎", "\t": "⇥", " ": "␣"})


@dataclasses.dataclass(frozen=True, repr=False)
class TokenMaps(Result):
    """Scores of the tokens of N texts by M methods at L layers, for K targets each.

    Attributes
    ----------
    values : Tensor (M, L, N, K, T)
        One number per token; its size compares within a method and layer only.
    methods, formulas : tuple of str
        The M methods, and what they compute of a token's activation x and gradient g.
    layers : tuple of str
        The L layers.
    tokens : tuple of tuple of str
        The T tokens of each text, to be read.
    position : int
        Of the token whose output was explained, from 0.
    targets, scores : Tensor (N, K)
        Classes that were explained, and their scores.
    target_names : tuple of tuple of str
        The classes, to be read.
    score : str
        ``"logit"``, ``"probability"`` or ``"loss"``.
    forwards, backwards : int
        Passes over all texts.
    seconds : float
        Wall time.
    """

    values: Tensor
    methods: tuple[str, ...]
    formulas: tuple[str, ...]
    layers: tuple[str, ...]
    tokens: tuple[tuple[str, ...], ...]
    position: int
    targets: Tensor
    scores: Tensor
    target_names: tuple[tuple[str, ...], ...]
    score: str
    forwards: int
    backwards: int
    seconds: float

    def select(self, method: str, layer: str) -> Tensor:
        """Return the scores (N, K, T) of one method at one layer.

        Raises
        ------
        ValueError
            If there are none.
        """
        check_choice("method", method, self.methods)
        check_choice("layer", layer, self.layers)
        return self.values[self.methods.index(method), self.layers.index(layer)]

    def frame(self) -> pd.DataFrame:
        """One row per method, layer, text, target and token."""
        m, layer, n, k, t = (axis.ravel() for axis in np.indices(self.values.shape))
        return pd.DataFrame(
            {
                "method": np.array(self.methods, dtype=object)[m],
                "layer": np.array(self.layers, dtype=object)[layer],
                "sample": n,
                "target": self.targets.cpu().numpy()[n, k],
                "place": t,
                "token": [self.tokens[i][j] for i, j in zip(n, t, strict=True)],
                "value": self.values.cpu().numpy().ravel(),
            }
        )

    def plot(self, ax: "Axes | None" = None, sample: int = 0, target: int = 0, kind: str = "text") -> "Axes":
        """The tokens of one text, a row per method and layer, each row stretched to its own largest size.

        Parameters
        ----------
        sample, target : int
            Which text, and which of its targets by place.
        kind : {"text", "bars"}
            The tokens on a ground coloured by their score, or a bar for each.
        """
        check_count("sample", sample, 0, len(self.targets) - 1)
        check_count("target", target, 0, self.targets.shape[1] - 1)
        check_choice("kind", kind, KINDS)
        if ax is None:
            ax = new_axes(None)
            figure: Any = ax.figure
            rows, places = len(self.methods) * len(self.layers), self.values.shape[-1]
            figure.set_size_inches(max(6.4, 1.6 + 0.22 * places), max(4.0, 1.2 + 0.36 * rows))
        values = self.values[:, :, sample, target].flatten(0, 1).double()
        largest = values.abs().amax(1, keepdim=True)
        heights = (values / torch.where(largest > 0, largest, 1)).cpu().numpy()
        if kind == "text":
            self._draw_text(ax, heights, sample)
        else:
            self._draw_bars(ax, heights, sample)
        ax.set_yticks(range(len(heights)), [f"{m}\n{layer}" for m in self.methods for layer in self.layers])
        ax.tick_params(axis="y", labelsize="x-small")
        ax.axvline(self.position, color="black", linewidth=0.6, linestyle=":")
        ax.set_xlabel("token; dotted: where the prediction was made")
        name, score = self.target_names[sample][target], self.scores[sample, target].item()
        ax.set_title(f"{self.score} of {name!r} = {score:.3g}", fontsize="small", parse_math=False)
        return ax

    def _draw_text(self, ax: "Axes", rows: np.ndarray, sample: int) -> None:
        ax.set_xticks([])
        ax.imshow(rows, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        for (row, place), value in np.ndenumerate(rows):
            token = self.tokens[sample][place].translate(_INVISIBLE)
            color = "white" if abs(value) > 0.6 else "black"
            ax.text(
                place,
                row,
                token,
                color=color,
                fontsize="x-small",
                family="monospace",
                parse_math=False,
                ha="center",
                va="center",
            )

    def _draw_bars(self, ax: "Axes", rows: np.ndarray, sample: int) -> None:
        places = np.arange(rows.shape[1])
        labels = [token.translate(_INVISIBLE) for token in self.tokens[sample]]
        ax.set_xticks(places, labels, fontsize="x-small", family="monospace", parse_math=False)
        for row, values in enumerate(rows):
            colors = [BLUE if value >= 0 else VERMILION for value in values]
            ax.bar(places, -0.45 * values, bottom=row, color=colors)
            ax.axhline(row, color="gray", linewidth=0.4)
        ax.set_ylim(len(rows) - 0.5, -0.5)  # the first row on top, as with text

    def summary(self) -> str:
        """What was explained, the tokens that count most, and the cost."""
        count, targets = self.targets.shape
        lines = [
            f"{len(self.methods)} methods × {len(self.layers)} layers, {count} texts × {targets} targets, "
            f"{self.score} at token {self.position}"
        ]
        for m, method in enumerate(self.methods):
            best = self.values[m, 0, 0, 0].abs().topk(min(5, self.values.shape[-1])).indices.tolist()
            words = ", ".join(f"{self.tokens[0][place]!r} ({place})" for place in best)
            lines.append(f"{method} at {self.layers[0]}, most in text 0: {words}")
        passes = f"{self.forwards} forward and {self.backwards} backward passes"
        return "\n".join([*lines, f"{passes}, {1e3 * self.seconds:.1f} ms"])

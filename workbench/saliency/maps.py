"""``SaliencyMaps``: where in its input a model's score has its reasons, by method and layer."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.colors import VERMILION
from workbench.result import Result, new_axes
from workbench.saliency.pictures import as_picture, resize

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class SaliencyMap(Result):
    """The maps of one method at one layer, for N inputs and T targets each.

    Attributes
    ----------
    method, layer : str
        The layer is ``"input"``, a name of the model's, or how layers were combined.
    formula : str
        The map at a location, of the activation x and the gradient g there.
    raw : Tensor (N, T, h, w)
        As it is at the layer.
    size : tuple of int
        Height and width of the input.
    class_blind : bool
        Whether the map could not have been another one for any class.
    reason : str
        Why, or nothing.
    note : str
        What else is to be known of how it was made: what it lost, or how good an average is.
    """

    method: str
    layer: str
    formula: str
    raw: Tensor
    size: tuple[int, ...]
    class_blind: bool = False
    reason: str = ""
    note: str = ""

    def __getstate__(self) -> dict[str, Any]:
        # Maps are views into those of all methods, which would go along into each pickle.
        return {**self.__dict__, "raw": self.raw.clone()}

    @property
    def sized(self) -> Tensor:
        """The maps resized to the input, bilinear: (N, T, H, W)."""
        return resize(self.raw, self.size)

    @property
    def zeros(self) -> int:
        """How many of the maps are 0 everywhere: of a saturated score, or of nothing that is positive."""
        return int((~self.raw.flatten(2).any(dim=2)).sum())

    @property
    def not_finite(self) -> int:
        """How many of the maps hold a nan or an infinity."""
        return int((~self.raw.flatten(2).isfinite().all(dim=2)).sum())

    def first_targets(self, count: int) -> "SaliencyMap":
        """The maps of the first so many targets."""
        return self if self.raw.shape[1] == count else self.replace(raw=self.raw[:, :count].clone())

    def frame(self) -> pd.DataFrame:
        """One row per input and target: extremes, mean, and the place (row, column) of the maximum."""
        count, targets = self.raw.shape[:2]
        sized = self.sized.flatten(2)
        peak = sized.argmax(dim=2)
        width = self.size[1]
        columns = {
            "sample": torch.arange(count)[:, None].expand(count, targets),
            "target_index": torch.arange(targets).expand(count, targets),
            "minimum": self.raw.amin(dim=(2, 3)),
            "mean": self.raw.mean(dim=(2, 3)),
            "maximum": self.raw.amax(dim=(2, 3)),
            "peak_row": peak // width,
            "peak_column": peak % width,
        }
        table = pd.DataFrame({name: values.flatten().cpu().numpy() for name, values in columns.items()})
        return table.assign(method=self.method, layer=self.layer, class_blind=self.class_blind)

    def plot(self, ax: "Axes | None" = None, sample: int = 0, target: int = 0) -> "Axes":
        """The map of one input and target; where it has a sign, red speaks for the class and blue against."""
        ax = new_axes(ax)
        values = self.sized[sample, target].cpu().numpy()
        high = float(np.abs(values[np.isfinite(values)]).max(initial=0)) or 1.0
        if (values < 0).any():
            ax.imshow(values, cmap="RdBu_r", vmin=-high, vmax=high)
        else:
            ax.imshow(values, cmap="inferno", vmin=0, vmax=high)
        ax.set_axis_off()
        note = " · CLASS-BLIND" if self.class_blind else ""
        ax.set_title(f"{self.method}\n{self.layer}{note}", fontsize="x-small")
        if note:
            ax.title.set_color(VERMILION)
        return ax

    def summary(self) -> str:
        """What the map is, and why it may not be believed."""
        count, targets, *size = self.raw.shape
        line = f"{self.method} at {self.layer}: {self.formula}, {count} × {targets} maps {tuple(size)}"
        lines = [line, self.note, f"CLASS-BLIND: {self.reason}" if self.class_blind else ""]
        return "\n".join(each for each in lines if each)


@dataclasses.dataclass(frozen=True, repr=False)
class SaliencyMaps(Result):
    """Maps of several methods at several layers, and what they cost.

    Attributes
    ----------
    maps : tuple of SaliencyMap
        One per method and layer.
    targets : Tensor (N, T)
        Classes that were explained.
    scores : Tensor (N, T)
        Their scores.
    score : str
        ``"logit"``, ``"probability"`` or ``"loss"``.
    inputs : Tensor (N, ...) or None
        For the pictures.
    forwards, backwards : float
        Passes over all inputs. Where no layers were named, finding them took a pass of one input.
    seconds : float
        Wall time.
    """

    maps: tuple[SaliencyMap, ...]
    targets: Tensor
    scores: Tensor
    score: str
    inputs: Tensor | None
    forwards: float
    backwards: float
    seconds: float

    @property
    def methods(self) -> tuple[str, ...]:
        """Names of the methods, in order."""
        return tuple(dict.fromkeys(entry.method for entry in self.maps))

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in order; combinations last."""
        return tuple(dict.fromkeys(entry.layer for entry in self.maps))

    @property
    def sized(self) -> tuple[Tensor, ...]:
        """The maps in their order, resized to the input, bilinear: (N, T, H, W) each.

        As :attr:`SaliencyMap.sized` of each, but those of one size are resized in one go.
        """
        found = [entry.raw for entry in self.maps]
        kinds: dict[Any, list[int]] = {}
        for place, entry in enumerate(self.maps):
            kinds.setdefault((entry.raw.shape, entry.size, entry.raw.dtype), []).append(place)
        for (shape, size, _), places in kinds.items():
            if shape[2:] == size:
                continue
            several = torch.cat([found[place] for place in places], dim=1)
            parts = resize(several, size).chunk(len(places), dim=1)
            for place, part in zip(places, parts, strict=True):
                found[place] = part
        return tuple(found)

    def select(self, method: str, layer: str) -> SaliencyMap:
        """Return the maps of one method at one layer.

        Raises
        ------
        ValueError
            If there are none.
        """
        check_choice("method", method, self.methods)
        check_choice("layer", layer, self.layers)
        for entry in self.maps:
            if (entry.method, entry.layer) == (method, layer):
                return entry
        raise ValueError(f"method {method!r} has no map at layer {layer!r}")

    def frame(self) -> pd.DataFrame:
        """One row per method, layer, input and target."""
        table = pd.concat([entry.frame() for entry in self.maps], ignore_index=True)
        place = table["sample"].to_numpy(), table.pop("target_index").to_numpy()
        table.insert(1, "target", self.targets.cpu().numpy()[place])
        table.insert(2, "score", self.scores.float().cpu().numpy()[place])
        return table

    def plot(
        self, ax: "Axes | None" = None, sample: int = 0, target: int = 0, opacity: float = 0.6
    ) -> "Axes":
        """Grid of small pictures, a row per method and a column per layer, over the input where it is kept.

        Parameters
        ----------
        sample, target : int
            Which input, and which of its targets by place.
        opacity : float
            Of the maps over the input.
        """
        check_count("sample", sample, 0, len(self.targets) - 1)
        check_count("target", target, 0, self.targets.shape[1] - 1)
        methods, layers = self.methods, self.layers
        if ax is None:
            ax = new_axes(None)
            figure: Any = ax.figure
            figure.set_size_inches(1 + 2.2 * len(layers), 0.5 + 2.2 * len(methods))
        ax.set_axis_off()
        height, width = 1 / len(methods), 1 / len(layers)
        picture = None if self.inputs is None else as_picture(self.inputs[sample])
        for entry in self.maps:
            i, j = methods.index(entry.method), layers.index(entry.layer)
            box = (j * width, 1 - (i + 1) * height, 0.96 * width, 0.82 * height)
            self._draw(ax.inset_axes(box), entry, picture, sample, target, opacity)
        score = f"{self.score} {self.scores[sample, target].item():.3g}"
        ax.set_title(f"class {self.targets[sample, target].item()} ({score})", fontsize="small")
        return ax

    def _draw(
        self,
        ax: Any,
        entry: SaliencyMap,
        picture: np.ndarray | None,
        sample: int,
        target: int,
        opacity: float,
    ) -> None:
        entry.plot(ax, sample, target)
        if picture is not None:
            ax.images[-1].set_alpha(opacity)
            ax.imshow(picture, cmap="gray", zorder=-1)

    def summary(self) -> str:
        """What was explained, what it cost, and which maps know nothing of the class."""
        count, targets = self.targets.shape
        lines = [
            f"{len(self.methods)} methods × {len(self.layers)} layers, {count} inputs × {targets} targets, "
            f"score {self.score}",
            f"{self.forwards:.3g} forward and {self.backwards:.3g} backward passes, "
            f"{1e3 * self.seconds:.1f} ms",
        ]
        blind = [f"{entry.method} at {entry.layer}" for entry in self.maps if entry.class_blind]
        if blind:
            lines.append(f"CLASS-BLIND: {', '.join(blind)}")
        lines.append(self._counted("ZERO everywhere", [entry.zeros for entry in self.maps]))
        lines.append(self._counted("NOT FINITE", [entry.not_finite for entry in self.maps]))
        unknown = int((~self.scores.isfinite()).sum())
        lines.append(f"NOT FINITE: {unknown} of {count * targets} scores" if unknown else "")
        notes: dict[tuple[str, str], list[str]] = {}
        for entry in self.maps:
            notes.setdefault((entry.method, entry.note), []).append(entry.layer)
        lines += [f"{m} at {', '.join(layers)}: {note}" for (m, note), layers in notes.items() if note]
        return "\n".join(line for line in lines if line)

    def _counted(self, what: str, numbers: list[int]) -> str:
        """Of which entries how many maps are so, or nothing."""
        total = self.targets.numel()
        found = [
            f"{number} of {total} of {entry.method} at {entry.layer}"
            for entry, number in zip(self.maps, numbers, strict=True)
            if number
        ]
        return f"{what}: {', '.join(found)}" if found else ""

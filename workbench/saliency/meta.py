r"""Meta-saliency: the map of the model that has just learnt from the input.

A step of gradient descent on one input changes most what that input's class hangs on; the map at
:math:`\theta' = \theta - \epsilon \nabla_\theta \mathrm{CE}(f_\theta(x), y)` shows it.
"""

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.func import jvp

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, VERMILION
from workbench.probes import refuse_training_mode
from workbench.result import Result, new_axes
from workbench.saliency.capture import INPUT
from workbench.saliency.extraction import REAL
from workbench.saliency.input_steps import Learner, over_pairs, tapped
from workbench.saliency.layer_inputs import logits_of, read_inputs
from workbench.saliency.methods import TRUE, Method, find_method
from workbench.saliency.pictures import resize
from workbench.saliency.places import Adapter, on_grid
from workbench.saliency.scores import SCORES, read_targets
from workbench.saliency.tokens import find_adapter

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclasses.dataclass(frozen=True, repr=False)
class MetaMaps(Result):
    r"""Maps of N inputs and T targets each, before and after a step on that input and target.

    Attributes
    ----------
    method, layer, formula : str
    plain : Tensor (N, T, h, w)
        The maps at the model's own parameters.
    maps : Tensor (N, T, h, w)
        The maps after the step; if infinitesimal, the derivative of the map by the step's length
        :math:`\epsilon` at 0.
    loss_change : Tensor (N, T)
        By how much the step changes the cross entropy; if infinitesimal, per :math:`\epsilon`.
    targets : Tensor (N, T)
    score : str
    step : float
        :math:`\epsilon`, 0 if infinitesimal.
    ascend : bool
        Whether the step went up the loss.
    infinitesimal : bool
    size : tuple of int
        Height and width of the input.
    looped : str
        Why the inputs went one by one; nothing if they went in batches.
    """

    method: str
    layer: str
    formula: str
    plain: Tensor
    maps: Tensor
    loss_change: Tensor
    targets: Tensor
    score: str
    step: float
    ascend: bool
    infinitesimal: bool
    size: tuple[int, ...]
    looped: str = ""

    @property
    def sized(self) -> Tensor:
        """The maps resized to the input, bilinear: (N, T, H, W)."""
        return resize(self.maps, self.size)

    @property
    def moved(self) -> Tensor:
        """How much of each map moved (N, T): the norm of the change over that of the plain map.

        If infinitesimal, per unit of the step's length. It is nan where the plain map is 0 everywhere.
        """
        change = self.maps if self.infinitesimal else self.maps - self.plain
        size = self.plain.flatten(2).norm(dim=2)
        return torch.where(size > 0, change.flatten(2).norm(dim=2) / size, math.nan)

    def frame(self) -> pd.DataFrame:
        """One row per input and target."""
        count, targets = self.targets.shape
        columns = {
            "sample": torch.arange(count)[:, None].expand(count, targets),
            "target": self.targets,
            "loss_change": self.loss_change,
            "moved": self.moved,
        }
        table = pd.DataFrame({name: values.flatten().cpu().numpy() for name, values in columns.items()})
        return table.assign(method=self.method, layer=self.layer)

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """How much the maps moved, against what the step did to the loss."""
        ax = new_axes(ax)
        table = self.frame()
        ax.plot(table["loss_change"], table["moved"], "o", color=VERMILION if self.ascend else BLUE)
        unit = " per unit of ε" if self.infinitesimal else ""
        ax.set_xlabel(f"change of the cross entropy{unit}")
        ax.set_ylabel(f"change of the map over its norm{unit}")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        return ax

    def summary(self) -> str:
        """What the step did to loss and maps, and the cost."""
        count, targets = self.targets.shape
        empty = int(self.moved.isnan().sum())
        left_out = f" ({empty} of {self.moved.numel()} UNDEFINED and left out)" if empty else ""
        way = "up" if self.ascend else "down"
        length = "per unit of ε, at 0" if self.infinitesimal else f"ε = {self.step:.3g}"
        cost = "3 forward and 3 backward passes"
        if self.infinitesimal:
            cost = "2 forward and 2 backward passes (one of each with forward derivatives)"
        how = f"one by one ({self.looped})" if self.looped else "in batches"
        return (
            f"meta {self.method} at {self.layer!r}, a step {way} the loss of each input ({length}): "
            f"maps move by {self.moved.nanmean().item():.3g} of their norm{left_out}, the loss by "
            f"{self.loss_change.mean().item():.3g}\n"
            f"{count} inputs × {targets} targets, each {cost}, {how}"
        )


@dataclasses.dataclass(frozen=True)
class MetaExplainer:
    """Makes meta-saliency maps (N, H, W) of the size of the inputs: ``explainer(model, inputs, target)``.

    Attributes
    ----------
    method : str, Method or (extract, aggregate)
    layer : str
    step, ascend, infinitesimal, score, rows, adapter
        See :func:`meta_saliency`.
    """

    method: str | Method | tuple[str, str]
    layer: str
    step: float = 1e-4
    ascend: bool = False
    infinitesimal: bool = False
    score: str = "logit"
    rows: int = 8
    adapter: str | Adapter | None = None

    def __call__(self, model: nn.Module, inputs: Tensor, target: Any = None) -> Tensor:
        """Maps (N, H, W) of one target per input: None, an int, or N ints."""
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        found = meta_saliency(model, inputs, target, **options)
        if found.targets.shape[1] != 1:
            raise ValueError(f"target has {found.targets.shape[1]} classes per input: an explainer takes one")
        return found.sized[:, 0]


def meta_saliency(
    model: nn.Module,
    inputs: Tensor,
    target: Any = None,
    method: str | Method | tuple[str, str] = "norm_grad",
    layer: str = INPUT,
    *,
    step: float = 1e-4,
    ascend: bool = False,
    infinitesimal: bool = False,
    score: str = "logit",
    rows: int = 8,
    adapter: str | Adapter | None = None,
) -> MetaMaps:
    r"""Map of each input at parameters that a step of gradient descent on this input and target has moved.

    All parameters move, frozen ones too, on copies: those of the model stay as they are, to the bit.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes); in eval mode.
    inputs : Tensor (N, ...)
    target : None, int, N ints, or (N, T)
        Each has a step of its own; None is the predicted class.
    method : str, Method or (extract, aggregate)
        One that uses the true gradient.
    layer : str
        Runs once in a forward pass.
    step : float
        Length :math:`\epsilon` of the step; 0 gives the plain maps.
    ascend : bool
        Go up the loss: what speaks against the class comes to the fore.
    infinitesimal : bool
        Return the derivative of the map by :math:`\epsilon` at 0 (forward over reverse), which needs no step
        length. Where a norm is 0 and has no derivative it is taken as 0: units there are dead.
    score : {"logit", "probability", "loss"}
        What the map explains; the step is always one on the cross entropy.
    rows : int
        At most so many pairs of input and target at once, each with a copy of all parameters.
    adapter : str or callable, optional
        See :func:`explain`.

    Returns
    -------
    MetaMaps

    Raises
    ------
    ValueError
        If a name, target, count or the step is out of range, a method has another backward rule, the model is
        in train mode or compiled, or half precision would round the step away.

    Notes
    -----
    Cost: per input and target, 3 forward and 3 backward passes, one of which goes to all parameters; if
    infinitesimal 2 and 2, one of each with forward derivatives. Beside them one forward pass over the inputs,
    and one of one input. No other thread may use the model meanwhile: it gets other parameters for each pass,
    and its own back. A model that ``torch.func.vmap`` cannot take
    goes input by input, with a warning that says why.
    Source: Rebuffi, Fong, Ji, Vedaldi, CVPR 2020, arXiv:2004.02866, and its authors' code for the step. The
    infinitesimal variant is derived here.
    """
    refuse_training_mode(model)
    chosen = find_method(method)
    if chosen.rule != TRUE:
        raise ValueError(
            f"method {chosen.name!r} follows the rule {chosen.rule!r}: meta-saliency takes the true one"
        )
    inputs = read_inputs(inputs)
    lay_out = find_adapter(adapter, inputs)
    check_choice("score", score, SCORES)
    check_count("rows", rows)
    if not 0 <= step < float("inf"):
        raise ValueError(
            f"step={step} is out of range: it must be finite and at least 0; ascend=True goes up"
        )
    _refuse_what_takes_no_step(model, infinitesimal or not step)
    with torch.inference_mode(False), torch.no_grad():
        targets = read_targets(target, logits_of(model, inputs, rows))
        signed = step if ascend else -step
        if infinitesimal:
            signed = 1.0 if ascend else -1.0

        def map_of(x: Tensor, gradient: Tensor) -> Tensor:
            x, gradient = (on_grid(layer, each, lay_out) for each in (x, gradient))
            return chosen.map_of(x, gradient, tap.module)

        plain, maps, changes, looped = [], [], [], ""
        with tapped(model, inputs, layer, entering=chosen.extract == REAL) as tap:
            learner = Learner(model, tap, score, signed, infinitesimal)
            for before, after, change, reason in over_pairs(learner, inputs, targets, rows):
                looped = reason
                takes, then = (
                    (each.entered if chosen.extract == REAL else each.x, each.gradient)
                    for each in (before, after)
                )
                if infinitesimal:
                    found = jvp(map_of, takes, then)
                    value, moved = found[0], torch.where((found[0] == 0) & found[1].isnan(), 0, found[1])
                else:
                    value, moved = map_of(*takes), map_of(*then)
                plain.append(value)
                maps.append(moved)
                changes.append(change)
    return MetaMaps(
        method=chosen.name,
        layer=layer,
        formula=chosen.formula,
        plain=torch.cat(plain).unflatten(0, targets.shape),
        maps=torch.cat(maps).unflatten(0, targets.shape),
        loss_change=torch.cat(changes).view(targets.shape),
        targets=targets,
        score=score,
        step=0.0 if infinitesimal else float(step),
        ascend=ascend,
        infinitesimal=infinitesimal,
        size=tuple(inputs.shape[2:] if inputs.dim() == 4 else maps[0].shape[1:]),
        looped=looped,
    )


def _refuse_what_takes_no_step(model: nn.Module, stands: bool) -> None:
    if hasattr(model, "_orig_mod"):
        raise ValueError("the model is compiled for the parameters that it has: pass model._orig_mod")
    for name, each in model.named_parameters():
        if not stands and each.element_size() < 4:
            raise ValueError(
                f"parameter {name!r} is {each.dtype}, which rounds the step away: pass model.float(), or "
                "infinitesimal=True"
            )

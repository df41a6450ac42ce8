"""``infidelity``: does the map predict what perturbations do to the score?"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.random_vectors import filled_rows, generator
from workbench.saliency.evidence.evidence_result import Evidence
from workbench.saliency.evidence.perturbed_scores import class_scores, perturbed_scores
from workbench.saliency.evidence.questions import check_maps, fixed_targets

PERTURBATIONS = ("square", "gaussian")


def infidelity(
    model: nn.Module,
    inputs: Tensor,
    targets: Any,
    maps: Tensor,
    *,
    perturbation: str | Tensor = "square",
    size: float | None = None,
    draws: int = 64,
    scaled: bool = True,
    score: str = "logit",
    memory: int | str | None = None,
    seed: int = 0,
) -> Evidence:
    r"""Mean of :math:`(I \cdot \Phi - (f(x) - f(x - I)))^2` over perturbations I; lower is better.

    With ``scaled``, :math:`\Phi` is first multiplied for each sample by the number that makes this smallest,
    :math:`E[(I\cdot\Phi)\,\Delta f] / E[(I\cdot\Phi)^2]`, so that maps of any unit can be compared; what is
    left can be read against :math:`E[\Delta f^2]`, which an empty map has.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, classes).
    inputs : Tensor (N, C, H, W)
        Inputs of the model.
    targets : Tensor (N,), int or None
        The class that is scored; None for the predicted one.
    maps : Tensor (N, H, W) or (N, C, H, W)
        The same value for all channels of a pixel, or one for each. Signed maps are meant.
    perturbation : {"square", "gaussian"} or Tensor (P, C, H, W) or (N, P, C, H, W)
        What is taken from the input: a square of it at a random place, noise, or what is given.
    size : float, optional
        Side of the square in pixels, by default a quarter of the shorter side; standard deviation of the
        noise, by default 0.2.
    draws : int
        Perturbations of each input, unless they are given.
    scaled : bool
        Whether the map may be rescaled.
    score : {"logit", "probability", "loss"}
        See :func:`~workbench.saliency.scores.target_scores`.
    memory : int or str, optional
        Bound on a batch, see :func:`~.budget.rows_at_once`.
    seed : int
        Of the perturbations and of the bootstrap.

    Returns
    -------
    Evidence
        Undefined where the map is not finite. After an interrupt, for the samples that were done.

    Raises
    ------
    ValueError
        If a shape does not fit, or a word or a number is not allowed.

    Notes
    -----
    Cost: (draws + 1) forward passes over the inputs.
    Source: Yeh et al., "On the (in)fidelity and sensitivity of explanations", NeurIPS 2019, for the
    definition; the optimal scaling is derived here (least squares).
    """
    classes = fixed_targets(model, inputs, targets)
    channels = maps if maps.shape == inputs.shape else None
    if channels is None:
        check_maps(maps, inputs)
        channels = maps[:, None].expand_as(inputs)
    taken = _Perturbations(inputs, perturbation, size, draws, seed)
    products = torch.zeros(len(inputs), taken.count, dtype=torch.float64)

    def perturb(samples: Tensor, versions: Tensor) -> Tensor:
        removed = taken(samples, versions)
        product = (removed.double() * channels[samples].double()).flatten(1).sum(1)
        products[samples.cpu(), versions.cpu()] = product.cpu()
        return inputs[samples] - removed

    after = perturbed_scores(
        model, inputs, classes, taken.count, perturb, score=score, memory=memory, title="infidelity"
    )
    done = len(after)
    before = _unperturbed(model, inputs[:done], classes[:done], score)
    changes, products = before[:, None] - after, products[:done]
    values = _errors(products, changes, scaled).numpy()
    values[~maps[:done].flatten(1).isfinite().all(1).cpu().numpy()] = math.nan
    how = "the map scaled to fit best" if scaled else "the map as it is"
    empty = float(changes.square().mean())
    return Evidence(
        metric="infidelity",
        values=values,
        better="lower",
        notes=(f"{taken.name}, {how}, of the {score}; an empty map has {empty:.4g}",),
        inputs_evaluated=done * (taken.count + 1),
        seed=seed,
        interrupted=done < len(inputs),
    )


class _Perturbations:
    """What is taken from each input: ``(samples, versions) -> (rows, C, H, W)``, drawn in order."""

    def __init__(self, inputs: Tensor, kind: str | Tensor, size: float | None, draws: int, seed: int) -> None:
        self.inputs, self.kind, self.random = inputs, kind, generator(seed)
        if isinstance(kind, Tensor):
            if kind.shape[-3:] != inputs.shape[1:] or kind.shape[:-4] not in ((), (len(inputs),)):
                expected = ("P", *inputs.shape[1:])
                raise ValueError(f"perturbation has shape {tuple(kind.shape)}, not {expected}")
            self.count, self.name = kind.shape[-4], f"{kind.shape[-4]} given perturbations"
            return
        check_choice("perturbation", kind, PERTURBATIONS)
        check_count("draws", draws)
        height, width = inputs.shape[2:]
        self.count = draws
        if kind == "gaussian":
            self.size = 0.2 if size is None else size
            self.name = f"{draws} draws of noise of standard deviation {self.size:g}"
        else:
            self.size = max(1, min(height, width) // 4) if size is None else size
            check_count("size", self.size, 1, min(height, width))
            self.name = f"{draws} squares of {self.size} pixels set to 0"
        if not self.size > 0:
            raise ValueError(f"size={size!r} is not allowed: it must be positive")

    def __call__(self, samples: Tensor, versions: Tensor) -> Tensor:
        if isinstance(self.kind, Tensor):
            given = self.kind.to(self.inputs)
            return given[samples, versions] if given.ndim == 5 else given[versions]
        shape = (len(samples), *self.inputs.shape[1:])
        if self.kind == "gaussian":
            noise = filled_rows(
                shape, lambda row: row.normal_(generator=self.random), dtype=self.inputs.dtype
            )
            return self.size * noise.to(self.inputs.device)
        return self.inputs[samples] * self._squares(shape)

    def _squares(self, shape: tuple[int, ...]) -> Tensor:
        """Masks (rows, 1, H, W) of squares at random places within the image."""
        rows, _, height, width = shape
        side = int(self.size)
        places = torch.rand(rows, 2, dtype=torch.float64, generator=self.random)
        free = torch.tensor([height - side + 1, width - side + 1])
        top, left = (places * free).long().to(self.inputs.device)[:, :, None, None].unbind(1)
        y = torch.arange(height, device=self.inputs.device)[:, None]
        x = torch.arange(width, device=self.inputs.device)
        return ((top <= y) & (y < top + side) & (left <= x) & (x < left + side))[:, None]


def _unperturbed(model: nn.Module, inputs: Tensor, classes: Tensor, score: str) -> Tensor:
    with torch.no_grad():
        parts = zip(inputs.split(64), classes.split(64), strict=True)
        return torch.cat([class_scores(model(part), targets, score) for part, targets in parts]).cpu()


def _errors(products: Tensor, changes: Tensor, scaled: bool) -> Tensor:
    """Mean square of products - changes, both (N, P), over P; the products rescaled to make it smallest."""
    if scaled:
        squares = products.square().sum(1)
        best = torch.where(squares > 0, (products * changes).sum(1) / squares, 0.0)
        products = best[:, None] * products
    return (products - changes).square().mean(1)

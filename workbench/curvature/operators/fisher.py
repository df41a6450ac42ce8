"""The Fisher information matrix: empirical, and by sampled targets."""

import zlib
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from workbench.batches import Batch, checksum
from workbench.choices import check_count
from workbench.curvature.operators.autograd import Product, Tensors
from workbench.curvature.operators.example_losses import example_weights, weighted_losses
from workbench.curvature.operators.gauss_newton import GaussNewton
from workbench.problem import Parameters, Problem
from workbench.random_vectors import generator
from workbench.weighting import identify_loss


class EmpiricalFisher(GaussNewton):
    r"""Second moment of the gradients of single examples, at their own targets.

    .. math:: F = \frac{1}{\sum_i w_i} \sum_i w_i\, g_i g_i^\top \qquad g_i = \nabla_\theta \ell_i

    with the weights :math:`w_i` that the loss gives its examples; of a loss that is a sum, the sum of
    :math:`g_i g_i^\top`. An example is what the first dimension of a batch counts: a sequence, not a token.

    It is not the Fisher information matrix of the model, which takes the expectation over targets drawn from
    the model's own predictions (see :class:`SampledFisher` and :class:`~.ggn.GGN`).
    Source: Kunstner, Hennig, Balles, "Limitations of the empirical Fisher approximation", 2019.
    """

    def _heads(
        self, outputs: Any, loss: Tensor, parameters: Parameters, batch: Batch
    ) -> tuple[Tensors, Product]:
        losses = weighted_losses(self.problem, outputs, batch, parameters)
        if self.problem.weighting.sums:
            return [losses[:, None]], partial(_scaled_by, torch.ones_like(losses.detach())[:, None])
        weights = example_weights(self.problem, batch)
        scales = torch.where(weights > 0, 1 / (weights * weights.sum()), 0)
        return [losses[:, None]], partial(_scaled_by, scales.to(losses.dtype)[:, None])


class SampledFisher(GaussNewton):
    r"""Fisher information matrix of the model, its expectation over targets replaced by a mean over samples.

    .. math:: F = \frac{1}{\sum_i w_i} \sum_i w_i\, \frac1S \sum_s
       J_i^\top \tilde g_{is} \tilde g_{is}^\top J_i \qquad
       \tilde g_{is} = \nabla_f \ell(f_i, \tilde y_{is}), \quad \tilde y_{is} \sim p(\cdot \mid f_i)

    For the cross entropy and the squared error, whose targets are drawn from the softmax and from a normal
    distribution of variance ½, its expectation over samples is the generalised Gauss-Newton matrix.

    Parameters
    ----------
    problem : Problem
    samples : int
        S, targets drawn per example.
    seed : int
        Of the samples, which are the same at each product.
    """

    def __init__(self, problem: Problem, *, samples: int = 1, seed: int = 0, **keywords: Any) -> None:
        super().__init__(problem, **keywords)
        check_count("samples", samples, 1)
        check_count("seed", seed, 0)
        kind, settings = identify_loss(problem.loss)
        plain = settings.get("weight") is None and not settings.get("label_smoothing")
        if kind not in (nn.CrossEntropyLoss, nn.MSELoss) or not plain:
            raise ValueError(
                "targets can be sampled for nn.CrossEntropyLoss without class weights or label smoothing and "
                "for nn.MSELoss, whose predictions are distributions: use ggn() or kind='empirical' otherwise"
            )
        self.samples, self.seed = samples, seed
        self._classifies = kind is nn.CrossEntropyLoss

    def of(self, problem: Problem, *, memory: int | None = 0, **keywords: Any) -> "SampledFisher":
        """Return the same operator of another problem, which is not probed."""
        return SampledFisher(
            problem,
            samples=self.samples,
            seed=self.seed,
            regularization=self.regularization,
            memory=memory,
            check=False,
            **keywords,
        )

    def _heads(
        self, outputs: Any, loss: Tensor, parameters: Parameters, batch: Batch
    ) -> tuple[Tensors, Product]:
        if not isinstance(outputs, Tensor):
            raise ValueError(f"targets can be sampled for outputs that are one tensor, not {_kind(outputs)}")
        targets = self.problem.batch_targets(batch)
        slopes = self._slopes(outputs.detach(), targets, checksum(targets))
        weight = 1.0 if self.problem.weighting.sums else self.problem.weighting.weigh(batch, targets)
        return [outputs], partial(_outer_products, slopes, 1 / (self.samples * weight))

    def _slopes(self, outputs: Tensor, targets: Tensor, key: int) -> Tensor:
        """Gradients (S, N, …) of the loss' terms with respect to the outputs, at sampled targets."""
        source = generator(zlib.crc32(f"{self.seed} {key}".encode()))
        if not self._classifies:
            noise = torch.randn((self.samples, *outputs.shape), generator=source, dtype=torch.float64)
            return (2**0.5 * noise).to(outputs)
        last = outputs.movedim(1, -1) if outputs.dim() > 1 else outputs  # classes last
        probabilities = last.softmax(-1, dtype=torch.float64)
        flat = probabilities.reshape(-1, probabilities.shape[-1]).cpu()
        drawn = torch.multinomial(flat, self.samples, replacement=True, generator=source)
        hot = nn.functional.one_hot(drawn.T, flat.shape[1]).view(self.samples, *probabilities.shape)
        slopes = (probabilities - hot.to(probabilities)) * self._counted_targets(targets)[..., None]
        return (slopes.movedim(-1, 2) if outputs.dim() > 1 else slopes).to(outputs.dtype)

    def _counted_targets(self, targets: Tensor) -> Tensor:
        """Which targets count."""
        ignored = identify_loss(self.problem.loss)[1]["ignore_index"]
        return targets != ignored if not targets.is_floating_point() else torch.ones_like(targets[:, 0])


def _scaled_by(scales: Tensor, vectors: Tensors, *, batched: bool) -> Tensors:
    return [scales * vector for vector in vectors]


def _outer_products(slopes: Tensor, scale: float, vectors: Tensors, *, batched: bool) -> Tensors:
    """Sum over samples of slope · ⟨slope, vector⟩, example by example."""
    (vector,) = vectors
    rows = vector if batched else vector[None]
    flat, against = rows.flatten(2), slopes.flatten(2)  # (k, N, C), (S, N, C)
    products = torch.einsum("knc,snc->ksn", flat, against)
    curved = (scale * torch.einsum("ksn,snc->knc", products, against)).view_as(rows)
    return [curved if batched else curved[0]]


def _kind(outputs: Any) -> str:
    return f"a {type(outputs).__name__} of {len(tree_flatten(outputs)[0])}"

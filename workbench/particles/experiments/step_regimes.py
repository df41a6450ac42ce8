r"""``step_regime``: steps of consensus hopping as :math:`\alpha` rises, with one quantity held.

The link to gradient descent is a limit in two: :math:`\alpha \to \infty` at fixed :math:`\tau = \alpha s^2`
makes the consensus step the proximal step, and :math:`\tau \to 0` makes that the gradient's. Where the
objective is nearly linear the effective sample size is about :math:`N e^{-\alpha \tau |\nabla f|^2}`; so both
limits are taken at once, and at no price in particles, along :math:`\alpha \tau` = constant (derived here).
"""

from collections.abc import Sequence
from typing import Any

import torch

from workbench.choices import check_choice
from workbench.particles.objectives import Objective
from workbench.particles.step_comparison import StepComparison, step_comparison

HELD = ("tau", "width", "alpha tau")


def step_regime(
    objective: Objective,
    point: Any,
    alphas: Sequence[float],
    *,
    held: str = "tau",
    held_at: float = 0.02,
    step_particles: int = 20_000,
    repeats: int = 10,
    seed: int = 0,
) -> StepComparison:
    r"""Compare consensus steps with the gradient and the proximal step for several :math:`\alpha`.

    Parameters
    ----------
    objective, point, alphas, step_particles, repeats, seed
        As for :func:`~workbench.particles.step_comparison`.
    held : {"tau", "width", "alpha tau"}
        What stays the same while :math:`\alpha` changes: :math:`\tau`, the width s, or
        :math:`\alpha\tau`, with which :math:`\tau` falls as :math:`\alpha` rises.
    held_at : float
        Its value.

    Raises
    ------
    ValueError
        As for :func:`~workbench.particles.step_comparison`, or if nothing is called ``held``.
    """
    check_choice("held", held, HELD)

    def compare(some: Sequence[float], **held_values: float) -> StepComparison:
        return step_comparison(
            objective,
            point,
            some,
            tau=held_values.get("tau"),
            width=held_values.get("width"),
            particles=step_particles,
            repeats=repeats,
            seed=seed,
        )

    if held != "alpha tau":
        return compare(alphas, **{held: held_at})
    found = [compare([alpha], tau=held_at / alpha) for alpha in alphas]
    parts = ("alphas", "widths", "taus", "steps", "ess", "proximal", "residual")
    return found[0].replace(**{name: torch.cat([getattr(each, name) for each in found]) for name in parts})

r"""``process_surrogate``: run a chemical process for profit, known only through a network trained on it.

Three stirred batches in a row, each at a temperature and for a time of its own, turn A into the product B
and B into the waste C, both reactions of first order with Arrhenius rates. This closed form is ours; the
authors' code has a published network of a bio-diesel reactor in its place, with two variables.
"""

import dataclasses
import functools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from workbench.choices import check_count, check_number
from workbench.colors import BLUE, ORANGE
from workbench.particles.attacks.search_path import SearchPath
from workbench.particles.attacks.surrogates import Surrogate
from workbench.random_vectors import generator
from workbench.result import Result, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STAGES = 3
OUTPUTS = ("product", "waste", "energy")
_COLDEST, _WARMEST, _MIDDLE = 300.0, 360.0, 330.0  # kelvin; rates are given at the middle
_LONGEST = 2.0  # hours of a stage
_RATES = (1.0, 0.15)  # per hour, of A → B and B → C
_ACTIVATION = (3500.0, 6500.0)  # kelvin: activation energies over the gas constant
_HOLDING = 0.3  # energy of a cold stage, as a share of that of the warmest
_PRICE = 0.2  # of the most energy, in units of the product
_MOST_ENERGY = 0.4


def closed_form(points: Tensor) -> Tensor:
    r"""Product, waste and energy (n, 3) of settings (n, 6) in [0, 1]: three temperatures, then three times.

    With :math:`k_i(T) = k_i \exp(-E_i (1/T - 1/T_0))`, a stage of length t takes
    :math:`A \to A e^{-k_1 t}` and :math:`B \to B e^{-k_2 t} + A k_1 (e^{-k_1 t} - e^{-k_2 t}) / (k_2 - k_1)`;
    C is the rest of 1; energy is the mean over the stages of time, as a share of the longest, by 0.3 and 0.7
    of the warmth.
    """
    warmth, length = points[:, :STAGES], points[:, STAGES:]
    kelvin = _COLDEST + (_WARMEST - _COLDEST) * warmth
    a, b = torch.ones_like(points[:, 0]), torch.zeros_like(points[:, 0])
    for stage in range(STAGES):
        time = _LONGEST * length[:, stage]
        first, second = (
            rate * torch.exp(-energy * (1 / kelvin[:, stage] - 1 / _MIDDLE)) * time
            for rate, energy in zip(_RATES, _ACTIVATION, strict=True)
        )
        b = b * torch.exp(-second) + a * first * torch.exp(-first) * _mean_decay(second - first)
        a = a * torch.exp(-first)
    energy = ((_HOLDING + (1 - _HOLDING) * warmth) * length).mean(1)
    return torch.stack([b, 1 - a - b, energy], dim=1)


def process_surrogate(
    *, waste: float = 0.06, feasible: bool = True, samples: int = 1024, iterations: int = 300, seed: int = 0
) -> Surrogate:
    r"""Maximise product less the price of energy, with a limit on waste and on energy, through a network.

    Parameters
    ----------
    waste : float
        The most that is allowed, between 0 and 1.
    feasible : bool
        Start cold and short, where little happens; False: hot and long, where both limits are broken.
    samples, iterations : int
        Settings that the network is trained on, and iterations of L-BFGS on all of them.
    seed : int
        Of the samples and of the weights.

    Raises
    ------
    ValueError
        If a number is out of range.

    Notes
    -----
    The network, 6-32-32-3 with GELU, takes a second or two to train and is kept for the session.
    """
    check_number("waste", waste, above=0, below=1)
    check_count("samples", samples)
    check_count("iterations", iterations)
    check_count("seed", seed, low=0)
    start = torch.full((2 * STAGES,), 0.1 if feasible else 0.9, dtype=torch.float64)
    return Surrogate(
        name=f"process ({'feasible' if feasible else 'infeasible'} start, waste ≤ {waste:g})",
        network=_trained(samples, iterations, seed),
        goal=profit,
        start=start,
        constraints=functools.partial(excess, waste=waste),
        lower=torch.zeros_like(start),
        upper=torch.ones_like(start),
    )


def profit(outputs: Tensor) -> Tensor:
    """Product less the price of the energy (n,)."""
    return outputs[:, 0] - _PRICE * outputs[:, 2]


def excess(outputs: Tensor, waste: float) -> Tensor:
    """Waste and energy beyond their limits (n, 2)."""
    return torch.stack([outputs[:, 1] - waste, outputs[:, 2] - _MOST_ENERGY], dim=1)


@dataclasses.dataclass(frozen=True, repr=False)
class ProcessCheck(Result):
    """What the settings that a search found are worth in the process itself.

    Attributes
    ----------
    surrogate, truth : ndarray (3,)
        Product, waste and energy by the network and by the closed form.
    errors : ndarray (3,)
        Root mean square error of the network on settings that it was not trained on.
    profits : tuple of float
        By the network and by the closed form.
    waste : float
        The limit.
    """

    surrogate: np.ndarray
    truth: np.ndarray
    errors: np.ndarray
    profits: tuple[float, float]
    waste: float

    @property
    def kept(self) -> bool:
        """Whether the limits hold in the process itself."""
        return bool(self.truth[1] <= self.waste and self.truth[2] <= _MOST_ENERGY)

    def frame(self) -> pd.DataFrame:
        """One row per output."""
        return pd.DataFrame(
            {
                "output": OUTPUTS,
                "network": self.surrogate,
                "closed_form": self.truth,
                "rms_error": self.errors,
            }
        )

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Outputs by the network and by the closed form, with the network's error."""
        ax = new_axes(ax)
        places = np.arange(len(OUTPUTS))
        ax.bar(
            places - 0.2, self.surrogate, 0.4, yerr=self.errors, color=ORANGE, label="network (± rms error)"
        )
        ax.bar(places + 0.2, self.truth, 0.4, color=BLUE, label="closed form")
        ax.set_xticks(places, OUTPUTS)
        ax.set_ylabel("share of the feed; share of the most energy")
        ax.set_title(self.summary().splitlines()[0], fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """The profit twice, and whether the limits hold."""
        held = "hold" if self.kept else "are BROKEN"
        return (
            f"profit {self.profits[0]:.4g} by the network, {self.profits[1]:.4g} in the process\n"
            f"the limits {held} there: waste {self.truth[1]:.4g} of {self.waste:g}, "
            f"energy {self.truth[2]:.4g} of {_MOST_ENERGY:g} "
            f"(network's rms errors {self.errors[1]:.2g}, {self.errors[2]:.2g})"
        )


def process_check(surrogate: Surrogate, path: SearchPath) -> ProcessCheck:
    """Put the end of a path on a :func:`process_surrogate` into the closed form, with that one's limits.

    Raises
    ------
    ValueError
        If the path is not of this problem, or the problem is no process.
    """
    if path.problem != surrogate.name:
        raise ValueError(f"the path is of {path.problem!r}, not of {surrogate.name!r}")
    limits = surrogate.constraints
    if not isinstance(limits, functools.partial) or limits.func is not excess:
        raise ValueError(f"{surrogate.name!r} is no process: use process_surrogate")
    held_out = torch.rand(2000, 2 * STAGES, generator=generator(10_007), dtype=torch.float64)
    with torch.no_grad():
        outputs = torch.cat([surrogate.network(path.point[None]), closed_form(path.point[None])])
        errors = (surrogate.network(held_out) - closed_form(held_out)).square().mean(0).sqrt()
    by_network, truth = profit(outputs).tolist()
    return ProcessCheck(
        surrogate=outputs[0].numpy(),
        truth=outputs[1].numpy(),
        errors=errors.numpy(),
        profits=(by_network, truth),
        waste=limits.keywords["waste"],
    )


class _Process(nn.Module):
    """A network from settings in [0, 1], which it centres, to the outputs."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * STAGES, width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Linear(width, len(OUTPUTS)),
        )

    def forward(self, points: Tensor) -> Tensor:
        return self.layers(2 * points - 1)


@functools.lru_cache(maxsize=4)
def _trained(samples: int, iterations: int, seed: int) -> nn.Module:
    """Train on random settings by least squares, in float64."""
    points = torch.rand(samples, 2 * STAGES, generator=generator(seed), dtype=torch.float64)
    targets = closed_form(points)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _Process().double()
    optimizer = torch.optim.LBFGS(
        network.parameters(),
        max_iter=iterations,
        history_size=30,
        line_search_fn="strong_wolfe",
        tolerance_grad=0,
        tolerance_change=0,
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = nn.functional.mse_loss(network(points), targets)
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return network.eval().requires_grad_(False)


def _mean_decay(rate: Tensor) -> Tensor:
    """(1 - exp(-z)) / z, which is 1 at 0."""
    safe = torch.where(rate.abs() < 1e-9, torch.ones_like(rate), rate)
    return torch.where(rate.abs() < 1e-9, 1 - rate / 2, -torch.expm1(-safe) / safe)

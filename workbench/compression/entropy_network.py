"""``fit_network``: a small network that says how the symbols of each cell are distributed."""

import dataclasses

import numpy as np
import torch
from torch import Tensor, nn

from workbench.compression.contexts import CELLS, LEVELS
from workbench.kernels.generalized_gaussians import generalized_gaussian_bits
from workbench.layers import GeneralizedGaussianEntropy

KINDS = ("gaussian", "laplace", "shared", "generalized")
_FIXED = {"gaussian": 2.0, "laplace": 1.0}
PRECISION = 24  # bits of the range coder's probabilities
_HIDDEN, _RATE = 32, 0.1
_WIDE = 2.0  # sinh of it is where scales start


@dataclasses.dataclass(frozen=True)
class Sample:
    """Numbers to fit a network to.

    Attributes
    ----------
    cells : Tensor of int (n,)
        Cell of each.
    values : Tensor (n,)
        Symbols, or latents with noise.
    counts : Tensor (n,)
        How often each occurs.
    """

    cells: Tensor
    values: Tensor
    counts: Tensor


class EntropyNetwork(nn.Module):
    """Scales, and shapes where they are not fixed, of every cell: one hidden layer on what a cell is.

    Parameters
    ----------
    kind : {"gaussian", "laplace", "shared", "generalized"}
        Shapes of 2 or 1, one for all cells that is trained, or one for each cell that the network predicts.
    bound : str
        Of scales, see :class:`~workbench.layers.GeneralizedGaussianEntropy`.
    """

    def __init__(self, kind: str, bound: str = "tail") -> None:
        super().__init__()
        self.entropy = GeneralizedGaussianEntropy(_FIXED.get(kind), bound=bound).eval()
        first, last = nn.Linear(CELLS // (2 * LEVELS) + 3, _HIDDEN), nn.Linear(_HIDDEN, 2)
        with torch.no_grad():  # wide scales: what is far out then has a gradient that can be followed
            last.bias.copy_(torch.tensor([_WIDE, 0.0]))
        self.layers = nn.Sequential(first, nn.Tanh(), last)
        self.shape = nn.Parameter(torch.zeros(())) if kind == "shared" else None

    def forward(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Scales and shapes of cells (n,)."""
        scale, shape = self.layers(_features(cells)).unbind(-1)
        if self.shape is not None:
            shape = self.shape.expand_as(scale)
        # The hyperbolic sine reaches scales of a hundredth and of a hundred alike.
        return self.entropy.distribution(scale.sinh(), None if self.entropy.shape else shape)


def fit_network(
    kind: str, sample: Sample, *, bound: str = "tail", steps: int = 200, seed: int = 0
) -> EntropyNetwork:
    """Minimise the mean bits of a sample by Adam, in float32; each step sees all of it.

    The first half of the steps minimises the bits of the model, which lead scales to numbers however far out;
    the second what they cost coded.

    Parameters
    ----------
    kind, bound : str
        See :class:`EntropyNetwork`.
    sample : Sample
        What to fit.
    steps : int
        With a rate that rises to 0.1 and falls to 0.
    seed : int
        Of the start.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed GPUs too, for good
        network = EntropyNetwork(kind, bound)
    cells, place = sample.cells.unique(return_inverse=True)
    share = sample.counts / sample.counts.sum()
    optimizer = torch.optim.Adam(network.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, total_steps=max(steps, 4))
    for step in range(steps):
        optimizer.zero_grad()
        scale, shape = network(cells)
        bits = bits_of(sample.values, scale[place], shape[place])
        (share * (bits if 2 * step < steps else coded_bits(bits))).sum().backward()
        optimizer.step()
        schedule.step()
    return network


def bits_of(values: Tensor, scale: Tensor, shape: Tensor) -> Tensor:
    """Bits of numbers about 0."""
    return generalized_gaussian_bits(values, torch.zeros_like(values), scale, shape)


def coded_bits(bits: Tensor) -> Tensor:
    """Bits in a range coder of 24 bits, which gives a probability of 2⁻²⁴ at least to every symbol."""
    return -(torch.exp2(-bits) + 2.0**-PRECISION).log2()


@torch.no_grad()
def bits_table(network: EntropyNetwork, cells: np.ndarray, reach: int) -> dict[int, np.ndarray]:
    """Coded bits of the symbols 0, ±1, … ±reach in each cell.

    Roundings depend on what is computed at once: who codes and who decodes asks for the same cells.
    """
    scale, shape = network(torch.from_numpy(cells))
    values = torch.arange(reach + 1, dtype=scale.dtype)[None]
    bits = coded_bits(bits_of(values, scale[:, None], shape[:, None])).numpy()
    return dict(zip(cells.tolist(), bits, strict=True))


def _features(cells: Tensor) -> Tensor:
    """Frequency, region and activity of cells (n,), the last also squared: (n, 67)."""
    frequency, rest = cells // (2 * LEVELS), cells % (2 * LEVELS)
    activity = (rest % LEVELS) / (LEVELS - 1)
    one_hot = nn.functional.one_hot(frequency, CELLS // (2 * LEVELS)).float()
    return torch.cat([one_hot, torch.stack([rest // LEVELS, activity, activity.square()], 1)], 1)

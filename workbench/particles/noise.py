r"""Normal noise from a counter: a draw is a pure function of seed, run, step, particle and dimension.

A run is therefore the same bit for bit whatever it is batched with, on any number of threads, and from the
compiled code of the CPU, from the kernel that moves a swarm on a GPU, and from plain PyTorch, which is the
reference of both.

The draws are those of :mod:`workbench.kernels.counter_normals`, which says how: normal to within 1e-6, the
largest 6.34.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from workbench.choices import check_count
from workbench.kernels.counter_normals import counter_normals, counter_words

START, START_UNIFORM = 0, 1  # the first counters of the step axis are for the start; step k of a run is k + 2
FIRST_STEP = 2


def normals(
    seed: int,
    runs: Sequence[int],
    step: int,
    particles: int,
    dim: int,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    """The normals of one step (runs, particles, dim): compiled on the CPU, by PyTorch elsewhere.

    Parameters
    ----------
    seed : int
        From 0 to 2^64 - 1.
    runs : sequence of int
        The numbers of the runs: a run's noise depends on its own number only.
    step : int
        Which step.
    particles, dim : int
        Shape of a run; their product is at most 2^32.
    dtype : torch.dtype
        Draws have the precision of float32 in any dtype: they are 32-bit quantiles.
    device : torch.device
        Where the draws are made.

    Raises
    ------
    TypeError
        If the seed is no whole number.
    ValueError
        If the seed or the size is out of range.
    """
    check_count("seed", seed, 0, 2**64 - 1)
    check_size(particles, dim)
    if torch.device(device).type != "cpu":
        return counter_normals(seed, runs, step, particles, dim, device).to(dtype)
    from workbench.particles.compiled.noise import fill_runs
    from workbench.particles.compiled.threads import share_out

    out = np.empty((len(runs), particles, dim), np.float32 if dtype == torch.float32 else np.float64)
    words = np.asarray(runs, np.uint32)
    share_out(len(runs), lambda first, last: fill_runs(*split_seed(seed), words, step, first, last, out))
    return torch.from_numpy(out).to(dtype)


def check_size(particles: int, dim: int) -> None:
    """Refuse runs that the counter is too short for.

    Raises
    ------
    ValueError
        If the particles times the dimension are more than 2^32.
    """
    if particles * dim > 2**32:
        raise ValueError(
            f"particles={particles} times dim={dim} is more than 2^32, the noise that a step has"
        )


def uniforms(seed: int, runs: Sequence[int], step: int, particles: int, dim: int) -> Tensor:
    """Uniform draws (runs, particles, dim) between 0 and 1, float64: the quantiles that normals have."""
    return (counter_words(seed, runs, step, particles, dim, "cpu").double() + 2.0**31 + 0.5) / 2.0**32


def split_seed(seed: int) -> tuple[np.uint32, np.uint32]:
    """The two words of a seed, the lower first."""
    return np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)

r"""Normal noise from a counter: a draw is a pure function of seed, run, step, particle and dimension.

A run is therefore the same bit for bit whatever it is batched with, on any number of threads, and from the
compiled kernels and from the plain PyTorch code below, which is their reference and what other devices use.

Threefry-2x32 with 20 rounds turns a key and a counter into two words of 32 bits. The key is the two words of
(run, step) under the seed. Particles stand in blocks of 64: the first word of a counter is for a particle of
the first 32, the second for the one 32 places on; the counter is the place within those halves, counted over
particles and dimensions. A word, read as signed integer s, is the quantile
:math:`(s + 2^{31} + 1/2) / 2^{32}` of the normal law, so the largest draw is 6.34. Its inverse
distribution function is evaluated in float32 to within 1e-6: with :math:`x = 2u - 1` and
:math:`v = -\log_2(1 - x^2)`, x times a polynomial in v for :math:`v \le 8`, a polynomial in
:math:`\sqrt v` beyond.

Sources: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Threefry);
Giles, "Approximating the erfinv function", GPU Computing Gems 2 (the variable).
The coefficients are fitted here.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from workbench.choices import check_count

HALF_BLOCK = 32  # particles to a half of a block; the order of all sums over particles keeps to blocks, too
START, START_UNIFORM = 0, 1  # the first counters of the step axis are for the start; step k of a run is k + 2
FIRST_STEP = 2

PARITY = 0x1BD11BDA
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
SQRT_HALF_BITS = 0x3F3504F3  # of float32: mantissas are taken from the square root of 1/2 up
SPLIT = 8.0  # value of v from which on the tail's polynomial holds
TAIL_MIDDLE = 4.25
# log2(1 + m) / m for m from sqrt(1/2) - 1 to sqrt(2) - 1; absolute error of the logarithm 5e-8.
LOG2 = (1.4426947832107544, -0.7213571667671204, 0.48093944787979126, -0.36008721590042114,
        0.28670746088027954, -0.2500690519809723, 0.23689033091068268, -0.14574436843395233)  # fmt: skip
# z / x in y = v / 4 - 1; error of z 3e-7.
CENTRE = (
    2.2179198265075684, 0.9571312665939331, -0.055504605174064636, -0.030775513499975204,
    0.017374614253640175, -0.0021269877906888723, -0.0016110852593556046, 0.000638169760350138,
)  # fmt: skip
# z in sqrt(v) - 4.25; error 5e-8.
TAIL = (4.771731853485107, 1.1864205598831177, 0.002856644568964839, -0.0013272017240524292,
        0.00038864725502207875, -9.727311407914385e-05, 1.9136366972816177e-05, 2.20326433009177e-06,
        -2.343668256798992e-06)  # fmt: skip


def threefry(key: tuple[Tensor, Tensor], counter: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Two random words of a key and a counter, all int32 (words modulo 2^32), by plain PyTorch."""
    keys = (key[0], key[1], key[0] ^ key[1] ^ PARITY)
    x0, x1 = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for places in ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = _rotate(x1, places) ^ x0
        x0 = x0 + keys[(group + 1) % 3]
        x1 = x1 + keys[(group + 2) % 3] + (group + 1)
    return x0, x1


def inverse_normal(words: Tensor) -> Tensor:
    """The normals (float32) of int32 words, operation by operation as the compiled kernel has them."""
    x = (words.float() + 0.5) * 2.0**-31
    rest = ((0x7FFFFFFF - (words ^ (words >> 31))).float() + 0.5) * 2.0**-31
    bits = (rest * (2 - rest)).view(torch.int32)
    exponent = (bits - SQRT_HALF_BITS) >> 23
    m = (bits - (exponent << 23)).view(torch.float32) - 1
    v = -(exponent.float() + m * _eight_terms(LOG2, m))
    centre = x * _eight_terms(CENTRE, v * (2 / SPLIT) - 1)
    # PyTorch's float32 root is off in the last bit now and then; through float64 it is rounded rightly.
    t = v.clamp(min=0).double().sqrt().float() - TAIL_MIDDLE
    tail = TAIL[0] + t * _eight_terms(TAIL[1:], t)
    return torch.where(v > SPLIT, torch.where(words >= 0, tail, -tail), centre)


def reference_normals(
    seed: int, runs: Sequence[int], step: int, particles: int, dim: int, device: torch.device | str = "cpu"
) -> Tensor:
    """The normals of one step (runs, particles, dim), float32, by plain PyTorch on any device."""
    return inverse_normal(_words(seed, runs, step, particles, dim, device))


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
        return reference_normals(seed, runs, step, particles, dim, device).to(dtype)
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
    return (_words(seed, runs, step, particles, dim, "cpu").double() + 2.0**31 + 0.5) / 2.0**32


def split_seed(seed: int) -> tuple[np.uint32, np.uint32]:
    """The two words of a seed, the lower first."""
    return np.uint32(seed & 0xFFFFFFFF), np.uint32(seed >> 32)


def _words(
    seed: int, runs: Sequence[int], step: int, particles: int, dim: int, device: torch.device | str
) -> Tensor:
    low, high = (_word(int(part), device) for part in split_seed(seed))
    numbers = torch.tensor([_signed(run) for run in runs], dtype=torch.int32, device=device)
    k0, k1 = threefry((low, high), (numbers, _word(step, device)))
    particle = torch.arange(particles, device=device)
    half, place = particle // HALF_BLOCK, particle % HALF_BLOCK
    counter = ((half // 2 * HALF_BLOCK + place)[:, None] * dim + torch.arange(dim, device=device)).int()
    first, second = threefry((k0[:, None, None], k1[:, None, None]), (counter, _word(0, device)))
    return torch.where((half % 2 == 0)[:, None], first, second)


def _word(value: int, device: torch.device | str) -> Tensor:
    return torch.tensor(_signed(value), dtype=torch.int32, device=device)


def _signed(word: int) -> int:
    return word - 2**32 if word >= 2**31 else word


def _rotate(x: Tensor, places: int) -> Tensor:
    return (x << places) | ((x >> (32 - places)) & ((1 << places) - 1))


def _eight_terms(c: Sequence[float], x: Tensor) -> Tensor:
    x2 = x * x
    low = (c[0] + c[1] * x) + (c[2] + c[3] * x) * x2
    high = (c[4] + c[5] * x) + (c[6] + c[7] * x) * x2
    return low + high * (x2 * x2)

r"""Normal numbers from a counter: Threefry and the inverse normal distribution function.

Threefry-2x32 with 20 rounds turns a key and a counter into two words of 32 bits. A word, read as signed
integer s, is the quantile :math:`(s + 2^{31} + 1/2) / 2^{32}` of the normal law, so the largest draw is 6.34.
Its inverse distribution function is evaluated in float32 to within 1e-6: with :math:`x = 2u - 1` and
:math:`v = -\log_2(1 - x^2)`, x times a polynomial in v for :math:`v \le 8`, a polynomial in :math:`\sqrt v`
beyond. Whole numbers wrap and float32 rounds alike everywhere, so PyTorch's operations, compiled code on the
CPU and kernels that do not fuse products with sums give the same bits.

The key of a swarm's draws is the two words of (run, step) under the seed. Particles stand in blocks of 64:
the first word of a counter is for a particle of the first 32, the second for the one 32 places on; counters
are places within those halves, counted over particles and dimensions.

Sources: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011 (Threefry);
Giles, "Approximating the erfinv function", GPU Computing Gems 2 (the variable).
The coefficients are fitted here.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.kernels.jit import kernel, tl

HALF_BLOCK = 32  # particles to a half of a block
ULP = 2.0**-31  # of a word between -1 and 1
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


def counter_normals(
    seed: int, runs: Sequence[int], step: int, particles: int, dim: int, device: torch.device | str = "cpu"
) -> Tensor:
    """The normals of one step (runs, particles, dim), float32, by plain PyTorch on any device."""
    return inverse_normal(counter_words(seed, runs, step, particles, dim, device))


def counter_words(
    seed: int, runs: Sequence[int], step: int, particles: int, dim: int, device: torch.device | str
) -> Tensor:
    """The words (runs, particles, dim) of one step, int32, by plain PyTorch on any device."""
    low, high = (_word(part, device) for part in signed_words(seed))
    numbers = torch.tensor([signed(run) for run in runs], dtype=torch.int32, device=device)
    k0, k1 = threefry((low, high), (numbers, _word(step, device)))
    particle = torch.arange(particles, device=device)
    half, place = particle // HALF_BLOCK, particle % HALF_BLOCK
    counter = ((half // 2 * HALF_BLOCK + place)[:, None] * dim + torch.arange(dim, device=device)).int()
    first, second = threefry((k0[:, None, None], k1[:, None, None]), (counter, _word(0, device)))
    return torch.where((half % 2 == 0)[:, None], first, second)


def signed_words(seed: int) -> tuple[int, int]:
    """The two words of a seed of 64 bits, the lower first, read as signed."""
    return signed(seed & 0xFFFFFFFF), signed(seed >> 32)


def signed(word: int) -> int:
    """A word of 32 bits, read as signed."""
    return word - 2**32 if word >= 2**31 else word


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
    x = (words.float() + 0.5) * ULP
    rest = ((0x7FFFFFFF - (words ^ (words >> 31))).float() + 0.5) * ULP
    bits = (rest * (2 - rest)).view(torch.int32)
    exponent = (bits - SQRT_HALF_BITS) >> 23
    m = (bits - (exponent << 23)).view(torch.float32) - 1
    v = -(exponent.float() + m * _eight_terms(LOG2, m))
    centre = x * _eight_terms(CENTRE, v * (2 / SPLIT) - 1)
    # PyTorch's float32 root is off in the last bit now and then; through float64 it is rounded rightly.
    t = v.clamp(min=0).double().sqrt().float() - TAIL_MIDDLE
    tail = TAIL[0] + t * _eight_terms(TAIL[1:], t)
    return torch.where(v > SPLIT, torch.where(words >= 0, tail, -tail), centre)


def _word(value: int, device: torch.device | str) -> Tensor:
    return torch.tensor(signed(value), dtype=torch.int32, device=device)


def _rotate(x: Tensor, places: int) -> Tensor:
    return (x << places) | ((x >> (32 - places)) & ((1 << places) - 1))


def _eight_terms(c: Sequence[float], x: Tensor) -> Tensor:
    x2 = x * x
    low = (c[0] + c[1] * x) + (c[2] + c[3] * x) * x2
    high = (c[4] + c[5] * x) + (c[6] + c[7] * x) * x2
    return low + high * (x2 * x2)


# ---- the same in Triton's language, for kernels -------------------------------------------------------


@kernel
def eight_terms_of(x, c0, c1, c2, c3, c4, c5, c6, c7):  # type: ignore[no-untyped-def]
    """A polynomial of degree 7."""
    x2 = x * x
    low = (c0 + c1 * x) + (c2 + c3 * x) * x2
    high = (c4 + c5 * x) + (c6 + c7 * x) * x2
    return low + high * (x2 * x2)


@kernel
def four_rounds_of(x0, x1, ODD: tl.constexpr):  # type: ignore[no-untyped-def]
    """Four rounds of Threefry on words, by the first or the second places of rotations."""
    for place in tl.static_range(4):
        x0 = x0 + x1
        x1 = ((x1 << ROTATIONS[ODD][place]) | (x1 >> (32 - ROTATIONS[ODD][place]))) ^ x0
    return x0, x1


@kernel
def threefry_of(k0, k1, c0, c1):  # type: ignore[no-untyped-def]
    """Two random words of a key and a counter, all uint32."""
    k2 = k0 ^ k1 ^ PARITY
    x0, x1 = four_rounds_of(c0 + k0, c1 + k1, 0)
    x0, x1 = four_rounds_of(x0 + k1, x1 + k2 + 1, 1)
    x0, x1 = four_rounds_of(x0 + k2, x1 + k0 + 2, 0)
    x0, x1 = four_rounds_of(x0 + k0, x1 + k1 + 3, 1)
    x0, x1 = four_rounds_of(x0 + k1, x1 + k2 + 4, 0)
    return x0 + k2, x1 + k0 + 5


@kernel
def normals_of(words):  # type: ignore[no-untyped-def]
    """The normals (float32) of uint32 words; the kernel is to be compiled without fusing products."""
    word = words.to(tl.int32, bitcast=True)
    x = (word.to(tl.float32) + 0.5) * ULP
    rest = ((0x7FFFFFFF - (word ^ (word >> 31))).to(tl.float32) + 0.5) * ULP
    bits = (rest * (2 - rest)).to(tl.int32, bitcast=True)
    exponent = (bits - SQRT_HALF_BITS) >> 23
    m = (bits - (exponent << 23)).to(tl.float32, bitcast=True) - 1
    logarithm = eight_terms_of(m, LOG2[0], LOG2[1], LOG2[2], LOG2[3], LOG2[4], LOG2[5], LOG2[6], LOG2[7])
    v = -(exponent.to(tl.float32) + m * logarithm)
    y = v * (2 / SPLIT) - 1
    slope = eight_terms_of(
        y, CENTRE[0], CENTRE[1], CENTRE[2], CENTRE[3], CENTRE[4], CENTRE[5], CENTRE[6], CENTRE[7]
    )
    t = tl.sqrt_rn(tl.maximum(v, 0.0)) - TAIL_MIDDLE
    rise = eight_terms_of(t, TAIL[1], TAIL[2], TAIL[3], TAIL[4], TAIL[5], TAIL[6], TAIL[7], TAIL[8])
    tail = TAIL[0] + t * rise
    return tl.where(v > SPLIT, tl.where(word >= 0, tail, -tail), x * slope)

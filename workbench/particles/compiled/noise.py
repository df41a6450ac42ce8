"""Threefry and the inverse normal distribution function, compiled.

The same bits as the PyTorch of :mod:`workbench.kernels.counter_normals`: nothing is fused or regrouped.

Integers are cast after every operation: numba would widen them to 64 bits and the loops would not fill the
vector registers. Loops run over slices from 0: numba would gather what has an offset in its index, which
might be negative.
"""

import numpy as np

from workbench.kernels.counter_normals import (
    CENTRE,
    HALF_BLOCK,
    LOG2,
    PARITY,
    SPLIT,
    SQRT_HALF_BITS,
    TAIL,
    TAIL_MIDDLE,
)
from workbench.particles.compiled.compilation import kernel

_u, _i, _f = np.uint32, np.int32, np.float32
_LOG2, _CENTRE, _TAIL = (tuple(map(np.float32, table)) for table in (LOG2, CENTRE, TAIL))
TILE = 1024  # counters in flight: their words and normals stay in the first-level cache


@kernel()
def _turn(x: np.uint32, r: int) -> np.uint32:
    return _u(_u(x << _u(r)) | _u(x >> _u(32 - r)))


@kernel()
def _four_rounds(
    x0: np.uint32, x1: np.uint32, r0: int, r1: int, r2: int, r3: int
) -> tuple[np.uint32, np.uint32]:
    x0 = _u(x0 + x1)
    x1 = _u(_turn(x1, r0) ^ x0)
    x0 = _u(x0 + x1)
    x1 = _u(_turn(x1, r1) ^ x0)
    x0 = _u(x0 + x1)
    x1 = _u(_turn(x1, r2) ^ x0)
    x0 = _u(x0 + x1)
    x1 = _u(_turn(x1, r3) ^ x0)
    return x0, x1


@kernel()
def threefry(k0: np.uint32, k1: np.uint32, c0: np.uint32, c1: np.uint32) -> tuple[np.uint32, np.uint32]:
    """Two random words of a key of two words and a counter of two words: Threefry-2x32 with 20 rounds."""
    k2 = _u(_u(k0 ^ k1) ^ _u(PARITY))
    x0, x1 = _u(c0 + k0), _u(c1 + k1)
    x0, x1 = _four_rounds(x0, x1, 13, 15, 26, 6)
    x0, x1 = _u(x0 + k1), _u(_u(x1 + k2) + _u(1))
    x0, x1 = _four_rounds(x0, x1, 17, 29, 16, 24)
    x0, x1 = _u(x0 + k2), _u(_u(x1 + k0) + _u(2))
    x0, x1 = _four_rounds(x0, x1, 13, 15, 26, 6)
    x0, x1 = _u(x0 + k0), _u(_u(x1 + k1) + _u(3))
    x0, x1 = _four_rounds(x0, x1, 17, 29, 16, 24)
    x0, x1 = _u(x0 + k1), _u(_u(x1 + k2) + _u(4))
    x0, x1 = _four_rounds(x0, x1, 13, 15, 26, 6)
    return _u(x0 + k2), _u(_u(x1 + k0) + _u(5))


@kernel()
def normal(word: np.uint32) -> np.float32:
    """The normal whose distribution function is (word + 2^31 + 1/2) / 2^32, with the word read as signed."""
    signed = _i(word)
    x = (_f(signed) + _f(0.5)) * _f(2.0**-31)
    from_centre = _i(signed ^ _i(signed >> _i(31)))
    rest = (_f(_i(_i(0x7FFFFFFF) - from_centre)) + _f(0.5)) * _f(2.0**-31)
    bits = _f(rest * (_f(2) - rest)).view(_i)
    exponent = _i(_i(bits - _i(SQRT_HALF_BITS)) >> _i(23))
    m = _i(bits - _i(exponent << _i(23))).view(_f) - _f(1)
    m2 = m * m
    low = (_LOG2[0] + _LOG2[1] * m) + (_LOG2[2] + _LOG2[3] * m) * m2
    high = (_LOG2[4] + _LOG2[5] * m) + (_LOG2[6] + _LOG2[7] * m) * m2
    v = -(_f(exponent) + m * (low + high * (m2 * m2)))
    y = v * _f(2 / SPLIT) - _f(1)
    y2 = y * y
    low = (_CENTRE[0] + _CENTRE[1] * y) + (_CENTRE[2] + _CENTRE[3] * y) * y2
    high = (_CENTRE[4] + _CENTRE[5] * y) + (_CENTRE[6] + _CENTRE[7] * y) * y2
    centre = x * (low + high * (y2 * y2))
    t = np.sqrt(max(v, _f(0))) - _f(TAIL_MIDDLE)
    t2 = t * t
    low = (_TAIL[1] + _TAIL[2] * t) + (_TAIL[3] + _TAIL[4] * t) * t2
    high = (_TAIL[5] + _TAIL[6] * t) + (_TAIL[7] + _TAIL[8] * t) * t2
    tail = _TAIL[0] + t * (low + high * (t2 * t2))
    return (tail if signed >= 0 else -tail) if v > _f(SPLIT) else centre


@kernel()
def fill_words(k0: np.uint32, k1: np.uint32, first: int, count: int, words: np.ndarray) -> None:
    """The two words of ``count`` counters from ``first``, those of the second word from ``TILE`` on."""
    left, right = words[:count], words[TILE : TILE + count]
    for i in range(count):
        left[i], right[i] = threefry(k0, k1, _u(_u(first) + _u(i)), _u(0))


@kernel()
def fill_normals(words: np.ndarray, out: np.ndarray) -> None:
    """The normals of words, into the first places of ``out``."""
    for i in range(len(words)):
        out[i] = normal(words[i])


@kernel()
def fill_runs(
    low: np.uint32, high: np.uint32, runs: np.ndarray, step: int, first: int, last: int, out: np.ndarray
) -> None:
    """The normals of one step of the runs from ``first`` to ``last``, into ``out`` (runs, particles, dim)."""
    words = np.empty(2 * TILE, np.uint32)
    half = HALF_BLOCK * out.shape[2]
    for r in range(first, last):
        k0, k1 = threefry(low, high, runs[r], _u(step))
        flat = out[r].reshape(-1)
        for block in range(0, len(flat), 2 * half):
            for start in range(0, min(half, len(flat) - block), TILE):
                count = min(TILE, half - start)
                fill_words(k0, k1, block // 2 + start, count, words)
                for side in range(2):
                    offset = block + side * half + start
                    inside = min(count, len(flat) - offset)
                    if inside > 0:
                        fill_normals(
                            words[side * TILE : side * TILE + inside], flat[offset : offset + inside]
                        )

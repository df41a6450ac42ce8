"""``context_cells``: what a decoder knows of a symbol before it decodes it, as a number.

Symbols are coded from low to high frequencies: diagonal by diagonal of the 8 × 8 coefficients, each for all
blocks. So the coefficients beside and before one, in its own block and in the four around it, are known.
"""

import numpy as np

from workbench.choices import check_choice
from workbench.compression.block_symbols import BlockSymbols
from workbench.compression.roi_pictures import SIDE

CONTEXTS = ("frequency", "region", "neighbours")
LEVELS = 16  # of activity
CELLS = SIDE * SIDE * 2 * LEVELS
DIAGONALS = tuple(
    tuple((row, total - row) for row in range(SIDE) if 0 <= total - row < SIDE)
    for total in range(2 * SIDE - 1)
)


def context_cells(blocks: BlockSymbols, context: str) -> np.ndarray:
    """Return the cell (rows, columns, 8, 8) of each symbol: (frequency · 2 + region) · 16 + activity.

    Parameters
    ----------
    blocks : BlockSymbols
        What is coded.
    context : {"frequency", "region", "neighbours"}
        What cells distinguish: frequencies only; also whether the block matters; also how large known
        coefficients about it are. What they do not is 0.

    Raises
    ------
    ValueError
        If the context is unknown.
    """
    check_choice("context", context, CONTEXTS)
    cells = np.zeros(blocks.symbols.shape, dtype=np.int64)
    for diagonal in range(len(DIAGONALS)):
        for (row, column), found in diagonal_cells(blocks, context, diagonal).items():
            cells[..., row, column] = found
    return cells


def possible_cells(context: str) -> np.ndarray:
    """Return all cells that a context distinguishes."""
    check_choice("context", context, CONTEXTS)
    every = np.arange(CELLS)
    step = {"frequency": 2 * LEVELS, "region": LEVELS, "neighbours": 1}[context]
    return every[::step]


def diagonal_cells(blocks: BlockSymbols, context: str, diagonal: int) -> dict[tuple[int, int], np.ndarray]:
    """Return the cells (rows, columns) of each frequency on a diagonal; later symbols do not count."""
    sizes = np.abs(blocks.symbols) * blocks.steps[..., None, None]
    found = {}
    for row, column in DIAGONALS[diagonal]:
        cell = np.full(blocks.steps.shape, (row * SIDE + column) * 2)
        if context != "frequency":
            cell += blocks.region
        cell *= LEVELS
        if context == "neighbours":
            cell += _activity(sizes, blocks.steps, row, column)
        found[row, column] = cell
    return found


def _activity(sizes: np.ndarray, steps: np.ndarray, row: int, column: int) -> np.ndarray:
    """Level of what is known around: the coefficients beside and before, twice, and those of four blocks."""
    before = [
        sizes[..., r, c]
        for r, c in ((row - 1, column), (row, column - 1), (row - 1, column - 1))
        if r >= 0 and c >= 0
    ]
    if not before:
        return np.zeros(steps.shape, dtype=np.int64)
    here = sum(before) / len(before)
    wide = np.pad(here, 1, mode="edge")
    around = (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:]) / 4
    activity = (2 * here + around) / 3 / steps
    return np.minimum(LEVELS - 1, np.round(3 * np.log2(1 + 4 * activity))).astype(np.int64)

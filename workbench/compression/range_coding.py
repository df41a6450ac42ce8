"""``encode`` and ``decode``: symbols as the words of a range coder, by the distributions of their cells."""

from typing import NamedTuple

import numpy as np
from constriction import stream

from workbench.compression.block_symbols import BlockSymbols
from workbench.compression.contexts import DIAGONALS, context_cells, diagonal_cells, possible_cells
from workbench.compression.entropy_network import PRECISION, EntropyNetwork, bits_table
from workbench.compression.roi_pictures import SIDE

HEADER_BITS = 80  # step, weight and reach in 16 bits each, the four sides of the region in 8


class Coded(NamedTuple):
    """A coded picture.

    Attributes
    ----------
    words : ndarray of uint32
        What the range coder wrote.
    reach : int
        Largest absolute symbol.
    estimate : float
        Bits that the distributions promise, and the header.
    """

    words: np.ndarray
    reach: int
    estimate: float

    @property
    def bits(self) -> int:
        """Size with its header; what both sides know, networks and size of the picture, is left out."""
        return 32 * len(self.words) + HEADER_BITS


def encode(blocks: BlockSymbols, network: EntropyNetwork, context: str) -> Coded:
    """Code symbols, diagonal by diagonal and cell by cell."""
    reach = int(np.abs(blocks.symbols).max())
    cells = context_cells(blocks, context)
    table = bits_table(network, possible_cells(context), reach)
    coder = stream.queue.RangeEncoder()
    estimate = float(HEADER_BITS)
    for diagonal in DIAGONALS:
        symbols, of_diagonal = (_along(array, diagonal) for array in (blocks.symbols, cells))
        for cell in np.unique(of_diagonal):
            here = symbols[of_diagonal == cell]
            coder.encode((here + reach).astype(np.int32), _model(table[cell]))
            estimate += float(table[cell][np.abs(here)].sum(dtype=np.float64))
    return Coded(coder.get_compressed(), reach, estimate)


def decode(
    coded: Coded, steps: np.ndarray, region: np.ndarray, network: EntropyNetwork, context: str
) -> np.ndarray:
    """Return the symbols (rows, columns, 8, 8); steps and region are those of the header."""
    table = bits_table(network, possible_cells(context), coded.reach)
    coder = stream.queue.RangeDecoder(coded.words)
    symbols = np.zeros((*steps.shape, SIDE, SIDE), dtype=np.int64)
    blocks = BlockSymbols(symbols, symbols, steps, region)
    for number, diagonal in enumerate(DIAGONALS):
        found = diagonal_cells(blocks, context, number)
        of_diagonal = np.stack([found[frequency] for frequency in diagonal])
        decoded = np.zeros(of_diagonal.shape, dtype=np.int64)
        for cell in np.unique(of_diagonal):
            mask = of_diagonal == cell
            decoded[mask] = coder.decode(_model(table[cell]), int(mask.sum())) - coded.reach
        for (row, column), values in zip(diagonal, decoded, strict=True):
            symbols[..., row, column] = values
    return symbols


def _along(array: np.ndarray, diagonal: tuple[tuple[int, int], ...]) -> np.ndarray:
    """The entries (frequencies, rows, columns) of a diagonal."""
    return np.stack([array[..., row, column] for row, column in diagonal])


def _model(bits: np.ndarray):  # type: ignore[no-untyped-def]
    """Build the coder's distribution over -reach … reach from the coded bits of 0 … reach."""
    # The coder itself adds the least probability that it gives to every symbol.
    half = np.maximum(np.exp2(-bits.astype(np.float64)) - 2.0**-PRECISION, 0)
    return stream.model.Categorical(np.concatenate([half[:0:-1], half]), perfect=False)

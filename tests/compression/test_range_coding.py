"""What is coded is read back, and takes what the distributions promise."""

import numpy as np
import pytest
import torch

from workbench.compression.block_symbols import BlockSymbols, quantise
from workbench.compression.contexts import CONTEXTS, context_cells
from workbench.compression.entropy_network import KINDS, EntropyNetwork, bits_of, coded_bits
from workbench.compression.range_coding import HEADER_BITS, decode, encode
from workbench.compression.roi_pictures import roi_pictures


@pytest.fixture(scope="module")
def blocks() -> BlockSymbols:
    return quantise(roi_pictures(1)[0], 20.0, 16.0)


def network(kind: str) -> EntropyNetwork:
    torch.manual_seed(0)
    return EntropyNetwork(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("context", CONTEXTS)
def test_symbols_are_read_back(blocks: BlockSymbols, kind: str, context: str) -> None:
    coded = encode(blocks, network(kind), context)
    read = decode(coded, blocks.steps, blocks.region, network(kind), context)
    assert np.array_equal(read, blocks.symbols)


def test_the_estimate_is_the_sum_of_bits_and_the_size_is_near_it(blocks: BlockSymbols) -> None:
    used = network("laplace")
    coded = encode(blocks, used, "neighbours")
    cells = torch.from_numpy(context_cells(blocks, "neighbours").ravel())
    with torch.no_grad():
        scale, shape = used(cells)
    bits = coded_bits(bits_of(torch.from_numpy(blocks.symbols.ravel()).float(), scale, shape))
    assert coded.estimate - HEADER_BITS == pytest.approx(bits.sum().item(), rel=1e-5)
    assert coded.bits == pytest.approx(coded.estimate, rel=0.002)
    assert coded.reach == np.abs(blocks.symbols).max()


def test_numbers_far_out_take_what_the_coder_gives_them(blocks: BlockSymbols) -> None:
    """Most of the bits are then those of the floor; twice the floor would be a bit less for each."""
    used = network("gaussian")
    with torch.no_grad():
        used.layers[2].bias[0] = -3.0  # far too narrow
    coded = encode(blocks, used, "frequency")
    assert coded.estimate > 15 * np.count_nonzero(blocks.symbols)
    assert coded.bits == pytest.approx(coded.estimate, rel=0.002)

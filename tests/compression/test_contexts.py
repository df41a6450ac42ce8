"""Cells hold what a decoder knows, and nothing else."""

import dataclasses

import numpy as np
import pytest

from workbench.compression.block_symbols import BlockSymbols
from workbench.compression.contexts import (
    CONTEXTS,
    DIAGONALS,
    LEVELS,
    context_cells,
    diagonal_cells,
    possible_cells,
)


def blocks(seed: int = 0) -> BlockSymbols:
    random = np.random.default_rng(seed)
    symbols = random.laplace(size=(5, 6, 8, 8), scale=3).round().astype(np.int64)
    region = random.random((5, 6)) < 0.5
    return BlockSymbols(symbols, symbols + 0.1, np.where(region, 4.0, 16.0), region)


def test_diagonals_are_all_frequencies_once() -> None:
    assert sorted(sum(DIAGONALS, ())) == [(row, column) for row in range(8) for column in range(8)]


@pytest.mark.parametrize("context", CONTEXTS)
def test_a_cell_does_not_depend_on_what_is_not_decoded_yet(context: str) -> None:
    given = blocks()
    for number, diagonal in enumerate(DIAGONALS):
        unknown = np.add.outer(np.arange(8), np.arange(8)) >= number
        blind = dataclasses.replace(given, symbols=np.where(unknown, 0, given.symbols))
        cells = diagonal_cells(blind, context, number)
        for row, column in diagonal:
            assert np.array_equal(cells[row, column], context_cells(given, context)[..., row, column])


def test_contexts_distinguish_more_and_more() -> None:
    given = blocks()
    for context in CONTEXTS:
        found = np.unique(context_cells(given, context))
        assert np.isin(found, possible_cells(context)).all()
    cells = context_cells(given, "region")
    assert np.array_equal(cells // LEVELS % 2, np.broadcast_to(given.region[..., None, None], cells.shape))
    assert np.array_equal(context_cells(given, "neighbours") // LEVELS, cells // LEVELS)


def test_larger_neighbours_are_more_activity_whatever_their_step() -> None:
    symbols = np.zeros((3, 3, 8, 8), dtype=np.int64)
    region = np.ones((3, 3), dtype=bool)
    levels = []
    for size, step in ((0, 4.0), (8, 1.0), (2, 4.0), (20, 4.0)):
        symbols[1, 0, 0, 0] = size  # beside the block in the middle
        steps = np.full((3, 3), 4.0)
        steps[1, 0] = step
        cells = diagonal_cells(BlockSymbols(symbols, symbols, steps, region), "neighbours", 1)
        levels.append(int(cells[0, 1][1, 1] % LEVELS))
    assert levels[0] == 0
    assert levels[0] < levels[1] == levels[2] < levels[3]

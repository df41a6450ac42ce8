"""Costs of the norm: memory by the formula of what each kind holds, errors against float64."""

import numpy as np
import pytest

import workbench as wb
from workbench.adaptation import NormCosts, norm_costs
from workbench.progress import listening

WIDTHS, RANKS = (600, 700), (4, 20)


@pytest.fixture(scope="module")
def found() -> NormCosts:
    return norm_costs(WIDTHS, RANKS, rounds=3)


def test_the_dense_kinds_hold_whole_matrices(found):
    for place, width in enumerate(WIDTHS):
        held = found.bytes[:, place] / (4 * width**2)
        np.testing.assert_allclose(held[0], 4, rtol=0.02)  # identity, BA, its multiple, the sum
        np.testing.assert_allclose(held[1], 2, rtol=0.02)


def test_the_factored_kinds_hold_products_with_a_and_the_gram_matrix(found):
    """Those of one chunk of 512 rows at least, of two that follow each other at most."""
    for i, width in enumerate(WIDTHS):
        for j, rank in enumerate(RANKS):
            factored, cached = found.bytes[2, i, j], found.bytes[3, i, j]
            assert 4 * (512 * rank + rank**2) < cached <= factored
            assert factored < 4 * (width * rank + rank**2 + 4 * width)


def test_bfloat16_has_half_the_dense_memory_and_a_norm_in_float32():
    found = norm_costs([600], [4], rounds=1, weight_dtype="bfloat16")
    assert found.bytes[1, 0, 0] == pytest.approx(2 * 2 * 600**2, rel=0.02)
    assert (found.error[:2] > 1e-3).all()
    assert (found.error[2:] < 1e-6).all()
    assert found.bytes[3, 0, 0] > 4 * 512 * 600  # a chunk of W in float32


def test_errors_are_roundings_and_repeat(found):
    assert 0 < found.error.max() < 1e-6
    again = norm_costs(WIDTHS[:1], RANKS[:1], rounds=1)
    assert np.array_equal(again.error[:, 0, 0], found.error[:, 0, 0])
    assert np.array_equal(again.bytes[:, 0, 0], found.bytes[:, 0, 0])


def test_ratios_and_quartiles_are_those_of_the_rounds():
    seconds = np.array([4.0, 2.0, 1.0, 0.5])[:, None, None, None] * np.array([1.0, 1.1, 1.2])
    ones = np.ones((4, 1, 1))
    made = NormCosts(
        ("identity", "dense", "factored", "cached"), np.array([8]), np.array([2]), seconds,
        (ones * 100).astype(int), ones, "float32", 1,
    )  # fmt: skip
    np.testing.assert_allclose(made.faster("cached")[:, 0, 0], 4)
    np.testing.assert_allclose(made.faster("cached", "identity")[:, 0, 0], 8)
    assert made.smaller("cached")[0, 0] == 1
    row = made.frame().iloc[1]
    assert row["seconds"] == pytest.approx(2.2)
    assert (row["seconds_low"], row["seconds_high"]) == pytest.approx((2.1, 2.3))
    np.testing.assert_allclose(made.curve("dense", "seconds", "width"), [[2.1], [2.2], [2.3]])


def test_an_interrupt_keeps_whole_widths():
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = norm_costs(WIDTHS, RANKS, rounds=1)
    assert found.widths.tolist() == [600]
    assert found.seconds.shape == (4, 1, 2, 1)
    assert "INTERRUPTED" in found.summary()


def test_the_result_has_a_table_pictures_and_a_file(found, tmp_path):
    table = found.frame()
    assert len(table) == 4 * 2 * 2
    assert set(table[table["width"] == 700]["bytes"]) == set(found.bytes[:, 1].ravel())
    assert found.plot().get_ylabel() == "seconds for a norm"
    axes = found.plot(of="bytes", against="rank")
    assert axes.get_ylabel() == "bytes at the peak"
    assert axes.get_title().startswith("width 700")
    again = wb.load_result(found.save(tmp_path / "costs.npz"))
    assert again.summary() == found.summary()


def test_what_is_not_allowed_is_refused(found):
    with pytest.raises(ValueError, match="widths is empty"):
        norm_costs([])
    with pytest.raises(ValueError, match="ranks=0 is out of range"):
        norm_costs([4], [0])
    with pytest.raises(ValueError, match="did you mean 'float32'"):
        norm_costs([4], [1], weight_dtype="float23")
    with pytest.raises(ValueError, match="did you mean 'cached'"):
        found.faster("cache")
    with pytest.raises(ValueError, match="did you mean 'width'"):
        found.plot(against="widht")

"""Sets of digits: what each kind does to them, and that they are what their names say."""

import numpy as np
import pytest
import torch

from workbench.stability.large_steps import (
    ExampleSets,
    example_sets,
    max_margins,
    sweep_step_sizes,
    worst_case,
)
from workbench.stability.large_steps.example_sets import KINDS


def test_rows_are_pixels_and_an_offset_with_the_sign_of_the_class() -> None:
    sets = example_sets(["separable"], ["1/8"], seeds=[0], examples=20)
    assert sets.rows.shape == (1, 40, 65)
    np.testing.assert_array_equal(sets.rows[0, :, -1], [1.0] * 20 + [-1.0] * 20)
    assert (sets.rows[0, :20] >= 0).all()
    assert (sets.rows[0, 20:] <= 0).all()
    assert sets.rows.dtype == torch.float64


def test_the_order_is_that_of_kinds_pairs_and_seeds() -> None:
    sets = example_sets(["separable", "close"], ["0/1", "3/9"], seeds=[4, 2], examples=10)
    assert len(sets) == 8
    assert sets.kinds == ("separable",) * 4 + ("close",) * 4
    assert sets.pairs == ("0/1", "0/1", "3/9", "3/9") * 2
    assert sets.seeds == (4, 2) * 4
    alone = example_sets(["close"], ["3/9"], seeds=[2], examples=10)
    assert torch.equal(alone.rows[0], sets.rows[-1])
    assert not torch.equal(sets.rows[0], sets.rows[1])


def test_close_classes_keep_the_share_of_their_margin_exactly() -> None:
    plain, close = (
        max_margins(example_sets([kind], ["1/8", "8/9"], seeds=[0]).rows) for kind in ("separable", "close")
    )
    torch.testing.assert_close(close.margin, 0.3 * plain.margin, rtol=1e-9, atol=0)


def test_an_ill_conditioned_set_is_the_same_set_with_weighted_pixels() -> None:
    plain, weighted = (
        example_sets([kind], ["1/8"], seeds=[3]).rows[0] for kind in ("separable", "ill-conditioned")
    )
    seen = (plain != 0).any(0)
    factors = (weighted.abs().sum(0) / plain.abs().sum(0))[seen]
    torch.testing.assert_close(plain[:, seen] * factors, weighted[:, seen])
    assert factors[-1] == 1  # of the offset
    assert 0.03 <= factors.min() < 0.05
    assert max_margins(weighted[None]).difficulty > 2 * max_margins(plain[None]).difficulty


def test_an_imbalanced_set_has_a_tenth_of_the_first_digit() -> None:
    rows = example_sets(["imbalanced"], ["1/8"], seeds=[0], examples=80).rows[0]
    assert (int((rows[:, -1] > 0).sum()), len(rows)) == (16, 160)


def test_a_contradictory_set_holds_an_example_in_both_classes() -> None:
    rows = example_sets(["contradictory"], ["1/8"], seeds=[0]).rows[0]
    assert torch.equal(rows[0], -rows[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_have_one_shape_up_to_the_most_examples(kind: str) -> None:
    assert example_sets([kind], ["8/1"], seeds=[0], examples=96).rows.shape == (1, 192, 65)


def test_the_worst_case_is_that_of_the_paper() -> None:
    rows = worst_case(10).rows[0]
    assert rows[0].tolist() == [0.5, -1.0]
    assert (rows[1:] == torch.tensor([0.5, 1.0])).all()


def test_what_is_not_allowed_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'close'"):
        example_sets(["closed"])
    for pair in ("1/1", "18", "1/10", "a/b"):
        with pytest.raises(ValueError, match="a pair is two different digits"):
            example_sets(pairs=[pair])
    with pytest.raises(ValueError, match="is empty"):
        example_sets(seeds=[])
    with pytest.raises(ValueError, match="examples=97 is out of range"):
        example_sets(examples=97)
    with pytest.raises(ValueError, match="examples=9 is out of range"):
        worst_case(9)


def test_rows_of_one_s_own_have_to_fit() -> None:
    rows = torch.ones(2, 3, 4, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"rows of shape \(2, 3, 4\), torch.float32"):
        ExampleSets(rows.float(), ("mine",) * 2, ("-",) * 2, (0, 0))
    with pytest.raises(ValueError, match="kinds has 1 entries for 2 sets"):
        ExampleSets(rows, ("mine",), ("-",) * 2, (0, 0))
    found = sweep_step_sizes(ExampleSets(rows, ("mine",) * 2, ("-",) * 2, (0, 1)), (1.0,), limit=5)
    assert found.of("mine").tolist() == [[1.0], [1.0]]
    assert found.plot().get_legend().get_texts()[0].get_text() == "mine"

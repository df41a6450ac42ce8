"""The layer of linear attention is its formula, sees no future, and takes the place of softmax attention."""

import pytest
import torch
from torch import Tensor

from workbench.kernels.feature_attention import attention_weights
from workbench.layers import FEATURE_MAPS, LinearSelfAttention
from workbench.layers.linear_self_attention import split_heads
from workbench.problems.transformer import Attention


def layer(features: str, causal: bool) -> LinearSelfAttention:
    torch.manual_seed(0)
    return LinearSelfAttention(12, 3, features, causal=causal).double()


def tokens(positions: int = 9) -> Tensor:
    return torch.randn(2, positions, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("features", FEATURE_MAPS)
@pytest.mark.parametrize("causal", [False, True])
def test_the_output_is_that_of_the_weights(features: str, causal: bool) -> None:
    attention, x = layer(features, causal), tokens()
    q, k, v = split_heads(attention.queries_keys_values(x), 3, 3)
    of_queries, of_keys = FEATURE_MAPS[features]
    mixed = attention_weights(of_queries(q), of_keys(k), causal=causal) @ v
    expected = attention.output(mixed.transpose(1, 2).reshape(2, 9, 12))
    torch.testing.assert_close(attention(x), expected)


@pytest.mark.parametrize("features", FEATURE_MAPS)
def test_a_causal_layer_sees_no_future(features: str) -> None:
    attention, x = layer(features, causal=True), tokens(40)
    other = x.clone()
    other[:, 20:] += 1
    torch.testing.assert_close(attention(other)[:, :20], attention(x)[:, :20])
    assert not torch.allclose(attention(other)[:, 20:], attention(x)[:, 20:])


@pytest.mark.parametrize("features", FEATURE_MAPS)
def test_without_causality_the_order_does_not_matter(features: str) -> None:
    attention, x = layer(features, causal=False), tokens()
    torch.testing.assert_close(attention(x.flip(1)), attention(x).flip(1))


def test_the_parameters_are_those_of_softmax_attention() -> None:
    softmax = Attention(32, causal=True)
    LinearSelfAttention(32, 2).load_state_dict(softmax.state_dict())


def test_half_precision_comes_out_as_it_came_in() -> None:
    attention, x = layer("norm-aware", causal=False), tokens()
    expected = attention(x)
    found = attention.bfloat16()(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.double(), expected, atol=0.02, rtol=0)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="width=10 is out of range: it must be a multiple of 3"):
        LinearSelfAttention(10, 3)
    with pytest.raises(ValueError, match="did you mean 'norm-aware'"):
        LinearSelfAttention(12, 3, "norm aware")

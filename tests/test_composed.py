"""Composed functions give the numbers of the fused ones, have a second derivative, and set no flag."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from workbench.composed import Composed


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "options", [{}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": random(6, 6).abs()}], ids=str
)
def test_values_are_those_of_the_default_kernel(options):
    query, key, value = (random(2, 3, 6, 4, seed=seed) for seed in range(3))
    expected = F.scaled_dot_product_attention(query, key, value, **options)
    with Composed():
        torch.testing.assert_close(F.scaled_dot_product_attention(query, key, value, **options), expected)


def seen():
    """Which keys a query sees: in the first example not the last two, in the second one query sees none."""
    mask = torch.ones(2, 1, 6, 6, dtype=torch.bool)
    mask[0, ..., -2:] = mask[1, :, 3] = False
    return mask


def test_boolean_masks_leave_out():
    query, key, value = (random(2, 3, 6, 4, seed=seed) for seed in range(3))
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=seen())
    with Composed():
        actual = F.scaled_dot_product_attention(query, key, value, attn_mask=seen())
    torch.testing.assert_close(actual, expected)
    unseen = torch.cat([key[:1, :, :4], 1 + key[:1, :, 4:]], 2)
    with Composed():
        again = F.scaled_dot_product_attention(query[:1], unseen, value[:1], attn_mask=seen()[:1])
    torch.testing.assert_close(again, expected[:1])


def test_the_second_derivative_knows_boolean_masks():
    inputs = [random(2, 1, 6, 2, seed=seed).requires_grad_() for seed in range(3)]
    with Composed():
        assert torch.autograd.gradgradcheck(
            lambda *qkv: F.scaled_dot_product_attention(*qkv, attn_mask=seen()), inputs
        )


def test_grouped_queries():
    query, key, value = random(2, 4, 6, 4), random(2, 2, 6, 4, seed=1), random(2, 2, 6, 4, seed=2)
    expected = F.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    with Composed():
        actual = F.scaled_dot_product_attention(query, key, value, enable_gqa=True)
    torch.testing.assert_close(actual, expected)


def test_second_derivative_exists():
    query, key, value = (random(1, 1, 3, 2, seed=seed).requires_grad_() for seed in range(3))
    with Composed():
        assert torch.autograd.gradgradcheck(F.scaled_dot_product_attention, (query, key, value))


@pytest.mark.parametrize("need_weights", [True, False])
def test_multi_head_attention(need_weights):
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=True).double().eval()
    inputs = random(2, 5, 8)
    with torch.no_grad():
        expected, weights = layer(inputs, inputs, inputs, need_weights=need_weights)
    with Composed():
        actual, actual_weights = layer(inputs, inputs, inputs, need_weights=need_weights)
    torch.testing.assert_close(actual, expected)
    if need_weights:
        torch.testing.assert_close(actual_weights, weights)
    else:
        assert actual_weights is None


def test_encoder_layer_has_a_second_derivative():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).double().eval()
    inputs = random(1, 3, 4).requires_grad_()
    with Composed():
        loss = layer(inputs).square().sum()
        (gradient,) = torch.autograd.grad(loss, inputs, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), inputs)
    assert torch.isfinite(second).all()


def test_no_global_flag_is_touched():
    before = (torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled())
    with Composed():
        assert (torch.backends.mha.get_fastpath_enabled(), torch.backends.cuda.flash_sdp_enabled()) == before


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("normalize", [nn.utils.parametrizations.weight_norm, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
def test_weight_normalisation(normalize, dim):
    layer = normalize(nn.Linear(3, 2).double(), dim=dim)
    inputs = random(4, 3)
    expected = layer(inputs)
    with Composed():
        torch.testing.assert_close(layer(inputs), expected)

    def apply(v, g):
        with Composed():
            return torch._weight_norm(v, g, 0)

    weight, length = random(3, 2).requires_grad_(), random(3, 1, seed=1).requires_grad_()
    assert torch.autograd.gradgradcheck(apply, (weight, length))

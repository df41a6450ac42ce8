"""The linear form against the quadratic one, and both against weights made one by one."""

import pytest
import torch
from torch import Tensor

from workbench.kernels.feature_attention import attention_weights, linear_attention
from workbench.kernels.norm_features import FORMS, key_features, query_features


def parts(length: int, keys: int | None = None, dim: int = 6, form: str = "split") -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(2, 3, n, d, dtype=torch.float64, generator=generator)
        for n, d in ((length, dim), (keys or length, dim), (keys or length, 5))
    )
    return query_features(q, form), key_features(k, form), v


def one_by_one(q: Tensor, k: Tensor, v: Tensor, causal: bool, epsilon: float) -> Tensor:
    """The definition, for one head."""
    rows = []
    for i in range(len(q)):
        seen = i + 1 if causal else len(k)
        weights = [float(q[i] @ k[j]) for j in range(seen)]
        mixed = sum((w * v[j] for j, w in enumerate(weights)), torch.zeros_like(v[0]))
        rows.append(mixed / seen / (sum(weights) / seen + epsilon))
    return torch.stack(rows)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("length", [1, 31, 32, 33, 100])
def test_the_linear_form_is_the_quadratic_one(form: str, causal: bool, length: int) -> None:
    q, k, v = parts(length, form=form)
    found = linear_attention(q, k, v, causal=causal)
    torch.testing.assert_close(found, attention_weights(q, k, causal=causal) @ v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("epsilon", [0.0, 1e-6, 0.3])
def test_both_are_the_definition(causal: bool, epsilon: float) -> None:
    q, k, v = parts(40)
    found = linear_attention(q, k, v, causal=causal, epsilon=epsilon)
    expected = one_by_one(q[1, 2], k[1, 2], v[1, 2], causal, epsilon)
    torch.testing.assert_close(found[1, 2], expected, rtol=1e-12, atol=1e-12)


def test_there_may_be_other_keys_than_queries() -> None:
    q, k, v = parts(7, keys=11)
    torch.testing.assert_close(linear_attention(q, k, v), attention_weights(q, k) @ v)


def test_without_an_epsilon_the_weights_are_a_mean() -> None:
    q, k, v = parts(20)
    ones = torch.ones(2, 3, 20, dtype=torch.float64)
    torch.testing.assert_close(attention_weights(q, k, epsilon=0.0).sum(-1), ones)
    torch.testing.assert_close(linear_attention(q, k, 0 * v + 2.5, epsilon=0.0), 0 * v + 2.5)


def test_an_epsilon_damps_small_keys() -> None:
    q, k, _ = parts(20)
    assert (attention_weights(q, 1e-9 * k).sum(-1) < 1e-2).all()


def test_rotated_features_stand_in_the_numerator_only() -> None:
    q, k, v = parts(9)
    other = q.flip(-1), k.roll(1, -1)
    found = linear_attention(q, k, v, rotated=other, epsilon=0.0)
    weights = other[0] @ other[1].transpose(-1, -2) / (q @ k.transpose(-1, -2)).sum(-1, keepdim=True)
    torch.testing.assert_close(found, weights @ v)


@pytest.mark.parametrize("causal", [False, True])
def test_a_zero_query_has_the_output_zero(causal: bool) -> None:
    q, k, v = parts(5)
    q[..., 2, :] = 0
    found = linear_attention(q, k, v, causal=causal)
    assert not found[..., 2, :].any()
    assert found.isfinite().all()


@pytest.mark.parametrize("causal", [False, True])
def test_derivatives_of_two_orders(causal: bool) -> None:
    q, k, v = (part[:1, :1].clone().requires_grad_() for part in parts(4, dim=2))

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return linear_attention(q, k, v, causal=causal, epsilon=0.1)

    assert torch.autograd.gradcheck(attend, (q, k, v))
    assert torch.autograd.gradgradcheck(attend, (q, k, v))


def test_what_does_not_fit_is_refused() -> None:
    q, k, v = parts(4)
    with pytest.raises(ValueError, match=r"they must be \(…, N, F\), \(…, M, F\)"):
        linear_attention(q, k[..., 1:], v)
    with pytest.raises(ValueError, match="M > 0"):
        linear_attention(q, k[..., :0, :], v[..., :0, :])
    with pytest.raises(ValueError, match=r"\(…, N, F\), \(…, N, F\), \(…, N, V\)"):
        linear_attention(q[..., :2, :], k, v, causal=True)
    with pytest.raises(ValueError, match="epsilon=-1 is negative"):
        linear_attention(q, k, v, epsilon=-1)

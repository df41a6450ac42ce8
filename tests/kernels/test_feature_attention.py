"""The linear form against the quadratic one, and both against weights made one by one."""

import pytest
import torch
from kernel_accuracy import assert_near
from kernel_compilation import TARGETS, Compilation, check
from torch import Tensor

from workbench.kernels.feature_attention import (
    attention_weights,
    linear_attention,
    output_kernel,
    state_kernel,
)
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


# ---- the path of this process: PyTorch's, or the kernels' in the interpreter ------------------------------


@pytest.mark.parametrize(
    ("queries", "keys", "features", "channels"), [(4, 3, 5, 1), (33, 40, 12, 5), (5, 70, 130, 40)]
)
def test_values_and_gradients_are_those_of_float64(
    queries: int, keys: int, features: int, channels: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = (2, queries, features), (2, keys, features), (2, keys, channels)
    given = [torch.randn(*shape, generator=generator) for shape in shapes]
    given[0], given[1] = given[0].abs(), given[1].abs()
    given[0][1, 0] = 0
    exact = [each.double().requires_grad_() for each in given]
    given = [each.requires_grad_() for each in given]
    found, truth = linear_attention(*given), attention_weights(*exact[:2]) @ exact[2]
    assert_near("output", found, truth, 5e-7)
    assert not found[1, 0].any()
    grad = torch.randn(found.shape, generator=generator)
    grad[1, 0] = 0  # a query of nothing has a slope of one over epsilon
    slopes = torch.autograd.grad(found, given, grad)
    for name, ours, true in zip(
        ("queries", "keys", "values"), slopes, torch.autograd.grad(truth, exact, grad.double()), strict=True
    ):
        assert_near(name, ours, true, 5e-7)


def test_more_keys_than_a_slice_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.rand(1, n, 3, generator=generator) for n in (2, 2100, 2100))
    truth = attention_weights(q.double(), k.double()) @ v.double()
    assert_near("output", linear_attention(q, k, v), truth, 5e-7)


def test_no_queries_have_no_output() -> None:
    assert linear_attention(torch.ones(2, 0, 3), torch.ones(2, 4, 3), torch.ones(2, 4, 5)).shape == (2, 0, 5)


SIZES = {"length": "i32", "features": "i32", "channels": "i32"}


def compilation(name: str, features: int, precision: str) -> Compilation:
    """One of the two kernels, for a head of so many features."""
    if name == "state":
        types = {"keys_ptr": "*fp32", "values_ptr": "*fp32", "state_ptr": "*fp32", "total_ptr": "*fp32"}
        tile = {"SLICE": 2048, "KEYS": 32, "FEATURES": features}
        kernel = state_kernel
    else:
        types = {"queries_ptr": "*fp32", "state_ptr": "*fp32", "total_ptr": "*fp32", "output_ptr": "*fp32"}
        types["centre_ptr"] = "*fp32"
        types["epsilon"] = "fp32"
        tile = {"QUERIES": 32, "FEATURES": min(64, features)}
        kernel = output_kernel
    constants = {"PRECISION": precision, "CHANNELS": 32, **tile}
    return Compilation(f"{name} {features}", kernel, types | SIZES, constants, warps=8, dots=True)


@pytest.mark.compiled
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("features", [32, 256])
@pytest.mark.parametrize("name", ["state", "output"])
def test_compiles_within_the_gates(name: str, features: int, target: str) -> None:
    precision = "ieee" if target.startswith("gfx") else "tf32x3"
    check("feature_attention", compilation(name, features, precision), target)

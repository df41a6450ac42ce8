"""The layer of NaLaFormer against the steps of its definition, one position at a time."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.kernels.norm_features import key_features, query_features
from workbench.layers import NormAwareAttention


def layer(**options) -> NormAwareAttention:
    torch.manual_seed(0)
    return NormAwareAttention(16, 2, **options).double()


def tokens(positions: int = 12) -> Tensor:
    return torch.randn(2, positions, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def turned(features: Tensor, place: tuple[int, ...]) -> Tensor:
    """Features of one position of a head of 8 channels, as complex numbers turned by their angles."""
    pairs = torch.view_as_complex(features.reshape(2, 4, 2).contiguous())
    frequencies = 1e-4 ** torch.linspace(0, 1, 4 // len(place), dtype=torch.float64)
    angles = torch.cat([p * frequencies for p in place])
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).reshape(-1)


@torch.no_grad()
def by_hand(attention: NormAwareAttention, x: Tensor) -> Tensor:
    """One example (positions, 16), with loops over heads, positions and neighbours."""
    q, k, v, gate = attention.queries_keys_values_gate(x).split(16, -1)
    mixed = torch.zeros_like(x)
    columns = attention.grid[1] if attention.grid else 1
    for start in (0, 8):
        head = slice(start, start + 8)
        of_q, of_k = query_features(q[:, head], attention.form), key_features(k[:, head], attention.form)
        for i in range(len(x)):
            seen = range(i + 1) if attention.causal else range(len(x))
            total = sum(float(of_q[i] @ of_k[j]) for j in seen) / len(seen) + 1e-6
            for j in seen:
                places = [divmod(p, columns) if attention.grid else (p,) for p in (i, j)]
                turns = attention.rotary
                one = turned(of_q[i], places[0]) if turns else of_q[i]
                two = turned(of_k[j], places[1]) if turns else of_k[j]
                mixed[i, head] += float(one @ two) / len(seen) / total * v[j, head]
    weight, bias = attention.convolution.weight[:, 0], attention.convolution.bias
    near = bias.expand_as(x).clone()
    for i in range(len(x)):
        for j in range(len(x)):
            if attention.grid:
                down, right = (b - a for a, b in zip(divmod(i, columns), divmod(j, columns), strict=True))
                if max(abs(down), abs(right)) <= 2:
                    near[i] += weight[:, down + 2, right + 2] * v[j]
            else:
                place = j - i + (4 if attention.causal else 2)
                if 0 <= place < 5:
                    near[i] += weight[:, place] * v[j]
    return attention.output(attention.norm(mixed + near) * F.silu(gate))


@pytest.mark.parametrize("form", ["split", "cosine"])
@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("places", [{"grid": (3, 4)}, {}, {"causal": True}])
def test_the_layer_is_its_definition(form: str, rotary: bool, places: dict) -> None:
    attention, x = layer(form=form, rotary=rotary, **places), tokens()
    torch.testing.assert_close(attention(x)[1], by_hand(attention, x[1]), rtol=1e-11, atol=1e-12)


def test_a_causal_layer_sees_no_future() -> None:
    attention, x = layer(causal=True, rotary=True), tokens()
    other = x.clone()
    other[:, 6:] += 1
    torch.testing.assert_close(attention(other)[:, :6], attention(x)[:, :6])


def test_zero_tokens_have_finite_outputs_and_gradients() -> None:
    attention = layer(grid=(3, 4))
    with torch.no_grad():
        attention.queries_keys_values_gate.bias.zero_()
    x = torch.zeros(1, 12, 16, dtype=torch.float64, requires_grad=True)
    found = attention(x)
    (slope,) = torch.autograd.grad(found.sum(), x)
    assert found.isfinite().all()
    assert slope.isfinite().all()


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"causal=True does not go with grid=\(2, 2\)"):
        layer(grid=(2, 2), causal=True)
    with pytest.raises(ValueError, match="width / heads=6 is out of range: it must be a multiple of 4"):
        NormAwareAttention(12, 2, grid=(2, 2), rotary=True)
    with pytest.raises(ValueError, match=r"x has 12 positions: a grid of \(2, 2\) has others"):
        layer(grid=(2, 2))(tokens())
    with pytest.raises(ValueError, match="did you mean 'split'"):
        layer(form="splt")

"""Layer radii: found by name, equal to formulas on inputs from central differences; the model stays."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from custom_functions import Squared
from torch import Tensor, nn

import workbench as wb
from workbench.stability import layer_radii, logit_radius, logits_and_slopes


def reals(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def classified(model: nn.Module, inputs: Tensor, **keywords: Any) -> wb.Problem:
    torch.manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    targets = torch.zeros(len(inputs), dtype=torch.long)
    return wb.Problem(model.double().eval(), nn.CrossEntropyLoss(), (inputs, targets), **keywords)


def column(problem: wb.Problem, vector: Any = "gradient") -> dict[tuple[str, str], float]:
    found = layer_radii(problem, vector)
    return dict(zip(zip(found.layers, found.kinds, strict=True), found.least.tolist(), strict=True))


@pytest.mark.parametrize(
    ("layer", "kind", "height"),
    [
        (nn.Sigmoid(), "sigmoid", math.pi),
        (nn.SiLU(), "SiLU", math.pi),
        (nn.Softplus(), "softplus", math.pi),
        (nn.Tanh(), "tanh", math.pi / 2),
    ],
)
def test_a_first_layer_has_its_distance_in_closed_form(layer: nn.Module, kind: str, height: float) -> None:
    problem = classified(nn.Sequential(nn.Linear(4, 5), layer, nn.Linear(5, 3)), reals(7, 4))
    vector = reals(problem.num_parameters)
    weight, bias = (part.reshape(5, -1) for part in (vector[:20], vector[20:25]))
    first = problem.model[0]  # type: ignore[index]
    h = first(reals(7, 4)).detach()
    change = (reals(7, 4) @ weight.T + bias.flatten()) / vector.norm()
    expected = ((h.square() + height**2).sqrt() / change.abs()).min().item()
    assert column(problem, vector)["1", kind] == pytest.approx(expected, rel=1e-10)


class Norms(nn.Module):
    """Functions as a model may call them, not as modules."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.inner, self.head = kind, nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(x)
        if self.kind == "LayerNorm":
            h = F.layer_norm(h, (5,))
        elif self.kind == "RMSNorm":
            h = F.rms_norm(h, (5,), eps=0.1)
        elif self.kind == "ReLU":
            h = F.relu(h, inplace=True)
        elif self.kind == "softmax":
            h = h.softmax(-1)
        else:
            h = F.gelu(h, approximate="tanh" if "tanh" in self.kind else "none")
        return self.head(h)


@pytest.mark.parametrize(
    "kind", ["LayerNorm", "RMSNorm", "ReLU", "softmax", "GELU (tanh form)", "GELU (exact)"]
)
def test_functions_are_seen_with_the_module_that_calls_them(kind: str) -> None:
    problem = classified(Norms(kind), reals(6, 4))
    found = column(problem)
    assert list(found) == [("", kind), ("output", "softmax")]
    assert (found["", kind] == math.inf) == (kind == "GELU (exact)")


def test_the_output_has_the_spread_bound_and_a_softmax_that_of_its_scores() -> None:
    problem = classified(Norms("softmax"), reals(6, 4))
    vector = problem.gradient() / problem.gradient().norm()
    ((logits, slopes),) = logits_and_slopes(problem, vector)
    found = column(problem)
    assert found["output", "softmax"] == pytest.approx(logit_radius(logits, slopes, "spread").minimum)
    inner = wb.Problem(
        problem.model, nn.CrossEntropyLoss(), (reals(6, 4), torch.zeros(6, dtype=torch.long)),
        forward=lambda model, batch: model.inner(batch[0]) + 0 * model.head.bias.sum(),
    )  # fmt: skip
    ((scores, changes),) = logits_and_slopes(inner, vector)
    expected = logit_radius(scores, changes, "spread").minimum
    assert found["", "softmax"] == pytest.approx(expected, rel=1e-9)


class ByHand(nn.Module):
    """One causal head, with a softmax by hand or torch's fused attention."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.fused, self.qkv, self.head = fused, nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        if self.fused:
            return self.head(F.scaled_dot_product_attention(q, k, v, is_causal=True).mean(1))
        scores = (q @ k.transpose(-1, -2)) / 2
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        return self.head((scores.masked_fill(mask, -torch.inf).softmax(-1) @ v).mean(1))


def test_fused_attention_is_the_softmax_of_its_scores() -> None:
    inputs = reals(3, 4, 4)
    by_hand = column(classified(ByHand(False), inputs))
    fused = column(classified(ByHand(True), inputs))
    assert fused["", "attention"] == pytest.approx(by_hand["", "softmax"], rel=1e-9)
    assert fused["output", "softmax"] == pytest.approx(by_hand["output", "softmax"], rel=1e-9)


class MultiHead(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(4, 2, batch_first=True), nn.Linear(4, 3)
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        mixed, weights = self.attention(x, x, x, **self.options)
        return self.head(mixed.mean(1)) + (0 if weights is None else weights.mean())


@pytest.mark.parametrize("options", [{}, {"need_weights": False}, {"average_attn_weights": False}])
def test_multi_head_attention_counts_each_head_and_computes_the_same(options: dict[str, bool]) -> None:
    problem = classified(MultiHead(**options), reals(3, 5, 4))
    found = layer_radii(problem, "gradient")
    assert found.layers == ("attention", "output")
    assert found.units.tolist() == [3 * 2 * 5, 3]
    vector = problem.gradient() / problem.gradient().norm()
    ((logits, slopes),) = logits_and_slopes(problem, vector)
    assert found.least[1] == pytest.approx(logit_radius(logits, slopes, "spread").minimum)


def test_hooks_are_gone_also_after_an_error() -> None:
    problem = classified(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)), reals(7, 4))
    layer_radii(problem, "gradient")
    broken = classified(nn.Sequential(nn.Linear(4, 3), Squared()), reals(7, 4))
    with pytest.raises(ValueError, match="no forward-mode derivative"):
        layer_radii(broken, "gradient")
    for model in (problem.model, broken.model):
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_what_is_not_looked_at_is_named() -> None:
    layers = [nn.Linear(4, 6), nn.Hardswish(), nn.BatchNorm1d(6), nn.Tanh(), nn.GroupNorm(2, 6), nn.PReLU()]
    problem = classified(nn.Sequential(*layers, nn.Linear(6, 3)), reals(7, 4).abs())
    found = layer_radii(problem, "gradient")
    assert found.layers == ("3", "output")
    assert found.not_looked_at == ("GroupNorm", "Hardswish", "PReLU")
    assert "not looked at: GroupNorm, Hardswish, PReLU" in found.summary()
    assert "not looked at" not in layer_radii(classified(Norms("ReLU"), reals(6, 4)), "gradient").summary()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rms_norm_as_a_module_has_the_eps_of_its_own_input(dtype: torch.dtype) -> None:
    inputs = reals(6, 4).to(dtype)
    model = nn.Sequential(nn.Linear(4, 5, bias=False), nn.RMSNorm(5), nn.Linear(5, 3)).to(dtype)
    with torch.no_grad():
        model[0].weight.mul_(1e-9)  # so small that eps is all that counts
    problem = wb.Problem(model, nn.CrossEntropyLoss(), (inputs, torch.zeros(6, dtype=torch.long)))
    vector = torch.zeros(problem.num_parameters, dtype=dtype)
    vector[:20] = 1
    changes = reals(6, 4).sum(1) / math.sqrt(20)
    expected = math.sqrt(torch.finfo(dtype).eps) / changes.abs().max().item()
    assert column(problem, vector)["1", "RMSNorm"] == pytest.approx(expected, rel=1e-2)


def test_the_summary_names_what_binds_and_what_is_not_analytic(tmp_path) -> None:
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.LayerNorm(5), nn.Linear(5, 3))
    found = layer_radii(classified(model, reals(9, 4)), "gradient")
    table = found.frame().set_index("layer")
    assert table.analytic.to_dict() == {"1": False, "2": True, "output": True}
    assert found.layers[found.binding] == table.least.drop("1").idxmin()
    assert "linearised, not certified" in found.summary()
    assert "1 layers are not analytic" in found.summary()
    axes = found.plot()
    assert not any(label.get_text() for label in axes.get_xticklabels(minor=True))
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(labels) == ["1 (ReLU)", "2 (LayerNorm)", "output (softmax)"]
    assert wb.load_result(found.save(tmp_path / "layers.npz")).layers == found.layers

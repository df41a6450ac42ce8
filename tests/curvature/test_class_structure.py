"""The classes' parts of the Gauss-Newton matrix against single derivatives; their sum against the whole."""

import itertools
from typing import Any

import pytest
import torch
from curvature_cases import Case, build
from torch import Tensor, nn

import workbench as wb

NAMES = ["mlp", "unequal_last_batch", "class_weights", "label_smoothing", "sum", "cnn_batchnorm"]


def derivatives(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    """For each example and logit: how much it counts (N, C), its derivative (N, C, n); the targets."""
    ggn_weights, rows = [], []
    for i in range(len(case.inputs)):
        logits = case.model(case.inputs[i : i + 1])[0]
        p = logits.detach().softmax(dim=0)
        jacobian = torch.stack(
            [
                torch.cat([g.reshape(-1) for g in torch.autograd.grad(z, case.parameters, retain_graph=True)])
                for z in logits
            ]
        )
        rows.append(jacobian - p @ jacobian)
        ggn_weights.append(p)
    shares = torch.tensor(_shares(case), dtype=torch.float64)
    return shares[:, None] * torch.stack(ggn_weights), torch.stack(rows), case.targets


def _shares(case: Case) -> list[float]:
    loss: Any = case.loss
    weights = [1.0 if loss.weight is None else float(loss.weight[y]) for y in case.targets]
    if loss.reduction == "sum":
        return weights
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("name", NAMES)
def test_means_are_those_of_single_derivatives(name: str) -> None:
    case = build(name)
    weights, delta, targets = derivatives(case)
    structure = wb.curvature.class_structure(case.problem(), cross=True)
    alone = wb.curvature.class_structure(case.problem())
    for c, d in itertools.product(range(3), range(3)):
        chosen = targets == c
        total = weights[chosen, d].sum()
        torch.testing.assert_close(structure.cross_weights[c, d], total)
        if chosen.any():
            mean = (weights[chosen, d, None] * delta[chosen, d]).sum(dim=0) / total
            torch.testing.assert_close(structure.cross_means[c, d], mean)
    for c in range(3):
        chosen, others = targets == c, [d for d in range(3) if d != c]
        if chosen.any():
            total = weights[chosen][:, others].sum()
            mean = (weights[chosen][:, others, None] * delta[chosen][:, others]).sum(dim=(0, 1)) / total
            torch.testing.assert_close(alone.class_means[c], mean)
            torch.testing.assert_close(alone.class_weights[c], total)
            torch.testing.assert_close(structure.class_means[c], mean)


@pytest.mark.parametrize("name", NAMES)
def test_the_parts_and_what_is_within_add_up_to_the_whole(name: str) -> None:
    case = build(name)
    weights, delta, targets = derivatives(case)
    structure = wb.curvature.class_structure(case.problem(), cross=True)
    deviations = delta - structure.cross_means[targets]
    within = torch.einsum("ic,icn,icm->nm", weights, deviations, deviations)
    unit = torch.eye(within.shape[0], dtype=torch.float64)
    parts = sum(structure.operator(part) @ unit for part in ("class", "cross", "same"))
    torch.testing.assert_close(parts + within, wb.curvature.ggn(case.problem()) @ unit)


def test_values_are_those_of_the_operators() -> None:
    structure = wb.curvature.class_structure(build("mlp").problem(), cross=True)
    for part, values in (("class", structure.class_values), ("cross", structure.cross_values)):
        dense = structure.operator(part) @ torch.eye(structure.class_means.shape[1], dtype=torch.float64)
        truth = torch.linalg.eigvalsh(dense).flip(0)[: len(values)]
        torch.testing.assert_close(values, truth, rtol=1e-8, atol=1e-12)
    frame = structure.frame()
    assert list(frame["value"][frame["part"] == "class"]) == structure.class_values.tolist()


def test_without_the_class_means_a_trained_network_has_no_class_outliers() -> None:
    problem = wb.load_problem("digits-mlp", epochs=8)
    ggn = wb.curvature.ggn(problem)
    structure = wb.curvature.class_structure(problem)
    before = wb.curvature.eigenpairs(ggn, 10)
    after = wb.curvature.eigenpairs(ggn - structure.operator(), 1)
    cosines = structure.cosines(before)
    assert after.values[0] < 0.75 * before.values[0]
    assert cosines[0] > 0.9
    assert len(cosines) == 10
    assert structure.plot(pairs=before).get_ylabel() == "eigenvalue"
    assert "10 class means" in structure.summary()


@pytest.mark.parametrize(
    ("name", "message"),
    [("mse", "CrossEntropyLoss alone"), ("layernorm_attention", "one row of logits per example")],
)
def test_other_problems_are_refused(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wb.curvature.class_structure(build(name).problem())


def test_soft_targets_and_unknown_parts_are_refused() -> None:
    case = build("mlp")
    soft = torch.rand(6, 3).double().softmax(dim=1)
    problem = wb.Problem(case.model, nn.CrossEntropyLoss(), (case.inputs, soft))
    with pytest.raises(ValueError, match="one class index per example"):
        wb.curvature.class_structure(problem)
    with pytest.raises(ValueError, match="no part 'cross'"):
        wb.curvature.class_structure(case.problem()).operator("cross")

"""Fisher matrices, covariance, Jacobian, tangent kernel: against gradients of single examples and outputs."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from curvature_cases import Case, build
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map

import workbench as wb

FLAT = ["mlp", "unequal_last_batch", "class_weights", "label_smoothing", "mse", "huber", "cnn_batchnorm",
        "layernorm_attention", "ignore_index", "restricted", "several_heads",
        "unused_parameters"]  # fmt: skip


def flat(gradients: Any) -> Tensor:
    return torch.cat([gradient.to_dense().reshape(-1) for gradient in gradients])


def example_gradients(case: Case) -> Iterator[tuple[float, Tensor]]:
    """Weight and gradient of each example, computed alone."""
    problem = case.problem()
    for i in range(len(case.inputs)):
        part = slice(i, i + 1)
        x, y = case.inputs[part], tree_map(lambda leaf, part=part: leaf[part], case.targets)
        weight = problem.weighting.weigh((x, y), y)
        if weight:
            loss = case.loss(case.model(x), y)
            gradients = torch.autograd.grad(loss, case.parameters, allow_unused=True, materialize_grads=True)
            yield weight, flat(gradients)


def columns(op: Any) -> Tensor:
    return op @ torch.eye(op.shape[1], dtype=torch.float64)


@pytest.mark.parametrize("name", FLAT)
def test_empirical_fisher_and_covariance_are_moments_of_single_gradients(name: str) -> None:
    case = build(name)
    pairs = list(example_gradients(case))
    weights = torch.tensor([weight for weight, _ in pairs], dtype=torch.float64)
    weights /= weights.sum()
    gradients = torch.stack([gradient for _, gradient in pairs])
    second = gradients.T @ (weights[:, None] * gradients)
    mean = weights @ gradients
    torch.testing.assert_close(columns(wb.curvature.fisher(case.problem())), second)
    covariance = wb.curvature.gradient_covariance(case.problem())
    torch.testing.assert_close(columns(covariance), second - torch.outer(mean, mean))


def test_of_a_sum_the_moments_are_sums() -> None:
    case = build("sum")
    gradients = torch.stack([gradient for _, gradient in example_gradients(case)])
    torch.testing.assert_close(columns(wb.curvature.fisher(case.problem())), gradients.T @ gradients)
    centred = gradients - gradients.mean(dim=0)
    covariance = wb.curvature.gradient_covariance(case.problem())
    torch.testing.assert_close(columns(covariance), centred.T @ centred)


@pytest.mark.parametrize("name", ["mlp", "mse", "sum", "unequal_last_batch", "ignore_index"])
def test_sampled_fisher_tends_to_the_ggn_as_its_spread_says(name: str) -> None:
    case = build(name)
    problem = case.problem()
    truth = columns(wb.curvature.ggn(problem))
    draws = torch.stack(
        [
            columns(wb.curvature.fisher(problem, "mc", samples=40, seed=seed, check=seed == 0))
            for seed in range(8)
        ]
    )
    assert (draws[0] - draws[0].T).abs().max() < 1e-12
    spread = draws.std(dim=0).norm() / 8**0.5
    distance = (draws.mean(dim=0) - truth).norm()
    assert 0.3 * spread < distance < 2 * spread
    assert spread < 0.2 * truth.norm()


def test_samples_are_the_same_at_each_product_and_for_each_seed() -> None:
    problem = build("layernorm_attention").problem()
    vector = torch.randn(problem.num_parameters, dtype=torch.float64)
    kept, rebuilt, other = (
        wb.curvature.fisher(problem, "mc", seed=seed, memory=memory)
        for seed, memory in ((3, None), (3, 0), (4, None))
    )
    torch.testing.assert_close(kept @ vector, rebuilt @ vector, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(rebuilt @ vector, rebuilt @ vector, rtol=0, atol=0)
    assert (kept @ vector - other @ vector).norm() > 1e-3 * (kept @ vector).norm()


@pytest.mark.parametrize("name", ["class_weights", "label_smoothing", "huber"])
def test_targets_that_cannot_be_sampled_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"targets can be sampled for .*ggn\(\)"):
        wb.curvature.fisher(build(name).problem(), "mc")


def test_kinds_are_checked() -> None:
    with pytest.raises(ValueError, match="did you mean 'empirical'"):
        wb.curvature.fisher(build("mlp").problem(), "empiric")


@pytest.mark.parametrize("name", FLAT)
def test_jacobian_and_kernel_are_made_of_gradients_of_single_outputs(name: str) -> None:
    case = build(name)
    rows = []
    for inputs in case.inputs.split(list(case.batch_sizes)):
        outputs = torch.cat([leaf.reshape(-1) for leaf in tree_flatten(case.model(inputs))[0]])
        rows += [
            flat(
                torch.autograd.grad(
                    output, case.parameters, retain_graph=True, allow_unused=True, materialize_grads=True
                )
            )
            for output in outputs
        ]
    truth = torch.stack(rows)
    jacobian = wb.curvature.jacobian(case.problem())
    assert jacobian.shape == truth.shape
    torch.testing.assert_close(columns(jacobian), truth)
    torch.testing.assert_close(columns(jacobian.T), truth.T)
    torch.testing.assert_close(jacobian @ truth[0], truth @ truth[0])
    torch.testing.assert_close(columns(wb.curvature.ntk(case.problem())), truth @ truth.T)
    torch.testing.assert_close(torch.from_numpy(jacobian.to_scipy() @ truth.T.numpy()), truth @ truth.T)


def test_a_jacobian_refuses_what_does_not_fit() -> None:
    jacobian = wb.curvature.jacobian(build("mlp").problem())
    with pytest.raises(ValueError, match="does not fit"):
        jacobian @ torch.ones(3)
    with pytest.raises(TypeError, match="real torch tensor"):
        jacobian.T @ [1.0]  # type: ignore[operator]


def test_wrong_second_moments_would_be_seen() -> None:
    """The comparison with single gradients fails if examples are weighted alike."""
    case = build("class_weights")
    alike = dataclasses.replace(case, loss=lambda f, y: F.cross_entropy(f, y))
    truth = columns(wb.curvature.fisher(alike.problem()))
    assert (columns(wb.curvature.fisher(case.problem())) - truth).norm() > 0.05 * truth.norm()


class Halving(torch.autograd.Function):
    """x, with a backward that is wrong by a factor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 0.9 * gradient


class Wrong(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        return Halving.apply(torch.tanh(self.linear(x)))


@pytest.mark.parametrize("make", [wb.curvature.fisher, wb.curvature.jacobian])
def test_a_wrong_backward_is_seen_by_differences(make: Any) -> None:
    problem = wb.Problem(Wrong(), nn.CrossEntropyLoss(), (torch.randn(6, 4).double(), torch.arange(6) % 3))
    with pytest.raises(ValueError, match=r"off by .* from central differences"):
        make(problem) @ torch.ones(problem.num_parameters, dtype=torch.float64)

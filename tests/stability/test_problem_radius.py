"""Taylor radii of problems: the true radius where the model is linear, optimizers, reductions, refusals."""

import math
from typing import Any

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.progress import listening
from workbench.stability import logit_radius, logits_and_slopes, series, taylor_radius


def problem(batches: int = 1) -> wb.Problem:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).double()
    inputs, targets = torch.randn(12, 4, dtype=torch.float64), torch.randint(0, 3, (12,))
    size = 12 // batches
    pairs = list(zip(inputs.split(size), targets.split(size), strict=True))
    return wb.Problem(model, nn.CrossEntropyLoss(), pairs)


def test_along_the_last_layer_the_series_of_the_true_loss_has_the_exact_radius() -> None:
    last = problem().restrict("2.*")  # its logits are linear in these parameters
    torch.manual_seed(1)
    vector = torch.randn(last.num_parameters, dtype=torch.float64)
    found = taylor_radius(last, vector, kind="exact")
    ((logits, slopes),) = logits_and_slopes(last, vector / vector.norm())
    expansion = series(logits, slopes, 150)
    theta, unit = last.parameters_vector(), vector / vector.norm()
    targets = torch.cat([batch[1] for batch, _ in last.batches()])

    def error(part: float) -> float:
        t = torch.tensor([part * found.radius], dtype=torch.float64)
        own = (logits + t * slopes).gather(1, targets[:, None])[:, 0]
        taylor = (expansion.partial_sums(t)[:, 0, -8:] - own[:, None]).mean(0)
        return (taylor - last.loss_at(theta + t * unit)).abs().max().item()

    assert error(0.9) < 1e-7
    assert error(1.1) > 1


@pytest.mark.parametrize("kind", ["spread", "majority", "exact"])
def test_the_radius_of_the_data_is_the_least_of_all_batches(kind: str) -> None:
    vector = problem().gradient()
    whole, parts = taylor_radius(problem(), vector, kind), taylor_radius(problem(3), vector, kind)
    assert parts.radius == pytest.approx(whole.radius, rel=1e-12)
    assert whole.radius == whole.radii.min()
    assert whole.certified
    assert (whole.batches, parts.batches) == (1, 3)
    first = taylor_radius(problem(3), vector, kind, batches=1)
    torch.testing.assert_close(first.radii, whole.radii[:4])


def test_the_step_is_kept_and_the_direction_normalised() -> None:
    vector = problem().gradient()
    one, seven = taylor_radius(problem(), vector), taylor_radius(problem(), -7 * vector)
    assert seven.radius == pytest.approx(one.radius, rel=1e-12)
    assert seven.step == pytest.approx(7 * vector.norm().item())
    assert seven.ratio == pytest.approx(7 * one.ratio)
    named = taylor_radius(problem(), "gradient")
    assert (named.radius, named.step) == (one.radius, one.step)


def test_an_optimizer_stands_for_its_update() -> None:
    trained = problem()
    optimizer = torch.optim.SGD(trained.model.parameters(), lr=0.3, momentum=0.9)
    found = taylor_radius(trained, optimizer)
    assert found.step == pytest.approx(0.3 * trained.gradient().norm().item())
    assert found.radius == pytest.approx(taylor_radius(trained, "gradient").radius)
    assert "update of SGD" in found.summary()


def test_eigenvectors_and_random_directions_are_directions() -> None:
    trained = problem()
    pairs = wb.curvature.eigenpairs(wb.curvature.hessian(trained), k=2)
    assert taylor_radius(trained, pairs).radius == taylor_radius(trained, pairs.vectors[:, 0]).radius
    first, again, other = (taylor_radius(trained, "random", seed=seed) for seed in (0, 0, 1))
    assert first.radius == again.radius != other.radius
    assert first.step == pytest.approx(1)


def test_a_quantile_is_not_certified() -> None:
    found = taylor_radius(problem(), "gradient", reduce=0.5)
    assert not found.certified
    assert found.radius == found.radii.sort().values[6]
    assert "NOT certified" in found.summary()
    assert found.plot().get_xlabel() == "distance along the gradient"
    assert len(found.frame()) == 12


def test_a_direction_that_moves_no_logit_has_an_infinite_radius() -> None:
    trained = problem().restrict("2.bias")
    found = taylor_radius(trained, torch.ones(3, dtype=torch.float64), kind="exact")
    assert found.radius == math.inf
    assert found.ratio == 0
    found.plot()


def test_an_interrupt_returns_the_batches_so_far_uncertified() -> None:
    def stop(_: str, done: int, __: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    vector = problem().gradient()
    with listening(stop):
        found = taylor_radius(problem(3), vector)
    assert found.interrupted
    assert not found.certified
    assert len(found.radii) == 8
    torch.testing.assert_close(found.radii, taylor_radius(problem(), vector).radii[:8])


@pytest.mark.parametrize(
    ("direction", "error", "message"),
    [
        ("gradiant", ValueError, "did you mean 'gradient'"),
        (torch.ones(3), ValueError, r"\(3,\), not \(51,\)"),
        (torch.zeros(51), ValueError, "has length 0"),
        (torch.full((51,), math.nan), ValueError, "has length nan"),
        (3, TypeError, "is a int"),
        (torch.ones(51, dtype=torch.int64), TypeError, "tensor of torch.int64: it must be of floating point"),
    ],
)
def test_what_is_no_direction_is_refused(direction: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        taylor_radius(problem(), direction)


@pytest.mark.parametrize("reduce", ["max", 1.5, True, None])
def test_what_is_no_reduction_is_refused(reduce: Any) -> None:
    with pytest.raises(ValueError, match=r"reduce="):
        taylor_radius(problem(), "gradient", reduce=reduce)


def test_at_least_one_batch_is_read() -> None:
    with pytest.raises(ValueError, match="batches=0"):
        taylor_radius(problem(), "gradient", batches=0)


def test_bounds_of_rows_are_those_of_their_logits() -> None:
    trained = problem()
    unit = trained.gradient() / trained.gradient().norm()
    ((logits, slopes),) = logits_and_slopes(trained, unit)
    found = taylor_radius(trained, "gradient", "spread")
    torch.testing.assert_close(found.radii, logit_radius(logits, slopes, "spread").radius)
    assert not found.exact.any()

"""The exact threshold against matrices written out, and against the second moment run over all batches."""

import itertools

import pytest
import torch
from torch import Tensor

from workbench.stability.mean_square import ExampleHessians, sampling_weight


def random_factors(n: int, c: int, m: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(n, c, m, generator=generator, dtype=torch.float64)
    return factors * torch.rand(n, 1, 1, generator=generator, dtype=torch.float64)  # some examples are steep


def growth(factors: Tensor, batches: list[tuple[int, ...]], learning_rate: float) -> float:
    """Factor by which the mean square distance grows in a step, after many steps over all batches alike."""
    # In coordinates of the range of H: along the rest nothing moves, and rounding would stay there for good.
    basis = torch.linalg.svd(factors.flatten(0, 1), full_matrices=False)[2]
    rows = factors @ basis.T
    hessians = rows.mT @ rows
    unit = torch.eye(len(basis), dtype=torch.float64)
    steps = torch.stack([unit - learning_rate * hessians[list(batch)].mean(0) for batch in batches])
    moment = unit
    for _ in range(1000):
        before = moment.trace()
        moment = (steps @ moment @ steps.mT).mean(0)
        moment, grown = moment / moment.trace(), moment.trace() / before
    return grown.item()


@pytest.mark.parametrize("replacement", [False, True])
@pytest.mark.parametrize(
    ("n", "c", "m", "size"), [(5, 1, 4, 1), (5, 1, 8, 2), (5, 1, 3, 4), (4, 2, 5, 2), (3, 3, 20, 2)]
)
def test_the_mean_square_shrinks_just_below_and_grows_just_above(
    n: int, c: int, m: int, size: int, replacement: bool
) -> None:
    factors = random_factors(n, c, m, seed=n + c + m)
    drawn = (
        itertools.product(range(n), repeat=size) if replacement else itertools.combinations(range(n), size)
    )
    batches = list(drawn)
    weight = sampling_weight(n, size, replacement=replacement)
    limit, error = ExampleHessians(factors).threshold(weight)
    assert error < 1e-6 * limit
    assert growth(factors, batches, 0.98 * limit) < 1
    assert growth(factors, batches, 1.02 * limit) > 1
    assert growth(factors, batches, limit) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("n", "c", "m"), [(6, 1, 9), (9, 1, 4), (4, 2, 6)])
def test_the_threshold_is_that_of_the_written_out_matrices(n: int, c: int, m: int) -> None:
    factors = random_factors(n, c, m, seed=1)
    each = factors.mT @ factors
    mean = each.mean(0)
    unit = torch.eye(m, dtype=torch.float64)
    for weight in (1.0, 0.3, 0.0):
        both = (torch.kron(mean, unit) + torch.kron(unit, mean)) / 2
        noise = torch.stack([torch.kron(h, h) for h in each]).mean(0)
        transition = torch.linalg.pinv(both, rtol=1e-9) @ (
            (1 - weight) * torch.kron(mean, mean) + weight * noise
        )
        expected = 2 / torch.linalg.eigvals(transition).real.max().item()
        limit, error = ExampleHessians(factors).threshold(weight)
        assert limit == pytest.approx(expected, rel=1e-7)
        assert error < 1e-6 * limit


def test_one_example_alone_is_a_parabola() -> None:
    factors = torch.tensor([[[3.0, 4.0]]], dtype=torch.float64)
    limit, _ = ExampleHessians(factors).threshold(1.0)
    assert limit == pytest.approx(2 / 25)


def test_orthogonal_examples_are_stable_as_if_each_were_alone() -> None:
    """Of n orthogonal gradients each moves its own direction, by η a² in its turn."""
    lengths = torch.tensor([1.0, 2.0, 0.5, 1.5], dtype=torch.float64)
    limit, _ = ExampleHessians(torch.diag(lengths)[:, None]).threshold(1.0)
    assert limit == pytest.approx(2 / 4)


@pytest.mark.parametrize("c", [1, 2])
def test_the_alignment_is_the_smallest_over_directions(c: int) -> None:
    factors = random_factors(6, c, 5, seed=2)
    each = factors.mT @ factors
    mean = each.mean(0)
    smallest, typical = ExampleHessians(factors).alignment()

    def noise_and_loss(away: Tensor) -> tuple[Tensor, Tensor]:
        gradients = each @ away
        covariance = gradients.T @ gradients / 6 - torch.outer(mean @ away, mean @ away)
        return (mean * covariance).sum() / mean.square().sum(), away @ mean @ away  # 2 L = δᵀHδ

    draws = torch.randn(5000, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    noises, losses = map(torch.stack, zip(*map(noise_and_loss, draws), strict=True))
    assert typical == pytest.approx((noises.mean() / losses.mean()).item(), rel=0.05)
    away = draws[(noises / losses).argmin()].clone().requires_grad_()
    optimizer = torch.optim.LBFGS([away], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def descend() -> Tensor:
        optimizer.zero_grad()
        noise, loss = noise_and_loss(away)
        (noise / loss).backward()
        return noise / loss

    optimizer.step(descend)
    assert smallest == pytest.approx(descend().item(), rel=1e-5)


def test_weights_of_batches() -> None:
    assert sampling_weight(10, 1, replacement=False) == 1
    assert sampling_weight(10, 10, replacement=False) == 0
    assert sampling_weight(10, 4, replacement=False) == pytest.approx(6 / 36)
    assert sampling_weight(10, 20, replacement=True) == 1 / 20
    assert sampling_weight(1, 1, replacement=False) == 0
    with pytest.raises(ValueError, match="batch_size=11 is out of range: it must be from 1 to 10"):
        sampling_weight(10, 11, replacement=False)
    with pytest.raises(TypeError, match="not a whole number"):
        sampling_weight(10, 2.5, replacement=True)  # type: ignore[arg-type]


def test_what_is_flat_is_refused() -> None:
    with pytest.raises(ValueError, match="no example's loss is curved"):
        ExampleHessians(torch.zeros(3, 1, 2))

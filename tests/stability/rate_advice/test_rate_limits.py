"""Limits of learning rates where they are known: on quadratics."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.stability.rate_advice import RateLimit, ShortRuns, rate_limit, rate_shares

HALF_SPACING = math.log(2) / 4 + 0.01  # of the grid; the edge of 200 steps is within a percent of the law


@pytest.fixture(scope="module")
def quadratic() -> tuple[wb.Problem, float]:
    """A linear regression far from its minimum, and its sharpness."""
    torch.manual_seed(1)
    x, y = torch.randn(30, 5, dtype=torch.float64), torch.randn(30, 1, dtype=torch.float64)
    model = nn.Linear(5, 1, bias=False).double()
    nn.init.constant_(model.weight, 20.0)
    sharpness = torch.linalg.eigvalsh(2 * x.T @ x / 30)[-1].item()
    return wb.Problem(model, nn.MSELoss(), (x, y)), sharpness


@pytest.mark.parametrize(
    ("optimizer", "factor", "start"), [("sgd", 2.0, 0.3), ("sgd", 2.0, 30.0), ("momentum", 3.8, 1.0)]
)
def test_gradient_descent_survives_up_to_the_law(
    quadratic: tuple[wb.Problem, float], optimizer: str, factor: float, start: float
) -> None:
    problem, sharpness = quadratic
    law = factor / sharpness
    found = rate_limit(
        problem,
        optimizer,
        batch_size=100,
        steps=200,
        seeds=2,
        guess=1.1 * start * law,
        threshold=problem.loss_at(),
    )
    assert found.batch_size == 30
    assert (np.abs(np.log(found.limits / law)) < HALF_SPACING).all()
    assert np.ptp(found.limits) > 0  # each seed has a grid of its own


def test_the_interval_holds_the_law_where_all_seeds_share_it(quadratic: tuple[wb.Problem, float]) -> None:
    problem, sharpness = quadratic
    found = rate_limit(
        problem, batch_size=30, steps=200, guess=1 / sharpness, threshold=problem.loss_at(), seeds=5
    )
    low, high = found.interval
    assert low < 2 / sharpness < high < 1.5 * low


@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_means_are_unbiased_and_intervals_hold_the_limit_as_often_as_they_say(
    quadratic: tuple[wb.Problem, float], monkeypatch: pytest.MonkeyPatch, spread: float
) -> None:
    logs = spread * np.random.default_rng(0).standard_normal(2000)
    monkeypatch.setattr(
        ShortRuns, "final_loss", lambda self, rate, seed: float(math.log(rate / 0.3) > logs[seed])
    )
    found = [
        rate_limit(quadratic[0], guess=0.2, threshold=0.5, seed=seed, examples=1)
        for seed in range(0, 2000, 5)
    ]
    errors = np.log([each.advised / 0.3 for each in found])
    deviation = math.sqrt((spread**2 + math.log(2) ** 2 / 48) / 5)  # spacing²/12 by the grid
    assert abs(errors.mean()) < 4 * deviation / math.sqrt(400)
    assert errors.std() == pytest.approx(deviation, rel=0.15)
    hits = np.mean([each.interval[0] < 0.3 < each.interval[1] for each in found])
    assert abs(hits - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 400)


def test_fresh_runs_of_a_quadratic_survive_below_and_degrade_above(
    quadratic: tuple[wb.Problem, float],
) -> None:
    problem, sharpness = quadratic
    limit = rate_limit(
        problem, batch_size=30, steps=200, seeds=2, guess=1.9 / sharpness, threshold=problem.loss_at()
    )
    shares = rate_shares(problem, limit, factors=(0.5, 0.8, 2), seeds=3)
    assert shares.survived.tolist() == [3, 3, 0]
    table = shares.frame()
    assert table["high"].iloc[-1] == pytest.approx(1 - 0.025 ** (1 / 3))
    assert "3 of 3 at 0.5 ×" in shares.summary()
    assert shares.plot().get_xscale() == "log"


def test_a_limit_parts_the_runs_that_were_tried() -> None:
    problem = wb.load_problem("digits-mlp", epochs=0, width=8)
    found = rate_limit(problem, "adam", steps=10, seeds=2, guess=1e-4)  # too slow to begin with
    table = found.frame()
    for place, (_, runs) in enumerate(table.groupby("seed")):
        limit = found.limits[place]
        nearest = runs.assign(far=np.log(runs["rate"] / limit)).sort_values("far", key=abs)[:2]
        assert nearest.sort_values("rate")["survived"].tolist() == [True, False]
        assert nearest["far"].abs().to_numpy() == pytest.approx(math.log(2) / 4)
    assert (table["loss"].iloc[0] > found.threshold) & (found.limits > 1e-3).all()
    low, high = found.interval
    assert low <= found.advised <= high
    assert "adam, batches of 32: largest rate" in found.plot().get_title()


def test_limits_of_runs_that_hardly_train_say_so(quadratic: tuple[wb.Problem, float]) -> None:
    problem, sharpness = quadratic
    start = problem.loss_at()
    arguments = {"batch_size": 30, "steps": 1, "seeds": 1, "guess": 1.5 / sharpness}
    assert not rate_limit(problem, **arguments, threshold=start).hardly_trains
    best = rate_limit(problem, **arguments, threshold=start).frame()["loss"].min()
    found = rate_limit(problem, **arguments, threshold=1.01 * best)
    assert found.hardly_trains
    assert "RUNS HARDLY END UNDER THE THRESHOLD" in found.summary()


def test_an_optimizer_of_ones_own_is_taken(quadratic: tuple[wb.Problem, float]) -> None:
    def halved(parameters: Any, rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=rate / 2)

    problem, sharpness = quadratic
    found = rate_limit(
        problem, halved, batch_size=30, steps=200, seeds=1, guess=0.1, threshold=problem.loss_at()
    )
    assert found.optimizer == "halved"
    assert abs(math.log(found.advised * sharpness / 4)) < HALF_SPACING
    assert math.isnan(found.interval[0])


def test_ones_own_optimizer_is_not_taken_for_a_known_one(quadratic: tuple[wb.Problem, float]) -> None:
    def momentum(parameters: Any, rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=rate, momentum=0.5)

    problem, sharpness = quadratic
    arguments: dict[str, Any] = {"batch_size": 30, "steps": 200, "seeds": 1, "guess": 2.7 / sharpness}
    limit = rate_limit(problem, momentum, **arguments, threshold=problem.loss_at())
    assert abs(math.log(limit.advised * sharpness / 3)) < HALF_SPACING  # (2 + 2 · 0.5) / λ
    with pytest.raises(ValueError, match="is not one of 'sgd', 'momentum', 'adam'"):
        rate_shares(problem, limit)
    assert rate_shares(problem, limit, momentum, factors=(0.8, 2), seeds=1).survived.tolist() == [1, 0]


def test_a_rate_that_is_not_used_has_no_limit(quadratic: tuple[wb.Problem, float]) -> None:
    def fixed(parameters: Any, rate: float) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=1e-3)

    problem, _ = quadratic
    with pytest.raises(ValueError, match=r"every rate up to .* survives: is it used?"):
        rate_limit(problem, fixed, batch_size=30, steps=2, seeds=1, threshold=problem.loss_at())


def test_fresh_runs_are_not_those_of_the_advice(
    quadratic: tuple[wb.Problem, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, _ = quadratic
    limit = rate_limit(
        problem, batch_size=30, steps=20, seeds=2, seed=1000, guess=0.1, threshold=problem.loss_at()
    )
    with pytest.raises(ValueError, match="seed=1001 is out of range: it must be at least 1002"):
        rate_shares(problem, limit, seed=1001)
    seen: list[int] = []

    def final_loss(self: ShortRuns, rate: float, seed: int) -> float:
        seen.append(seed)
        if seed == 1004:
            raise KeyboardInterrupt
        return 0.0

    monkeypatch.setattr(ShortRuns, "final_loss", final_loss)
    found = rate_shares(problem, limit, factors=(1, 2))
    assert seen == [1002, 1002, 1003, 1003, 1004]
    assert (found.losses.shape, found.interrupted) == ((2, 2), True)
    assert "INTERRUPTED" in found.summary()


def test_an_interrupt_keeps_the_seeds_that_are_done(
    quadratic: tuple[wb.Problem, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    problem, _ = quadratic
    real = ShortRuns.final_loss

    def once(self: ShortRuns, rate: float, seed: int) -> float:
        if seed == 1:
            raise KeyboardInterrupt
        return real(self, rate, seed)

    monkeypatch.setattr(ShortRuns, "final_loss", once)
    found = rate_limit(problem, batch_size=30, steps=20, guess=0.1, threshold=problem.loss_at())
    assert (len(found.limits), found.interrupted) == (1, True)
    assert "INTERRUPTED" in found.summary()


def test_results_are_saved(quadratic: tuple[wb.Problem, float], tmp_path: Any) -> None:
    problem, _ = quadratic
    found = rate_limit(problem, batch_size=30, steps=20, seeds=2, guess=0.1, threshold=problem.loss_at())
    loaded = wb.load_result(found.save(tmp_path / "limit"))
    assert isinstance(loaded, RateLimit)
    assert loaded.summary() == found.summary()


def test_bad_arguments_are_refused(quadratic: tuple[wb.Problem, float]) -> None:
    problem, _ = quadratic
    with pytest.raises(ValueError, match="optimizer='sdg' is not one of"):
        rate_limit(problem, "sdg")
    with pytest.raises(ValueError, match="guess=-1 is out of range"):
        rate_limit(problem, guess=-1)
    with pytest.raises(ValueError, match="no learning rate ends under a loss of 1e-12 after 1 steps"):
        rate_limit(problem, batch_size=30, steps=1, guess=0.1, threshold=1e-12)
    limit = rate_limit(problem, batch_size=30, steps=5, seeds=1, guess=0.1, threshold=problem.loss_at())
    with pytest.raises(ValueError, match="factors is empty"):
        rate_shares(problem, limit, factors=())
    with pytest.raises(ValueError, match="factor=0 is out of range"):
        rate_shares(problem, limit, factors=(0,))


def test_losses_of_some_examples_are_held_against_the_chance_of_the_same(
    quadratic: tuple[wb.Problem, float],
) -> None:
    problem, _ = quadratic
    found = rate_limit(problem, batch_size=30, steps=100, seeds=1, guess=0.1, examples=12)
    runs = ShortRuns(problem, lambda parameters, rate: torch.optim.SGD(parameters, rate), 30, 100, 12)
    targets = torch.cat([y for (_, y), _ in runs.judged.batches()])
    assert found.threshold == pytest.approx(targets.var(correction=0).item(), rel=1e-6)
    assert found.examples == len(targets) == 12
    assert found.trials[0, 2] == runs.final_loss(found.trials[0, 1], seed=0)
    assert "losses of 12 examples" in found.summary()
    shares = rate_shares(problem, found, factors=(1,), seeds=1)
    assert shares.losses[0, 0] == pytest.approx(runs.final_loss(found.advised, seed=1), rel=1e-9)


def test_the_rate_of_an_optimizer_is_placed(quadratic: tuple[wb.Problem, float]) -> None:
    problem, sharpness = quadratic
    optimizer = torch.optim.SGD(problem.model.parameters(), lr=1.0 / sharpness, momentum=0.5)
    found = rate_limit(problem, optimizer, batch_size=30, steps=200, seeds=1, threshold=problem.loss_at())
    assert (found.optimizer, found.today) == ("SGD", 1.0 / sharpness)
    assert abs(math.log(found.advised * sharpness / 3)) < HALF_SPACING  # (2 + 2 · 0.5) / λ
    assert f"today's {1 / sharpness:.3g} is" in found.summary()
    assert len(found.plot().lines) == 4  # runs, threshold, limit, today
    assert rate_shares(problem, found, optimizer, factors=(2,), seeds=1).survived.tolist() == [0]

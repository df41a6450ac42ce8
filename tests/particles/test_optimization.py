"""Whole runs: the same bits in any batch, resumed and interrupted; laws and success rates as known."""

import warnings

import numpy as np
import pytest
import torch
from scipy import stats

import workbench as wb
from workbench.particles import Schedule, Swarm, ackley, canyon, consensus, rastrigin, sphere
from workbench.progress import listening


def smooth(points: torch.Tensor) -> torch.Tensor:
    """An objective of the user's own, which goes through PyTorch."""
    return (points - 0.3).square().sum(-1) + 0.1 * torch.sin(7 * points).sum(-1)


PER_RUN = ("consensus", "mean", "energy", "best_energy", "ess", "variance", "cosine")
SMALL = {"particles": 70, "dim": 5, "steps": 30, "every": 7, "alpha": 20.0, "sigma": 0.7}


def same(one: Swarm, other: Swarm, runs_one: slice | list = slice(None)) -> None:
    """All that the two say of these runs is the same, bit for bit."""
    for name in PER_RUN:
        left, right = getattr(one, name)[:, runs_one], getattr(other, name)
        assert torch.equal(left.nan_to_num(7.0), right.nan_to_num(7.0)), name
    assert torch.equal(one.particles[runs_one], other.particles)
    assert torch.equal(one.best[runs_one], other.best)


CASES = [
    (ackley(), {}),
    (ackley(), {"kind": "isotropic", "dtype": torch.float64}),
    (rastrigin(), {"kind": "hopping", "sigma": Schedule(0.5, 0.98, every=5)}),
    (canyon(), {"dim": 2, "kind": "isotropic"}),
    (smooth, {"memory": 0.5, "alpha": Schedule(5.0, 1.1)}),
    (smooth, {"gradient": 0.3}),
]


@pytest.mark.parametrize(("objective", "options"), CASES)
def test_a_run_has_the_same_bits_whatever_it_is_batched_with(objective, options) -> None:
    options = {**SMALL, **options}
    together = consensus(objective, runs=9, **options)
    for runs in ([4], [8, 1, 3]):
        same(together, consensus(objective, runs=runs, **options), runs)
    torch.set_num_threads(4)
    same(together, consensus(objective, runs=9, **options))


def test_records_do_not_change_a_run() -> None:
    options = {**SMALL, "runs": 3}
    often, seldom = (consensus(ackley(), **{**options, "every": every}) for every in (1, 30))
    assert torch.equal(often.particles, seldom.particles)
    assert torch.equal(often.energy[-1], seldom.energy[-1])
    assert often.steps.tolist() == list(range(31))
    assert seldom.steps.tolist() == [0, 30]


@pytest.mark.parametrize(("objective", "options"), CASES)
def test_a_resumed_run_is_the_run_in_one_piece(objective, options, tmp_path) -> None:
    options = {**SMALL, **options}
    whole = consensus(objective, runs=3, **options)
    half = consensus(objective, runs=3, **{**options, "steps": 14})
    kept = wb.load_result(half.save(tmp_path / "half"))
    assert isinstance(kept, Swarm)
    again = consensus(objective, resume=kept, steps=16, every=7)
    same(whole, again)
    assert again.steps.tolist() == whole.steps.tolist() == [0, 7, 14, 21, 28, 30]
    assert torch.equal(again.variance_theory.nan_to_num(7.0), whole.variance_theory.nan_to_num(7.0))
    assert (again.gradients, again.checks) == (whole.gradients, whole.checks)
    assert torch.equal(again.evaluations, whole.evaluations)


def test_an_interrupted_run_goes_on_as_if_it_had_not_been() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if done >= 14:
            raise KeyboardInterrupt

    whole = consensus(ackley(), runs=3, **SMALL)
    with listening(stop):
        cut = consensus(ackley(), runs=3, **SMALL)
    assert cut.interrupted
    assert cut.reasons == ("interrupted",) * 3
    assert cut.steps.tolist() == [0, 7, 14]
    same(whole, consensus(ackley(), resume=cut, steps=16, every=7))


def test_a_function_of_the_step_has_to_be_given_again() -> None:
    def alpha(step: int) -> float:
        return 5.0 + step

    options = {**SMALL, "alpha": alpha, "runs": 2}
    whole, half = consensus(smooth, **options), consensus(smooth, **{**options, "steps": 14})
    with pytest.raises(ValueError, match="give it again"):
        consensus(smooth, resume=half, steps=16)
    same(whole, consensus(smooth, resume=half, steps=16, every=7, alpha=alpha))


def test_a_resumed_run_keeps_its_settings() -> None:
    half = consensus(smooth, runs=2, **SMALL)
    with pytest.raises(ValueError, match=r"sigma=2\.0, but the swarm to resume has sigma=0\.7"):
        consensus(smooth, resume=half, sigma=2.0)
    with pytest.raises(ValueError, match="particles was given"):
        consensus(smooth, 10, resume=half)


# ---- the laws --------------------------------------------------------------------------------------------


def test_steps_are_the_formula_for_given_noise() -> None:
    """Against the step written out, in float64."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(4, 2, 6, 3, generator=generator, dtype=torch.float64)
    start = torch.randn(2, 6, 3, generator=generator, dtype=torch.float64)
    for kind in ("anisotropic", "isotropic"):
        found = consensus(
            smooth, 6, 3, 2, 4, kind=kind, alpha=3.0, sigma=0.8, lam=1.3, dt=0.05, start=start,
            noise=lambda step: z[step], dtype=torch.float64,
        )  # fmt: skip
        x = start.clone()
        for k in range(4):
            weights = torch.exp(-3 * smooth(x))
            centre = (weights[..., None] * x).sum(1, keepdim=True) / weights.sum(1)[:, None, None]
            way = x - centre
            size = way.abs() if kind == "anisotropic" else way.norm(dim=-1, keepdim=True)
            x = x - 1.3 * 0.05 * way + 0.8 * 0.05**0.5 * size * z[k]
        torch.testing.assert_close(found.particles, x, rtol=1e-12, atol=1e-13)


def test_memory_and_gradient_drift_are_the_formula() -> None:
    start = torch.randn(1, 5, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    zero = torch.zeros(1, 5, 2, dtype=torch.float64)
    found = consensus(
        smooth, 5, 2, 1, 3, alpha=2.0, sigma=0.0, lam=1.0, dt=0.1, memory=0.4, gradient=0.5, start=start,
        noise=lambda step: zero, dtype=torch.float64,
    )  # fmt: skip
    x, best, lowest = start.clone(), start.clone(), smooth(start)
    for _ in range(3):
        weights = torch.exp(-2 * lowest)
        centre = (weights[..., None] * best).sum(1, keepdim=True) / weights.sum(1)[:, None, None]
        slope = 2 * (x - 0.3) + 0.7 * torch.cos(7 * x)
        x = x - 0.1 * (x - centre) - 0.04 * (x - best) - 0.05 * slope
        better = smooth(x) < lowest
        best = torch.where(better[..., None], x, best)
        lowest = torch.where(better, smooth(x), lowest)
    torch.testing.assert_close(found.particles, x, rtol=1e-12, atol=1e-13)
    assert found.gradients == 3 * 5 + len(found.steps)


def test_hopping_draws_around_the_consensus() -> None:
    found = consensus(sphere(), 20_000, 3, 1, 1, kind="hopping", sigma=0.2, start=1.0, alpha=5.0)
    first, cloud = found.consensus[0, 0], found.particles[0]
    spread = (cloud - first) / 0.2
    assert abs(spread.mean().item()) < 5 / (60_000) ** 0.5
    assert abs(spread.square().mean().item() - 1) < 5 * (2 / 60_000) ** 0.5


@pytest.mark.parametrize(("dim", "kind"), [(1, "anisotropic"), (4, "anisotropic"), (4, "isotropic")])
def test_the_variance_decays_as_the_law_says(dim: int, kind: str) -> None:
    found = consensus(
        sphere(),
        10_000,
        dim,
        8,
        300,
        kind=kind,
        alpha=1e5,
        sigma=0.32,
        start=0.0,
        every=300,
        dtype=torch.float64,
    )
    spread = dim if kind == "isotropic" else 1
    law = -100 * np.log((1 - 0.01) ** 2 + spread * 0.32**2 * 0.01)
    assert -found.variance_theory.log().diff().item() / 3 == pytest.approx(law, rel=1e-12)
    # About the mean of the first variances: a consensus that does move, a little, costs a part of a percent.
    rate = -(found.variance[-1].mean() / found.variance[0].mean()).log().item() / 3
    assert rate == pytest.approx(law, rel=0.01)


def test_equal_particles_stay_still() -> None:
    found = consensus(smooth, 30, 4, 2, 20, start=1.5, spread=0.0)
    torch.testing.assert_close(found.particles, torch.full((2, 30, 4), 1.5), rtol=1e-6, atol=0)
    assert (found.variance[-1] < 1e-12).all()


# ---- success ---------------------------------------------------------------------------------------------


def band(rate: float, known_runs: int, runs: int) -> tuple[float, float]:
    """Successes that a 99 % interval around a measured rate allows: both have their binomial error."""
    low, high = stats.binomtest(round(rate * known_runs), known_runs).proportion_ci(0.995)
    return stats.binom.ppf(0.0025, runs, low), stats.binom.ppf(0.9975, runs, high)


@pytest.mark.parametrize(
    ("kind", "dim", "particles", "rate"),
    [
        ("anisotropic", 2, 10, 0.44),
        ("anisotropic", 4, 100, 0.84),
        ("anisotropic", 4, 30, 0.24),
        ("isotropic", 2, 10, 0.76),
        ("isotropic", 4, 30, 0.33),
    ],
)
def test_success_on_rastrigin_is_as_measured_by_others(
    kind: str, dim: int, particles: int, rate: float
) -> None:
    """Rates over 100 runs of an independent implementation, from N(2, 4), within 0.25 of the minimiser."""
    sigma = 1.5 if kind == "anisotropic" else 1.2 / dim**0.5
    found = consensus(
        rastrigin(2.5), particles, dim, 200, 1000, kind=kind, alpha=1e5, sigma=sigma, start=2.0, spread=2.0
    )
    hits = int((found.consensus[-1].abs().amax(-1) < 0.25).sum())
    low, high = band(rate, 100, 200)
    assert low <= hits <= high, (hits, low, high)


# ---- ends and refusals -----------------------------------------------------------------------------------


def test_runs_end_by_their_own_rule_and_leave_the_others_alone() -> None:
    options = {**SMALL, "runs": 6, "steps": 60, "every": 1}
    free = consensus(sphere(), **options)
    target = float(free.best_energy[-1].median())
    stopped = consensus(sphere(), **options, energy_below=target)
    assert set(stopped.reasons) == {"energy", "steps"}
    for i, reason in enumerate(stopped.reasons):
        end = int(stopped.stopped[i])
        assert torch.equal(stopped.consensus[: end + 1, i], free.consensus[: end + 1, i])
        if reason == "energy":
            assert (free.best_energy[:end, i] > target).all()
            assert stopped.best_energy[end, i] <= target
            assert (stopped.consensus[end:, i] == stopped.consensus[end, i]).all()
        assert stopped.evaluations[i] == (end + 1) * 70


def test_given_noise_goes_to_the_runs_that_are_left() -> None:
    z = torch.randn(61, 6, 70, 5, generator=torch.Generator().manual_seed(0))
    options = {**SMALL, "runs": 6, "steps": 60, "every": 1, "noise": lambda step: z[step]}
    free = consensus(smooth, **options)
    target = float(free.best_energy[-1].median())
    stopped = consensus(smooth, **options, energy_below=target)
    assert set(stopped.reasons) == {"energy", "steps"}
    left = [i for i, reason in enumerate(stopped.reasons) if reason == "steps"]
    assert torch.equal(stopped.consensus[:, left], free.consensus[:, left])


def test_the_spread_ends_a_run() -> None:
    found = consensus(sphere(), 50, 3, 4, 2000, sigma=0.3, spread_below=1e-2, every=10)
    assert found.reasons == ("spread",) * 4
    assert (found.variance[-1].sqrt() < 1e-2).all()


def test_the_dimension_is_asked_for_or_read() -> None:
    options = {"particles": 4, "runs": 2, "steps": 1}
    for objective in (ackley(), smooth):
        with pytest.raises(ValueError, match="say how many variables"):
            consensus(objective, **options)
        with pytest.raises(ValueError, match="say how many variables"):
            consensus(objective, **options, start=1.0)
        assert consensus(objective, **options, dim=3).dim == 3
        assert consensus(objective, **options, start=[0.5] * 5).dim == 5
        assert consensus(objective, **options, start=torch.zeros(4, 6)).dim == 6
    assert consensus(canyon(), **options).dim == 2


@pytest.mark.parametrize(("budget", "steps"), [(10, 0), (49, 0), (50, 1), (410, 10), (10_000, 20)])
def test_a_drift_pays_for_its_gradients(budget, steps) -> None:
    """Counted here are the passes: one evaluation a point, three with a backward pass."""
    spent = []

    def counted(points):
        spent.append(points[..., 0].numel() * (3 if points.requires_grad else 1))
        return points.square().sum(-1)

    found = consensus(counted, 10, 2, 1, 20, gradient=0.1, evaluations=budget, cosine=False, every=100)
    assert found.stopped.tolist() == [steps]
    assert found.evaluations.tolist() == [10 + 40 * steps]
    assert found.spent.tolist()[-1] == 10 + 40 * steps
    assert found.reasons == (("steps" if steps == 20 else "evaluations"),)
    probes = sum(spent) - found.evaluations.item() - found.checks
    spent.clear()
    consensus(counted, 10, 2, 1, 0, gradient=0.1, cosine=False, every=100)
    assert probes == sum(spent) - 11  # what it takes to read the objective, at any budget


def test_a_budget_is_kept() -> None:
    found = consensus(sphere(), 50, 3, 2, 1000, evaluations=1020)
    assert found.reasons == ("evaluations",) * 2
    assert found.evaluations.tolist() == [1000, 1000]


def test_an_objective_without_a_finite_value_ends_the_run() -> None:
    found = consensus(lambda points: points.sum(-1) * torch.nan, 10, 2, 3, 50)
    assert found.reasons == ("no finite energy",) * 3
    assert found.stopped.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "anisotrop"}, "did you mean 'anisotropic'"),
        ({"particles": 0}, "particles=0"),
        ({"sigma": -1.0}, "sigma=-1"),
        ({"alpha": float("nan")}, "alpha=nan"),
        ({"runs": [1, 1]}, "each of them once"),
        ({"box": (1.0, 1.0)}, "empty"),
        ({"start": 0.0, "box": (0.0, 1.0)}, "start and box"),
        ({"start": torch.zeros(3)}, "shape"),
        ({"seed": -1}, "seed=-1"),
        ({"alpha": lambda step: -1.0}, "alpha is -1.0 at step 0"),
    ],
)
def test_what_cannot_be_is_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        consensus(smooth, **{"particles": 5, "dim": 2, "runs": 2, "steps": 3, **options})


def test_a_landscape_of_another_dimension_is_refused() -> None:
    with pytest.raises(ValueError, match="2 variables"):
        consensus(canyon(), dim=3)


def test_the_result_says_what_it_cost() -> None:
    found = consensus(ackley(), runs=3, **SMALL)
    assert found.evaluations.tolist() == [31 * 70] * 3
    assert found.checks == len(found.steps) == 6
    frame = found.frame()
    assert len(frame) == 18
    assert "2170 evaluations a run, 6 more at the consensus, 6 gradients" in found.summary()
    assert found.plot().get_xlabel() == "step"


def test_defaults_do_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        consensus(ackley(), dim=20, runs=2, steps=3)


def test_a_resumed_run_keeps_its_particles_as_before() -> None:
    options = {**SMALL, "runs": 2}
    whole = consensus(ackley(), **options, keep_particles=True)
    half = consensus(ackley(), **{**options, "steps": 14}, keep_particles=True)
    again = consensus(ackley(), resume=half, steps=16, every=7)
    assert torch.equal(again.trajectory, whole.trajectory)
    without = consensus(ackley(), **options)
    with pytest.raises(ValueError, match="has not kept"):
        consensus(ackley(), resume=without, steps=7, keep_particles=True)


def test_a_resumed_run_has_the_same_objective() -> None:
    half = consensus(ackley(), runs=2, **SMALL)
    with pytest.raises(ValueError, match=r"is Rastrigin \(2.5\), but the swarm to resume has Ackley"):
        consensus(rastrigin(), resume=half)
    with pytest.raises(ValueError, match="start was given"):
        consensus(ackley(), resume=half, start=np.zeros(5))


def test_a_start_that_requires_a_gradient_is_a_start() -> None:
    point = torch.ones(2, requires_grad=True)
    assert not consensus(smooth, 5, 2, 2, 2, start=point).particles.requires_grad


@pytest.mark.parametrize(
    "options",
    [
        {"box": (0.0, float("inf"))},
        {"start": 0.0, "spread": float("inf")},
        {"noise": lambda step: torch.zeros(2, 1, 1)},
    ],
)
def test_what_would_spoil_all_particles_is_refused(options) -> None:
    with pytest.raises(ValueError, match=r"endless|finite|noise of step 0 has shape \(2, 1, 1\)"):
        consensus(smooth, 5, 2, 2, 2, **options)


def test_whole_numbers_are_no_dtype_of_particles() -> None:
    with pytest.raises(TypeError, match=r"torch\.int64 is not floating"):
        consensus(smooth, 5, 2, 2, 2, dtype=torch.int64)

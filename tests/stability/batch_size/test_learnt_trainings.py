"""The learner: both ends of the spectrum against dense matrices, and its trainings step by step."""

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.progress import listening
from workbench.random_vectors import generator
from workbench.stability.batch_size import batch_edges, heavy_ball, train_by_lanczos
from workbench.stability.batch_size.batch_edges import _added, _seen

QUICK = {"batch_size": 4, "epochs": 3, "examples": 16, "seeds": 2}


def test_the_ends_are_those_of_the_examples_looked_at(make_problem):
    problem = make_problem()
    found = batch_edges(problem, 4, 48, generator(0))
    values = torch.linalg.eigvalsh(wb.curvature.hessian(problem).dense())
    for value, end, residual in zip(found.values, (values[-1], values[0]), found.residuals, strict=True):
        assert abs(value - end) <= residual + 1e-9
        assert residual < 0.06 * abs(value)
    assert found.cost > 2 * 2


def test_the_correction_is_that_of_single_examples(make_problem, monkeypatch):
    monkeypatch.setitem(
        batch_edges.__globals__, "TOLERANCE", 1e-9
    )  # so that only the noise of the correction is left
    problem = make_problem()
    unit = torch.eye(problem.num_parameters, dtype=torch.float64)
    singles = torch.stack(
        [wb.curvature.hessian(problem.subset(torch.tensor([i])), check=False) @ unit for i in range(48)]
    )
    full = singles.mean(dim=0)
    values, vectors = torch.linalg.eigh(full)
    found = [batch_edges(problem, 6, 48, generator(seed)) for seed in range(12)]
    shifts = np.array([each.corrected - each.values for each in found])
    for place, end in enumerate((-1, 0)):
        v = vectors[:, end]
        moved = (singles - full) @ v
        square = (moved - torch.outer(moved @ v, v)).square().sum(dim=1).mean().item() / 6 * 42 / 47
        assert square < values[end].item() ** 2  # above the threshold
        error = shifts[:, place].std(ddof=1) / 12**0.5
        assert abs(shifts[:, place].mean() - square / values[end].item()) < 4 * error


@pytest.mark.parametrize("spike", [2.0, 1.4, 0.6, 0.1])
def test_ends_move_as_those_of_drawn_matrices_do(spike):
    """Normal symmetric noise with two outliers, above and below the threshold."""
    rng = np.random.default_rng(0)
    size = 500
    noise = rng.standard_normal((size, size)) / (2 * size) ** 0.5
    noisy = noise + noise.T
    ends = np.array([spike, -spike])
    noisy[[0, 1], [0, 1]] += ends
    truth = np.linalg.eigvalsh(noisy)[[-1, 0]]
    squares = np.square(noise + noise.T)[:, 2:].sum(axis=1)[:, None] * np.ones(2)  # of any direction
    corrected, stderr = _seen(ends, np.zeros(2), squares)
    assert corrected == pytest.approx(truth, rel=0.05)
    shifted = [_seen(ends, np.zeros(2), squares + step)[0] for step in (-1e-5, 1e-5)]
    slope = np.abs(shifted[1] - shifted[0]) / 2e-5
    assert stderr == pytest.approx(slope * squares[:, 0].std(ddof=1) / size**0.5, rel=1e-3)


def test_a_positive_smallest_curvature_does_not_rise():
    """Least squares, whose batches are flatter than all the data in their flattest direction."""
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, 6, generator=source).double() * torch.tensor([3, 1, 1, 1, 0.3, 0.1])
    model = torch.nn.Linear(6, 1, bias=False).double()
    problem = wb.Problem(model, torch.nn.MSELoss(), (inputs, torch.ones(60, 1).double()))
    found = batch_edges(problem, 8, 60, generator(0))
    parts = [inputs[torch.randperm(60, generator=source)[:8]] for _ in range(200)]
    drawn = torch.stack([torch.linalg.eigvalsh(2 / 8 * part.T @ part)[[-1, 0]] for part in parts]).numpy()
    error = drawn.std(axis=0) / 200**0.5
    assert drawn[:, 1].mean() < found.values[1]
    assert found.corrected[1] == found.values[1] > 0
    assert found.stderr[1] == 0
    assert abs(found.corrected[0] - drawn[:, 0].mean()) < 4 * np.hypot(error[0], found.stderr[0])


def test_a_smallest_curvature_of_rounding_is_zero():
    values, residuals = np.array([1.2, -3e-14]), np.array([1e-3, 1e-12])
    corrected, _ = _seen(values, residuals, np.full((5, 2), 1e-14))
    assert corrected[1] == values[1]
    corrected, _ = _seen(np.array([1.2, -0.01]), np.array([1e-3, 0.02]), np.full((5, 2), 0.1))
    assert corrected[1] == -0.01  # its sign is not known


def test_the_correction_leaves_out_what_the_examples_add_already():
    """Variances of means: of batches of all, of the examples, and of batches among these, drawn."""
    rng = np.random.default_rng(0)
    population = rng.standard_normal(48)
    draws = np.array([rng.permutation(population)[:24] for _ in range(40_000)])
    batches, parts = draws[:, :6].mean(axis=1), draws.mean(axis=1)
    within = np.square(batches - parts).mean()
    assert _added(6, 24, 48) * within == pytest.approx(batches.var() - parts.var(), rel=0.03)


def test_epochs_are_heavy_ball_with_what_was_learnt(make_problem):
    problem = make_problem()
    before = problem.parameters_vector()
    found = train_by_lanczos(problem, **QUICK)
    assert torch.equal(problem.parameters_vector(), before)
    assert found.rates[0].tolist() == pytest.approx([0.1, 0.1])
    assert found.momenta[0].tolist() == [0.0, 0.0]
    for epoch in (1, 2):
        for run in range(2):
            low, high = np.sort(np.abs(found.edges[epoch, run]))
            asked = heavy_ball(high, low)
            expected = min(asked.rate, 2 * found.rates[epoch - 1, run])
            assert found.rates[epoch, run] == pytest.approx(expected, rel=1e-6)
            assert found.momenta[epoch, run] == pytest.approx(asked.momentum, rel=1e-5)
    assert found.loss[0] == pytest.approx(problem.loss_at())
    assert (found.loss[1] < found.loss[0]).all()
    assert (found.passes[1] == 1).all()
    assert (np.diff(found.passes, axis=0)[1:] > 1 + 2 * 4 * 16 / 48).all()


def test_a_share_of_the_rate_and_no_correction(make_problem):
    whole = train_by_lanczos(make_problem(), **QUICK, growth=100, corrected=False)
    part = train_by_lanczos(make_problem(), **QUICK, growth=100, corrected=False, share=0.1)
    assert part.rates[1] == pytest.approx(0.1 * whole.rates[1], rel=1e-5)
    assert whole.name == "uncorrected"
    assert part.name == "uncorrected, 0.1 of the rate"


def test_a_training_that_explodes_is_lost_and_told(make_problem):
    found = train_by_lanczos(make_problem(), **QUICK, first_rate=1e12)
    assert found.lost.all()
    assert np.array_equal(found.loss[1], found.loss[3])  # it stays where it is
    assert (found.passes[1:] == 1).all()
    assert np.isnan(found.rates[1:]).all()
    assert "2 of 2 lost" in found.summary()
    assert "1 gradients over the data in the mean, 0% for curvature" in found.summary()


@pytest.mark.parametrize("rate", [0.1, 1e200])
def test_the_first_rate_is_as_exact_as_the_weights(make_problem, rate):
    found = train_by_lanczos(make_problem(), **QUICK | {"epochs": 1}, first_rate=rate)
    assert (found.rates == rate).all()


def test_an_explosion_in_the_last_epoch_is_a_loss(make_problem):
    found = train_by_lanczos(make_problem(), **QUICK | {"epochs": 1}, first_rate=1e12)
    assert found.lost.all()
    assert np.isfinite(found.rates).all()  # they ran
    assert "no loss left" in found.summary()


def test_the_share_of_curvature_is_of_what_each_seed_spent(make_problem):
    found = train_by_lanczos(make_problem(), **QUICK)
    rates, passes = found.rates.copy(), found.passes.copy()
    rates[1:, 0] = np.nan  # the first seed is lost after one epoch
    passes[:, 0] = [0, 1, 1, 1]
    share = 1 - (1 + 3) / (1 + passes[-1, 1])
    told = found.replace(rates=rates, passes=passes, lost=np.array([True, False])).summary()
    assert f"{share:.0%} for curvature" in told


def test_weights_that_explode_while_all_units_die_are_a_loss(make_problem):
    """The loss of a dead network is finite, and nothing can be computed near its weights."""
    data = make_problem()._data
    model = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)).double()
    with torch.no_grad():
        model[0].bias.fill_(-1e9)
    found = train_by_lanczos(wb.Problem(model, torch.nn.CrossEntropyLoss(), data), **QUICK)
    assert found.lost.all()
    assert (found.loss < 10).all()


def test_errors_of_a_problem_are_no_lost_trainings(make_problem, monkeypatch):
    def refuse(*_):
        raise ValueError("examples=99")

    monkeypatch.setitem(train_by_lanczos.__globals__, "batch_edges", refuse)
    with pytest.raises(ValueError, match="examples=99"):
        train_by_lanczos(make_problem(), **QUICK)


def test_a_dead_network_is_lost(make_problem):
    problem = make_problem()
    with torch.no_grad():
        for parameter in problem.model.parameters():
            parameter.zero_()
    model = torch.nn.Sequential(problem.model, torch.nn.ReLU()).double()
    with torch.no_grad():
        problem.model[2].bias.fill_(-1.0)
    found = train_by_lanczos(wb.Problem(model, problem.loss, problem._data), **QUICK)
    assert found.lost.all()
    assert np.array_equal(found.loss[0], found.loss[-1])


def test_an_interrupt_keeps_the_epochs_that_are_done(make_problem, tmp_path):
    def stop(description: str, done: int, total: int | None) -> None:
        if "epoch 3" in description:
            raise KeyboardInterrupt

    with listening(stop):
        found = train_by_lanczos(make_problem(), **QUICK)
    assert found.interrupted
    assert found.loss.shape == (3, 2)
    assert found.edges.shape == (2, 2, 2)
    assert "INTERRUPTED" in found.summary()
    assert len(found.frame()) == 4
    assert found.plot().get_xlabel() == "epoch"
    assert wb.load_result(found.save(tmp_path / "trainings")).summary() == found.summary()


def test_what_cannot_be_learnt_is_refused(make_problem):
    problem = make_problem()
    with pytest.raises(ValueError, match="examples=49"):
        train_by_lanczos(problem, examples=49)
    with pytest.raises(ValueError, match="batch_size=9"):
        train_by_lanczos(problem, examples=16, batch_size=9)
    with pytest.raises(ValueError, match="growth="):
        train_by_lanczos(problem, batch_size=4, examples=16, growth=0.5)
    with pytest.raises(ValueError, match="share=0"):
        train_by_lanczos(problem, batch_size=4, examples=16, share=0)

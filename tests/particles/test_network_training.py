"""Training with random batches against its formula, and SGD against torch's."""

import math

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.particles import consensus_point, normals, train_by_consensus, train_by_sgd
from workbench.particles.noise import FIRST_STEP, START


def small() -> wb.Problem:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(12, 2, generator=generator)
    targets = (inputs[:, 0] > 0).long()
    return wb.Problem(nn.Linear(2, 2), nn.CrossEntropyLoss(), [(inputs, targets)])


def losses(problem: wb.Problem, points: torch.Tensor) -> torch.Tensor:
    return torch.tensor([problem.loss_at(theta) for theta in points])


@pytest.mark.parametrize("cooling", [True, False])
def test_two_epochs_are_the_formula(cooling: bool) -> None:
    problem = small()
    found = train_by_consensus(
        problem, epochs=2, particles=6, particle_batch=6, data_batch=12, alpha=3.0, sigma=0.5,
        cooling=cooling, kick_below=0.0, seed=4,
    )  # fmt: skip
    x = normals(4, [0], START, 6, problem.num_parameters)[0]
    for epoch, (alpha, sigma) in enumerate(
        [(3.0, 0.5), (6.0, 0.5 / math.log2(3)) if cooling else (3.0, 0.5)]
    ):
        point, ess = consensus_point(x, losses(problem, x), alpha)
        assert found.loss[epoch + 1] == pytest.approx(problem.loss_at(point), rel=1e-4)
        assert found.ess[epoch + 1] == pytest.approx(float(ess), rel=1e-4)
        z = normals(4, [0], FIRST_STEP + epoch, 6, problem.num_parameters)[0]
        x = x - 0.1 * (x - point) + sigma * math.sqrt(0.1) * (x - point).abs() * z
    assert found.passes.tolist() == [0, 6, 12]
    torch.testing.assert_close(found.parameters, point, rtol=1e-4, atol=1e-5)


def test_particles_that_stand_still_are_kicked() -> None:
    options = {"epochs": 1, "particles": 6, "particle_batch": 3, "data_batch": 6, "seed": 0}
    assert train_by_consensus(small(), kick_below=1e9, **options).kicks == 4
    assert train_by_consensus(small(), kick_below=0.0, **options).kicks == 0


def test_it_learns_and_repeats_itself() -> None:
    problem = small()
    before = problem.parameters_vector().clone()
    one, other = (train_by_consensus(problem, epochs=15, data_batch=4) for _ in range(2))
    assert one.loss[-1] < 0.5 * one.loss[0]
    assert torch.equal(one.parameters, other.parameters)
    assert torch.equal(problem.parameters_vector(), before)
    assert "1500 forward passes" in one.summary()
    assert one.plot().get_ylabel() == "loss"
    assert len(one.frame()) == 16


def test_sgd_is_that_of_torch_for_its_price() -> None:
    problem = small()
    found = train_by_sgd(problem, passes=31.0, rate=0.2, data_batch=12)
    model = nn.Linear(2, 2)
    nn.utils.vector_to_parameters(problem.parameters_vector(), model.parameters())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    ((inputs, targets), _) = next(problem.batches())
    for _ in range(10):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    expected = nn.utils.parameters_to_vector(model.parameters()).detach()
    torch.testing.assert_close(found.parameters, expected, rtol=1e-5, atol=1e-6)
    assert found.passes[-1] == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"particle_batch": 7}, "particles=100"),
        ({"alpha": 0.0}, "alpha=0"),
        ({"data_batch": 0}, "data_batch=0"),
        ({"epochs": 0}, "epochs=0"),
    ],
)
def test_what_cannot_be_is_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        train_by_consensus(small(), **options)


def test_particles_without_a_finite_loss_stay_where_they_are() -> None:
    found = train_by_consensus(small(), epochs=2, particles=4, particle_batch=2, spread=1e38)
    start = normals(0, [0], START, 4, small().num_parameters)[0] * 1e38
    assert torch.equal(found.parameters, start.mean(0))
    assert (found.ess[1:] == 0).all()


def test_cooling_goes_on_beyond_the_largest_number() -> None:
    found = train_by_consensus(small(), epochs=1026, particles=2, particle_batch=2, data_batch=12)
    assert len(found.loss) == 1027
    assert math.isfinite(found.loss[-1])

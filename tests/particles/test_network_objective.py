"""The loss of many networks at once against one at a time."""

import torch

import workbench as wb
from workbench.particles import consensus, network_objective
from workbench.particles.objectives import gradients


def test_losses_and_gradients_are_those_of_the_problem() -> None:
    problem = wb.load_problem("digits-mlp", epochs=1, width=4).to(dtype=torch.float64)
    objective = network_objective(problem, together=4)
    around = 0.1 * torch.randn(2, 3, problem.num_parameters, dtype=torch.float64)
    points = problem.parameters_vector() + around
    losses, slopes = objective(points), gradients(objective, points)
    for i, j in ((0, 0), (1, 2)):
        torch.testing.assert_close(losses[i, j].item(), problem.loss_at(points[i, j]), rtol=1e-12, atol=0)
        torch.testing.assert_close(slopes[i, j], problem.gradient(points[i, j]), rtol=1e-9, atol=1e-12)


def test_a_swarm_of_networks_lowers_the_loss_without_a_warning(recwarn) -> None:
    problem = wb.load_problem("digits-mlp", epochs=0, width=4)
    found = consensus(
        network_objective(problem), 40, problem.num_parameters, 1, 20, kind="hopping", alpha=1000.0,
        sigma=0.05, start=problem.parameters_vector(), spread=0.05,
    )  # fmt: skip
    assert found.energy[-1, 0] < found.energy[0, 0]
    assert found.objective == "loss of digits-mlp"
    assert not [warning for warning in recwarn if "point at a time" in str(warning.message)]

"""Steps with one quantity held: its value, and the closed form on a sum of squares."""

import pytest
import torch

from workbench.particles import sphere, step_comparison
from workbench.particles.experiments import step_regime

FEW = {"step_particles": 500, "repeats": 2}


@pytest.mark.parametrize(
    ("held", "taus"), [("tau", [0.5, 0.5]), ("width", [0.5, 5.0]), ("alpha tau", [0.25, 0.025])]
)
def test_what_is_held_stays(held, taus):
    at = {"tau": 0.5, "width": 0.5, "alpha tau": 0.5}[held]
    found = step_regime(sphere(), [1.0, 0.5], [2.0, 20.0], held=held, held_at=at, **FEW)
    torch.testing.assert_close(found.taus, torch.tensor(taus, dtype=torch.float64))
    torch.testing.assert_close(found.alphas * found.widths.square(), found.taus)


def test_alpha_tau_joins_single_comparisons():
    found = step_regime(sphere(), [1.0, 0.5], [2.0, 20.0], held="alpha tau", held_at=0.3, seed=5, **FEW)
    for place, alpha in enumerate((2.0, 20.0)):
        alone = step_comparison(
            sphere(), [1.0, 0.5], [alpha], tau=0.3 / alpha, particles=500, repeats=2, seed=5
        )
        assert torch.equal(found.steps[place], alone.steps[0])
        assert torch.equal(found.ess[place], alone.ess[0])


def test_along_it_the_step_becomes_the_gradients_and_the_sample_size_stays():
    found = step_regime(
        sphere(), [1.0, 0.5], [1.0, 1e3, 1e6], held="alpha tau", held_at=0.1, step_particles=20_000
    )
    # Of the sum of squares the step of infinitely many particles is −τ∇f / (1 + 2τ).
    exact = -found.taus[:, None] * found.gradient / (1 + 2 * found.taus[:, None])
    error = (found.steps.mean(1) - exact).norm(dim=-1) / exact.norm(dim=-1)
    assert error.max() < 0.02
    assert found.cosine_gradient[-1].min() > 0.999
    share = found.ess[1:].mean(1) / 20_000
    expected = torch.exp(-0.1 * found.gradient.square().sum())
    torch.testing.assert_close(share, expected.expand(2), rtol=0.05, atol=0)


def test_other_names_are_refused():
    with pytest.raises(ValueError, match="held"):
        step_regime(sphere(), [1.0], [1.0], held="sigma")

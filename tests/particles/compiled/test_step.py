"""The kernels against the plain PyTorch steps in float64, and against themselves in other batches."""

import numpy as np
import pytest
import torch
from scipy import special

from workbench.kernels.consensus_steps import KINDS
from workbench.particles import ackley, rastrigin, rosenbrock, sphere
from workbench.particles.compiled import functions
from workbench.particles.compiled.compilation import kernel
from workbench.particles.compiled.engine import CompiledEngine, MovingEngine
from workbench.particles.dynamics import Law, State, TorchEngine

LANDSCAPES = [sphere(), ackley(), rastrigin(2.5), rastrigin(10, per_dimension=True), rosenbrock()]


@kernel()
def fill(x: np.ndarray, exponentials: np.ndarray, cosines: np.ndarray) -> None:
    for i in range(len(x)):
        exponentials[i] = functions.exp(x[i])
        cosines[i] = functions.cos_turns(x[i])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponential_and_cosine_are_right_to_a_few_roundings(dtype: type) -> None:
    x = np.concatenate([np.linspace(-86, 20, 100_001), [0.0, 0.25, 0.5]]).astype(dtype)
    exponentials, cosines = np.empty_like(x), np.empty_like(x)
    fill(x, exponentials, cosines)
    wide = x.astype(np.longdouble)
    rounding = np.finfo(dtype).eps
    assert np.abs(exponentials / np.exp(wide) - 1).max() < 3 * rounding
    truth = special.cosdg(360 * (wide - np.rint(wide)).astype(np.float64))
    assert np.abs(cosines - truth).max() < 6 * rounding
    assert exponentials[-3] == 1


def test_what_underflows_is_zero() -> None:
    x = np.array([-87.5, -1e30, -np.inf], np.float32)
    exponentials, cosines = np.empty_like(x), np.empty_like(x)
    fill(x, exponentials, cosines)
    assert (exponentials == 0).all()


def started(landscape, dtype, runs=2, particles=100, dim=20):
    draws = torch.rand(runs, particles, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return State.at((4 * draws - 2).to(dtype), tuple(range(runs)), False)


@pytest.mark.parametrize("landscape", LANDSCAPES, ids=lambda landscape: landscape.name)
@pytest.mark.parametrize("shape", [(2, 100, 20), (1, 65, 3), (1, 5, 1500)])
def test_energies_are_those_of_the_landscape(landscape, shape) -> None:
    engine = CompiledEngine(landscape, Law("anisotropic", 1.0, 0.01), 0)
    for dtype, rtol in ((torch.float64, 1e-13), (torch.float32, 3e-6)):
        x = started(landscape, dtype, *shape).positions
        exact = landscape(x.double())
        torch.testing.assert_close(engine.evaluate(x).double(), exact, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("landscape", LANDSCAPES, ids=lambda landscape: landscape.name)
@pytest.mark.parametrize("shape", [(2, 100, 20), (1, 65, 3), (1, 5, 1500)])
def test_steps_are_those_of_plain_pytorch(landscape, kind, shape) -> None:
    law = Law(kind, 1.0, 0.01)
    steps = 2 if kind == "hopping" else 10  # a hop multiplies a rounding by alpha times the slope
    alphas = [3.0 * 1.1**k for k in range(steps)]
    sigmas = [0.5 * 0.9**k for k in range(steps)]
    ends = []
    for kind_of_engine in (TorchEngine, CompiledEngine, MovingEngine):
        engine = kind_of_engine(landscape, law, 7)
        state = started(landscape, torch.float64, *shape)
        state = state.see(engine.evaluate(state.positions))
        ends.append(engine.advance(state, alphas, sigmas))
    plain = ends[0]
    # Weights of energies as large as Rosenbrock's magnify a rounding by alpha times the energy.
    rtol = 1e-12 * max(1.0, 1e-2 * float(plain.energy.abs().max()))
    for compiled in ends[1:]:
        assert compiled.step == plain.step == steps
        for name in ("positions", "energy", "best", "best_energy"):
            torch.testing.assert_close(getattr(compiled, name), getattr(plain, name), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("alpha", [0.0, 2.0, 1e5, float("inf")])
def test_the_consensus_is_that_of_plain_pytorch(alpha: float) -> None:
    landscape, law = ackley(), Law("anisotropic", 1.0, 0.01)
    compiled, plain = CompiledEngine(landscape, law, 0), TorchEngine(landscape, law, 0)
    state = started(landscape, torch.float64, 3, 200, 6)
    state = state.see(plain.evaluate(state.positions))
    found, expected = compiled.consensus(state, alpha), plain.consensus(state, alpha)
    torch.testing.assert_close(found.point, expected.point, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(found.ess, expected.ess, rtol=1e-12, atol=0)
    if alpha == float("inf"):
        assert torch.equal(found.point, state.positions[torch.arange(3), state.energy.argmin(1)])


def test_blocks_on_several_threads_have_the_bits_of_a_run_on_one() -> None:
    engine = CompiledEngine(ackley(), Law("isotropic", 1.0, 0.01), 3)
    state = started(ackley(), torch.float32, 1, 1001, 60)  # large enough to be handed out block by block
    state = state.see(engine.evaluate(state.positions))
    ends = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        ends.append(engine.advance(state, [10.0, 20.0, 30.0], [0.5, 0.4, 0.3]))
    assert all(
        torch.equal(part, getattr(ends[1], name))
        for name, part in ends[0].tensors().items()
        if part is not None
    )


def test_energies_that_are_not_finite_have_no_weight() -> None:
    law = Law("anisotropic", 1.0, 0.01)
    state = started(sphere(), torch.float64, 2, 100, 3)
    state = state.see(TorchEngine(sphere(), law, 0).evaluate(state.positions))
    state.energy[0, [3, 70, 99]] = torch.tensor([torch.nan, torch.inf, -torch.inf], dtype=torch.float64)
    found = CompiledEngine(sphere(), law, 0).consensus(state, 2.0)
    expected = TorchEngine(sphere(), law, 0).consensus(state, 2.0)
    torch.testing.assert_close(found.point, expected.point, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(found.ess, expected.ess, rtol=1e-12, atol=0)


def test_a_run_without_a_finite_energy_stays_where_it_is() -> None:
    engine = CompiledEngine(sphere(), Law("anisotropic", 1.0, 0.01), 0)
    state = started(sphere(), torch.float32)
    state.energy[0] = torch.nan
    state.energy[1] = 1.0
    moved = engine.advance(state, [1.0], [0.5])
    assert torch.equal(moved.positions[0], state.positions[0])
    assert not torch.equal(moved.positions[1], state.positions[1])


def test_the_state_before_is_left_as_it_was() -> None:
    engine = CompiledEngine(ackley(), Law("isotropic", 1.0, 0.01), 0)
    state = started(ackley(), torch.float32)
    state = state.see(engine.evaluate(state.positions))
    before = {name: part.clone() for name, part in state.tensors().items() if part is not None}
    engine.advance(state, [1.0] * 3, [0.5] * 3)
    assert all(torch.equal(part, getattr(state, name)) for name, part in before.items())

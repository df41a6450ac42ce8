"""Consensus and moves against their formulas in float64; the same bits whatever the blocks and the batch."""

import ast
import inspect

import pytest
import torch
from kernel_accuracy import assert_near, tolerance
from kernel_compilation import TARGETS, Compilation, check
from torch import Tensor

from workbench.kernels import consensus_mean, consensus_move
from workbench.kernels import consensus_steps as module
from workbench.kernels.consensus_steps import (
    KINDS,
    combine_kernel,
    move_by_pytorch,
    move_kernel,
    norm_kernel,
    share_kernel,
)
from workbench.kernels.counter_normals import counter_normals
from workbench.particles import ackley
from workbench.particles.compiled.engine import CompiledEngine
from workbench.particles.dynamics import Law, State, TorchEngine

SHAPES = [(1, 1, 1), (2, 31, 3), (2, 70, 7), (1, 3, 1030)]
DTYPES = [torch.float32, torch.bfloat16]
KEY = {"seed": 2**63 + 12345, "step": 7}


def swarm(shape: tuple[int, int, int], dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Positions, and energies that leave weights of many sizes."""
    generator = torch.Generator().manual_seed(0)
    x, energy = (torch.randn(size, generator=generator) for size in (shape, shape[:2]))
    return (x + 1).to(dtype), (100 + energy).to(dtype)


def exact_mean(x: Tensor, energy: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """The formula in float64, written out."""
    weights = torch.softmax(-alpha * energy.double(), -1)
    return (weights[..., None] * x.double()).sum(-2), 1 / weights.square().sum(-1)


def exact_move(x: Tensor, point: Tensor, z: Tensor, kind: str, drift: float, scale: float) -> Tensor:
    """The same of the move."""
    x, centre, z = x.double(), point.double()[:, None], z.double()
    way = x - centre
    return {
        "anisotropic": x - drift * way + scale * way.abs() * z,
        "isotropic": x - drift * way + scale * way.square().sum(-1, keepdim=True).sqrt() * z,
        "hopping": centre + scale * z,
    }[kind]


@pytest.mark.parametrize("alpha", [0.0, 3.0])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_consensus_is_the_formula(shape, dtype: torch.dtype, alpha: float) -> None:
    given = swarm(shape, dtype)
    found = consensus_mean(*given, alpha)
    for name, ours, truth in zip(("point", "ess"), found, exact_mean(*given, alpha), strict=True):
        assert ours.dtype == torch.float32  # whatever the positions are
        assert_near(name, ours, truth, tolerance(torch.float32))


def test_leading_axes_do_not_matter() -> None:
    x, energy = swarm((6, 33, 4))
    point, ess = consensus_mean(x.view(2, 3, 33, 4), energy.view(2, 3, 33), 2.0)
    flat = consensus_mean(x, energy, 2.0)
    assert torch.equal(point.view(6, 4), flat[0])
    assert torch.equal(ess.view(6), flat[1])


@pytest.mark.parametrize("alpha", [1e30, float("inf")])
def test_steep_weights_take_the_best_particle_bit_for_bit(alpha: float) -> None:
    x, energy = swarm((2, 130, 5))
    point, ess = consensus_mean(x, energy, alpha)
    assert torch.equal(point, x[torch.arange(2), energy.argmin(1)])
    assert (ess == 1).all()


def test_energies_that_are_not_finite_have_no_weight() -> None:
    x, energy = swarm((2, 70, 3))
    energy[0, 1], energy[0, 2], energy[0, 69], energy[1] = torch.nan, -torch.inf, torch.inf, torch.nan
    x[0, 1] = torch.nan
    point, ess = consensus_mean(x, energy, 3.0)
    kept = torch.ones(70, dtype=torch.bool)
    kept[[1, 2, 69]] = False
    truth = exact_mean(x[:1, kept], energy[:1, kept], 3.0)
    assert_near("point", point[:1], truth[0], 5e-7)
    assert_near("ess", ess[:1], truth[1], 5e-7)
    assert point[1].isnan().all()
    assert ess[1] == 0
    assert consensus_move(
        x, point, ess, [0, 1], kind="hopping", drift=0.1, scale=1.0, **KEY
    )[1].equal(x[1])  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_move_is_the_formula(shape, dtype: torch.dtype, kind: str) -> None:
    x, energy = swarm(shape, dtype)
    before, runs = x.clone(), [5, 2**31 + 3, 0][: len(x)]
    point, ess = consensus_mean(x, energy, 3.0)
    moved = consensus_move(x, point, ess, runs, kind=kind, drift=0.01, scale=0.16, **KEY)
    z = counter_normals(KEY["seed"], runs, KEY["step"], *shape[1:])
    assert moved.dtype == dtype
    assert torch.equal(x, before)
    assert_near("moved", moved, exact_move(x, point, z, kind, 0.01, 0.16), tolerance(dtype))


@pytest.mark.parametrize("step", [1, 16, 123])  # numbers that triton compiles for, and others
def test_the_noise_of_a_kernel_has_the_bits_of_the_generator(step: int) -> None:
    x, point, ess = torch.zeros(2, 100, 7), torch.zeros(2, 7), torch.ones(2)
    law = {"kind": "hopping", "drift": 0.0, "scale": 1.0}
    for seed in (0, 1, 2**64 - 1):
        moved = consensus_move(x, point, ess, [1, 2**32 - 1], seed=seed, step=step, **law)
        assert torch.equal(moved, counter_normals(seed, [1, 2**32 - 1], step, 100, 7))


@pytest.mark.parametrize("kind", ["anisotropic", "hopping"])  # the norm of the third kind rounds otherwise
def test_a_move_has_the_bits_of_pytorch_around_the_same_point(kind: str) -> None:
    x, energy = swarm((2, 100, 7))
    point, ess = consensus_mean(x, energy, 3.0)
    moved = consensus_move(x, point, ess, [0, 1], kind=kind, drift=0.01, scale=0.16, **KEY)
    z = counter_normals(KEY["seed"], [0, 1], KEY["step"], 100, 7)
    assert torch.equal(moved, move_by_pytorch(x, point, ess, z, kind, 0.01, 0.16))


def step(x: Tensor, energy: Tensor, runs: list[int]) -> list[Tensor]:
    point, ess = consensus_mean(x, energy, 3.0)
    law = {"drift": 0.01, "scale": 0.16, **KEY}
    return [point, ess, *(consensus_move(x, point, ess, runs, kind=kind, **law) for kind in KINDS)]


def test_a_run_has_the_same_bits_whatever_the_batch() -> None:
    x, energy = swarm((3, 66, 9))
    whole, alone = step(x, energy, [0, 1, 2]), step(x[1:2], energy[1:2], [1])
    assert all(torch.equal(one[0], each[1]) for one, each in zip(alone, whole, strict=True))


def test_a_run_has_the_same_bits_whatever_the_blocks(monkeypatch) -> None:
    x, energy = swarm((1, 66, 20))
    whole = step(x, energy, [4])
    for columns, tile in ((8, 256), (64, 2048)):
        monkeypatch.setattr(module, "_COLUMNS", columns)
        monkeypatch.setattr(module, "_TILE", tile)
        assert all(torch.equal(one, each) for one, each in zip(step(x, energy, [4]), whole, strict=True))


def test_no_sum_is_left_to_a_reduction() -> None:
    """A tile's layout, which differs with the block on a device, would give it its order."""
    called = {ast.unparse(node.func) for node in ast.walk(ast.parse(inspect.getsource(module)))
              if isinstance(node, ast.Call)}  # fmt: skip
    assert not called & {"tl.sum", "tl.cumsum", "tl.reduce", "tl.dot"}
    assert "tl.min" in called  # which has no order


@pytest.mark.parametrize(("kind", "memory"), [*((kind, None) for kind in KINDS), ("anisotropic", 0.5)])
def test_a_swarm_moves_as_it_does_by_compiled_steps(kind: str, memory: float | None) -> None:
    """This process's path against those of the CPU: the same noise, so the same swarm to rounding."""
    law, landscape = Law(kind, 1.0, 0.01, memory), ackley()
    x = swarm((2, 70, 5))[0]
    ends = []
    for dtype in (torch.float32, torch.float64):
        engine = (CompiledEngine if memory is None and dtype == torch.float64 else TorchEngine)(
            landscape, law, 7
        )
        state = State.at(x.to(dtype), (0, 4), memory is not None)
        state = state.see(engine.evaluate(state.positions))
        steps = 1 if kind == "hopping" else 3  # a hop multiplies a rounding by alpha times the slope
        ends.append(engine.advance(state, [3.0] * steps, [0.5] * steps))
    # Each step's roundings, and what the weights make of those of the energies.
    assert_near("positions", ends[0].positions, ends[1].positions, 5 * 5e-7)


@pytest.mark.interpreted
def test_a_swarm_takes_the_kernels(monkeypatch) -> None:
    launched = []
    for name in ("_launch_mean", "_launch_move"):
        launch = getattr(module, name)
        monkeypatch.setattr(
            module, name, lambda *given, of=launch, name=name: launched.append(name) or of(*given)
        )
    engine = TorchEngine(ackley(), Law("anisotropic", 1.0, 0.01), 7)
    state = State.at(swarm((2, 10, 5))[0], (0, 1), False)
    state = state.see(engine.evaluate(state.positions))
    engine.advance(state, [3.0], [0.5])
    assert launched == ["_launch_mean", "_launch_move"]
    given = TorchEngine(ackley(), Law("anisotropic", 1.0, 0.01), 7, (0, 1), lambda _: torch.zeros(2, 10, 5))
    given.advance(state, [3.0], [0.5])
    assert launched == ["_launch_mean", "_launch_move", "_launch_mean"]


def test_a_gradient_goes_through_pytorch() -> None:
    x, energy = (each.double().requires_grad_() for each in swarm((1, 5, 2)))
    assert torch.autograd.gradcheck(lambda *given: consensus_mean(*given, 2.0), (x, energy))
    x, energy = (each.requires_grad_() for each in swarm((1, 5, 2)))
    assert torch.autograd.grad(consensus_mean(x, energy, 2.0)[0].sum(), x)[0].abs().sum() > 0


def test_float64_stays() -> None:
    x, energy = (each.double() for each in swarm((2, 20, 3)))
    for found, truth in zip(consensus_mean(x, energy, 2.0), exact_mean(x, energy, 2.0), strict=True):
        torch.testing.assert_close(found, truth, rtol=1e-12, atol=0)


def test_what_does_not_fit_is_refused() -> None:
    x, energy = swarm((2, 5, 3))
    point, ess = consensus_mean(x, energy, 1.0)
    law = {"drift": 0.0, "scale": 1.0, **KEY}
    with pytest.raises(ValueError, match=r"positions have shape \(2, 5, 3\) and energy \(2, 4\)"):
        consensus_mean(x, energy[:, 1:], 1.0)
    with pytest.raises(ValueError, match="with a particle"):
        consensus_mean(x[:, :0], energy[:, :0], 1.0)
    with pytest.raises(ValueError, match="did you mean 'hopping'"):
        consensus_move(x, point, ess, [0, 1], kind="hoping", **law)
    with pytest.raises(ValueError, match="there are 1 runs"):
        consensus_move(x, point, ess, [0], kind="hopping", **law)


# ---- ahead of time ------------------------------------------------------------------------------------

ARRAYS = ("energy_ptr", "shares_ptr", "stats_ptr", "point_ptr", "ess_ptr", "norms_ptr")
SIZES = dict.fromkeys(("particles", "dim", "slices", "strips", "tiles", "rows", "low", "high", "step"), "i32")
NUMBERS = dict.fromkeys(("alpha", "drift", "scale"), "fp32")


def compilation(name: str, columns: int, kind: str = "fp32") -> Compilation:
    """One of the kernels with its launcher's constants, for positions of a type."""
    warps = module._warps(columns)
    of, constants = {
        "share": (share_kernel, {"COLUMNS": columns}),
        "combine": (combine_kernel, {"COLUMNS": columns}),
        "norm": (norm_kernel, {"ROWS": 16}),
    }.get(name, (move_kernel, {"ROWS": 1024 // columns, "COLUMNS": columns}))
    if of is move_kernel:
        constants["KIND"] = name
    every = dict.fromkeys(ARRAYS, "*fp32") | SIZES | NUMBERS
    every |= {"positions_ptr": f"*{kind}", "moved_ptr": f"*{kind}", "runs_ptr": "*i32"}
    types = {each: every[each] for each in of.jitted.arg_names if each in every}
    warps = warps if of in (share_kernel, combine_kernel) else 4
    return Compilation(f"{name} {columns} {kind}", of, types, constants, warps=warps, fused=False)


@pytest.mark.compiled
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("name", "columns", "kind"),
    [
        *((name, *size) for name in ("share", "anisotropic")
          for size in ((128, "fp32"), (1024, "fp32"), (1024, "bf16"))),
        *((name, 1024, "fp32") for name in ("combine", "norm", "isotropic", "hopping")),
    ],
)  # fmt: skip
def test_compiles_within_the_gates(name: str, columns: int, kind: str, target: str) -> None:
    check("consensus_steps", compilation(name, columns, kind), target)


@pytest.mark.compiled
@pytest.mark.parametrize("target", ["sm_80", "sm_90"])
def test_no_product_is_fused_with_a_sum(target: str) -> None:
    """The noise would lose the bits that it has on the CPU."""
    fused = Compilation(**{**vars(compilation("hopping", 1024)), "fused": True})
    for case, expected in ((compilation("hopping", 1024), False), (fused, True)):
        assert ("fma.rn.f32" in case.compile(TARGETS[target]).asm["ptx"]) == expected

"""``consensus``: minimise a function by swarms of particles, many runs at once."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.choices import check_choice, check_count, check_number
from workbench.kernels.consensus_steps import KINDS
from workbench.particles.dynamics import Engine, Law, State, TorchEngine
from workbench.particles.landscapes import Landscape
from workbench.particles.objectives import Objective, Read, read_objective
from workbench.particles.records import Recorder, Records, StopRules, records_of
from workbench.particles.schedules import (
    Values,
    check_values,
    pack_values,
    unpack_values,
    value_at,
)
from workbench.particles.starts import Start, begin, read_runs
from workbench.particles.swarm import Swarm
from workbench.progress import progress

_FIXED = ("kind", "alpha", "sigma", "lam", "dt", "memory", "gradient", "seed")  # a resumed run keeps these
_SHAPE = ("particles", "dim", "runs", "start", "spread", "box", "dtype")  # and has these already


def consensus(
    objective: Objective,
    particles: int = 200,
    dim: int | None = None,
    runs: int | Sequence[int] = 64,
    steps: int = 1000,
    *,
    kind: str = "anisotropic",
    alpha: Values = 100.0,
    sigma: Values = 1.6,
    lam: float = 1.0,
    dt: float = 0.01,
    memory: float | None = None,
    gradient: float = 0.0,
    start: Start = None,
    spread: float = 1.0,
    box: tuple[float, float] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    every: int | None = None,
    keep_particles: bool = False,
    cosine: bool = True,
    proximal: bool = False,
    spread_below: float = 0.0,
    energy_below: float | None = None,
    evaluations: int | None = None,
    noise: Callable[[int], Tensor] | None = None,
    resume: Swarm | None = None,
) -> Swarm:
    r"""Minimise by consensus-based optimisation or consensus hopping.

    A run is the same bit for bit whatever other runs are beside it, on any number of threads, and whether it
    was interrupted and resumed; what an objective of your own rounds differently in larger batches or on more
    threads is its own. Cosines may differ in the last digits in more than 32768 dimensions, where PyTorch
    sums on several threads.

    Parameters
    ----------
    objective : Landscape or callable
        Of points (..., dim), a tensor; returns energies (...), a tensor: ``points[..., 0]`` is the first
        variable of all of them. A function of one point (dim,) is taken with a warning that tells its cost.
        On the CPU moves are compiled, and so are whole steps on this package's landscapes; on a GPU they are
        kernels, with the same noise. Memory, a gradient drift and other devices go through PyTorch.
    particles : int
        Of a run.
    dim : int, optional
        Variables of the objective; by default those of a start that is a point or particles, or those that
        the landscape is defined in alone.
    runs : int or sequence of int
        How many runs, numbered from 0, or their numbers.
    steps : int
        Steps to do (from where it stands, for a resumed swarm).
    kind : str
        "anisotropic" or "isotropic" noise, or "hopping" (all particles are drawn anew around the consensus).
    alpha : float or function of the step
        Steepness of the weights, e.g. a :class:`Schedule`; inf takes the best particle.
    sigma : float or function of the step
        Noise; for hopping, the width. This and the other defaults of the law are those of the paper's first
        figure, in two dimensions. In many, anisotropic noise takes more (5 finds Ackley's and Rastrigin's
        minimisers in 20 at ``alpha=1e4``), isotropic noise less: around a consensus that stands still it
        spreads beyond :math:`\sqrt{2\lambda / dim}`.
    lam, dt : float
        Pull to the consensus and time of a step; hopping has neither.
    memory : float, optional
        Pull to the best position that each particle has seen, of which the consensus is then made.
    gradient : float
        Rate of a gradient drift, one gradient a particle and step.
    start : number, Tensor (dim,), (particles, dim) or (runs, particles, dim), optional
        Where particles start: all of the last two as they are, else normal about it with deviation
        ``spread``. By default uniform in the landscape's box, or normal about 0.
    spread : float
        See ``start``.
    box : (float, float), optional
        Start uniform between these bounds instead.
    seed : int
        Of the noise, from 0 to 2^64 - 1.
    dtype, device : torch.dtype, torch.device
        Of the particles.
    every : int, optional
        Steps between records, at which also the stop rules are asked; default a hundredth of the steps.
    keep_particles : bool
        Keep all particles at each record.
    cosine : bool
        Compare the consensus with the gradient at each record, if autograd has one (one gradient a run).
    proximal : bool
        Compare it with the proximal step, too (some tens of gradients a run and record).
    spread_below : float
        A run ends when the root mean square distance of its particles from the consensus is below this.
    energy_below : float, optional
        A run ends when a particle's energy has been this low.
    evaluations : int, optional
        Budget a run: no step that exceeds it is done. The gradient of a drift counts as 3.
    noise : callable, optional
        ``noise(step)`` returns the normals (runs, particles, dim) of a step in place of the generator's.
    resume : Swarm, optional
        Continue this one, on the same objective: its law, seed, runs and particles hold, and whether these
        are kept at each record; a given function of the step has to be given again.

    Returns
    -------
    Swarm
        An interrupt (Ctrl-C) returns the records so far.

    Raises
    ------
    ValueError
        If an argument is out of range, the start does not fit, or a resumed swarm has another setting.
    TypeError
        If an argument is of a wrong kind.

    Notes
    -----
    Cost: ``particles`` evaluations a run at the start and at each step (and as many gradients with a drift,
    each of which counts as 3); one more at each record. Beside
    them, uncounted, a few in all to see what kind of function the objective is.
    Sources: see :mod:`workbench.particles.dynamics`.
    """
    given = dict(locals())
    settings = {name: given[name] for name in _FIXED} if resume is None else _resumed_settings(resume, given)
    law, alphas, sigmas = _read_law(settings)
    check_count("steps", steps, low=0)
    every = max(1, steps // 100) if every is None else every
    check_count("every", every)
    if resume is not None:
        records, state = records_of(resume, device)
    else:
        numbers = read_runs(runs)
        check_count("particles", particles)
        dim = _read_dim(dim, objective, start)
        box = objective.box if box is None and start is None and isinstance(objective, Landscape) else box
        records = Records()
        positions = begin(numbers, particles, dim, start, spread, box, settings["seed"], dtype, device)
        state = State.at(positions, numbers, law.memory is not None)
    read = read_objective(
        objective, state.positions, len(state.runs) * state.positions.shape[1] * (steps + 1)
    )
    if law.gradient and not read.differentiable:
        raise ValueError(f"gradient={law.gradient}, but {read.name} has no gradient by autograd")
    if resume is not None:
        if read.name != resume.objective:
            raise ValueError(f"the objective is {read.name}, but the swarm to resume has {resume.objective}")
        if keep_particles and resume.trajectory is None:
            raise ValueError("keep_particles=True, but the swarm to resume has not kept its own so far")
        keep_particles = resume.trajectory is not None
    engine = _engine(objective, read, law, settings["seed"], state, noise)
    if resume is None:
        state = state.see(engine.evaluate(state.positions))
    end, last_reason = _last_step(state, steps, evaluations, law.step_cost)
    recorder = Recorder(engine, read, law, alphas, keep_particles, cosine, proximal)
    stop = StopRules(spread_below, energy_below)
    interrupted = False
    try:
        with progress(f"consensus on {read.name}", end - state.step) as advance:
            if not records.entries:
                records = records.add(recorder.record(state), stop)
            while records.live and state.step < end:
                count = min(every - state.step % every, end - state.step)
                steps_now = range(state.step, state.step + count)
                strengths = [value_at("sigma", sigmas, k) for k in steps_now]
                moved = engine.advance(
                    state.take(records.live), [value_at("alpha", alphas, k) for k in steps_now], strengths
                )
                following = state.put(records.live, moved)
                # Both or neither: an interrupt between them would leave a state without its record.
                records, state = records.add(recorder.record(following, strengths), stop), following
                advance(count)
    except KeyboardInterrupt:
        if not records.entries:
            raise
        interrupted = True
    return records.swarm(
        state,
        name=read.name,
        settings={**settings, "alpha": pack_values(alphas), "sigma": pack_values(sigmas)},
        ending="interrupted" if interrupted else last_reason,
        law=law,
    )


def _read_dim(dim: int | None, objective: Objective, start: Start) -> int:
    """The number of variables: as given, else that of the start, else the landscape's only one."""
    if dim is None and start is not None and torch.as_tensor(start).ndim:
        return torch.as_tensor(start).shape[-1]
    if dim is None and isinstance(objective, Landscape):
        dim = objective.dim
    if dim is None:
        raise ValueError("dim is not given: say how many variables the objective has, e.g. dim=20")
    check_count("dim", dim)
    return dim


def _read_law(settings: dict[str, Any]) -> tuple[Law, Values, Values]:
    check_choice("kind", settings["kind"], KINDS)
    for name in ("alpha", "sigma"):
        check_values(name, settings[name])
    for name in ("lam", "dt", "gradient", "memory"):
        if not (name == "memory" and settings[name] is None):
            check_number(name, settings[name], low=0)
    check_count("seed", settings["seed"], 0, 2**64 - 1)
    law = Law(*(settings[name] for name in ("kind", "lam", "dt", "memory", "gradient")))
    return law, settings["alpha"], settings["sigma"]


def _engine(
    objective: Objective,
    read: Read,
    law: Law,
    seed: int,
    state: State,
    noise: Callable[[int], Tensor] | None,
) -> Engine:
    positions = state.positions
    plain = law.memory is None and not law.gradient and noise is None
    if not plain or positions.device.type != "cpu" or positions.dtype not in (torch.float32, torch.float64):
        return TorchEngine(read.function, law, seed, state.runs, noise)
    from workbench.particles.compiled.engine import CompiledEngine, MovingEngine

    if isinstance(objective, Landscape) and objective.code is not None:
        return CompiledEngine(objective, law, seed)
    return MovingEngine(read.function, law, seed)


def _last_step(state: State, steps: int, evaluations: int | None, step_cost: int) -> tuple[int, str]:
    """The step to end at, and why; a step costs so many evaluations of each particle."""
    end = state.step + steps
    if evaluations is None:
        return end, "steps"
    check_count("evaluations", evaluations, low=state.positions.shape[1])
    affordable = (evaluations // state.positions.shape[1] - 1) // step_cost
    return (end, "steps") if end <= affordable else (max(affordable, state.step), "evaluations")


def _resumed_settings(resume: Swarm, given: dict[str, Any]) -> dict[str, Any]:
    """The settings of the swarm to resume; what was given beside it must be the default or the same."""
    defaults = {
        name: parameter.default for name, parameter in inspect.signature(consensus).parameters.items()
    }
    for name in _SHAPE:
        simple = isinstance(given[name], type(defaults[name]) | int | float | tuple)
        if not simple or given[name] != defaults[name]:
            raise ValueError(f"{name} was given, but a resumed swarm has its own: leave it out")
    settings = {name: unpack_values(resume.settings[name]) for name in _FIXED}
    for name in _FIXED:
        value, kept = given[name], resume.settings[name]
        if settings[name] is None and kept is not None:  # a function of the step, which no file can hold
            if not callable(value):
                raise ValueError(f"{name} of the swarm to resume was {kept}: give it again")
            settings[name] = value
        elif value != defaults[name] and value != settings[name]:
            raise ValueError(
                f"{name}={value!r}, but the swarm to resume has {name}={settings[name]!r}: leave it out"
            )
    return settings

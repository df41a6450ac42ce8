"""``analyze``: one call that tells how a training problem stands."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch.optim import Optimizer

from workbench.checkpoints import Checkpoint
from workbench.choices import check_choice
from workbench.overview.budget import (
    VECTORS,
    Budget,
    Prices,
    measured_prices,
    nominal_prices,
    read_budget,
    seconds_of_gradient,
    seconds_of_step,
    seconds_of_vector,
)
from workbench.overview.overview_result import Overview
from workbench.overview.planning import Level, choose_levels, least
from workbench.overview.section import Section
from workbench.overview.sections import (
    curvature_section,
    gradient_section,
    loss_section,
    model_section,
    saliency_section,
    step_section,
)
from workbench.overview.setting import Setting, make_setting
from workbench.overview.watch import Watch
from workbench.problem import Problem
from workbench.progress import progress
from workbench.random_vectors import generator


class _Kind(NamedTuple):
    """A section: its class, what depths it offers, and the function that measures it."""

    section: type[Section]
    offer: Callable[[Setting], list[Level]]
    measure: Callable[..., Section]


_KINDS = (  # the most informative first: the order of the plan, and of the page
    _Kind(model_section.ModelSection, model_section.offer, model_section.measure),
    _Kind(gradient_section.GradientSection, gradient_section.offer, gradient_section.measure),
    _Kind(curvature_section.CurvatureSection, curvature_section.offer, curvature_section.measure),
    _Kind(step_section.StepSection, step_section.offer, step_section.measure),
    _Kind(loss_section.LossSection, loss_section.offer, loss_section.measure),
    _Kind(saliency_section.SaliencySection, saliency_section.offer, saliency_section.measure),
)
SECTIONS = {kind.section.key: kind for kind in _KINDS}
_LEAST = 64  # examples that a budget of time cuts the data down to, at least
_PLANNED = 0.8  # of a budget of time: pictures and surprises take the rest
_GRACE = 5.0  # seconds more, for what a first call takes
_SLACK = 2.0  # times its planned time that a section may take at least, if the others have theirs


def analyze(
    problem: Problem,
    optimizer: str | Optimizer | Callable[..., Optimizer] | None = None,
    checkpoints: Iterable[Checkpoint] | Mapping[Any, Checkpoint] | None = None,
    budget: str | float = "1min",
    *,
    learning_rate: float | None = None,
    batch_size: int = 32,
    held_out: Any = None,
    sections: Iterable[str] | None = None,
    seed: int = 0,
) -> Overview:
    """Tell how a training problem stands: model, gradient, curvature, learning rates, loss, reasons.

    Parameters
    ----------
    problem : Problem
        Any; what does not apply to it is left out, with the reason. Its model is not changed.
    optimizer : Optimizer, {"sgd", "momentum", "adam"} or callable, optional
        Today's optimizer of the model, with its state and learning rate; or a name, or a function
        ``(parameters, rate)`` that makes one. By default ``"sgd"``.
    checkpoints : sequence of checkpoints or mapping of labels to them, optional
        Of the training, in its order; by default the problem's own.
    budget : str or number
        A time such as ``"1min"`` or ``"10min"``, or a number of gradients over the data. A number gives the
        same overview on every machine.
    learning_rate : float, optional
        Today's, if the optimizer is no ``Optimizer``.
    batch_size : int
        Of the training.
    held_out : batches or (inputs, targets), optional
        Data that the model was not trained on, like those of the problem.
    sections : iterable of str, optional
        Only these of ``"model"``, ``"gradient"``, ``"curvature"``, ``"step"``, ``"loss"`` and ``"saliency"``.
    seed : int
        Of all that is drawn.

    Returns
    -------
    Overview
        An interrupt (Ctrl-C) returns the sections that are done.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or the optimizer is not of this problem.

    Notes
    -----
    Cost: within the budget. What each section costs is known beforehand in gradients over the data; every
    section gets its cheapest form first, the most informative ones before the others, then what is left goes
    into deeper ones in the same order; what a section does not use is planned anew for the next. Sections
    that do not fit are named, with what they would have cost. A budget of time is turned into gradients by
    timing one; sections that take much longer than planned, and than their share of the time left, are
    stopped, with what they have. Time that is left at the end, where they took less, goes into measuring
    some of them anew and deeper. Where even the cheapest forms do not fit into the time, all is measured on
    a random part of the examples, and the overview says so.
    """
    started = time.monotonic()
    asked = read_budget(budget)
    kinds = _chosen(sections)
    if checkpoints is not None:
        problem = problem.with_checkpoints(checkpoints)
    whole = problem
    problem = _fitting(problem, asked, kinds.values(), batch_size, seed)
    setting = make_setting(problem, optimizer, learning_rate, batch_size, held_out, seed)
    prices = _prices(setting, asked)
    allowed = _left(asked, prices, spent=0.0, started=time.monotonic())
    offers = {key: kind.offer(setting) for key, kind in kinds.items()}
    waiting = dict(offers)
    done: dict[str, Section] = {}
    taken: dict[str, Level] = {}
    spent = 0.0
    interrupted = False
    with progress(f"overview of {problem.name}", len(waiting)) as advance:
        while not interrupted:
            left = _left(asked, prices, spent, started)
            chosen, missing = choose_levels(waiting, prices, left)
            if not chosen:
                break
            key, level = next(iter(chosen.items()))  # the others are planned anew with what is left then
            others = [
                other if other.bare else least(waiting[each]) for each, other in chosen.items() if each != key
            ]
            most = left - sum(other.cost.at(prices) for other in others)
            with Watch(key, _ends(started, asked, level, others, prices), advance) as watch:
                known = _known(key, done, most, least(waiting[key]).cost.at(prices))
                done[key] = SECTIONS[key].measure(setting, watch, **level.settings, **known)
                interrupted = watch.stopped
            taken[key] = level
            spent += done[key].gradients
            del waiting[key]
            advance(1)
        while not interrupted:
            found = _deeper(done, taken, offers, prices, _seconds_left(asked, started))
            if found is None:
                break
            key, level, seconds = found
            ends = min(time.monotonic() + _SLACK * seconds + _GRACE, started + asked.seconds)
            with Watch(key, ends, advance) as watch:
                known = _known(key, done, _left(asked, prices, spent, started), math.nan)
                section = SECTIONS[key].measure(setting, watch, **level.settings, **known)
                interrupted = watch.stopped
            spent += section.gradients
            # What is there stays if the deeper one fails, and nothing as deep is tried again.
            if section.interrupted or len(section.left_out) > len(done[key].left_out):
                offers[key] = offers[key][: offers[key].index(level)]
            else:
                done[key], taken[key] = section, level
    return Overview(
        problem=problem.name,
        sections={key: done[key] for key in kinds if key in done},
        missing=tuple(
            f"{SECTIONS[key].section.title}: {price:.3g} gradients at least" for key, price in missing.items()
        ),
        budget=str(asked),
        allowed=allowed,
        gradients=spent,
        seconds=time.monotonic() - started,
        gradient_seconds=prices.seconds,
        examples=problem.num_examples,
        of_examples=whole.num_examples,
        interrupted=interrupted,
    )


def _chosen(sections: Iterable[str] | None) -> dict[str, _Kind]:
    """The kinds of sections by these names, in the order of the page; by default all."""
    if sections is None:
        return SECTIONS
    if not isinstance(sections, Iterable):
        raise TypeError(f"sections is a {type(sections).__name__}: pass names, such as ('curvature', 'loss')")
    names = [sections] if isinstance(sections, str) else list(sections)
    for name in names:
        check_choice("sections", name, list(SECTIONS))
    if not names:
        raise ValueError("sections= names none: leave it out for all of them")
    return {key: kind for key, kind in SECTIONS.items() if key in names}


def _left(budget: Budget, prices: Prices, spent: float, started: float) -> float:
    """Gradients that can still be spent; a little less of a budget of time, for pictures and surprises."""
    if math.isinf(budget.seconds):
        return budget.gradients - spent
    return _seconds_left(budget, started) / prices.seconds


def _seconds_left(budget: Budget, started: float) -> float:
    """Time that may still be planned; none of a budget of gradients, whose prices are exact."""
    if math.isinf(budget.seconds):
        return 0.0
    return _PLANNED * (budget.seconds - (time.monotonic() - started))


def _deeper(
    sections: Mapping[str, Section],
    taken: Mapping[str, Level],
    offers: Mapping[str, list[Level]],
    prices: Prices,
    seconds: float,
) -> tuple[str, Level, float] | None:
    """The deepest level that time is left for, of the first section that has one, and how long it takes.

    What a section took before tells that better than prices do, unless that was a bare level; bare ones come
    before all others, and what did not even end at its own depth is not tried deeper.
    """
    whole = [key for key in taken if not sections[key].interrupted]
    for key in sorted(whole, key=lambda key: not taken[key].bare):
        level = taken[key]
        before = level.cost.at(prices)
        unit = prices.seconds if level.bare or not before else sections[key].seconds / before
        for deeper in reversed(offers[key][offers[key].index(level) + 1 :]):
            price = unit * deeper.cost.at(prices)
            if price <= seconds:
                return key, deeper, price
    return None


def _prices(setting: Setting, budget: Budget) -> Prices:
    if math.isinf(budget.seconds):
        return nominal_prices(setting.problem, setting.batch_size)
    return measured_prices(setting.problem, setting.batch_size)


def _fitting(problem: Problem, budget: Budget, kinds: Iterable[_Kind], batch_size: int, seed: int) -> Problem:
    """The problem on so many random examples that the cheapest form of each section fits into the time."""
    if math.isinf(budget.seconds) or not problem.can_split or problem.num_examples <= _LEAST:
        return problem
    setting = make_setting(problem, None, None, batch_size, None, seed)
    costs = [least(kind.offer(setting)).cost for kind in kinds]
    gradient, step = seconds_of_gradient(problem), seconds_of_step(problem, batch_size)
    vector, time_left = seconds_of_vector(problem), _PLANNED * budget.seconds
    # What steps and vectors take does not fall with the examples: what takes too long by that is not counted.
    fixed = [cost.steps * step + (VECTORS * cost.products + cost.vectors) * vector for cost in costs]
    kept = [(cost, always) for cost, always in zip(costs, fixed, strict=True) if always < time_left]
    passes = sum(dataclasses.replace(cost, steps=0.0).at(nominal_prices(problem, 1)) for cost, _ in kept)
    if not passes:  # all take too long, whatever the examples
        return problem
    most = max(time_left - sum(always for _, always in kept), 0.1 * time_left) / (passes * gradient)
    if most >= 1:
        return problem
    count = max(int(problem.num_examples * most), min(_LEAST, problem.num_examples))
    chosen = torch.randperm(problem.num_examples, generator=generator(seed))[:count]
    others = {name: value for name, value in problem.metrics.items() if not name.startswith("train")}
    return problem.subset(chosen.sort().values).with_metrics(others)


def _ends(started: float, budget: Budget, level: Level, others: Iterable[Level], prices: Prices) -> float:
    """When a section must stop, on the clock of ``time.monotonic``: the cheapest others keep their time.

    Where all take longer than planned, each has its share of what is left.
    """
    if math.isinf(budget.seconds):
        return math.inf
    now, end = time.monotonic(), started + budget.seconds
    planned = level.cost.at(prices) * prices.seconds
    kept = sum(other.cost.at(prices) for other in others) * prices.seconds
    share = planned / (planned + kept) if planned else 0.0
    return min(now + max(_SLACK * planned + _GRACE, share * (end - now)), end - kept)


def _known(key: str, sections: Mapping[str, Section], most: float, price: float) -> dict[str, Any]:
    """What a section takes from those before it, and from the budget."""
    if key != "step":
        return {}
    top = getattr(sections.get("curvature"), "top", None)
    sharpness = None if top is None else (top.values[0].item(), top.residuals[0].item())
    return {"sharpness": sharpness, "most": most, "price": price}

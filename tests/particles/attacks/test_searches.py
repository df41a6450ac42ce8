"""The direct search: what it ends at, what attacks change and what they do not, and what everything costs."""

import dataclasses
import math

import pytest
import torch

from workbench.particles.attacks import Surrogate, direct_search, planted_maximiser
from workbench.particles.attacks.trial_points import spanning_set
from workbench.progress import listening
from workbench.random_vectors import generator


def same_path(one, other) -> bool:
    fields = ("values", "violations", "delta", "evaluations", "opportunistic", "passes")
    return torch.equal(one.points, other.points) and all(
        (getattr(one, name) == getattr(other, name)).all() for name in fields
    )


def disc(start=(0.0, 0.0), **changes):
    """Maximise x + y on the unit disc: at (1, 1) / sqrt(2), where the constraint binds."""
    return Surrogate(
        name="disc",
        network=lambda x: x,
        goal=lambda y: y.sum(-1),
        constraints=lambda y: y.square().sum(-1, keepdim=True) - 1,
        start=torch.tensor(start, dtype=torch.float64),
        **changes,
    )


class TestAttacksHelp:
    @pytest.mark.parametrize("attack", ["l2", "fgsm"])
    def test_they_reach_a_planted_maximum_in_fewer_evaluations(self, attack) -> None:
        planted = planted_maximiser(20, condition=10)
        needed = {}
        for kind in (None, attack):
            found = direct_search(planted, kind, evaluations=40_000, smallest=1e-5)
            there = found.values > -1e-6
            assert there.any()
            needed[kind] = {
                count: found.cost(count)[there.argmax()] for count in ("batched", "opportunistic")
            }
        for count in ("batched", "opportunistic"):
            assert needed[attack][count] < 0.5 * needed[None][count]


class TestUselessAttacksDoNoHarm:
    @pytest.mark.parametrize("attack", ["l2", "fgsm", "pgd"])
    def test_without_a_gradient_the_path_is_that_of_the_direct_search(self, attack) -> None:
        flat = planted_maximiser(6, bits=12)
        alone = direct_search(flat, None, evaluations=100_000)
        hybrid = direct_search(flat, attack, evaluations=100_000)
        assert alone.reason == hybrid.reason == "delta"
        assert same_path(alone, hybrid)
        assert hybrid.blind == len(hybrid.stages) - 1
        assert alone.gradients[-1] == 0

    @pytest.mark.parametrize("attack", ["l2", "fgsm", "pgd"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_an_attack_that_never_succeeds_leaves_the_path(self, attack, dtype) -> None:
        smooth = planted_maximiser(20, condition=10)

        def goal(outputs):  # same value, gradient of the wrong sign: attacks go down
            value = smooth.goal(outputs.double()).to(dtype)
            return value.detach() * 2 - value

        wrong = dataclasses.replace(smooth, goal=goal, start=smooth.start.to(dtype),
                                    network=lambda x: smooth.network(x.double()).to(dtype))  # fmt: skip
        budget = 4000
        alone = direct_search(wrong, None, evaluations=budget)
        hybrid = direct_search(wrong, attack, evaluations=budget)
        assert "attack" not in hybrid.stages
        assert hybrid.evaluations[-1] > alone.evaluations[len(hybrid.stages) - 1]  # it was made, and paid for
        steps = len(hybrid.stages) - 1  # all but the last, which the budget may cut
        assert steps > 20
        assert torch.equal(hybrid.points[:steps], alone.points[:steps])
        assert (hybrid.delta[:steps] == alone.delta[:steps]).all()
        assert hybrid.stages[:steps] == alone.stages[:steps]


class TestTheEnd:
    @pytest.mark.parametrize("attack", [None, "l2", "fgsm"])
    def test_no_poll_point_is_better_and_the_distance_is_small(self, attack) -> None:
        found = direct_search(planted_maximiser(5), attack, evaluations=50_000, smallest=1e-4, seed=3)
        assert found.reason == "delta"
        assert found.delta[-1] < 1e-4
        assert found.stages[-1] == "failure"
        failed_at = 2 * found.delta[-1]
        assert found.poll_gain <= 1e-4 * failed_at**2
        draws = generator(17)  # polls that the search has not seen
        smooth = planted_maximiser(5)
        for _ in range(20):
            around = found.point + failed_at * spanning_set(5, draws)
            assert smooth.evaluate(around).goal.max() <= found.value + failed_at**2

    def test_distances_double_and_halve_by_the_stage(self) -> None:
        found = direct_search(planted_maximiser(6), "l2", evaluations=5000)
        factor = {"failure": 0.5, "cut": 1, "search": 2, "poll": 2, "attack": 1, "covering": 1}
        ratios = found.delta[1:] / found.delta[:-1]
        assert {"failure", "search", "poll", "attack"} <= set(found.stages)
        for stage, ratio in zip(found.stages[1:], ratios, strict=True):
            assert ratio == factor[stage]

    def test_successes_rise_by_the_required_increase(self) -> None:
        found = direct_search(planted_maximiser(6), "fgsm", evaluations=5000, forcing=0.01)
        rise = found.values[1:] - found.values[:-1]
        success = [stage not in ("failure", "cut") for stage in found.stages[1:]]
        assert (rise[success] > 0.01 * found.delta[:-1][success] ** 2).all()
        assert (rise[[not each for each in success]] == 0).all()

    def test_covering_leaves_a_local_maximum_that_a_poll_cannot(self) -> None:
        def goal(y):  # a hill at 0, and a narrow higher one at (1, 1) that polls of size 1/4 do not see
            near = -y.square().sum(-1)
            return torch.maximum(near, 1 - 40 * (y - 1).square().sum(-1))

        hills = Surrogate("hills", lambda x: x, goal, torch.zeros(2, dtype=torch.float64))
        stuck = direct_search(hills, None, covering=0, evaluations=3000)
        free = direct_search(hills, None, covering=50, reach=2.0, evaluations=3000)
        assert stuck.value == 0
        assert free.value > 1 - 1e-6


class TestConstraints:
    @pytest.mark.parametrize("barrier", ["extreme", "progressive"])
    @pytest.mark.parametrize("attack", [None, "l2", "fgsm", "pgd"])
    @pytest.mark.parametrize("choose", ["first", "best"])
    def test_a_feasible_start_ends_feasible_near_the_maximum(self, barrier, attack, choose) -> None:
        found = direct_search(disc(), attack, barrier=barrier, choose=choose, evaluations=20_000)
        assert found.feasible
        assert (found.violations == 0).all()  # at no time infeasible
        assert math.sqrt(2) - 0.02 < found.value <= math.sqrt(2)

    @pytest.mark.parametrize("attack", [None, "l2"])
    def test_an_infeasible_start_comes_back(self, attack) -> None:
        found = direct_search(disc((5.0, -3.0)), attack, barrier="progressive", evaluations=20_000)
        assert found.feasible
        assert math.sqrt(2) - 0.02 < found.value <= math.sqrt(2)
        first = int((found.violations == 0).argmax())
        assert (found.violations[first:] == 0).all()
        assert (found.violations[:first][1:] <= found.violations[:first][:-1]).all()

    def test_no_feasible_point_is_said(self) -> None:
        never = dataclasses.replace(
            disc((2.0, 0.0)), constraints=lambda y: y.square().sum(-1, keepdim=True) + 1
        )
        found = direct_search(never, None, barrier="progressive", evaluations=2000)
        assert not found.feasible
        assert "INFEASIBLE, violation 1" in found.summary()

    def test_an_extreme_barrier_needs_a_feasible_start(self) -> None:
        with pytest.raises(ValueError, match="barrier='progressive'"):
            direct_search(disc((5.0, 0.0)))

    def test_every_point_is_in_the_box(self) -> None:
        seen = []

        def network(x):
            seen.append(x.detach())
            return x

        side = torch.full((2,), 0.5, dtype=torch.float64)
        boxed = dataclasses.replace(disc(lower=-side, upper=side), network=network)
        found = direct_search(boxed, "fgsm", evaluations=300)
        assert torch.cat(seen).abs().max() <= 0.5
        torch.testing.assert_close(found.point, side)


class TestCosts:
    def test_counts_are_those_of_the_calls(self) -> None:
        rows, smooth = [], planted_maximiser(4)

        def network(x):
            rows.append((len(x), torch.is_grad_enabled()))
            return smooth.network(x)

        counted = dataclasses.replace(smooth, network=network)
        rows.clear()
        found = direct_search(counted, "l2", evaluations=600)
        passes = [n for n, grad in rows if not grad]
        assert len(passes) == found.passes[-1]
        assert set(passes) == {1, 2 + 1 + 8}  # the start, then one pass a step, of the same shape
        assert sum(n for n, grad in rows if grad) == found.gradients[-1]
        assert found.evaluations[-1] <= sum(passes)
        assert (found.opportunistic <= found.evaluations).all()
        assert found.cost()[-1] <= 600

    @pytest.mark.parametrize("count", ["batched", "opportunistic"])
    @pytest.mark.parametrize("attack", [None, "fgsm", "pgd"])
    def test_the_budget_holds_in_its_count(self, count, attack) -> None:
        found = direct_search(planted_maximiser(10), attack, count=count, evaluations=777)
        assert found.reason == "evaluations"
        assert found.cost(count)[-1] == 777

    def test_one_point_at_a_time_stops_at_the_first_success(self) -> None:
        line = Surrogate("line", lambda x: x, lambda y: y[:, 0], torch.zeros(3, dtype=torch.float64))
        found = direct_search(line, "l2", evaluations=50)
        assert found.stages[1] == "attack"
        assert found.opportunistic[1] == 2  # the start and the attack
        assert found.evaluations[1] == 1 + 1 + 1 + 6  # all but the search, which has no last success yet


def test_the_best_of_a_step_is_at_least_the_first() -> None:
    planted = planted_maximiser(8)
    first, best = (direct_search(planted, None, choose=c, evaluations=20) for c in ("first", "best"))
    assert best.values[1] >= first.values[1]
    assert best.opportunistic[-1] == best.evaluations[-1]


def test_a_seed_is_a_path() -> None:
    planted = planted_maximiser(6)
    one, again, other = (direct_search(planted, "pgd", evaluations=1000, seed=s) for s in (1, 1, 2))
    assert same_path(one, again)
    assert not torch.equal(one.points[:10], other.points[:10])


def test_an_interrupt_returns_the_path_so_far() -> None:
    def stop(description, done, total):
        if done > 200:
            raise KeyboardInterrupt

    with listening(stop):
        found = direct_search(planted_maximiser(6), evaluations=100_000)
    assert found.interrupted
    assert found.reason == "interrupted"
    assert 200 < found.cost()[-1] < 400
    assert found.feasible


@pytest.mark.parametrize(
    "options",
    [{"attack": "l3"}, {"barrier": "soft"}, {"count": "all"}, {"choose": "last"}, {"evaluations": 0},
     {"delta": 0.0}, {"smallest": math.nan}, {"forcing": 0.0}, {"reach": -1.0}, {"covering": -1}],
)  # fmt: skip
def test_what_cannot_be_is_refused(options) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=name):
        direct_search(planted_maximiser(3), **options)


def test_a_start_without_a_value_is_refused() -> None:
    nowhere = Surrogate("nan", lambda x: x, lambda y: y.sum(-1) / 0, torch.zeros(2))
    with pytest.raises(ValueError, match="not finite at the start"):
        direct_search(nowhere)

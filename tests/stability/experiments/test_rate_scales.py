"""Learning rates by several rules, each against its own function or brute force."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.progress import listening
from workbench.stability.experiments import RateScales, rate_scales
from workbench.stability.experiments.networks import build_network, digits
from workbench.stability.updates import length


@pytest.fixture(scope="module")
def found() -> RateScales:
    return rate_scales("linear", seeds=(0, 1))


def rate(found: RateScales, rule: str, run: int = 0) -> float:
    return float(found.rate[run, found.rules.index(rule)])


def test_a_rate_of_a_radius_makes_a_step_of_that_length(found: RateScales) -> None:
    model = build_network("linear", 0).eval()
    problem = wb.Problem(model, nn.CrossEntropyLoss(), digits(0).train)
    gradient = problem.gradient()
    for kind in ("spread", "majority", "exact"):
        radius = wb.stability.taylor_radius(problem, "gradient", kind).radius
        optimizer = torch.optim.SGD(model.parameters(), lr=rate(found, kind))
        step = wb.stability.update_vector(problem, optimizer)
        assert length([step]) == pytest.approx(radius, rel=1e-4)
    assert rate(found, "polyak") == pytest.approx(problem.loss_at() / float(gradient @ gradient), rel=1e-5)


def test_rates_of_curvature_are_those_of_the_dense_hessian(found: RateScales) -> None:
    model = build_network("linear", 0).double().eval()
    inputs, targets = digits(0).train
    problem = wb.Problem(model, nn.CrossEntropyLoss(), (inputs.double(), targets))
    dense = wb.curvature.hessian(problem).dense()
    unit = problem.gradient() / problem.gradient().norm()
    assert rate(found, "sharpness") == pytest.approx(2 / torch.linalg.eigvalsh(dense)[-1].item(), rel=1e-4)
    assert rate(found, "curvature") == pytest.approx(2 / float(unit @ dense @ unit), rel=1e-4)


def test_the_order_is_that_of_theory(found: RateScales) -> None:
    for run in range(2):
        assert rate(found, "sharpness", run) <= rate(found, "curvature", run)
        assert rate(found, "spread", run) <= rate(found, "majority", run) <= rate(found, "exact", run)
        assert rate(found, "suggested", run) < rate(found, "ended", run)


def test_means_are_geometric_and_a_rule_without_a_rate_is_left_out(found: RateScales) -> None:
    broken = found.rate.copy()
    broken[0, 0] = np.nan
    table = found.replace(rate=broken).by_rule().set_index("rule")
    assert table.loc["suggested", "rate"] == pytest.approx(found.rate[1, 0])
    assert table.loc["suggested", "seeds"] == 1
    assert table.loc["exact", "rate"] == pytest.approx(np.sqrt(found.rate[0, -1] * found.rate[1, -1]))


def test_an_interrupt_keeps_what_is_done(tmp_path: Path) -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if description.startswith("learning rates") and done == 1:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = rate_scales("linear", seeds=(0, 1))
    assert (found.interrupted, len(found.seed)) == (True, 1)
    assert "INTERRUPTED" in found.summary()
    again = wb.load_result(found.save(tmp_path / "rates.npz"))
    assert again.frame().equals(found.frame())
    found.plot()


@pytest.mark.parametrize(
    ("keywords", "message"),
    [({"network": "mpl"}, "did you mean 'mlp'"), ({"seeds": ()}, "number of seeds=0 is out of range")],
)
def test_bad_arguments_are_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rate_scales(**keywords)

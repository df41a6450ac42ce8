"""Targets and maps are read once and refused in one line."""

import numpy as np
import pytest
import torch
from evidence_cases import images, linear
from torch import Tensor, nn

from workbench.saliency.evidence.questions import (
    check_maps,
    constant_maps,
    fixed_targets,
    make_maps,
    ordered_curves,
)


def test_targets_may_be_none_one_number_or_one_each() -> None:
    model, x = linear(), images(4)
    assert fixed_targets(model, x, None).tolist() == model(x).argmax(1).tolist()
    assert fixed_targets(model, x, 2).tolist() == [2, 2, 2, 2]
    assert fixed_targets(model, x, [0, 1, 2, 0]).tolist() == [0, 1, 2, 0]
    assert fixed_targets(model, x, torch.tensor([0, 1, 2, 0])).dtype == torch.long


@pytest.mark.parametrize(
    ("targets", "words"),
    [(3, "classes are 0 to 2"), (torch.zeros(3, dtype=torch.long), "4 inputs"),
     (torch.zeros(4, 2, dtype=torch.long), "one class for each input")],
)  # fmt: skip
def test_other_targets_are_refused(targets: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fixed_targets(linear(), images(4), targets)


def test_other_inputs_and_models_are_refused() -> None:
    with pytest.raises(ValueError, match="must be \\(N, C, H, W\\)"):
        fixed_targets(linear(), images(4)[0], None)
    with pytest.raises(ValueError, match="train mode"):
        fixed_targets(nn.Sequential(nn.BatchNorm2d(2), linear()).double(), images(4), None)
    with pytest.raises(ValueError, match="not logits"):
        fixed_targets(nn.Identity(), images(4), 0)


def test_maps_come_in_batches_and_must_fit() -> None:
    seen: list[int] = []

    def ramp(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(len(inputs))
        return (inputs[:, 0] * targets[:, None, None]).requires_grad_()

    x, classes = images(5), torch.arange(5)
    maps = make_maps(ramp, linear(), x, classes, rows=2)
    torch.testing.assert_close(maps, x[:, 0] * classes[:, None, None])
    assert not maps.requires_grad
    assert seen == [2, 2, 1]
    with pytest.raises(ValueError, match="not \\(2, 6, 5\\) as the inputs"):
        make_maps(lambda m, i, t: i, linear(), x, classes, rows=2)


def test_a_map_is_constant_up_to_rounding_or_if_it_is_not_finite() -> None:
    maps = torch.ones(6, 3, 3)
    maps[1, 0, 0] += 1e-6  # some roundings of float32
    maps[2, 0, 0] += 1e-3
    maps[3] = torch.tensor([[-1.0], [0.0], [1.0]])
    maps[4, 0, 0] = torch.inf
    maps[5] = 0
    assert constant_maps(maps).tolist() == [True, True, False, False, True, True]


def test_a_constant_map_has_no_curve() -> None:
    maps = torch.stack([torch.arange(4.0).reshape(2, 2), torch.ones(2, 2), torch.zeros(2, 2)])
    curves = torch.arange(6, dtype=torch.float64).reshape(2, 3)  # of the first two, as after an interrupt
    found = ordered_curves(curves, maps)
    assert found[0].tolist() == [0, 1, 2]
    assert np.isnan(found[1]).all()


def test_arrays_are_refused_in_one_line() -> None:
    with pytest.raises(TypeError, match="inputs is a ndarray"):
        fixed_targets(nn.Identity(), torch.zeros(2, 3).numpy(), None)
    with pytest.raises(TypeError, match="maps is a ndarray"):
        check_maps(torch.zeros(2, 3, 3).numpy(), torch.zeros(2, 1, 3, 3))

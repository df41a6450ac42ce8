"""Inputs without evidence."""

import pytest
import torch
from scipy.ndimage import gaussian_filter

from workbench.saliency.baselines import baseline_inputs, blurred


def images() -> torch.Tensor:
    return torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0)).double()


def test_words() -> None:
    inputs = images()
    assert torch.equal(baseline_inputs(inputs, "zero"), torch.zeros_like(inputs))
    mean = baseline_inputs(inputs, "mean")
    assert mean.shape == inputs.shape
    torch.testing.assert_close(mean[1, 2], torch.full((20, 30), float(inputs[1, 2].mean())).double())
    torch.testing.assert_close(baseline_inputs(inputs, "blur"), blurred(inputs, 2.0))


def test_a_blurred_point_is_a_gaussian_and_a_constant_stays() -> None:
    point = torch.zeros(1, 1, 31, 31).double()
    point[0, 0, 15, 15] = 1
    found = blurred(point, 1.5)[0, 0]
    assert float(found.sum()) == pytest.approx(1)
    assert float(found[15, 18] / found[15, 15]) == pytest.approx(torch.exp(torch.tensor(-2.0)).item())
    torch.testing.assert_close(found, found.T)
    constant = torch.full((1, 2, 9, 7), 3.0).double()
    torch.testing.assert_close(blurred(constant, 4.0), constant)


def test_the_blur_is_scipys() -> None:
    inputs = torch.rand(2, 3, 40, 30, generator=torch.Generator().manual_seed(1)).double()
    expected = gaussian_filter(inputs.numpy(), (0, 0, 3.0, 3.0), mode="nearest", truncate=3)
    torch.testing.assert_close(
        baseline_inputs(inputs, "blur"), torch.from_numpy(expected), rtol=0, atol=1e-12
    )


def test_a_tensor_broadcasts_and_takes_the_precision_of_the_inputs() -> None:
    found = baseline_inputs(images(), torch.ones(3, 1, 1))
    assert found.shape == images().shape
    assert found.dtype == torch.float64


def test_refusals() -> None:
    with pytest.raises(ValueError, match=r"baseline has shape \(4,\), which does not broadcast"):
        baseline_inputs(images(), torch.ones(4))
    with pytest.raises(ValueError, match="did you mean 'blur'"):
        baseline_inputs(images(), "blurr")
    with pytest.raises(ValueError, match="is for images"):
        baseline_inputs(torch.ones(2, 3), "mean")
    with pytest.raises(TypeError, match="baseline is a int"):
        baseline_inputs(images(), 0)

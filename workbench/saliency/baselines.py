"""What an input looks like without its evidence: zeros, its mean, its blur, or what is given."""

import torch
import torch.nn.functional as F
from torch import Tensor

from workbench.choices import check_choice

BASELINES = ("zero", "mean", "blur")


def baseline_inputs(inputs: Tensor, baseline: str | Tensor) -> Tensor:
    """Inputs to start from, of the shape of the inputs.

    Parameters
    ----------
    inputs : Tensor (N, ...)
    baseline : {"zero", "mean", "blur"} or Tensor
        Zeros; the mean of each channel in that image; a Gaussian blur, whose standard deviation is a tenth of
        the shorter side; or a tensor that broadcasts to the inputs.

    Raises
    ------
    ValueError
        If the word is unknown, a tensor does not broadcast, or ``"mean"`` or ``"blur"`` get no images.
    TypeError
        If it is neither a word nor a tensor.
    """
    if isinstance(baseline, Tensor):
        try:
            return baseline.to(inputs).expand_as(inputs)
        except RuntimeError:
            raise ValueError(
                f"baseline has shape {tuple(baseline.shape)}, which does not broadcast to the inputs "
                f"{tuple(inputs.shape)}"
            ) from None
    if not isinstance(baseline, str):
        raise TypeError(f"baseline is a {type(baseline).__name__}: pass one of {BASELINES} or a tensor")
    check_choice("baseline", baseline, BASELINES)
    if baseline == "zero":
        return torch.zeros_like(inputs)
    if inputs.dim() != 4:
        raise ValueError(f"baseline={baseline!r} is for images (N, C, H, W), not {tuple(inputs.shape)}")
    if baseline == "mean":
        return inputs.mean((2, 3), keepdim=True).expand_as(inputs)
    return blurred(inputs, min(inputs.shape[2:]) / 10)


def blurred(images: Tensor, width: float) -> Tensor:
    """Gaussian blur of this standard deviation in pixels, cut off at three of them; edges are continued."""
    reach = max(1, round(3 * width))
    offsets = torch.arange(-reach, reach + 1, dtype=torch.float64, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / width) ** 2)
    kernel = (kernel / kernel.sum()).to(images.dtype)
    count, channels, height, wide = images.shape
    planes = images.reshape(count * channels, 1, height, wide)
    planes = F.conv2d(F.pad(planes, (reach, reach, 0, 0), mode="replicate"), kernel[None, None, None, :])
    planes = F.conv2d(F.pad(planes, (0, 0, reach, reach), mode="replicate"), kernel[None, None, :, None])
    return planes.reshape(images.shape)

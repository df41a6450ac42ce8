"""``Partition``: the partition functions of the softmax along a line, whose zeros bound a step."""

import dataclasses
from typing import Self

import torch
from torch import Tensor

from workbench.kernels.dispatch import takes_triton
from workbench.kernels.softmax_rows import softmax_row


@dataclasses.dataclass(frozen=True)
class Partition:
    r"""One function :math:`F(s) = \sum_k q_k e^{b_k s}` per sample, in coordinates made for computing.

    With logits z and slopes a, the logits at a distance t are :math:`z + t a`, and the loss has the term
    :math:`\log \sum_k e^{z_k + t a_k}`. Here :math:`s = \Delta t` with the spread
    :math:`\Delta = \max a - \min a`, and the likeliest class at t = 0 is divided out, which moves no zero:
    :math:`q_k = e^{z_k - z_{top}} \le 1` and :math:`b_k = (a_k - a_{top}) / \Delta \in [-1, 1]`.

    Attributes
    ----------
    log_weights, slopes : Tensor (m, classes)
        :math:`\log q` and b, float64; a class without weight has -inf and 0.
    spread : Tensor (m,)
        :math:`\Delta`; where it is 0 the slopes are 0, too, and F has no zero.
    top : Tensor (m,) of int
        Which class was divided out.
    """

    log_weights: Tensor
    slopes: Tensor
    spread: Tensor
    top: Tensor

    def __getitem__(self, rows: Tensor | slice) -> Self:
        """Some of the samples."""
        return type(self)(*(getattr(self, field.name)[rows] for field in dataclasses.fields(self)))

    def __len__(self) -> int:
        return len(self.spread)

    def values(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """F and its derivative at complex points (m, p), by their sums, divided by the largest term."""
        exponents = self.log_weights[:, None] + self.slopes[:, None] * s.real[..., None]
        sizes = (exponents - exponents.amax(-1, keepdim=True)).exp()
        terms = torch.polar(sizes, self.slopes[:, None] * s.imag[..., None])
        return terms.sum(-1), (terms * self.slopes[:, None]).sum(-1)


def make_partition(logits: Tensor, slopes: Tensor) -> Partition:
    """Check logits and slopes (m, classes) and put them into coordinates for computing.

    Raises
    ------
    TypeError
        If they are no real tensors.
    ValueError
        If their shapes are not one and the same (samples, classes), or there are no samples, if a value is
        nan or infinite (a logit may be -inf: its class has no weight, whatever its slope), a sample has no
        class with weight, or its slopes differ by more than float64 holds.
    """
    for name, values in (("logits", logits), ("slopes", slopes)):
        if not isinstance(values, Tensor) or values.is_complex():
            raise TypeError(f"{name} are a {type(values).__name__}, not a real torch tensor")
    if logits.dim() == 2 and not len(logits):
        raise ValueError("logits have no rows: there must be one sample at least")
    if logits.dim() != 2 or logits.shape != slopes.shape or not logits.shape[1]:
        shapes = f"{tuple(logits.shape)} and {tuple(slopes.shape)}"
        raise ValueError(f"logits and slopes have shapes {shapes}: both must be (samples, classes)")
    z, a = logits.detach().double(), slopes.detach().double()
    masked = z == -torch.inf
    for name, bad in (("logits", ~z.isfinite() & ~masked), ("slopes", ~a.isfinite() & ~masked)):
        if bad.any():
            row, column = bad.nonzero()[0].tolist()
            value = (z if name == "logits" else a)[row, column].item()
            raise ValueError(f"{name}[{row}, {column}] is {value}: there is no radius")
    if masked.all(1).any():
        raise ValueError(f"sample {masked.all(1).nonzero()[0].item()} has no class with a logit above -inf")
    if slopes.is_floating_point() and takes_triton(
        logits, slopes
    ):  # both ends are exact, in one pass over the tensors as they are
        ends = softmax_row(logits, slopes)
        spread = ends.high.double() - ends.low.double()
    else:
        spread = a.masked_fill(masked, -torch.inf).amax(1) - a.masked_fill(masked, torch.inf).amin(1)
    if spread.isinf().any():
        row = spread.isinf().nonzero()[0].item()
        raise ValueError(f"slopes of sample {row} differ by more than float64 holds: divide them by a number")
    top = z.argmax(1)
    relative = (a - a.gather(1, top[:, None])) / torch.where(spread > 0, spread, 1.0)[:, None]
    log_weights = z - z.gather(1, top[:, None])
    return Partition(log_weights, relative.masked_fill(masked, 0.0), spread, top)

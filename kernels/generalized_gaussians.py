r"""``generalized_gaussian_bits``: what a rounded number costs under a generalised Gaussian, and its slopes.

With the density :math:`f(t) = \frac{\beta}{2 \alpha \Gamma(1/\beta)} e^{-|(t - \mu) / \alpha|^\beta}` and its
distribution function :math:`F(t) = \frac12 + \frac12 \mathrm{sgn}(t - \mu)\,P(1/\beta,
|(t - \mu)/\alpha|^\beta)`, a number y stands for the bin of width 1 about it:

.. math:: p = F(y + \tfrac12) - F(y - \tfrac12), \qquad \text{bits} = -\log_2 p .

β = 2 is a normal distribution of deviation α/√2, β = 1 a Laplace distribution of scale α.

Here p is not a difference of two values of P, which far out or for wide α has few digits left, but the
integral of the density over the bin. It is folded to positive z = \|t - μ\| / α, cut where next to nothing is
left (the density has fallen by :math:`e^{-24}`, in float64 by :math:`e^{-45}`, and by more for β < 1), and
taken at Gauss–Legendre nodes s with :math:`z = z_0 + w s^3`, which smooths the cusp of :math:`z^\beta` at 0.
Where β is at most 1/2 that cusp is too sharp for it: parts of a bin that come near 0 are taken at the same
nodes of :math:`u = z^\beta`, whose density :math:`u^{1/\beta - 1} e^{-u} / \beta` is smooth. From β = 4 on
there is no cusp, but an edge at z = 1 that wants nodes: :math:`z = z_0 + w s`. With the ends
:math:`t = y \pm \frac12` of the bin and the mean ⟨·⟩ under the density within it,

.. math:: \frac{\partial \ln p}{\partial y} = \frac{[f]}{p}, \quad
          \frac{\partial \ln p}{\partial \alpha} = -\frac{[(t - \mu) f]}{\alpha\,p}, \quad
          \frac{\partial \ln p}{\partial \beta} =
          \frac{\psi(1 + 1/\beta)}{\beta^2} - \langle u \ln z \rangle .

All of them are finite however far out y lies, so that no likelihood has to be bounded from below.

Both paths compute in float64 whatever they are given, and round once. The last slope is the difference of two
terms near :math:`\ln(1/\beta) / \beta^2` (230 at β = 0.1), the first two multiply the density with
:math:`e^{u_0}`: in float32 they lose two to three digits that the inputs do determine.

Source: the model is that of arXiv 2602.01325 and 2411.19320, which take the slope in β by a finite
difference; the integral, its nodes and that slope as a mean are derived here.
"""

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from workbench.kernels.dispatch import computing, takes_triton
from workbench.kernels.jit import blocks, kernel, tl
from workbench.kernels.replay import replayed_gradients

# What kernels read, too, is a number of its own.
_POWER = 3  # z = z0 + w s^3
_NODES = {torch.float32: 28, torch.float64: 64}  # for results in that dtype
_COARSE_REACH = 24.0  # of u beyond that at the near edge of the bin, for results in float32
_REACH = {torch.float32: _COARSE_REACH, torch.float64: 45.0}
_REACH_OF_TAIL = 2.0  # more of it for each power of u in the density of u
_LEAST, _MOST = 1e-200, 1e30  # of z and of u
_FLOOR = 4 * 2.0**-52  # of the near edge, which the width of a part does not fall below: its roundings
_BLUNT = 4.0  # shapes from this on have nodes in s
_POINTED = 0.5  # shapes up to this have nodes in u ...
_STEEP = 64.0  # ... in parts of a bin that are so many times as long as they are away from 0
_LN2 = math.log(2)
_HALF_LN_2PI = math.log(2 * math.pi) / 2
_CHUNK = 2048  # numbers that the PyTorch path holds at a time, with all their nodes: they stay in the cache
_BLOCK, _LANES = 1024, 256  # of a program: four numbers a lane, which are loaded as one


def generalized_gaussian_bits(y: Tensor, mu: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Bits (…) of numbers y, each standing for a bin of width 1, under generalised Gaussians.

    Parameters
    ----------
    y, mu, alpha, beta : Tensor
        Numbers, means, scales and shapes, of shapes that broadcast; scales and shapes are positive.

    Returns
    -------
    Tensor (…)
        Not negative, in at least float32; differentiable in all four to any order. For shapes from 0.1 to 20,
        and scales from the tail's bound up (:mod:`workbench.layers.scale_bounds`), bits and their slopes are
        within 5e-7 (float64: 1e-12; 1e-10 for shapes just above 0.5) of themselves, or of 1 if that is more.
        Beyond :math:`u = 10^{30}` bits stop growing.

    Raises
    ------
    TypeError
        If a tensor has no floating point numbers.
    ValueError
        If shapes do not broadcast, or tensors are on several devices.

    Notes
    -----
    Cost: two times 28 (float64: 64) evaluations of the density, in float64; the first derivatives come with
    them.
    """
    given = {"y": y, "mu": mu, "alpha": alpha, "beta": beta}
    for name, tensor in given.items():
        if not tensor.is_floating_point():
            raise TypeError(f"{name} has {tensor.dtype}: it must have floating point numbers")
    try:
        full = torch.broadcast_tensors(*given.values())
    except RuntimeError:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in given.items())
        raise ValueError(f"shapes do not broadcast: {shapes}") from None
    if torch._C._are_functorch_transforms_active():  # vmap and jvp go through PyTorch's own operations
        return bits_by_pytorch(*full)
    slopes = torch.is_grad_enabled() and any(each.requires_grad for each in full)
    return _bits(*full, slopes)[0]


def bits_by_pytorch(y: Tensor, mu: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Return the same by PyTorch's operations, which autograd differentiates: what the kernel is held to."""
    exact = computing(y, mu, alpha, beta)
    y, mu, alpha, beta = (each.double() for each in (y, mu, alpha, beta))
    difference = y - mu
    distance = torch.where(difference < 0, -difference, difference)  # abs() has no slope at 0
    return _to_bits(_integrate(distance, alpha, beta, exact), beta).to(exact)


class _Bin(NamedTuple):
    """Integrals over a bin of the density in z and of u ln z times it, both times e^reference."""

    mass: Tensor
    logarithmic: Tensor
    reference: Tensor


class _Part(NamedTuple):
    """Part of a bin in the variable x of its nodes: z, or u where the cusp at 0 is too sharp for z."""

    pointed: Tensor  # whether it is u
    start: Tensor
    length: Tensor
    power: Tensor  # u = x^power
    stretch: Tensor  # z = x^stretch
    top: Tensor  # logarithm of the end, where the part's weight is taken
    weight: Tensor  # dz for dx there, times the length
    edge: Tensor  # u at the start


def _part(start: Tensor, length: Tensor, beta: Tensor) -> _Part:
    """Choose the variable of a part of z from a start on."""
    pointed = (beta <= _POINTED) & (length > _STEEP * start)
    end = start + length
    (first, _), (last, _) = _raised(start, beta), _raised(end, beta)
    size = torch.where(pointed, last - first, length)
    held = torch.where(pointed, last, 1.0)  # far below 1 there is nothing to divide by
    return _Part(
        pointed=pointed,
        start=torch.where(pointed, first, start),
        length=size,
        power=torch.where(pointed, 1.0, beta),
        stretch=torch.where(pointed, 1 / beta, 1.0),
        top=held.log(),
        weight=size * torch.where(pointed, end / (beta * held), 1.0),
        edge=first,
    )


def _integrate(distance: Tensor, alpha: Tensor, beta: Tensor, exact: torch.dtype) -> _Bin:
    """Integrate over the bin at a distance from the mean; a part that is folded over counts twice.

    All is in float64, as exact as results in another dtype need it.
    """
    reach = _REACH[exact] + _REACH_OF_TAIL * (1 / beta - 1).clamp(min=0)
    inside = distance < 0.5  # the mean is inside the bin
    low = torch.where(inside, 0.5 - distance, distance - 0.5) / alpha
    width = torch.where(inside, 2 * distance, 1.0) / alpha
    edge = _raised(low, beta)[0].detach()
    reference = torch.where(inside, 0.0, edge)
    far = ((edge + reach).log() / beta).exp() - low
    whole = (reach.log() / beta).exp()
    zero = torch.zeros_like(low)
    parts = (
        (low, torch.minimum(width, torch.maximum(far, _FLOOR * low).detach()), 1.0, reference),
        (zero, torch.minimum(torch.where(inside, low, 0.0), whole.detach()), 2.0, zero),
    )
    nodes, weights = (each.to(low.device).view(-1, *[1] * low.dim()) for each in _rule(exact))
    blunt = beta >= _BLUNT
    places = torch.where(blunt, nodes, nodes**_POWER)
    weights = torch.where(blunt, weights, weights * _POWER * nodes ** (_POWER - 1))
    mass = logarithmic = zero
    for start, length, times, offset in parts:
        part = _part(start, length, beta)
        x = (part.start + places * part.length).clamp(min=_LEAST).log()
        u, logarithm = (part.power * x).exp().clamp(max=_MOST), part.stretch * x
        density = weights * (offset - u + (part.stretch - 1) * (x - part.top)).exp()
        # Below the least z there is no mass, but the slope of a part that begins at 0.
        below = torch.where(part.pointed, start.clamp(min=_LEAST) - start, 0.0)
        mass = mass + times * (part.weight * density.sum(0) + below * (offset - part.edge).exp())
        logarithmic = logarithmic + times * part.weight * (density * u * logarithm).sum(0)
    return _Bin(mass, logarithmic, reference)


def _raised(z: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    logarithm = z.clamp(min=_LEAST).log()
    return (beta * logarithm).exp().clamp(max=_MOST), logarithm


def _to_bits(integrals: _Bin, beta: Tensor) -> Tensor:
    whole = math.log(2) + torch.lgamma(1 + 1 / beta)
    return (integrals.reference + whole - integrals.mass.log()).clamp(min=0) / math.log(2)


@functools.cache
def _rule(exact: torch.dtype) -> tuple[Tensor, Tensor]:
    """Nodes (nodes,) in (0, 1) and their weights, in float64."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES[exact])
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(weights / 2)


@torch.no_grad()
def _by_pytorch(y: Tensor, mu: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    """Bits of flat tensors, and their slopes in y, alpha and beta: (4, numbers)."""
    exact = computing(y, mu, alpha, beta)
    y, mu, alpha, beta = (each.double() for each in (y, mu, alpha, beta))
    difference = y - mu
    distance = difference.abs()
    integrals = _integrate(distance, alpha, beta, exact)
    mass = integrals.mass
    near, far = (distance - 0.5) / alpha, (distance + 0.5) / alpha
    at_near, at_far = ((integrals.reference - _raised(z.abs(), beta)[0]).exp() for z in (near, far))
    slopes = (
        difference.sign() * (at_far - at_near) / (alpha * mass),
        (near * at_near - far * at_far) / (alpha * mass),
        torch.digamma(1 + 1 / beta) / beta.square() - integrals.logarithmic / mass,
    )
    found = torch.stack([_to_bits(integrals, beta), *(slope / -math.log(2) for slope in slopes)])
    return found.to(exact)


# ---- the kernel ---------------------------------------------------------------------------------------


@kernel
def raised(z, beta):  # type: ignore[no-untyped-def]
    """``z ** beta`` and the logarithm of z."""
    logarithm = tl.log(tl.maximum(z, _LEAST))
    return tl.minimum(tl.exp(beta * logarithm), _MOST), logarithm


@kernel
def part_of(start, length, beta):  # type: ignore[no-untyped-def]
    """What ``_Part`` has of a part of a bin, but for its first and last."""
    pointed = (beta <= _POINTED) & (length > _STEEP * start)
    end = start + length
    first, _ = raised(start, beta)
    last, _ = raised(end, beta)
    size = tl.where(pointed, last - first, length)
    power, stretch = tl.where(pointed, 1.0, beta), tl.where(pointed, 1 / beta, 1.0)
    held = tl.where(pointed, last, 1.0)
    weight = size * tl.where(pointed, end / (beta * held), 1.0)
    return tl.where(pointed, first, start), size, power, stretch, tl.log(held), weight


@kernel
def integrals_of(  # type: ignore[no-untyped-def]
    rule_ptr, start, length, beta, reference, SLOPES: tl.constexpr, NODES: tl.constexpr
):
    """What a part of a bin adds to both integrals of ``_Bin``; the second is 0 without slopes."""
    first, size, power, stretch, top, weight = part_of(start, length, beta)
    mass = tl.zeros_like(start)
    logarithmic = tl.zeros_like(start)
    for node in range(NODES):
        s = tl.load(rule_ptr + 2 * node).to(tl.float64)
        share = tl.load(rule_ptr + 2 * node + 1).to(tl.float64)
        blunt = beta >= _BLUNT
        x = tl.log(tl.maximum(first + size * tl.where(blunt, s, s * s * s), _LEAST))
        u = tl.minimum(tl.exp(power * x), _MOST)
        density = tl.exp(reference - u + (stretch - 1) * (x - top))
        density *= tl.where(blunt, share, share * _POWER * s * s)
        mass += density
        if SLOPES:
            logarithmic += density * u * stretch * x
    return weight * mass, weight * logarithmic


@kernel
def log_gamma_and_digamma(x):  # type: ignore[no-untyped-def]
    """Both at x of at least 1, by Stirling's series at x + 5, to 3e-9."""
    y = x + 5
    inverse = 1 / y
    square = inverse * inverse
    logarithm = tl.log(y)
    series = inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680)))
    shift = tl.log(x * (x + 1) * (x + 2) * (x + 3) * (x + 4))
    log_gamma = (y - 0.5) * logarithm - y + _HALF_LN_2PI + series - shift
    shifts = 1 / x + 1 / (x + 1) + 1 / (x + 2) + 1 / (x + 3) + 1 / (x + 4)
    digamma = logarithm - inverse / 2 - square * (1 / 12 - square * (1 / 120 - square / 252)) - shifts
    return log_gamma, digamma


@kernel
def bits_kernel(  # type: ignore[no-untyped-def]
    y_ptr, mu_ptr, alpha_ptr, beta_ptr, rule_ptr, output_ptr, numbers,
    SLOPES: tl.constexpr, NODES: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the bits of a block of numbers, and their slopes in y, alpha and beta."""
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    mask = place < numbers
    y = tl.load(y_ptr + place, mask=mask, other=0.0).to(tl.float32).to(tl.float64)
    mu = tl.load(mu_ptr + place, mask=mask, other=0.0).to(tl.float32).to(tl.float64)
    alpha = tl.load(alpha_ptr + place, mask=mask, other=1.0).to(tl.float32).to(tl.float64)
    beta = tl.load(beta_ptr + place, mask=mask, other=1.0).to(tl.float32).to(tl.float64)
    difference = y - mu
    distance = tl.abs(difference)
    inside = distance < 0.5
    near, far = (distance - 0.5) / alpha, (distance + 0.5) / alpha
    low = tl.abs(near)
    edge, _ = raised(low, beta)
    reference = tl.where(inside, 0.0, edge)
    reach = _COARSE_REACH + _REACH_OF_TAIL * tl.maximum(1 / beta - 1, 0.0)
    width = tl.where(inside, 2 * distance, 1.0) / alpha
    width = tl.minimum(width, tl.maximum(tl.exp(tl.log(edge + reach) / beta) - low, _FLOOR * low))
    mass, logarithmic = integrals_of(rule_ptr, low, width, beta, reference, SLOPES, NODES)
    # The part of a bin about the mean that is folded over, up to the near edge; none of other bins.
    folded = tl.minimum(tl.where(inside, low, 0.0), tl.exp(tl.log(reach) / beta))
    zero = tl.zeros_like(low)
    mass_2, logarithmic_2 = integrals_of(rule_ptr, zero, folded, beta, zero, SLOPES, NODES)
    mass += 2 * mass_2
    logarithmic += 2 * logarithmic_2
    log_gamma, digamma = log_gamma_and_digamma(1 + 1 / beta)
    nats = tl.maximum(reference + _LN2 + log_gamma - tl.log(mass), 0.0)
    tl.store(output_ptr + place, (nats / _LN2).to(tl.float32), mask=mask)
    if SLOPES:
        end, _ = raised(far, beta)
        at_near, at_far = tl.exp(reference - edge), tl.exp(reference - end)
        sign = tl.where(difference > 0, 1.0, tl.where(difference < 0, -1.0, 0.0))
        along = sign * (at_far - at_near) / (alpha * mass)
        tl.store(output_ptr + numbers + place, (along / -_LN2).to(tl.float32), mask=mask)
        scale = (near * at_near - far * at_far) / (alpha * mass)
        tl.store(output_ptr + 2 * numbers + place, (scale / -_LN2).to(tl.float32), mask=mask)
        shape = digamma / (beta * beta) - logarithmic / mass
        tl.store(output_ptr + 3 * numbers + place, (shape / -_LN2).to(tl.float32), mask=mask)


# ---- its launcher -------------------------------------------------------------------------------------


def _launch(given: list[Tensor], slopes: bool) -> Tensor:
    """Return the bits of flat tensors and, if asked for, their slopes: (1 or 4, numbers)."""
    numbers = len(given[0])
    output = given[0].new_empty(4 if slopes else 1, numbers, dtype=torch.float32)
    rule = torch.stack(_rule(torch.float32), 1).to(output.device)
    bits_kernel[(blocks(numbers, _BLOCK),)](
        *given, rule, output, numbers,
        SLOPES=slopes, NODES=len(rule), BLOCK=_BLOCK,
        num_warps=_LANES // (64 if torch.version.hip else 32),
    )  # fmt: skip
    return output


# ---- the operation as PyTorch knows it ----------------------------------------------------------------


@torch.library.custom_op("workbench::generalized_gaussian_bits", mutates_args=())
def _bits(y: Tensor, mu: Tensor, alpha: Tensor, beta: Tensor, slopes: bool) -> tuple[Tensor, Tensor]:
    """Bits, and the slopes (3, …) of them in y, alpha and beta, or an empty tensor."""
    flat = [each.reshape(-1).contiguous() for each in (y, mu, alpha, beta)]
    if y.numel() and takes_triton(*flat):
        found = _launch(flat, slopes)
    else:
        pieces = zip(*(each.split(_CHUNK) for each in flat), strict=True)
        found = torch.cat([_by_pytorch(*piece) for piece in pieces], 1)
    bits = found[0].reshape(y.shape).clone()
    return bits, found[1:].reshape(3, *y.shape).clone() if slopes else bits.new_empty(0)


@_bits.register_fake
def _(y: Tensor, mu: Tensor, alpha: Tensor, beta: Tensor, slopes: bool) -> tuple[Tensor, Tensor]:
    bits = y.new_empty(y.shape, dtype=computing(y, mu, alpha, beta))
    return bits, bits.new_empty((3, *y.shape) if slopes else 0)


def _save(
    ctx: Any, inputs: tuple[Tensor, Tensor, Tensor, Tensor, bool], output: tuple[Tensor, Tensor]
) -> None:
    ctx.save_for_backward(*inputs[:4], output[1])
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, grad: Tensor | None, _: Tensor | None) -> tuple[Tensor | None, ...]:
    *inputs, slopes = ctx.saved_tensors
    if grad is None:
        return None, None, None, None, None
    if torch.is_grad_enabled():  # whoever differentiates once more gets operations that can be
        return *replayed_gradients(bits_by_pytorch, inputs, grad), None
    along, scale, shape = (grad * slope for slope in slopes)
    gradients = along, -along, scale, shape
    return *(each.to(given.dtype) for each, given in zip(gradients, inputs, strict=True)), None


_bits.register_autograd(_backward, setup_context=_save)

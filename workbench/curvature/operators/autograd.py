"""Products of vectors with the Jacobians of a retained graph."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from workbench.progress import still_at_work

Tensors = list[Tensor]
# Multiplies one tensor per parameter; with ``batched=True`` each has a leading dimension of columns.
Product = Callable[..., Tensors]


def vector_products(
    outputs: Sequence[Tensor | None], inputs: Sequence[Tensor], vectors: Sequence[Tensor], *, batched: bool
) -> Tensors:
    """Return the gradients of ``sum <outputs, vectors>`` with respect to ``inputs``; the graph is kept.

    An output that is None or has no graph contributes nothing, an input that no output depends on gets zeros:
    both are what a derivative is there. With ``batched``, vectors and results have a leading dimension, and
    all products are computed at once by ``torch.vmap``. An explorer may stop the work before each product: a
    block of them can take a minute.
    """
    still_at_work()
    differentiable = [
        (output, vector.to(output.dtype))
        for output, vector in zip(outputs, vectors, strict=True)
        if output is not None and output.requires_grad
    ]
    if not differentiable:
        count = vectors[0].shape[:1] if batched else ()
        return [input.new_zeros(*count, *input.shape) for input in inputs]

    def multiply(covectors: Tensors) -> Tensors:
        gradients = torch.autograd.grad(
            [output for output, _ in differentiable],
            inputs,
            grad_outputs=covectors,
            retain_graph=True,
            allow_unused=True,
        )
        return [
            input.new_zeros(input.shape) if gradient is None else _as_strided(gradient)
            for input, gradient in zip(inputs, gradients, strict=True)
        ]

    covectors = [vector for _, vector in differentiable]
    # Not by is_grads_batched, whose older rules loop over the columns of many functions.
    return torch.vmap(multiply)(covectors) if batched else multiply(covectors)


def differentiable_gradient(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: Sequence[Tensor] | None = None
) -> Sequence[Tensor | None]:
    """Return the gradient of scalars, or of ``sum <outputs, vectors>``, with its own graph.

    None stands for an input that no output depends on.
    """
    if not any(output.requires_grad for output in outputs):
        return [None] * len(inputs)
    gradients = torch.autograd.grad(
        outputs, inputs, grad_outputs=vectors, create_graph=True, allow_unused=True
    )
    return [None if gradient is None else _as_strided(gradient) for gradient in gradients]


def hessian_product(scalar: Tensor, leaves: Sequence[Tensor]) -> Product:
    """Return what multiplies with the Hessian of a scalar, by double backward on its retained graph.

    A ``partial``, not a closure: a frame in a kept traceback would hold a closure, and with it the graph.
    """
    return partial(vector_products, differentiable_gradient([scalar], leaves), leaves)


def _as_strided(gradient: Tensor) -> Tensor:
    """Embeddings with ``sparse=True`` give sparse gradients."""
    return gradient.to_dense() if gradient.is_sparse else gradient

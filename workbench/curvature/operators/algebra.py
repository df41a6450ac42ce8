"""Sums, multiples, shifts and diagonal blocks of operators."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workbench.curvature.operators.base import CurvatureOperator


class Combination(CurvatureOperator):
    """A weighted sum of operators of the same size.

    Parameters
    ----------
    terms : sequence of (float, CurvatureOperator)

    Raises
    ------
    ValueError
        If their sizes differ.
    """

    def __init__(self, terms: Sequence[tuple[float, CurvatureOperator]]) -> None:
        self.weighted = _collected(terms)
        operators = [operator for _, operator in self.weighted]
        sizes = {operator.shape for operator in operators}
        if len(sizes) > 1:
            raise ValueError(f"operators of different sizes cannot be added: {sorted(n for n, _ in sizes)}")
        dtype = operators[0].dtype
        for operator in operators[1:]:
            dtype = torch.promote_types(dtype, operator.dtype)
        super().__init__(
            operators[0].shape[0],
            dtype,
            operators[0].device,
            precision=max(operator.precision for operator in operators),
            layout=next((operator.layout for operator in operators if operator.layout), ()),
            terms=" + ".join(f"{factor:g} × ({operator.terms})" for factor, operator in self.weighted),
        )

    def _multiply(self, block: Tensor) -> Tensor:
        total = torch.zeros_like(block)
        for factor, operator in self.weighted:
            total.add_((operator @ block).to(device=block.device, dtype=block.dtype), alpha=factor)
        return total

    def restrict(self, patterns: str | Sequence[str]) -> CurvatureOperator:
        """Restrict each of the operators, if all of them know which parameter stands where."""
        if not all(operator.layout for _, operator in self.weighted):
            return super().restrict(patterns)
        return Combination([(factor, operator.restrict(patterns)) for factor, operator in self.weighted])


class Identity(CurvatureOperator):
    """The unit matrix of the size, dtype and layout of another operator."""

    def __init__(self, like: CurvatureOperator) -> None:
        super().__init__(
            like.shape[0], like.dtype, like.device, precision=0.0, layout=like.layout, terms="identity"
        )

    def _multiply(self, block: Tensor) -> Tensor:
        return block.clone()


class LowRank(CurvatureOperator):
    """The matrix FᵀF of some rows F (m, n); of one row g, the outer product g gᵀ.

    Parameters
    ----------
    rows : Tensor (m, n)
    layout : sequence of slices
    terms : str
    """

    def __init__(self, rows: Tensor, layout: Sequence[Any] = (), terms: str = "outer product") -> None:
        super().__init__(rows.shape[1], rows.dtype, rows.device, layout=layout, terms=terms)
        self.rows = rows.detach().clone()

    def _multiply(self, block: Tensor) -> Tensor:
        return self.rows.T @ (self.rows @ block)


class Submatrix(CurvatureOperator):
    """The rows and columns of some parameters, by products of the whole matrix with padded vectors.

    Parameters
    ----------
    whole : CurvatureOperator
    parts : sequence of slices
        Of the whole's layout.
    """

    def __init__(self, whole: CurvatureOperator, parts: Sequence[Any]) -> None:
        places = [torch.arange(part.start, part.stop) for part in parts]
        self._places = torch.cat(places).to(whole.device)
        self.whole = whole
        layout, start = [], 0
        for part in parts:
            layout.append(type(part)(part.name, start, start + part.stop - part.start, part.shape))
            start = layout[-1].stop
        super().__init__(
            start, whole.dtype, whole.device, precision=whole.precision, layout=layout, terms=whole.terms
        )

    def _multiply(self, block: Tensor) -> Tensor:
        padded = block.new_zeros(self.whole.shape[0], block.shape[1])
        padded[self._places] = block
        return (self.whole @ padded)[self._places]


class BlockDiagonal(CurvatureOperator):
    """The diagonal blocks of a matrix that belong to its layers; what stands between them is left out.

    Parameters
    ----------
    blocks : dict of str to CurvatureOperator
        One for each layer, in the order of the layout.
    like : CurvatureOperator
        The whole matrix.
    """

    def __init__(self, blocks: dict[str, CurvatureOperator], like: CurvatureOperator) -> None:
        super().__init__(
            like.shape[0],
            like.dtype,
            like.device,
            precision=like.precision,
            layout=like.layout,
            terms=f"{like.terms}, block diagonal by layer",
        )
        self.blocks = blocks
        slices = {part.name: part for part in like.layout}
        self._places = {
            layer: torch.cat(
                [torch.arange(slices[p.name].start, slices[p.name].stop) for p in block.layout]
            ).to(like.device)
            for layer, block in blocks.items()
        }

    def _multiply(self, block: Tensor) -> Tensor:
        total = torch.zeros_like(block)
        for layer, operator in self.blocks.items():
            places = self._places[layer]
            total[places] = operator @ block[places]
        return total


def _collected(terms: Sequence[tuple[float, CurvatureOperator]]) -> list[tuple[float, CurvatureOperator]]:
    """Combinations taken apart, so that sums of sums stay flat."""
    flat: list[tuple[float, CurvatureOperator]] = []
    for factor, operator in terms:
        if isinstance(operator, Combination):
            flat.extend((factor * inner, each) for inner, each in operator.weighted)
        else:
            flat.append((float(factor), operator))
    return flat

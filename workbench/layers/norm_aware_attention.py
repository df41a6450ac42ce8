"""``NormAwareAttention``: norm-aware linear attention with a convolution beside it and a gate behind it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.kernels.norm_features import FORMS, key_features, query_features
from workbench.layers.linear_self_attention import attend, join_heads, split_heads
from workbench.layers.rotation import angles_of, rotate

_REACH = 5  # positions of the convolution, in each direction


class NormAwareAttention(nn.Module):
    r"""The attention layer of NaLaFormer.

    .. math:: \mathrm{out}\,\big(\mathrm{LayerNorm}(\mathrm{attention}(q, k, v) + \mathrm{conv}(v))
              \cdot \mathrm{SiLU}(g)\big)

    with queries, keys, values and gate g from one projection, norm-aware features, and a convolution of five
    positions for each channel by itself.

    Parameters
    ----------
    width : int
        Channels of a token, a multiple of ``heads``.
    heads : int
        Each has as many channels.
    grid : (int, int), optional
        Rows and columns in which the tokens stand, row by row: the convolution is one of 5 × 5 then. By
        default they stand in a line.
    causal : bool
        Whether a position sees only those up to itself, in the convolution, too; not with a grid.
    form : {"split", "cosine"}
        Of the features, see :mod:`workbench.kernels.norm_features`.
    rotary : bool
        Whether the features in the numerator are turned by their positions, as in the released code. The
        attention's weights may be negative then and need not add up to 1. Channels of a head are a multiple
        of 4 with a grid, of 2 without.

    Raises
    ------
    TypeError, ValueError
        If a number is no whole number or does not fit, the form is unknown, or a grid is asked to be causal.

    Notes
    -----
    Source: arXiv:2506.21137 and the code released with it, which is the layer with a grid,
    ``form="split"`` and ``rotary=True``. The line and its causal form are ours.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        grid: tuple[int, int] | None = None,
        causal: bool = False,
        form: str = "split",
        rotary: bool = False,
    ) -> None:
        super().__init__()
        check_count("heads", heads)
        check_count("width", width, low=heads, multiple=heads)
        check_choice("form", form, FORMS)
        if grid is not None and causal:
            raise ValueError(f"causal=True does not go with grid={grid}: a grid has no order of its tokens")
        if rotary:
            turned = 4 if grid is not None else 2
            check_count("width / heads", width // heads, low=turned, multiple=turned)
        self.heads, self.grid, self.causal, self.form, self.rotary = heads, grid, causal, form, rotary
        self.queries_keys_values_gate = nn.Linear(width, 4 * width)
        convolution: type[nn.Conv1d | nn.Conv2d] = nn.Conv1d if grid is None else nn.Conv2d
        self.convolution = convolution(width, width, _REACH, groups=width)
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (examples, positions, width) to the same shape.

        Raises
        ------
        ValueError
            If there is a grid, and the positions are not those of it.
        """
        if self.grid is not None and x.shape[1] != self.grid[0] * self.grid[1]:
            raise ValueError(f"x has {x.shape[1]} positions: a grid of {self.grid} has others")
        projected = self.queries_keys_values_gate(x)
        width = x.shape[-1]
        queries, keys, values = split_heads(projected[..., : 3 * width], 3, self.heads)
        queries, keys = query_features(queries, self.form), key_features(keys, self.form)
        rotated = self._rotated(queries, keys) if self.rotary else None
        mixed = join_heads(attend(queries, keys, values, causal=self.causal, rotated=rotated))
        near = self._near(projected[..., 2 * width : 3 * width])
        return self.output(self.norm(mixed + near) * F.silu(projected[..., 3 * width :]))

    def extra_repr(self) -> str:
        """Return what the layer was made with, besides its projections."""
        return (
            f"heads={self.heads}, grid={self.grid}, causal={self.causal}, form={self.form!r}, "
            f"rotary={self.rotary}"
        )

    def _rotated(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Turn both halves of the features by the angles of their positions."""
        places = self.grid or queries.shape[-2]
        angles = angles_of(places, queries.shape[-1] // 2, queries.device).to(queries.dtype)

        def turn(features: Tensor) -> Tensor:
            return torch.cat([rotate(half, angles) for half in features.chunk(2, -1)], -1)

        return turn(queries), turn(keys)

    def _near(self, values: Tensor) -> Tensor:
        """Convolve (examples, positions, width) over the positions, with zeros beyond the ends."""
        channels = values.transpose(1, 2)
        side = _REACH // 2
        if self.grid is not None:
            channels = F.pad(channels.unflatten(-1, self.grid), (side,) * 4)
            return self.convolution(channels).flatten(2).transpose(1, 2)
        before, after = (_REACH - 1, 0) if self.causal else (side, side)
        return self.convolution(F.pad(channels, (before, after))).transpose(1, 2)

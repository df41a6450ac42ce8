"""``LinearSelfAttention``: heads of linear attention between two projections."""

from torch import Tensor, nn

from workbench.choices import check_choice, check_count
from workbench.kernels.feature_attention import linear_attention
from workbench.layers.feature_maps import FEATURE_MAPS


class LinearSelfAttention(nn.Module):
    """Self-attention in time linear in the number of positions.

    It has the parameters of softmax attention with the same projections, and their names in
    ``digits-transformer`` and ``text-gpt``, so that it can take its place there.

    Parameters
    ----------
    width : int
        Channels of a token, a multiple of ``heads``.
    heads : int
        Each has as many channels.
    features : {"elu", "relu", "norm-aware", "cosine"}
        Of queries and keys, see :data:`~workbench.layers.FEATURE_MAPS`.
    causal : bool
        Whether a position sees only those up to itself.

    Raises
    ------
    TypeError, ValueError
        If a number is no whole number or does not fit, or no feature map has this name.
    """

    def __init__(self, width: int, heads: int, features: str = "norm-aware", *, causal: bool = False) -> None:
        super().__init__()
        check_count("heads", heads)
        check_count("width", width, low=heads, multiple=heads)
        check_choice("features", features, tuple(FEATURE_MAPS))
        self.heads, self.features, self.causal = heads, features, causal
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (examples, positions, width) to the same shape."""
        queries, keys, values = split_heads(self.queries_keys_values(x), 3, self.heads)
        of_queries, of_keys = FEATURE_MAPS[self.features]
        mixed = attend(of_queries(queries), of_keys(keys), values, causal=self.causal)
        return self.output(join_heads(mixed))

    def extra_repr(self) -> str:
        """Return what the layer was made with, besides its projections."""
        return f"heads={self.heads}, features={self.features!r}, causal={self.causal}"


def split_heads(x: Tensor, parts: int, heads: int) -> tuple[Tensor, ...]:
    """Cut (examples, positions, parts × width) into ``parts`` of (examples, heads, positions, channels)."""
    return x.unflatten(-1, (parts, heads, -1)).permute(2, 0, 3, 1, 4).unbind()


def join_heads(x: Tensor) -> Tensor:
    """Lay the heads of (examples, heads, positions, channels) side by side."""
    return x.transpose(1, 2).flatten(2)


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    *,
    causal: bool,
    rotated: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """Linear attention in the dtype of the features, its output in that of the values."""
    mixed = linear_attention(queries, keys, values.to(queries.dtype), causal=causal, rotated=rotated)
    return mixed.to(values.dtype)

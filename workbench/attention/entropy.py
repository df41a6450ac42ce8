"""``entropy_curves``: how spread out attention is, and how that changes with the norm of the query."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workbench.choices import check_choice, check_count
from workbench.colors import BLUE, GREEN, ORANGE, SKY, VERMILION
from workbench.layers import FEATURE_MAPS
from workbench.progress import progress
from workbench.result import Result, new_axes, standard_error

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("softmax", "elu", "relu", "norm-aware", "cosine")
COLORS = dict(zip((*KINDS, "nalaformer"), (BLUE, SKY, ORANGE, VERMILION, GREEN, "#555555"), strict=True))
_DASHES = {"elu": ":", "cosine": "--"}  # of what lies near another line
NORMS = tuple(float(norm) for norm in np.geomspace(0.1, 10, 25))
_STEP = 1e-4  # of the central differences, relative to the norm


@dataclasses.dataclass(frozen=True, repr=False)
class EntropyCurves(Result):
    r"""Entropy of attention's weights over the norm of the query.

    Attributes
    ----------
    kinds : tuple of str
        ``"softmax"``, or the features of linear attention.
    norms : ndarray (n,)
        Of the query.
    entropy : ndarray (kinds, n, draws)
        In nats, of the weights over the keys; :math:`\log` of their number at most. nan for a query that no
        key answers: all its scores are 0, and there are no weights.
    slope : ndarray (kinds, n, draws)
        Its derivative in the norm, by the law of covariances.
    ranked : ndarray (kinds, n, keys)
        The weights from the largest down, as means over the draws.
    deviation : ndarray (kinds,)
        Largest difference between that law and central differences, over norms and draws.
    dim, keys, seed : int
        Channels of a head, keys of a draw, seed of the draws.
    interrupted : bool
        Whether there are fewer kinds than were asked for.
    """

    kinds: tuple[str, ...]
    norms: np.ndarray
    entropy: np.ndarray
    slope: np.ndarray
    ranked: np.ndarray
    deviation: np.ndarray
    dim: int
    keys: int
    seed: int
    interrupted: bool = False

    @property
    def draws(self) -> int:
        """Number of draws of a direction and its keys."""
        return self.entropy.shape[-1]

    @property
    def answered(self) -> np.ndarray:
        """Number (kinds,) of draws whose query some key answers: the others are left out of all means."""
        return np.isfinite(self.entropy).all(1).sum(-1)

    def curve(self, kind: str, of: str = "entropy") -> tuple[np.ndarray, np.ndarray]:
        """Mean over the draws (n,) of the ``"entropy"`` or the ``"slope"``, and its standard error."""
        values = getattr(self, of)[self.kinds.index(kind)]
        values = values[:, np.isfinite(values).all(0)]
        return values.mean(-1), standard_error(values.T)

    def frame(self) -> pd.DataFrame:
        """One row per kind and norm: means over the draws with their standard errors."""
        parts = []
        for place, kind in enumerate(self.kinds):
            entropy, slope = self.curve(kind), self.curve(kind, "slope")
            columns = {"kind": kind, "norm": self.norms, "entropy": entropy[0], "entropy_stderr": entropy[1]}
            columns |= {"slope": slope[0], "slope_stderr": slope[1], "draws": self.answered[place]}
            parts.append(pd.DataFrame(columns))
        return pd.concat(parts, ignore_index=True)

    def plot(self, ax: "Axes | None" = None, of: str = "entropy") -> "Axes":
        """Mean over the draws against the norm, with a band of two standard errors."""
        ax = new_axes(ax)
        for kind in self.kinds:
            mean, error = self.curve(kind, of)
            ax.plot(self.norms, mean, _DASHES.get(kind, "-"), color=COLORS[kind], label=kind)
            ax.fill_between(
                self.norms, mean - 2 * error, mean + 2 * error, color=COLORS[kind], alpha=0.2, linewidth=0
            )
        if of == "entropy":
            ax.axhline(math.log(self.keys), color="0.5", linestyle=":", label="all keys alike")
        ax.set_xscale("log")
        ax.set_xlabel("norm of the query")
        ax.set_ylabel("entropy (nats)" if of == "entropy" else "slope of the entropy (nats per unit)")
        ax.set_title(f"{self.keys} keys of {self.dim} channels, {self.draws} draws", fontsize="small")
        ax.legend(fontsize="small")
        return ax

    def summary(self) -> str:
        """Entropy at both ends of the norms for each kind, and how far the law is from differences."""
        lines = []
        for place, kind in enumerate(self.kinds):
            mean, error = self.curve(kind)
            lines.append(
                f"{kind}: entropy {mean[0]:.3f} ± {error[0]:.2g} at a norm of {self.norms[0]:g}, "
                f"{mean[-1]:.3f} ± {error[-1]:.2g} at {self.norms[-1]:g}; law and differences of the slope "
                f"within {self.deviation[place]:.1g}"
            )
        missing = self.draws - self.answered
        lines += [
            f"{kind}: left out {count} draws in which no key answers the query"
            for kind, count in zip(self.kinds, missing, strict=True)
            if count
        ]
        note = ", INTERRUPTED before the other kinds" if self.interrupted else ""
        lines.append(f"{self.draws} draws of {self.keys} keys, {self.dim} channels{note}")
        return "\n".join(lines)


def entropy_curves(
    kinds: Sequence[str] = KINDS,
    norms: Sequence[float] = NORMS,
    *,
    dim: int = 16,
    keys: int = 64,
    draws: int = 40,
    seed: int = 0,
) -> EntropyCurves:
    r"""Entropy of attention's weights, and its slope, for queries t u with random directions u.

    The weights are :math:`w_j = s_j / \sum_i s_i` of the scores :math:`s_j(t)`. With their rates
    :math:`g_j = \frac{d}{dt} \log s_j`,

    .. math:: \frac{dH}{dt} = -\mathrm{Cov}_w(g, \log w) .

    For the softmax, :math:`s_j = e^{t a_j}` with :math:`a_j = \langle u, k_j \rangle / \sqrt d`, that is
    :math:`-t\,\mathrm{Var}_w(a) \le 0`. A feature map of any degree of homogeneity has one rate for all keys:
    no slope. The norm-aware power has :math:`g_j = p'(t)\,\mathrm E_j[\log |d_i|]`, a mean over the channels
    i that key j gets its score from: it has a slope again, until :math:`p' = 3 / \cosh^2 t` is gone. The law
    is derived here; that the entropy of a softmax falls with the norm is NaLaFormer's (arXiv:2506.21137).

    Parameters
    ----------
    kinds : sequence of str
        ``"softmax"`` and names of :data:`~workbench.layers.FEATURE_MAPS`.
    norms : sequence of float
        Of the queries, positive.
    dim : int
        Channels.
    keys : int
        At least 2, from a standard normal distribution.
    draws : int
        Directions, each with keys of its own; the same for all kinds.
    seed : int
        Of the draws.

    Returns
    -------
    EntropyCurves
        An interrupt (Ctrl-C) returns the kinds that were done.

    Raises
    ------
    TypeError, ValueError
        If a kind is unknown or there is none, a norm is not positive and finite, a number is out of range, or
        there is a kind for which no key answers any query.

    Notes
    -----
    Cost: ``5 * draws * keys * dim`` products for each norm and kind, in float64; no problem is needed.
    """
    if not kinds:
        raise ValueError(f"kinds is empty: name some of {', '.join(KINDS)}")
    for kind in kinds:
        check_choice("kinds", kind, KINDS)
    check_count("dim", dim)
    check_count("keys", keys, low=2)
    check_count("draws", draws)
    check_count("seed", seed, low=0)
    bad = [norm for norm in norms if not 0 < norm < math.inf]
    if bad or not len(norms):
        raise ValueError(f"norms={list(norms)}: they must be positive and finite, and at least one")
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(draws, 1, dim, dtype=torch.float64, generator=generator)
    directions /= directions.norm(dim=-1, keepdim=True)
    drawn = torch.randn(draws, keys, dim, dtype=torch.float64, generator=generator)
    sizes = torch.tensor(list(norms), dtype=torch.float64)[:, None, None, None]
    found: list[tuple[Tensor, Tensor, Tensor, float]] = []
    interrupted = False
    try:
        with progress("entropy of attention", len(kinds)) as advance:
            for kind in kinds:
                found.append(_curve(kind, directions, drawn, sizes))
                advance(1)
    except KeyboardInterrupt:
        if not found:
            raise
        interrupted = True
    entropy, slope, ranked, deviation = zip(*found, strict=True)
    return EntropyCurves(
        kinds=tuple(kinds[: len(found)]),
        norms=sizes.ravel().numpy(),
        entropy=torch.stack(entropy).numpy(),
        slope=torch.stack(slope).numpy(),
        ranked=torch.stack(ranked).numpy(),
        deviation=np.array(deviation),
        dim=dim,
        keys=keys,
        seed=seed,
        interrupted=interrupted,
    )


def _curve(
    kind: str, directions: Tensor, keys: Tensor, norms: Tensor
) -> tuple[Tensor, Tensor, Tensor, float]:
    """Entropy, slope (norms, draws), ranked weights, and how far the slope is from central differences."""

    def log_scores(t: Tensor) -> Tensor:
        return _log_scores(kind, t * directions, keys)

    ones = torch.ones_like(norms)
    step = _STEP * norms
    ends = _entropy(log_scores(norms + step)) - _entropy(log_scores(norms - step))
    logs, rates, *_ = torch.func.jvp(log_scores, (norms,), (ones,))
    entropy, slope = _entropy(logs), _law(logs, rates)
    answered = entropy.isfinite().all(0)
    if not answered.any():
        raise ValueError(f"no key answers a query of the {kind!r} features: draw more keys, or more channels")
    deviation = (slope - ends / (2 * step[..., 0, 0]))[:, answered].abs().max()
    ranked = _weights(logs)[0][:, answered].sort(-1, descending=True).values.mean(1)
    return entropy, slope, ranked, float(deviation)


def _log_scores(kind: str, queries: Tensor, keys: Tensor) -> Tensor:
    """Logarithms (norms, draws, keys) of the scores; that of a score of 0 is -inf."""
    if kind == "softmax":
        return (queries @ keys.mT).squeeze(-2) / math.sqrt(keys.shape[-1])
    of_queries, of_keys = FEATURE_MAPS[kind]
    scores = (of_queries(queries) @ of_keys(keys).mT).squeeze(-2)
    return torch.where(scores > 0, scores, 1.0).log().masked_fill(scores <= 0, -torch.inf)


def _entropy(logs: Tensor) -> Tensor:
    weights, known = _weights(logs)
    return -(weights * known).sum(-1)


def _law(logs: Tensor, rates: Tensor) -> Tensor:
    """The slope of the entropy, minus the covariance of the rates and the logarithms of the weights."""
    weights, known = _weights(logs)
    centred = rates - (weights * rates).sum(-1, keepdim=True)
    return -(weights * centred * known).sum(-1)


def _weights(logs: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of scores and their logarithms, 0 where a weight is 0 and counts nowhere; nan if all are."""
    weights = logs.log_softmax(-1)
    return weights.exp(), torch.where(weights == -torch.inf, 0.0, weights)

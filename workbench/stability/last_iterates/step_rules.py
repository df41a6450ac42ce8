"""``rule_steps``: step sizes by rules that know the number of steps, or do not."""

import math

import numpy as np

from workbench.choices import check_choice, check_count, check_number

RULES = ("decaying", "constant", "linear", "strongly convex")


def rule_steps(
    rule: str,
    count: int,
    base: float = 1.0,
    *,
    power: float = 2.0,
    smoothness: float = 0.0,
    convexity: float = 0.0,
) -> np.ndarray:
    r"""Return the step sizes (T,) of a rule, never above :math:`1/(2L)` of an L-smooth function.

    Parameters
    ----------
    rule : {"decaying", "constant", "linear", "strongly convex"}
        With p = 2 for noise of finite variance: :math:`\eta/t^{1/p}`; :math:`\eta/T^{1/p}`;
        :math:`\eta (T - t + 1)/T^{1 + 1/p}`; and :math:`2/(\mu (t + 1) + 4 L)`, which has no :math:`\eta`.
    count : int
        T; the first and the last rule do without.
    base : float
        :math:`\eta`, positive; inf gives :math:`1/(2L)`, where there is an L.
    power : float
        p, above 1 and at most 2.
    smoothness, convexity : float
        L (0: not smooth) and :math:`\mu`.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or the last rule meets a function that is not strongly convex.

    Notes
    -----
    The first three are after Liu and Zhou, arXiv 2312.08531; the last is the step 2/(μ(t + 1)) of
    Lacoste-Julien, Schmidt and Bach (arXiv 1212.2002), with a shift of ours that keeps it below 1/(2L).
    """
    check_choice("rule", rule, RULES)
    check_count("count", count)
    check_number("base", base, above=0, below=None if smoothness else math.inf)
    t = np.arange(1, count + 1)
    if rule == "strongly convex":
        if not convexity > 0:
            raise ValueError(f"convexity={convexity}: the rule {rule!r} needs a strongly convex function")
        return 2 / (convexity * (t + 1) + 4 * smoothness)
    factors = {
        "decaying": t ** (-1 / power),
        "constant": np.full(count, count ** (-1 / power)),
        "linear": (count - t + 1) / count ** (1 + 1 / power),
    }[rule]
    return np.minimum(base * factors, 1 / (2 * smoothness) if smoothness else math.inf)

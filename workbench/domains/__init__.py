"""Domain generalisation: environments of digits, penalties that align them, and what alignment bounds."""

from workbench.domains.contest import DomainContest, compare_domains
from workbench.domains.environments import Environments, make_environments
from workbench.domains.heads import head_diagonal, head_gradient, head_hessian, head_product
from workbench.domains.probe_noise import DiagonalNoise, diagonal_noise

__all__ = [
    "DiagonalNoise",
    "DomainContest",
    "Environments",
    "compare_domains",
    "diagonal_noise",
    "head_diagonal",
    "head_gradient",
    "head_hessian",
    "head_product",
    "make_environments",
]

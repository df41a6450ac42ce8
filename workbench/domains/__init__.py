"""Domain generalisation: environments of digits, penalties that align them, and what alignment bounds."""

from workbench.domains.domain_contests import DomainContest, compare_domains
from workbench.domains.environments import Environments, make_environments
from workbench.domains.heads import head_diagonal, head_gradient, head_hessian, head_product
from workbench.domains.layer_alignments import LayerAlignment, layer_alignment
from workbench.domains.probe_noise import DiagonalNoise, diagonal_noise
from workbench.domains.trained_networks import domain_problems
from workbench.domains.transfers import TransferBound, transfer_bound

__all__ = [
    "DiagonalNoise",
    "DomainContest",
    "Environments",
    "LayerAlignment",
    "TransferBound",
    "compare_domains",
    "diagonal_noise",
    "domain_problems",
    "head_diagonal",
    "head_gradient",
    "head_hessian",
    "head_product",
    "layer_alignment",
    "make_environments",
    "transfer_bound",
]

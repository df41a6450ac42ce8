"""Optimisation through a trained network: directional attacks within a direct search that can do without."""

from workbench.particles.attacks.attack_operator import ATTACKS, Attack, attack
from workbench.particles.attacks.counterfactual_paths import CounterfactualPath, counterfactual_path
from workbench.particles.attacks.counterfactuals import counterfactual
from workbench.particles.attacks.data_profiles import DataProfile, Trail, data_profile
from workbench.particles.attacks.method_trails import METHODS, method_trails
from workbench.particles.attacks.planted_maximisers import planted_maximiser
from workbench.particles.attacks.process_surrogates import ProcessCheck, process_check, process_surrogate
from workbench.particles.attacks.reach_costs import ReachCosts, reach_costs
from workbench.particles.attacks.rivals import gradient_ascent, nelder_mead
from workbench.particles.attacks.search_path import SearchPath
from workbench.particles.attacks.searches import direct_search
from workbench.particles.attacks.surrogates import Surrogate

__all__ = [
    "ATTACKS",
    "METHODS",
    "Attack",
    "CounterfactualPath",
    "DataProfile",
    "ProcessCheck",
    "ReachCosts",
    "SearchPath",
    "Surrogate",
    "Trail",
    "attack",
    "counterfactual",
    "counterfactual_path",
    "data_profile",
    "direct_search",
    "gradient_ascent",
    "method_trails",
    "nelder_mead",
    "planted_maximiser",
    "process_check",
    "process_surrogate",
    "reach_costs",
]

"""Evidence whether to believe a map: metrics, each with its interval and cost, and floors beside them."""

from workbench.saliency.evidence.class_correlation import class_sensitivity
from workbench.saliency.evidence.energy import energy_pointing
from workbench.saliency.evidence.evidence_result import Evidence
from workbench.saliency.evidence.fidelity import infidelity
from workbench.saliency.evidence.floors import FLOORS, centre_map, edge_map, random_floor
from workbench.saliency.evidence.imputation import linear_imputation
from workbench.saliency.evidence.intervals import bootstrap_interval
from workbench.saliency.evidence.label_permutation import label_randomisation
from workbench.saliency.evidence.pixel_curves import deletion, insertion
from workbench.saliency.evidence.pointing import pointing_game
from workbench.saliency.evidence.randomisation import (
    Randomisation,
    cascading_randomisation,
    independent_randomisation,
)
from workbench.saliency.evidence.regions import region_masks
from workbench.saliency.evidence.road_curves import road
from workbench.saliency.evidence.robustness import max_sensitivity
from workbench.saliency.evidence.similarities import SIMILARITIES, compare_maps
from workbench.saliency.evidence.sparsity import sparseness
from workbench.saliency.evidence.table import METRICS, EvidenceTable, evidence_table

__all__ = [
    "FLOORS",
    "METRICS",
    "SIMILARITIES",
    "Evidence",
    "EvidenceTable",
    "Randomisation",
    "bootstrap_interval",
    "cascading_randomisation",
    "centre_map",
    "class_sensitivity",
    "compare_maps",
    "deletion",
    "edge_map",
    "energy_pointing",
    "evidence_table",
    "independent_randomisation",
    "infidelity",
    "insertion",
    "label_randomisation",
    "linear_imputation",
    "max_sensitivity",
    "pointing_game",
    "random_floor",
    "region_masks",
    "road",
    "sparseness",
]

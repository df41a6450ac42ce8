"""How a training problem stands, on one page."""

from workbench.overview.analysis import analyze
from workbench.overview.caution import Caution
from workbench.overview.finding import Finding
from workbench.overview.overview_result import Overview
from workbench.overview.section import Section

__all__ = ["Caution", "Finding", "Overview", "Section", "analyze"]

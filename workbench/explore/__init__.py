"""Explorers: one interactive view per analysis, for JupyterLab; a still picture in a report."""

from workbench.explore.curvature_explorer import curvature
from workbench.explore.start import start

__all__ = ["curvature", "start"]

"""Explorers: one interactive view per analysis, for JupyterLab; a still picture in a report."""

from workbench.explore.curvature_explorer import curvature

__all__ = ["curvature"]

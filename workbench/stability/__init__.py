"""How large a step is safe: what an optimiser would do, and how far that may go."""

from workbench.stability.updates import update_vector

__all__ = ["update_vector"]

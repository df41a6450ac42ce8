"""Will this step hold? How large a step is safe, and what training does at the limit."""

from workbench.stability import quantities

__all__ = ["quantities"]

"""How large a step is safe."""

from workbench.stability.radii import LogitRadius, logit_radius
from workbench.stability.slopes import logits_and_slopes

__all__ = ["LogitRadius", "logit_radius", "logits_and_slopes"]

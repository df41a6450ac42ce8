"""The table of exact laws: no deviation of a right chain, a large one of a wrong law."""

import numpy as np

from workbench.particles.planted import laws
from workbench.particles.planted.laws import exact_laws


def test_chains_have_the_laws(monkeypatch):
    found = exact_laws(8, runs=200)
    assert np.abs(found.deviation).max() < 4
    assert len(found.frame()) == 5
    assert found.plot().get_xlabel().startswith("measured")
    monkeypatch.setattr(laws, "von_mises_fisher_mean", lambda kappa, dim: kappa / dim)
    assert np.abs(exact_laws(8, runs=200).deviation).max() > 6

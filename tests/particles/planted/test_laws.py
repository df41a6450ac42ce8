"""The table of exact laws: no deviation of a right chain, a large one of a wrong law."""

import numpy as np
import pytest

from workbench.particles.planted import laws
from workbench.particles.planted.laws import exact_laws
from workbench.progress import listening
from workbench.result import load_result


def test_chains_have_the_laws(monkeypatch):
    found = exact_laws(8, runs=200)
    assert np.abs(found.deviation).max() < 4
    assert len(found.frame()) == 5
    assert found.plot().get_xlabel().startswith("measured")
    monkeypatch.setattr(laws, "von_mises_fisher_mean", lambda kappa, dim: kappa / dim)
    assert np.abs(exact_laws(8, runs=200).deviation).max() > 6


def stop_at(chain):
    """A listener that interrupts within this chain, counted from 1."""
    seen = []

    def listen(description, done, total):
        if done == 0:
            seen.append(description)
        if len(seen) == chain and done >= 128:
            raise KeyboardInterrupt

    return listen


def test_an_interrupt_keeps_whole_laws_only(tmp_path):
    with listening(stop_at(4)):  # one free chain, and two of each slope
        found = exact_laws(6, runs=20)
    assert found.interrupted
    assert len(found.laws) == 3
    assert "INTERRUPTED" in found.summary()
    whole = exact_laws(6, runs=20)
    assert (found.measured == whole.measured[:3]).all()
    found.save(tmp_path / "laws.npz")
    assert load_result(tmp_path / "laws.npz").summary() == found.summary()


def test_an_interrupt_before_the_first_law_is_one():
    with listening(stop_at(1)), pytest.raises(KeyboardInterrupt):
        exact_laws(6, runs=20)


def test_one_chain_has_no_error():
    with pytest.raises(ValueError, match="runs=1"):
        exact_laws(runs=1)

"""Entropies of attention: laws of the slope in closed form, and that only some maps know the norm."""

import math

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.attention import entropy_curves
from workbench.progress import listening

SOME = {"dim": 6, "keys": 9, "draws": 5}
NORMS = (0.2, 1.0, 3.0)


def drawn(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The directions and keys of the same seed, by the documented distribution."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(5, 1, 6, dtype=torch.float64, generator=generator)
    keys = torch.randn(5, 9, 6, dtype=torch.float64, generator=generator)
    return (directions / directions.norm(dim=-1, keepdim=True))[:, 0].numpy(), keys.numpy()


def test_a_softmax_has_the_slope_of_minus_the_norm_times_the_variance() -> None:
    found = entropy_curves(["softmax"], NORMS, **SOME)
    directions, keys = drawn()
    logits = np.einsum("rd,rkd->rk", directions, keys) / math.sqrt(6)
    for place, norm in enumerate(NORMS):
        weights = np.exp(norm * logits)
        weights /= weights.sum(1, keepdims=True)
        mean = (weights * logits).sum(1, keepdims=True)
        variance = (weights * (logits - mean) ** 2).sum(1)
        np.testing.assert_allclose(found.slope[0, place], -norm * variance, rtol=1e-10)
        np.testing.assert_allclose(found.entropy[0, place], -(weights * np.log(weights)).sum(1), rtol=1e-12)
        np.testing.assert_allclose(found.ranked[0, place], np.sort(weights)[:, ::-1].mean(0), rtol=1e-12)
    assert (found.slope < 0).all()


def test_a_norm_aware_map_has_the_slope_of_its_power() -> None:
    found = entropy_curves(["norm-aware"], NORMS, **SOME)
    directions, keys = drawn()
    sizes = np.where(directions[:, None] * keys > 0, np.abs(keys) ** 3, 0)  # of channels with the same sign
    logs = np.log(np.abs(directions))[:, None]
    for place, norm in enumerate(NORMS):
        parts = sizes * np.exp(3 * (0.5 + np.tanh(norm)) * logs)
        scores = parts.sum(-1)
        some = scores > 0  # keys that share the sign of a channel with the query
        rates = 3 / np.cosh(norm) ** 2 * (parts * logs).sum(-1) / np.where(some, scores, 1)
        weights = scores / scores.sum(1, keepdims=True)
        centred = rates - (weights * rates).sum(1, keepdims=True)
        expected = -(weights * centred * np.log(np.where(some, weights, 1))).sum(1)
        np.testing.assert_allclose(found.slope[0, place], expected, rtol=1e-9, atol=1e-13)


def test_the_law_is_what_central_differences_say() -> None:
    found = entropy_curves(norms=NORMS, **SOME)
    assert (found.deviation < 1e-6).all()


def test_a_homogeneous_map_loses_the_norm_and_others_keep_it() -> None:
    found = entropy_curves(norms=(0.3, 1.0), draws=40)
    span = dict(zip(found.kinds, np.ptp(found.entropy, axis=1).max(-1), strict=True))
    assert span["relu"] < 1e-12
    assert np.abs(found.slope[found.kinds.index("relu")]).max() < 1e-12
    assert min(span[kind] for kind in found.kinds if kind != "relu") > 1e-3


def test_the_power_has_no_more_to_give_to_long_queries() -> None:
    found = entropy_curves(["norm-aware", "cosine"], (1.0, 4.0))
    steep = np.abs(found.slope).mean(-1)
    assert (steep[:, 1] < 0.01 * steep[:, 0]).all()


def test_weights_of_zero_count_as_none() -> None:
    found = entropy_curves(["norm-aware"], NORMS, dim=2, keys=30, draws=20)
    assert np.isfinite(found.slope).all()
    assert found.entropy.max() < np.log(29)  # a quarter of the keys is opposite in both channels
    assert (found.deviation < 1e-6).all()


def test_queries_that_no_key_answers_are_left_out() -> None:
    found = entropy_curves(["softmax", "relu"], NORMS, dim=2, keys=30, draws=20)
    directions = torch.randn(
        20, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )  # as drawn first
    silent = int((directions < 0).all(-1).sum())
    assert silent > 0
    assert found.answered.tolist() == [20, 20 - silent]
    assert np.isfinite(found.frame().to_numpy()[:, 1:].astype(float)).all()
    assert np.isfinite(found.ranked).all()
    assert found.deviation.max() < 1e-6
    assert f"relu: left out {silent} draws" in found.summary()
    with pytest.raises(ValueError, match="no key answers a query of the 'relu' features"):
        entropy_curves(["relu"], NORMS, dim=1, keys=2, draws=1, seed=4)


def test_seeds_repeat_and_differ() -> None:
    one, two, other = (entropy_curves(["softmax"], NORMS, **SOME, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.entropy, two.entropy)
    assert not np.array_equal(one.entropy, other.entropy)


def test_an_interrupt_returns_the_kinds_that_were_done() -> None:
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = entropy_curves(norms=NORMS, **SOME)
    assert found.kinds == ("softmax", "elu")
    assert found.interrupted
    assert "INTERRUPTED" in found.summary()


def test_the_result_has_a_table_pictures_and_a_file(tmp_path) -> None:
    found = entropy_curves(["softmax", "relu"], NORMS, **SOME)
    table = found.frame()
    assert len(table) == 6
    row = table[(table["kind"] == "softmax") & (table["norm"] == 1.0)]
    assert row["entropy"].item() == pytest.approx(found.entropy[0, 1].mean())
    assert row["entropy_stderr"].item() == pytest.approx(found.entropy[0, 1].std(ddof=1) / math.sqrt(5))
    assert found.plot().get_ylabel() == "entropy (nats)"
    assert "slope" in found.plot(of="slope").get_ylabel()
    again = wb.load_result(found.save(tmp_path / "entropy.npz"))
    assert again.summary() == found.summary()
    assert again.frame().equals(table)


def test_what_is_not_allowed_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'softmax'"):
        entropy_curves(["softmx"])
    with pytest.raises(ValueError, match="kinds is empty"):
        entropy_curves([])
    with pytest.raises(ValueError, match="positive and finite"):
        entropy_curves(norms=[1.0, 0.0])
    with pytest.raises(ValueError, match="keys=1 is out of range"):
        entropy_curves(keys=1)

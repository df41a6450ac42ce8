"""Expected bits with noise and rounded, against sums and averages of draws."""

import math

import numpy as np
import pytest
from scipy import stats

from workbench.compression import noise_gap, noise_gaps
from workbench.compression.noise_gaps import NoiseGap
from workbench.progress import listening
from workbench.result import load_result


@pytest.fixture(scope="module")
def gap() -> NoiseGap:
    return noise_gap((0.6, 2.0), scales=5)


def test_rounded_bits_are_the_entropy_of_rounded_numbers(gap: NoiseGap) -> None:
    for place, shape in enumerate(gap.shapes):
        for number, scale in enumerate(gap.scales):
            law = stats.gennorm(shape, scale=scale)
            whole = np.arange(0, 400)
            mass = law.sf(whole - 0.5) - law.sf(whole + 0.5)
            mass = mass[mass > 0]
            terms = -mass * np.log2(mass)
            assert gap.rounded[place, number] == pytest.approx(2 * terms.sum() - terms[0], abs=1e-9)


def test_noisy_bits_are_the_mean_over_draws(gap: NoiseGap) -> None:
    random = np.random.default_rng(0)
    for place, shape in enumerate(gap.shapes):
        for number, scale in enumerate(gap.scales):
            law = stats.gennorm(shape, scale=scale)
            y = np.abs(law.rvs(200_000, random_state=random) + random.uniform(-0.5, 0.5, 200_000))
            bits = -np.log2(law.sf(y - 0.5) - law.sf(y + 0.5))
            error = bits.std() / math.sqrt(len(bits))
            assert abs(gap.noisy[place, number] - bits.mean()) < 4.5 * error + 1e-9


def test_the_quadrature_is_finer_than_its_error_says(gap: NoiseGap, monkeypatch) -> None:
    monkeypatch.setattr(noise_gaps, "_ORDER", 8 * noise_gaps._ORDER)
    finer = noise_gap(gap.shapes, scales=len(gap.scales))
    assert np.abs(gap.noisy - finer.noisy).max() <= gap.error < 1e-3


def test_the_result_is_a_table_a_picture_and_a_file(gap: NoiseGap, tmp_path) -> None:
    frame = gap.frame()
    assert len(frame) == 10
    assert np.allclose(frame["gap"], frame["noisy_bits"] - frame["rounded_bits"])
    assert len(gap.plot().lines) == 2 + 1 + 1  # curves, the zero, and the one bound within the scales
    assert "β = 2: largest gap" in gap.summary()
    assert load_result(gap.save(tmp_path / "gap.npz")).summary() == gap.summary()


def test_an_interrupt_keeps_the_shapes_that_are_done() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with listening(stop):
        found = noise_gap((1.0, 2.0), scales=2)
    assert found.shapes == (1.0,)
    assert found.interrupted
    assert "INTERRUPTED" in found.summary()


def test_what_is_not_allowed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape=0\.3 is out of range"):
        noise_gap((0.3,))
    with pytest.raises(ValueError, match="scales=1 is out of range"):
        noise_gap(scales=1)
    with pytest.raises(ValueError, match="shapes is empty"):
        noise_gap(())

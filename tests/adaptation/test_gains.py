"""Errors near a gain of 1: roundings that can be counted, and what each path keeps."""

import numpy as np
import pytest
import torch

import workbench as wb
from workbench.adaptation import gain_errors
from workbench.adaptation.gains import MEASURES, PATHS
from workbench.progress import listening

SMALL = {"rows": 64, "columns": 32, "draws": 3}


def errors(found, measure: str, path: str) -> np.ndarray:
    return found.errors[MEASURES.index(measure), PATHS.index(path)]


def test_a_float32_gain_costs_one_rounding():
    """Of 8 bits: half a unit at most, 2^-9 or less of each number; two roundings at most √2 as much."""
    found = gain_errors([1e-4, 1e-3, 1e-2, 1e-1], **SMALL)
    for path, measure in (("float32 gain", "change"), ("whole output", "output")):
        values = errors(found, measure, path)
        assert 2**-11 < values.min() <= values.max() < 2**-9
    assert errors(found, "output", "float32 gain").max() < 2**-8.5


def test_a_rounded_gain_loses_what_the_numbers_say():
    """The published path is off by (rounded g - g) (b + l), in closed form, but for one rounding."""
    found = gain_errors([2e-3], **SMALL, seed=4)
    random = torch.Generator().manual_seed(4)
    base = torch.randn(3, 64, 32, generator=random).bfloat16().double()
    lora = (torch.randn(3, 64, 32, generator=random) / 400).bfloat16().double()
    gain = 1 + 2e-3 * torch.randn(3, 32, generator=random)
    lost = (gain.bfloat16().double() - gain.double())[:, None] * (base + lora)
    change = gain.double()[:, None] * (base + lora) - base
    expected = lost.flatten(1).norm(dim=1) / change.flatten(1).norm(dim=1)
    np.testing.assert_allclose(errors(found, "change", "published")[0], expected, rtol=1e-3)
    assert expected.min() > 0.3
    share = (gain.bfloat16() == 1).double().mean(1)
    np.testing.assert_allclose(found.rounded[0], share)


def test_the_naive_form_loses_all_near_1_and_little_far_from_it():
    found = gain_errors([1e-3, 1.0], **SMALL)
    near, far = errors(found, "change", "naive").mean(-1)
    assert near > 0.5
    assert far < 0.01


def test_the_written_output_keeps_the_gain_where_it_is_not_rounded():
    found = gain_errors([1e-2], rows=1024, columns=32, draws=2)
    whole, published = (errors(found, "gain", path).max() for path in ("whole output", "published"))
    assert whole < 0.03  # as the test of the kernel has it
    assert published > 0.15
    assert np.isnan(errors(found, "change", "whole output")).all()


def test_float32_activations_carry_any_gain():
    found = gain_errors([1e-4, 1e-2], dtype="float32", **SMALL)
    assert np.nanmax(found.errors[:, 1:]) < 1e-3
    assert found.rounded.max() == 0
    assert found.zone == 2**-24


def test_seeds_repeat_and_differ():
    one, two, other = (gain_errors([1e-2], **SMALL, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one.errors, two.errors, equal_nan=True)
    assert not np.array_equal(one.errors, other.errors, equal_nan=True)


def test_an_interrupt_returns_the_distances_that_were_done():
    def interrupt(description: str, done: int, total: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with listening(interrupt):
        found = gain_errors([1e-3, 1e-2, 1e-1], **SMALL)
    assert found.distances.tolist() == [1e-3, 1e-2]
    assert found.errors.shape[2] == len(found.rounded) == 2
    assert "INTERRUPTED" in found.summary()


def test_the_result_has_a_table_pictures_and_a_file(tmp_path):
    found = gain_errors([1e-3, 1e-2], **SMALL)
    table = found.frame()
    row = table[(table["path"] == "naive") & (table["distance"] == 1e-2)]
    values = errors(found, "output", "naive")[1]
    assert row["output"].item() == pytest.approx(values.mean())
    assert row["output_stderr"].item() == pytest.approx(values.std(ddof=1) / np.sqrt(3))
    lines = [line.get_label() for line in found.plot().lines]
    assert "published" in lines
    assert "whole output" not in lines
    assert "whole output" in [line.get_label() for line in found.plot(measure="gain").lines]
    again = wb.load_result(found.save(tmp_path / "gains.npz"))
    assert again.summary() == found.summary()


def test_what_is_not_allowed_is_refused():
    with pytest.raises(ValueError, match="distances is empty"):
        gain_errors([])
    with pytest.raises(ValueError, match="distances=0 is out of range"):
        gain_errors([0])
    with pytest.raises(ValueError, match="did you mean 'bfloat16'"):
        gain_errors([0.1], dtype="bfloat")
    with pytest.raises(ValueError, match="ratio=-1"):
        gain_errors([0.1], ratio=-1)
    with pytest.raises(ValueError, match="did you mean 'gain'"):
        gain_errors([0.1], **SMALL).curve("naive", "gian")

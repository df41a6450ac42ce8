"""Environments have the shares they claim, share no digit, and repeat by their seed."""

import pytest
import torch

from workbench.domains.environments import ANGLES, COPIES, SHIFTS, make_environments, rotated
from workbench.problems.datasets import digits


def pictures(inputs: torch.Tensor) -> set[bytes]:
    return {row.numpy().tobytes() for row in inputs.reshape(-1, inputs.shape[-1])}


def grey(inputs: torch.Tensor) -> torch.Tensor:
    """Coloured inputs without their colour."""
    return inputs.unflatten(-1, (2, 64)).sum(-2)


def test_colours_and_labels_are_wrong_as_often_as_they_say():
    drawn = [make_environments("correlation", seed) for seed in range(4)]
    truth = {
        row.numpy().tobytes(): int(label < 5)
        for images, labels in (digits().train, digits().test)
        for row, label in zip(images.flatten(1), labels, strict=True)
    }
    for place, error in enumerate((0.1, 0.2, 0.9)):
        parts = [each.test if place == 2 else tuple(part[place] for part in each.train) for each in drawn]
        inputs, labels = (torch.cat(part) for part in zip(*parts, strict=True))
        colors = inputs.unflatten(-1, (2, 64)).sum(-1).argmax(-1)
        wrong = (colors != labels).double().mean()
        assert wrong == pytest.approx(error, abs=4 * (error * (1 - error) / len(labels)) ** 0.5)
        flipped = [
            truth[row.numpy().tobytes()] != label for row, label in zip(grey(inputs), labels, strict=True)
        ]
        assert sum(flipped) / len(flipped) == pytest.approx(0.25, abs=4 * (0.1875 / len(labels)) ** 0.5)


def test_the_label_shift_has_its_shares():
    drawn = make_environments("label")
    shares = [(labels >= 5).double().mean().item() for labels in (*drawn.train[1], drawn.test[1])]
    assert shares == pytest.approx([0.1, 0.3, 0.9], abs=0.03)


@pytest.mark.parametrize("shift", SHIFTS)
def test_environments_share_no_digit(shift):
    drawn = make_environments(shift)
    parts = [*drawn.train[0], *drawn.validation[0], drawn.test[0]]
    if shift == "correlation":
        parts = [grey(part) for part in parts]
    sets = [pictures(part) for part in parts]
    copies = COPIES if shift == "correlation" else 1
    for place, part in enumerate(parts):
        assert len(sets[place]) >= len(part) // copies - 2  # a pair of bundled digits may be equal
        for other in sets[:place]:
            assert not sets[place] & other


@pytest.mark.parametrize("shift", SHIFTS)
def test_the_seed_repeats_it(shift):
    first, again, other = (make_environments(shift, seed) for seed in (3, 3, 4))
    assert torch.equal(first.train[0], again.train[0])
    assert torch.equal(first.test[1], again.test[1])
    assert not torch.equal(first.train[0], other.train[0])
    assert len(first.names) == len(first.train[0]) + 1


@pytest.mark.parametrize("shift", SHIFTS)
def test_all_seeds_are_tested_on_the_same_digits_and_differ_otherwise(shift):
    """What the intervals of a contest say in their note."""
    first, other = (make_environments(shift, seed) for seed in (0, 1))
    if shift == "correlation":
        assert pictures(grey(first.test[0])) == pictures(grey(other.test[0]))
        assert not torch.equal(first.test[1], other.test[1])
    else:
        assert torch.equal(first.test[0], other.test[0])
        assert torch.equal(first.test[1], other.test[1])


def test_a_quarter_turn_is_exact_and_names_tell_the_angles():
    images = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(rotated(images, 90.0), images.rot90(1, (2, 3)), atol=1e-5, rtol=0)
    torch.testing.assert_close(rotated(images, 0.0), images, atol=1e-6, rtol=0)
    drawn = make_environments("diversity")
    assert drawn.names == tuple(f"{angle:g}°" for angle in ANGLES)
    torch.testing.assert_close(drawn.test[0], rotated(digits().test[0], ANGLES[-1]).flatten(1))


def test_what_is_not_allowed_is_refused():
    with pytest.raises(ValueError, match="did you mean 'correlation'"):
        make_environments("corelation")
    with pytest.raises(ValueError, match="seed=-1"):
        make_environments(seed=-1)

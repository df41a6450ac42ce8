import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

import workbench as wb
from workbench.colors import BLUE, VERMILION
from workbench.problems.text_gpt import GPT
from workbench.saliency import TokenMaps, explain_tokens


def maps() -> TokenMaps:
    """Two methods at one layer, two texts of three tokens, one target; the second method has signs."""
    values = torch.tensor([[[1.0, 2, 4], [0, 0, 0]], [[-3, 0, 1.5], [1, 1, 1]]])[:, None, :, None]
    return TokenMaps(
        values=values,
        methods=("size", "sign"),
        formulas=("‖g‖", "Σ x g"),
        layers=("embedding",),
        tokens=(("a", " ", "c"), ("x", "\n", "z")),
        position=2,
        targets=torch.tensor([[3], [4]]),
        scores=torch.tensor([[0.5], [0.25]]),
        target_names=(("d",), ("e",)),
        score="logit",
        forwards=1,
        backwards=1,
        seconds=0.01,
    )


def test_the_frame_has_a_row_per_number() -> None:
    frame = maps().frame()
    assert len(frame) == 2 * 1 * 2 * 1 * 3
    row = frame[(frame["method"] == "sign") & (frame["sample"] == 0) & (frame["place"] == 2)]
    assert row["value"].item() == 1.5
    assert (row["token"].item(), row["target"].item(), row["layer"].item()) == ("c", 3, "embedding")


def test_text_is_drawn_on_a_ground_of_its_own_range() -> None:
    axes = maps().plot()
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.25, 0.5, 1], [-1, 0, 0.5]])
    assert [text.get_text() for text in axes.texts] == ["a", "␣", "c"] * 2
    assert axes.get_title() == "logit of 'd' = 0.5"


def test_scores_of_zero_and_line_breaks_can_be_drawn() -> None:
    axes = maps().plot(sample=1)
    np.testing.assert_allclose(axes.images[0].get_array(), [[0, 0, 0], [1, 1, 1]])
    assert axes.texts[1].get_text() == "⏎"


@pytest.mark.parametrize("kind", ["text", "bars"])
def test_dollars_are_no_formula_and_every_sign_has_a_glyph(
    kind: str, recwarn: pytest.WarningsRecorder
) -> None:
    words = (r"$\frac$", "$$", "\n\t")
    found = maps().replace(tokens=(words, words), target_names=(("$^$",), ("e",)))
    axes = found.plot(kind=kind)
    axes.figure.draw_without_rendering()
    assert axes.get_title() == "logit of '$^$' = 0.5"
    assert not [each for each in recwarn if "Glyph" in str(each.message)]


def test_bars_point_up_for_the_class_and_down_against_it() -> None:
    bars = maps().plot(kind="bars")
    assert bars.get_ylim()[0] > bars.get_ylim()[1]  # the first row on top: up is negative
    heights = [patch.get_height() for patch in bars.patches]
    np.testing.assert_allclose(heights, [-0.1125, -0.225, -0.45, 0.45, 0, -0.225])
    assert to_hex(bars.patches[3].get_facecolor()).upper() == VERMILION
    assert to_hex(bars.patches[5].get_facecolor()).upper() == BLUE
    assert [label.get_text() for label in bars.get_xticklabels()] == ["a", "␣", "c"]


def test_the_summary_names_the_tokens_that_count_most() -> None:
    lines = maps().summary().splitlines()
    assert lines[1] == "size at embedding, most in text 0: 'c' (2), ' ' (1), 'a' (0)"
    assert lines[2].startswith("sign at embedding, most in text 0: 'a' (0), 'c' (2)")
    assert "1 forward and 1 backward passes" in lines[3]


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match=r"method='sgn'.*did you mean 'sign'"):
        maps().select("sgn", "embedding")
    with pytest.raises(ValueError, match="layer='blocks'"):
        maps().select("sign", "blocks")
    with pytest.raises(ValueError, match="sample=2 is out of range"):
        maps().plot(sample=2)
    with pytest.raises(ValueError, match=r"kind='bar'.*did you mean 'bars'"):
        maps().plot(kind="bar")


def test_it_survives_saving(tmp_path: Path) -> None:
    again = wb.load_result(maps().save(tmp_path / "tokens.npz"))
    assert isinstance(again, TokenMaps)
    assert again.frame().equals(maps().frame())
    assert again.summary() == maps().summary()


def test_the_figure_grows_with_rows_and_tokens() -> None:
    model = GPT(11, 40, 16, 3).eval()
    found = explain_tokens(model, torch.arange(40)[None] % 11, methods=list(ROWS))
    ax = found.plot()
    ax.figure.canvas.draw()
    boxes = [label.get_window_extent() for label in ax.get_yticklabels()]
    assert len(boxes) == 4 * len(ROWS)
    assert not any(a.overlaps(b) for a, b in itertools.pairwise(boxes))


ROWS = ("gradient", "gradient_norm", "gradient_times_input", "norm_grad", "norm_grad_selective")

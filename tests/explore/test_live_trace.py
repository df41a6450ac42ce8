"""The live figure shows what its recorder recorded, not too often, and all of it in the end."""

import numpy as np
import pytest
import torch
from torch import nn

import workbench as wb
from workbench.explore import live_trace
from workbench.explore.live_figure import LiveFigure
from workbench.stability.full_batch import step_on_all_data


class Parts(wb.Quantity):
    name, cost = "parts", 0.0

    def measure(self, moment):
        return {"": 1.0 + moment.step, "half": (0.5, 0.1), "lost": float("nan")}


@pytest.fixture
def clock(monkeypatch):
    """Time that a test sets."""
    now = [100.0]
    monkeypatch.setattr(live_trace.time, "monotonic", lambda: now[0])
    return now


def make(quantities, **keywords):
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    problem = wb.Problem(model, nn.CrossEntropyLoss(), (torch.randn(8, 3), torch.randint(0, 2, (8,))))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return wb.Recorder(problem, optimizer, quantities, **keywords)


def take_steps(recorder, count):
    for _ in range(count):
        step_on_all_data(recorder.problem, recorder.optimizer)
        recorder.step()


def test_it_follows_twice_a_second_at_most_and_shows_all_in_the_end(clock):
    recorder = make(["loss"], every=2)
    figure = wb.explore.live(recorder)
    assert isinstance(figure, LiveFigure)
    assert not figure.data
    take_steps(recorder, 1)
    assert figure.data[0].x == (0,)
    clock[0] += 0.4
    take_steps(recorder, 4)
    assert figure.data[0].x == (0,)
    clock[0] += 0.1
    take_steps(recorder, 3)
    assert figure.data[0].x == (0, 2, 4, 6)
    take_steps(recorder, 1)
    assert figure.data[0].x == (0, 2, 4, 6)
    recorder.close()
    loss = recorder.trace().of("loss")
    assert figure.data[0].x == (0, 2, 4, 6, 8)
    np.testing.assert_array_equal(figure.data[0].y, loss["value"])


def test_panels_parts_errors_and_the_threshold():
    recorder = make(["loss", "sharpness", "stability_threshold", Parts()], every=1)
    figure = wb.explore.live(recorder)
    with recorder:
        take_steps(recorder, 3)
    trace = recorder.trace()
    lines = {line.name: line for line in figure.data}
    assert list(lines) == ["loss", "sharpness", "parts", "parts: half", "parts: lost", "stability_threshold"]
    np.testing.assert_array_equal(lines["sharpness"].error_y.array, trace.of("sharpness")["error"])
    assert lines["parts"].y == (1, 2, 3)
    assert lines["parts: half"].error_y.array == (0.1, 0.1, 0.1)
    assert lines["parts: lost"].y == (None, None, None)
    assert lines["stability_threshold"].yaxis == lines["sharpness"].yaxis == "y2"
    assert lines["parts"].yaxis == "y3"
    assert [figure.layout[f"yaxis{n}"].title.text for n in ("", 2, 3)] == ["loss", "sharpness", "parts"]


def test_a_threshold_alone_has_a_panel_and_what_was_recorded_before_is_drawn():
    recorder = make(["stability_threshold"], every=1)
    take_steps(recorder, 2)
    figure = wb.explore.live(recorder)
    np.testing.assert_allclose(figure.data[0].y, [20, 20])
    assert figure.layout.yaxis.title.text == "stability threshold"

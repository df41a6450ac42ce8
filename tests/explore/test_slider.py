"""A step holds all that it changes, and the figure shows the step that is active."""

import plotly.graph_objects as go

from workbench.explore.slider import add_slider, move_slider, set_slider, slider_step


def make(kind=go.Figure):
    figure = kind()
    figure.add_scatter(x=[0], y=[0]).add_scatter(x=[0], y=[0])
    figure.add_vline(x=0)
    return add_slider(figure, "at ", pad=60)


def test_the_layout_and_only_the_traces_named_change():
    steps = [
        slider_step(str(place), place, {"shapes[0].x0": place, "title.text": f"at {place}"},
                    {1: {"x": [place], "y": [2 * place]}})
        for place in range(3)
    ]  # fmt: skip
    figure = make()
    set_slider(figure, steps, active=2)
    assert figure.layout.sliders[0].active == 2
    assert (figure.layout.shapes[0].x0, figure.layout.title.text) == (2, "at 2")
    assert [(trace.x, trace.y) for trace in figure.data] == [((0,), (0,)), ((2,), (4,))]
    data, layout, traces = figure.layout.sliders[0].steps[1].args
    assert (data, list(traces)) == ({"x": [[1]], "y": [[2]]}, [1])
    assert layout["sliders[0].active"] == 1
    assert figure.layout.sliders[0].steps[1].method == "update"


def test_a_step_without_traces_changes_the_layout_alone():
    figure = make()
    set_slider(figure, [slider_step("a", 0, {"title.text": "moved"})], active=0)
    (step,) = figure.layout.sliders[0].steps
    assert (step.method, step.label) == ("relayout", "a")
    assert figure.layout.title.text == "moved"


def steps_of(count):
    return [
        slider_step(f"{place} of {count}", place, {"title.text": str(place)}, {0: {"y": [place]}})
        for place in range(count)
    ]


def test_only_the_steps_of_the_last_result_are_left():
    figure = make(go.FigureWidget)
    for count in (2, 4, 1):
        with figure.batch_update():  # as explorers draw
            set_slider(figure, steps_of(count), active=count - 1)
        (slider,) = figure.layout.sliders
        assert [step.label for step in slider.steps] == [f"{place} of {count}" for place in range(count)]
        assert slider.active == count - 1
    assert (slider.currentvalue.prefix, slider.pad.t) == ("at ", 60)


def test_it_is_moved_to_a_share_of_its_way():
    figure = make(go.FigureWidget)
    move_slider(figure, 0.5)  # which is nowhere yet
    assert figure.layout.sliders[0].active is None
    set_slider(figure, steps_of(5), active=0)
    for share, place in ((0.4, 2), (1.0, 4), (0.0, 0)):
        move_slider(figure, share)
        assert figure.layout.sliders[0].active == place
        assert (figure.layout.title.text, figure.data[0].y) == (str(place), (place,))

"""What a page that is loaded again is told of a figure."""

import plotly.graph_objects as go

from workbench.explore.live_figure import LiveFigure


def test_its_state_is_what_it_shows():
    figure = LiveFigure(go.Figure(go.Scatter(y=[0])))
    with figure.batch_update():
        figure.data[0].y = [1, 2]
        figure.layout.yaxis.type = "log"
    state = figure.get_state()
    assert list(state["_widget_data"][0]["y"]) == [1, 2]
    assert state["_widget_layout"]["yaxis"]["type"] == "log"


def test_nothing_offers_to_send_it_to_a_server():
    assert LiveFigure(go.Figure()).get_state()["_config"]["showSendToCloud"] is False


def test_plotly_is_sent_once():
    first, second = LiveFigure(go.Figure()), LiveFigure(go.Figure())
    assert first.get_state()["_library"] == second.get_state()["_library"]
    assert len(first.get_state()["_esm"]) < 10_000 < len(first._library.source)


def test_plotly_is_sent_again_where_all_widgets_were_closed():
    first = LiveFigure(go.Figure())
    first._library.close()
    assert LiveFigure(go.Figure())._library.comm is not None

"""Work reports to a bar, or to the listener of its own thread, which may stop it."""

import sys
import threading

import pytest

from workbench.progress import listening, progress, still_at_work


def work(steps=3):
    with progress("counting", steps) as advance:
        for _ in range(steps):
            advance(1)


def test_a_listener_hears_every_step():
    heard = []
    with listening(lambda *event: heard.append(event)):
        work()
    assert heard == [("counting", done, 3) for done in range(4)]


def test_a_note_is_told_with_the_description():
    heard = []
    with listening(lambda *event: heard.append(event)), progress("training", 2) as advance:
        advance(1, "loss 0.5")
        still_at_work()
        advance(1)
    descriptions = [description for description, _, _ in heard]
    assert descriptions == ["training", "training, loss 0.5", "training, loss 0.5", "training"]


def test_the_listener_is_of_one_thread_and_leaves():
    heard = []
    with listening(lambda *event: heard.append(event)):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    work()
    assert heard == []


def test_a_listener_can_stop_the_work():
    def stop(description, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), listening(stop):
        work()


def test_a_listener_can_stop_the_work_within_a_step():
    heard = []

    def stop(*event):
        heard.append(event)
        if len(heard) == 4:
            raise KeyboardInterrupt

    def nested_work():
        with progress("outer", 2) as advance:
            advance(1)
            with progress("inner", 5):
                pass
            still_at_work()

    with listening(stop), pytest.raises(KeyboardInterrupt):
        nested_work()
    assert heard == [("outer", 0, 2), ("outer", 1, 2), ("inner", 0, 5), ("outer", 1, 2)]
    still_at_work()  # nobody listens any more


def test_no_bar_while_a_report_runs(capsys, monkeypatch, tmp_path):
    from workbench import progress as module

    made = []
    monkeypatch.setenv("WORKBENCH_RUN", str(tmp_path))
    original = module.tqdm
    monkeypatch.setattr(module, "tqdm", lambda **options: made.append(options) or original(**options))
    work()
    assert made[0]["disable"] is True


def test_a_kernel_gets_a_bar_of_text_and_a_terminal_tqdm(monkeypatch):
    from types import SimpleNamespace

    from workbench import progress as module
    from workbench.notebook_bar import NotebookBar

    def bar_in(shell):
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
        with module._bar("counting", 3) as bar:
            return type(bar)

    assert bar_in(None) is bar_in(SimpleNamespace()) is module.tqdm
    assert bar_in(SimpleNamespace(kernel="a kernel")) is NotebookBar

import subprocess
import sys
import warnings

import pytest
import torch

from workbench import paths
from workbench.problems import cache

VALUE = {"model": {"weight": torch.arange(1000.0)}, "metrics": {"loss": 0.5}}


def only_file():
    (file,) = paths.cache().glob("*.pt")
    return file


def must_not_run():
    raise AssertionError("made again although it is cached")


def same(value):
    return torch.equal(value["model"]["weight"], VALUE["model"]["weight"]) and value["metrics"] == {
        "loss": 0.5
    }


def test_made_once_then_read():
    assert same(cache.fetch("key", lambda: VALUE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert same(cache.fetch("key", must_not_run))
    assert sorted(path.name for path in paths.cache().iterdir()) == ["key.lock", "key.pt"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:10],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content[:2000] + bytes([content[2000] ^ 1]) + content[2001:],
        lambda content: content + b"\0",
        lambda content: b"\0" * len(content),
    ],
    ids=["empty", "in the checksum", "half", "last byte", "one bit", "longer", "zeros"],
)
def test_a_damaged_file_is_reported_and_made_again(damage):
    cache.fetch("key", lambda: VALUE)
    whole = only_file().read_bytes()
    only_file().write_bytes(damage(whole))
    with pytest.warns(UserWarning, match="damaged"):
        assert same(cache.fetch("key", lambda: VALUE))
    assert same(cache.fetch("key", must_not_run))


def test_a_file_that_would_run_code_is_not_unpickled(tmp_path):
    import hashlib
    import io

    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "owned"), "w")

    buffer = io.BytesIO()
    torch.save(Evil(), buffer)
    payload = buffer.getvalue()
    (paths.cache() / "key.pt").write_bytes(hashlib.sha256(payload).digest() + payload)
    with pytest.warns(UserWarning, match="something else"):
        assert same(cache.fetch("key", lambda: VALUE))
    assert not (tmp_path / "owned").exists()


def test_what_fails_is_not_kept():
    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.fetch("key", fail)
    assert not list(paths.cache().glob("*.pt"))
    assert same(cache.fetch("key", lambda: VALUE))


def test_a_cache_that_cannot_be_written_costs_only_a_warning(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="will not be kept"):
        assert same(cache.fetch("key", lambda: VALUE))


def test_a_file_that_cannot_be_put_in_place_costs_only_a_warning():
    (paths.cache() / "key.pt").mkdir(parents=True)
    with pytest.warns(UserWarning, match="cannot be") as caught:
        assert same(cache.fetch("key", lambda: VALUE))
    assert len(caught) == 2  # neither read nor written
    assert [path.name for path in paths.cache().glob(".*")] == []


PROCESS = """
import pathlib, sys, time, torch
from workbench.problems import cache
folder = pathlib.Path(sys.argv[1])

def make():
    (folder / f"made-{sys.argv[2]}").touch()
    while len(list(folder.glob("ready-*"))) < 3:   # the others are about to ask, or ask already
        time.sleep(0.01)
    time.sleep(0.3)
    return {"weight": torch.arange(1000.0)}

(folder / f"ready-{sys.argv[2]}").touch()
print(cache.fetch("key", make)["weight"].sum().item())
"""


def test_of_several_processes_one_makes_it_and_the_others_wait(tmp_path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(tmp_path), str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    results = [process.communicate(timeout=120) for process in processes]
    assert [out for out, _ in results] == ["499500.0\n"] * 3, results
    assert len(list(tmp_path.glob("made-*"))) == 1


def test_a_process_that_is_killed_while_it_makes_leaves_nothing_behind(tmp_path):
    forever = PROCESS.replace("time.sleep(0.3)", "print('making', flush=True); time.sleep(600)").replace(
        "< 3", "< 1"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", forever, str(tmp_path), "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "making\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert same(cache.fetch("key", lambda: VALUE))

import subprocess
import sys
import textwrap

import pytest

import workbench as wb
from workbench.problems import check_name, list_problems, load_problem

FACTORY = """
import torch
import workbench as wb
from neighbour import WIDTH

def make(width: int = WIDTH):
    model = torch.nn.Linear(width, 1)
    return wb.Problem(model, torch.nn.MSELoss(), (torch.ones(4, width), torch.ones(4, 1)))

def make_nothing():
    return {"model": 1}

def make_error():
    raise LookupError("mine")

def late():
    import neighbour_late
    return make(neighbour_late.WIDTH)

number = 3
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "net.py").write_text(FACTORY)
    (tmp_path / "mine" / "neighbour.py").write_text("WIDTH = 3")
    (tmp_path / "mine" / "neighbour_late.py").write_text("WIDTH = 5")
    yield tmp_path / "mine"
    for name in ("neighbour", "neighbour_late", "net"):
        sys.modules.pop(name, None)


def test_list_and_check_need_no_torch():
    code = "import sys, workbench.problems as p; p.list_problems(); p.check_name('digits-cnn')"
    code += "; p.check_name('torch.nn:Linear'); print('torch' in sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output == "False\n"


def test_names_are_the_eight():
    assert [card.name for card in list_problems()] == [
        "digits-mlp", "digits-cnn", "digits-transformer", "text-gpt", "diabetes-mlp", "faces-cnn",
        "digit-canvas", "imagenet-mobilenet",
    ]  # fmt: skip
    assert wb.list_problems() == list_problems()


def test_a_file_is_loaded_with_its_folder_on_the_path(folder):
    path = list(sys.path)
    assert load_problem(f"{folder}/net.py:make").num_parameters == 4
    assert load_problem(f"{folder}/net.py:make", width=7).num_parameters == 8
    assert load_problem(f"{folder}/net.py:late").num_parameters == 6
    assert sys.path == path


def test_a_file_is_found_from_the_working_directory_and_read_anew(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert load_problem("mine/net.py:make").num_parameters == 4
    (folder / "net.py").write_text(FACTORY.replace("from neighbour import WIDTH", "WIDTH = 9"))
    assert load_problem("mine/net.py:make").num_parameters == 10


def test_a_module_in_the_working_directory(folder, monkeypatch):
    monkeypatch.chdir(folder)
    check_name("net:make")
    assert "net" not in sys.modules
    assert load_problem("net:make").num_parameters == 4


def test_a_module_in_a_package_is_checked_without_running_it(folder, monkeypatch):
    package = folder / "noisy_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('executed')")
    (package / "part.py").write_text("")
    monkeypatch.chdir(folder)
    check_name("noisy_package.part:make")
    with pytest.raises(ValueError, match=r"no module 'noisy_package\.prat'"):
        check_name("noisy_package.prat:make")
    with pytest.raises(RuntimeError, match="executed"):
        load_problem("noisy_package.part:make")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits-cn", "did you mean 'digits-cnn'"),
        ("digits", "built in are digits-mlp, digits-cnn"),
        ("no_such_module:make", "there is no module 'no_such_module'"),
        ("json.tol:make", "there is no module 'json.tol'"),
        ("nott/here.py:make", "there is no file"),
        ("net:", "cannot read 'net:'"),
        (":make", "cannot read ':make'"),
        ("net:1", "cannot read 'net:1'"),
        ("a b:make", "not the name of a module"),
        ("", "unknown problem ''"),
    ],
)
def test_wrong_names_are_refused_before_anything_runs(name, message):
    for look in (check_name, load_problem):
        with pytest.raises(ValueError, match=message):
            look(name)


def test_a_name_is_a_string():
    with pytest.raises(TypeError, match="not a NoneType"):
        check_name(None)


def test_a_near_file_is_named(folder):
    with pytest.raises(ValueError, match=r"did you mean 'net\.py'"):
        check_name(f"{folder}/nte.py:make")


def test_a_wrong_factory_is_refused(folder):
    file = f"{folder}/net.py"
    with pytest.raises(ValueError, match="no 'mak'; did you mean 'make'"):
        load_problem(f"{file}:mak")
    with pytest.raises(TypeError, match="number is a int, not a function"):
        load_problem(f"{file}:number")
    with pytest.raises(TypeError, match="returned a dict, not a Problem"):
        load_problem(f"{file}:make_nothing")
    with pytest.raises(ValueError, match="no option 'widht'; did you mean 'width'"):
        load_problem(f"{file}:make", widht=3)


def test_what_the_users_code_raises_passes_unchanged(folder):
    with pytest.raises(LookupError, match="mine"):
        load_problem(f"{folder}/net.py:make_error")
    (folder / "net.py").write_text(
        textwrap.dedent("""
        import sys
        seen = sys.path[0]
        raise OSError("while loading")
    """)
    )
    modules = set(sys.modules)
    with pytest.raises(OSError, match="while loading"):
        load_problem(f"{folder}/net.py:make")
    assert not {name for name in set(sys.modules) - modules if name.startswith("net")}

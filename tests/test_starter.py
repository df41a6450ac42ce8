"""The file of `workbench init` is a problem, as it stands."""

from pathlib import Path

import pytest

import workbench as wb
from workbench.starter import TEMPLATE, next_command, write_starter


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_starter(tmp_path / "mine.py")
    return tmp_path / "mine.py"


def test_it_is_a_trained_problem_whose_curvature_can_be_asked(file: Path) -> None:
    problem = wb.load_problem(f"{file}:make", width=8, epochs=5)
    assert problem.num_examples == 569
    assert problem.metrics["accuracy"] > 0.9
    assert problem.weight_decay > 0
    assert not problem.model.training
    pairs = wb.curvature.eigenpairs(wb.curvature.hessian(problem), k=1)
    assert pairs.converged.all()
    assert pairs.values[0] > 0


def test_its_parameters_count_and_the_same_seed_gives_the_same(file: Path) -> None:
    small = wb.load_problem(f"{file}:make", width=3, epochs=1)
    again = wb.load_problem(f"{file}:make", width=3, epochs=1)
    other = wb.load_problem(f"{file}:make", width=3, epochs=1, seed=1)
    assert small.num_parameters == 30 * 3 + 3 + 2 * 3 + 3 * 2 + 2
    assert small.loss_at() == again.loss_at() != other.loss_at()
    assert small.restrict("4.*").num_parameters == 3 * 2 + 2  # the pattern that a comment names


def test_it_names_itself(file: Path) -> None:
    text = file.read_text()
    assert "mine.py:make" in text
    assert TEMPLATE.name not in text


def test_nothing_is_overwritten_not_even_a_dangling_link(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text("precious")
    (tmp_path / "link.py").symlink_to(tmp_path / "nowhere.py")
    (tmp_path / "folder.py").mkdir()
    for name in ("file.py", "link.py", "folder.py"):
        with pytest.raises(ValueError, match="exists and is not overwritten"):
            write_starter(tmp_path / name)
    assert (tmp_path / "file.py").read_text() == "precious"
    assert not (tmp_path / "nowhere.py").exists()


@pytest.mark.parametrize(
    ("name", "message"), [("mine.txt", "must end in .py"), ("nowhere/mine.py", "No such file or directory")]
)
def test_what_cannot_be_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_starter(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_next_command_is_quoted_for_a_shell() -> None:
    assert "-p problem 'my files/a.py:make'" in next_command(Path("my files/a.py"))

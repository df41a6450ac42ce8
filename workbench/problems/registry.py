"""The built-in problems by name, and problems from a factory of the user's own; no torch in here."""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from workbench import paths
from workbench.choices import suggestion

if TYPE_CHECKING:
    from workbench.problem import Problem

_FORMS = "a built-in name, 'module:factory' or 'path/to/file.py:factory'"


@dataclass(frozen=True)
class ProblemCard:
    """What there is to know of a built-in problem before it is loaded.

    Attributes
    ----------
    name : str
        What :func:`load_problem` takes.
    title : str
        One line.
    data : str
        Name of its data card.
    """

    name: str
    title: str
    data: str

    @property
    def card(self) -> Path:
        """File of the data card: source, licence, split, preprocessing, size and figures reached."""
        return paths.data() / f"{self.data}.md"


_BUILT_IN = {
    card.name: card
    for card in (
        ProblemCard("digits-mlp", "fully connected classifier of handwritten digits", "digits"),
        ProblemCard("digits-cnn", "convolutional classifier of handwritten digits, with BatchNorm", "digits"),
        ProblemCard("digits-transformer", "vision transformer on handwritten digits", "digits"),
        ProblemCard("text-gpt", "character-level GPT on English prose", "text"),
        ProblemCard("diabetes-mlp", "regression of the progression of a disease", "diabetes"),
        ProblemCard("faces-cnn", "convolutional classifier of faces and background", "faces"),
        ProblemCard("digit-canvas", "convolutional network that says which digits are on a canvas", "canvas"),
        ProblemCard("imagenet-mobilenet", "MobileNetV2, trained on ImageNet, on photographs", "imagenet"),
    )
}


def list_problems() -> tuple[ProblemCard, ...]:
    """Return the built-in problems."""
    return tuple(_BUILT_IN.values())


def load_problem(name: str, **options: Any) -> "Problem":
    """Load a problem by name.

    Parameters
    ----------
    name : str
        A built-in name (see :func:`list_problems`), ``"module:factory"``, or ``"path/to/file.py:factory"``.
        A file is executed anew at every call, with its folder on ``sys.path``; modules are also looked for
        in the working directory.
    **options
        Keyword arguments of the factory.

    Returns
    -------
    Problem
        A built-in problem is trained at its first use (about a minute on two cores at most) and then cached.

    Raises
    ------
    ValueError
        If there is no such problem, module, file, factory or option; near names are suggested.
    TypeError
        If the factory is not callable or returns something else than a Problem. What the user's own code
        raises passes through unchanged.
    """
    check_name(name)
    place, _, attribute = name.rpartition(":")
    if name in _BUILT_IN:
        module_name = name.replace("-", "_")
        module = importlib.import_module(f"workbench.problems.{module_name}")
        return _call(name, getattr(module, module_name), options)
    with _on_path(_file(place).parent if _is_file(place) else Path.cwd()):
        module = _execute(_file(place)) if _is_file(place) else importlib.import_module(place)
        return _call(name, _factory(name, module, attribute), options)


def check_name(name: str) -> None:
    """Check that ``name`` can be looked up, without importing torch or running any of the user's code.

    Raises
    ------
    TypeError
        If ``name`` is not a string.
    ValueError
        If it is neither a built-in name, nor names a module that can be found or a file that exists.
    """
    if not isinstance(name, str):
        raise TypeError(f"a problem is named by a string, not a {type(name).__name__}: {_FORMS}")
    if name in _BUILT_IN:
        return
    place, colon, attribute = name.rpartition(":")
    if not colon:
        raise ValueError(
            f"unknown problem {name!r}{suggestion(name, _BUILT_IN)}; built in are {', '.join(_BUILT_IN)}; "
            "your own: 'module:factory' or 'path/to/file.py:factory'"
        )
    if not place or not attribute.isidentifier():
        raise ValueError(f"cannot read {name!r} as a problem: {_FORMS}")
    if _is_file(place):
        _check_file(name, _file(place))
    else:
        _check_module(name, place)


def _is_file(place: str) -> bool:
    return place.endswith(".py") or "/" in place or "\\" in place


def _file(place: str) -> Path:
    return Path(place).expanduser().resolve()


def _check_file(name: str, file: Path) -> None:
    if file.is_file():
        return
    there = [path.name for path in file.parent.glob("*.py")] if file.parent.is_dir() else []
    raise ValueError(f"problem {name!r}: there is no file {file}{suggestion(file.name, there)}")


def _check_module(name: str, module: str) -> None:
    """Find a module the way an import does, but without executing its parent packages."""
    if module in sys.modules:
        return
    if not all(part.isidentifier() for part in module.split(".")):
        raise ValueError(f"problem {name!r}: {module!r} is not the name of a module; a file ends in .py")
    top, *rest = module.split(".")
    with _on_path(Path.cwd()):
        found = importlib.util.find_spec(top)
        for index in range(len(rest)):
            if found is None:
                break
            found = PathFinder.find_spec(
                ".".join([top, *rest[: index + 1]]), found.submodule_search_locations or []
            )
    if found is None:
        raise ValueError(
            f"problem {name!r}: there is no module {module!r} (looked on sys.path and in {Path.cwd()})"
        )


@contextmanager
def _on_path(folder: Path) -> Iterator[None]:
    """Put a folder first on ``sys.path`` for a while."""
    importlib.invalidate_caches()  # a file written a moment ago must be found
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        if entry in sys.path:
            sys.path.remove(entry)


def _execute(file: Path) -> ModuleType:
    """Execute a file as a module, known to ``sys.modules`` so that its classes can be found."""
    module_name = f"{file.stem}_{sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"{file} is not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


def _factory(name: str, module: ModuleType, attribute: str) -> Callable[..., Any]:
    if not hasattr(module, attribute):
        callables = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise ValueError(
            f"problem {name!r}: {module.__name__} has no {attribute!r}{suggestion(attribute, callables)}"
        )
    factory = getattr(module, attribute)
    if not callable(factory):
        raise TypeError(f"problem {name!r}: {attribute} is a {type(factory).__name__}, not a function")
    return factory


def _call(name: str, factory: Callable[..., Any], options: dict[str, Any]) -> "Problem":
    from workbench.problem import Problem

    _check_options(name, factory, options)
    problem = factory(**options)
    if not isinstance(problem, Problem):
        raise TypeError(f"problem {name!r}: the factory returned a {type(problem).__name__}, not a Problem")
    return problem


def _check_options(name: str, factory: Callable[..., Any], options: dict[str, Any]) -> None:
    try:
        parameters = inspect.signature(factory).parameters.values()
    except ValueError:  # a callable that does not tell its signature checks its options itself
        return
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    allowed = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for option in options:
        if option not in allowed:
            raise ValueError(
                f"problem {name!r} has no option {option!r}{suggestion(option, allowed)}; "
                f"it takes {', '.join(allowed) or 'none'}"
            )

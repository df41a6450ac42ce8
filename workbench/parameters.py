"""The parameters cell of a notebook, read as the one schema of what the notebook can be asked.

A parameters cell (papermill's tag ``parameters``) holds imports and annotated assignments with a comment::

    from typing import Annotated, Literal
    from annotated_types import Interval

    problem: str = "digits-cnn"  # built-in problem, module:factory or path/file.py:factory
    k: Annotated[int, Interval(ge=1, le=200)] = 10  # number of eigenpairs
    which: Literal["LA", "SA"] = "LA"  # the end of the spectrum

The cell is read, never run: annotations may use the names of ``_NAMES``, defaults are literals.
Widgets, ``workbench describe``, validation and the heading of a report all use what is read here.

Values that come as text (from the command line, or quoted in YAML) are read by the type of their parameter:

- ``None`` means None where None is allowed; ``true`` and ``false`` (any case) are the booleans;
- a whole number may be written ``1e2`` for an ``int``; nan and the infinities are never allowed;
- lists and dictionaries are JSON;
- text stands for itself.
"""

import ast
import io
import json
import math
import re
import tokenize
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from annotated_types import Interval

from workbench import paths
from workbench.choices import suggestion

if TYPE_CHECKING:
    from pydantic import BaseModel

_NAMES: dict[str, Any] = {
    "Annotated": Annotated,
    "Interval": Interval,
    "Literal": Literal,
    "bool": bool,
    "dict": dict,
    "float": float,
    "int": int,
    "list": list,
    "str": str,
}
_NO_PARAMETERS = (
    "has no parameters to set: give the tag 'parameters' to the cell that assigns them (in JupyterLab: "
    "Property Inspector, Cell Tags), one a line: `name: type = value  # meaning`"
)
_SYNTAX = (
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.Subscript,
    ast.Tuple,
    ast.BinOp,
    ast.BitOr,
    ast.UnaryOp,
    ast.USub,
    ast.Call,
    ast.keyword,
)


@dataclass(frozen=True)
class Parameter:
    """One line of a parameters cell.

    Attributes
    ----------
    name : str
    annotation : Any
        The type as Python evaluates it, e.g. ``Annotated[int, Interval(ge=1)]``.
    type : str
        The type without its range, e.g. ``"int"``, ``"list[int] | None"``; ``"choice"`` for a ``Literal``.
    default : Any
    meaning : str
        The comment at the end of the line.
    """

    name: str
    annotation: Any
    type: str
    default: Any
    meaning: str

    @property
    def choices(self) -> tuple[Any, ...] | None:
        """The values of a ``Literal``; None for other types."""
        return typing.get_args(self.annotation) if typing.get_origin(self.annotation) is Literal else None

    @property
    def interval(self) -> Interval | None:
        """The range of a number with its open and closed ends; None if it has none."""
        for member in _members(self.annotation):
            for mark in getattr(member, "__metadata__", ()):
                return mark
        return None

    @property
    def minimum(self) -> Any:
        """Lower end of the range, whether or not it belongs to it; None if there is none."""
        interval = self.interval
        return interval and (interval.ge if interval.ge is not None else interval.gt)

    @property
    def maximum(self) -> Any:
        """Upper end of the range, whether or not it belongs to it; None if there is none."""
        interval = self.interval
        return interval and (interval.le if interval.le is not None else interval.lt)

    @property
    def range(self) -> str:
        """What values are allowed, in words: ``"1 ≤ k ≤ 200"``, ``"'LA', 'SA'"``, or empty."""
        if self.choices is not None:
            return ", ".join(map(repr, self.choices))
        if self.interval is None:
            return ""
        below = "" if self.minimum is None else f"{self.minimum} {'<' if self.interval.ge is None else '≤'} "
        above = "" if self.maximum is None else f" {'<' if self.interval.le is None else '≤'} {self.maximum}"
        return f"{below}{self.name}{above}"

    def text(self, value: Any) -> str:
        """``value`` as it is written on the command line."""
        return json.dumps(value) if isinstance(value, list | dict) else str(value)

    def refusal(self, value: Any) -> str:
        """One line that says that ``value`` is not allowed, and what is."""
        allowed = f"one of {self.range}" if self.choices else ", ".join(filter(None, (self.type, self.range)))
        hint = suggestion(value, self.choices or ()) if isinstance(value, str) else ""
        return f"{self.name} = {value!r} is not allowed; expected {allowed}{hint}"


@dataclass(frozen=True)
class Notebook:
    """What is known of a notebook without running it.

    Attributes
    ----------
    name : str
        The file's name without its number: ``01_curvature.ipynb`` is called ``curvature``.
    path : Path
    title : str
        ``metadata.workbench.title``, else the first heading, else the name.
    parameters : tuple of Parameter
        In the order of the cell; empty if the notebook has no parameters cell.
    presets : dict
        ``metadata.workbench.presets``: named sets of values, as they stand there.
    """

    name: str
    path: Path
    title: str
    parameters: tuple[Parameter, ...]
    presets: dict[str, dict[str, Any]]

    def validate(self, values: Mapping[str, Any], preset: str | None = None) -> dict[str, Any]:
        """Complete and check a set of values.

        Parameters
        ----------
        values : mapping of str to Any
            Values of the right type, or text that is read by the rules of this module. They win over the
            preset, which wins over the defaults.
        preset : str, optional
            Name of one of the notebook's presets.

        Returns
        -------
        dict
            A value for every parameter, in the order of the cell.

        Raises
        ------
        ValueError
            With everything that is wrong in one line: unknown names with the nearest known one, values of
            the wrong type or out of range.
        """
        asked = {**self._preset(preset), **values}
        if asked and not self.parameters:
            raise ValueError(f"{self.path.name} {_NO_PARAMETERS}")
        known = {parameter.name: parameter for parameter in self.parameters}
        wrong = [_unknown("parameter", name, known, self.name) for name in asked if name not in known]
        typed: dict[str, Any] = {}
        for name in known.keys() & asked.keys():
            try:
                typed[name] = _typed(asked[name], known[name].annotation)
            except ValueError:
                wrong.append(known[name].refusal(asked[name]))
        if wrong:
            raise ValueError("; ".join(wrong))
        return self._checked(typed, known)

    def model(self) -> "type[BaseModel]":
        """Pydantic model of the parameters: strict, with a default for each, other names forbidden."""
        import warnings

        from pydantic import ConfigDict, create_model

        config = ConfigDict(
            strict=True,
            extra="forbid",
            validate_default=True,
            allow_inf_nan=False,
            protected_namespaces=(),
        )
        fields: dict[str, Any] = {each.name: (each.annotation, each.default) for each in self.parameters}
        with warnings.catch_warnings():
            # A parameter may be called `copy` or `schema` like a method of the model; only fields are used.
            warnings.simplefilter("ignore", UserWarning)
            return create_model("Parameters", __config__=config, **fields)

    def lint(self) -> None:
        """Check that the defaults and every preset are allowed.

        Raises
        ------
        ValueError
            Naming the notebook, the preset and what is wrong.
        """
        for preset in (None, *self.presets):
            try:
                self.validate({}, preset)
            except ValueError as error:
                place = "defaults" if preset is None else f"preset {preset!r}"
                raise ValueError(f"{self.path.name}, {place}: {error}") from error

    def _preset(self, preset: str | None) -> dict[str, Any]:
        if preset is None:
            return {}
        if preset not in self.presets:
            raise ValueError(_unknown("preset", preset, self.presets, self.name))
        return self.presets[preset]

    def _checked(self, values: dict[str, Any], known: dict[str, Parameter]) -> dict[str, Any]:
        from pydantic import ValidationError

        try:
            return self.model()(**values).model_dump()
        except ValidationError as error:
            names = dict.fromkeys(str(detail["loc"][0]) for detail in error.errors())
            refusals = (known[name].refusal(values.get(name, known[name].default)) for name in names)
            raise ValueError("; ".join(refusals)) from error


def list_notebooks() -> list[Notebook]:
    """Return the notebooks that ship with Workbench, in the order of their numbers."""
    return [_read(path) for path in _shipped().values()]


def read_notebook(name_or_path: str | Path) -> Notebook:
    """Read the schema of a shipped notebook by its name, or of any notebook by its path (``….ipynb``).

    Raises
    ------
    ValueError
        If there is no such notebook (with the nearest name), it is not a notebook, or its parameters cell
        holds anything but imports and annotated assignments of literals.
    """
    if str(name_or_path).endswith(".ipynb"):
        return _read(Path(name_or_path))
    shipped = _shipped()
    if name_or_path not in shipped:
        hint = suggestion(str(name_or_path), shipped)
        known = ", ".join(shipped) or "none"
        raise ValueError(
            f"unknown notebook {str(name_or_path)!r}{hint} (known: {known}; or a path that ends in .ipynb)"
        )
    return _read(shipped[str(name_or_path)])


def _unknown(kind: str, name: str, known: Iterable[str], notebook: str) -> str:
    names = ", ".join(known) or "none"
    return f"{notebook} has no {kind} {name!r}{suggestion(name, known)} (known: {names})"


# Reading the file --------------------------------------------------------------------------------------


def _shipped() -> dict[str, Path]:
    return {_name(path): path for path in sorted(paths.notebooks().glob("*.ipynb"))}


def _name(path: Path) -> str:
    return re.sub(r"^\d+_", "", path.stem)


def _read(path: Path) -> Notebook:
    # nbformat takes two seconds to import; the few fields that are needed here are plain JSON.
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells = [(cell["cell_type"], _tags(cell), "".join(cell["source"])) for cell in content["cells"]]
        own = content["metadata"].get("workbench", {})
    except OSError as error:
        raise ValueError(f"cannot read the notebook {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a notebook of format 4") from error
    sources = [source for kind, tags, source in cells if kind == "code" and "parameters" in tags]
    if len(sources) > 1:
        raise ValueError(f"{path.name} has {len(sources)} cells with the tag 'parameters'; one is allowed")
    try:
        parameters = _parameters(sources[0]) if sources else ()
    except ValueError as error:
        raise ValueError(f"{path.name}, parameters cell: {error}") from error
    title = own.get("title") or _heading(source for kind, _, source in cells if kind == "markdown")
    return Notebook(_name(path), path, title or _name(path), parameters, own.get("presets", {}))


def _tags(cell: dict[str, Any]) -> list[str]:
    return cell.get("metadata", {}).get("tags", [])


def _heading(texts: Iterable[str]) -> str | None:
    for text in texts:
        if found := re.search(r"^#+ +(.+)$", text, re.MULTILINE):
            return found[1].strip()
    return None


# Reading the cell --------------------------------------------------------------------------------------


def _parameters(source: str) -> tuple[Parameter, ...]:
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from error
    comments = _comments(source)
    parameters: dict[str, Parameter] = {}
    for statement in statements:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            continue
        parameter = _parameter(statement, comments.get(statement.end_lineno or 0, ""))
        if parameter.name in parameters:
            raise ValueError(f"{parameter.name!r} is assigned twice")
        parameters[parameter.name] = parameter
    return tuple(parameters.values())


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {
        token.start[0]: token.string.lstrip("#").strip() for token in tokens if token.type == tokenize.COMMENT
    }


def _parameter(statement: ast.stmt, meaning: str) -> Parameter:
    text = ast.unparse(statement)
    if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
        raise ValueError(f"{text!r} is neither an import nor an assignment `name: type = value  # meaning`")
    if statement.value is None:
        raise ValueError(f"{text!r} has no default")
    try:
        default = ast.literal_eval(statement.value)
    except ValueError:
        raise ValueError(f"the default in {text!r} is not a literal") from None
    annotation = _evaluate(statement.annotation)
    return Parameter(statement.target.id, annotation, _type_text(statement.annotation), default, meaning)


def _evaluate(node: ast.expr) -> Any:
    """Evaluate an annotation without running anything but subscripts, ``|`` and ``Interval(…)``."""
    text = ast.unparse(node)
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id not in _NAMES:
            raise ValueError(f"unknown name {part.id!r} in the type {text!r} (known: {', '.join(_NAMES)})")
        if not isinstance(part, _SYNTAX):
            raise ValueError(f"the type {text!r} is more than names, subscripts, `|` and Interval(…)")
    try:
        annotation = eval(compile(ast.Expression(node), "<parameters>", "eval"), {"__builtins__": {}}, _NAMES)
        _require_supported(annotation)
    except TypeError as error:
        raise ValueError(f"the type {text!r} is not usable: {error}") from error
    return annotation


def _require_supported(annotation: Any) -> None:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in (int, float, str, bool, None, types.NoneType) or origin is Literal:
        return
    if origin is Annotated and len(arguments) == 2 and isinstance(arguments[1], Interval):
        if arguments[0] not in (int, float):
            raise TypeError("an Interval bounds an int or a float; write `Annotated[int, …] | None`")
    elif origin in (Union, types.UnionType, list):
        for argument in arguments:
            _require_supported(argument)
    elif origin is dict and arguments[0] is str:
        _require_supported(arguments[1])
    else:
        raise TypeError(
            "supported are int, float, str, bool, None, their unions, list[…], dict[str, …], Literal[…] "
            "and Annotated[number, Interval(…)]"
        )


def _type_text(node: ast.expr) -> str:
    if isinstance(node, ast.BinOp):
        return f"{_type_text(node.left)} | {_type_text(node.right)}"
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        if node.value.id == "Literal":
            return "choice"
        if node.value.id == "Annotated" and isinstance(node.slice, ast.Tuple):
            return _type_text(node.slice.elts[0])
    return ast.unparse(node)


# Reading a value ---------------------------------------------------------------------------------------


def _members(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    is_union = typing.get_origin(annotation) in (Union, types.UnionType)
    return typing.get_args(annotation) if is_union else (annotation,)


def _typed(value: Any, annotation: Any) -> Any:
    """Return ``value`` itself unless it is text, which is read as the first type that can be read so."""
    if not isinstance(value, str):
        return value
    readers = [reader for member in _members(annotation) for reader in [_reader(member)]]
    for reader in sorted(readers, key=lambda reader: reader is str):  # text last: it takes everything
        try:
            return reader(value)
        except ValueError:
            continue
    raise ValueError(f"{value!r} cannot be read as {annotation}")


def _reader(annotation: Any) -> Any:
    if typing.get_origin(annotation) is Annotated:
        return _reader(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) is Literal:
        return lambda text: _choice(text, typing.get_args(annotation))
    if typing.get_origin(annotation) in (list, dict):
        return json.loads
    return {bool: _boolean, int: _whole, float: _number, str: str, types.NoneType: _none}[annotation]


def _choice(text: str, choices: tuple[Any, ...]) -> Any:
    for choice in choices:
        if text == str(choice):
            return choice
    raise ValueError(text)


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        number = _number(text)
        if not number.is_integer():
            raise
        return int(number)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _none(text: str) -> None:
    if text != "None":
        raise ValueError(text)

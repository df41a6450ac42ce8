"""``OneCall``: what a view computes, and its code, where the controls are arguments of one function."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workbench.explore.view import Results, Values
from workbench.problem import Problem
from workbench.result import Result


@dataclass(frozen=True)
class OneCall:
    """A function that gets the values of some controls by their names, and a problem if it takes one.

    Where several views show its result, the function that they share has ``remembered`` call ``compute``.

    Attributes
    ----------
    name : str
        Of its result, among the view's results and in the code.
    function : callable
    call : str
        How the code calls it.
    asked : tuple of str
        The controls that it takes.
    module : str
        Where the code imports it from; by default it is found from ``wb`` on.
    takes_problem : bool
        Whether the problem is its first argument.
    """

    name: str
    function: Callable[..., Result]
    call: str
    asked: tuple[str, ...]
    module: str = ""
    takes_problem: bool = False

    def compute(self, problem: Problem | None, values: Values) -> Results:
        """Call it; a result that was cut short is none."""
        first: tuple[Any, ...] = (problem,) if self.takes_problem else ()
        found = self.function(*first, **{name: values[name] for name in self.asked})
        if getattr(found, "interrupted", False):
            raise KeyboardInterrupt
        return {self.name: found}

    def code(self, values: Values) -> str:
        """Return the lines that call it and show its result."""
        first = ["problem"] if self.takes_problem else []
        arguments = ", ".join([*first, *(f"{name}={values[name]!r}" for name in self.asked)])
        imports = f"from {self.module} import {self.call}" if self.module else "import workbench as wb"
        return (
            f"{imports}\n\n"
            f"{self.name} = {self.call}({arguments})\n"
            f"{self.name}.plot()\n"
            f"print({self.name}.summary())"
        )

"""Where a controller takes logits from: the batch that the model has just seen, a problem, or a function."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from workbench.composed import Composed
from workbench.problem import Problem
from workbench.stability.forward_mode import _LEVEL
from workbench.stability.slopes import logits_and_slopes, two_classes

Pairs = Iterator[tuple[Tensor, Tensor]]


class LogitSource(Protocol):
    """Gives logits and their slopes along a direction, where the parameters are now."""

    description: str

    def pairs(self, parameters: Sequence[Tensor], direction: Sequence[Tensor]) -> Pairs:
        """Yield logits and slopes (rows, classes); ``direction`` has a tensor for each of ``parameters``."""


class FunctionLogits:
    """Logits as a function of the optimizer's parameters, in the order of its groups."""

    description = "the function given"

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function = function

    def pairs(self, parameters: Sequence[Tensor], direction: Sequence[Tensor]) -> Pairs:
        """Yield one pair, by one product.

        Raises
        ------
        TypeError, ValueError
            If what the function returns is no tensor (examples, classes), or has no forward-mode derivative.
        """

        def logits(*values: Tensor) -> Tensor:
            return _rows(self.function(*values), "the function's result", "return one tensor of logits")

        yield _product(logits, parameters, direction)


class ProblemLogits:
    """Logits of all the data of a problem, batch by batch."""

    def __init__(self, problem: Problem, parameters: Sequence[Tensor]) -> None:
        self.problem = problem
        self.description = f"all of problem {problem.name!r}"
        self._selected = {part.name for part in problem.layout}
        names = _names(problem.model, parameters)
        moved = [name for name, each in zip(names, parameters, strict=True) if each.requires_grad]
        self._refuse_others(moved)  # frozen ones may stand in the optimizer: it does not move them

    def pairs(self, parameters: Sequence[Tensor], direction: Sequence[Tensor]) -> Pairs:
        """Yield one pair for each batch, by one product each, with the model in eval mode."""
        parts = dict(zip(_names(self.problem.model, parameters), direction, strict=True))
        self._refuse_others(name for name, part in parts.items() if name not in self._selected and part.any())
        held = self.problem.parameters()
        flat = [parts.get(name, torch.zeros_like(tensor)).reshape(-1) for name, tensor in held.items()]
        vector = torch.cat([part.to(self.problem.dtype) for part in flat])
        with evaluating(self.problem.model):
            yield from logits_and_slopes(self.problem, vector)

    def _refuse_others(self, moved: Iterable[str]) -> None:
        other = next((name for name in moved if name not in self._selected), None)
        if other is not None:
            raise ValueError(
                f"the problem does not select {other!r}, which the optimizer moves: the radius would not be "
                "that of the update"
            )


class BatchLogits:
    """Logits of the inputs that a model was called with last, while gradients were recorded.

    Calls under ``torch.no_grad()``, as in an evaluation, and calls with other tensors in place of the model's
    parameters, as in an analysis, are not the training's and do not count.
    """

    description = "the last batch that the model was trained on"

    def __init__(self, model: nn.Module, read: Callable[[Any], Tensor], parameters: Sequence[Tensor]) -> None:
        _names(model, parameters)  # refuses what the model does not have
        self.model, self.read = model, read
        self.inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None
        source = weakref.ref(self)  # the hook must not keep a controller alive that is no longer used

        def remember(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            here = source()
            if here is not None and module is here.model and torch.is_grad_enabled() and _own(module):
                here.inputs = args, kwargs

        handle = model.register_forward_pre_hook(remember, with_kwargs=True)
        weakref.finalize(self, handle.remove)

    def pairs(self, parameters: Sequence[Tensor], direction: Sequence[Tensor]) -> Pairs:
        """Yield one pair, by one product, with the model in eval mode.

        Raises
        ------
        TypeError
            If the logits are no tensor.
        ValueError
            If they are not (examples, classes), the model has not been called yet, or has no forward-mode
            derivative.
        """
        if self.inputs is None:
            raise ValueError(
                "the model has not been called since the controller was made, so there is no batch: call it "
                "while gradients are recorded, or pass a Problem or a function in its place"
            )
        args, kwargs = self.inputs
        names = _names(self.model, parameters)
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}

        def logits(*values: Tensor) -> Tensor:
            state = {**buffers, **dict(zip(names, values, strict=True))}
            outputs = self.read(functional_call(self.model, state, args, kwargs))
            return _rows(
                outputs, "the model's output", "pass read=, e.g. read=lambda output: output['logits']"
            )

        with evaluating(self.model):
            yield _product(logits, parameters, direction)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put all modules into eval mode, and each back into its own mode afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def _product(
    function: Callable[..., Tensor], parameters: Sequence[Tensor], direction: Sequence[Tensor]
) -> tuple[Tensor, Tensor]:
    """Logits and slopes of a function of the parameters, by one forward-mode product."""
    point = tuple(parameter.detach() for parameter in parameters)
    try:
        with _LEVEL, torch.no_grad(), Composed():
            logits, slopes, *_ = jvp(function, point, tuple(direction))
    except RuntimeError as error:
        if not isinstance(error, NotImplementedError) and "setup_context" not in str(error):
            raise
        raise ValueError(
            "the logits have an operation without a forward-mode derivative, such as a recurrent layer or an "
            "autograd.Function: pass a Problem in place of the module or function, which has two backward "
            "passes for it"
        ) from error
    return logits, slopes


def _rows(logits: Any, name: str, remedy: str) -> Tensor:
    """(rows, classes) from what a user's function gives, one column as two classes.

    Nothing here knows the loss: of more dimensions, any may be that of the classes.
    """
    if not isinstance(logits, Tensor):
        raise TypeError(f"{name} is a {type(logits).__name__}, not a tensor: {remedy}")
    if logits.dim() == 2:
        return two_classes(logits)
    example = "unsqueeze(1)" if logits.dim() < 2 else "flatten(0, 1)"
    raise ValueError(
        f"{name} has shape {tuple(logits.shape)}, not (rows, classes): make it that, for a module by read=, "
        f"e.g. read=lambda output: output.{example}"
    )


def _names(model: nn.Module, parameters: Sequence[Tensor]) -> list[str]:
    """Names of the optimizer's parameters in the model."""
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    missing = [parameter for parameter in parameters if id(parameter) not in known]
    if missing:
        raise ValueError(
            f"the optimizer holds a parameter of shape {tuple(missing[0].shape)} that is none of the model's"
        )
    return [known[id(parameter)] for parameter in parameters]


def _own(model: nn.Module) -> bool:
    """Whether the model holds parameters: a functional call puts plain tensors in their place."""
    return all(isinstance(parameter, nn.Parameter) for parameter in model.parameters())

"""``Watch``: statistics of what a model's innermost modules return, and of the gradient there."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList
from torch.overrides import TorchFunctionMode

from workbench.batches import tensors
from workbench.hooks import of_this_thread
from workbench.moment import Reading

# A saturated sigmoid or tanh passes on less than this part of the most that it can; 1 - tanh² and 4 s (1 - s)
# are that part, and the same function of the input, as tanh(x) = 2 s(2 x) - 1.
FLAT = 0.05

_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.Hardswish)
_SQUASHERS = {nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
_FUNCTIONS: dict[Any, str] = {
    F.relu: "relu", torch.relu: "relu", torch.relu_: "relu", Tensor.relu: "relu", Tensor.relu_: "relu",
    F.relu6: "relu6", F.hardswish: "hardswish",
    torch.tanh: "tanh", Tensor.tanh: "tanh", Tensor.tanh_: "tanh",
    torch.sigmoid: "sigmoid", Tensor.sigmoid: "sigmoid", Tensor.sigmoid_: "sigmoid",
}  # fmt: skip
_CHANNELS_FIRST = {f"torch.nn.modules.{name}" for name in ("conv", "pooling", "batchnorm", "instancenorm")}
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.RNNBase)


class MeanSquare:
    """Mean square of values that come in groups of examples, several times per example.

    Each example counts alike; ``flush`` ends a group.
    """

    def __init__(self) -> None:
        self._pending: Tensor | None = None
        self._times = 0
        self._known: list[Tensor] = []
        self._grouped = True

    def add(self, values: Tensor, examples: int, scale: float = 1.0) -> None:
        """Take a tensor of finite values, whose first dimension holds the examples if it is as long."""
        if values.shape[0] != examples:
            self._grouped = False
            rows = _mean_squares(values.reshape(1, -1)).expand(examples)
        else:
            rows = _mean_squares(values.reshape(examples, -1))
        rows = rows * scale**2
        self._pending = rows if self._pending is None else self._pending + rows
        self._times += 1

    def flush(self) -> None:
        """End the group."""
        if self._pending is not None:
            self._known.append(self._pending.cpu() / self._times)
        self._pending, self._times = None, 0

    @property
    def root(self) -> Reading:
        """Root of the mean, with its standard error over the examples, to first order."""
        if not self._known:
            return Reading(math.nan, math.nan)
        squares = torch.cat(self._known)
        root = math.sqrt(squares.mean().item())
        if len(squares) < 2 or not self._grouped:
            return Reading(root, math.nan)
        error = squares.std().item() / math.sqrt(len(squares))
        return Reading(root, error / (2 * root) if root else 0.0)


@dataclasses.dataclass
class Record:
    """What was seen of one module, or of one activation function within a module.

    ``alive`` has, for each unit of a rectifier, whether it was ever other than zero; None if it has no units,
    or another number of them from batch to batch. ``apart`` is whether an output had no row for each example:
    a position embedding that the batch shares, a dimension before that of the examples. What of its gradient
    is an example's is not known then.
    """

    kind: str
    layer: bool
    function: str = ""
    calls: int = 0
    elements: int = 0
    largest: float = 0.0
    unfinite: int = 0
    gradient_unfinite: int = 0
    zeros: int = 0
    flat: int = 0
    alive: Tensor | None = None
    apart: bool = False
    values: MeanSquare = dataclasses.field(default_factory=MeanSquare)
    gradients: MeanSquare = dataclasses.field(default_factory=MeanSquare)

    @property
    def slope(self) -> Reading:
        """Root mean square of the gradient of an example's loss; nan if what is an example's is not known."""
        return Reading(math.nan, math.nan) if self.apart else self.gradients.root

    @property
    def rectifies(self) -> bool:
        """Whether it is a ReLU or a function with a flat zero like it."""
        return self.function in ("relu", "relu6", "hardswish")

    @property
    def squashes(self) -> bool:
        """Whether it is a sigmoid or a tanh."""
        return self.function in ("tanh", "sigmoid")


@dataclasses.dataclass
class _Call:
    """A module that is being called."""

    name: str
    module: nn.Module
    calls_others: bool = False
    functions: int = 0


class Watch(TorchFunctionMode):
    """Inside this context, forward and backward passes are watched; use :meth:`watching` to enter it.

    Attributes
    ----------
    records : dict
        By name of the module, and ``"name (relu 1)"`` for a function called in it, in the order of the calls.
        A rectifier that is called again in the same pass has other units, and a record of its own:
        ``"name (call 2)"``.
    examples : int
        Of the batch that is passed on at the moment.
    scale : float
        What its gradients are multiplied by.
    """

    def __init__(self) -> None:
        super().__init__()
        self.records: dict[str, Record] = {}
        self.examples, self.scale = 1, 1.0
        self._calls: list[_Call] = []
        self._called: Counter[str] = Counter()  # rectifiers, in this pass
        self._units: dict[torch.Size, int] = {}  # dimension of the channels, by shape of what came last

    def flush(self) -> None:
        """End a batch."""
        self._calls, self._called, self._units = [], Counter(), {}
        for record in self.records.values():
            record.values.flush()
            record.gradients.flush()

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Hang hooks on all modules of a model, and take them away at the end, also when it raises."""
        handles = []
        try:
            for name, module in _outside_parametrizations(model):
                enter = of_this_thread(self._entering(name))
                handles.append(module.register_forward_pre_hook(enter))
                handles.append(module.register_forward_hook(of_this_thread(self._leave), always_call=True))
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        function = _FUNCTIONS.get(func)
        if function and self._calls and not _in_backward() and isinstance(result, Tensor):
            call = self._calls[-1]
            if not _function_of(call.module):
                call.functions += 1
                name = f"{call.name or 'model'} ({function} {call.functions})"
                self._note(name, Record(f"F.{function}", False, function), result)
        return result

    def _entering(self, name: str) -> Callable[..., None]:
        def enter(module: nn.Module, _: Any) -> None:
            if _in_backward():  # a checkpointed block is computed again
                return
            if self._calls:
                self._calls[-1].calls_others = True
            self._calls.append(_Call(name, module))

        return enter

    def _leave(self, module: nn.Module, _: Any, output: Any) -> None:
        if _in_backward() or not self._calls:
            return
        call = self._calls.pop()
        found = [each for each in tensors(output) if each.is_floating_point() and each.dim()]
        if not found:
            return
        dim = _channels(module)
        if dim is not None:
            self._units[found[0].shape] = dim
        if not call.calls_others:
            kind = type(module).__name__
            layer = "Norm" not in kind and any(True for _ in module.parameters(recurse=False))
            self._note(call.name, Record(kind, layer, _function_of(module)), found[0])

    def _note(self, name: str, new: Record, output: Tensor) -> None:
        if new.rectifies:
            self._called[name] += 1
            if self._called[name] > 1:
                name = f"{name} (call {self._called[name]})"
        record = self.records.setdefault(name, new)
        if not output.numel():  # an expert that no example was sent to
            return
        values, unfinite = _finite(output.detach())
        record.calls += 1
        record.apart |= output.shape[0] != self.examples
        record.elements += values.numel()
        record.unfinite += unfinite
        record.largest = max(record.largest, float(values.abs().max()))
        record.values.add(values, self.examples)
        if record.rectifies:
            self._note_zeros(record, output.detach())
        elif record.squashes:
            record.flat += int((_slope(record.function, values) < FLAT).sum())
        if output.requires_grad:
            output.register_hook(self._noting_gradient(record, self.examples, self.scale))

    def _note_zeros(self, record: Record, values: Tensor) -> None:
        active = values != 0
        record.zeros += int((~active).sum())
        if active.dim() > 1:
            dim = self._units.get(values.shape, 1 if values.dim() > 3 else -1)
            active = active.movedim(dim, -1).flatten(0, -2)
        alive = active.reshape(-1, active.shape[-1] if active.dim() > 1 else 1).any(dim=0)
        if record.calls == 1:
            record.alive = alive
        elif record.alive is not None:
            record.alive = record.alive | alive if record.alive.shape == alive.shape else None

    def _noting_gradient(self, record: Record, examples: int, scale: float) -> Callable[[Tensor], None]:
        def note(gradient: Tensor) -> None:
            if self._calls:  # a gradient that the model takes itself, on its way forward
                return
            values, unfinite = _finite(gradient)
            record.gradient_unfinite += unfinite
            if not record.apart:
                record.gradients.add(values, examples, scale)

        return note


def _mean_squares(rows: Tensor) -> Tensor:
    """Mean square of each row, in float64."""
    return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64).square() / max(rows.shape[1], 1)


def _finite(values: Tensor) -> tuple[Tensor, int]:
    """Values with 0 in place of what is not finite, and how many these are."""
    if values.sum(dtype=torch.float64).isfinite():  # an inf or a nan would be in the sum
        return values, 0
    finite = values.isfinite()
    return values.where(finite, 0), int((~finite).sum())


def _outside_parametrizations(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """All modules but those that make weights, whose outputs are no activations."""
    makers = {
        id(each)
        for module in model.modules()
        if isinstance(module, ParametrizationList)
        for each in module.modules()
    }
    return [(name, module) for name, module in model.named_modules() if id(module) not in makers]


def _function_of(module: nn.Module) -> str:
    if isinstance(module, _RECTIFIERS):
        return next(kind.__name__.lower() for kind in _RECTIFIERS if isinstance(module, kind))
    return next((name for kind, name in _SQUASHERS.items() if isinstance(module, kind)), "")


def _channels(module: nn.Module) -> int | None:
    """Which dimension of a module's output holds the channels; None if that is not known of its kind."""
    if isinstance(module, _CHANNELS_LAST):
        return -1
    first = isinstance(module, nn.GroupNorm) or any(
        kind.__module__ in _CHANNELS_FIRST for kind in type(module).__mro__
    )
    return 1 if first else None


def _slope(function: str, values: Tensor) -> Tensor:
    """Slope of a sigmoid or a tanh from its values, as a part of its largest."""
    values = values.double()
    return 1 - values.square() if function == "tanh" else 4 * values * (1 - values)


def _in_backward() -> bool:
    return bool(torch._C._current_graph_task_id() != -1)

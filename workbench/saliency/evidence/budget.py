"""How many inputs may go through a model at once within a bound on memory."""

import torch
from torch import Tensor, nn

from workbench.memory import free_bytes, read_bytes

_CACHE = 2 * 2**20  # on a CPU, larger batches fall out of the cache and get slower
_FEWEST = 16  # with fewer the overhead of the calls shows


def rows_at_once(
    model: nn.Module, inputs: Tensor, memory: int | str | None = None, *, backward: bool = False
) -> int:
    """Inputs that a forward pass, or a forward and a backward, may take together.

    One forward pass of one input tells how much its layers hold: the largest layer's inputs and outputs, or
    the outputs of all layers if a backward pass follows. A map function that evaluates several versions of an
    input together needs as many times more.

    Parameters
    ----------
    model : nn.Module
        Called once, on the first input.
    inputs : Tensor (N, ...)
        Inputs of the model.
    memory : int or str, optional
        A bound in bytes, or as text such as ``"512MiB"``, which one input may exceed. By default 2 MiB or 16
        inputs on a CPU, whose cache larger batches would leave, and a quarter of what is free on a GPU.
    backward : bool
        Whether the outputs of all layers are kept.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    ValueError
        If the memory is negative or cannot be read.
    """
    bytes_per_row = _activation_bytes(model, inputs[:1], backward) + 2 * inputs[:1].nbytes
    if memory is not None:
        return max(1, read_bytes(memory) // bytes_per_row)
    if inputs.is_cuda:
        return max(1, free_bytes(inputs.device) // 4 // bytes_per_row)
    return max(_FEWEST, _CACHE // bytes_per_row)


def _activation_bytes(model: nn.Module, row: Tensor, backward: bool) -> int:
    sizes: list[int] = []

    def note(module: nn.Module, arguments: tuple, output: object) -> None:
        if next(module.children(), None) is None:
            read = 0 if backward else _nbytes(arguments)
            sizes.append(read + _nbytes(output))

    hooks = [module.register_forward_hook(note) for module in model.modules()]
    try:
        with torch.no_grad():
            output = model(row)
    finally:
        for hook in hooks:
            hook.remove()
    sizes.append(_nbytes(output))
    return sum(sizes) if backward else max(sizes)


def _nbytes(value: object) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, tuple | list):
        return sum(map(_nbytes, value))
    return 0

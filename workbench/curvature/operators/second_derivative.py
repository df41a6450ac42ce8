"""What has no second derivative in torch is refused, by name and with what to do instead."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor
from torch.autograd.function import once_differentiable

from workbench.graph import graph_nodes

# torch's names of backward functions without a derivative -> what the user wrote, and what to write instead
_ADVICE = {
    "ctc_loss": ("nn.CTCLoss", "use another loss"),
    "multi_margin_loss": ("nn.MultiMarginLoss", "use nn.CrossEntropyLoss or a margin written with clamp()"),
    "multilabel_margin_loss": ("nn.MultiLabelMarginLoss", "use nn.MultiLabelSoftMarginLoss"),
    "embedding_bag": ("nn.EmbeddingBag", "use nn.Embedding followed by a sum or a mean"),
    "cdist": ("torch.cdist", "write the distance with sums and square roots"),
    "pdist": ("torch.pdist", "write the distance with sums and square roots"),
    "mkldnn_rnn_layer": ("a recurrent layer on oneDNN", "set torch.backends.mkldnn.enabled = False"),
    "cudnn_rnn": ("a recurrent layer on cuDNN", "set torch.backends.cudnn.enabled = False"),
}
_UNKNOWN_ADVICE = "replace it with operations that torch can differentiate twice"
_CHECKPOINT_ADVICE = "pass use_reentrant=False to torch.utils.checkpoint.checkpoint"


@contextmanager
def second_derivatives() -> Iterator[None]:
    """Turn torch's errors about missing second derivatives into a ValueError that names the function."""
    try:
        yield
    except RuntimeError as error:
        message = _explain(str(error))
        if message is None:
            raise
        raise ValueError(message) from error


def check_functions(output: Tensor) -> None:
    """Refuse custom autograd Functions in the graph of ``output`` whose gradient cannot be differentiated.

    torch itself says nothing: the products lack those functions' part and look plausible.

    Raises
    ------
    ValueError
        If the graph holds a reentrant checkpoint or a Function marked ``once_differentiable``.
    """
    for node in graph_nodes(output):
        function = getattr(node, "_forward_cls", None)
        if function is None:
            continue
        if function.__name__ == "CheckpointFunction":
            raise ValueError(f"a reentrant checkpoint has no second derivative: {_CHECKPOINT_ADVICE}")
        if _is_once_differentiable(function):
            raise ValueError(
                f"the autograd Function {function.__module__}.{function.__qualname__} has no second "
                "derivative: its backward is marked once_differentiable. Write the backward with "
                "differentiable operations and remove the mark"
            )


def written_by_hand(output: Tensor) -> list[str]:
    """Names of the custom autograd Functions, of Python or C++, in the graph of ``output``."""
    return [
        node.name()
        for node in graph_nodes(output)
        if hasattr(node, "_forward_cls") or "CppNode" in node.name()
    ]


_MARK = once_differentiable(lambda ctx: None).__code__


def _is_once_differentiable(function: type) -> bool:
    """Whether the class's backward went through torch's decorator: then its code is the decorator's."""
    return any(
        getattr(getattr(function, name, None), "__code__", None) is _MARK for name in ("backward", "vjp")
    )


def _explain(error: str) -> str | None:
    if "use_reentrant=True" in error:
        return f"a reentrant checkpoint has no second derivative: {_CHECKPOINT_ADVICE}"
    if "torch.utils.checkpoint: " in error:
        # Backward runs the block again, out of reach of what composes attention from products.
        return (
            "a checkpointed block with attention cannot be recomputed in a form that has a second "
            "derivative: switch checkpointing off for the analysis"
        )
    if "does not currently support double backward" in error:
        return "a compiled model has no second derivative: pass the model without torch.compile"
    if "once_differentiable" in error:
        return f"a function marked once_differentiable has no second derivative: {_UNKNOWN_ADVICE}"
    missing = re.search(r"derivative for '?(?:aten::)?_*(\w+?)(?:_backward)?'? is not implemented", error)
    if missing is None:
        return None
    name = missing[1]
    written, advice = _ADVICE.get(name, (f"torch's function {name}", _UNKNOWN_ADVICE))
    return f"{written} has no second derivative: {advice}"

"""``explain_tokens``: the part of each token of a text in a prediction, by many methods at many layers."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workbench.choices import check_count
from workbench.probes import refuse_training_mode
from workbench.saliency.capture import capture
from workbench.saliency.extraction import REAL
from workbench.saliency.methods import TRUE, Method, find_method
from workbench.saliency.scores import read_targets, target_scores
from workbench.saliency.token_maps import TokenMaps

DEFAULT_METHODS = ("gradient_norm", "gradient_times_input", "norm_grad")


@torch.inference_mode(False)
@torch.enable_grad()
def explain_tokens(
    model: nn.Module,
    tokens: Tensor,
    position: int = -1,
    target: Any = None,
    methods: Sequence[str | Method | tuple[str, str]] | str = DEFAULT_METHODS,
    layers: Sequence[str] | str | None = None,
    score: str = "logit",
    *,
    names: Sequence[str] | None = None,
    class_dim: int | None = None,
) -> TokenMaps:
    """Score each token of a text by its part in the prediction at one position.

    A layer's output (N, T, C) is taken as an image of one row of T locations, so every method of the true
    gradient means here what it means for images; ``"gradient_times_input"`` at the embedding is gradient ×
    input embedding.

    Parameters
    ----------
    model : nn.Module
        Returns logits (N, T, classes) or (N, classes, T), in eval mode.
    tokens : Tensor (N, T) or (T,) of int
        Codes.
    position : int
        Whose output is explained, from 0, or from the end if negative.
    target : None, int, N ints, or (N, K)
        Classes to explain; None is the most likely one.
    methods : sequence
        Names of ``METHODS``, (extract, aggregate) pairs or Methods, all of the true gradient.
    layers : sequence of str, optional
        Names of modules that return (N, T, C); by default the first embedding and each of the blocks, which
        are the members of the longest list of modules of one class.
    score : {"logit", "probability", "loss"}
        What is explained, see :func:`target_scores`.
    names : sequence of str, optional
        How to write each code; the numbers by default.
    class_dim : {1, 2}, optional
        Dimension of the classes in the outputs; needed only if there are as many classes as tokens.

    Returns
    -------
    TokenMaps

    Raises
    ------
    ValueError
        If a shape, a position, a target, a method or a layer does not fit.
    TypeError
        If ``tokens`` or ``target`` are not whole numbers.

    Notes
    -----
    Cost: one forward pass, and one backward pass per target. In a causal model tokens after the position
    score 0, and at the output of the last block so do those before it: what follows it mixes no tokens.
    Sources: of the methods, see ``METHODS``; gradient norms of embeddings: Li, Chen, Hovy and Jurafsky, NAACL
    2016, arXiv:1506.01066.
    """
    refuse_training_mode(model)
    chosen = _read_methods(methods)
    codes = _read_codes(tokens)
    check_count("position", position, -codes.shape[1], codes.shape[1] - 1)
    place = position % codes.shape[1]
    chosen_layers = _read_layers(model, layers)
    started = time.perf_counter()
    captured = capture(model, codes, chosen_layers)
    for layer, activation in captured.activations.items():
        if activation.shape[:2] != codes.shape or activation.dim() != 3:
            raise ValueError(f"layer {layer!r} returns {tuple(activation.shape)}, not (N, T, C)")
    logits = _logits_at(captured.logits, place, codes.shape[1], class_dim)
    targets = read_targets(target, logits)
    scores = target_scores(logits, targets, score)
    values = _values(chosen, captured.activations, scores.sum(0).unbind())
    return TokenMaps(
        values=values,
        methods=tuple(method.name for method in chosen),
        formulas=tuple(method.formula for method in chosen),
        layers=tuple(captured.activations),
        tokens=_written(codes, names),
        position=place,
        targets=targets,
        scores=scores.detach(),
        target_names=_written(targets, names),
        score=score,
        forwards=1,
        backwards=targets.shape[1],
        seconds=time.perf_counter() - started,
    )


def default_token_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the first embedding and of the blocks, without a forward pass.

    Raises
    ------
    ValueError
        If the model has no embedding.
    """
    embeddings = [name for name, module in model.named_modules() if isinstance(module, nn.Embedding)]
    if not embeddings:
        raise ValueError("the model has no nn.Embedding: name layers=")
    lists = [
        [f"{name}.{child}" if name else child for child, _ in module.named_children()]
        for name, module in model.named_modules()
        if isinstance(module, nn.Sequential | nn.ModuleList) and len({type(each) for each in module}) == 1
    ]
    return (embeddings[0], *max(lists, key=len, default=[]))


def _values(methods: Sequence[Method], activations: dict[str, Tensor], scores: Sequence[Tensor]) -> Tensor:
    """Scores (M, L, N, K, T) of the tokens: one backward pass for each of the K scores."""
    values = []
    for score in scores:
        retain = score is not scores[-1]
        gradients = torch.autograd.grad(
            score, list(activations.values()), retain_graph=retain, allow_unused=True
        )
        for layer, gradient in zip(activations, gradients, strict=True):
            if gradient is None:
                raise ValueError(f"the score does not depend on layer {layer!r}: name one that leads to it")
        pairs = [(_row(x.detach()), _row(g)) for x, g in zip(activations.values(), gradients, strict=True)]
        values += [method.map_of(x, g)[:, 0] for method in methods for x, g in pairs]
    return torch.stack(values).unflatten(0, (len(scores), len(methods), len(activations))).movedim(0, 3)


def _read_methods(methods: Any) -> list[Method]:
    chosen = [find_method(each) for each in ([methods] if isinstance(methods, str | Method) else methods)]
    if not chosen:
        raise ValueError("methods is empty: name at least one")
    for method in chosen:
        if method.rule != TRUE or method.extract == REAL or method.gradient == "sum":
            raise ValueError(
                f"method {method.name!r} is for images: tokens take those of the true gradient alone"
            )
        if chosen.count(method) > 1:
            raise ValueError(f"method {method.name!r} is given twice")
    return chosen


def _read_layers(model: nn.Module, layers: Any) -> tuple[str, ...]:
    if layers is None:
        return default_token_layers(model)
    names = (layers,) if isinstance(layers, str) else tuple(layers)
    if not names:
        raise ValueError("layers is empty: name at least one, or pass None for the usual ones")
    return names


def _read_codes(tokens: Tensor) -> Tensor:
    if not isinstance(tokens, Tensor) or tokens.is_floating_point() or tokens.dtype == torch.bool:
        kind = tokens.dtype if isinstance(tokens, Tensor) else type(tokens).__name__
        raise TypeError(f"tokens are {kind}, not a tensor of whole numbers")
    codes = tokens[None] if tokens.dim() == 1 else tokens
    if codes.dim() != 2 or not codes.numel():
        raise ValueError(f"tokens have shape {tuple(tokens.shape)}, not (T,) or (N, T)")
    return codes


def last_logits(outputs: Tensor, length: int) -> Tensor:
    """The logits (N, classes) at the last of ``length`` positions."""
    return _logits_at(outputs, length - 1, length, None)


def _logits_at(outputs: Any, place: int, length: int, class_dim: int | None) -> Tensor:
    """The logits (N, classes) at one position."""
    if not isinstance(outputs, Tensor) or outputs.dim() != 3:
        kind = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"the model returns {kind}, not logits (N, T, classes) or (N, classes, T)")
    if class_dim is None:
        dims = [dim for dim in (1, 2) if outputs.shape[3 - dim] == length]
        if len(dims) != 1:
            raise ValueError(
                f"the outputs {tuple(outputs.shape)} do not say which dimension is that of the {length} "
                "tokens: pass class_dim=1 or class_dim=2"
            )
        class_dim = dims[0]
    elif class_dim not in (1, 2) or outputs.shape[3 - class_dim] != length:
        raise ValueError(
            f"class_dim={class_dim} does not fit outputs {tuple(outputs.shape)} of {length} tokens"
        )
    return outputs.select(3 - class_dim, place)


def _row(tokens: Tensor) -> Tensor:
    """Tokens (N, T, C) as an image (N, C, 1, T), in at least single precision."""
    row = tokens.transpose(1, 2)[:, :, None]
    return row.float() if row.element_size() < 4 else row


def _written(codes: Tensor, names: Sequence[str] | None) -> tuple[tuple[str, ...], ...]:
    if names is not None and int(codes.max()) >= len(names):
        raise ValueError(f"names has {len(names)} entries, and there is a code {int(codes.max())}")
    return tuple(tuple(str(code) if names is None else names[code] for code in row) for row in codes.tolist())

"""``Problem``: a model, a loss and data as pure functions of a flat parameter vector."""

import copy
import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from workbench import batches as _batches
from workbench.batches import Batch, Forward, Targets
from workbench.checkpoints import Checkpoint, label_checkpoints, mark_checkpoints, refuse_shared_memory
from workbench.composed import Composed
from workbench.held_model import HeldModel, keep_attributes, take_back_attributes
from workbench.layout import Selection, lay_out, match, trainable
from workbench.plan import Plan, make_plan
from workbench.probes import probe, probe_loss, refuse_training_mode
from workbench.weighting import Loss, find_weighting

Parameters = dict[str, Tensor]
Regularizer = Callable[[Parameters], Tensor]
T = TypeVar("T")

# functional_call swaps the model's tensors for its duration: no other thread may use or read them then.
_LOCKS: "weakref.WeakKeyDictionary[nn.Module, threading.RLock]" = weakref.WeakKeyDictionary()
_PLANNING = threading.RLock()  # one for all: a problem that held one could not be copied


class Problem:
    r"""A model, a loss and data, as functions of the vector of the selected parameters.

    The loss over the data is :math:`L(\theta) = \sum_b w_b\, \ell_b(\theta) / \sum_b w_b`, where
    :math:`\ell_b` is the loss of batch b and :math:`w_b` the denominator of its mean. The model is never
    changed: no ``.grad``, mode, buffer or hook is left behind, also when an exception passes.

    Parameters
    ----------
    model : nn.Module
        In the mode that it is to be analysed in, usually ``model.eval()``.
    loss : callable
        ``loss(outputs, targets)`` returns a scalar; any of torch's losses, or your own.
    data : DataLoader, re-iterable of batches, or (inputs, targets)
        A batch is ``(inputs, targets)``, ``(input1, input2, ..., targets)``, or anything that ``forward``
        and ``targets`` can read.
    forward : callable, optional
        ``forward(model, batch)`` returns the outputs (a tensor, or nested tuples, lists, dicts of tensors).
    targets : callable, optional
        ``targets(batch)`` returns what the loss takes as its second argument.
    weight : callable, "batch" or "sum", optional
        ``weight(batch)`` is the denominator of that batch's mean. By default inferred for torch's losses
        (kept targets for ``ignore_index``, the sum of class weights, elements), else the number of examples.
        ``"sum"``: the losses of batches are added. ``"batch"``: every batch counts alike, for losses that do
        not decompose over examples (contrastive).
    regularizer : callable, optional
        Of the dictionary of selected parameters; enters only where ``regularization=True`` is asked for.
    weight_decay : float
        The optimiser's; adds ``weight_decay / 2 * ||theta||^2`` where ``regularization=True`` is asked for.
    parameters : str or sequence of str, optional
        Patterns of the parameters to analyse; default all that require a gradient.
    name : str, optional
        For titles; default the model's class.

    Raises
    ------
    ValueError
        If the loss is not one and the same function of the parameters at each evaluation (active dropout,
        BatchNorm in train mode, a shuffling loader), if batches are weighted wrongly, if a parameter is
        complex or uninitialised, if no parameter is selected, or if the loss is not a finite scalar.
    TypeError
        If ``data`` cannot be iterated repeatedly or a batch cannot be read.

    Notes
    -----
    Construction costs a few forward and backward passes on the first and last batch, never one over the data.
    What the probes cannot see: a loss of your own that leaves out targets, if none are left out in these
    batches (pass ``weight=``), and a ``detach()`` between parameters and loss, which takes a part of the
    function out of its derivatives.
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss,
        data: Any,
        *,
        forward: Forward | None = None,
        targets: Targets | None = None,
        weight: Callable[[Batch], float] | str | None = None,
        regularizer: Regularizer | None = None,
        weight_decay: float = 0.0,
        parameters: str | Sequence[str] | None = None,
        name: str | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"model is a {type(model).__name__}, not a torch.nn.Module")
        if not callable(loss):
            raise TypeError(f"loss is a {type(loss).__name__}, not a function of (outputs, targets)")
        if weight_decay < 0:
            raise ValueError(f"weight_decay={weight_decay} is negative")
        self.model = model
        self.loss = loss
        self.name = name or type(model).__name__
        self.regularizer = regularizer
        self.weight_decay = float(weight_decay)
        self.metrics: dict[str, float] = {}
        self.checkpoints: dict[str, Checkpoint] = {}
        self.weighting = find_weighting(loss, weight)
        self._forward, self._targets = forward, targets
        self._data_dtype: torch.dtype | None = None
        self._select(trainable(model) if parameters is None else match(model, trainable(model), parameters))
        self._set_data(data)

    # ---- what is analysed -----------------------------------------------------------------------------

    @property
    def num_parameters(self) -> int:
        """Length n of the parameter vector."""
        return self.layout[-1].stop

    @property
    def num_examples(self) -> int:
        """Number of examples in the data (one pass over it, without the model, at first use)."""
        return self._plan().examples

    @property
    def coarsest_dtype(self) -> torch.dtype:
        """Of all parameters, selected or not, the dtype that rounds most: gradients are right to that."""
        dtypes = {p.dtype for p in self.model.parameters() if p.is_floating_point()}
        return max(dtypes, key=lambda dtype: torch.finfo(dtype).eps)

    @property
    def num_batches(self) -> int:
        """Number of batches in the data, those of weight 0 included."""
        return len(self._plan().shares)

    @property
    def total_weight(self) -> float:
        """Sum of the weights of all batches: what the loss over the data, if it is a mean, is divided by."""
        return self._plan().total_weight

    def restrict(self, patterns: str | Sequence[str]) -> Self:
        """Return the same problem in those of its parameters whose names match, e.g. ``"blocks.3.*"``."""
        other = copy.copy(self)
        other._select(match(self.model, self._selected(), patterns))
        return other

    def to(self, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Self:
        """Return the problem on a copy of the model, the loss and the data in another dtype or place.

        Raises
        ------
        ValueError
            If the loss does not depend on the copy: ``forward`` has to use the model that it is given.
        """
        other = copy.copy(self)
        with _lock(self.model):  # while another thread evaluates the model, it holds other tensors
            other.model = copy.deepcopy(self.model)
        other.model.to(device=device, dtype=dtype)
        other.loss = _convert_loss(self.loss, device, dtype)
        other._data_dtype = dtype or self._data_dtype
        parameters = dict(other.model.named_parameters())
        other._select({part.name: parameters[part.name] for part in self.layout})
        if isinstance(self._data, list | tuple):
            other._data = [other._move(batch) for batch in self._data]
        probe_loss(other, other._move(next(_batches.begin(other._data))))
        return other

    def at(self, state: Mapping[str, Any]) -> Self:
        """Return the same problem on a copy of the model that holds this state dict, such as a checkpoint.

        Raises
        ------
        ValueError
            If the state does not fit the model, if the loss is not finite there, or if the loss, the
            regulariser or ``forward`` reads the model that this problem was made with: the copy is another.
        """
        other = copy.copy(self)
        with _lock(self.model):  # while another thread evaluates the model, it holds other tensors
            known: dict[int, Any] = {}
            other.model = copy.deepcopy(self.model, known)
            if isinstance(self.loss, nn.Module):  # which may hold the model: then its copy holds the copy
                other.loss = copy.deepcopy(self.loss, known)
        _load(other.model, state)
        other.metrics = {}
        batch = other._move(next(_batches.begin(other._data)))
        probe_loss(other, batch)
        self._refuse_reading(other, batch)
        return other

    def with_data(self, data: Any) -> Self:
        """Return the same model and loss on other data, probed anew."""
        other = copy.copy(self)
        other.metrics = {}
        other._set_data(data)
        return other

    def subset(self, indices: Tensor) -> Self:
        """Return the problem on some of the examples, as one batch.

        Parameters
        ----------
        indices : Tensor (k,) of int
            Ascending, counted through all batches.

        Raises
        ------
        ValueError
            If there is none, or the batches' losses are not made of those of their examples.
        """
        if not self.can_split:
            raise ValueError(
                f"examples weighted by {self.weighting.rule} cannot be taken out of their batches"
            )
        pieces, start = [], 0
        for batch in _batches.begin(self._data):
            count = _batches.count_examples(batch)
            chosen = indices[(indices >= start) & (indices < start + count)] - start
            if len(chosen):
                pieces.append(_batches.slice_batch(batch, count, chosen))
            start += count
        if not pieces:
            raise ValueError("no example was chosen")
        return self.with_data([_batches.concatenate(pieces)])

    def with_metrics(self, metrics: dict[str, float]) -> Self:
        """Return the same problem with figures that describe it, such as held-out accuracy."""
        other = copy.copy(self)
        other.metrics = {**self.metrics, **metrics}
        return other

    def with_checkpoints(self, checkpoints: Iterable[Checkpoint] | Mapping[Any, Checkpoint]) -> Self:
        """Return the same problem with states of its training, for the analyses that follow one.

        Parameters
        ----------
        checkpoints : sequence of checkpoints, or mapping of labels to them
            In the order of training: state dicts, copied when they were kept, or files of them (``.pt``,
            ``.safetensors``), which are read when an analysis needs them. Labels that are numbers, such as
            epochs, place them on an axis.

        Raises
        ------
        ValueError
            If there is none, or two are the same tensors.
        TypeError
            If it is a single checkpoint, or one is neither a state dict nor a path.
        """
        other = copy.copy(self)
        other.checkpoints = label_checkpoints(checkpoints)
        refuse_shared_memory(other.checkpoints)
        return other

    # ---- flat vectors in and out ----------------------------------------------------------------------

    def parameters(self) -> Parameters:
        """Return the selected parameters by name, detached, as they are now (not copied)."""
        return {name: parameter.detach() for name, parameter in self._selected().items()}

    def leaves(self) -> Parameters:
        """Return the selected parameters by name as leaves of a new graph, which share the model's memory."""
        return _leaves(self.parameters())

    @torch.inference_mode(False)
    def parameters_vector(self) -> Tensor:
        """Return a copy of the selected parameters as one vector (n,)."""
        return torch.cat([p.reshape(-1).to(self.dtype) for p in self.parameters().values()])

    def as_parameters(self, theta: Tensor) -> Parameters:
        """Split a vector (n,) into named parameters; differentiable in ``theta``.

        Raises
        ------
        ValueError
            If the length is not ``num_parameters``.
        """
        if theta.shape != (self.num_parameters,):
            raise ValueError(
                f"a parameter vector has shape ({self.num_parameters},), not {tuple(theta.shape)}"
            )
        held = self._selected()
        return {
            part.name: theta[part.start : part.stop]
            .view(part.shape)
            .to(device=self.device, dtype=held[part.name].dtype)
            for part in self.layout
        }

    @torch.inference_mode(False)
    def loss_at(self, theta: Tensor | None = None, *, regularization: bool = False) -> float:
        """Loss over the data at ``theta`` (n,), by default where the model is. One forward pass.

        ``regularization`` adds the regulariser and the weight decay term.
        """
        parameters = self._parameters_at(theta)
        with torch.no_grad():
            total = sum(
                share * self.evaluate(parameters, batch)[1].double().item() for batch, share in self.batches()
            )
            if regularization:
                total += self.regularization(parameters).double().item()
        return total

    @torch.inference_mode(False)
    def gradient(self, theta: Tensor | None = None, *, regularization: bool = False) -> Tensor:
        """Gradient (n,) of the loss over the data, in float32 or wider. One forward and backward pass."""
        parameters = self._parameters_at(theta)
        total = torch.zeros(self.num_parameters, dtype=_at_least_float32(self.dtype), device=self.device)
        for batch, share in self.batches():
            total.add_(self.batch_gradient(parameters, batch), alpha=share)
        if regularization:
            leaves = _leaves(parameters)
            with torch.enable_grad():
                total.add_(_flat_gradient(self.regularization(leaves), leaves))
        return total

    @torch.inference_mode(False)
    def logits(self, theta: Tensor | None = None) -> Any:
        """Outputs of the model for all examples, joined along the first dimension. One forward pass."""
        parameters = self._parameters_at(theta)
        with torch.no_grad():
            return _batches.concatenate([self.outputs(parameters, batch) for batch, _ in self.batches()])

    def fingerprint(self) -> int:
        """Return a number, for this process, that changes with the state, end batches and checkpoints.

        Of a loader, only the first batch is read; a checkpoint's file is known by its size and date. What the
        loss and ``forward`` compute is told apart by their names alone.
        """
        data: Any = self._data
        ends = [data[0], data[-1]] if isinstance(data, list | tuple) else [next(_batches.begin(data))]
        functions = [self.loss, self._forward, self._targets, self.regularizer, self.weighting.rule]
        names = (list(map(repr, functions)), [part.name for part in self.layout], len(ends))
        state = [tensor.detach() for tensor in self.model.state_dict().values()]
        training = mark_checkpoints(self.checkpoints)
        return hash((_batches.checksum([state, ends]), repr(names), self.weight_decay, training))

    # ---- what operators are built from ----------------------------------------------------------------

    def batches(self) -> Iterator[tuple[Batch, float]]:
        """Each batch, on the model's device, with its share of the loss; those of weight 0 are left out.

        Raises
        ------
        ValueError
            If the data yields other batches than in an earlier pass, or the model is in train mode by now.
        """
        refuse_training_mode(self.model)
        plan = self._plan()
        count = 0
        for batch in _batches.begin(self._data):
            plan.check(count, batch)
            share = plan.shares[count]
            count += 1
            if share:
                yield self._move(batch), share
        plan.check_end(count)

    def small_batch(self, examples: int) -> Batch:
        """Return the first examples of the first batch that counts; all of it if its loss cannot be split."""
        batch, _ = next(self.batches())
        if not self.can_split:
            return batch
        return _batches.slice_batch(batch, _batches.count_examples(batch), slice(examples))

    def pieces(self, batch: Batch, share: float, count: int) -> Iterator[tuple[Batch, float]]:
        """Split a batch into at most ``count`` parts, each with its share of the loss.

        Raises
        ------
        ValueError
            If the batch's loss is not made of those of its parts.
        """
        if count == 1 or not self.can_split:
            if count > 1:
                raise ValueError(f"a batch weighted by {self.weighting.rule} cannot be split")
            yield batch, share
            return
        examples = _batches.count_examples(batch)
        size = -(-examples // count)
        whole = self.weighting.weigh(batch, self.batch_targets(batch))
        for start in range(0, examples, size):
            piece = _batches.slice_batch(batch, examples, slice(start, start + size))
            part = self.weighting.weigh(piece, self.batch_targets(piece))
            if part:
                yield piece, share if self.weighting.sums else share * part / whole

    @property
    def can_split(self) -> bool:
        """Whether the loss of a batch is known to be made of the losses of its parts."""
        return self.weighting.decomposes and not self.weighting.given

    def state(self) -> dict[str, Tensor]:
        """Return all parameters and buffers by name, detached, as they are now (not copied)."""
        with _lock(self.model):  # while another thread evaluates the model, it holds other tensors
            named = [*self.model.named_parameters(), *self.model.named_buffers()]
        return {name: tensor.detach() for name, tensor in named}

    def outputs(self, parameters: Parameters, batch: Batch) -> Any:
        """Outputs of the model with these parameters in place of its own; differentiable in them."""
        return self._holding(parameters, lambda model: self._call(model, batch))

    def evaluate(self, parameters: Parameters, batch: Batch) -> tuple[Any, Tensor]:
        """Outputs and loss of one batch; the model holds the parameters while the loss is computed, too."""

        def work(model: nn.Module) -> tuple[Any, Tensor]:
            outputs = self._call(model, batch)
            return outputs, self.batch_loss(outputs, batch)

        return self._holding(parameters, work)

    def hold(self, parameters: Parameters, work: Callable[[HeldModel], T]) -> T:
        """Run ``work(held)`` while the model holds these parameters, and return what it returns.

        For many batches in a row, such as the steps of a training: ``held.loss(batch)`` is the loss that
        :meth:`evaluate` gives, for a fraction of its overhead; ``held.backward(loss)`` differentiates it.
        Other threads wait for the model until the work ends.

        Parameters
        ----------
        parameters : dict of str to Tensor
            As in :meth:`evaluate`; the work may change their values in place.
        work : callable
            Whatever reads the model within it finds these parameters.
        """

        def begin(model: nn.Module) -> T:
            return work(HeldModel(model, lambda batch: self.batch_loss(self._call(model, batch), batch)))

        wanted = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.set_grad_enabled(wanted):
            return self._with_state(parameters, begin)

    def batch_gradient(self, parameters: Parameters, batch: Batch) -> Tensor:
        """Gradient (n,) of :meth:`batch_loss` at these parameters.

        The backward pass runs while the model holds them: a checkpointed block is computed again then, with
        what the model holds.

        Raises
        ------
        ValueError
            If the model uses a reentrant checkpoint, which gives no gradient with respect to given tensors.
        """
        leaves = _leaves(parameters)

        def differentiate(model: nn.Module) -> Tensor:
            return _flat_gradient(self.batch_loss(self._call(model, batch), batch), leaves)

        try:
            with torch.enable_grad():
                return self._holding(leaves, differentiate)
        except RuntimeError as error:
            if "use_reentrant=True" not in str(error):
                raise
            raise ValueError(
                "the model uses a reentrant checkpoint, which cannot be differentiated here: pass "
                "use_reentrant=False to torch.utils.checkpoint.checkpoint"
            ) from error

    def batch_loss(self, outputs: Any, batch: Batch, parameters: Parameters | None = None) -> Tensor:
        """Loss () of one batch from its outputs, averaged or summed as the loss itself does.

        A loss may read the model's parameters; those given here are what it finds.
        """
        return self.target_loss(outputs, self.batch_targets(batch), parameters)

    def target_loss(self, outputs: Any, targets: Any, parameters: Parameters | None = None) -> Tensor:
        """Like :meth:`batch_loss`, from the targets of a batch alone."""
        if parameters is not None:
            return self._holding(parameters, lambda model: self.loss(outputs, targets))
        return self.loss(outputs, targets)

    def batch_targets(self, batch: Batch) -> Any:
        """Return what the loss takes as its second argument."""
        return (self._targets or _batches.default_targets)(batch)

    def regularization(self, parameters: Parameters) -> Tensor:
        """Regulariser plus ``weight_decay / 2 * ||theta||^2`` of these parameters, a scalar ()."""
        total = torch.zeros((), dtype=_at_least_float32(self.dtype), device=self.device)
        if self.regularizer is not None:
            total = total + self.regularizer(parameters)
        if self.weight_decay:
            total = total + self.weight_decay / 2 * sum(p.square().sum() for p in parameters.values())
        return total

    def terms(self, regularization: bool = False) -> str:
        """In words, what the function analysed is made of, e.g. ``"loss + weight decay"``."""
        words = ["loss"]
        if regularization and self.regularizer is not None:
            words.append("regularizer")
        if regularization and self.weight_decay:
            words.append("weight decay")
        return " + ".join(words)

    def __repr__(self) -> str:
        loss = getattr(self.loss, "__name__", type(self.loss).__name__)
        metrics = "".join(f", {name} {value:.4g}" for name, value in self.metrics.items())
        return (
            f"Problem {self.name!r}: {type(self.model).__name__}, {self.num_parameters:,} parameters "
            f"({str(self.dtype).removeprefix('torch.')}), {loss} over {self.num_examples:,} examples in "
            f"{self.num_batches} {'batch' if self.num_batches == 1 else 'batches'}{metrics}"
        )

    # ---- inside ---------------------------------------------------------------------------------------

    def _select(self, selection: Selection) -> None:
        self.layout = lay_out(selection)
        self.dtype = functools.reduce(torch.promote_types, [p.dtype for p in selection.values()])
        self.device = next(iter(selection.values())).device

    def _refuse_reading(self, other: Self, batch: Batch) -> None:
        """Refuse a copy whose loss changes with the tensors of this problem's model."""

        def evaluate(_: nn.Module) -> Tensor:
            parameters = other.parameters()
            return other.evaluate(parameters, batch)[1] + other.regularization(parameters)

        nothing = {
            name: torch.full_like(tensor, torch.nan)
            for name, tensor in self.state().items()
            if tensor.is_floating_point()
        }
        with torch.no_grad(), torch.inference_mode(False):
            if torch.isfinite(evaluate(other.model)) and not torch.isfinite(self._holding(nothing, evaluate)):
                raise ValueError(
                    "the loss, the regularizer or forward= reads the model that the problem was made with, "
                    "not the copy that holds the state: make a Problem of its own for each state"
                )

    def _set_data(self, data: Any) -> None:
        self._data = _batches.as_batches(data)
        self._known_plan: Plan | None = None
        first = next(_batches.begin(self._data), None)
        if first is None:
            raise ValueError("the data holds no batch")
        _batches.check_default_form(first, forward=self._forward is None, targets=self._targets is None)
        probe(self)

    def _selected(self) -> Selection:
        """Look the selected parameters up in the model, which may have got new ones since."""
        with _lock(self.model):  # while another thread evaluates the model, it holds other tensors
            held = dict(self.model.named_parameters())
        for part in self.layout:
            if part.name not in held or held[part.name].shape != part.shape:
                raise ValueError(
                    f"parameter {part.name!r} of shape {part.shape} is gone from the model, which was "
                    "changed after this problem was made: make a new Problem"
                )
        return {part.name: held[part.name] for part in self.layout}

    def _plan(self) -> Plan:
        with _PLANNING:
            if self._known_plan is None:
                self._known_plan = make_plan(self._data, self.batch_targets, self.weighting)
            return self._known_plan

    def _parameters_at(self, theta: Tensor | None) -> Parameters:
        return self.parameters() if theta is None else self.as_parameters(theta)

    def _fixed_state(self) -> Parameters:
        """Parameters that are not selected, and copies of the buffers, which a forward may write."""
        selected = {part.name for part in self.layout}
        fixed = {name: p.detach() for name, p in self.model.named_parameters() if name not in selected}
        return fixed | {name: buffer.clone() for name, buffer in self.model.named_buffers()}

    def _move(self, batch: Batch) -> Batch:
        return _batches.move(batch, self.device, self._data_dtype)

    def _call(self, model: nn.Module, batch: Batch) -> Any:
        return (self._forward or _batches.default_forward)(model, batch)

    def _holding(self, parameters: Parameters, work: Callable[[nn.Module], T]) -> T:
        """Run ``work(model)`` while the model holds these parameters in place of its own."""

        def composed(model: nn.Module) -> T:
            with Composed():
                return work(model)

        return self._with_state(parameters, composed)

    def _with_state(self, parameters: Parameters, work: Callable[[nn.Module], T]) -> T:
        with _lock(self.model), _attributes_restored(self.model):
            state = self._fixed_state() | parameters
            state = {f"model.{name}": tensor for name, tensor in state.items()}
            return functional_call(_Holder(self.model), state, (work,))


class _Holder(nn.Module):
    """A model in the form in which ``functional_call`` takes any work with it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[nn.Module], Any]) -> Any:
        return work(self.model)


@contextmanager
def _attributes_restored(model: nn.Module) -> Iterator[None]:
    before = keep_attributes(model)
    try:
        yield
    finally:
        take_back_attributes(before)


def _load(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Put a state dict into a model, with a refusal in one line where torch writes several."""
    try:
        model.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        reasons = [line.strip() for line in str(error).splitlines()]
        raise ValueError(f"the state does not fit the model: {' '.join(reasons[1:] or reasons)}") from error


def _leaves(parameters: Parameters) -> Parameters:
    return {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}


def _flat_gradient(loss: Tensor, parameters: Parameters) -> Tensor:
    if not loss.requires_grad:
        return torch.zeros(sum(p.numel() for p in parameters.values()), device=loss.device)
    gradients = torch.autograd.grad(
        loss, list(parameters.values()), allow_unused=True, materialize_grads=True
    )
    dtype = functools.reduce(torch.promote_types, [gradient.dtype for gradient in gradients])
    return torch.cat([gradient.to_dense().reshape(-1).to(dtype) for gradient in gradients])


def _convert_loss(loss: Loss, device: Any, dtype: torch.dtype | None) -> Loss:
    if isinstance(loss, nn.Module):
        return copy.deepcopy(loss).to(device=device, dtype=dtype)
    if isinstance(loss, functools.partial):
        keywords = _batches.move(loss.keywords, device, dtype)
        return functools.partial(loss.func, *_batches.move(loss.args, device, dtype), **keywords)
    return loss


def _at_least_float32(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _lock(model: nn.Module) -> threading.RLock:
    return _LOCKS.setdefault(model, threading.RLock())

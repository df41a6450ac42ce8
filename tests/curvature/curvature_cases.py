"""Named problems, each with plain torch code for the same loss that knows nothing of Workbench.

The references take first derivatives only: the Hessian is a central difference of the gradient, the
Gauss-Newton matrix is composed from the gradients of single outputs.
"""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

import workbench as wb


@dataclass
class Case:
    """A model, a loss and data, split into batches of the given sizes."""

    model: nn.Module
    loss: Callable[[Any, Any], Tensor]
    inputs: Tensor
    targets: Any
    batch_sizes: Sequence[int]
    selected: str | None = None

    def problem(self, **keywords: Any) -> wb.Problem:
        inputs = self.inputs.split(list(self.batch_sizes))
        targets = [
            tree_map(lambda leaf, part=part: leaf[part], self.targets) for part in _slices(self.batch_sizes)
        ]
        batches = list(zip(inputs, targets, strict=True))
        return wb.Problem(self.model, self.loss, batches, parameters=self.selected, **keywords)

    @property
    def parameters(self) -> list[Tensor]:
        named = [(name, p) for name, p in self.model.named_parameters() if p.requires_grad]
        return [p for name, p in named if self.selected is None or name.startswith(self.selected.rstrip("*"))]

    def gradient(self, theta: Tensor) -> Tensor:
        """Gradient of the loss over all data at once, with the model's parameters set to theta."""
        before = nn.utils.parameters_to_vector(self.parameters).detach().clone()
        nn.utils.vector_to_parameters(theta, self.parameters)
        loss = self.loss(self.model(self.inputs), self.targets)
        gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True, materialize_grads=True)
        nn.utils.vector_to_parameters(before, self.parameters)
        return torch.cat([gradient.to_dense().reshape(-1) for gradient in gradients])

    def hessian_by_differences(self, candidate: Tensor) -> Tensor:
        """Central differences of the gradient; of three steps, for each column the one nearest ``candidate``.

        A step may straddle a kink or drown in rounding; a wrong candidate is near to none of them.
        """
        theta = nn.utils.parameters_to_vector(self.parameters).detach().clone()
        columns = []
        for unit, expected in zip(torch.eye(len(theta), dtype=theta.dtype), candidate.T, strict=True):
            differences: list[Tensor] = []
            for step in (1e-5, 1e-6, 1e-4):
                ends = self.gradient(theta + step * unit), self.gradient(theta - step * unit)
                differences.append((ends[0] - ends[1]) / (2 * step))
                if (differences[-1] - expected).norm() <= 1e-9 * candidate.norm():
                    break  # no other step can be much nearer
            columns.append(min(differences, key=lambda column: (column - expected).norm().item()))
        return torch.stack(columns, dim=1)

    def ggn_by_outputs(self) -> Tensor:
        """JᵀHJ: J from one gradient per output, H by central differences of the loss' gradient."""
        leaves, structure = tree_flatten(self.model(self.inputs))
        flat = torch.cat([leaf.reshape(-1) for leaf in leaves])
        rows = [
            torch.autograd.grad(
                output, self.parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for output in flat
        ]
        jacobian = torch.stack([torch.cat([g.to_dense().reshape(-1) for g in row]) for row in rows])

        def loss_gradient(values: Tensor) -> Tensor:
            values = values.detach().requires_grad_()
            parts = values.split([leaf.numel() for leaf in leaves])
            outputs = [part.view(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
            loss = self.loss(tree_unflatten(outputs, structure), self.targets)
            return torch.autograd.grad(loss, values)[0]

        step = 1e-5
        curvature = torch.stack(
            [
                (loss_gradient(flat + step * unit) - loss_gradient(flat - step * unit)) / (2 * step)
                for unit in torch.eye(len(flat), dtype=flat.dtype)
            ]
        )
        return jacobian.T @ curvature @ jacobian


def _slices(sizes: Sequence[int]) -> list[slice]:
    edges = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


class Cubic(torch.autograd.Function):
    """x + x³ / 3 as a plain custom Function."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x + x**3 / 3

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (1 + x**2)


class CubicUnit(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Cubic.apply(x)


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.kind, self.place = nn.Linear(4, 4), nn.Linear(4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> dict[str, Any]:
        hidden = torch.tanh(self.body(x))
        return {"kind": self.kind(hidden), "places": (self.place(hidden),)}


def two_losses(outputs: dict[str, Any], targets: dict[str, Tensor]) -> Tensor:
    kind = F.cross_entropy(outputs["kind"], targets["kind"])
    return kind + (outputs["places"][0] - targets["place"]).pow(4).sum(dim=1).mean()


class TinyTransformer(nn.Module):
    """Causal attention between LayerNorms; logits (batch, vocabulary, tokens) as the cross entropy wants."""

    def __init__(self, vocabulary: int = 5, width: int = 4, tied: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.final = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        q, k, v = (
            part.view(*part.shape[:2], 2, -1).transpose(1, 2)
            for part in self.qkv(self.norm(x)).chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        return self.head(self.final(x + attended)).transpose(1, 2)


class SelfAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0].mean(dim=1))


class EncoderLayer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=4, dropout=0.0, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).mean(dim=1)


class Unused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(3, 2), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.used(x))


class Bag(nn.Module):
    """Embeddings with sparse gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(6, 3, sparse=True), nn.Linear(3, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.embedding(tokens).sum(dim=1)))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cells, self.head = nn.LSTM(2, 2, batch_first=True), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cells(x)[0][:, -1])


def mlp(*, activation: nn.Module | None = None) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), activation or nn.Tanh(), nn.Linear(5, 3))


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 2), nn.GELU(), nn.Flatten(),
        nn.Linear(8, 3),
    )  # fmt: skip


def build(name: str) -> Case:
    """Return the case of this name: float64, eval mode, random parameters and buffers, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sum(map(ord, name)))
        case = _CASES[name]()
        case.model.double().eval()
        for parameter in case.model.parameters():
            parameter.data.add_(0.2 * torch.randn_like(parameter))
        for buffer in case.model.buffers():
            if buffer.is_floating_point():
                buffer.add_(0.3 * torch.rand_like(buffer))
    return case


def _classification(model: nn.Module, loss: nn.Module, sizes: Sequence[int], **keywords: Any) -> Case:
    count = sum(sizes)
    return Case(model, loss, _reals(count, 4), torch.randint(0, 3, (count,)), sizes, **keywords)


def _language(model: nn.Module, sizes: Sequence[int], loss: nn.Module | None = None) -> Case:
    tokens = torch.randint(0, 5, (sum(sizes), 4))
    return Case(model, loss or nn.CrossEntropyLoss(), tokens[:, :-1], tokens[:, 1:], sizes)


def _ignoring() -> Case:
    case = _language(TinyTransformer(), [2, 2, 1], nn.CrossEntropyLoss(ignore_index=-100))
    case.targets = case.targets.clone()
    case.targets[0, :2] = case.targets[1, 0] = case.targets[4, 2] = -100
    return case


def _regression(
    model: nn.Module, loss: nn.Module, inputs: Tensor, outputs: int, sizes: Sequence[int]
) -> Case:
    return Case(model, loss, inputs, _reals(len(inputs), outputs), sizes)


def _two_heads() -> Case:
    targets = {"kind": torch.randint(0, 3, (5,)), "place": _reals(5, 2)}
    return Case(TwoHeads(), two_losses, _reals(5, 4), targets, [3, 2])


def _images() -> Case:
    return Case(cnn(), nn.CrossEntropyLoss(), _reals(5, 1, 5, 5), torch.randint(0, 3, (5,)), [3, 2])


def _reals(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


_CASES: dict[str, Callable[[], Case]] = {
    "mlp": lambda: _classification(mlp(), nn.CrossEntropyLoss(), [6]),
    "relu": lambda: _classification(mlp(activation=nn.ReLU()), nn.CrossEntropyLoss(), [6]),
    "unequal_last_batch": lambda: _classification(mlp(), nn.CrossEntropyLoss(), [4, 4, 1]),
    "class_weights": lambda: _classification(
        mlp(), nn.CrossEntropyLoss(weight=torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)), [4, 2, 1]
    ),
    "label_smoothing": lambda: _classification(mlp(), nn.CrossEntropyLoss(label_smoothing=0.1), [3, 2]),
    "sum": lambda: _classification(mlp(), nn.CrossEntropyLoss(reduction="sum"), [4, 1]),
    "restricted": lambda: _classification(mlp(), nn.CrossEntropyLoss(), [3, 1], selected="2.*"),
    "custom_function": lambda: _classification(mlp(activation=CubicUnit()), nn.CrossEntropyLoss(), [3, 2]),
    "mse": lambda: _regression(mlp(), nn.MSELoss(), _reals(5, 4), 3, [3, 2]),
    "huber": lambda: _regression(mlp(), nn.HuberLoss(delta=0.7), _reals(5, 4), 3, [3, 2]),
    "smooth_l1": lambda: _regression(mlp(), nn.SmoothL1Loss(), _reals(5, 4), 3, [3, 2]),
    "absolute": lambda: _regression(mlp(), nn.L1Loss(), _reals(5, 4), 3, [3, 2]),
    "cnn_batchnorm": _images,
    "layernorm_attention": lambda: _language(TinyTransformer(), [2, 1]),
    "tied_weights": lambda: _language(TinyTransformer(tied=True), [2, 1]),
    "ignore_index": _ignoring,
    "multihead_attention": lambda: _regression(SelfAttention(), nn.MSELoss(), _reals(3, 3, 4), 2, [2, 1]),
    "encoder_layer": lambda: _regression(EncoderLayer(), nn.MSELoss(), _reals(3, 3, 4), 4, [2, 1]),
    "recurrent": lambda: _regression(Recurrent(), nn.MSELoss(), _reals(3, 3, 2), 2, [2, 1]),
    "several_heads": _two_heads,
    "unused_parameters": lambda: _regression(Unused(), nn.MSELoss(), _reals(4, 3), 2, [3, 1]),
    "sparse_embedding": lambda: Case(
        Bag(), nn.CrossEntropyLoss(), torch.randint(0, 6, (4, 3)), torch.randint(0, 3, (4,)), [3, 1]
    ),
}
NAMES = sorted(_CASES)

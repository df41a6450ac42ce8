"""Short forms of output derivatives against one backward pass per output."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from workbench.curvature.operators.layer_calls import LayerCall, RecordLayers
from workbench.curvature.operators.output_derivatives import output_derivatives

WIDTH, CLASSES, EXAMPLES = 8, 3, 5


class Skipping(nn.Module):
    """The layer before the last reaches the outputs past it, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        return self.last(torch.tanh(hidden)) + hidden[:, :CLASSES]


class Scaled(nn.Module):
    """The outputs are the last layer's, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.last(torch.tanh(self.first(x)))


class Permuted(nn.Module):
    """The function moves entries."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)).flip(1))


def chain(*between: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, WIDTH), *between, nn.Linear(WIDTH, CLASSES))


def deep() -> nn.Module:
    return chain(nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.GELU())


def convolutional() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 2, 2)), nn.Conv2d(1, 2, 1), nn.Tanh(), nn.Flatten(),
                         nn.Linear(WIDTH, CLASSES))  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "chain": (lambda: chain(nn.Tanh()), ["BeforeLast", "LastLayer"]),
    "linear": (lambda: chain(nn.Identity()), ["BeforeLast", "LastLayer"]),
    "deep": (deep, ["StoredDerivatives", "BeforeLast", "LastLayer"]),
    "convolutional": (convolutional, ["BeforeLast", "LastLayer"]),
    "one layer": (lambda: nn.Sequential(nn.Linear(4, CLASSES)), ["LastLayer"]),
    "normalised": (lambda: chain(nn.LayerNorm(WIDTH)), ["StoredDerivatives", "LastLayer"]),
    "softmax": (lambda: chain(nn.Softmax(1)), ["StoredDerivatives", "LastLayer"]),
    "permuted": (Permuted, ["StoredDerivatives", "LastLayer"]),
    "skipping": (Skipping, ["StoredDerivatives", "LastLayer"]),
    "scaled": (Scaled, ["StoredDerivatives", "StoredDerivatives"]),
}


def recorded(model: nn.Module, dtype: torch.dtype) -> tuple[list[LayerCall], Tensor]:
    model = model.to(dtype)
    record = RecordLayers(list(model.parameters()))
    with record:
        head = model(torch.randn(EXAMPLES, 4, dtype=dtype))
    return record.calls, head


@pytest.mark.parametrize("name", NETWORKS)
def test_derivatives_are_those_of_every_output(name: str) -> None:
    torch.manual_seed(0)
    make, forms = NETWORKS[name]
    calls, head = recorded(make(), torch.float64)
    found = output_derivatives(calls, head)
    assert [type(each).__name__ for each in found] == forms
    for call, each in zip(calls, found, strict=True):
        dense = torch.stack(
            [
                torch.autograd.grad(head[:, c].sum(), call.output, retain_graph=True)[0]
                for c in range(CLASSES)
            ],
            dim=1,
        ).reshape(EXAMPLES, CLASSES, -1)
        curved = torch.randn(EXAMPLES, 2, CLASSES, dtype=torch.float64)
        change = torch.randn(EXAMPLES, 2, dense.shape[2], dtype=torch.float64)
        torch.testing.assert_close(each.pull(curved), curved @ dense, rtol=1e-12, atol=1e-12)
        expected = change @ dense.transpose(1, 2)
        torch.testing.assert_close(each.push(change), expected, rtol=1e-12, atol=1e-12)


def test_a_coarse_dtype_hides_a_weak_mixture_so_derivatives_are_stored() -> None:
    torch.manual_seed(0)
    for dtype, form in ((torch.float32, "BeforeLast"), (torch.bfloat16, "StoredDerivatives")):
        calls, head = recorded(chain(nn.Tanh()), dtype)
        assert type(output_derivatives(calls, head)[0]).__name__ == form


def test_numbers_are_those_kept() -> None:
    calls, head = recorded(deep(), torch.float64)
    stored, before, last = output_derivatives(calls, head)
    assert (stored.numbers, before.numbers, last.numbers) == (
        EXAMPLES * CLASSES * WIDTH,
        EXAMPLES * WIDTH,
        0,
    )
    assert before.multiplications == EXAMPLES * WIDTH * CLASSES

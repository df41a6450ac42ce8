"""Integrated gradients against captum, closed forms, and completeness."""

import math

import captum.attr
import pytest
import torch
from torch import Tensor, nn

from workbench.progress import listening
from workbench.result import load_result
from workbench.saliency import integrated_gradients
from workbench.saliency.scores import SCORES

TARGETS = [[0, 1], [1, 2], [3, 4]]


def network(*, smooth: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    kinks = (nn.Softplus(), nn.AvgPool2d(2)) if smooth else (nn.ReLU(inplace=True), nn.MaxPool2d(2))
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), *kinks, nn.Conv2d(6, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(36, 5)
    )
    return net.double().eval()


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 10, 10, generator=torch.Generator().manual_seed(1)).double()


class Square(nn.Module):
    """Logits (Σ x², Σ x³): the gradients along a path are polynomials."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return torch.stack([flat.square().sum(1), flat.pow(3).sum(1)], dim=1)


@pytest.mark.parametrize(
    ("quadrature", "method"),
    [("gauss_legendre", "gausslegendre"), ("left", "riemann_left"), ("middle", "riemann_middle"),
     ("right", "riemann_right")],
)  # fmt: skip
def test_it_is_captum_s_with_the_same_rule(quadrature: str, method: str) -> None:
    net, inputs, start = network(), images(), images(1).flip(3) * 0.3
    found = integrated_gradients(net, inputs, TARGETS, baseline=start, steps=12, quadrature=quadrature)
    reference = captum.attr.IntegratedGradients(net)
    for t in range(2):
        target = [row[t] for row in TARGETS]
        expected = reference.attribute(inputs, start, target, n_steps=12, method=method)
        torch.testing.assert_close(found.attributions[:, t], expected, rtol=0, atol=1e-8)


def test_at_a_layer_it_is_captum_s_layer_integrated_gradients() -> None:
    net, inputs = network(), images()
    found = integrated_gradients(net, inputs, [2, 0, 1], layer="1", steps=12)
    reference = captum.attr.LayerIntegratedGradients(net, net[1])
    expected = reference.attribute(inputs, torch.zeros_like(inputs), [2, 0, 1], n_steps=12)
    torch.testing.assert_close(found.attributions[:, 0], expected, rtol=0, atol=1e-8)
    assert len(net[1]._forward_hooks) == 0


def test_polynomials_are_integrated_exactly_and_riemann_sums_miss_by_what_they_must() -> None:
    inputs = images()
    # Along x², the left sum of the gradient 2ax is short by 1/n of x².
    found = integrated_gradients(Square(), inputs, 0, steps=10, quadrature="left")
    torch.testing.assert_close(found.attributions[:, 0], 0.9 * inputs.square())
    torch.testing.assert_close(found.gap[:, 0], -0.1 * inputs.square().flatten(1).sum(1))
    found = integrated_gradients(Square(), inputs, 1, steps=2)
    torch.testing.assert_close(found.attributions[:, 0], inputs.pow(3))
    assert found.gap.abs().max() < 1e-12
    middle = integrated_gradients(Square(), inputs, 1, steps=10, quadrature="middle")
    torch.testing.assert_close(middle.gap[:, 0], -inputs.pow(3).flatten(1).sum(1) / 400)


@pytest.mark.parametrize("score", SCORES)
def test_the_attributions_add_up_to_the_change_of_the_score_where_the_path_is_smooth(score: str) -> None:
    net, inputs = network(smooth=True), images()
    found = integrated_gradients(net, inputs, TARGETS, score=score, steps=12, baseline="blur")
    of_score = {
        "logit": lambda z: z,
        "probability": lambda z: z.softmax(1),
        "loss": lambda z: z.log_softmax(1),
    }
    values = of_score[score](net(inputs).detach()).gather(1, torch.tensor(TARGETS))
    start = of_score[score](net(inputs - found.difference).detach()).gather(1, torch.tensor(TARGETS))
    torch.testing.assert_close(found.change, values - start)
    total = found.attributions.flatten(2).sum(2)
    torch.testing.assert_close(total, values - start, rtol=0, atol=1e-12)


def test_the_gap_is_what_kinks_leave() -> None:
    net, inputs = network(), images()
    found = integrated_gradients(net, inputs, TARGETS)
    total = found.attributions.flatten(2).sum(2)
    scores = (net(inputs) - net(torch.zeros_like(inputs))).detach().gather(1, torch.tensor(TARGETS))
    torch.testing.assert_close(found.gap, total - scores)
    assert 1e-9 < found.gap.abs().max() < 0.05 * scores.abs().max()


@pytest.mark.parametrize("rows", [1, 2, 7, 1000])
def test_the_memory_bound_and_the_batch_change_nothing(rows: int) -> None:
    net, inputs = network(), images()
    sizes = []
    handle = net[0].register_forward_hook(lambda module, arguments, output: sizes.append(len(output)))
    found = integrated_gradients(net, inputs, TARGETS, steps=5, rows=rows)
    handle.remove()
    assert max(sizes) <= rows
    for n in range(3):
        alone = integrated_gradients(net, inputs[n : n + 1], TARGETS[n][1], steps=5)
        torch.testing.assert_close(found.attributions[n, 1], alone.attributions[0, 0])


def test_the_model_is_left_alone_and_half_precision_and_frozen_parameters_work() -> None:
    net, inputs = network(), images()
    expected = integrated_gradients(net, inputs, 1, steps=5).attributions
    assert all(parameter.grad is None for parameter in net.parameters())
    net.to(torch.bfloat16).requires_grad_(False)
    with torch.inference_mode():
        half = images().to(torch.bfloat16)
        found = integrated_gradients(net, half, 1, steps=5)
    assert found.mean_gradient.dtype == torch.float32
    assert (found.attributions.double() - expected).norm() < 0.1 * expected.norm()


def test_the_result_is_a_table_a_picture_and_a_file(tmp_path: object) -> None:
    found = integrated_gradients(network(), images(), TARGETS, steps=5)
    table = found.frame()
    assert list(table.columns) == ["sample", "target", "change", "sum", "gap"]
    assert table["target"].tolist() == [0, 1, 1, 2, 3, 4]
    assert (table["sum"] - table["change"] - table["gap"]).abs().max() < 1e-12
    assert f"at most {found.gap.abs().max().item():.3g}" in found.summary()
    assert found.plot().get_ylabel() == "sum of the attributions"
    again = load_result(found.save(f"{tmp_path}/found.zip"))
    assert torch.equal(again.gap, found.gap)


def test_an_interrupt_is_not_swallowed_as_a_part_of_a_path_is_no_attribution() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    with listening(stop), pytest.raises(KeyboardInterrupt):
        integrated_gradients(network(), images(), 0, rows=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"quadrature": "trapezoid"}, "quadrature='trapezoid' is not one of"),
     ({"steps": 0}, "steps=0 is out of range"), ({"rows": 0}, "rows=0 is out of range"),
     ({"score": "logits"}, "did you mean 'logit'"), ({"baseline": "black"}, "baseline='black' is not one of"),
     ({"layer": "9"}, "layer '9' is none of")],
)  # fmt: skip
def test_what_is_out_of_range_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        integrated_gradients(network(), images(), 0, **options)
    with pytest.raises(ValueError, match="in train mode"):
        integrated_gradients(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(300)), images(), 0)


def test_one_step_of_gauss_legendre_is_the_gradient_at_the_middle() -> None:
    found = integrated_gradients(Square(), images(), 1, steps=1)
    torch.testing.assert_close(found.mean_gradient[:, 0], 3 * (images() / 2).square())
    assert math.isclose(float(found.gap[0, 0]), float(-images()[0].pow(3).sum() / 4))

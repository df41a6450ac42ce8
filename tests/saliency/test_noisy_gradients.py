"""SmoothGrad against gradients whose mean and variance are known, and itself."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from workbench.progress import listening
from workbench.result import load_result
from workbench.saliency import smooth_gradients


class Cubic(nn.Module):
    """Logits (Σ x, Σ x², Σ x³) of each input; the gradient of the second is linear in the noise."""

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        return torch.stack([flat.sum(1), flat.square().sum(1), flat.pow(3).sum(1)], dim=1)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(384, 4))
    return net.double().eval()


def images(count: int = 3) -> Tensor:
    return torch.rand(count, 3, 10, 10, generator=torch.Generator().manual_seed(1)).double()


def test_mean_and_standard_error_of_a_gradient_that_is_linear_in_the_noise() -> None:
    inputs = images(2)
    inputs[1] *= 5
    found = smooth_gradients(Cubic(), inputs, 1, samples=400, noise=0.2)
    width = 0.2 * (inputs.flatten(1).amax(1) - inputs.flatten(1).amin(1))
    expected = 2 * width / math.sqrt(400)
    z = ((found.mean[:, 0] - 2 * inputs) / expected.view(2, 1, 1, 1)).flatten()
    assert abs(float(z.mean())) < 5 / math.sqrt(300)  # the two inputs share their noise
    assert float(z.std()) == pytest.approx(1, abs=0.15)
    ratio = found.stderr[:, 0] / expected.view(2, 1, 1, 1)
    assert float(ratio.mean()) == pytest.approx(1, abs=0.02)


def test_the_moments_are_those_of_gradients_kept_one_by_one() -> None:
    net, inputs = network(), images()
    found = smooth_gradients(net, inputs, [[0, 1]] * 3, samples=7, noise=0.3, seed=5)
    source = torch.Generator().manual_seed(5)
    width = 0.3 * (inputs.flatten(1).amax(1) - inputs.flatten(1).amin(1))
    kept = []
    for _ in range(7):
        noise = torch.randn(inputs.shape[1:], generator=source).double()
        noisy = (inputs + width.view(-1, 1, 1, 1) * noise).requires_grad_()
        kept.append(torch.autograd.grad(net(noisy)[:, 1].sum(), noisy)[0].numpy())
    np.testing.assert_allclose(found.mean[:, 1], np.mean(kept, axis=0), rtol=1e-10, atol=1e-14)
    error = np.std(kept, axis=0, ddof=1) / math.sqrt(7)
    np.testing.assert_allclose(found.stderr[:, 1], error, rtol=1e-8, atol=1e-14)


@pytest.mark.parametrize("rows", [1, 2, 5, 1000])
def test_a_batch_is_its_inputs_one_by_one_whatever_the_memory_bound(rows: int) -> None:
    net, inputs = network(), images()
    together = smooth_gradients(net, inputs, [[0, 1], [2, 3], [1, 0]], samples=6, rows=rows)
    for n, target in enumerate([1, 3, 0]):
        alone = smooth_gradients(net, inputs[n : n + 1], target, samples=6)
        torch.testing.assert_close(together.mean[n, 1], alone.mean[0, 0])
        torch.testing.assert_close(together.stderr[n, 1], alone.stderr[0, 0])


def test_without_noise_it_is_the_gradient_at_any_layer_and_exact() -> None:
    net, inputs = network(), images()
    activation = net[:2](inputs).detach().requires_grad_()
    expected = torch.autograd.grad(net[2:](activation)[:, 2].sum(), activation)[0]
    found = smooth_gradients(net, inputs, 2, layer="1", samples=3, noise=0)
    torch.testing.assert_close(found.mean[:, 0], expected)
    assert found.stderr.max() < 1e-15
    assert len(net[1]._forward_hooks) == 0


def test_the_map_shows_the_largest_channel_with_its_own_error() -> None:
    found = smooth_gradients(network(), images(), 0, samples=5)
    channel = found.mean.abs().argmax(dim=2)
    for n, row, column in [(0, 0, 0), (1, 3, 7), (2, 9, 4)]:
        c = channel[n, 0, row, column]
        assert found.map[n, 0, row, column] == found.mean[n, 0, c, row, column].abs()
        assert found.map_stderr[n, 0, row, column] == found.stderr[n, 0, c, row, column]


def test_the_same_seed_gives_the_same_numbers_and_another_one_others() -> None:
    first, second, other = (
        smooth_gradients(network(), images(), 0, samples=4, seed=seed) for seed in (3, 3, 4)
    )
    assert torch.equal(first.mean, second.mean)
    assert not torch.equal(first.mean, other.mean)
    assert smooth_gradients(network(), images(), 0, samples=1).stderr.isnan().all()


def test_an_interrupt_returns_the_mean_of_what_is_done() -> None:
    def stop(description: str, done: int, total: int | None) -> None:
        if done >= 9:
            raise KeyboardInterrupt

    with listening(stop):
        found = smooth_gradients(network(), images(), 0, samples=50, rows=1)
    assert found.interrupted
    assert found.samples == 3
    torch.testing.assert_close(found.mean, smooth_gradients(network(), images(), 0, samples=3).mean)
    assert "INTERRUPTED" in found.summary()


def test_the_result_is_a_table_a_picture_and_a_file(tmp_path: object) -> None:
    found = smooth_gradients(network(), images(), [[0, 1]] * 3, samples=4)
    table = found.frame()
    assert table["target"].tolist() == [0, 1] * 3
    assert table["maximum"].iloc[3] == found.map[1, 1].max().item()
    assert "4 noisy copies" in found.summary()
    assert "mean gradient" in found.plot().get_ylabel()
    again = load_result(found.save(f"{tmp_path}/found.zip"))
    assert torch.equal(again.map_stderr, found.map_stderr)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"noise": -0.1}, "noise=-0.1 is out of range"), ({"noise": math.nan}, "noise=nan is out of range"),
     ({"samples": 0}, "samples=0 is out of range"), ({"rows": 0}, "rows=0 is out of range"),
     ({"score": "logits"}, "did you mean 'logit'"), ({"seed": -1}, "seed=-1 is out of range")],
)  # fmt: skip
def test_what_is_out_of_range_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        smooth_gradients(network(), images(), 0, **options)

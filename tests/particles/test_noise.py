"""The generator against Random123's known answers, SciPy's quantiles and the moments of the normal law."""

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.special import ndtri

from workbench.kernels.counter_normals import counter_normals, inverse_normal, threefry
from workbench.particles.noise import normals, uniforms


def words(*values: int) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(v - 2**32 if v >= 2**31 else v, dtype=torch.int32) for v in values)


@pytest.mark.parametrize(
    ("key", "counter", "answer"),
    [  # from Random123's kat_vectors
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_known_answers(key, counter, answer) -> None:
    found = threefry(words(*key), words(*counter))
    assert [int(word) & 0xFFFFFFFF for word in found] == list(answer)


@pytest.mark.parametrize(
    ("particles", "dim"), [(1, 1), (31, 3), (64, 1), (65, 3), (100, 20), (7, 2500), (130, 1000)]
)
def test_compiled_and_plain_draws_are_the_same_bits(particles: int, dim: int) -> None:
    where = (2**63 + 12345, [0, 3, 2**31 + 5], 7, particles, dim)
    assert torch.equal(normals(*where), counter_normals(*where))
    assert torch.equal(normals(*where, dtype=torch.float64), counter_normals(*where).double())


def test_the_compiled_cipher_and_quantile_are_those_of_the_reference() -> None:
    from workbench.particles.compiled import noise

    u = np.uint32
    assert noise.threefry(u(0), u(0), u(0), u(0)) == (0x6B200159, 0x99BA4EFE)
    some = torch.arange(-(2**31), 2**31, 65_521, dtype=torch.int64).int()
    out = np.empty(len(some), np.float32)
    noise.fill_normals(some.numpy().view(u), out)
    assert torch.equal(torch.from_numpy(out), inverse_normal(some))


def test_quantiles_are_within_a_millionth_out_to_six_deviations() -> None:
    edge = torch.arange(2**17)
    spread = torch.arange(-(2**31), 2**31 - 1, 10_007)
    signed = torch.cat([spread, edge - 2**31, 2**31 - 1 - edge, edge - 2**16])
    quantile = (signed.double() + 0.5).numpy() / 2**32  # from the centre
    truth = np.where(quantile < 0, ndtri(0.5 + quantile), -ndtri(0.5 - quantile))
    found = inverse_normal(signed.int()).double().numpy()
    assert np.abs(found - truth).max() < 1e-6
    assert found.max() > 6.33
    assert found.min() == -found.max()


def test_a_draw_depends_on_its_own_place_only() -> None:
    whole = normals(5, range(4), 9, 200, 7)
    assert torch.equal(normals(5, [2], 9, 200, 7)[0], whole[2])
    assert torch.equal(normals(5, [3, 0], 9, 70, 7), whole[[3, 0], :70])
    torch.set_num_threads(3)
    assert torch.equal(normals(5, range(4), 9, 200, 7), whole)


def test_seeds_runs_and_steps_are_streams_of_their_own() -> None:
    streams = [
        normals(seed, [run], step, 100, 100).flatten()
        for seed, run, step in [(0, 0, 0), (1, 0, 0), (2**32, 0, 0), (0, 1, 0), (0, 0, 1)]
    ]
    correlations = np.corrcoef(torch.stack(streams).numpy())[np.triu_indices(5, 1)]
    assert np.abs(correlations).max() < 4.5 / 100  # 10 pairs of 10^4: 4.5 standard errors


def test_moments_tails_and_neighbours_are_those_of_the_normal_law() -> None:
    z = normals(3, range(4), 0, 1000, 500).double()
    n = z.numel()
    for power, mean, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96), (6, 15, 10170)]:
        assert abs((z**power).mean().item() - mean) < 5 * (variance / n) ** 0.5, power
    for level in (1.0, 2.0, 3.0, 4.0):
        expected = 2 * n * stats.norm.sf(level)
        assert abs((z.abs() > level).sum().item() - expected) < 5 * expected**0.5
    for lagged in (z[1:] * z[:-1], z[:, 1:] * z[:, :-1], z[:, 32:] * z[:, :-32], z[..., 1:] * z[..., :-1]):
        assert abs(lagged.mean().item()) < 5 / lagged.numel() ** 0.5
        squares = lagged.square().mean().item() - 1  # of the squares, which would show volatility
        assert abs(squares) < 5 * (8 / lagged.numel()) ** 0.5
    assert stats.kstest(z.flatten()[:200_000].numpy(), "norm").pvalue > 1e-4


def test_uniforms_are_the_quantiles_of_the_normals() -> None:
    u, z = uniforms(1, [4], 2, 50, 3), normals(1, [4], 2, 50, 3)
    np.testing.assert_allclose(ndtri(u.numpy()), z.numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("seed", "particles", "dim", "message"),
    [(-1, 2, 2, "seed=-1"), (2**64, 2, 2, "seed="), (0, 2**30, 5, "dim=5")],
)
def test_what_cannot_be_is_refused(seed: int, particles: int, dim: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normals(seed, [0], 0, particles, dim)

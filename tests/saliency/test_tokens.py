"""Tokens on a grid: each must stand where the patch is that it was made of."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from workbench.problems.digits_transformer import DigitsTransformer
from workbench.problems.transformer import Block
from workbench.saliency import ADAPTERS, TokenGrid, explain, find_adapter, meta_saliency


class ClassTokenViT(nn.Module):
    """Patches of 4 × 4 of a colour image by a strided convolution, a class token in front of them."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(3, 16, 4, stride=4)
        self.class_token = nn.Parameter(torch.randn(1, 1, 16))
        self.position = nn.Parameter(0.1 * torch.randn(1 + rows * columns, 16))
        self.tokens = nn.Identity()
        self.blocks = nn.Sequential(Block(16), Block(16))
        self.output = nn.Linear(16, 5)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.embedding(images).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(images), 1, 16), patches], dim=1) + self.position
        return self.output(self.blocks(self.tokens(tokens))[:, 0])


def vit(rows: int = 3, columns: int = 3) -> tuple[ClassTokenViT, Tensor]:
    torch.manual_seed(0)
    return ClassTokenViT(rows, columns).double().eval(), torch.randn(
        2, 3, 4 * rows, 4 * columns, dtype=torch.float64
    )


def test_tokens_are_laid_out_row_by_row() -> None:
    tokens = torch.arange(2 * 7 * 3.0).view(2, 7, 3)
    grid = TokenGrid(leading=1, shape=(2, 3))(tokens)
    assert grid.shape == (2, 3, 2, 3)
    for row in range(2):
        for column in range(3):
            assert torch.equal(grid[:, :, row, column], tokens[:, 1 + 3 * row + column])


def changed_places(before: Tensor, after: Tensor) -> list[list[int]]:
    return (before != after).any(1)[0].nonzero().tolist()


@pytest.mark.parametrize("place", [(0, 0), (0, 3), (2, 1), (3, 3)])
def test_a_pixel_of_a_patch_moves_the_token_of_its_place_in_the_digits_transformer(
    place: tuple[int, int],
) -> None:
    torch.manual_seed(0)
    model = DigitsTransformer(16, 1)
    image = torch.rand(1, 1, 8, 8)
    other = image.clone()
    other[0, 0, 2 * place[0] + 1, 2 * place[1]] += 1

    def grid(images: Tensor) -> Tensor:
        return ADAPTERS["patches"](model.embedding(F.unfold(images, 2, stride=2).transpose(1, 2)))

    assert changed_places(grid(image), grid(other)) == [list(place)]


@pytest.mark.parametrize("place", [(0, 0), (1, 2), (2, 0)])
def test_a_pixel_of_a_patch_moves_the_token_of_its_place_behind_a_class_token(place: tuple[int, int]) -> None:
    model, images = vit()
    other = images.clone()
    other[0, 1, 4 * place[0] + 3, 4 * place[1] + 1] += 1
    found = []
    model.tokens.register_forward_hook(lambda module, arguments, output: found.append(output))
    model(images)
    model(other)
    grids = [ADAPTERS["vit-with-class-token"](tokens) for tokens in found]
    assert changed_places(*grids) == [list(place)]


def test_maps_of_a_vit_are_those_of_its_tokens() -> None:
    model, images = vit()
    maps = explain(
        model, images, 3, ["norm_grad", "gradient_times_input"], ["blocks.0"],
        adapter="vit-with-class-token",
    )  # fmt: skip
    patches = model.embedding(images).flatten(2).transpose(1, 2)
    tokens = torch.cat([model.class_token.expand(2, 1, 16), patches], dim=1) + model.position
    x = model.blocks[0](tokens).detach().requires_grad_()
    (g,) = torch.autograd.grad(model.output(model.blocks[1](x)[:, 0])[:, 3].sum(), x)
    norms = (x.norm(dim=2) * g.norm(dim=2))[:, 1:].reshape(2, 1, 3, 3)
    torch.testing.assert_close(maps.select("norm_grad", "blocks.0").raw, norms, rtol=1e-12, atol=0)
    products = (x * g).sum(2)[:, 1:].reshape(2, 1, 3, 3)
    found = maps.select("gradient_times_input", "blocks.0")
    torch.testing.assert_close(found.raw, products, rtol=1e-10, atol=1e-15)
    assert found.sized.shape == (2, 1, 12, 12)


def test_maps_of_a_vit_on_an_oblong_image() -> None:
    model, images = vit(2, 4)
    adapter = TokenGrid(leading=1, shape=(2, 4))
    found = explain(model, images, 0, "norm_grad", "tokens", adapter=adapter).select("norm_grad", "tokens")
    assert found.raw.shape == (2, 1, 2, 4)
    assert found.sized.shape == (2, 1, 8, 16)


def test_the_maps_of_the_digits_transformer_have_a_place_for_each_patch() -> None:
    torch.manual_seed(0)
    model = DigitsTransformer(16, 1).eval()
    images = torch.rand(3, 1, 8, 8)
    maps = explain(model, images, None, "gradient", ["embedding", "blocks.0"], adapter=ADAPTERS["patches"])
    x = (model.embedding(F.unfold(images, 2, stride=2).transpose(1, 2)) + model.position).detach()
    x.requires_grad_()
    logits = model.output(model.norm(model.blocks(x)).mean(1))
    (g,) = torch.autograd.grad(logits.max(1).values.sum(), x)
    expected = g.abs().amax(2).reshape(3, 1, 4, 4)
    torch.testing.assert_close(maps.select("gradient", "embedding").raw, expected)


@pytest.mark.parametrize(
    ("adapter", "shape", "message"),
    [
        (TokenGrid(), (2, 17, 3), "17 tokens, 0 of them leading, are not a square of patches"),
        (TokenGrid(leading=2), (2, 17, 3), "17 tokens, 2 of them leading"),
        (TokenGrid(shape=(2, 3)), (2, 7, 3), "7 tokens, 0 of them leading, are not 2 × 3 patches"),
        (TokenGrid(leading=3), (2, 3, 3), "3 tokens, 3 of them leading"),
        (TokenGrid(leading=4), (2, 3, 3), "3 tokens, 4 of them leading"),
        (TokenGrid(), (2, 4), r"\(N, T, C\), not \(2, 4\)"),
    ],
)
def test_tokens_that_fill_no_grid_are_refused(
    adapter: TokenGrid, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        adapter(torch.ones(shape))


def test_an_adapter_by_name_or_as_it_is() -> None:
    assert find_adapter("patches") == TokenGrid()
    assert find_adapter(None) is None
    assert find_adapter(torch.relu) is torch.relu
    with pytest.raises(ValueError, match=r"'patchs' is not one of .* did you mean 'patches'"):
        find_adapter("patchs")
    with pytest.raises(TypeError, match="adapter is a int"):
        find_adapter(3)
    with pytest.raises(ValueError, match="leading=-1 is out of range"):
        TokenGrid(leading=-1)


def test_meta_saliency_takes_the_same_adapters() -> None:
    model, images = vit()
    plain = explain(model, images, 3, "norm_grad", "blocks.0", adapter="vit-with-class-token")
    options = {"method": "norm_grad", "layer": "blocks.0", "step": 0.0}
    found = meta_saliency(model, images, 3, adapter="vit-with-class-token", **options)
    torch.testing.assert_close(found.maps, plain.maps[0].raw, rtol=1e-8, atol=1e-12)
    with pytest.raises(ValueError, match="did you mean 'patches'"):
        meta_saliency(model, images, 3, adapter="patch", **options)


class Windowed(nn.Module):
    """Keeps its channels last, as windowed transformers do."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(3, 5, 2, stride=2)
        self.block = nn.Linear(5, 5)
        self.output = nn.Linear(5, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.output(self.block(self.embedding(images).permute(0, 2, 3, 1)).relu().mean((1, 2)))


@pytest.mark.parametrize("adapter", ["channels-last", lambda x: x.permute(0, 3, 1, 2)])
def test_channels_that_come_last_are_laid_out_too(adapter: object) -> None:
    torch.manual_seed(0)
    model, inputs = Windowed().double().eval(), torch.rand(2, 3, 8, 12, dtype=torch.float64)
    found = explain(model, inputs, 1, "norm_grad", ["input", "block"], adapter=adapter)
    assert found.select("norm_grad", "input").raw.shape == (2, 1, 8, 12)
    assert found.select("norm_grad", "block").raw.shape == (2, 1, 4, 6)
    values = model.block(model.embedding(inputs).permute(0, 2, 3, 1)).detach().requires_grad_()
    (slope,) = torch.autograd.grad(model.output(values.relu().mean((1, 2)))[:, 1].sum(), values)
    expected = values.norm(dim=3) * slope.norm(dim=3)
    torch.testing.assert_close(found.select("norm_grad", "block").raw[:, 0], expected.detach())


def test_a_grid_stays_one_and_tokens_are_no_channels_last() -> None:
    grid = torch.rand(1, 2, 3, 4)
    assert TokenGrid(leading=1)(grid) is grid
    with pytest.raises(ValueError, match=r"values have shape \(1, 2, 3\), not \(N, h, w, C\)"):
        ADAPTERS["channels-last"](grid[..., 0])


def test_a_square_is_not_made_of_an_image_that_is_none() -> None:
    model, inputs = vit(2, 8)  # 16 patches would fill 4 × 4
    for function in (explain, meta_saliency):
        name = "layers" if function is explain else "layer"
        with pytest.raises(ValueError, match=r"of 8 × 32 pixels make no square: pass TokenGrid\(leading=1"):
            function(model, inputs, 0, **{name: "tokens"}, adapter="vit-with-class-token")
        function(model, inputs, 0, "norm_grad", "tokens", adapter=TokenGrid(1, (2, 8)))

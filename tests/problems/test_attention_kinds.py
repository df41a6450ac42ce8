"""The transformers with every kind of attention can be analysed, and are known apart."""

import pytest
import torch
from torch import nn

import workbench as wb
from workbench.problems.digits_transformer import DigitsTransformer
from workbench.problems.text_gpt import GPT
from workbench.problems.transformer import ATTENTION_KINDS, sources


def digits(kind: str) -> wb.Problem:
    torch.manual_seed(0)
    data = torch.randn(3, 1, 8, 8), torch.tensor([0, 3, 9])
    return wb.Problem(DigitsTransformer(16, 1, kind).eval(), nn.CrossEntropyLoss(), data)


def text(kind: str) -> wb.Problem:
    torch.manual_seed(0)
    codes = torch.randint(0, 7, (3, 10))
    data = codes[:, :-1], codes[:, 1:]
    return wb.Problem(GPT(7, 9, 16, 1, kind).eval(), nn.CrossEntropyLoss(), data)


@pytest.mark.parametrize("make", [digits, text])
@pytest.mark.parametrize("kind", ATTENTION_KINDS)
def test_curvature_and_slopes_are_finite(make, kind: str) -> None:
    problem = make(kind)
    vector = torch.ones(problem.num_parameters)
    assert (wb.curvature.hessian(problem) @ vector).isfinite().all()
    assert (wb.curvature.ggn(problem) @ vector).isfinite().all()
    assert 0 < wb.stability.taylor_radius(problem, "gradient").radius < float("inf")


@pytest.mark.parametrize("kind", ATTENTION_KINDS)
def test_text_sees_no_future(kind: str) -> None:
    model = text(kind).model
    codes = torch.randint(0, 7, (1, 9), generator=torch.Generator().manual_seed(1))
    other = codes.clone()
    other[:, 5:] = (other[:, 5:] + 1) % 7
    torch.testing.assert_close(model(codes)[..., :5], model(other)[..., :5])


def test_all_but_the_whole_layer_have_as_many_parameters() -> None:
    counts = {kind: digits(kind).num_parameters for kind in ATTENTION_KINDS}
    assert len({counts[kind] for kind in ATTENTION_KINDS if kind != "nalaformer"}) == 1
    assert counts["nalaformer"] > counts["softmax"]


def test_a_network_is_known_by_the_code_of_its_attention() -> None:
    assert len(sources("softmax")) == 1
    assert len(sources("elu")) == 7


@pytest.mark.parametrize("name", ["digits-transformer", "text-gpt"])
def test_an_unknown_kind_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="did you mean 'norm-aware'"):
        wb.load_problem(name, attention="norm aware")

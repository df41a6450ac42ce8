import copy

import pytest
import torch
from torch import nn

from workbench.layers import apply_dora, load_peft_state, peft_state


def network(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.Flatten(), nn.Linear(16, 8)).eval()
    apply_dora(model, "*", 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


X = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def test_names_and_shapes_are_those_of_peft():
    """As PEFT 0.21.2 writes them; ``benchmarks/kernels.py`` loads them into it, and back."""
    shapes = {name: tuple(value.shape) for name, value in peft_state(network()).items()}
    assert shapes == {
        "base_model.model.0.lora_A.weight": (2, 1, 3, 3),
        "base_model.model.0.lora_B.weight": (4, 2, 1, 1),
        "base_model.model.0.lora_magnitude_vector": (1, 4, 1, 1),
        "base_model.model.2.lora_A.weight": (2, 16),
        "base_model.model.2.lora_B.weight": (8, 2),
        "base_model.model.2.lora_magnitude_vector": (8,),
    }


def test_state_goes_there_and_back():
    model, other = network(0), network(1)
    for i in (0, 2):
        other[i].base.load_state_dict(model[i].base.state_dict())
    state = peft_state(model)
    load_peft_state(other, state)
    assert torch.equal(other(X), model(X))
    state["base_model.model.2.lora_B.weight"].zero_()  # a copy
    assert torch.equal(other(X), model(X))


def test_magnitudes_may_be_called_weights():
    """As in a state dict of PEFT's model, which names the module that holds them."""
    model = network()
    state = {f"{k}.weight" if k.endswith("vector") else k: v for k, v in peft_state(model).items()}
    load_peft_state(network(1), state)


def test_what_does_not_fit_is_refused_and_changes_nothing():
    model = network()
    before = copy.deepcopy(model.state_dict())
    state = {name: value + 1 for name, value in peft_state(model).items()}
    first = next(iter(state))
    with pytest.raises(
        ValueError, match=r"the state has no 'base_model.model.0.lora_A.weight'; did you mean"
    ):
        load_peft_state(model, {name: value for name, value in state.items() if name != first})
    with pytest.raises(ValueError, match=r"the model has no place for 'base_model.model.9.lora_A.weight'"):
        load_peft_state(model, {**state, "base_model.model.9.lora_A.weight": state[first]})
    with pytest.raises(ValueError, match=r"has shape \(1, 1, 3, 3\), not \(2, 1, 3, 3\)"):
        load_peft_state(model, {**state, first: state[first][:1]})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

"""A problem is a pure function of its flat parameter vector, and leaves the user's model alone."""

import copy
import threading
from collections import UserDict

import pytest
import torch
import torch.nn.functional as F
from small_networks import Checkpointed
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from workbench import Problem


def make_data(count=24):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 5, generator=generator), torch.randint(0, 3, (count,), generator=generator)


def make_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).eval()


@pytest.fixture
def model():
    return make_model()


@pytest.fixture
def problem(model):
    return Problem(model, nn.CrossEntropyLoss(), make_data())


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def test_vector_goes_out_and_in(problem, model):
    theta = problem.parameters_vector()
    assert torch.equal(theta, flat(model.parameters()))
    parts = problem.as_parameters(theta)
    assert all(torch.equal(parts[name], p) for name, p in model.named_parameters())
    assert problem.layout[-1].stop == problem.num_parameters == theta.numel()


def test_loss_at_other_parameters_is_that_of_a_model_with_them(problem, model):
    theta = problem.parameters_vector() + 0.1
    other = copy.deepcopy(model)
    nn.utils.vector_to_parameters(theta, other.parameters())
    inputs, targets = make_data()
    assert problem.loss_at(theta) == pytest.approx(F.cross_entropy(other(inputs), targets).item(), rel=1e-6)
    torch.testing.assert_close(problem.logits(theta), other(inputs))


def test_the_vector_is_a_copy(problem, model):
    problem.parameters_vector().zero_()
    assert float(flat(model.parameters()).abs().sum()) > 0


def test_a_vector_of_the_wrong_length_is_refused(problem):
    with pytest.raises(ValueError, match=r"not \(3,\)"):
        problem.loss_at(torch.zeros(3))


def test_the_model_is_left_as_it_was(model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    random_state = torch.get_rng_state()
    problem = Problem(model, nn.CrossEntropyLoss(), make_data())
    problem.gradient()
    problem.loss_at(problem.parameters_vector() + 1)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module._forward_hooks or module.training for module in model.modules())
    assert torch.equal(random_state, torch.get_rng_state())


def test_the_model_is_left_as_it_was_when_the_loss_raises(model):
    calls = []

    def loss(outputs, targets):
        calls.append(1)
        if len(calls) > 20:
            raise RuntimeError("no more")
        return F.cross_entropy(outputs, targets)

    problem = Problem(model, loss, make_data())
    before = {name: (tensor, tensor.clone()) for name, tensor in model.named_parameters()}
    calls.extend([1] * 20)
    with pytest.raises(RuntimeError, match="no more"):
        problem.gradient()
    for name, parameter in model.named_parameters():
        tensor, value = before[name]
        assert parameter is tensor
        assert parameter.grad is None
        assert torch.equal(parameter, value)


def test_a_buffer_written_in_the_forward_pass_is_not_changed():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 3)
            self.register_buffer("count", torch.zeros(()))

        def forward(self, inputs):
            self.count += 1
            return self.layer(inputs)

    model = Counting()
    Problem(model, nn.CrossEntropyLoss(), make_data()).gradient()
    assert model.count == 0


def test_the_problem_follows_the_model(problem, model):
    before = problem.loss_at()
    with torch.no_grad():
        model[3].weight.mul_(3)
    assert problem.loss_at() != before


def test_frozen_parameters_are_left_out(model):
    model[0].weight.requires_grad_(False)
    problem = Problem(model, nn.CrossEntropyLoss(), make_data())
    assert [part.name for part in problem.layout] == ["0.bias", "1.weight", "1.bias", "3.weight", "3.bias"]


def test_restrict(problem, model):
    part = problem.restrict("3.*")
    assert [p.name for p in part.layout] == ["3.weight", "3.bias"]
    torch.testing.assert_close(part.gradient(), problem.gradient()[-21:])
    assert [p.name for p in part.restrict("*.bias").layout] == ["3.bias"]
    by_list = Problem(model, nn.CrossEntropyLoss(), make_data(), parameters=["3.weight", "0.*"])
    assert [p.name for p in by_list.layout] == ["0.weight", "0.bias", "3.weight"]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [("3.wieght", "3.weight"), ("1.running_mean", "names are like"), ([], "no pattern")],
)
def test_restrict_to_nothing_is_refused(problem, pattern, words):
    with pytest.raises(ValueError, match=words):
        problem.restrict(pattern)


def test_restrict_to_frozen_is_refused(model):
    model[0].weight.requires_grad_(False)
    problem = Problem(model, nn.CrossEntropyLoss(), make_data())
    with pytest.raises(ValueError, match="frozen"):
        problem.restrict("0.weight")


def test_tied_weights_count_once_and_answer_to_both_names():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(7, 4)
            self.head = nn.Linear(4, 7, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, tokens):
            return self.head(torch.tanh(self.embed(tokens)))

    torch.manual_seed(0)
    model = Tied()
    tokens = torch.arange(7)
    problem = Problem(model, nn.CrossEntropyLoss(), (tokens, tokens.roll(1)))
    assert problem.num_parameters == 28
    assert [p.name for p in problem.restrict("head.weight").layout] == ["embed.weight"]
    expected = torch.autograd.grad(F.cross_entropy(model(tokens), tokens.roll(1)), model.embed.weight)[0]
    torch.testing.assert_close(problem.gradient(), expected.flatten())


def test_to_another_dtype_leaves_the_original(problem, model):
    double = problem.to(dtype=torch.float64)
    assert double.dtype == torch.float64
    assert double.gradient().dtype == torch.float64
    assert double.loss_at() == pytest.approx(problem.loss_at(), rel=1e-6)
    assert model[0].weight.dtype == torch.float32
    assert [p.name for p in double.restrict("3.*").layout] == ["3.weight", "3.bias"]


def test_to_casts_the_weights_of_the_loss_and_keeps_the_selection(model):
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 3.0]))
    problem = Problem(model, loss, make_data(), parameters="3.*").to(dtype=torch.float64)
    assert [p.name for p in problem.layout] == ["3.weight", "3.bias"]
    assert problem.gradient().dtype == torch.float64
    assert loss.weight.dtype == torch.float32


def test_bfloat16_accumulates_in_float32():
    inputs, targets = make_data()
    model = make_model().bfloat16()
    problem = Problem(model, nn.CrossEntropyLoss(), (inputs.bfloat16(), targets))
    assert problem.parameters_vector().dtype == torch.bfloat16
    assert problem.gradient().dtype == torch.float32
    exact = Problem(make_model(), nn.CrossEntropyLoss(), (inputs, targets)).gradient()
    assert float((problem.gradient() - exact).norm() / exact.norm()) < 0.05


def test_regularisation_enters_only_on_request(model):
    problem = Problem(
        model,
        nn.CrossEntropyLoss(),
        make_data(),
        weight_decay=0.1,
        regularizer=lambda parameters: 2 * parameters["3.bias"].sum(),
    )
    theta = problem.parameters_vector()
    extra = 0.05 * theta.square().sum() + 2 * model[3].bias.sum()
    assert problem.loss_at(regularization=True) - problem.loss_at() == pytest.approx(extra.item(), rel=1e-4)
    expected = 0.1 * theta
    expected[-3:] += 2
    torch.testing.assert_close(problem.gradient(regularization=True) - problem.gradient(), expected)
    assert problem.terms(True) == "loss + regularizer + weight decay"
    assert problem.terms() == "loss"


def test_several_inputs_and_dict_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(10, 3)

        def forward(self, left, right):
            return self.layer(torch.cat([left, right], 1))

    torch.manual_seed(0)
    inputs, targets = make_data()
    loss = nn.CrossEntropyLoss()
    model = Two()
    expected = loss(model(inputs, 2 * inputs), targets).item()
    forms = [
        [(inputs, 2 * inputs, targets)],
        [((inputs, 2 * inputs), targets)],
        [({"left": inputs, "right": 2 * inputs}, targets)],
    ]
    for data in forms:
        assert Problem(model, loss, data).loss_at() == pytest.approx(expected, rel=1e-6)


def test_dict_batches_with_forward_and_targets(model):
    inputs, targets = make_data()
    data = [
        {"x": inputs[:10], "labels": targets[:10], "text": "not a tensor"},
        {"x": inputs[10:], "labels": targets[10:], "text": "nor this"},
    ]
    problem = Problem(
        model,
        nn.CrossEntropyLoss(),
        data,
        forward=lambda m, batch: m(batch["x"]),
        targets=lambda batch: batch["labels"],
    )
    assert problem.loss_at() == pytest.approx(F.cross_entropy(model(inputs), targets).item(), rel=1e-6)
    assert problem.num_examples == 24
    with pytest.raises(TypeError, match=r"keys \['labels', 'text', 'x'\].*forward= and targets="):
        Problem(model, nn.CrossEntropyLoss(), data)


def test_outputs_may_be_a_tree():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 3), nn.Linear(5, 2)

        def forward(self, inputs):
            return {"a": self.a(inputs), "b": (self.b(inputs),)}

    inputs, targets = make_data()

    def loss(outputs, labels):
        return F.cross_entropy(outputs["a"], labels) + outputs["b"][0].square().mean()

    problem = Problem(Heads(), loss, [(inputs[:7], targets[:7]), (inputs[7:], targets[7:])])
    outputs = problem.logits()
    assert outputs["a"].shape == (24, 3)
    assert outputs["b"][0].shape == (24, 2)
    assert problem.loss_at() == pytest.approx(loss(outputs, targets).item(), rel=1e-6)


def test_a_loader_is_read_like_a_list(model):
    inputs, targets = make_data()
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=7)
    problem = Problem(model, nn.CrossEntropyLoss(), loader)
    assert problem.num_batches == 4
    assert problem.loss_at() == pytest.approx(F.cross_entropy(model(inputs), targets).item(), rel=1e-6)


def test_at_a_state_is_the_problem_of_a_model_that_holds_it(problem, model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = {name: tensor + 0.1 for name, tensor in before.items()}
    there = problem.with_metrics({"accuracy": 0.9}).at(state)
    other = make_model()
    other.load_state_dict(state)
    expected = Problem(other, nn.CrossEntropyLoss(), make_data())
    assert there.loss_at() == pytest.approx(expected.loss_at(), rel=1e-6)
    assert torch.equal(there.parameters_vector(), expected.parameters_vector())
    assert there.metrics == {}
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(
        problem.restrict("0.*").at(state).parameters_vector(), expected.restrict("0.*").parameters_vector()
    )


def test_at_a_state_has_its_buffers(problem, model):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["1.running_mean"] += 3
    there = problem.at(state)
    model[1].running_mean += 3
    assert there.loss_at() == pytest.approx(problem.loss_at(), rel=1e-6)
    model[1].running_mean -= 3
    assert there.loss_at() != pytest.approx(problem.loss_at(), rel=1e-2)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("0.bias"), r'Missing key\(s\) in state_dict: "0.bias"'),
        (lambda state: state.update(extra=torch.ones(1)), r'Unexpected key\(s\) in state_dict: "extra"'),
        (lambda state: state.update({"0.bias": torch.ones(2)}), "size mismatch for 0.bias"),
        (lambda state: state.update({"0.bias": torch.full((6,), torch.nan)}), "the loss is nan"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_in_one_line(problem, model, change, words):
    state = dict(model.state_dict())
    change(state)
    with pytest.raises(ValueError, match=words) as caught:
        problem.at(state)
    assert "\n" not in str(caught.value)


def test_a_state_for_a_loss_that_reads_the_first_model_is_refused(model):
    """The copy's parameters would enter the outputs, and the first model's the penalty."""
    inputs, targets = make_data()

    def loss(outputs, targets):
        return F.cross_entropy(outputs, targets) + model[0].weight.square().sum()

    def regularizer(parameters):
        return model[0].weight.square().sum()

    for problem in (
        Problem(model, loss, (inputs, targets)),
        Problem(model, nn.CrossEntropyLoss(), (inputs, targets), regularizer=regularizer),
    ):
        with pytest.raises(ValueError, match="reads the model that the problem was made with"):
            problem.at(model.state_dict())


def test_a_state_for_a_loss_that_is_a_module_with_the_model_in_it(model):
    class Penalized(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, outputs, targets):
            return F.cross_entropy(outputs, targets) + self.model[0].weight.square().sum()

    problem = Problem(model, Penalized(), make_data())
    there = problem.at({**model.state_dict(), **{name: 2 * p for name, p in problem.parameters().items()}})
    assert there.loss_at() == pytest.approx(problem.loss_at(2 * problem.parameters_vector()), rel=1e-6)


def test_with_data_and_metrics(problem):
    inputs, targets = make_data(60)
    held_out = problem.with_metrics({"accuracy": 0.5}).with_data((inputs[24:], targets[24:]))
    assert held_out.num_examples == 36
    assert held_out.metrics == {}
    assert "accuracy 0.5" in repr(problem.with_metrics({"accuracy": 0.5}))
    assert problem.metrics == {}


def test_two_threads_may_use_one_model(problem):
    thetas = [problem.parameters_vector() * scale for scale in (0.0, 1.0)]
    expected = [problem.loss_at(theta) for theta in thetas]
    wrong = []

    def work(index):
        for _ in range(50):
            if problem.loss_at(thetas[index]) != expected[index]:
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(i,)) for i in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"model": "resnet"}, TypeError, "torch.nn.Module"),
        ({"loss": 3}, TypeError, "loss is a int"),
        ({"weight_decay": -1.0}, ValueError, "negative"),
        ({"data": torch.zeros(3)}, TypeError, "inputs, targets"),
        ({"data": [torch.zeros(3, 5)]}, TypeError, "forward= and targets="),
        ({"data": iter([make_data()])}, TypeError, "iterator"),
        ({"data": 7}, TypeError, "cannot be iterated"),
        ({"data": TensorDataset(*make_data())}, TypeError, "DataLoader"),
        ({"data": []}, ValueError, "no batch"),
        ({"model": nn.LazyLinear(3)}, ValueError, "not initialised"),
        ({"model": nn.Linear(5, 3, dtype=torch.complex64)}, ValueError, "'weight' is complex"),
        ({"model": nn.Tanh()}, ValueError, "no parameter"),
    ],
)
def test_bad_input_is_refused_in_words(arguments, error, words):
    call = {"model": make_model(), "loss": nn.CrossEntropyLoss(), "data": make_data(), **arguments}
    with pytest.raises(error, match=words):
        Problem(**call)


def test_a_checkpointed_block_is_recomputed_with_the_parameters_asked_for():
    torch.manual_seed(0)
    model = Checkpointed(5, 6)
    problem = Problem(model, nn.CrossEntropyLoss(), make_data())
    theta = 1.5 * problem.parameters_vector()
    other = copy.deepcopy(model)
    nn.utils.vector_to_parameters(theta, other.parameters())
    inputs, targets = make_data()
    loss = F.cross_entropy(other.head(other.body(other.stem(inputs))), targets)
    torch.testing.assert_close(problem.gradient(theta), flat(torch.autograd.grad(loss, other.parameters())))


def test_a_reentrant_checkpoint_is_refused():
    with pytest.raises(ValueError, match="use_reentrant=False"):
        Problem(Checkpointed(5, 6, reentrant=True), nn.CrossEntropyLoss(), make_data())


def gradient_by_differences(problem, direction, step=1e-5):
    theta = problem.parameters_vector()
    return (problem.loss_at(theta + step * direction) - problem.loss_at(theta - step * direction)) / (
        2 * step
    )


def test_a_loss_that_reads_the_model_finds_the_parameters_asked_for():
    model = make_model().double()
    inputs, targets = make_data()

    def loss(outputs, targets):
        return F.cross_entropy(outputs, targets) + 0.1 * sum(p.square().sum() for p in model.parameters())

    problem = Problem(model, loss, (inputs.double(), targets))
    theta = problem.parameters_vector()
    decay = 0.1 * (4 - 1) * theta.square().sum().item()
    plain = Problem(model, nn.CrossEntropyLoss(), (inputs.double(), targets))
    assert problem.loss_at(2 * theta) - plain.loss_at(2 * theta) == pytest.approx(decay * 4 / 3)
    direction = torch.ones_like(theta)
    assert float(problem.gradient() @ direction) == pytest.approx(
        gradient_by_differences(problem, direction), rel=1e-6
    )


def test_a_forward_that_uses_another_model_is_refused(model):
    other = make_model()
    with pytest.raises(ValueError, match="another model than the one it is given"):
        Problem(model, nn.CrossEntropyLoss(), make_data(), forward=lambda _, batch: other(batch[0]))
    problem = Problem(
        model,
        nn.CrossEntropyLoss(),
        make_data(),
        forward=lambda _, batch: model(batch[0].float()),
    )
    with pytest.raises(ValueError, match="another model than the one it is given"):
        problem.to(dtype=torch.float64)  # the copy is another model


def test_a_module_put_in_later_is_followed(problem, model):
    model[3] = nn.Linear(6, 3)
    inputs, targets = make_data()
    assert problem.loss_at() == pytest.approx(F.cross_entropy(model(inputs), targets).item(), rel=1e-6)
    model[3] = nn.Linear(6, 4)
    with pytest.raises(ValueError, match=r"'3\.weight'.*make a new Problem"):
        problem.loss_at()


def test_train_mode_is_refused_later_too(problem, model):
    model.train()
    with pytest.raises(ValueError, match=r"BatchNorm1d.*model\.eval\(\)"):
        problem.loss_at()


def test_what_a_forward_stores_in_its_modules_is_taken_back():
    class Storing(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.before = nn.Linear(5, 3), torch.zeros(())

        def forward(self, inputs):
            self.before = self.after = self.layer(inputs)
            return self.after

    model = Storing()
    before = model.before
    Problem(model, nn.CrossEntropyLoss(), make_data()).gradient()
    assert model.before is before
    assert not hasattr(model, "after")


def test_a_loader_leaves_the_random_state_alone(model):
    loader = DataLoader(TensorDataset(*make_data()), batch_size=10)
    state = torch.get_rng_state()
    problem = Problem(model, nn.CrossEntropyLoss(), loader)
    problem.gradient()
    assert torch.equal(torch.get_rng_state(), state)


def test_callers_in_inference_mode_get_the_same_numbers(problem):
    inputs, targets = make_data()
    expected = problem.gradient()
    with torch.inference_mode():
        inside = Problem(problem.model, problem.loss, (inputs.clone(), targets))
        actual = inside.gradient()
    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(inside.gradient(), expected)


def test_a_model_made_in_inference_mode_is_refused():
    with torch.inference_mode():
        model = make_model()
    with pytest.raises(ValueError, match=r"made in torch\.inference_mode"):
        Problem(model, nn.CrossEntropyLoss(), make_data())


def test_parameters_without_entries_are_refused():
    class Empty(nn.Module):
        def __init__(self):
            super().__init__()
            self.nothing = nn.Parameter(torch.empty(0, 3))

    with pytest.raises(ValueError, match="are empty: nothing"):
        Problem(Empty(), nn.CrossEntropyLoss(), make_data())


def test_a_problem_can_be_copied(problem):
    other = copy.deepcopy(problem)
    assert other.model is not problem.model
    assert other.loss_at() == problem.loss_at()


def test_mappings_of_other_kinds_are_read_at_any_depth(model):
    inputs, targets = make_data()

    class Named(UserDict):
        def __getattr__(self, name):
            return self.__dict__["data"][name]

    batches = [
        (Named(scale=torch.tensor(1.0), inputs=inputs[part]), targets[part])
        for part in (slice(20), slice(20, 24))
    ]
    named = Problem(model, nn.CrossEntropyLoss(), batches, forward=lambda model, b: model(b[0].inputs))
    plain = Problem(model, nn.CrossEntropyLoss(), (inputs, targets))
    torch.testing.assert_close(named.gradient(), plain.gradient())
    assert named.to(dtype=torch.float64).gradient().dtype == torch.float64


def test_scalars_do_not_count_the_examples(model):
    inputs, targets = make_data()
    batches = [
        {"scale": torch.tensor(1.0), "inputs": inputs[part], "targets": targets[part]}
        for part in (slice(20), slice(20, 24))
    ]
    problem = Problem(
        model,
        lambda outputs, batch: F.cross_entropy(outputs, batch["targets"]),
        batches,
        forward=lambda model, batch: model(batch["inputs"]),
        targets=lambda batch: batch,
    )
    assert problem.loss_at() == pytest.approx(F.cross_entropy(model(inputs), targets).item(), rel=1e-6)
    assert problem.num_examples == 24


def test_targets_of_every_position_do_not_count_the_examples():
    """As language models have them, flattened: what is chosen are sequences."""
    tokens = torch.arange(40).reshape(8, 5) % 7
    problem = Problem(
        nn.Sequential(nn.Embedding(7, 3), nn.Linear(3, 7), nn.Flatten(0, 1)),
        nn.CrossEntropyLoss(),
        [(tokens[:5], tokens[:5]), (tokens[5:], tokens[5:])],
        targets=lambda batch: batch[1].reshape(-1),
    )
    assert problem.num_examples == 8
    chosen = problem.subset(torch.arange(0, problem.num_examples, 2))
    assert (chosen.num_examples, chosen.total_weight) == (4, 20)


def test_outputs_that_are_not_tensors_stay_in_the_logits():
    class Telling(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, inputs):
            logits = self.layer(inputs)
            return {"logits": logits, "mean": logits.mean(), "depth": 1, "cache": None}

    inputs, targets = make_data()
    batches = [(inputs[:20], targets[:20]), (inputs[20:], targets[20:])]
    outputs = Problem(Telling(), lambda out, y: F.cross_entropy(out["logits"], y), batches).logits()
    assert outputs["logits"].shape == (24, 3)
    assert outputs["mean"].shape == (2,)
    assert (outputs["depth"], outputs["cache"]) == (1, None)


def test_threads_at_other_parameters_do_not_see_one_another(problem):
    theta = problem.parameters_vector()
    expected = problem.gradient()
    wrong = []

    def work(seed):
        other = theta + torch.randn(theta.shape, generator=torch.Generator().manual_seed(seed))
        for _ in range(20):
            problem.loss_at(other)
            if not torch.equal(problem.gradient(), expected):
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_checkpoints_stay_with_the_problem_however_it_is_looked_at(problem, model):
    states = [copy.deepcopy(model.state_dict()) for _ in range(2)]
    assert problem.checkpoints == {}
    trained = problem.with_checkpoints({0: states[0], 10: "runs/last.pt"})
    others = [trained.restrict("3.*"), trained.to(dtype=torch.float64), trained.at(states[1])]
    others += [trained.with_data(make_data(5)), trained.subset(torch.arange(3)), trained.with_metrics({})]
    for other in [trained, *others]:
        assert list(other.checkpoints) == ["0", "10"]
        assert other.checkpoints["0"] is states[0]
    assert problem.checkpoints == {}
    assert list(problem.with_checkpoints(["runs/a.pt", states[0]]).checkpoints) == ["a", "1"]


def test_states_that_changed_with_the_model_are_refused(problem, model):
    kept = {epoch: model.state_dict() for epoch in (0, 1)}
    with pytest.raises(ValueError, match=r"'0' and '1' hold the same tensors.*deepcopy"):
        problem.with_checkpoints(kept)


def test_another_checkpoint_is_another_fingerprint(problem, model, tmp_path):
    state = copy.deepcopy(model.state_dict())
    moved = {name: tensor + 1 for name, tensor in state.items()}
    torch.save(state, tmp_path / "a.pt")
    before = problem.with_checkpoints({"a": tmp_path / "a.pt"}).fingerprint()
    assert problem.with_checkpoints({"a": tmp_path / "a.pt"}).fingerprint() == before
    (tmp_path / "a.pt").write_bytes(b"")
    prints = {before, problem.fingerprint(), problem.with_checkpoints({"a": tmp_path / "a.pt"}).fingerprint()}
    prints |= {problem.with_checkpoints({"a": each}).fingerprint() for each in (state, moved)}
    prints |= {problem.with_checkpoints({"b": state}).fingerprint()}
    assert len(prints) == 6

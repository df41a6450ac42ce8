import os
import signal

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import StepLR

from workbench import load_result
from workbench.progress import listening
from workbench.training import History, Minibatches, accuracy, evaluate, r_squared, train


def regression(examples=12):
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(examples, 4, generator=generator)
    return inputs, inputs @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]])


def linear():
    model = nn.Linear(4, 1)
    with torch.no_grad():
        model.weight.fill_(0.1)
        model.bias.zero_()
    return model


def test_steps_are_those_of_gradient_descent():
    inputs, targets = regression()
    model = linear()
    history = train(model, nn.MSELoss(), [(inputs, targets)], SGD(model.parameters(), lr=0.05), epochs=3)

    weight, bias = np.full((1, 4), 0.1), np.zeros(1)
    x, y = inputs.double().numpy(), targets.double().numpy()
    losses = []
    for _ in range(3):  # gradient descent on the mean square, written out
        residual = x @ weight.T + bias - y
        losses.append((residual**2).mean())
        weight = weight - 0.05 * 2 * residual.T @ x / len(x)
        bias = bias - 0.05 * 2 * residual.mean(0)
    np.testing.assert_allclose(model.weight.detach().numpy(), weight, rtol=1e-5)
    np.testing.assert_allclose(history.loss, losses, rtol=1e-5)
    assert history.completed
    assert history.epochs == history.steps == 3


def test_history_has_one_row_per_step_with_the_rate_that_was_used():
    inputs, targets = regression(10)
    model = linear()
    optimizer = SGD(model.parameters(), lr=0.1)
    history = train(
        model,
        nn.MSELoss(),
        Minibatches(inputs, targets, 4, seed=0),
        optimizer,
        epochs=2,
        scheduler=StepLR(optimizer, step_size=2, gamma=0.1),
        held_out=[(inputs, targets)],
    )
    frame = history.frame()
    assert frame["epoch"].tolist() == [1, 1, 1, 2, 2, 2]
    np.testing.assert_allclose(frame["learning_rate"], [0.1, 0.1, 0.01, 0.01, 0.001, 0.001])
    assert frame["held_out_loss"].notna().tolist() == [False, False, True, False, False, True]
    final = evaluate(model, [(inputs, targets)], {"loss": nn.MSELoss()})["loss"]
    assert frame["held_out_loss"].iloc[-1] == pytest.approx(final)


def test_history_survives_a_file(tmp_path):
    inputs, targets = regression()
    model = linear()
    history = train(model, nn.MSELoss(), [(inputs, targets)], SGD(model.parameters(), lr=0.01), epochs=2)
    loaded = load_result(history.save(tmp_path / "history.npz"))
    assert isinstance(loaded, History)
    assert loaded.frame().equals(history.frame())


def test_plot_names_its_axes_and_says_when_it_was_interrupted():
    history = History(
        loss=np.array([3.0, 2.0, 1.0]),
        learning_rate=np.full(3, 0.1),
        epoch=np.array([1, 1, 2]),
        held_out_loss=np.array([1.5]),
        completed=False,
    )
    axes = history.plot()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("step", "loss")
    assert "INTERRUPTED" in axes.get_title()
    lines = {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}
    assert lines["epoch mean"] == [[2, 2.5], [3, 1.0]]
    assert lines["held out"] == [[2, 1.5]]
    History(np.empty(0), np.empty(0), np.empty(0, dtype=int), np.empty(0)).plot()


def test_no_epoch_changes_nothing():
    inputs, targets = regression()
    model = linear()
    history = train(model, nn.MSELoss(), [(inputs, targets)], SGD(model.parameters(), lr=1.0), epochs=0)
    assert torch.equal(model.weight, torch.full((1, 4), 0.1))
    assert history.steps == history.epochs == 0
    assert history.frame().empty
    assert history.summary() == "no step"


def test_ctrl_c_keeps_what_is_done():
    inputs, targets = regression()
    model = linear().eval()

    class PressesCtrlC(list):
        def __iter__(self):
            for number, batch in enumerate(super().__iter__()):
                if number == 2:
                    os.kill(os.getpid(), signal.SIGINT)
                yield batch

    history = train(
        model,
        nn.MSELoss(),
        PressesCtrlC([(inputs, targets)] * 5),
        SGD(model.parameters(), lr=0.01),
        epochs=10,
    )
    assert not history.completed
    assert history.steps == 2
    assert "INTERRUPTED" in history.summary()
    assert not model.training
    expected = linear()
    train(expected, nn.MSELoss(), [(inputs, targets)] * 2, SGD(expected.parameters(), lr=0.01), epochs=1)
    assert torch.equal(model.weight, expected.weight)


def test_trains_in_train_mode_and_restores_the_mode_even_after_an_error():
    modes = []

    class Watch(nn.Linear):
        def forward(self, x):
            modes.append(self.training)
            return super().forward(x)

    inputs, targets = regression()
    model = Watch(4, 1).eval()
    optimizer = SGD(model.parameters(), lr=0.01)
    with torch.no_grad():
        train(
            model,
            nn.MSELoss(),
            [(inputs, targets)],
            optimizer,
            epochs=1,
            held_out=[(inputs, targets)],
        )
    assert modes == [True, False]
    assert not model.training
    with pytest.raises(RuntimeError):
        train(model, nn.MSELoss(), [(inputs[:, :3], targets)], optimizer, epochs=1)
    assert not model.training


@pytest.mark.parametrize(("epochs", "data"), [(-1, [()]), (2, iter([()]))])
def test_what_cannot_be_trained_is_refused(epochs, data):
    model = linear()
    with pytest.raises(ValueError, match="epoch"):
        train(model, nn.MSELoss(), data, SGD(model.parameters(), lr=0.1), epochs=epochs)


def test_minibatches_cover_the_data_in_an_order_of_their_own():
    inputs, targets = torch.arange(10.0)[:, None], torch.arange(10)
    torch.manual_seed(0)
    first = Minibatches(inputs, targets, 4, seed=1)
    orders = [torch.cat([y for _, y in first]) for _ in range(2)]
    torch.manual_seed(1)
    state = torch.get_rng_state()
    again = Minibatches(inputs, targets, 4, seed=1)
    for order in orders:
        assert torch.equal(torch.cat([y for _, y in again]), order)
        assert order.sort().values.tolist() == list(range(10))
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(y) for _, y in first] == [4, 4, 2]
    assert len(first) == 3
    assert all(torch.equal(x[:, 0].long(), y) for x, y in first)


def test_measures_against_scikit_learn():
    from sklearn.metrics import accuracy_score, r2_score

    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(50, 3, generator=generator), torch.randint(3, (50,), generator=generator)
    assert accuracy(logits, labels).item() == pytest.approx(accuracy_score(labels, logits.argmax(1)))
    target = torch.randn(50, 1, generator=generator)
    guess = target + 0.3 * torch.randn(50, 1, generator=generator)
    assert r_squared(guess, target).item() == pytest.approx(r2_score(target, guess))


def test_evaluate_does_not_depend_on_how_the_data_is_batched():
    inputs, targets = regression(11)
    model = linear()
    whole = evaluate(model, [(inputs, targets)], {"loss": nn.MSELoss(), "r2": r_squared})
    parts = evaluate(
        model,
        list(zip(inputs.split(4), targets.split(4), strict=True)),
        {"loss": nn.MSELoss(), "r2": r_squared},
    )
    assert parts == pytest.approx(whole)
    assert model.training


def test_whoever_listens_hears_the_loss_and_can_stop_the_training():
    inputs, targets = regression()
    model, heard = linear(), []

    def stop_at_two(description, done, total):
        heard.append((description, done, total))
        if done == 2:
            raise KeyboardInterrupt

    with listening(stop_at_two):
        history = train(
            model, nn.MSELoss(), [(inputs, targets)], SGD(model.parameters(), lr=0.05), epochs=5, title="line"
        )
    assert not history.completed
    assert history.steps == 2
    assert heard[-1] == (f"line, epoch 2/5, loss {history.loss[1]:.3g}", 2, 5)


def test_whoever_keeps_checkpoints_is_called_at_the_beginning_and_after_each_epoch():
    inputs, targets = regression()
    model, seen = linear(), []
    train(
        model,
        nn.MSELoss(),
        [(inputs, targets)],
        SGD(model.parameters(), lr=0.05),
        epochs=2,
        after_epoch=lambda epoch: seen.append((epoch, model.weight.detach().clone())),
    )
    assert [epoch for epoch, _ in seen] == [0, 1, 2]
    assert torch.equal(seen[0][1], linear().weight)
    assert torch.equal(seen[2][1], model.weight)
    assert not torch.equal(seen[1][1], model.weight)

"""The built-in problems: what they hold, that they repeat, and that their cards tell the truth."""

import hashlib
import os
import signal
import subprocess
import sys
import threading

import pytest
import torch
from torch import nn

from workbench import paths
from workbench.problems import datasets, list_problems, load_problem

SMALL = {
    "digits-mlp": {"width": 8, "epochs": 1},
    "digits-cnn": {"width": 2, "epochs": 1},
    "digits-transformer": {"width": 16, "blocks": 1, "epochs": 1},
    "text-gpt": {"width": 16, "blocks": 1, "context": 16, "windows": 8, "epochs": 0},
    "diabetes-mlp": {"width": 4, "epochs": 1},
    "faces-cnn": {"width": 2, "epochs": 1},
    "digit-canvas": {"width": 1, "epochs": 0, "shown": 8},
}
# imagenet-mobilenet is not trained here and has no splits.
NAMES = [card.name for card in list_problems() if card.name != "imagenet-mobilenet"]
EXAMPLES = {
    "digits": (1437, 360), "faces": (140, 60), "diabetes": (342, 100), "text": (256, 256),
    "canvas": (256, 256),
}  # fmt: skip
PARTIAL = ("text-gpt", "digit-canvas")  # hold some of their examples only


@pytest.mark.parametrize("name", NAMES)
def test_small_version(name):
    problem = load_problem(name, **SMALL[name])
    assert problem.name == name
    assert problem.dtype == torch.float32
    assert not problem.model.training
    assert {split for split, _, _ in (key.partition("_") for key in problem.metrics)} == {"train", "test"}
    assert problem.gradient().isfinite().all()
    if name not in PARTIAL:
        assert problem.loss_at() == pytest.approx(problem.metrics["train_loss"], rel=1e-5)
        held_out = load_problem(name, split="test", **SMALL[name])
        assert held_out.loss_at() == pytest.approx(problem.metrics["test_loss"], rel=1e-5)
        assert torch.equal(held_out.parameters_vector(), problem.parameters_vector())


@pytest.mark.parametrize("name", NAMES)
def test_the_card_names_the_problem_its_size_and_its_split(name):
    (card,) = (card for card in list_problems() if card.name == name)
    text = card.card.read_text()
    problem = load_problem(name, epochs=0)
    assert f"`{name}`" in text
    assert f"{problem.num_parameters:,}" in text
    assert problem.num_examples == EXAMPLES[card.data][0]
    assert load_problem(name, epochs=0, split="test").num_examples == EXAMPLES[card.data][1]
    for heading in ("Source", "Licence", "Split", "Preprocessing"):
        assert f"## {heading}" in text
    assert f"({card.data}.md)" in (paths.data() / "README.md").read_text()


def test_digits_mlp_reaches_its_accuracy():
    problem = load_problem("digits-mlp")
    logits, (_, labels) = problem.with_data(datasets.digits().test).logits(), datasets.digits().test
    share = (logits.argmax(1) == labels).float().mean().item()
    assert share >= 0.96
    assert problem.metrics["test_accuracy"] == pytest.approx(share)


def test_same_seed_same_numbers_and_the_global_state_is_left_alone(monkeypatch, tmp_path):
    vectors = []
    for number, seed in enumerate((0, 0, 1)):
        monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / str(number)))  # trained afresh
        torch.manual_seed(number)
        state = torch.get_rng_state()
        vectors.append(load_problem("digits-mlp", width=8, epochs=2, seed=seed).parameters_vector())
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.allclose(vectors[0], vectors[2])


def test_the_callers_default_dtype_does_not_matter():
    plain = load_problem("digits-mlp", width=8, epochs=0).parameters_vector()
    torch.set_default_dtype(torch.float64)
    try:
        problem = load_problem("digits-mlp", width=8, epochs=0)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert problem.dtype == torch.float32
    assert torch.equal(problem.parameters_vector(), plain)


def test_a_cached_problem_is_the_trained_one():
    first = load_problem("diabetes-mlp", **SMALL["diabetes-mlp"])
    (file,) = paths.cache().glob("diabetes-mlp-*.pt")
    stamp = file.stat().st_mtime_ns
    again = load_problem("diabetes-mlp", **SMALL["diabetes-mlp"])
    assert file.stat().st_mtime_ns == stamp
    assert again.metrics == first.metrics
    assert torch.equal(again.parameters_vector(), first.parameters_vector())
    assert again.model is not first.model


def test_it_carries_the_states_of_its_training():
    trained = load_problem("diabetes-mlp", width=4, epochs=6)
    assert list(trained.checkpoints) == ["0", "1", "2", "4", "6"]
    first = load_problem("diabetes-mlp", width=4, epochs=0)
    assert list(first.checkpoints) == ["0"]
    for label, expected in (("0", first), ("6", trained)):
        state = trained.checkpoints[label]
        assert torch.equal(trained.at(state).parameters_vector(), expected.parameters_vector())


def test_every_option_of_the_training_has_a_file_of_its_own():
    for options in ({}, {"epochs": 2}, {"seed": 1}, {"width": 5}, {"split": "test"}):
        load_problem("diabetes-mlp", **(SMALL["diabetes-mlp"] | options))
    assert len(list(paths.cache().glob("*.pt"))) == 4  # the split is not the training's


def test_threads_that_load_at_once_get_the_same_network():
    results = {}

    def load(number):
        results[number] = load_problem("digits-mlp", width=8, epochs=0, seed=number % 2).parameters_vector()

    threads = [threading.Thread(target=load, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(results[number], results[number % 2]) for number in range(6))
    assert not torch.equal(results[0], results[1])


def test_an_interrupted_training_is_not_taken_for_a_trained_network(tmp_path):
    code = """
import os, signal
from workbench import training
from workbench.problems import load_problem
step = training._step
def interrupt(*arguments):
    os.kill(os.getpid(), signal.SIGINT)
    return step(*arguments)
training._step = interrupt
load_problem("digits-mlp", width=8, epochs=2)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ})
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt: the training of digits-mlp was interrupted" in process.stderr
    assert not list(paths.cache().glob("*.pt"))


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("digits-mlp", {"epoch": 3}, ValueError, "no option 'epoch'; did you mean 'epochs'"),
        ("digits-mlp", {"epochs": -1}, ValueError, "epochs=-1 is out of range: it must be at least 0"),
        ("digits-mlp", {"epochs": 2.5}, TypeError, "epochs=2.5 is a float"),
        ("digits-mlp", {"epochs": True}, TypeError, "epochs=True is a bool"),
        ("digits-mlp", {"width": 1}, ValueError, "at least 2"),
        ("digits-cnn", {"width": 0}, ValueError, "at least 1"),
        ("digits-cnn", {"seed": "0"}, TypeError, "seed='0' is a str"),
        ("digits-transformer", {"width": 24}, ValueError, "a multiple of 16"),
        ("text-gpt", {"windows": 0}, ValueError, "windows=0"),
        ("digit-canvas", {"shown": 601, "split": "test"}, ValueError, "shown=601 .* from 1 to 600"),
        ("text-gpt", {"context": 10**9}, ValueError, "context=1000000000"),
        (
            "faces-cnn",
            {"split": "tset"},
            ValueError,
            "'tset' is not one of 'train', 'test'; did you mean 'test'",
        ),
    ],
)
def test_wrong_options_are_refused(name, options, error, message):
    with pytest.raises(error, match=message):
        load_problem(name, **options)


def test_the_text_is_the_frozen_one():
    text = (paths.data() / "text" / "topics.txt").read_bytes()
    assert hashlib.sha256(text).hexdigest() in (paths.data() / "text.md").read_text()
    codes, held_out, alphabet = datasets.text()
    assert "".join(alphabet[code] for code in [*codes.tolist(), *held_out.tolist()]).encode() == text


def test_the_faces_are_the_first_half():
    data = datasets.faces()
    from skimage.data import lfw_subset

    faces = {image.tobytes() for image in lfw_subset()[:100].astype("float32")}
    for images, labels in (data.train, data.test):
        assert [image.numpy().tobytes() in faces for image in images] == labels.bool().tolist()


def test_diabetes_is_standardised_by_the_training_split():
    (inputs, target), test = datasets.diabetes().train, datasets.diabetes().test
    for part in (inputs, target):
        torch.testing.assert_close(part.mean(0), torch.zeros(part.shape[1]), atol=1e-6, rtol=0)
        torch.testing.assert_close(part.std(0, correction=0), torch.ones(part.shape[1]))
    assert test[0].mean(0).abs().max() > 1e-3


def test_the_gpt_sees_no_character_that_is_yet_to_come():
    model = load_problem("text-gpt", **SMALL["text-gpt"]).model
    codes = torch.arange(16)[None] % 90
    changed = codes.clone()
    changed[0, 9:] = 5
    with torch.no_grad():
        difference = (model(codes) - model(changed)).abs().amax(1)[0]
    assert (difference[:9] == 0).all()
    assert (difference[9:] > 0).all()


def test_the_digits_cnn_has_batch_norm_and_the_transformer_layer_norm():
    kinds = {name: {type(m) for m in load_problem(name, **SMALL[name]).model.modules()} for name in NAMES}
    assert nn.BatchNorm2d in kinds["digits-cnn"]
    assert nn.LayerNorm in kinds["digits-transformer"]
    assert nn.LayerNorm in kinds["text-gpt"]

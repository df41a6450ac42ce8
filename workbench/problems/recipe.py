"""A recipe: all that determines the trained network of a built-in problem."""

import copy
import hashlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from workbench import training
from workbench.checkpoints import State
from workbench.problems import cache
from workbench.problems.datasets import Dataset
from workbench.training import History, Measure, Minibatches, evaluate, train

_RANDOM_STATE = threading.Lock()  # the state that new layers draw from belongs to the whole process


@dataclass(frozen=True)
class Network:
    """A trained network, in eval mode, with what was measured of it and how its training went.

    ``checkpoints`` has its states at a few epochs: at the first three, whenever they have doubled, and at the
    last.
    """

    model: nn.Module
    metrics: dict[str, float]
    history: History
    checkpoints: dict[int, State]


@dataclass(frozen=True)
class Recipe:
    """How a network comes about: AdamW on shuffled minibatches, its learning rate up and down in one cycle.

    The same recipe gives the same network on the same machine, and leaves the global random state alone.

    Attributes
    ----------
    name : str
        Of the problem.
    sources : sequence of str
        The files that hold the code of the network.
    options : mapping
        All that ``build`` depends on besides its code.
    data : Dataset
        Trained on its training split, measured on both.
    build : callable
        ``build()`` returns the untrained network; it may draw from torch's global generator.
    measures : mapping
        Names and functions of (outputs, targets), ``"loss"`` among them: it is what the training lowers.
    epochs, seed, batch_size, learning_rate, weight_decay
        Of the training.
    """

    name: str
    sources: Sequence[str]
    options: Mapping[str, int | str]
    data: Dataset
    build: Callable[[], nn.Module]
    measures: Mapping[str, Measure]
    epochs: int
    seed: int
    batch_size: int
    learning_rate: float
    weight_decay: float

    def network(self) -> Network:
        """Train the network, or read it from the cache.

        Raises
        ------
        KeyboardInterrupt
            If the training was interrupted: a network trained halfway is not the one that the recipe names.
        """
        with _random_state(self.seed), torch.device("cpu"):
            model = self.build()
        saved = cache.fetch(self.key(), lambda: self._train(model))
        model.load_state_dict(saved["model"])
        history = {name: _as_array(value) for name, value in saved["history"].items()}
        return Network(model.eval(), saved["metrics"], History(**history), saved["checkpoints"])

    def key(self) -> str:
        """Name of the problem and a hash of the code, the options, the data and the version of torch."""
        digest = hashlib.sha256()
        numbers = [self.epochs, self.seed, self.batch_size, self.learning_rate, self.weight_decay]
        header = [self.name, dict(self.options), numbers, sorted(self.measures), torch.__version__]
        digest.update(json.dumps(header, sort_keys=True).encode())
        for source in (*self.sources, __file__, training.__file__):
            digest.update(hashlib.sha256(Path(source).read_bytes()).digest())
        for tensor in self.data.tensors():
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.contiguous().numpy().tobytes())
        return f"{self.name}-{digest.hexdigest()[:20]}"

    def _train(self, model: nn.Module) -> dict[str, Any]:
        batches = Minibatches(*self.data.train, self.batch_size, seed=self.seed)
        optimizer = AdamW(model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        steps = max(1, self.epochs * len(batches))
        checkpoints: dict[int, State] = {}

        def keep(epoch: int) -> None:
            if epoch.bit_count() <= 1 or epoch == self.epochs:  # 0, powers of two, the last
                checkpoints[epoch] = copy.deepcopy(model.state_dict())

        history = train(
            model,
            self.measures["loss"],
            batches,
            optimizer,
            epochs=self.epochs,
            scheduler=OneCycleLR(optimizer, max_lr=self.learning_rate, total_steps=steps),
            held_out=self.data.batches("test", 256),
            after_epoch=keep,
            title=f"training {self.name}",
        )
        if not history.completed:
            raise KeyboardInterrupt(f"the training of {self.name} was interrupted")
        fields = {name: _as_tensor(value) for name, value in vars(history).items()}
        return {
            "model": model.state_dict(),
            "metrics": self._measure(model),
            "history": fields,
            "checkpoints": checkpoints,
        }

    def _measure(self, model: nn.Module) -> dict[str, float]:
        return {
            f"{split}_{name}": value
            for split in ("train", "test")
            for name, value in evaluate(model, self.data.batches(split, 256), self.measures).items()
        }


@contextmanager
def _random_state(seed: int) -> Iterator[None]:
    """Seed the CPU's global generator and draw float32 for a while; the caller's state comes back."""
    with _RANDOM_STATE, torch.random.fork_rng(devices=[]):
        dtype = torch.get_default_dtype()
        torch.default_generator.manual_seed(seed)
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


def _as_tensor(value: Any) -> Any:
    return torch.from_numpy(value) if hasattr(value, "dtype") else value


def _as_array(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value

"""Sums over the processes of a torch.distributed group, each of which holds its share of the data.

All ranks run the same code and get the same sums, to the bit, so that whatever is decided by them is decided
alike. What one rank meets within a sum, an error or an interrupt, all of them are told by it: none waits for
one that will not come.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from workbench.batches import checksum
from workbench.curvature.operators.snapshot import sum_bits
from workbench.problem import Problem

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

_MARKS = 4093  # prime; a mark from each of 4000 ranks adds up exactly in float32


class Alone:
    """One process that holds all of the data: a sum over the ranks is what it computes itself."""

    size, rank = 1, 0
    share = 1.0

    def __init__(self, problem: Problem) -> None:
        self._problem = problem

    @property
    def num_examples(self) -> int:
        """Number of examples in the data."""
        return self._problem.num_examples

    def sum(self, part: Callable[[], Tensor], like: Tensor) -> Tensor:
        """Return the part."""
        return part()


class Ranks(Alone):
    """The processes of a group, which all make theirs at the same time and compare what they hold.

    Parameters
    ----------
    problem : Problem
        With this rank's share of the data.
    group : ProcessGroup
    matrix : str
        What is computed.

    Attributes
    ----------
    share : float
        How much the loss over this rank's data counts in the loss over all: by weight, or 1 if losses add.

    Raises
    ------
    TypeError
        If ``group`` is not one that this process is in.
    ValueError
        If the ranks do not hold the same problem, with the first rank that differs.
    RuntimeError
        If another rank failed, or died, or did not come within the group's time limit.
    """

    def __init__(self, problem: Problem, group: "ProcessGroup", matrix: str) -> None:
        if not torch.distributed.is_available() or not isinstance(group, torch.distributed.ProcessGroup):
            raise TypeError(
                f"process_group is a {type(group).__name__}, not a group of torch.distributed that this "
                "process is in: pass torch.distributed.group.WORLD after init_process_group()"
            )
        super().__init__(problem)
        self._group = group
        self.size, self.rank = group.size(), group.rank()
        held = self._exchange(lambda: _look(problem, matrix))
        _compare(held)
        if not problem.weighting.sums:
            self.share = problem.total_weight / sum(facts.weight for facts in held)
        self._num_examples = sum(facts.examples for facts in held)

    @property
    def num_examples(self) -> int:
        """Number of examples that all ranks hold."""
        return self._num_examples

    def sum(self, part: Callable[[], Tensor], like: Tensor) -> Tensor:
        """Sum what each rank computes as its part: one all_reduce.

        Parameters
        ----------
        part : callable
            Returns a tensor of the shape, dtype and device of ``like``.
        like : Tensor
            What the part is computed from; the same on all ranks.

        Raises
        ------
        KeyboardInterrupt
            If a rank was interrupted while it computed.
        ValueError
            If ``like`` is not the same on all ranks.
        RuntimeError
            If another rank failed, or died, or did not come within the group's time limit.
        """
        mine, failure = _attempt(part)
        mark = int(sum_bits(like)) % _MARKS
        values = torch.zeros_like(like) if mine is None else mine
        message = torch.cat([values.reshape(-1), like.new_tensor([float(failure is not None), float(mark)])])
        self._communicate(torch.distributed.all_reduce, message)
        failures, marks = message[-2:].tolist()
        if failures:
            self._tell(None, failure)
        if marks != mark * self.size:
            raise ValueError(
                "the ranks multiply different vectors: give each the same vectors, seeds and settings, the "
                "same kind of machine and the same number of threads"
            )
        return message[:-2].view(like.shape)

    def _exchange(self, work: Callable[[], Any]) -> list[Any]:
        """What the work returns on each rank; where it fails on one, it fails on all."""
        return self._tell(*_attempt(work))

    def _tell(self, result: Any, failure: BaseException | None) -> list[Any]:
        """Give every rank the result or the failure of every other, and raise the first failure."""
        mine = result if failure is None else _Failure(type(failure).__name__, _first_line(failure))
        answers: list[Any] = [None] * self.size
        self._communicate(torch.distributed.all_gather_object, answers, mine)
        if failure is not None:
            raise failure
        for rank, answer in enumerate(answers):
            if isinstance(answer, _Failure):
                if answer.kind == KeyboardInterrupt.__name__:
                    raise KeyboardInterrupt(f"rank {rank} was interrupted")
                raise RuntimeError(f"rank {rank} failed with {answer.kind}: {answer.message}")
        return answers

    def _communicate(self, collective: Callable[..., Any], *args: Any) -> None:
        try:
            collective(*args, group=self._group)
        except RuntimeError as error:
            raise RuntimeError(
                f"rank {self.rank} of {self.size} lost the others: one of them died, or did not come within "
                f"the time limit that init_process_group() was given ({_first_line(error)})"
            ) from error


def join(problem: Problem, group: "ProcessGroup | None", matrix: str) -> Alone:
    """Return the ranks of a group, or without one this process alone."""
    return Alone(problem) if group is None else Ranks(problem, group, matrix)


@dataclass(frozen=True)
class _Facts:
    """What one rank knows of its problem. All but its data has to be the same on every rank."""

    matrix: str
    size: int
    dtype: str
    names: str
    state: str
    adds: str
    weight: float
    examples: int


# In words, for messages.
_COMMON = {
    "matrix": "another matrix",
    "size": "another number of parameters",
    "dtype": "another dtype",
    "names": "other parameters selected",
    "state": "other values of parameters or buffers",
    "adds": "a loss that adds up in another way",
}


@dataclass(frozen=True)
class _Failure:
    kind: str
    message: str


def _look(problem: Problem, matrix: str) -> _Facts:
    return _Facts(
        matrix=matrix,
        size=problem.num_parameters,
        dtype=str(problem.dtype).removeprefix("torch."),
        names=", ".join(part.name for part in problem.layout),
        state=f"checksum {checksum(list(problem.state().values())):08x}",
        adds="sum" if problem.weighting.sums else "mean",
        weight=problem.total_weight,
        examples=problem.num_examples,
    )


def _compare(held: list[_Facts]) -> None:
    for rank, facts in enumerate(held):
        for name, words in _COMMON.items():
            here, first = getattr(facts, name), getattr(held[0], name)
            if here != first:
                raise ValueError(
                    f"rank {rank} has {words} than rank 0 ({here}, not {first}): every rank needs the same "
                    "model at the same parameters, and the same settings; only the data is its own"
                )


def _attempt(work: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """What the work returns, or what it raises."""
    try:
        return work(), None
    except (Exception, KeyboardInterrupt) as error:
        return None, error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]

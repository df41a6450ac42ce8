"""The plan of a pass over the data: how much each batch counts, and what it looked like the first time."""

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.batches import Batch, Targets, begin, checksum, count_examples
from workbench.weighting import Weighting


@dataclass(frozen=True)
class Plan:
    """Share of every batch in the loss, and its checksum where the data is not simply held in a list.

    The shares of a mean are weights divided by their total.
    """

    shares: tuple[float, ...]
    checksums: tuple[int, ...] | None
    examples: int
    total_weight: float

    def check(self, index: int, batch: Batch) -> None:
        """Refuse a batch that is not the one of the first pass."""
        if index >= len(self.shares) or (
            self.checksums is not None and checksum(batch) != self.checksums[index]
        ):
            raise ValueError(
                f"the data yields other batches than before (batch {index} differs): use shuffle=False "
                "and no random augmentation, or pass a list of fixed batches"
            )

    def check_end(self, count: int) -> None:
        """Refuse a pass that ended early."""
        if count != len(self.shares):
            raise ValueError(f"the data yields {count} batches, and {len(self.shares)} before")


def make_plan(data: Iterable[Batch], targets_of: Targets, weighting: Weighting) -> Plan:
    """Read the data once, without the model.

    Raises
    ------
    ValueError
        If a weight is negative or nan, or all are 0.
    """
    held = isinstance(data, list | tuple)
    weights: list[float] = []
    checksums: list[int] = []
    examples = 0
    for batch in begin(data):
        targets = targets_of(batch)
        weights.append(weighting.weigh(batch, targets))
        examples += count_examples(batch)
        if not held:
            checksums.append(checksum(batch))
    if not all(weight >= 0 for weight in weights):
        raise ValueError(f"a batch has the weight {min(weights)}: weights are not negative")
    total = sum(weights)
    if not total > 0:
        raise ValueError(f"no batch counts: weighted by {weighting.rule}, all weights are 0")
    shares = tuple(weights if weighting.sums else (weight / total for weight in weights))
    return Plan(shares, None if held else tuple(checksums), examples, total)

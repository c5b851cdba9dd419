"""The four conditions under which the connectivity study compares two unlearned models of one original."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from mcu_core.config import NegGradPlusConfig, Optimiser, RandomLabelConfig

CURRICULUM_START = 1.0 / 3.0
"""Share of the samples that the first epoch of the end with a curriculum draws from."""


class Condition(StrEnum):
    """What distinguishes the two ends; all else is equal."""

    SEEDS = "seeds"
    """The seed."""
    METHODS = "methods"
    """The method: NegGrad+ and RandomLabel."""
    CURRICULUM = "curriculum"
    """Whether batches come easy to hard."""
    OPTIMISER = "optimiser"
    """A first-order and a second-order optimiser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndPlan:
    """How one end is made."""

    name: str
    """For people."""
    method: NegGradPlusConfig | RandomLabelConfig
    seed: int


def plan_ends(
    condition: Condition,
    method: NegGradPlusConfig,
    other: RandomLabelConfig,
    seed: int,
    *,
    first_order: Optimiser = Optimiser.SGD,
) -> tuple[EndPlan, EndPlan]:
    """Return how the two ends of a condition are made.

    Args:
        condition: what distinguishes them.
        method: of both ends where the method is the same.
        other: the second end's of `METHODS`.
        seed: of both ends, but for `SEEDS`, whose second takes the next one.
        first_order: the first end's of `OPTIMISER`; the second takes Sophia-G.

    Returns:
        Two plans. AdamW takes .03 and Sophia-G .01 of the learning rate of SGD: their steps have the size of the rate
        whatever the gradient's, and with these the three forgot alike (accuracy on D_f 61, 58 and 65 % after 12 epochs
        on 1 000 images of Fashion-MNIST; with three times as much, both lost twenty points of TA).
    """
    plain = EndPlan(name="NegGrad+", method=method, seed=seed)
    match condition:
        case Condition.SEEDS:
            return (
                EndPlan(name=f"NegGrad+, seed {seed}", method=method, seed=seed),
                EndPlan(name=f"NegGrad+, seed {seed + 1}", method=method, seed=seed + 1),
            )
        case Condition.METHODS:
            return plain, EndPlan(name="RandomLabel", method=other, seed=seed)
        case Condition.CURRICULUM:
            train = method.train.model_copy(update={"curriculum_start": CURRICULUM_START})
            paced = method.model_copy(update={"train": train})
            return plain, EndPlan(name="NegGrad+, easy to hard", method=paced, seed=seed)
        case Condition.OPTIMISER:
            return _optimised(method, first_order, seed), _optimised(method, Optimiser.SOPHIA_G, seed)
        case _:
            assert_never(condition)


def _optimised(method: NegGradPlusConfig, optimiser: Optimiser, seed: int) -> EndPlan:
    match optimiser:
        case Optimiser.SGD:
            name, share = "SGD", 1.0
        case Optimiser.ADAMW:
            name, share = "AdamW", 0.03
        case Optimiser.SOPHIA_G:
            name, share = "Sophia-G", 0.01
        case _:
            assert_never(optimiser)
    changes = {"optimiser": optimiser, "learning_rate": share * method.train.learning_rate}
    changed = method.model_copy(update={"train": method.train.model_copy(update=changes)})
    return EndPlan(name=f"NegGrad+, {name}", method=changed, seed=seed)

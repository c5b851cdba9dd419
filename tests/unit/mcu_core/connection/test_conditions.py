import pytest
from pydantic import ValidationError

from mcu_core.config import ConnectionConfig, NegGradPlusConfig, Optimiser, RandomLabelConfig, TrainConfig
from mcu_core.connection.conditions import Condition, EndPlan, plan_ends

METHOD = NegGradPlusConfig(train=TrainConfig(epochs=4, learning_rate=0.03))
OTHER = RandomLabelConfig()


def plan(condition: Condition, first_order: Optimiser = Optimiser.SGD) -> tuple[EndPlan, EndPlan]:
    return plan_ends(condition, METHOD, OTHER, 5, first_order=first_order)


def test_two_seeds_differ_in_the_seed_alone() -> None:
    first, second = plan(Condition.SEEDS)
    assert (first.method, first.seed) == (METHOD, 5)
    assert (second.method, second.seed) == (METHOD, 6)


def test_two_methods_share_the_seed() -> None:
    first, second = plan(Condition.METHODS)
    assert (first.method, second.method) == (METHOD, OTHER)
    assert first.seed == second.seed == 5


def test_the_curriculum_is_all_that_distinguishes_its_ends() -> None:
    first, second = plan(Condition.CURRICULUM)
    train = second.method.train
    assert train.curriculum_start < 1.0
    assert train.model_copy(update={"curriculum_start": 1.0}) == METHOD.train
    assert (first.method, first.seed) == (METHOD, second.seed)


@pytest.mark.parametrize("first_order", [Optimiser.SGD, Optimiser.ADAMW])
def test_a_first_order_optimiser_meets_sophia(first_order: Optimiser) -> None:
    first, second = plan(Condition.OPTIMISER, first_order)
    assert (first.method.train.optimiser, second.method.train.optimiser) == (first_order, Optimiser.SOPHIA_G)
    assert first.method.train.epochs == second.method.train.epochs == 4
    assert second.method.train.learning_rate < first.method.train.learning_rate <= METHOD.train.learning_rate


def test_every_condition_names_its_ends_apart() -> None:
    for condition in Condition:
        first, second = plan(condition)
        assert first.name != second.name


def test_a_curve_with_a_curriculum_is_refused() -> None:
    with pytest.raises(ValidationError, match="curriculum_start"):
        ConnectionConfig(train=TrainConfig(epochs=1, learning_rate=0.1, curriculum_start=0.5))

import pytest

from mcu_core.config import Schedule, TrainConfig
from mcu_core.optimiser import learning_rate


def test_a_constant_rate_is_constant() -> None:
    config = TrainConfig(epochs=1, learning_rate=0.3)
    assert {learning_rate(config, step, 10) for step in range(10)} == {0.3}


def test_a_cosine_rate_falls_from_its_peak_to_nearly_nothing() -> None:
    config = TrainConfig(epochs=1, learning_rate=0.3, schedule=Schedule.COSINE)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] == 0.3
    assert rates == sorted(rates, reverse=True)
    assert rates[50] == pytest.approx(0.15)
    assert 0.0 < rates[-1] < 0.001


def test_one_cycle_rises_for_a_quarter_and_falls_for_the_rest() -> None:
    config = TrainConfig(epochs=1, learning_rate=0.3, schedule=Schedule.ONE_CYCLE)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert max(rates) == rates[25] == 0.3
    assert rates[:26] == sorted(rates[:26])
    assert rates[25:] == sorted(rates[25:], reverse=True)
    assert min(rates) > 0.0


@pytest.mark.parametrize("schedule", list(Schedule))
def test_every_schedule_works_for_a_single_step(schedule: Schedule) -> None:
    assert 0.0 < learning_rate(TrainConfig(epochs=1, learning_rate=0.3, schedule=schedule), 0, 1) <= 0.3

"""Fixtures of the audit's tests: a problem that hides its sealed samples, and outcomes on it."""

from dataclasses import replace

import pytest

from mcu_core import pipeline
from mcu_core.images import SealedSamples
from mcu_core.methods import unlearn
from mcu_core.runtime import stream
from mcu_core.types import Outcome, Problem
from tests.audits import RUNG, retrained_as
from tests.cases import RECIPE, seal_tiny, tiny_config, tiny_data, tiny_runtime


@pytest.fixture(scope="session")
def sealed() -> SealedSamples:
    return seal_tiny(tiny_data())[1]


@pytest.fixture(scope="session")
def hidden(problem: Problem) -> Problem:
    """Return the problem as a run has it: no sealed sample can be read."""
    return replace(problem, data=seal_tiny(tiny_data())[0])


@pytest.fixture(scope="session")
def retrained(hidden: Problem) -> Outcome:
    return retrained_as(unlearn(hidden, RECIPE, stream(3, "test"), runtime=tiny_runtime(hidden.data)))


@pytest.fixture(scope="session")
def mcu(hidden: Problem) -> Outcome:
    return pipeline.run(hidden, RUNG, tiny_config(), 0)

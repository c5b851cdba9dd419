"""One small study for all tests of it, since it takes seconds and nothing may change it."""

import pytest

from mcu_core.config import ConnectionConfig, NegGradPlusConfig, Precision, TrainConfig
from mcu_core.connection.report import Connection
from mcu_core.connection.study import NamedModel, study_connection
from mcu_core.methods import unlearn
from mcu_core.runtime import stream
from mcu_core.types import Problem
from tests.cases import tiny_runtime

METHOD = NegGradPlusConfig(beta=0.6, train=TrainConfig(epochs=3, learning_rate=0.02, batch_size=40))


@pytest.fixture(scope="session")
def small() -> ConnectionConfig:
    train = TrainConfig(epochs=3, learning_rate=0.02, weight_decay=0.0, batch_size=40)
    return ConnectionConfig(
        train=train,
        points=5,
        batchnorm_images=64,
        retain_images=48,
        test_images=40,
        similarity_images=20,
        precision=Precision.FLOAT32,
        evaluation_batch=64,
    )


@pytest.fixture(scope="session")
def ends(problem: Problem) -> tuple[NamedModel, NamedModel]:
    runtime = tiny_runtime(problem.data)
    first, second = (
        NamedModel(name=f"seed {seed}", state=unlearn(problem, METHOD, stream(seed, "end"), runtime=runtime))
        for seed in (1, 2)
    )
    return first, second


@pytest.fixture(scope="session")
def connection(problem: Problem, ends: tuple[NamedModel, NamedModel], small: ConnectionConfig) -> Connection:
    return study_connection(problem, *ends, small, 0)

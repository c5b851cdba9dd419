import pytest

from mcu_core.config import SalUnConfig
from mcu_core.errors import NoEffectError
from mcu_core.methods.salun import salun
from mcu_core.runtime import Runtime, stream
from mcu_core.types import Problem


def test_a_share_of_no_element_is_refused(problem: Problem, runtime: Runtime) -> None:
    with pytest.raises(NoEffectError, match=r"raise pre_unlearning\.keep"):
        salun(problem, SalUnConfig(keep=1e-9), stream(0, "test"), runtime=runtime)

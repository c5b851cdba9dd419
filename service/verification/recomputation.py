"""Level 2: STATS and GATE once more, from the scores, the plan and the policy alone."""

from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic import BaseModel

from mcu_core.judging.decide import decide
from mcu_core.report.evidence import Evidence
from service.attestation import SCORES
from service.domain.comparison import FLOAT_TOLERANCE, document_difference
from service.errors import NotRecomputableError
from service.recomputation import recompute
from service.verification.checks import CheckFailedError, CheckName, demand
from service.verification.contents import Contents


def recomputation_checks(contents: Contents) -> dict[CheckName, Callable[[], str]]:
    """Return the checks of level 2, in order; earlier attempts are not recomputed, a bundle lacks their scores."""
    main = contents.main

    @cache
    def evidence() -> Evidence:
        try:
            return recompute(main.read(SCORES), main.plan)
        except NotRecomputableError as error:
            raise CheckFailedError(f"{SCORES}: {error.message}") from error

    def statistics() -> str:
        _compare(main.report.evidence, evidence(), "evidence")
        count = _leaves(main.report.evidence.model_dump(mode="json"))
        return f"All {count} values of the evidence follow from the scores, floats within {FLOAT_TOLERANCE:g}."

    def gate() -> str:
        try:
            stated, computed = main.report.judgement, decide(evidence(), main.plan, main.policy)
        except (ValueError, ArithmeticError) as error:
            raise CheckFailedError(f"no verdict follows from these numbers: {error}") from error
        same = stated.verdict is computed.verdict
        demand(same, f"the verdict is {stated.verdict.value}, not {computed.verdict.value} as the scores say")
        _compare(stated, computed, "judgement")
        return f"The verdict {stated.verdict.value} follows from scores, plan and policy."

    return {CheckName.STATISTICS: statistics, CheckName.GATE: gate}


def _compare(stated: BaseModel, computed: BaseModel, where: str) -> None:
    difference = document_difference(stated, computed, tolerance=FLOAT_TOLERANCE, path=where)
    if difference is not None:
        raise CheckFailedError(f"{difference} as recomputed")


def _leaves(value: Any) -> int:
    match value:
        case dict():
            return sum(map(_leaves, value.values()))
        case list():
            return sum(map(_leaves, value))
        case _:
            return 1

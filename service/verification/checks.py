"""What a check is called and what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class CheckName(StrEnum):
    """Names of the checks, stable: scripts and tests read them."""

    # Level 0: signature, schema, plan before run
    BUNDLE_MEMBERS = "bundle.members"
    SIGNATURE_REPORT = "signature.report"
    SIGNATURE_PLAN = "signature.plan"
    SIGNATURE_ATTEMPTS = "signature.attempts"
    SCHEMA = "schema"
    STATEMENT_SUBJECTS = "statement.subjects"
    PLAN_BEFORE_RUN = "plan.before_run"
    # Level 1: digests
    DIGEST_MEMBERS = "digest.members"
    DIGEST_WEIGHTS = "digest.weights"
    REPORT_STATEMENT = "report.statement"
    REPORT_SUBJECTS = "report.subjects"
    REPORT_PLAN = "report.plan"
    PAGE_VERDICT = "page.verdict"
    ATTEMPTS_COMPLETE = "attempts.complete"
    # Level 2: recomputation
    STATISTICS = "statistics.recomputed"
    GATE = "gate.recomputed"
    # Level 3: rescoring
    PREMISES = "premises"
    SCORED_SAMPLES = "scores.samples"
    SCORES_ORIGINAL = "scores.original"
    SCORES_CANDIDATE = "scores.candidate"
    SCORES_PRE_UNLEARNED = "scores.pre_unlearned"
    SCORES_RELEARNED = "scores.relearned"
    SCORES_REFERENCES = "scores.references"
    FACTS = "facts.recomputed"
    GATE_RESCORED = "gate.rescored"
    # Receipts
    RECEIPT_SIGNATURE = "receipt.signature"
    RECEIPT_REPORT = "receipt.report"
    RECEIPT_SAMPLES = "receipt.samples"
    # The ledger
    LEDGER_CHAIN = "ledger.chain"
    LEDGER_SIGNATURES = "ledger.signatures"
    LEDGER_CHECKPOINTS = "ledger.checkpoints"
    LEDGER_ORDER = "ledger.order"


class Outcome(StrEnum):
    """What came of a check."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ASKED = "not asked"
    """What it needs is optional and was not given. Any other check that cannot be made has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """One check, with a sentence for a person."""

    name: CheckName
    level: int
    outcome: Outcome
    text: str


class CheckFailedError(Exception):
    """A check found something wrong; the message is its sentence."""


class NotAskedError(Exception):
    """A check was given nothing to look at; the message is its sentence."""


def demand(holds: bool, text: str) -> None:
    """Fail the check unless a condition holds.

    Raises:
        CheckFailedError: it does not.
    """
    if not holds:
        raise CheckFailedError(text)


def make_check(name: CheckName, level: int, check: Callable[[], str]) -> CheckResult:
    """Make a check and say what came of it."""
    try:
        return CheckResult(name=name, level=level, outcome=Outcome.PASSED, text=check())
    except CheckFailedError as failure:
        text = str(failure)
        first = text.split(maxsplit=1)[0]
        sentence = text if "." in first else text[0].upper() + text[1:]  # a member's name is written as it is
        return CheckResult(name=name, level=level, outcome=Outcome.FAILED, text=f"{sentence}.")
    except NotAskedError as nothing:
        return CheckResult(name=name, level=level, outcome=Outcome.NOT_ASKED, text=str(nothing))


def passed(results: Sequence[CheckResult]) -> bool:
    """Return whether nothing failed and something was checked."""
    return bool(results) and all(result.outcome is not Outcome.FAILED for result in results)

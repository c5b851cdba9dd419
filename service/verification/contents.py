"""The documents of a bundle, each read when a check first asks for it; one that cannot be read fails that check."""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from pydantic import ValidationError
from securesystemslib.dsse import Envelope

from mcu_core.judging.policy import AuditPolicy
from mcu_core.report.document import AuditReport
from mcu_core.report.plan import AuditPlan
from service.attestation import AuditStatement, PlanStatement, read_statement
from service.bundle import Bundle, attempt_member
from service.domain.canonical import is_canonical
from service.errors import SignatureError
from service.signing import read_envelope
from service.verification.checks import CheckFailedError

D = TypeVar("D", AuditReport, AuditPlan, AuditPolicy)
S = TypeVar("S", AuditStatement, PlanStatement)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt as the bundle tells it.

    Attributes:
        number: of an earlier attempt; `None` of the one that the bundle is about.
    """

    bundle: Bundle
    number: int | None = None

    def name(self, member: str) -> str:
        """Return the name of one of its members."""
        return member if self.number is None else attempt_member(self.number, member)

    def read(self, member: str) -> bytes:
        """Return the bytes of one of its members.

        Raises:
            CheckFailedError: the bundle does not have it.
        """
        try:
            return self.bundle.members[self.name(member)]
        except KeyError as error:
            raise CheckFailedError(f"the bundle has no {self.name(member)}") from error

    @cached_property
    def report(self) -> AuditReport:
        """The report."""
        return self._document(AuditReport, "report.json")

    @cached_property
    def plan(self) -> AuditPlan:
        """The plan."""
        return self._document(AuditPlan, "plan.json")

    @cached_property
    def policy(self) -> AuditPolicy:
        """The policy."""
        return self._document(AuditPolicy, "policy.json")

    @cached_property
    def report_envelope(self) -> Envelope:
        """What the report's statement came in."""
        return self._envelope("report.dsse.json")

    @cached_property
    def plan_envelope(self) -> Envelope:
        """What the plan's statement came in."""
        return self._envelope("plan.dsse.json")

    @cached_property
    def report_statement(self) -> AuditStatement:
        """What was signed about the report."""
        return self._statement(AuditStatement, self.report_envelope, "report.dsse.json")

    @cached_property
    def plan_statement(self) -> PlanStatement:
        """What was signed about the plan."""
        return self._statement(PlanStatement, self.plan_envelope, "plan.dsse.json")

    def _document(self, kind: type[D], member: str) -> D:
        data = self.read(member)
        try:
            document = kind.model_validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "the document"
            raise CheckFailedError(f"{self.name(member)} is not of its schema: {where}: {first['msg']}") from error
        # Two readers must never read two things: no repeated key, no number that another parser rounds elsewhere.
        if not is_canonical(document, data):
            raise CheckFailedError(f"{self.name(member)} is not canonical JSON (RFC 8785)")
        return document

    def _envelope(self, member: str) -> Envelope:
        try:
            return read_envelope(self.read(member))
        except SignatureError as error:
            raise CheckFailedError(f"{self.name(member)}: {error.message}") from error

    def _statement(self, kind: type[S], envelope: Envelope, member: str) -> S:
        try:
            return read_statement(kind, envelope.payload)
        except SignatureError as error:
            raise CheckFailedError(f"{self.name(member)}: {error.message}") from error


@dataclass(frozen=True, kw_only=True)
class Contents:
    """A bundle: the attempt that it is about, and the earlier ones, oldest first."""

    bundle: Bundle

    @cached_property
    def main(self) -> Attempt:
        """The attempt that the bundle is about."""
        return Attempt(bundle=self.bundle)

    @cached_property
    def earlier(self) -> tuple[Attempt, ...]:
        """The earlier attempts that are in the bundle, whether they are all of them or not."""
        return tuple(Attempt(bundle=self.bundle, number=number) for number in self.bundle.attempts)

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt in the bundle."""
        return (*self.earlier, self.main)

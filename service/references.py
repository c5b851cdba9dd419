"""The register of leave-out models: it lies in the object store, next to the weights that it registers.

So a command on the machine that trains them and the service see the same, whatever either was killed in. Whether a
family is tainted is decided from the store's releases alone; what is written beside the weights tells the workers.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog
from pydantic import ValidationError

from service.domain.document import Document
from service.domain.entries import references_purged, references_registered, references_tainted
from service.domain.ledger import LedgerDraft
from service.domain.model import Model
from service.domain.references import (
    ReferencePlan,
    ReferencePurpose,
    ReferenceRecord,
    ReferenceTaint,
    choose_family,
    families_folder,
    family_folder,
    plan_key,
    record_key,
    taint_key,
    taint_of,
)
from service.errors import DigestMismatchError, ObjectExistsError, ObjectMissingError, StaleVersionError
from service.ports import Change, Clock, ObjectStore, Store

D = TypeVar("D", bound=Document)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredFamily:
    """A folder of the register.

    Attributes:
        folder: in the object store.
        plan: `None` where it cannot be read: nobody can say any more whom such a family knows.
        record: `None` as long as members are missing.
        taint: as the store's releases have it, told to the workers already or not.
    """

    lineage: str
    folder: str
    plan: ReferencePlan | None
    record: ReferenceRecord | None
    taint: ReferenceTaint | None

    @property
    def plan_digest(self) -> str:
        """Return the name of the folder."""
        return self.folder.rpartition("/")[2]

    @property
    def state(self) -> str:
        """Return how the family stands, in a word."""
        if self.plan is None:
            return "unreadable"
        if self.taint is not None:
            return "tainted"
        return "unfinished" if self.record is None else "ready"

    @property
    def usable(self) -> ReferenceRecord | None:
        """Return the family where a run may be given it."""
        return self.record if self.taint is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceRegister:
    """Knows every family, taints and purges."""

    store: Store
    objects: ObjectStore
    clock: Clock
    purge_after: timedelta
    actor: str

    def families(self, lineage: str | None = None) -> list[RegisteredFamily]:
        """Return the families of a lineage, or of all, finished or not, by folder."""
        folders: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
        for key in self.objects.keys(families_folder(lineage)):
            folder, _, _ = key.rpartition("/")
            folders[folder.split("/")[1], folder].add(key)
        return [self._family(name, folder, keys) for (name, folder), keys in sorted(folders.items())]

    def choose(
        self, purpose: ReferencePurpose, model: Model, *, teacher: ReferenceRecord | None = None
    ) -> ReferenceRecord | None:
        """Return the family that may serve a run of a lineage that begins now; see `choose_family`."""
        usable = (family.usable for family in self.families(model.lineage))
        return choose_family((record for record in usable if record), purpose, model, teacher=teacher)

    def announce(self, plan: ReferencePlan) -> str:
        """Account for a family whose members will be trained now and return its folder; harmless to repeat."""
        folder = family_folder(plan.lineage, plan.digest)
        self.objects.create(plan_key(folder), plan.to_bytes())
        return folder

    def require_untainted(self, plan: ReferencePlan) -> None:
        """Check that nobody was forgotten whom the members of a plan are trained on.

        Raises:
            StaleVersionError: somebody was: a plan that is made now leaves them out.
        """
        taint = taint_of(plan, self.store.releases(plan.lineage), self.purge_after)
        if taint is not None:
            raise StaleVersionError(
                f"release {taint.release} has forgotten samples that the references were being trained on: "
                "build them again, without those"
            )

    def register(self, record: ReferenceRecord) -> ReferenceRecord:
        """Let a family exist whose members are all there, and return it: where another process was faster, its own.

        Raises:
            StaleVersionError: somebody was forgotten whom the members were trained on.
        """
        self.require_untainted(record.plan)
        key = record_key(family_folder(record.plan.lineage, record.plan.digest))
        if self.objects.head(key) is not None:
            known = self._read(key, ReferenceRecord)
            if known is not None:
                return known
            self.objects.delete(key)  # damaged
        self._tell(references_registered(record, self.actor))
        try:
            self.objects.create(key, record.to_bytes())
        except ObjectExistsError:  # of the other process, in this moment
            return self._read(key, ReferenceRecord) or record
        return record

    def taint(self, lineage: str | None = None) -> None:
        """Tell ledger and workers of every family that knows somebody forgotten; harmless to repeat."""
        for family in self.families(lineage):
            self._taint(family)

    def tend(self) -> None:
        """Taint what a crash kept from it, and purge what is past its deadline or belongs to no plan."""
        now = self.clock.now()
        for family in self.families():
            self._taint(family)
            if family.plan is None:
                self.purge(family, "NO_PLAN")
            elif family.taint is not None and family.taint.purge_by <= now:
                self.purge(family, "DEADLINE")

    def purge(self, family: RegisteredFamily, reason: str) -> None:
        """Delete a family, so that it neither exists in part nor is lost sight of when this is interrupted.

        1. The record: no run is given the family any more. 2. Members and folds. 3. Once the ledger was told, what
        the next round would find the folder by.
        """
        first, last = record_key(family.folder), (plan_key(family.folder), taint_key(family.folder))
        rest = [key for key in self.objects.keys(family.folder) if key != first and key not in last]
        # 1. Record 2. Members
        for key in (first, *rest):
            self.objects.delete(key)
        # 3. Ledger and plan
        self._tell(references_purged(family.lineage, family.plan_digest, reason, self.actor, self.clock.now()))
        for key in last:
            self.objects.delete(key)
        _log.info("references purged", lineage=family.lineage, family=family.plan_digest, reason=reason)

    def _taint(self, family: RegisteredFamily) -> None:
        key = taint_key(family.folder)
        if family.plan is None or family.taint is None or self.objects.head(key) is not None:
            return
        # Told first: once the file is there nobody looks again.
        self._tell(references_tainted(family.plan, family.taint, self.actor, self.clock.now()))
        self.objects.create(key, family.taint.to_bytes())
        _log.info("references tainted", lineage=family.lineage, family=family.plan_digest)

    def _family(self, lineage: str, folder: str, keys: Iterable[str]) -> RegisteredFamily:
        plan = self._read(plan_key(folder), ReferencePlan)  # after the listing, which may be older than the plan
        if plan is not None and family_folder(plan.lineage, plan.digest) != folder:
            plan = None
        record = self._read(record_key(folder), ReferenceRecord) if record_key(folder) in keys else None
        if record is not None and (record.plan != plan or len(record.weights) != record.plan.config.folds):
            record = None
        taint = None if plan is None else taint_of(plan, self.store.releases(lineage), self.purge_after)
        if taint is not None and taint_key(folder) in keys:  # what was promised stays, whatever the settings say now
            taint = self._read(taint_key(folder), ReferenceTaint) or taint
        return RegisteredFamily(lineage=lineage, folder=folder, plan=plan, record=record, taint=taint)

    def _read(self, key: str, document: type[D]) -> D | None:
        """Return a document; `None` where there is none or it is damaged."""
        try:
            return document.model_validate_json(self.objects.read(key))
        except (ObjectMissingError, DigestMismatchError, ValidationError):
            return None

    def _tell(self, draft: LedgerDraft) -> None:
        """Append an entry, unless it was told already before a crash: the last entry about the family is of its kind.

        That reads the whole ledger, a few times in the life of a family.
        """
        told = [
            entry.kind
            for entry in self.store.ledger()
            if entry.subject == draft.subject and entry.payload.get("plan") == draft.payload["plan"]
        ]
        if told[-1:] != [draft.kind]:
            self.store.save(Change(entries=(draft,)))

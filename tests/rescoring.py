"""Published runs in a data directory as the embedded service keeps it, for `unlearn verify --level 3`."""

import json
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from mcu_core.report import AuditReport
from mcu_core.statistics.scores import ScoreTable, from_parquet, to_parquet
from service import report_page
from service.__main__ import app
from service.adapters.directory_objects import DirectoryObjectStore
from service.adapters.sql_store import connect_store, sqlite_url
from service.bundle import write_bundle
from service.data_directory import DATABASE
from service.domain.run import WorkOrder
from service.evidence import basis_members, collect_members, judged_members
from service.ports import ObjectStore
from service.worker.auditing import report_on
from tests.attempts import Attempt
from tests.memorised_digits import MemorisedDigits, request, world_of
from tests.mutations import require_published
from tests.records import LINEAGE
from tests.world import KEY, SIGNER


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A run that was published, and its evidence."""

    home: Path
    order: WorkOrder
    members: dict[str, bytes]

    @property
    def objects(self) -> DirectoryObjectStore:
        return DirectoryObjectStore(self.home / "objects")

    def claiming(self, table: ScoreTable) -> dict[str, bytes]:
        """Return the bundle of a worker that wrote these scores, signed by the service: levels 0 to 2 find nothing."""
        scores, honest = to_parquet(table), AuditReport.model_validate_json(self.members["report.json"])
        report = report_on(self.order, scores, honest.subjects.candidate)
        page = report_page.render(report)
        reported = judged_members(report, page=page, signer=SIGNER, now=datetime.now(UTC))
        return self.members | reported | basis_members(self.order.spec.policy, scores)

    @property
    def scores(self) -> ScoreTable:
        return from_parquet(self.members["scores.parquet"])

    def verify(self, *options: str, members: dict[str, bytes] | None = None, code: int = 0) -> dict[str, Any]:
        """Run `unlearn verify --level 3` on a bundle and return outcome and sentence of each check."""
        write_bundle(self.home / "bundle.zip", members or self.members)
        (self.home / "service.pem").write_text(SIGNER.public_key.pem)
        arguments = ["verify", str(self.home / "bundle.zip"), "--key", str(self.home / "service.pem"), "--level", "3"]
        places = {"UNLEARN_DATA_DIR": str(self.home), "UNLEARN_WORKER_THREADS": "1"}
        done = CliRunner().invoke(app, [*arguments, "--json", *options], env=places)
        assert done.exit_code == code, done.output
        if code == 2:
            return dict(json.loads(done.stderr)["error"])
        return {check["check"]: check for check in json.loads(done.stdout)["checks"]}


def publish(home: Path, digits: MemorisedDigits, attempt: Attempt) -> Published:
    """Let a service on a database and a directory answer the request with this attempt, and publish it."""
    store, objects = connect_store(sqlite_url(home / DATABASE)), DirectoryObjectStore(home / "objects")

    def in_time(order: WorkOrder, to: ObjectStore) -> int:
        code = attempt(order, to)
        late = datetime.fromtimestamp(time.time() + 1, UTC) - world.clock.now()  # workers have clocks of their own
        world.clock.advance(max(late, timedelta(0)))
        return code

    world = world_of(digits, in_time, folder=home, store=store, objects=objects)
    ticket = request(world, digits)
    world.drive()
    require_published(world, ticket)
    (home / "commitment.key").write_text(KEY.secret.hex())
    (order,) = world.orders
    members = collect_members(objects, LINEAGE, order.run_id)
    store.close()
    return Published(home=home, order=order, members=members)


def with_facts(table: ScoreTable, **changes: object) -> ScoreTable:
    """Return the scores with other facts."""
    return replace(table, facts=table.facts.model_copy(update=changes))

"""What becomes of models that were made on purpose: each is scored once, and judged for every size and signal.

Scores are kept as `scores.parquet` outside of git: a changed policy or statistic costs no forward pass.
"""

import hashlib
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import measure
from benchmarks.audit import results
from benchmarks.audit.candidates import Offered, cell_of, offer
from benchmarks.audit.reduced import reduced
from benchmarks.audit.setting import STARTED_AT, AuditedCase, Bench
from mcu_core.audit.score import Origin, score
from mcu_core.errors import DivergedError
from mcu_core.experiments.cells import Cell, OriginalCell, ReferenceCell, RetrainedCell, dependencies
from mcu_core.experiments.store import CellStore
from mcu_core.judging.decide import decide
from mcu_core.judging.policy import AuditPolicy
from mcu_core.report.evidence import Evidence, Group
from mcu_core.report.judgement import Judgement
from mcu_core.report.plan import AuditPlan
from mcu_core.statistics.assemble import evidence_of
from mcu_core.statistics.scores import ScoreTable, from_parquet, to_parquet
from mcu_core.whole_files import write_whole

DRAWS = {10: 3, 100: 3, 1_200: 1}
"""How many random parts of D_f of each size are audited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Where the scores of a candidate are kept."""

    folder: Path
    name: str
    """Of the result that they belong to."""

    def path(self, offered: Offered) -> Path:
        """Return the file of a candidate."""
        return self.folder / f"{self.name}-{offered.value}.parquet"

    def read(self, offered: Offered) -> ScoreTable | None:
        """Return the scores; `None` where there are none yet."""
        path = self.path(offered)
        return from_parquet(path.read_bytes()) if path.exists() else None


def audit_seed(
    bench: Bench,
    seed: int,
    offers: Sequence[Offered],
    *,
    name: str,
    scores: Path,
    folder: Path,
    train: bool,
    calibrated: bool = True,
    again: bool = False,
) -> None:
    """Audit the candidates of one seed, as far as their models are there.

    Args:
        bench: data, cells and thresholds.
        seed: which world.
        offers: the candidates.
        name: of the result.
        scores: folder of what SCORE hands to STATS.
        folder: of the results.
        train: whether to train what the store lacks of originals, retrained models and references; what a method makes
            of them is made in any case.
        calibrated: whether references take part, once they are there.
        again: whether to judge kept scores anew, after a change of statistics or gate.
    """
    original = OriginalCell(world=bench.world(seed))
    if not train and lacking(bench.store, original):
        print(f"{name}: the original is not there yet", flush=True)
        return
    calibrated = calibrated and (train or not lacking(bench.store, *bench.auditors()))
    case, kept = bench.case(seed), Scores(folder=scores, name=name)
    for offered in offers:
        cell = cell_of(case, offered)
        absent = [] if train or cell is None else lacking(bench.store, cell, *dependencies(cell))
        if absent:
            print(f"{name}: {offered.value} waits for {len(absent)} of kind {absent[0].kind}", flush=True)
        else:
            _audit(case, offered, kept, folder, calibrated=calibrated, again=again)


def lacking(store: CellStore, *cells: Cell) -> list[Cell]:
    """Return the cells that are trained from scratch and not there."""
    kinds = OriginalCell | RetrainedCell | ReferenceCell
    return [cell for cell in cells if isinstance(cell, kinds) and not store.has_weights(cell)]


def _audit(case: AuditedCase, offered: Offered, scores: Scores, folder: Path, *, calibrated: bool, again: bool) -> None:
    """Score a candidate unless its scores are kept, and judge it unless that was done with these scores."""
    began = time.monotonic()
    table = scores.read(offered)
    if table is None or (calibrated and table.references is None):
        try:
            table = _score(case, offered, calibrated=calibrated)
        except DivergedError as error:
            _keep(scores.name, offered, {"diverged": str(error), "rows": []}, case, folder)
            return
        write_whole(scores.path(offered), to_parquet(table))
    digest = hashlib.sha256(scores.path(offered).read_bytes()).hexdigest()
    known = results.read(scores.name, folder).get("candidates", {}).get(offered.value, {})
    if not again and known.get("scores") == digest and known.get("policy") == case.bench.policy.digest:
        return
    rows = judged(table, case.plan(calibrated=table.references is not None), case.bench.policy)
    found = {"scores": digest, "policy": case.bench.policy.digest, "t": table.facts.chosen_t, "rows": rows}
    _keep(scores.name, offered, found, case, folder)
    print(f"{scores.name}: {offered.value} in {time.monotonic() - began:.0f} s", flush=True)


def _score(case: AuditedCase, offered: Offered, *, calibrated: bool) -> ScoreTable:
    made = offer(case, offered)
    problem, sealed = case.posed
    return score(
        problem,
        sealed,
        made.outcome,
        case.plan(calibrated=calibrated),
        config=case.config,
        origin=Origin(started_at=STARTED_AT, batchnorm_rows=made.batchnorm),
        references=[case.references()] if calibrated else [],
        known=case.known,
    )


def judged(table: ScoreTable, plan: AuditPlan, policy: AuditPolicy) -> list[measure.Json]:
    """Return a row for each signal, size and draw."""
    signals = (False, True) if table.references is not None else (False,)
    rows = []
    for calibrated, (count, draws) in itertools.product(signals, DRAWS.items()):
        for number in range(draws):
            part, smaller = reduced(table, plan, forget_count=count, number=number, calibrated=calibrated)
            evidence = evidence_of(part, smaller)
            rows.append({**_row(evidence, decide(evidence, smaller, policy)), "draw": number})
    return rows


def _row(evidence: Evidence, judgement: Judgement) -> measure.Json:
    auc, upper, lower = evidence.primary
    return {
        "signal": auc.signal,
        "forget": auc.forget_count,
        "nonmembers": auc.other_count,
        "verdict": judgement.verdict,
        "claim": judgement.claim,
        "reasons": [reason.code for reason in judgement.reasons],
        "margin": judgement.margin,
        "auc": [auc.value, auc.low, auc.high],
        "original_auc": evidence.positive_control[0].value,
        "tails": [upper.value, lower.value],
        "relearned_auc": evidence.relearned.value,
        "losses_upper": [evidence.utility[group].upper for group in (Group.TEST, Group.RETAIN)],
    }


def _keep(name: str, offered: Offered, found: measure.Json, case: AuditedCase, folder: Path) -> None:
    known = results.read(name, folder)
    settings = {"seed": case.world.seed, "policy": case.bench.policy.version, "draws": DRAWS}
    candidates = {**known.get("candidates", {}), offered.value: found}
    ordered = {one.value: candidates[one.value] for one in Offered if one.value in candidates}
    results.write(name, {"settings": settings, "candidates": ordered}, folder)

"""The deletions that are audited: Fashion-MNIST, PreResNet-20, a random tenth of 12 000 training images.

The worlds of all seeds share D_train and D_v, and so one family of references. What is neither is the audit's: D_t,
C_cal and C_eval are shares of it by keyed hash, as the service splits its held-out samples.
"""

from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

import torch
import yaml

from benchmarks.measure import CPU
from mcu_core import checkpoint
from mcu_core.audit.answers import KnownAnswers
from mcu_core.config import AuditConfig, Augmentation, HeldoutConfig, UnlearningConfig, default_ladder
from mcu_core.experiments.cells import OriginalCell, ReferenceCell, cell_digest, members
from mcu_core.experiments.forgetting import AUDITORS, deletion_of_study, family, worlds
from mcu_core.experiments.laboratory import Laboratory
from mcu_core.experiments.paper import Study
from mcu_core.experiments.running import Work, prepare
from mcu_core.experiments.setup import Deletion, Split, World, draw_split
from mcu_core.experiments.store import CellStore
from mcu_core.heldout import split_heldout
from mcu_core.images import SealedSamples, seal
from mcu_core.judging.policy import AuditPolicy
from mcu_core.pipeline import measure_references
from mcu_core.references import ReferenceFamily
from mcu_core.report import References
from mcu_core.report.plan import AuditPlan, ReferencesPlan, Signal
from mcu_core.types import Problem, State, ignore_progress
from service.worker.bench import BenchRequest, study_of
from service.worker.research import ResearchData, load_research_data

SEEDS = tuple(range(10))
SPLIT_KEY = b"benchmarks.audit"
"""Of the keyed hash; anybody may know it here."""
SHARES = HeldoutConfig(validation=1e-9, test=0.1, calibration=0.05, evaluation=0.1)
"""Of the 57 000 images that are neither D_train nor D_v: 5 700 each for D_t and C_eval, 2 850 for C_cal. D_f has at
most 1 200, so that more non-members would hardly narrow an interval; what is left is read by nobody. There is a D_v
already: nothing falls into the share that must be given for it."""
NOBODY = "0" * 64
"""In place of the digests that only a service has."""
CREATED_AT, STARTED_AT = 1, 2
"""Of plan and run: a benchmark's own time, in which the plan comes first."""


def shipped_policy() -> AuditPolicy:
    """Return the thresholds that the service is shipped with."""
    text = (resources.files("service") / "policy.yaml").read_text(encoding="utf-8")
    return AuditPolicy.model_validate(yaml.safe_load(text))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bench:
    """Data, cells and thresholds."""

    data: ResearchData
    study: Study
    store: CellStore
    laboratory: Laboratory
    policy: AuditPolicy

    @property
    def deletion(self) -> Deletion:
        """Return what every seed forgets."""
        return deletion_of_study(self.study)

    def world(self, seed: int) -> World:
        """Return what the original of a seed depends on."""
        return worlds(self.study)[self.study.seeds.index(seed)]

    def auditors(self) -> tuple[ReferenceCell, ...]:
        """Return the references that audit: no method's teachers."""
        return members(self.world(self.study.seeds[0]), family(self.study, AUDITORS))

    def case(self, seed: int) -> "AuditedCase":
        """Return one deletion with its original; trains the original where the store lacks it."""
        world = self.world(seed)
        work = prepare(self.data.samples, world, CPU, ignore_progress)
        split = draw_split(self.data.samples, world, self.deletion)
        original = self.laboratory.state(OriginalCell(world=world))
        return AuditedCase(bench=self, world=world, work=work, split=split, original=original)


@dataclass(frozen=True, kw_only=True, eq=False)  # no slots: what is computed once is kept
class AuditedCase:
    """One deletion: what a method could read of it, and what the audit reads."""

    bench: Bench
    world: World
    work: Work
    split: Split
    original: State

    @property
    def config(self) -> UnlearningConfig:
        """Return arithmetic and batches, those of the world."""
        return UnlearningConfig(
            ladder=default_ladder(self.world.recipe),
            precision=self.world.precision,
            evaluation_batch=self.world.evaluation_batch,
        )

    def references(self) -> ReferenceFamily:
        """Return the family that audits."""
        return self.bench.laboratory.family(self.world, family(self.bench.study, AUDITORS))

    @cached_property
    def known(self) -> KnownAnswers:
        """Return what original and references have said: the same for every candidate."""
        return KnownAnswers()

    @cached_property
    def aligned_with(self) -> References:
        """Return what unlearning aligns with."""
        return measure_references(self.posed[0], self.work.runtime)

    @cached_property
    def posed(self) -> tuple[Problem, SealedSamples]:
        """Return the problem with the audit's own D_t, and C."""
        outside = torch.ones(len(self.work.samples.data.labels), dtype=torch.bool)
        for rows in (self.split.forget, self.split.retain, self.split.validation):
            outside[rows] = False
        rows = outside.nonzero().flatten()
        parts = split_heldout([str(row) for row in rows.tolist()], SPLIT_KEY, SHARES)
        test, calibration, evaluation = (rows[part] for part in (parts.test, parts.calibration, parts.evaluation))
        data, sealed = seal(self.work.samples.data, calibration=calibration, evaluation=evaluation)
        problem = Problem(
            model=self.work.runtime.model,
            architecture=self.world.architecture,
            original=self.original,
            data=data,
            forget=self.split.forget,
            retain=self.split.retain,
            validation=self.split.validation,
            test=test,
        )
        return problem, sealed

    def plan(self, *, calibrated: bool) -> AuditPlan:
        """Return the plan of an audit of all of D_f."""
        policy, audit = self.bench.policy, AuditConfig()
        auditors = self.bench.auditors()
        references = ReferencesPlan(family=cell_digest(auditors[0]), folds=len(auditors))
        return AuditPlan(
            run_id=f"seed-{self.world.seed}",
            lineage=self.world.data,
            attempt=1,
            rung=0,
            audits_before=0,
            base_model=checkpoint.digest(self.original),
            manifest=self.world.data_digest,
            resolution=NOBODY,
            policy=policy.digest,
            spec=NOBODY,
            forget_count=len(self.split.forget),
            forget_root=NOBODY,
            split_commitment=NOBODY,
            primary_signal=Signal.CALIBRATED if calibrated else Signal.PHI,
            references=references if calibrated else None,
            seed=self.world.seed,
            tail_level=policy.tail_level,
            confidence=audit.confidence,
            retain_images=audit.retain_images,
            svc_samples=audit.svc_samples,
            created_at=CREATED_AT,
        )


def open_bench(store: Path, *, augmentation: Augmentation = Augmentation.NONE, manifest: Path | None = None) -> Bench:
    """Open a store of cells and the data that they are about.

    Args:
        store: as `unlearn bench` keeps it; images decoded from the manifest lie in its folder `data`.
        augmentation: of what is trained from scratch.
        manifest: of Fashion-MNIST; `None` takes the one that `unlearn bench` has made.
    """
    folder = store / "data"
    data = load_research_data(manifest or folder / "fashion-mnist.parquet", "preresnet20", folder)
    request = BenchRequest(artefact="forgetting", seeds=SEEDS, augmentation=augmentation.value)
    kept = CellStore(store)
    return Bench(
        data=data,
        study=study_of(request, data)[1],
        store=kept,
        laboratory=Laboratory(data.samples, kept, device=CPU),
        policy=shipped_policy(),
    )

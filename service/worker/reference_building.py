"""Training the members of a family of leave-out models, fold by fold, so that nothing is lost but the fold at hand."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from mcu_core import checkpoint, models
from mcu_core.config import Precision, ReferenceFamilyConfig, RetrainConfig
from mcu_core.data import BatchReader
from mcu_core.errors import DataError
from mcu_core.references import folds_of_subjects, train_reference
from mcu_core.runtime import Runtime, resolve_precision
from mcu_core.types import Progress, ProgressUpdate
from mcu_core.whole_files import locked
from service.domain.commitment import CommitmentKey
from service.domain.model import Model
from service.domain.references import (
    BuildStage,
    ReferencePlan,
    ReferencePurpose,
    ReferenceRecord,
    family_folder,
    folds_key,
    member_key,
)
from service.errors import DigestMismatchError, FieldViolation, InvalidRequestError, ObjectExistsError
from service.pixel_files import PixelCache
from service.ports import ObjectStore
from service.references import ReferenceRegister
from service.worker.device import compute_device
from service.worker.manifest_file import fetch_manifest
from service.worker.original import EVALUATION_BATCH
from service.worker.references import Folds
from service.worker.samples import decode, training_subjects
from service.worker.threads import use_threads

Told = Callable[[BuildStage, float, int], None]
"""Called with what is being done, and how much of how much is done."""
LEAST_SAMPLES = 2
"""That a member is trained on: BatchNorm statistics need two images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceBuilder:
    """What building needs of its surroundings.

    Attributes:
        decoded: keeps decoded images, for the lineage's jobs as well.
        locks: a folder; of two builds of the same plan on one machine the second waits and finds the work done.
        threads: of the CPU; `None` takes the idle cores.
        told: hears how far the work is.
    """

    register: ReferenceRegister
    objects: ObjectStore
    key: CommitmentKey
    decoded: PixelCache
    locks: Path
    threads: int | None
    told: Told

    def build(
        self, model: Model, forgotten: dict[int, int], purpose: ReferencePurpose, *, folds: int, seed: int
    ) -> ReferenceRecord:
        """Train the members that are not there yet, and register the family.

        1. The plan: who is trained on, and who is left out where.
        2. The folder is accounted for before anything that knows a sample lies in it.
        3. Members, each stored when it is trained.
        4. The record, unless somebody was forgotten meanwhile.

        Args:
            model: the lineage.
            forgotten: rows that it has forgotten, each with the number of the release that did it.
            purpose: to audit or to teach.
            folds: members.
            seed: of folds and members; the same one trains the same members again.

        Returns:
            The registered family.

        Raises:
            InvalidRequestError: no recipe is known, or a family of the other purpose has this seed.
            DataError: there are too few subjects for so many folds, or a sample cannot be decoded.
            DivergedError: the recipe does not train this network.
            StaleVersionError: a release has forgotten samples meanwhile: build again.
        """
        threads = use_threads(self.threads)
        config = ReferenceFamilyConfig(folds=folds, recipe=_recipe(model), seed=seed)
        self._require_own_seed(model, purpose, seed)
        with TemporaryDirectory() as name:
            manifest = Path(name) / "manifest.parquet"
            fetch_manifest(self.objects, model.manifest.digest, manifest)
            # 1. Plan
            dealt = deal(manifest, forgotten, self.key, model.manifest.digest, config)
            plan = _plan(model, forgotten, purpose, config, dealt)
            with locked(self.locks / f"{plan.digest}.lock"):
                # 2. Folder
                self.register.require_untainted(plan)
                folder = self.register.announce(plan)
                self.objects.create(folds_key(folder), dealt.to_bytes())
                # 3. Members
                weights = self._members(plan, dealt, manifest, forgotten, threads)
                # 4. Record
                now = self.register.clock.now()
                return self.register.register(ReferenceRecord(plan=plan, weights=weights, built_at=now))

    def _require_own_seed(self, model: Model, purpose: ReferencePurpose, seed: int) -> None:
        plans = (family.plan for family in self.register.families(model.lineage))
        if any(plan and plan.purpose is not purpose and plan.config.seed == seed for plan in plans):
            text = f"a family that shall not {purpose.value} has seed {seed}: with the same seed it is the same models"
            raise InvalidRequestError(FieldViolation(field="seed", description=text))

    def _members(
        self, plan: ReferencePlan, dealt: Folds, manifest: Path, forgotten: Collection[int], threads: int
    ) -> tuple[str, ...]:
        """Return the digest of each member; those that are not stored are trained."""
        folder = family_folder(plan.lineage, plan.digest)
        stored = {fold: self._stored(member_key(folder, fold)) for fold in range(plan.config.folds)}
        missing = [fold for fold, digest in stored.items() if digest is None]
        runtime = self._runtime(plan, manifest, forgotten, threads) if missing else None
        for done, fold in enumerate(missing):
            if runtime is None:
                raise RuntimeError("nothing to train with")
            self.register.require_untainted(plan)
            state = train_reference(
                runtime,
                torch.from_numpy(dealt.rows),
                plan.config,
                fold,
                folds=torch.from_numpy(dealt.folds),
                progress=self._telling(done, len(missing)),
            )
            stored[fold] = self._store(member_key(folder, fold), checkpoint.to_bytes(state))
        return tuple(digest for digest in stored.values() if digest is not None)

    def _stored(self, key: str) -> str | None:
        """Return the digest of a stored member; one that is damaged goes."""
        if self.objects.head(key) is None:
            return None
        try:
            return hashlib.sha256(self.objects.read(key)).hexdigest()
        except DigestMismatchError:
            self.objects.delete(key)
            return None

    def _store(self, key: str, content: bytes) -> str:
        """Keep a member; where another machine was faster, with other last bits, its member stays."""
        try:
            return self.objects.create(key, content).sha256
        except ObjectExistsError:
            return hashlib.sha256(self.objects.read(key)).hexdigest()

    def _runtime(self, plan: ReferencePlan, manifest: Path, forgotten: Collection[int], threads: int) -> Runtime:
        samples = decode(
            manifest,
            plan.architecture,
            folder=self.decoded.folder(plan.lineage, plan.manifest_digest),
            left_out=sorted(forgotten),
            threads=threads,
            progress=lambda done, total: self.told(BuildStage.DECODING, done, total),
        )
        device = compute_device()
        return Runtime(
            model=models.build(plan.architecture),
            reader=BatchReader(data=samples.data, architecture=plan.architecture, device=device),
            dtype=resolve_precision(Precision.AUTO, device),
            evaluation_batch=EVALUATION_BATCH,
        )

    def _telling(self, done: int, count: int) -> Progress:
        def tell(update: ProgressUpdate, /) -> None:
            share = (update.epoch + update.step / max(1, update.steps)) / max(1, update.epochs)
            self.told(BuildStage.TRAINING, done + share, count)

        return tell


def deal(
    manifest: Path, forgotten: Collection[int], key: CommitmentKey, manifest_digest: str, config: ReferenceFamilyConfig
) -> Folds:
    """Return what the members are trained on: all that was not forgotten, the samples of a person in one fold.

    Raises:
        DataError: there are too few subjects for so many folds.
    """
    rows, subjects = training_subjects(manifest, forgotten)
    secret = bytes.fromhex(key.reference_folds_key(manifest_digest, config.seed))
    dealt = folds_of_subjects(subjects, secret, config.folds)
    most = max(Counter(dealt.tolist()).values())
    if len(rows) - most < LEAST_SAMPLES:
        raise DataError(f"a member would be trained on {len(rows) - most} samples: that is no model")
    return Folds(rows=rows, folds=dealt.numpy())


def _recipe(model: Model) -> RetrainConfig:
    if model.recipe is None:
        text = (
            "references are trained as the model was, and no recipe was registered with it (--epochs, --learning-rate)"
        )
        raise InvalidRequestError(FieldViolation(field="recipe", description=text))
    return model.recipe


def _plan(
    model: Model, forgotten: dict[int, int], purpose: ReferencePurpose, config: ReferenceFamilyConfig, dealt: Folds
) -> ReferencePlan:
    return ReferencePlan(
        lineage=model.lineage,
        manifest_digest=model.manifest.digest,
        architecture=model.architecture,
        config=config,
        purpose=purpose,
        folds_digest=hashlib.sha256(dealt.to_bytes()).hexdigest(),
        samples=len(dealt.rows),
        left_out=len(forgotten),
        after_release=max(forgotten.values(), default=1),
    )

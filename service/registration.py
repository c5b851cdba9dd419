"""Registering a lineage: its weights and manifest are checked before anything is unlearned from them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from service.domain.canary import Canary, CanaryRegister
from service.domain.entries import model_registered
from service.domain.manifest import Manifest
from service.domain.model import Model
from service.domain.release import Release, weights_key
from service.domain.submission import Registration
from service.errors import DigestMismatchError, LineageExistsError, ManifestError, UnknownLineageError
from service.ports import Change, Clock, ManifestSource, ObjectStore, Store, imported_weights_key
from service.publishing import point_to, replace_orphan
from service.serving import require_no_resurrection


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Keeps the lineages."""

    store: Store
    objects: ObjectStore
    manifests: ManifestSource
    clock: Clock
    check_weights: Callable[[Path], None]
    """Raises WeightsError when a file is no safetensors file of tensors."""

    def register(self, registration: Registration, *, tenant: str, actor: str) -> Model:
        """Register a lineage whose weights and manifest lie in the object store; repeating it is harmless.

        1. The manifest is what its digest says, its labels fit the architecture, and its canaries are the register's.
        2. The weights are what their digest says, and a safetensors file.
        3. Release 1 is written; the lineage, its canaries and its ledger entry are saved; the pointer is moved last.

        Raises:
            LineageExistsError: the lineage is registered with something else.
            ObjectMissingError: weights or manifest are not in the object store.
            ManifestError: the manifest is unusable or does not fit the architecture.
            WeightsError: the weights are truncated or hostile.
            DigestMismatchError: the stored weights have another digest.
            ResurrectsForgottenSamplesError: another lineage has released these weights, and forgotten samples that
                would come back.
        """
        existing = self.store.model(registration.lineage)
        if existing is None:
            existing = self._register(registration, tenant=tenant, actor=actor)
        if not _same_registration(existing, registration, tenant):
            raise LineageExistsError(
                "the lineage is registered with another model, manifest, architecture, recipe or other canaries: "
                "choose another name for the lineage",
                lineage=registration.lineage,
            )
        point_to(self.objects, self.store.releases(existing.lineage)[0])
        return existing

    def _register(self, registration: Registration, *, tenant: str, actor: str) -> Model:
        require_no_resurrection(
            self.store,
            tenant=tenant,
            lineage=registration.lineage,
            weights_digest=registration.weights_digest,
            manifest_digest=registration.manifest_digest,
        )
        # 1. Manifest
        manifest = self.manifests.inspect(registration.manifest_digest)
        if manifest.label_max >= registration.architecture.classes:
            raise ManifestError(
                f"the manifest has labels up to {manifest.label_max}, the model answers with "
                f"{registration.architecture.classes} classes (0 to {registration.architecture.classes - 1})"
            )
        if manifest.heldout_rows == 0:
            raise ManifestError("the manifest has no held-out samples to compare the forgotten ones with")
        canaries = () if registration.canaries is None else self._canaries(registration.canaries, manifest)
        now = self.clock.now()
        model = Model(
            lineage=registration.lineage,
            tenant=tenant,
            architecture=registration.architecture,
            manifest=manifest,
            weights_digest=registration.weights_digest,
            recipe=registration.recipe,
            baseline_train_accuracy=registration.baseline_train_accuracy,
            registered_at=now,
            canary_commitment=None if registration.canaries is None else registration.canaries.commitment,
            requires_acknowledgement=registration.requires_acknowledgement,
            canaries_mislabelled=registration.canaries is not None and registration.canaries.mislabelled,
        )
        release = Release(
            lineage=model.lineage,
            number=1,
            weights_digest=model.weights_digest,
            report_digest=None,
            run_id=None,
            ticket_ids=(),
            forget_count=0,
            created_at=now,
        )
        # 2. Weights
        self._publish_original(release)
        # 3. Save
        change = Change(
            models=(model,),
            releases=(release,),
            canaries=((model.lineage, canaries),),
            entries=(model_registered(model, actor),),
        )
        try:
            self.store.save(change)
        except LineageExistsError:
            # Registered twice at once, and the other one won: its weights are the release's, not ours.
            self._publish_original(self.store.releases(model.lineage)[-1])
        registered = self.store.model(model.lineage)
        if registered is None:
            raise RuntimeError(f"lineage {model.lineage} was saved and is gone")
        return registered

    def _canaries(self, register: CanaryRegister, manifest: Manifest) -> tuple[Canary, ...]:
        """Find the canaries in the manifest; each must be where its coin says, and there must be no others."""
        included = self.manifests.resolve(manifest.digest, register.included_ids).rows
        excluded = self.manifests.resolve(manifest.digest, register.excluded_ids).canary_rows
        count = len(register.sample_ids)
        missing = count - len(included) - len(excluded)
        if missing:
            raise ManifestError(
                f"{missing} of {count} canaries are not in the manifest, or not in the split that their coin says: the "
                "register belongs to another manifest"
            )
        if manifest.canary_rows != len(excluded):
            raise ManifestError(
                f"the manifest has {manifest.canary_rows} canaries that were kept out of training, the register "
                f"{len(excluded)}: the register belongs to another manifest"
            )
        rows = [(row, True) for row in included] + [(row, False) for row in excluded]
        return tuple(Canary(row=row, is_included=is_included) for row, is_included in sorted(rows))

    def _publish_original(self, release: Release) -> None:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            stored = self.objects.download(imported_weights_key(release.weights_digest), path)
            if stored.sha256 != release.weights_digest:
                raise DigestMismatchError("the stored weights are not those that were announced")
            self.check_weights(path)
            replace_orphan(self.objects, weights_key(release.lineage, release.number), path)

    def model(self, lineage: str, *, tenant: str) -> Model:
        """Return a lineage of this tenant.

        Raises:
            UnknownLineageError: there is none.
        """
        model = self.store.model(lineage)
        if model is None or model.tenant != tenant:
            raise UnknownLineageError("no model is registered under this lineage", lineage=lineage)
        return model


def _same_registration(model: Model, registration: Registration, tenant: str) -> bool:
    return (
        model.tenant == tenant
        and model.architecture == registration.architecture
        and model.manifest.digest == registration.manifest_digest
        and model.weights_digest == registration.weights_digest
        and model.recipe == registration.recipe
        and model.baseline_train_accuracy == registration.baseline_train_accuracy
        and model.requires_acknowledgement == registration.requires_acknowledgement
        and model.canary_commitment == (registration.canaries.commitment if registration.canaries else None)
    )

"""Which training samples a request names."""

from collections.abc import Sequence

from service.domain.model import Model
from service.errors import DuplicateSampleIdsError, EmptyForgetSetError, ForgetSetTooLargeError, UnknownSampleIdsError
from service.ports import ManifestSource, Store


def training_rows(manifests: ManifestSource, manifest_digest: str, sample_ids: Sequence[str]) -> tuple[int, ...]:
    """Return the rows of training samples, each named once.

    Raises:
        DuplicateSampleIdsError: ids named twice, by position.
        UnknownSampleIdsError: ids that are no training samples, by position.
    """
    repeated = _repeated_positions(sample_ids)
    if repeated:
        raise DuplicateSampleIdsError(
            f"{len(repeated)} of {len(sample_ids)} ids repeat an earlier one", positions=repeated
        )
    resolved = manifests.resolve(manifest_digest, sample_ids)
    wrong = tuple(sorted(resolved.unknown_positions + resolved.heldout_positions))
    if wrong:
        raise UnknownSampleIdsError(
            f"{len(wrong)} of {len(sample_ids)} ids are no training samples of the manifest "
            f"({len(resolved.unknown_positions)} unknown, {len(resolved.heldout_positions)} held out)",
            positions=wrong,
            unknown=str(len(resolved.unknown_positions)),
            heldout=str(len(resolved.heldout_positions)),
        )
    return resolved.rows


def forgettable_rows(
    store: Store, manifests: ManifestSource, model: Model, sample_ids: Sequence[str]
) -> tuple[int, ...]:
    """Return the rows of training samples that a lineage could forget.

    Raises:
        EmptyForgetSetError: no ids.
        DuplicateSampleIdsError: ids named twice, by position.
        UnknownSampleIdsError: ids that are no training samples, by position.
        ForgetSetTooLargeError: no training sample would be left.
    """
    if not sample_ids:
        raise EmptyForgetSetError("the ticket names no sample")
    rows = training_rows(manifests, model.manifest.digest, sample_ids)
    gone = set(store.forgotten_rows(model.lineage)) | set(rows)
    if len(gone) >= model.manifest.train_rows:
        raise ForgetSetTooLargeError(
            f"forgetting {len(sample_ids)} more of {model.manifest.train_rows} training samples leaves none to "
            "keep: withdraw the model or train a new one"
        )
    return rows


def _repeated_positions(sample_ids: Sequence[str]) -> tuple[int, ...]:
    seen: set[str] = set()
    repeated = []
    for position, sample_id in enumerate(sample_ids):
        if sample_id in seen:
            repeated.append(position)
        seen.add(sample_id)
    return tuple(repeated)

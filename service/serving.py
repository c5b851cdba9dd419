"""The guard against resurrection: weights are held against the forget ledger of every lineage that released them."""

from collections.abc import Sequence

from service.domain.model import Model
from service.domain.release import Release
from service.domain.serving import ServingAnswer, ServingDecision, may_serve, unknown_weights
from service.errors import ResurrectsForgottenSamplesError
from service.ports import Store


def release_of_weights(releases: Sequence[Release], digest: str) -> Release | None:
    """Return the newest release that these weights are, among a lineage's releases, newest first."""
    return next((release for release in releases if release.weights_digest == digest), None)


def answer(
    store: Store, model: Model, *, number: int | None = None, weights_digest: str | None = None
) -> ServingAnswer:
    """Return whether a release of a lineage, or any weights, may serve."""
    releases = store.releases(model.lineage)
    if weights_digest is not None:
        release = release_of_weights(releases, weights_digest)
    else:
        release = next((release for release in releases if release.number == number), None)
    if release is None:
        return unknown_weights(model.current_release)
    forgotten_by = store.forgotten_rows(model.lineage).values()
    return may_serve(release, forgotten_by, store.purges(model.lineage), current=model.current_release)


def require_no_resurrection(
    store: Store, *, tenant: str, lineage: str, weights_digest: str, manifest_digest: str
) -> None:
    """Check that registering weights under a new name brings back nothing that another lineage has forgotten.

    Weights that know it would serve it, and a manifest that still names it would be trained on. Weights that nobody
    has released are the registrant's own word.

    Raises:
        ResurrectsForgottenSamplesError: it would.
    """
    for model in store.models():
        release = release_of_weights(store.releases(model.lineage), weights_digest)
        if release is None or model.tenant != tenant or model.lineage == lineage:
            continue
        found = answer(store, model, number=release.number)
        where = f"the weights are release {release.number} of lineage {model.lineage}"
        if found.decision is not ServingDecision.ALLOWED:
            raise ResurrectsForgottenSamplesError(f"{where}, superseded there. {found.text}", lineage=model.lineage)
        forgotten = len(store.forgotten_rows(model.lineage))
        if forgotten and model.manifest.digest == manifest_digest:
            text = (
                f"{where}, which has forgotten {forgotten} samples that the manifest still has for training: go on "
                "with that lineage, or register them with a manifest that lacks those samples"
            )
            raise ResurrectsForgottenSamplesError(text, lineage=model.lineage)

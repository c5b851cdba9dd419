"""What is told of releases, to responses."""

from service.domain.model import Model
from service.domain.serving import ServingAnswer
from service.pb.unlearning.v1 import model_service_pb2
from service.release_desk import ReleaseDetails
from service.rpc.convert.enums import SERVING_DECISIONS
from service.rpc.convert.responses import release, timestamp


def release_details(found: ReleaseDetails, location: str) -> model_service_pb2.GetReleaseResponse:
    """Return a release and what became of it."""
    return model_service_pb2.GetReleaseResponse(
        release=release(found.release, location),
        attestation=found.attestation,
        is_current=found.is_current,
        purge_time=None if found.purge_at is None else timestamp(found.purge_at),
    )


def serving_answer(answer: ServingAnswer, model: Model) -> model_service_pb2.CheckLineageResponse:
    """Return whether weights may serve."""
    return model_service_pb2.CheckLineageResponse(
        decision=SERVING_DECISIONS[answer.decision],
        text=answer.text,
        resurrected_sample_count=answer.resurrected,
        current_release_number=model.current_release,
    )

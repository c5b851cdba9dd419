"""Requests that the end-to-end tests send."""

import uuid
from collections.abc import Sequence
from pathlib import Path

from mcu_core.config import ArchitectureConfig
from service.bootstrap import build_objects
from service.cli.models import stage
from service.client import Client
from service.pb.unlearning.v1 import deletion_service_pb2 as deletion_pb
from service.pb.unlearning.v1 import model_pb2 as model_pb
from service.pb.unlearning.v1 import model_service_pb2 as service_pb
from service.pb.unlearning.v1 import sample_selection_pb2 as selection_pb
from service.pb.unlearning.v1 import ticket_pb2 as ticket_pb
from service.ports import ObjectStore
from service.settings import Settings
from tests.e2e.noisy_digits import ARCHITECTURE, RECIPE, NoisyDigits

LINEAGE = "digits"


def register(
    client: Client,
    home: Path,
    digits: NoisyDigits,
    architecture: ArchitectureConfig = ARCHITECTURE,
    objects: ObjectStore | None = None,
) -> model_pb.Model:
    """Register the digits model, by way of the directory store in `home` unless another one is given."""
    weights, manifest = stage(objects or build_objects(Settings(data_dir=home)), digits.weights, digits.manifest)
    request = service_pb.RegisterModelRequest(
        request_id=str(uuid.uuid4()),
        lineage=LINEAGE,
        architecture=model_pb.Architecture(**architecture.model_dump()),
        weights_sha256=weights,
        manifest_sha256=manifest,
        recipe=model_pb.TrainingRecipe(
            epochs=RECIPE.train.epochs,
            learning_rate=RECIPE.train.learning_rate,
            batch_size=RECIPE.train.batch_size,
            schedule=model_pb.LEARNING_RATE_SCHEDULE_ONE_CYCLE,
            stop_at_train_accuracy=RECIPE.stop_at_train_accuracy,
        ),
        baseline_train_accuracy=digits.train_accuracy,
    )
    return client.models.RegisterModel(request, timeout=60).model


def submit(client: Client, sample_ids: Sequence[str], request_id: str | None = None) -> ticket_pb.Ticket:
    """Ask for samples to be forgotten."""
    request = deletion_pb.SubmitTicketRequest(
        request_id=request_id or str(uuid.uuid4()),
        lineage=LINEAGE,
        samples=selection_pb.SampleSelection(inline=selection_pb.SampleIds(sample_ids=sample_ids)),
        regime=ticket_pb.REGIME_GDPR,
    )
    return client.deletion.SubmitTicket(request, timeout=60).ticket

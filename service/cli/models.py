"""Commands about models: register, show."""

import hashlib
import uuid
from pathlib import Path
from typing import Annotated

import typer

from mcu_core.config import Schedule
from service.bootstrap import build_objects
from service.cli.output import (
    DEFAULT_ADDRESS,
    Address,
    Json,
    message_dict,
    print_fields,
    print_json,
    told_errors,
)
from service.cli.tickets import CALL_SECONDS
from service.client import connect
from service.domain.canary import CanaryRegister
from service.errors import FieldViolation, InvalidRequestError
from service.pb.unlearning.v1 import model_pb2 as model_pb
from service.pb.unlearning.v1 import model_service_pb2 as service_pb
from service.ports import ObjectStore, imported_weights_key, manifest_key
from service.settings import Settings

REGISTER_SECONDS = 600.0
"""Checking a large manifest and copying large weights takes its time."""

app = typer.Typer(help="Register models and see their versions.", no_args_is_help=True)


@app.command()
def register(
    lineage: Annotated[str, typer.Argument(help="Name of the model and all its versions, such as `fashion`.")],
    weights: Annotated[Path, typer.Option(help="The trained weights (safetensors).")],
    manifest: Annotated[Path, typer.Option(help="The data set (Parquet, see `unlearn manifest build`).")],
    architecture: Annotated[str, typer.Option(help="`preresnet20` and the like, or `torchvision:resnet18`.")],
    classes: Annotated[int, typer.Option(help="Width of the model's output.")],
    image_size: Annotated[int, typer.Option(help="Height and width of the model's input, pixels.")],
    mean: Annotated[list[float], typer.Option(help="Normalisation, per channel, of pixels in [0, 1]; repeatable.")],
    std: Annotated[list[float], typer.Option(help="Normalisation, per channel; repeatable.")],
    train_accuracy: Annotated[
        float | None, typer.Option(help="The model's accuracy on its training split; a mismatch stops a run early.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Recipe of the training; without it exact retraining is not on the ladder.")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Recipe: peak learning rate.")] = None,
    momentum: Annotated[float, typer.Option(help="Recipe.")] = 0.9,
    weight_decay: Annotated[float, typer.Option(help="Recipe.")] = 1e-4,
    batch_size: Annotated[int, typer.Option(help="Recipe.")] = 128,
    schedule: Annotated[Schedule, typer.Option(help="Recipe: how the learning rate moves.")] = Schedule.CONSTANT,
    stop_at: Annotated[float | None, typer.Option(help="Recipe: end at this train accuracy.")] = None,
    canaries: Annotated[
        Path | None, typer.Option(help="The secret file of `unlearn manifest canaries`, where the manifest has some.")
    ] = None,
    acknowledge: Annotated[
        bool,
        typer.Option(
            "--require-acknowledgement",
            help="Tickets succeed only when the serving side says that it runs the release (`model acknowledge`).",
        ),
    ] = False,
    request_id: Annotated[str | None, typer.Option(help="Your own id of this request.")] = None,
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Register a trained model, so that samples can be forgotten from it.

    Weights and manifest are put into the service's object store first (UNLEARN_DATA_DIR, or UNLEARN_OBJECT_STORE=s3
    with UNLEARN_S3_*: the same settings as the service's).
    """
    with told_errors(as_json=as_json):
        if (epochs is None) != (learning_rate is None):
            raise InvalidRequestError(
                FieldViolation(field="recipe", description="give both --epochs and --learning-rate")
            )
        register_of_canaries = None if canaries is None else canary_message(canaries)
        objects = build_objects(Settings())
        weights_digest, manifest_digest = stage(objects, weights, manifest)
        recipe = None
        if epochs is not None and learning_rate is not None:
            recipe = model_pb.TrainingRecipe(
                epochs=epochs,
                learning_rate=learning_rate,
                momentum=momentum,
                weight_decay=weight_decay,
                batch_size=batch_size,
                schedule=model_pb.LearningRateSchedule.Value(f"LEARNING_RATE_SCHEDULE_{schedule.name}"),
                stop_at_train_accuracy=stop_at,
            )
        request = service_pb.RegisterModelRequest(
            request_id=request_id or str(uuid.uuid4()),
            lineage=lineage,
            architecture=model_pb.Architecture(
                name=architecture, classes=classes, channels=len(mean), image_size=image_size, mean=mean, std=std
            ),
            weights_sha256=weights_digest,
            manifest_sha256=manifest_digest,
            recipe=recipe,
            baseline_train_accuracy=train_accuracy,
            canaries=register_of_canaries,
            require_acknowledgement=acknowledge,
        )
        with connect(address) as client:
            model = client.models.RegisterModel(request, timeout=REGISTER_SECONDS).model
    _print_model(model, as_json=as_json)


@app.command()
def show(
    lineage: Annotated[str, typer.Argument(help="The model.")],
    address: Address = DEFAULT_ADDRESS,
    as_json: Json = False,
) -> None:
    """Show a registered model."""
    with told_errors(as_json=as_json), connect(address) as client:
        model = client.models.GetModel(service_pb.GetModelRequest(lineage=lineage), timeout=CALL_SECONDS).model
    _print_model(model, as_json=as_json)


def stage(objects: ObjectStore, weights: Path, manifest: Path) -> tuple[str, str]:
    """Put weights and manifest into the object store under their digests and return these."""
    for path, field in ((weights, "weights"), (manifest, "manifest")):
        if not path.is_file():
            raise InvalidRequestError(FieldViolation(field=field, description=f"{path} is no file"))
    weights_digest, manifest_digest = digest_of(weights), digest_of(manifest)
    objects.create(imported_weights_key(weights_digest), weights)
    objects.create(manifest_key(manifest_digest), manifest)
    return weights_digest, manifest_digest


def canary_message(path: Path) -> service_pb.CanaryRegister:
    """Read the secret file of planted canaries.

    Raises:
        InvalidRequestError: it is no such file.
        OSError: it cannot be read.
    """
    register = CanaryRegister.from_bytes(path.read_bytes())
    return service_pb.CanaryRegister(
        key=register.key,
        sample_ids=register.sample_ids,
        commitment=register.commitment,
        mislabelled=register.mislabelled,
    )


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _print_model(model: model_pb.Model, *, as_json: bool) -> None:
    if as_json:
        print_json(message_dict(model))
        return
    manifest = model.manifest
    rows = [
        ("architecture", f"{model.architecture.name}, {model.architecture.classes} classes"),
        ("samples", f"{manifest.train_row_count} trained on, {manifest.heldout_row_count} held out"),
        ("current release", str(model.current_release_number)),
        ("weights", model.weights_sha256),
        ("manifest", manifest.sha256),
        ("exact retraining", "possible" if model.HasField("recipe") else "no recipe was registered"),
        ("acknowledgement", "required of the serving side" if model.require_acknowledgement else "not asked for"),
        ("canaries", f"committed to by {model.canary_commitment}" if model.canary_commitment else "none"),
    ]
    print_fields(f"Model {model.lineage}", rows)

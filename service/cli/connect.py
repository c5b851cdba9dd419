"""Commands of the connectivity study: connect two models, or run one of its four conditions."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from mcu_core.config import (
    ArchitectureConfig,
    ConnectionConfig,
    NegGradPlusConfig,
    Optimiser,
    RandomLabelConfig,
    RetrainConfig,
    Schedule,
    TrainConfig,
)
from mcu_core.connection.conditions import Condition
from mcu_core.connection.report import Connection
from service.cli.output import Json, console, err_console, print_json, told_errors
from service.cli.tickets import read_ids
from service.demo_data import DEBIAN_FOLDER, FASHION_ARCHITECTURE
from service.domain.manifest import Split
from service.errors import FieldViolation, InvalidRequestError
from service.manifests.build import build_manifest
from service.manifests.images import idx_source
from service.manifests.plan import BuildOptions
from service.worker.results import NamedSetting, result_name

RESULTS = Path("benchmarks/results")
HELDOUT_COUNT = 10_000
"""All of the official test images."""
NAME_DIGITS = 16
"""Of a digest, in a file's name."""
DEFAULT_MODEL, DEFAULT_TRAIN_IMAGES, DEFAULT_FORGET_SHARE = "preresnet20", 12_000, 0.1
DEFAULT_MODEL_EPOCHS, DEFAULT_UNLEARN_EPOCHS, DEFAULT_CURVE_EPOCHS = 60, 5, 10
DEFAULT_BETA, DEFAULT_POINTS = 0.15, 21
ENOUGH_MEMORISED = 0.999
"""Train accuracy at which the original's training ends: from there on there is something to forget."""

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the JSON, the Markdown page and the figure.")]
CurveEpochs = Annotated[int, typer.Option(min=1, help="Epochs of the curve's training.")]
Beta = Annotated[float, typer.Option(min=0.0, help="Weight of the ascent on D_f in what the curve is trained on.")]
Points = Annotated[int, typer.Option(min=3, help="Points measured on each path, both ends included.")]
SeedOption = Annotated[int, typer.Option(min=0, help="Of everything random.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; without it, the idle cores.")]


def connect(
    first: Annotated[Path, typer.Argument(help="An unlearned model (safetensors): the path's t = 0.")],
    second: Annotated[Path, typer.Argument(help="Another of the same architecture: t = 1.")],
    manifest: Annotated[Path, typer.Option(help="The data set (Parquet); see `unlearn manifest build`.")],
    forget: Annotated[Path, typer.Option(help="File with the ids that both have forgotten, one a line.")],
    architecture: Annotated[str, typer.Option(help="preresnet20, torchvision:resnet18, ...")],
    classes: Annotated[int, typer.Option(help="Width of the models' output.")],
    image_size: Annotated[int, typer.Option(help="Height and width of the models' input, pixels.")],
    mean: Annotated[list[float], typer.Option(help="Normalisation, per channel, of pixels in [0, 1]; repeatable.")],
    std: Annotated[list[float], typer.Option(help="Normalisation, per channel; repeatable.")],
    name: Annotated[str, typer.Option(help="Of the files that are written.")] = "connection",
    out: Out = RESULTS,
    curve_epochs: CurveEpochs = DEFAULT_CURVE_EPOCHS,
    beta: Beta = DEFAULT_BETA,
    points: Points = DEFAULT_POINTS,
    seed: SeedOption = 0,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Connect two unlearned models by a straight line and by a trained curve, and measure along both.

    UA, RA, TA, MIA and losses at each point, barriers and fluctuation, and how alike the models work.

        unlearn connect a.safetensors b.safetensors --manifest fashion.parquet --forget ids.txt
        --architecture preresnet20 --classes 10 --image-size 28 --mean 0.286 --std 0.353
    """
    with told_errors(as_json=as_json):
        with _told_missing("connect"):  # torch is loaded here and nowhere else
            from service.worker.connection import StudyData, connect_files, write_connection  # noqa: PLC0415
        network = ArchitectureConfig.model_validate(
            {
                "name": architecture,
                "classes": classes,
                "channels": len(mean),
                "image_size": image_size,
                "mean": mean,
                "std": std,
            }
        )
        data = StudyData(manifest=manifest, architecture=network, forget=tuple(read_ids(forget)))
        config = _config(curve_epochs, beta, points)
        with _bar() as told:
            connection = connect_files(first, second, data, config, seed=seed, told=told, threads=threads)
        _show(connection, write_connection(connection, out, name), as_json=as_json)


def connect_study(
    condition: Annotated[Condition, typer.Argument(help="What distinguishes the two ends.")],
    data: Annotated[Path, typer.Option(help="Folder with the IDX files of Fashion-MNIST.")] = DEBIAN_FOLDER,
    model: Annotated[str, typer.Option(help="The network.")] = DEFAULT_MODEL,
    train_images: Annotated[int, typer.Option(min=100, help="Training images of the original.")] = DEFAULT_TRAIN_IMAGES,
    forget_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of them to forget, drawn at random; above 0 and below 1.")
    ] = DEFAULT_FORGET_SHARE,
    model_epochs: Annotated[
        int, typer.Option(min=1, help="Most epochs of the original's training.")
    ] = DEFAULT_MODEL_EPOCHS,
    unlearn_epochs: Annotated[
        int, typer.Option(min=1, help="Epochs of NegGrad+; RandomLabel takes twice.")
    ] = DEFAULT_UNLEARN_EPOCHS,
    first_order: Annotated[Optimiser, typer.Option(help="What `optimiser` compares with Sophia-G.")] = Optimiser.SGD,
    store: Annotated[Path, typer.Option(help="Folder of finished models: an interrupted study goes on.")] = Path(
        "unlearn-models"
    ),
    out: Out = RESULTS,
    curve_epochs: CurveEpochs = DEFAULT_CURVE_EPOCHS,
    beta: Beta = DEFAULT_BETA,
    points: Points = DEFAULT_POINTS,
    seed: SeedOption = 0,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Run one condition of the connectivity study on Fashion-MNIST, with everything that it needs.

    Trains the original and both ends, unless they lie in the store already, and connects them. The conditions: two
    `seeds` of NegGrad+; two `methods`, NegGrad+ and RandomLabel; without and with a `curriculum`; a first- and a
    second-order `optimiser`. The files are named after the condition and every setting that has not its default.
    """
    with told_errors(as_json=as_json):
        _require_meant(condition, first_order, forget_share)
        with _told_missing("connect-study"):  # torch is loaded here and nowhere else
            from service.worker.connection import (  # noqa: PLC0415
                ConditionPlan,
                StudyData,
                choose_forgotten,
                run_condition,
                write_connection,
            )
            from service.worker.model_store import ModelStore  # noqa: PLC0415
        digest = _idx_digest(data)
        manifest = _manifest(data, digest, store, train_images)
        samples = StudyData(
            manifest=manifest,
            architecture=FASHION_ARCHITECTURE.model_copy(update={"name": model}),
            forget=choose_forgotten(manifest, forget_share, seed),
        )
        plan = ConditionPlan(
            recipe=_recipe(model_epochs),
            method=NegGradPlusConfig(train=TrainConfig(epochs=unlearn_epochs, learning_rate=0.01)),
            other=RandomLabelConfig(train=TrainConfig(epochs=2 * unlearn_epochs, learning_rate=0.01)),
            config=_config(curve_epochs, beta, points),
            seed=seed,
            first_order=first_order,
        )
        with _bar() as told:
            connection = run_condition(condition, samples, plan, ModelStore(folder=store), told=told, threads=threads)
        name = result_name(
            f"connection-{condition.value}",
            NamedSetting(value=first_order.value if condition is Condition.OPTIMISER else None, default=None),
            NamedSetting(value=(data.name, digest) if data != DEBIAN_FOLDER else None, default=None),
            NamedSetting(value=model, default=DEFAULT_MODEL),
            NamedSetting(word="train", value=train_images, default=DEFAULT_TRAIN_IMAGES),
            NamedSetting(word="forget", value=forget_share, default=DEFAULT_FORGET_SHARE),
            NamedSetting(word="model-epochs", value=model_epochs, default=DEFAULT_MODEL_EPOCHS),
            NamedSetting(word="unlearn-epochs", value=unlearn_epochs, default=DEFAULT_UNLEARN_EPOCHS),
            NamedSetting(word="curve-epochs", value=curve_epochs, default=DEFAULT_CURVE_EPOCHS),
            NamedSetting(word="beta", value=beta, default=DEFAULT_BETA),
            NamedSetting(word="points", value=points, default=DEFAULT_POINTS),
            NamedSetting(word="seed", value=seed, default=0),
        )
        _show(connection, write_connection(connection, out, name), as_json=as_json)


def _config(epochs: int, beta: float, points: int) -> ConnectionConfig:
    defaults = ConnectionConfig()
    return ConnectionConfig(train=defaults.train.model_copy(update={"epochs": epochs}), beta=beta, points=points)


def _recipe(epochs: int) -> RetrainConfig:
    train = TrainConfig(epochs=epochs, learning_rate=0.1, weight_decay=5e-4, schedule=Schedule.ONE_CYCLE)
    return RetrainConfig(train=train, stop_at_train_accuracy=ENOUGH_MEMORISED)


@contextmanager
def _told_missing(command: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        description = f"needs {error.name}: pip install 'unlearning-service[worker,research]'"
        raise InvalidRequestError(FieldViolation(field=command, description=description)) from error


def _require_meant(condition: Condition, first_order: Optimiser, forget_share: float) -> None:
    """Refuse settings that would be ignored or compare nothing, before anything is read."""
    wrong = []
    if condition is Condition.OPTIMISER and first_order is Optimiser.SOPHIA_G:
        wrong.append(FieldViolation(field="--first-order", description="Sophia-G would be compared with itself"))
    if condition is not Condition.OPTIMISER and first_order is not Optimiser.SGD:
        wrong.append(FieldViolation(field="--first-order", description="is for the condition `optimiser` only"))
    if not 0.0 < forget_share < 1.0:
        wrong.append(FieldViolation(field="--forget-share", description="must lie between 0 and 1"))
    if wrong:
        raise InvalidRequestError(*wrong)


def _idx_digest(folder: Path) -> str:
    """Return the beginning of a digest of a folder's IDX files."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*-ubyte*")):
        with path.open("rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()[:NAME_DIGITS]


def _manifest(data: Path, digest: str, store: Path, train_images: int) -> Path:
    """Write the manifest of the study's images where it is not there yet; the same images give the same file."""
    path = store / f"fashion-mnist-{train_images}-{digest}.parquet"
    if not path.exists():
        limits = {Split.TRAIN: train_images, Split.HELDOUT: HELDOUT_COUNT}
        build_manifest(idx_source(data), path, BuildOptions(limits=limits))
    return path


def _show(connection: Connection, written: list[Path], *, as_json: bool) -> None:
    if as_json:
        print_json({"files": [str(path) for path in written], "connection": connection.model_dump(mode="json")})
        return
    first, second = connection.first.name, connection.second.name
    table = Table("", first, second, box=None, title=f"{first} to {second}", title_justify="left")
    for path in connection.paths:
        table.add_column(f"{path.kind.value}: rise")
        table.add_column("dip")
    for index, ends in enumerate(connection.paths[0].summaries):
        scale = 1.0 if ends.quantity.startswith("CE") else 100.0
        moves = [
            value for path in connection.paths for value in (path.summaries[index].rise, path.summaries[index].dip)
        ]
        table.add_row(ends.quantity, *(f"{scale * value:.3f}" for value in (ends.at_first, ends.at_second, *moves)))
    console.print(table)
    console.print("Rates in percent, losses in nats; rise and dip from the line between the ends.", style="dim")
    for file in written:
        console.print(f"  {file}", soft_wrap=True)


@contextmanager
def _bar() -> Iterator[Callable[[str, int, int], None]]:
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err_console, transient=True) as bars:
        yield PhaseBars(bars)


@dataclass(slots=True)
class PhaseBars:
    """Shows a bar of what runs, and no other: what begins anew, under whatever name, gets a new one."""

    bars: Progress
    _running: TaskID | None = None
    _what: tuple[str, int] | None = None
    _done: int = 0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take note of how many steps of how many are done."""
        if self._running is None or (what, total) != self._what or done < self._done:
            if self._running is not None:
                self.bars.remove_task(self._running)
            self._running = self.bars.add_task(what, total=total)
        self._what, self._done = (what, total), done
        self.bars.update(self._running, completed=done)

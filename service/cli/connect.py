"""Commands of the connectivity study: connect two models, or run one of its four conditions."""

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from mcu_core.config import (
    MOST_EPOCHS,
    ArchitectureConfig,
    ConnectionConfig,
    NegGradPlusConfig,
    Optimiser,
    RandomLabelConfig,
)
from mcu_core.connection.conditions import Condition
from mcu_core.connection.report import Connection
from service.cli.bench import MANIFEST_SUFFIX
from service.cli.output import Json, console, print_json, told_errors, told_interruption, told_missing
from service.cli.phase_bars import phase_bars
from service.cli.selections import read_ids
from service.demo_data import DEBIAN_FOLDER
from service.errors import FieldViolation, InvalidRequestError
from service.manifests.build import build_manifest
from service.manifests.images import idx_source
from service.manifests.plan import BuildOptions
from service.worker.results import MOST_NAME_BYTES, NamedSetting, require_writable, result_name

if TYPE_CHECKING:
    from service.worker.research import ResearchData

RESULTS = Path("benchmarks/results")
MOST_TITLE = 64
"""Characters of the data's name in a result."""
NAME_DIGITS = 16
"""Of a digest, in a file's name."""
DEFAULT_MODEL, DEFAULT_FORGET_SHARE, DEFAULT_MODEL_EPOCHS = "preresnet20", 0.1, 25
"""As `unlearn bench` has them: the same settings are the same models."""
DEFAULT_CONFIG, DEFAULT_METHOD, DEFAULT_OTHER = ConnectionConfig(), NegGradPlusConfig(), RandomLabelConfig()

Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the JSON, the Markdown page and the figure.")]
CurveEpochs = Annotated[int, typer.Option(min=1, max=MOST_EPOCHS, help="Epochs of the curve's training.")]
Beta = Annotated[float, typer.Option(min=0.0, help="Weight of the ascent on D_f in what the curve is trained on.")]
Points = Annotated[int, typer.Option(min=3, help="Points measured on each path, both ends included.")]
SeedOption = Annotated[int, typer.Option(min=0, max=2**53 - 2, help="Of everything random.")]
Store = Annotated[Path, typer.Option(help="Folder of finished models: an interrupted study goes on.")]
DEFAULT_STORE = Path("unlearn-models")
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; without it, the idle cores.")]


def connect(
    first: Annotated[Path, typer.Argument(help="An unlearned model (safetensors): the path's t = 0.")],
    second: Annotated[Path, typer.Argument(help="Another of the same architecture: t = 1.")],
    manifest: Annotated[Path, typer.Option(help="The data set (Parquet); see `unlearn manifest build`.")],
    forget: Annotated[
        Path,
        typer.Option(
            help="File with the ids that both have forgotten, one a line.", exists=True, dir_okay=False, allow_dash=True
        ),
    ],
    architecture: Annotated[str, typer.Option(help="preresnet20, torchvision:resnet18, ...")],
    classes: Annotated[int | None, typer.Option(help="Width of the models' output.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Height and width of the models' input, pixels.")] = None,
    mean: Annotated[
        list[float] | None, typer.Option(help="Normalisation, per channel, of pixels in [0, 1]; repeatable.")
    ] = None,
    std: Annotated[list[float] | None, typer.Option(help="Normalisation, per channel; repeatable.")] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the files that are written [default: the models', a digest, and what is unusual]."),
    ] = None,
    store: Store = DEFAULT_STORE,
    out: Out = RESULTS,
    curve_epochs: CurveEpochs = DEFAULT_CONFIG.train.epochs,
    beta: Beta = DEFAULT_CONFIG.beta,
    points: Points = DEFAULT_CONFIG.points,
    seed: SeedOption = 0,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Connect two unlearned models by a straight line and by a trained curve, and measure along both.

    UA, RA, TA, MIA and losses at each point, barriers and fluctuation, and how alike the models work. The manifest's
    training split is what the models were trained on. Classes, size, mean and deviation of its images are measured; for
    models that were trained with others give all four. The trained curve is kept: interrupt the command when you like,
    and run it again to go on.

        unlearn connect a.safetensors b.safetensors --manifest photos.parquet --forget ids.txt
        --architecture preresnet20
    """
    with told_errors(as_json=as_json), told_interruption():
        _require_name(name)
        with told_missing("connect"):  # torch is loaded here and nowhere else
            from service.worker.connection import write_connection  # noqa: PLC0415
            from service.worker.connection_files import StudyData, connect_files, connection_digest  # noqa: PLC0415
            from service.worker.model_store import ModelStore  # noqa: PLC0415
        network = _network(architecture, classes, image_size, mean, std)
        data = StudyData(manifest=manifest, network=network, forget=tuple(read_ids(forget)))
        config = _config(curve_epochs, beta, points)
        require_writable(out)
        with phase_bars() as told:
            connection = connect_files(
                first, second, data, config, ModelStore(folder=store), seed=seed, told=told, threads=threads
            )
        usual = result_name(
            "connection",
            NamedSetting(value=(first.stem, second.stem), default=None),
            NamedSetting(value=connection_digest(connection, data)[:NAME_DIGITS], default=None),
            *_named(config, seed),
        )
        _show(connection, write_connection(connection, out, name or usual), as_json=as_json)


def connect_study(
    condition: Annotated[Condition, typer.Argument(help="What distinguishes the two ends.")],
    data: Annotated[
        Path, typer.Option(help="Folder with IDX files such as Fashion-MNIST's, or a manifest (.parquet).")
    ] = DEBIAN_FOLDER,
    model: Annotated[str, typer.Option(help="The network.")] = DEFAULT_MODEL,
    train_images: Annotated[
        int | None,
        typer.Option(min=100, help="Of the original [default: 12 000, or two thirds of a small data set]."),
    ] = None,
    forget_share: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Share of them to forget, drawn at random; above 0 and below 1.")
    ] = DEFAULT_FORGET_SHARE,
    model_epochs: Annotated[
        int, typer.Option(min=1, max=MOST_EPOCHS, help="Most epochs of the original's training.")
    ] = DEFAULT_MODEL_EPOCHS,
    unlearn_epochs: Annotated[
        int, typer.Option(min=1, max=MOST_EPOCHS // 2, help="Epochs of NegGrad+; RandomLabel takes twice.")
    ] = DEFAULT_METHOD.train.epochs,
    image_size: Annotated[
        int | None, typer.Option(min=4, max=1024, help="Resize images to so many pixels a side [default: theirs].")
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="3 makes RGB of grey images, 1 the other way [default: theirs].")
    ] = None,
    first_order: Annotated[Optimiser, typer.Option(help="What `optimiser` compares with Sophia-G.")] = Optimiser.SGD,
    store: Store = DEFAULT_STORE,
    out: Out = RESULTS,
    curve_epochs: CurveEpochs = DEFAULT_CONFIG.train.epochs,
    beta: Beta = DEFAULT_CONFIG.beta,
    points: Points = DEFAULT_CONFIG.points,
    seed: SeedOption = 0,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Run one condition of the connectivity study, with everything that it needs.

    Trains the original, both ends and the curve, unless they lie in the store already, and measures. Interrupt it when
    you like, and run it again to go on. The conditions: two
    `seeds` of NegGrad+; two `methods`, NegGrad+ and RandomLabel; without and with a `curriculum`; a first- and a
    second-order `optimiser`. The files are named after the condition and every setting that has not its default.
    """
    with told_errors(as_json=as_json), told_interruption():
        _require_meant(condition, first_order, forget_share, unlearn_epochs, channels)
        with told_missing("connect-study"):  # torch is loaded here and nowhere else
            from mcu_core.experiments.setup import RandomShare, original_recipe  # noqa: PLC0415
            from service.worker.bench import usual_train_images  # noqa: PLC0415
            from service.worker.connection import (  # noqa: PLC0415
                ConditionPlan,
                run_condition,
                write_connection,
            )
            from service.worker.model_store import ModelStore  # noqa: PLC0415
        require_writable(out)
        with phase_bars() as told:
            loaded = _load(data, model, store / "data", told, image_size=image_size, channels=channels)
        usual = usual_train_images(loaded.samples)
        other_epochs = 2 * unlearn_epochs
        plan = ConditionPlan(
            data=data.stem[:MOST_TITLE],
            train_images=train_images or usual,
            deletion=RandomShare(share=forget_share),
            recipe=original_recipe(model_epochs),
            method=NegGradPlusConfig(train=DEFAULT_METHOD.train.model_copy(update={"epochs": unlearn_epochs})),
            other=RandomLabelConfig(train=DEFAULT_OTHER.train.model_copy(update={"epochs": other_epochs})),
            config=_config(curve_epochs, beta, points),
            seed=seed,
            first_order=first_order,
        )
        with phase_bars() as told:
            connection = run_condition(condition, loaded, plan, ModelStore(folder=store), told=told, threads=threads)
        name = result_name(
            f"connection-{condition.value}",
            NamedSetting(value=first_order.value if condition is Condition.OPTIMISER else None, default=None),
            NamedSetting(value=_own_name(data, loaded), default=None),
            NamedSetting(value=model, default=DEFAULT_MODEL),
            NamedSetting(word="train", value=plan.train_images, default=usual),
            NamedSetting(word="forget", value=forget_share, default=DEFAULT_FORGET_SHARE),
            NamedSetting(word="model-epochs", value=model_epochs, default=DEFAULT_MODEL_EPOCHS),
            NamedSetting(word="unlearn-epochs", value=unlearn_epochs, default=DEFAULT_METHOD.train.epochs),
            NamedSetting(word="image-size", value=image_size, default=None),
            NamedSetting(word="channels", value=channels, default=None),
            *_named(plan.config, seed),
        )
        _show(connection, write_connection(connection, out, name), as_json=as_json)


def _require_name(name: str | None) -> None:
    """Refuse a name that no file can have, before anything is read."""
    if name is None:
        return
    if Path(name).name != name:
        raise InvalidRequestError(FieldViolation(field="--name", description="is a name without folders: see --out"))
    if (size := len(os.fsencode(name))) > MOST_NAME_BYTES:
        description = f"has {size} bytes, of {MOST_NAME_BYTES} that a name may have"
        raise InvalidRequestError(FieldViolation(field="--name", description=description))


def _config(epochs: int, beta: float, points: int) -> ConnectionConfig:
    train = DEFAULT_CONFIG.train.model_copy(update={"epochs": epochs})
    return ConnectionConfig(train=train, beta=beta, points=points)


def _named(config: ConnectionConfig, seed: int) -> tuple[NamedSetting, ...]:
    """Return what of the curve may not be as usual, for the name of a result."""
    return (
        NamedSetting(word="curve-epochs", value=config.train.epochs, default=DEFAULT_CONFIG.train.epochs),
        NamedSetting(word="beta", value=config.beta, default=DEFAULT_CONFIG.beta),
        NamedSetting(word="points", value=config.points, default=DEFAULT_CONFIG.points),
        NamedSetting(word="seed", value=seed, default=0),
    )


def _network(
    name: str, classes: int | None, size: int | None, mean: list[float] | None, std: list[float] | None
) -> ArchitectureConfig | str:
    """Return the whole network, or its name where nothing else is given."""
    given = {"--classes": classes, "--image-size": size, "--mean": mean, "--std": std}
    missing = [option for option, value in given.items() if not value]
    if len(missing) == len(given):
        return name
    if missing or mean is None:
        description = f"goes with all of {', '.join(given)}, or leave all out"
        raise InvalidRequestError(*(FieldViolation(field=option, description=description) for option in missing))
    return ArchitectureConfig.model_validate(
        {"name": name, "classes": classes, "channels": len(mean), "image_size": size, "mean": mean, "std": std}
    )


def _require_meant(
    condition: Condition, first_order: Optimiser, forget_share: float, unlearn_epochs: int, channels: int | None
) -> None:
    """Refuse settings that would be ignored or compare nothing, before anything is read."""
    wrong = []
    if condition is Condition.CURRICULUM and unlearn_epochs < 2:
        wrong.append(FieldViolation(field="--unlearn-epochs", description="one epoch has no curriculum: take two"))
    if condition is Condition.OPTIMISER and first_order is Optimiser.SOPHIA_G:
        wrong.append(FieldViolation(field="--first-order", description="Sophia-G would be compared with itself"))
    if condition is not Condition.OPTIMISER and first_order is not Optimiser.SGD:
        wrong.append(FieldViolation(field="--first-order", description="is for the condition `optimiser` only"))
    if channels not in {None, 1, 3}:
        wrong.append(FieldViolation(field="--channels", description="must be 1 or 3"))
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


def _load(
    data: Path,
    model: str,
    folder: Path,
    told: Callable[[str, int, int], None],
    *,
    image_size: int | None,
    channels: int | None,
) -> "ResearchData":
    """Decode a manifest, or IDX files by way of one, unless that was done before."""
    from service.worker.research import load_research_data  # noqa: PLC0415 - torch takes seconds to load

    manifest = data
    if data.suffix != MANIFEST_SUFFIX:
        manifest = folder / f"{data.stem}-{_idx_digest(data)}{MANIFEST_SUFFIX}"
        if not manifest.is_file():
            build_manifest(idx_source(data), manifest, BuildOptions(), progress=partial(told, "writing samples"))
    decoding = partial(told, "decoding samples")
    return load_research_data(manifest, model, folder, image_size=image_size, channels=channels, progress=decoding)


def _own_name(data: Path, loaded: "ResearchData") -> tuple[str, str] | None:
    """Return what tells a person's own data from others in the name of a result."""
    return None if data == DEBIAN_FOLDER else (data.stem, loaded.samples.digest[:NAME_DIGITS])


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

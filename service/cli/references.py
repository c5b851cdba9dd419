"""Commands about leave-out references: build, list, purge."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from service.bootstrap import LocalTools, build_local_tools
from service.cli.bench import left_text
from service.cli.output import (
    Json,
    console,
    err_console,
    print_fields,
    print_json,
    told_errors,
    told_interruption,
    told_missing,
)
from service.cli.serving import PRIVATE
from service.domain.model import Model
from service.domain.references import DEFAULT_SEEDS, BuildStage, ReferencePurpose
from service.errors import UnknownLineageError
from service.references import RegisteredFamily
from service.settings import Settings

ON_REQUEST = "REQUEST"
"""Why a family was purged, in the ledger."""

app = typer.Typer(
    help="Leave-out references: models of the training data of which each sample was kept from one.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
Lineage = Annotated[str | None, typer.Argument(help="Only of this model.")]


@app.command()
def build(
    lineage: Annotated[str, typer.Argument(help="The model, as it was registered with a recipe.")],
    purpose: Annotated[
        ReferencePurpose,
        typer.Option(
            help="`audit` looks for traces of deleted samples; `teach` is what the objective `reference` needs."
        ),
    ] = ReferencePurpose.AUDIT,
    folds: Annotated[
        int, typer.Option(min=2, max=100, help="Models to train; each leaves out one part of the people.")
    ] = 5,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**53 - 1, help="Of parts and trainings [default: 1 to audit, 2 to teach]."),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads [default: the idle cores].")] = None,
    as_json: Json = False,
) -> None:
    """Train references of a model's data and register them.

    With them the audit can tell how hard a sample is from whether the model has seen it: a reference that was trained
    without the sample says the first. That takes as many trainings as there are folds, on the GPU where there is one.

    Start it where the service's data are: it reads UNLEARN_DATA_DIR, or UNLEARN_DATABASE_URL and UNLEARN_OBJECT_STORE
    with UNLEARN_S3_*, as the service does, which may run meanwhile. Who was forgotten before is left out of everything;
    that list never leaves the store, so it cannot be asked over gRPC.

    Interrupt it when you like, and run it again to go on: a reference that is finished is not trained again. The next
    run of the model uses the family by itself. References know the people that they were trained on: as soon as one of
    them is deleted the family is tainted, used no more, and purged within UNLEARN_REFERENCE_PURGE_DAYS. Then build
    another one.

        unlearn references build fashion

        unlearn references build fashion --purpose teach --folds 4

        unlearn references list
    """
    with told_errors(as_json=as_json), told_interruption():
        with told_missing("references build"):  # torch is loaded here and nowhere else
            from service.worker.reference_building import ReferenceBuilder  # noqa: PLC0415
        settings = Settings()
        with _tools(settings) as tools, _bar() as told:
            model = _model(tools, lineage)
            builder = ReferenceBuilder(
                register=tools.register,
                objects=tools.objects,
                key=tools.key,
                decoded=tools.pixels,
                locks=settings.caches / "references",
                threads=threads or settings.worker_threads,
                told=told,
            )
            record = builder.build(
                model,
                tools.store.forgotten_rows(lineage),
                purpose,
                folds=folds,
                seed=DEFAULT_SEEDS[purpose] if seed is None else seed,
            )
    plan = record.plan
    if as_json:
        print_json({"family": record.digest, "record": record.model_dump(mode="json")})
        return
    rows = [
        ("model", plan.lineage),
        ("purpose", plan.purpose.value),
        ("references", f"{plan.config.folds}, seed {plan.config.seed}"),
        ("samples", f"{plan.samples} trained on; {plan.left_out} left out, since they were deleted before"),
        ("built", record.built_at.strftime("%Y-%m-%d %H:%M UTC")),
    ]
    print_fields(f"References {record.digest}", rows)


@app.command("list")
def list_families(lineage: Lineage = None, as_json: Json = False) -> None:
    """List the families of references, also tainted ones and those whose build has not ended.

    `ready`: the next run uses it. `unfinished`: run its build again. `tainted`: a release has deleted somebody that it
    knows; it is used no more and goes on the day that is shown. `unreadable`: damaged, and purged within the hour.
    """
    with told_errors(as_json=as_json), _tools(Settings()) as tools:
        _require_known(tools, lineage)
        families = tools.register.families(lineage)
    if as_json:
        print_json([_facts(family) for family in families])
        return
    table = Table("family", "model", "purpose", "references", "state", "purge by", box=None)
    for family in families:
        facts = _facts(family)
        table.add_row(
            family.plan_digest[:12],
            family.lineage,
            *(str(facts[name] or "") for name in ("purpose", "folds", "state")),
            "" if family.taint is None else family.taint.purge_by.strftime("%Y-%m-%d"),
        )
    console.print(table if families else "No references. `unlearn references build MODEL` makes some.")


@app.command()
def purge(
    lineage: Lineage = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also families that are not tainted, and unfinished ones.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Delete tainted families now, before their deadline; with --all every family that no open run uses."""
    with told_errors(as_json=as_json), _tools(Settings()) as tools:
        _require_known(tools, lineage)
        tools.register.taint(lineage)
        specs = [run.spec for run in tools.store.active_runs()]
        used = {name for spec in specs for name in (spec.audit_family, spec.teach_family)}
        purged = []
        for family in tools.register.families(lineage):
            if family.record is not None and family.record.digest in used:
                err_console.print(f"Kept, since an open run uses it: {family.plan_digest}", highlight=False)
            elif everything or family.state in {"tainted", "unreadable"}:
                tools.register.purge(family, ON_REQUEST)
                purged.append(family)
    if as_json:
        print_json([_facts(family) for family in purged])
        return
    console.print(f"{len(purged)} families of references were deleted.", highlight=False)


def _model(tools: LocalTools, lineage: str) -> Model:
    model = tools.store.model(lineage)
    if model is None:
        known = ", ".join(model.lineage for model in tools.store.models())
        raise UnknownLineageError(f"no model is registered as {lineage}; there are: {known or 'none'}")
    return model


def _require_known(tools: LocalTools, lineage: str | None) -> None:
    if lineage is not None:
        _model(tools, lineage)


def _facts(family: RegisteredFamily) -> dict[str, str | int | None]:
    plan = family.plan
    return {
        "lineage": family.lineage,
        "plan": family.plan_digest,
        "family": None if family.record is None else family.record.digest,
        "state": family.state,
        "purpose": None if plan is None else plan.purpose.value,
        "folds": None if plan is None else plan.config.folds,
        "seed": None if plan is None else plan.config.seed,
        "tainted_by_release": None if family.taint is None else family.taint.release,
        "purge_by": None if family.taint is None else family.taint.purge_by.isoformat(),
    }


@contextmanager
def _tools(settings: Settings) -> Iterator[LocalTools]:
    os.umask(PRIVATE)
    tools = build_local_tools(settings)
    try:
        yield tools
    finally:
        tools.store.close()


@contextmanager
def _bar() -> Iterator[Callable[[BuildStage, float, int], None]]:
    if not err_console.is_terminal:  # a log gets a line a reference
        yield _line_a_reference()
        return
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err_console, transient=True) as bars:
        tasks: dict[BuildStage, TaskID] = {}

        def tell(stage: BuildStage, done: float, total: int) -> None:
            if stage not in tasks:
                for earlier in tasks.values():
                    bars.update(earlier, visible=False)
                tasks[stage] = bars.add_task(stage.value, total=total)
            bars.update(tasks[stage], description=_standing(stage, done, total), completed=done)

        yield tell


def _line_a_reference() -> Callable[[BuildStage, float, int], None]:
    started, last = time.monotonic(), ""

    def tell(stage: BuildStage, done: float, total: int) -> None:
        nonlocal started, last
        standing = _standing(stage, done, total)
        if standing == last:
            return
        if done < 1:  # the stage begins
            started = time.monotonic()
        last = standing
        left = left_text((time.monotonic() - started) * (total - done) / done if done >= 1 else None)
        err_console.print(f"{standing}, {left}" if left else standing, highlight=False, soft_wrap=True)

    return tell


def _standing(stage: BuildStage, done: float, total: int) -> str:
    if stage is BuildStage.DECODING:
        return stage.value
    return f"{stage.value}: {min(int(done) + 1, total)} of {total}"

"""Commands about evidence: bundle, verify, verify-receipt, keys show; offline but for a ticket and for level 3."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from service.bootstrap import build_objects
from service.bundle import read_bundle, sha256_of_file, write_bundle
from service.cli.output import (
    DEFAULT_ADDRESS,
    EXIT_ERROR,
    Address,
    Json,
    console,
    err_console,
    print_fields,
    print_json,
    told_errors,
)
from service.cli.rescoring import rescoring
from service.cli.selections import read_ids
from service.cli.tickets import CALL_SECONDS
from service.client import connect
from service.data_directory import load_signer
from service.errors import BundleError, FieldViolation, InvalidRequestError
from service.evidence import collect_members, find_lineage
from service.pb.unlearning.v1 import deletion_service_pb2 as deletion_pb
from service.settings import Settings
from service.signing import load_public_key
from service.verification import receipt as receipts
from service.verification import verify as bundles
from service.verification.checks import CheckResult, Outcome, passed
from service.verification.rescoring import Rescore

EXIT_FAILED = EXIT_ERROR
"""A check failed."""
EXIT_UNUSABLE = 2
"""What was given cannot be checked at all."""

Keys = Annotated[
    list[Path] | None, typer.Option("--key", "-k", help="Public key (PEM) that is trusted; may be given again.")
]
keys = typer.Typer(help="The key that signs plans, reports and receipts.", no_args_is_help=True)


@keys.command()
def show(as_json: Json = False) -> None:
    """Print the public key (PEM) and its id: give it to whoever verifies bundles and receipts."""
    with told_errors(as_json=as_json):
        public = load_signer(Settings(), create=False).public_key
    if as_json:
        print_json({"key_id": public.key_id, "public_key": public.pem})
        return
    err_console.print(f"Key id {public.key_id}", highlight=False)
    console.print(public.pem, end="", highlight=False, soft_wrap=True)


def bundle(
    subject: Annotated[str, typer.Argument(help="A published run, or a ticket of it.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Zip to write.")],
    weights: Annotated[
        Path | None, typer.Option(help="Put these weights in as well: whoever has the bundle then has the model.")
    ] = None,
    address: Address = DEFAULT_ADDRESS,
) -> None:
    """Pack all evidence of a published run into one zip that anybody can verify offline.

    It reads the object store of this machine's settings; only a ticket is asked of the service.
    """
    with told_errors(as_json=False):
        run_id = _run_of(subject, address) if subject.startswith("tkt-") else subject
        objects = build_objects(Settings())
        write_bundle(output, collect_members(objects, find_lineage(objects, run_id), run_id), model=weights)
    err_console.print(f"Written to {output}", highlight=False)


def verify(
    path: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A zip or a folder.")],
    key: Keys = None,
    level: Annotated[
        int,
        typer.Option(
            min=0,
            max=3,
            help="0: signatures, schema, plan before run; 1: digests; 2: recompute; 3: score once more, from model "
            "and samples.",
        ),
    ] = 2,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Your copy of the published weights, to be held against the bundle; at level 3 it is the one scored."
        ),
    ] = None,
    original: Annotated[
        Path | None,
        typer.Option(help="Level 3: the weights before the run, where the service no longer has them."),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Level 3: CPU threads [default: UNLEARN_WORKER_THREADS or the idle cores]."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Verify a bundle of evidence: levels 0 to 2 offline by anybody, level 3 where the service's data are.

    Each level includes those below it.

    - **0** asks who signed: signatures, schemas, and that the plan was signed before the run.

    - **1** asks whether everything here is what was signed, and whether an attempt was left out.

    - **2** computes evidence and verdict from the scores once more. It takes the scores as they are.

    - **3** computes the scores once more, from the published model and the samples: it finds a worker that scored
      another model than it offered, other samples or labels, or other references.

    Level 3 is an operator's or an auditor's check. It reads the service's store, objects and commitment key where
    UNLEARN_DATA_DIR (or UNLEARN_DATABASE_URL and UNLEARN_OBJECT_STORE with UNLEARN_S3_*) says, as the service does,
    which may run meanwhile; a copy of them does as well. Everything is held against what the plan committed to. The
    deleted samples are read too, so that it can be made only as long as the manifest's images exist, and no copy of
    them is kept. It takes about as long as the audit of the run, on the GPU where there is one. Another processor
    rounds otherwise: small differences pass, and the verdict is decided anew on what was computed here. What was
    purged since (the model at the end of a pathway, tainted references) is told as not asked.

    Exit code 0: every check passed; 1: a check failed, or could not be made since something is missing; 2: this is
    nothing that can be checked.

        unlearn verify bundle.zip --key public.pem

        unlearn verify bundle.zip --key public.pem --level 1 --weights model.safetensors

        UNLEARN_DATA_DIR=/srv/unlearn unlearn verify bundle.zip --key public.pem --level 3
    """
    with told_unusable(as_json=as_json):
        if level < bundles.MAX_LEVEL and (original or threads):
            text = f"--original and --threads are of level {bundles.MAX_LEVEL}, where something is scored"
            raise InvalidRequestError(FieldViolation(field="level", description=text))
        if not key:
            raise InvalidRequestError(FieldViolation(field="key", description="name the public key that you trust"))
        trusted = [load_public_key(file.read_bytes()) for file in key]
        digest = None if weights is None else sha256_of_file(weights)
        read = read_bundle(path)
        try:
            with _rescoring(level, original=original, candidate=weights, threads=threads) as rescore:
                results = bundles.verify(read, trusted, level=level, weights_digest=digest, rescore=rescore)
        except ImportError as error:
            text = f"level {level} needs {error.name}: pip install 'unlearning-service[worker]'"
            raise InvalidRequestError(FieldViolation(field="level", description=text)) from error
    tell_results(results, as_json=as_json)


def verify_receipt(
    path: Annotated[Path, typer.Argument(metavar="RECEIPT", help="What `unlearn receipt` wrote.")],
    report: Annotated[
        list[Path], typer.Option("--report", help="report.json of the run that forgot; may be given again.")
    ],
    sample_id: Annotated[
        list[str] | None, typer.Option("--sample-id", "-s", help="A sample that was to be forgotten; may be repeated.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read ids from a file, one a line.")] = None,
    key: Keys = None,
    as_json: Json = False,
) -> None:
    """Verify a receipt, offline: these samples were in the run whose report this is.

    Exit code 0: every check passed; 1: a check failed; 2: this is nothing that can be checked. The report itself is
    verified with its bundle (`unlearn verify`).
    """
    with told_unusable(as_json=as_json):
        ids = [*(sample_id or []), *(read_ids(file) if file else [])]
        results = receipts.verify_receipt(
            path.read_bytes(),
            sample_ids=ids,
            reports=[one.read_bytes() for one in report],
            keys=[load_public_key(one.read_bytes()) for one in key or []],
        )
    tell_results(results, as_json=as_json)


@contextmanager
def told_unusable(*, as_json: bool) -> Iterator[None]:
    """Turn errors into one message and the exit code that says: nothing could be checked."""
    try:
        with told_errors(as_json=as_json):
            yield
    except typer.Exit as end:
        raise typer.Exit(EXIT_UNUSABLE) from end


@contextmanager
def _rescoring(
    level: int, *, original: Path | None, candidate: Path | None, threads: int | None
) -> Iterator[Rescore | None]:
    if level < bundles.MAX_LEVEL:
        yield None
        return
    with rescoring(original=original, candidate=candidate, threads=threads) as rescore:
        yield rescore


def _run_of(ticket_id: str, address: str) -> str:
    with connect(address) as client:
        request = deletion_pb.GetTicketRequest(ticket_id=ticket_id)
        run_id = client.deletion.GetTicket(request, timeout=CALL_SECONDS).ticket.run_id
    if not run_id:
        raise BundleError("the ticket has no run yet")
    return run_id


def tell_results(results: Sequence[CheckResult], *, as_json: bool) -> None:
    """Print what came of checks, and end with code 1 where one failed."""
    ok = passed(results)
    if as_json:
        checks = [
            {"check": result.name, "level": result.level, "outcome": result.outcome, "text": result.text}
            for result in results
        ]
        print_json({"passed": ok, "checks": checks})
    else:
        rows = [(f"{result.outcome.value.upper():9}  {result.name}", escape(result.text)) for result in results]
        failures = sum(result.outcome is Outcome.FAILED for result in results)
        print_fields("Verified" if ok else f"NOT verified: {failures} of {len(results)} checks failed", rows)
    if not ok:
        raise typer.Exit(EXIT_FAILED)

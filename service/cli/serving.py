"""Commands that run the service and its jobs: serve, work."""

import os
import signal
import threading
from typing import Annotated

import typer

from service.bootstrap import build_objects, build_pixels, build_service
from service.cli.output import err_console, told_errors
from service.domain.run import EXIT_CODES
from service.settings import Settings

PRIVATE = 0o077
"""What is kept may be personal data: it is readable by its owner only."""


def serve(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="gRPC port; 0 takes a free one. Default: UNLEARN_PORT.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of /metrics; 0 takes a free one.")
    ] = None,
) -> None:
    """Run the service: gRPC, reconciler and metrics in one process.

    Everything is kept in UNLEARN_DATA_DIR (default `unlearn-data`): SQLite, objects, jobs. Ends cleanly on SIGTERM and
    Ctrl-C; after a crash, start it again and open tickets go on.
    """
    given = {"port": port, "metrics_port": metrics_port}
    changes = {name: value for name, value in given.items() if value is not None}
    os.umask(PRIVATE)
    with told_errors(as_json=False):
        settings = Settings().model_copy(update=changes)
        service = build_service(settings)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with told_errors(as_json=False):
        service.start()
    err_console.print(f"Serving gRPC on {service.address}, metrics on {service.metrics_url}", highlight=False)
    stop.wait()
    service.stop()


def work(
    order: Annotated[str, typer.Argument(help="Key of the work order in the object store.")],
) -> None:
    """Do one unlearning job: a work order (RunSpec and attempt) in, candidate and report out.

    The service starts this for you. The exit code says how it ended: 0 a candidate was judged, 10 transient, 11 out of
    memory, 20 bad input, 21 quality, 22 no effect.
    """
    # torch is loaded here and nowhere else.
    from service.worker import job  # noqa: PLC0415

    os.umask(PRIVATE)
    with told_errors(as_json=False):
        settings = Settings()
        objects, decoded = build_objects(settings), build_pixels(settings)
        failure = job.work(order, objects, decoded=decoded, threads=settings.worker_threads)
    if failure is not None:
        raise typer.Exit(EXIT_CODES[failure])

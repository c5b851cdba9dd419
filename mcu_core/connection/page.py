"""The connectivity study as a page for people: tables in Markdown, rates in percent, losses in nats."""

from collections.abc import Sequence

from mcu_core.connection.report import Connection, ConnectionPoint, PathReport, Similarity, Summary

_LEGEND = (
    "Rates in percent, losses in nats. Rise and dip: farthest above and below the straight line between the values of "
    "the ends, and its t. The barrier is the rise of a loss and the dip of an accuracy. Fluctuation: root mean square "
    "of the distance from that line, between the ends."
)


def connection_page(connection: Connection) -> str:
    """Return the study of two models in Markdown.

    Args:
        connection: the study's result.

    Returns:
        Two tables: what happens along the paths, and how alike the models work. Every number is one of the result's.
    """
    first, second = connection.first.name, connection.second.name
    parts = [
        f"# {first} to {second}",
        _about(connection),
        _LEGEND,
        _along(connection),
        "How alike two models work: share of equal answers, and linear CKA of penultimate features.",
        _alike(connection),
        _made(connection),
    ]
    return "\n\n".join(parts) + "\n"


def _about(connection: Connection) -> str:
    return (
        f"D_f {connection.forget_count} samples, D_r {connection.retain_count}; {connection.architecture.name}; "
        f"seed {connection.seed}; ‖θ_a - θ_b‖ = {connection.distance:.3g} against ‖θ‖ = {connection.size:.3g}."
    )


def _along(connection: Connection) -> str:
    header = ["", connection.first.name, connection.second.name]
    header += [f"{path.kind.value}: {column}" for path in connection.paths for column in ("rise", "dip", "fluctuation")]
    rows = []
    for index, ends in enumerate(connection.paths[0].summaries):
        row = [ends.quantity, _value(ends, ends.at_first), _value(ends, ends.at_second)]
        for path in connection.paths:
            summary = path.summaries[index]
            row += [
                _at(_value(summary, summary.rise), summary.rise, summary.rise_at),
                _at(_value(summary, summary.dip), summary.dip, summary.dip_at),
                _value(summary, summary.fluctuation),
            ]
        rows.append(row)
    return _table(header, rows)


def _alike(connection: Connection) -> str:
    first, second = connection.first.name, connection.second.name
    ends = connection.paths[0].points[0].second
    rows = [[f"{first} and {second}", *_similarity(ends)]]
    for path in connection.paths:
        middle = _middle(path)
        where = f"{path.kind.value}, t = {middle.t:.2f}"
        rows.append([f"{where}, and {first}", *_similarity(middle.first)])
        rows.append([f"{where}, and {second}", *_similarity(middle.second)])
    return _table(["", "answers on D_f", "answers on D_t", "CKA on D_f", "CKA on D_t"], rows)


def _made(connection: Connection) -> str:
    environment = connection.environment
    versions = ", ".join(f"{name} {version}" for name, version in sorted(environment.versions.items()))
    seconds = ", ".join(f"{path.kind.value} {path.seconds:.0f} s" for path in connection.paths)
    return (
        f"Made on {environment.processor} ({environment.device}), {environment.threads} thread(s), "
        f"{environment.precision}: {seconds}; {versions}."
    )


def _middle(path: PathReport) -> ConnectionPoint:
    return min(path.points, key=lambda point: abs(point.t - 0.5))


def _similarity(similarity: Similarity) -> list[str]:
    return [
        f"{100.0 * similarity.forget_agreement:.2f}",
        f"{100.0 * similarity.test_agreement:.2f}",
        _alignment(similarity.forget_cka),
        _alignment(similarity.test_cka),
    ]


def _alignment(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _value(summary: Summary, value: float) -> str:
    return f"{value:.3f}" if summary.quantity.startswith("CE") else f"{100.0 * value:.2f}"


def _at(text: str, value: float, t: float) -> str:
    return f"{text} ({t:.2f})" if value > 0.0 else text


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)

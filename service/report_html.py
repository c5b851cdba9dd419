"""The report as one HTML file that opens anywhere, without script or network: the numbers of `report.json` only."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from mcu_core.report import AuditReport, ModelName, PathPoint, PathwayReport, Verdict

MODEL_LABELS = {
    ModelName.ORIGINAL: "Original model",
    ModelName.FINETUNED: "Finetune",
    ModelName.RANDOM_LABEL: "RandomLabel",
    ModelName.GRADIENT_ASCENT: "GradientAscent",
    ModelName.NEGGRAD_PLUS: "NegGrad+",
    ModelName.SALUN: "SalUn",
    ModelName.NEG_TASK_VECTOR: "NegTV",
    ModelName.ALIGNED: "Aligned",
    ModelName.SCRUB: "SCRUB",
    ModelName.SSD: "SSD",
    ModelName.L1_SPARSE: "L1-sparse",
    ModelName.BAD_TEACHER: "BadTeacher",
    ModelName.GIVEN: "Brought by the user",
    ModelName.MCU: "MCU",
    ModelName.MCU_BETA: "MCU_β",
    ModelName.MCU_QUANTILE: "MCU (quantile)",
    ModelName.MCU_REFERENCE: "MCU (reference)",
    ModelName.RETRAINED: "Retrained",
}
"""What people call the rows."""

TEST_LABELS = {
    "auc": "AUC of φ, two-sided",
    "upper_tail": "Upper tail of φ: answered too confidently",
    "lower_tail": "Lower tail of φ: answered too unsurely",
    "test_accuracy_loss": "Loss of test accuracy, upper bound",
}
"""What people call the tests of the gate."""

HEADLINES = {
    Verdict.ACCEPT: "Accepted: the audit found no trace of the deleted samples beyond what the policy allows.",
    Verdict.REJECT: "Rejected: the audit can still tell the deleted samples from samples the model never saw.",
    Verdict.VACUOUS: "Nothing shown: on this model the audit could not have seen a trace in the first place.",
    Verdict.INVALID: "Invalid: the measurements are incomplete or do not belong together.",
}
"""The verdict in one sentence."""

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 340, 56, 16, 16, 44


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark on an axis, in pixels, with its label."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PathChart:
    """The alignment path in the pixels of its drawing."""

    forget: str
    retain: str
    validation: str
    target_forget: float
    target_retain: float
    regions: tuple[tuple[float, float], ...]
    """(left, width)."""
    chosen: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def render(report: AuditReport) -> bytes:
    """Return the report as UTF-8 HTML."""
    pathway = report.measurements.pathway
    references = report.measurements.references
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            headline=HEADLINES[report.judgement.verdict],
            labels=MODEL_LABELS,
            tests=TEST_LABELS
            | {f"positive_control.{name}": f"Original model: {label}" for name, label in TEST_LABELS.items()},
            chart=None
            if pathway is None
            else path_chart(pathway, references.validation_accuracy, references.train_accuracy),
            size=(WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM),
        )
        .encode()
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("service", "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["percent"] = lambda value: f"{100 * value:.2f} %"
    return environment


def path_chart(pathway: PathwayReport, target_forget: float, target_retain: float) -> PathChart:
    """Lay out accuracies along t, with the accuracies to align with, the effective region and the chosen point."""
    points = pathway.sweep or sorted(pathway.evaluated, key=lambda point: point.t)
    accuracies = (value for p in points for value in (p.forget_accuracy, p.retain_accuracy, p.validation_accuracy))
    floor = min(0.9, int(min(target_forget, target_retain, *accuracies) * 10) / 10)

    def x(t: float) -> float:
        return round(LEFT + t * (WIDTH - LEFT - RIGHT), 1)

    def y(accuracy: float) -> float:
        share = (accuracy - floor) / (1.0 - floor)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)

    def line(values: Sequence[tuple[PathPoint, float]]) -> str:
        return " ".join(f"{x(point.t)},{y(value)}" for point, value in values)

    steps = [floor + (1.0 - floor) * index / 5 for index in range(6)]
    return PathChart(
        forget=line([(p, p.forget_accuracy) for p in points]),
        retain=line([(p, p.retain_accuracy) for p in points]),
        validation=line([(p, p.validation_accuracy) for p in points]),
        target_forget=y(target_forget),
        target_retain=y(target_retain),
        regions=tuple((x(part.start), round(x(part.end) - x(part.start), 1)) for part in pathway.region),
        chosen=x(pathway.chosen_t),
        x_ticks=tuple(Tick(at=x(t / 4), label=f"{t / 4:g}") for t in range(5)),
        y_ticks=tuple(Tick(at=y(value), label=f"{100 * value:.0f} %") for value in steps),
    )

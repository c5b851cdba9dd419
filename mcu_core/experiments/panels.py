"""Figures 2 to 9: the pathways that each compares, and the numbers that are drawn."""

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

from mcu_core.config import (
    AdaptiveBetaConfig,
    AscentConfig,
    BetaConfig,
    CurveConfig,
    FixedBetaConfig,
    MaskConfig,
    MaskMode,
    NegGradPlusConfig,
)
from mcu_core.errors import ConfigurationError
from mcu_core.experiments.cells import Cell, CellRecord, PathwayCell, Sweep, SweepCell, SweepPoint, cell_digest
from mcu_core.experiments.markdown import mask_line, table
from mcu_core.experiments.paper import Study, neggrad_plus
from mcu_core.experiments.setup import Deletion
from mcu_core.experiments.tables import ADAPTIVE, Records
from mcu_core.report import Digest, Part
from mcu_core.types import Phase

BETAS = (0.1, 0.2, 0.3)
"""Of figure 4, besides the adaptive one."""
KEPT = (0.1, 0.3, 0.5, 0.7)
"""k of figure 5."""
EXCLUDED = (0.0, 0.1, 0.2, 0.3)
"""k_r of figure 6."""
RETAIN_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Of figures 8 and 9."""
UNDER, OVER = 0.05, 0.6
"""β of the NegGrad+ that forgets too little and too much in figure 7."""
SMALL = 0.1
"""k and k_r of figure 2."""


class Figure(StrEnum):
    """A figure of the paper."""

    MASK = "figure2"
    REGION = "figure3"
    BETA = "figure4"
    KEEP = "figure5"
    EXCLUDE = "figure6"
    ENDS = "figure7"
    SHARE_POINTS = "figure8"
    SHARE_PATHWAYS = "figure9"


_TITLES = {
    Figure.MASK: "Figure 2: what the mask saves, and what a random mask costs",
    Figure.REGION: "Figure 3: effective region",
    Figure.BETA: "Figure 4: fixed and adaptive β",
    Figure.KEEP: "Figure 5: k, the share that the curve may move",
    Figure.EXCLUDE: "Figure 6: k_r, the share left alone for D_r",
    Figure.ENDS: "Figure 7: θ_p that forgets too little or too much",
    Figure.SHARE_POINTS: "Figure 8: the chosen model against the share of retained data",
    Figure.SHARE_PATHWAYS: "Figure 9: pathways against the share of retained data",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pathway of a figure."""

    title: str
    cell: PathwayCell
    is_default: bool = False
    """Whether these are the paper's defaults."""
    x: float | None = None
    """What varies, where it is a number."""


class PanelNumbers(Part):
    """What is drawn of one pathway."""

    title: str
    is_default: bool
    x: float | None
    pathway: Digest
    """Of its cell."""
    sweep: Sweep | None
    """`None` where it diverged."""
    best_t: float | None
    best_gap: float | None
    """Least mean distance to the retrained model in the accuracies on D_f, D_r, D_t (and the class's test images)."""
    end_gap: float | None
    """The same at t = 1: θ_p's."""
    chosen_t: float | None
    near_t: float | None
    """Of the point of the sweep that is nearest to the chosen one."""
    near_gap: float | None
    """The same there: the chosen point itself is not compared with the retrained model on these images."""
    mask_share: float | None
    """Of all elements, in effect."""
    mask_note: str | None
    """Why it is another mask than the one asked for."""
    cpu_seconds_an_epoch: float | None
    """Of training the curve."""


class FigureNumbers(Part):
    """Everything that a figure shows."""

    figure: Figure
    title: str
    panels: tuple[PanelNumbers, ...]


def panels(figure: Figure, study: Study) -> tuple[Panel, ...]:  # noqa: PLR0911 - one case a figure
    """Return the pathways of a figure; all end in NegGrad+.

    Args:
        figure: which.
        study: settings and one seed.

    Raises:
        ConfigurationError: the study has several seeds.
    """
    match figure:
        case Figure.MASK:
            return _masks(study)
        case Figure.REGION:
            return (
                _panel(study, "random deletion", ADAPTIVE, is_default=True),
                _panel(study, "class-wise deletion", ADAPTIVE, deletion=study.whole_class, is_default=True),
            )
        case Figure.BETA:
            fixed: list[BetaConfig] = [FixedBetaConfig(value=value) for value in BETAS]
            return tuple(
                _panel(study, f"β = {beta.value:g}" if isinstance(beta, FixedBetaConfig) else "adaptive β", _beta(beta))
                for beta in (*fixed, AdaptiveBetaConfig())
            )
        case Figure.KEEP:
            return tuple(_panel(study, f"k = {keep:g}", _masked(MaskConfig(keep=keep)), x=keep) for keep in KEPT)
        case Figure.EXCLUDE:
            return tuple(
                _panel(study, f"k_r = {exclude:g}", _masked(MaskConfig(exclude=exclude)), x=exclude)
                for exclude in EXCLUDED
            )
        case Figure.ENDS:
            ends = (("too little", UNDER), ("too much", OVER))
            return tuple(
                _panel(
                    study,
                    f"{name} (β = {beta:g})",
                    ADAPTIVE,
                    method=neggrad_plus(study, study.random).model_copy(update={"beta": beta}),
                )
                for name, beta in ends
            )
        case Figure.SHARE_POINTS | Figure.SHARE_PATHWAYS:
            return tuple(
                _panel(study, f"{share:.0%} of D_r", ADAPTIVE.model_copy(update={"retain_share": share}), x=share)
                for share in RETAIN_SHARES
            )
        case _:
            assert_never(figure)


def figure_cells(figure: Figure, study: Study) -> tuple[Cell, ...]:
    """Return the cells that a figure is made of.

    Raises:
        ConfigurationError: the study has several seeds.
    """
    found = panels(figure, study)
    return tuple(cell for panel in found for cell in (panel.cell, SweepCell(pathway=panel.cell)))


def figure_numbers(figure: Figure, study: Study, records: Records) -> FigureNumbers:
    """Return what a figure shows, from the records of its cells."""
    numbers = tuple(
        _numbers(panel, records[panel.cell], records[SweepCell(pathway=panel.cell)]) for panel in panels(figure, study)
    )
    return FigureNumbers(figure=figure, title=_TITLES[figure], panels=numbers)


def figure_markdown(numbers: FigureNumbers) -> str:
    """Return the numbers of a figure that a sentence would name."""
    head = [
        "Pathway", "gap of θ_p", "least gap", "at t", "chosen t", "gap beside it", "at t", "CPU s an epoch", "mask (%)",
    ]  # fmt: skip
    lines = [
        [
            panel.title,
            _percent(panel.end_gap),
            _percent(panel.best_gap),
            _plain(panel.best_t),
            _plain(panel.chosen_t),
            _percent(panel.near_gap),
            _plain(panel.near_t),
            _plain(panel.cpu_seconds_an_epoch),
            _percent(panel.mask_share),
        ]
        for panel in numbers.panels
    ]
    note = (
        "Gaps are means over D_f, D_r and D_t (and the class's test images) of distances to the retrained model, in %; "
        "beside the chosen t: at the nearest point of the sweep. Mask: share of the elements that the curve may move."
    )
    masks = [(panel.mask_share, panel.mask_note) for panel in numbers.panels if panel.mask_share is not None]
    return "\n".join([table(head, lines), note, *([mask_line(masks)] if masks else [])]) + "\n"


def distance(point: SweepPoint, retrained: SweepPoint) -> float:
    """Return the mean distance of accuracies to the retrained model's, over what both have.

    Source: arXiv 2505.10859, caption of figure 3.
    """
    gaps = [
        abs(point.forget - retrained.forget),
        abs(point.retain - retrained.retain),
        abs(point.test - retrained.test),
    ]
    if point.class_test is not None and retrained.class_test is not None:
        gaps.append(abs(point.class_test - retrained.class_test))
    return sum(gaps) / len(gaps)


def _numbers(panel: Panel, pathway: CellRecord, swept: CellRecord) -> PanelNumbers:
    sweep, chosen, curve = swept.sweep, pathway.chosen, pathway.costs.get(Phase.CURVE.value)
    gaps = [] if sweep is None else [(distance(point, sweep.retrained), point.t) for point in sweep.points]
    # t = 0 is the original: never an answer.
    best = min(gaps[1:]) if gaps else (None, None)
    # The choice compared with A_v and A_train, not with the retrained model.
    near = min(gaps, key=lambda gap: abs(gap[1] - chosen.t)) if gaps and chosen is not None else (None, None)
    return PanelNumbers(
        title=panel.title,
        is_default=panel.is_default,
        x=panel.x,
        pathway=cell_digest(panel.cell),
        sweep=sweep,
        best_t=best[1],
        best_gap=best[0],
        end_gap=gaps[-1][0] if gaps else None,
        chosen_t=None if chosen is None else chosen.t,
        near_t=near[1],
        near_gap=near[0],
        mask_share=None if chosen is None else chosen.mask_share,
        mask_note=None if chosen is None else chosen.mask_note,
        cpu_seconds_an_epoch=None if curve is None else curve.cpu_seconds / panel.cell.curve.train.epochs,
    )


def _masks(study: Study) -> tuple[Panel, ...]:
    sequential = [MaskConfig(keep=keep, exclude=SMALL) for keep in (SMALL, 0.3, 0.5)]
    random = MaskConfig(mode=MaskMode.RANDOM, keep=SMALL)
    full = ADAPTIVE.model_copy(update={"mask": MaskConfig(mode=MaskMode.FULL)})
    return (
        _panel(study, "no mask", full, x=1.0),
        *(_panel(study, f"k = {mask.keep:g}", _masked(mask), x=mask.keep) for mask in sequential),
        _panel(study, f"random, k = {SMALL:g}", _masked(random), x=SMALL),
    )


def _panel(
    study: Study,
    title: str,
    curve: CurveConfig,
    *,
    deletion: Deletion | None = None,
    method: NegGradPlusConfig | None = None,
    is_default: bool | None = None,
    x: float | None = None,
) -> Panel:
    if len(study.seeds) != 1:
        raise ConfigurationError(f"a figure shows one seed, got {len(study.seeds)}")
    what = deletion or study.random
    cell = study.pathway(study.seeds[0], what, method or neggrad_plus(study, what), curve)
    return Panel(title=title, cell=cell, is_default=curve == ADAPTIVE if is_default is None else is_default, x=x)


def _masked(mask: MaskConfig) -> CurveConfig:
    """Return the curve of a mask that stays as small as it is asked for: else small networks would move everything."""
    return ADAPTIVE.model_copy(update={"mask": mask.model_copy(update={"least_tensors": 1})})


def _beta(beta: BetaConfig) -> CurveConfig:
    return ADAPTIVE.model_copy(update={"objective": AscentConfig(beta=beta)})


def _plain(number: float | None) -> str:
    return "–" if number is None else f"{number:.2f}"


def _percent(number: float | None) -> str:
    return "–" if number is None else f"{100 * number:.2f}"

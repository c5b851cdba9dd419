"""The ablation of the bounded objectives."""

from mcu_core.config import AlignConfig, MaskMode, NegGradPlusConfig, QuantileConfig, ReferenceConfig
from mcu_core.experiments.artefacts import Artefact, cells_of, render
from mcu_core.experiments.cells import AuditedCell, PathwayCell, UnlearnedCell, unlearned_of
from mcu_core.experiments.forgetting import AUDITORS, TEACHERS, forgetting_rows
from mcu_core.experiments.forgetting_ablation import alignments, forgetting_ablation_rows, pathways
from tests.studies import records_of, tiny_study

STUDY = tiny_study(seeds=(3, 4)).model_copy(update={"folds": 2})
PAPER = STUDY.model_copy(update={"method_epochs": None, "curve_epochs": None})


def test_what_is_not_changed_is_as_the_comparison_has_it() -> None:
    compared = {row.name: row.cells for row in forgetting_rows(STUDY)}
    rows = {row.name: row.cells for row in forgetting_ablation_rows(STUDY)}
    same = ["Original", "RT", "NegGrad+", "Align reference", "Align quantile", "MCU reference", "MCU quantile"]
    assert [rows[name] for name in same] == [compared[name] for name in same]


def test_every_variation_differs_from_every_other() -> None:
    methods, curves = alignments(PAPER), pathways(PAPER)
    assert len({named.config for named in methods}) == len(methods)
    assert len({(named.curve, named.end) for named in curves}) == len(curves)


def test_a_variation_changes_one_thing() -> None:
    plain: dict[str, AlignConfig] = {}
    for named in alignments(PAPER):
        config = named.config
        assert isinstance(config, AlignConfig)
        base = plain.setdefault(config.objective.kind, config)
        groups = ((config, base), (config.objective, base.objective), (config.train, base.train))
        changed = [
            name
            for own, other in groups
            for name in type(own).model_fields
            if name not in {"objective", "train"} and getattr(own, name) != getattr(other, name)
        ]
        assert len(changed) == (config != base), named.name


def test_what_is_asked_of_the_search_is_tried() -> None:
    methods = [named.config for named in alignments(PAPER) if isinstance(named.config, AlignConfig)]
    objectives = [config.objective for config in methods]
    references = [objective for objective in objectives if isinstance(objective, ReferenceConfig)]
    assert {objective.pull_up for objective in references} == {0.0, 0.1, 0.3}
    assert {config.forget_share for config in methods} == {None, 0.25, 0.5}
    assert len({objective.weight for objective in references}) > 1
    assert len({objective.temperature for objective in references}) > 1
    assert len({config.train.epochs for config in methods}) > 1
    assert len({config.train.learning_rate for config in methods}) > 1
    assert {objective.by_class for objective in objectives if isinstance(objective, QuantileConfig)} == {True, False}
    masks = [named.curve.mask for named in pathways(PAPER)]
    assert {mask.mode for mask in masks} == {MaskMode.SEQUENTIAL, MaskMode.FULL}
    assert {mask.least_tensors for mask in masks if mask.mode is MaskMode.SEQUENTIAL} == {1}, "or it becomes full"


def test_every_pathway_ends_in_a_row_of_the_table() -> None:
    rows = {row.name: row for row in forgetting_ablation_rows(STUDY)}
    ends = set()
    for row in rows.values():
        if row.rests_on is not None:
            found = [unlearned_of(cell) for cell in row.cells if isinstance(cell, PathwayCell)]
            assert found == list(rows[row.rests_on].cells)
            ends |= {type(end.method) for end in found}
    assert ends == {AlignConfig, NegGradPlusConfig}


def test_every_model_is_audited_by_a_family_that_taught_nobody() -> None:
    cells = cells_of(Artefact.FORGETTING_ABLATION, STUDY)
    audits = [cell for cell in cells if isinstance(cell, AuditedCell)]
    assert {audit.family.seed for audit in audits} == {AUDITORS}
    taught = [cell for cell in cells if isinstance(cell, UnlearnedCell | PathwayCell) and cell.teachers]
    assert {teacher.seed for cell in taught for teacher in cell.teachers} == {TEACHERS}
    assert {audit.of for audit in audits} >= set(taught)


def test_the_table_shows_every_variation_with_its_audit_and_cost() -> None:
    rendered = render(Artefact.FORGETTING_ABLATION, STUDY, records_of(cells_of(Artefact.FORGETTING_ABLATION, STUDY)))
    names = [named.name for named in alignments(STUDY)] + [named.name for named in pathways(STUDY)]
    assert all(rendered.markdown.count(f"| {name} |") >= 2 for name in names)
    assert "| calibrated AUC |" in rendered.markdown
    assert "epochs (CPU)" in rendered.markdown
    assert "One family of references:" in rendered.markdown

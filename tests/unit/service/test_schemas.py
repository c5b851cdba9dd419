"""The JSON Schemas that are shipped are those of today's types, and what is written is valid by them."""

import json
from importlib import resources
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from mcu_core.report.document import AuditReport
from mcu_core.report.judgement import Verdict
from mcu_core.report.plan import AuditPlan
from tests.judged_reports import REPORTS, SINGLE

SCHEMAS = resources.files("service") / "schemas"
SHIPPED: dict[str, type[BaseModel]] = {"report-v2": AuditReport, "plan": AuditPlan}
REGENERATE = (
    "python -c 'import json; from {module} import {name}; "
    "print(json.dumps({name}.model_json_schema(), indent=2, sort_keys=True))' > service/schemas/{file}.schema.json"
)


def schema(file: str) -> Any:
    return json.loads((SCHEMAS / f"{file}.schema.json").read_text(encoding="utf-8"))


def validate(document: Any, file: str) -> None:
    jsonschema.validate(document, schema(file), cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("file", SHIPPED)
def test_the_schema_that_is_shipped_is_the_types(file: str) -> None:
    kind = SHIPPED[file]
    command = REGENERATE.format(module=kind.__module__, name=kind.__name__, file=file)

    jsonschema.Draft202012Validator.check_schema(schema(file))
    assert schema(file) == kind.model_json_schema(), f"regenerate it: {command}"


@pytest.mark.parametrize("report", [*REPORTS.values(), SINGLE])
def test_what_is_written_is_valid(report: AuditReport) -> None:
    validate(json.loads(report.to_bytes()), "report-v2")
    validate(json.loads(report.plan.to_bytes()), "plan")


@pytest.mark.parametrize("change", [{"surprise": 1}, {"subjects": {}}, {"attempt": "two"}, {"schema_version": 1}])
def test_something_else_is_no_report(change: dict[str, Any]) -> None:
    report = json.loads(REPORTS[Verdict.ACCEPT_POWERED].to_bytes())

    with pytest.raises(jsonschema.ValidationError):
        validate(report | change, "report-v2")


@pytest.mark.parametrize("change", [{"surprise": 1}, {"forget_count": 0}, {"primary_signal": "loss"}, {"policy": "x"}])
def test_something_else_is_no_plan(change: dict[str, Any]) -> None:
    plan = json.loads(REPORTS[Verdict.ACCEPT_POWERED].plan.to_bytes())

    with pytest.raises(jsonschema.ValidationError):
        validate(plan | change, "plan")

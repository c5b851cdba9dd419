"""Who can reach the audit's non-members: what is imported says it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
OPENED_IN = {"mcu_core/audit"}
"""Where the sealed samples may be opened."""
HANDED_ON_IN = {"mcu_core/images.py", "service/worker/posing.py"}
"""Where they are made, and handed from the data to the audit."""


def sources() -> dict[str, ast.Module]:
    paths = [path for package in ("mcu_core", "service") for path in (ROOT / package).rglob("*.py")]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in paths}


def test_nothing_but_the_audit_and_who_poses_its_problem_knows_the_type() -> None:
    users = {
        name
        for name, tree in sources().items()
        for node in ast.walk(tree)
        if (isinstance(node, ast.alias) and node.name == "SealedSamples")
        or (isinstance(node, ast.Attribute) and node.attr == "SealedSamples")
    }
    assert users
    assert all(name in HANDED_ON_IN or any(name.startswith(f"{part}/") for part in OPENED_IN) for name in users)


def test_nothing_but_the_guard_itself_reaches_behind_it() -> None:
    reaching = {
        name
        for name, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "_whole"
    }
    assert reaching == {"mcu_core/images.py"}

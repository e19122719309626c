"""The shape of the house: who imports whom, how large files and functions are, and what stays at its one place."""

import ast
import re
from pathlib import Path

import pytest

from openvbs.api.openapi import OPERATIONS
from openvbs.api.routes import ROUTES

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "openvbs"
SOURCES = sorted(PACKAGE.rglob("*.py"))
OUR_CODE = [*SOURCES, *sorted((ROOT / "scripts").rglob("*.py")), *sorted((ROOT / "bench").rglob("*.py"))]
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

LEAVES = {"units", "errors", "clock", "files", "lifeline", "logs", "metrics", "__version__"}
FENCED_LIBRARIES = {
    "sqlalchemy": {"db", "actions", "jobs", "recovery"},
    "alembic": {"db"},
    "dbos": {"jobs"},
    "falcon": {"api"},
    "granian": {"service", "identity"},
    "obstore": {"stores"},
    "keystonemiddleware": {"auth"},
    "oslo_policy": {"auth"},
    "oslo_config": {"config", "config_options", "auth"},
    "click": {"cli"},
    "rich": {"cli"},
    "openstack": {"cli", "identity"},
    "pycadf": {"jobs"},
}


def room(path: Path) -> str:
    """The package (or leaf module) of openvbs that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def allowed() -> dict[str, set[str]]:
    """The table "Who may import whom" of docs/architecture.md."""
    text = (ROOT / "docs/architecture.md").read_text().split("## Who may import whom")[1]
    table: dict[str, set[str]] = {}
    for names, imports in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", text, re.MULTILINE):
        for name in re.findall(r"`(\w+)`", names):
            table[name] = set(re.findall(r"\w+", imports))
    return table


def imports(path: Path) -> set[str]:
    """Dotted names of every module that a file imports, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names if node.module == "openvbs")
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_follow_the_table(path: Path) -> None:
    table = allowed()
    here = room(path)
    if here in LEAVES | {"__init__"}:
        may: set[str] = set(LEAVES)
    else:
        assert here in table, f"docs/architecture.md has no row for {here}"
        may = LEAVES | {here} | table[here]
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("openvbs.")}
    everything = "everything" in may
    before_wiring = set(table) - {"service", "cli"}
    if everything:
        may |= set(table) if here == "cli" else before_wiring
    forbidden = rooms - may
    assert not forbidden, f"{here} may not import {sorted(forbidden)}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_libraries_stay_behind_their_fence(path: Path) -> None:
    libraries = {name.split(".")[0] for name in imports(path)}
    here = room(path)
    outside = {name for name in libraries & set(FENCED_LIBRARIES) if here not in FENCED_LIBRARIES[name] | {"wiring"}}
    assert not outside, f"{here} may not import {sorted(outside)}"


@pytest.mark.parametrize("path", OUR_CODE, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_small(path: Path) -> None:
    text = path.read_text()
    if "migrations/versions" in str(path):
        return  # a migration is a record of what was, not code to read
    assert text.count("\n") <= FILE_LINES_MAX
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_one_place_reads_the_clock_the_environment_and_prints(path: Path) -> None:
    here = room(path)
    for node in ast.walk(ast.parse(path.read_text())):
        text = ast.unparse(node) if isinstance(node, ast.Call | ast.Attribute | ast.Subscript) else ""
        if here != "cli":
            assert not text.startswith("print("), f"line {node.lineno}: only cli prints"
        if here not in {"cli", "config"}:
            reads_environment = text.startswith(("os.environ", "os.getenv"))
            assert not reads_environment, f"line {node.lineno}: only cli and config read the environment"
        if here not in {"cli", "service"}:
            assert not text.startswith("sys.exit("), f"line {node.lineno}: only cli and service exit"
        if here != "clock":
            assert not text.startswith(("time.time(", "datetime.now(")), f"line {node.lineno}: use openvbs.clock"


def test_every_route_is_described() -> None:
    missing = [f"{route.method} {route.path}" for route in ROUTES if route.handler not in OPERATIONS]
    assert not missing, f"api/*/operations.py says nothing of {missing}"


def test_every_decision_record_is_listed() -> None:
    index = (ROOT / "docs/adr/README.md").read_text()
    for record in sorted((ROOT / "docs/adr").glob("0*.md")):
        assert record.name in index, f"docs/adr/README.md does not list {record.name}"

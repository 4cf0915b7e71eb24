"""The arrows of the house: each row imports only rows above it, and every engine stays in its room."""

import ast
import re
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[2] / "sp_search"

ROWS = [
    {"records", "effects", "errors", "shares", "bucket", "spans"},
    {"events", "machine", "own_parts", "signals"},
    {"plugins", "plain_files", "whole_files"},
    {"levels", "pricing", "seal", "strict", "units", "shipped"},
    {"cohorts"},
    {"visits"},
    {"interventions"},
    {"yaml_strict", "program", "halting", "cutting"},
    {"compute", "settings_file", "exact"},
    {"tasks", "models", "priors", "schedulers", "oracles", "selection"},
    {"assembly", "adapt", "levers"},
    {"train"},
    {"organisms", "export"},
    {"audits", "risk"},
    {"sections"},
    {"proposals"},
    {"refusals"},
    {"study", "changes", "ledger", "on_finish"},
    {"warm_start", "logbook", "segments", "room"},
    {"plan", "search", "store", "arms"},
    {"minimum"},
    {"folder", "foresight", "health", "keeping", "limits", "packing", "requested", "result", "rows"},
    {"across", "answer", "comparison", "control", "lineages", "submission"},
    {"drive", "tune", "tracking", "report", "courier"},
    {"session"},
    {"running"},
    {"comparing"},
    {"api", "asking", "replies", "terminal"},
    {"simulation", "simulation_words", "auditing", "calibration"},
    {"tax", "game"},
    {"experiments"},
    {"claims", "figures", "study_figures"},
    {"skeletons", "starting"},
    {"cli"},
    {"__main__"},
]
ROW_OF = {unit: number for number, row in enumerate(ROWS) for unit in row}
ROOMS = {
    "ray": "tune/",
    "optuna": "tune/proposer",
    "mlflow": "tracking/",
    "matplotlib": "report/",
    "mapie": "risk.py",
    "onnx": "export/",
    "onnxruntime": "export/",
    "ruamel": "yaml_strict.py",
    "cyclopts": "cli/",
}
PART_FAMILIES = ("tasks", "models", "priors", "schedulers", "oracles", "audits", "organisms", "experiments")


class Import(NamedTuple):
    """One import statement: of what, whether for types alone, and whether it runs with its module."""

    module: str
    for_types: bool
    at_top: bool


def imports_of(file):
    """Return every import of a file."""
    found = []

    def visit(node, for_types, at_top):
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, for_types, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "sp_search" else [node.module]
            )
            found.extend(Import(name, for_types, at_top) for name in names)
        for_types = for_types or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test))
        at_top = at_top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, for_types, at_top)

    visit(ast.parse(file.read_text()), False, True)
    return found


def unit_of(file):
    """Return the folder of the package that holds a file, or the name of a file that stands alone."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = [file for file in sorted(PACKAGE.rglob("*.py")) if file != PACKAGE / "__init__.py"]
NAMES = [str(file.relative_to(PACKAGE)) for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_file_imports_only_rows_above_its_own(file):
    unit = unit_of(file)
    for one in imports_of(file):
        if not one.module.startswith("sp_search."):
            continue
        target = one.module.split(".")[1]
        if target in ("__version__", unit):
            continue
        named_shape = one.for_types and unit in ("models", "priors") and one.module == "sp_search.tasks.base"
        assert named_shape or ROW_OF[target] < ROW_OF[unit], f"{unit} (row {ROW_OF[unit]}) imports {one.module}"


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_an_engine_stays_in_its_room(file):
    place = str(file.relative_to(PACKAGE))
    for one in imports_of(file):
        room = ROOMS.get(one.module.split(".")[0])
        assert room is None or place.startswith(room), f"{place} imports {one.module}, which belongs to {room}"


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_what_the_search_can_see_never_imports_audits(file):
    if unit_of(file) in ("train", "priors", "schedulers", "selection", "exact", "search", "drive", "tune"):
        assert not [one for one in imports_of(file) if one.module.startswith("sp_search.audits")]


@pytest.mark.parametrize("family", PART_FAMILIES)
def test_a_part_imports_torch_only_inside_functions(family):
    for file in (PACKAGE / family).glob("*.py"):
        for one in imports_of(file):
            light = (
                one.for_types
                or not one.at_top
                or one.module.split(".")[0] not in ("torch", "numpy", "sklearn", "scipy")
            )
            assert light, f"{file.name} imports {one.module} with its module"


def test_every_unit_has_its_row():
    assert {unit_of(file) for file in FILES} - set(ROW_OF) == set()


def test_no_module_is_a_drawer():
    drawers = {"utils", "util", "common", "misc", "helpers", "manager", "handlers"}
    assert not {part.removesuffix(".py") for name in NAMES for part in Path(name).parts} & drawers


def test_no_file_names_a_folder_of_somebodys_machine():
    folder = re.compile(r"(?<![\w.~-])/(?:home|root|Users|tmp|work)/\w")
    texts = [file for kind in ("*.py", "*.md", "*.yaml", "*.toml") for file in PACKAGE.parent.rglob(kind)]
    ours = [file for file in texts if ".venv" not in file.parts and file != Path(__file__)]
    assert not [str(file) for file in ours if folder.search(file.read_text(encoding="utf-8"))]

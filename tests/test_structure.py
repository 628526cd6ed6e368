"""The structure of the project: who may import whom, how long functions are.

The table ALLOWED is that of docs/architecture.md.
"""

import ast
import graphlib
import re

import pytest

from tests.runs import ROOT
from tests.sources import files_of_kind, is_script, product_modules

ALLOWED = {  # room: the rooms, or single modules, that it may import
    "runtime": {"runtime"},
    "data": {"data", "runtime"},
    "model": {"model", "runtime"},
    "saliency": {"saliency", "model", "runtime"},
    "opts": {"runtime", "model", "data.datasets", "saliency.methods", "saliency.scores"},
    "utils": {"utils", "data", "saliency", "runtime", "opts"},
    "scripts": {"opts", "data", "model", "saliency", "runtime"},
}
LAZY = {}  # file: what its functions may import when they are called
PLACE = re.compile(r"[a-z_][a-z0-9_.]*:[A-Za-z_]\w*")  # "package.module:name", as in registries


def room_of(module):
    """Return the room of a module: its first part, or "scripts" for the scripts in the root."""
    first = module.split(".")[0]
    return first if first in ALLOWED else "scripts"


def imports_in(source):
    """Yield (line, module, name or None) of all imports in a source, those as "package.module:name" included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, None
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, "." * node.level + (node.module or ""), alias.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if PLACE.fullmatch(node.value):
                yield node.lineno, *node.value.split(":")
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            yield node.lineno, getattr(node.args[0], "value", "a name that is computed"), None


def wrong_arrows(module, source, modules):
    """Return a sentence for each import of a module that runs against ALLOWED or imports a script."""
    found = []
    for line, target, name in imports_in(source):
        full = f"{target}.{name}" if f"{target}.{name}" in modules else target
        if full.startswith("."):
            found.append(f"{module}, line {line}: imports are written in full, not as {full}")
        if full.split(".")[0] not in {other.split(".")[0] for other in modules}:
            continue  # not ours
        allowed = ALLOWED[room_of(module)]
        if not (full in allowed or full.split(".")[0] in allowed):
            found.append(f"{module}, line {line}: {room_of(module)} may not import {full}")
        if is_script(modules.get(full, "")):
            found.append(f"{module}, line {line}: {full} is a script, which nothing may import")
    return found


def functions_in(source):
    return [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def lazy_imports(source):
    """Return {(line, module)} of all imports inside functions."""
    return {(node.lineno, name) for function in functions_in(source) for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module])}


def test_every_product_file_has_a_room():
    assert {module.split(".")[0] for module in product_modules()} == {
        "runtime", "data", "model", "saliency", "opts", "utils", "main", "inference", "frame_saliency",
        "feature_saliency"}


def test_all_arrows_are_allowed():
    modules = product_modules()
    found = [sentence for module, source in modules.items() for sentence in wrong_arrows(module, source, modules)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("module", "line", "complaint"), [
    ("runtime.files", "import data.clips", "runtime may not import data.clips"),
    ("runtime.files", "from data import clips", "runtime may not import data.clips"),
    ("data.clips", "from model.preprocessing import normalise", "data may not import model.preprocessing"),
    ("data.clips", "def read():\n    from model import checkpoint", "data may not import model.checkpoint"),
    ("model.heads", "from saliency.explain import explain", "model may not import saliency.explain"),
    ("saliency.explain", "from data.video import write_video", "saliency may not import data.video"),
    ("saliency.explain", "import opts", "saliency may not import opts"),
    ("saliency.explain", "from .metrics import auc", "imports are written in full, not as .metrics"),
    ("opts", "from saliency.methods.gradients import path", "opts may not import saliency.methods.gradients"),
    ("utils.batch", "from utils.trim_videos import cut", "utils.trim_videos is a script, which nothing may import"),
    ("inference", "import main", "main is a script, which nothing may import"),
])
def test_a_wrong_arrow_is_found(module, line, complaint):
    assert any(complaint in sentence for sentence in wrong_arrows(module, line, product_modules()))


def test_no_function_is_too_long():
    lengths = {f"{path}, {function.name}": function.end_lineno - function.lineno + 1
               for path in files_of_kind(".py") for function in functions_in((ROOT / path).read_text())}
    assert {name: lines for name, lines in lengths.items() if lines > 60} == {}


def test_nothing_is_imported_inside_a_function():
    found = [(path.as_posix(), target) for path in files_of_kind(".py")
             for _, target in lazy_imports((ROOT / path).read_text())]
    wrong = [(path, target) for path, target in found
             if not any(target == name or target.startswith(f"{name}.") for name in LAZY.get(path, ()))]
    assert wrong == []
    assert {path for path, _ in found} == set(LAZY), "an exception that nothing needs any more"


def imported_at_once(module, source, modules):
    """Return the modules that run when a module is imported: those of its top level, and their packages."""
    found = set()
    for node in ast.parse(source).body:
        for _, target, name in imports_in(ast.unparse(node)) if isinstance(node, ast.Import | ast.ImportFrom) else ():
            parts = (f"{target}.{name}" if f"{target}.{name}" in modules else target).split(".")
            found |= {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return {other for other in found & modules.keys() if other != module and not module.startswith(f"{other}.")}


def test_every_module_can_be_imported_first():
    modules = product_modules()
    graph = {module: imported_at_once(module, source, modules) for module, source in modules.items()}
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(modules)  # a CycleError names the cycle

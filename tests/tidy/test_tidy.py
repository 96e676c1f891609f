"""The project's own rules, checked: layers, sizes, generated code (docs/STYLE.md)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
PARAMETERS_MAX = 6
BROAD_EXCEPT_FILES = {"rpc/around.py"}  # the one border where untyped errors are caught

SERVICES = ("edge", "router", "cache", "compression", "ledger", "demo")
MAY_IMPORT = {
    "meshgate_protos": set(),
    "meshgate_chassis": {"meshgate_protos"},
    **{f"meshgate_{name}": {"meshgate_chassis", "meshgate_protos"} for name in SERVICES},
    "meshgate_demo": set(),
    "meshgate_cli": {"meshgate_chassis", "meshgate_ledger"},
}
TRANSPORT = ("grpc", "grpc_health", "grpc_reflection", "grpc_status")


def sources(*folders: str) -> list[Path]:
    """The project's own Python files, without generated code."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(path for path in found if "/gen/" not in str(path) and "/.venv/" not in str(path))


def imports(tree: ast.AST) -> Iterator[str]:
    """The dotted names of everything a module imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


SERVICE_FILES = sources("services")
ALL_FILES = sources("services", "tests", "protos", "tools", "bench")
TREES = {path: ast.parse(path.read_text()) for path in ALL_FILES}


def package_of(path: Path) -> str:
    """services/edge/meshgate_edge/x.py -> meshgate_edge."""
    return path.relative_to(ROOT / "services").parts[1]


def test_there_is_something_to_check() -> None:
    """A wrong path must not make the rules pass."""
    assert len(SERVICE_FILES) > 50


def test_services_meet_only_in_contracts() -> None:
    """edge, router, cache, compression and ledger never import each other; nobody imports upwards."""
    wrong = []
    for path in SERVICE_FILES:
        package = package_of(path)
        for name in imports(TREES[path]):
            top = name.split(".")[0]
            if top.startswith("meshgate_") and top != package and top not in MAY_IMPORT[package]:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert [] == wrong


def test_the_transport_stays_in_the_chassis() -> None:
    """Only meshgate_chassis.rpc knows grpcio, so that another transport can take its place."""
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in SERVICE_FILES
        for name in imports(TREES[path])
        if name.split(".")[0] in TRANSPORT and "meshgate_chassis/rpc/" not in str(path)
    ]
    assert [] == wrong


def test_no_module_cycles() -> None:
    """Imports form no cycle; an `__init__` that only re-exports its package's modules is no part of one."""
    graph: dict[str, set[str]] = {}
    for path in SERVICE_FILES:
        if path.name != "__init__.py":
            module = ".".join(path.relative_to(ROOT / "services").with_suffix("").parts[1:])
            graph[module] = set(imports(TREES[path]))
    for module, targets in graph.items():
        graph[module] = {name for name in targets if name in graph and name != module}
    assert [] == cycle_in(graph)


def cycle_in(graph: dict[str, set[str]]) -> list[str]:
    """One cycle of a directed graph, or an empty list."""
    done: set[str] = set()

    def visit(node: str, trail: list[str]) -> list[str]:
        if node in trail:
            return [*trail[trail.index(node) :], node]
        if node in done:
            return []
        for target in sorted(graph[node]):
            if cycle := visit(target, [*trail, node]):
                return cycle
        done.add(node)
        return []

    for start in sorted(graph):
        if cycle := visit(start, []):
            return cycle
    return []


def test_the_cycle_finder_finds_one() -> None:
    """The check above can fail."""
    assert ["a", "b", "a"] == cycle_in({"a": {"b"}, "b": {"a"}, "c": set()})


def test_files_are_small() -> None:
    """One job each."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in ALL_FILES
        if (lines := len(path.read_text().splitlines())) > FILE_LINES_MAX
    }
    assert {} == long


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_functions_are_short() -> None:
    """One screen, one idea."""
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {length} lines"
        for path in ALL_FILES
        for node in functions(TREES[path])
        if (length := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]
    assert [] == long


def test_functions_have_few_parameters() -> None:
    """At most six, without self; more wants a value object."""
    wide = []
    for path in SERVICE_FILES:
        for node in functions(TREES[path]):
            names = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
            count = len([name for name in names if name not in ("self", "cls")])
            if count > PARAMETERS_MAX:
                wide.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {count}")
    assert [] == wide


def test_no_globals_and_no_broad_excepts() -> None:
    """No `global`; `except Exception` only at the RPC border."""
    wrong = []
    for path in SERVICE_FILES:
        for node in ast.walk(TREES[path]):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Global):
                wrong.append(f"{where} global")
            if isinstance(node, ast.ExceptHandler) and is_broad(node) and not allowed_broad(path, node):
                wrong.append(f"{where} broad except")
    assert [] == wrong


def is_broad(handler: ast.ExceptHandler) -> bool:
    """`except:`, `except Exception:` and `except BaseException:`."""
    if handler.type is None:
        return True
    return isinstance(handler.type, ast.Name) and handler.type.id in ("Exception", "BaseException")


def allowed_broad(path: Path, handler: ast.ExceptHandler) -> bool:
    """At the border, or when the handler only notes the error and raises it again."""
    at_border = any(str(path).endswith(name) for name in BROAD_EXCEPT_FILES)
    return at_border or isinstance(handler.body[-1], ast.Raise)


def test_modules_say_what_they_are_for() -> None:
    """Every module with code has a docstring."""
    silent = [
        str(path.relative_to(ROOT))
        for path in ALL_FILES
        if TREES[path].body and not ast.get_docstring(TREES[path])
    ]
    assert [] == silent


def test_generated_code_is_what_the_contracts_say() -> None:
    """protos/gen is never edited."""
    check = subprocess.run(
        [sys.executable, "protos/generate.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == check.returncode, check.stdout + check.stderr


def test_a_misspelt_field_fails_type_checking(tmp_path: Path) -> None:
    """The generated types are strict enough that mypy finds a typo."""
    subject = tmp_path / "typo.py"
    subject.write_text(
        "from meshgate_protos.chat.v1 import chat_pb2\n\nrequest = chat_pb2.ChatRequest(modell='x')\n"
    )
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), str(subject)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 1 == checked.returncode
    assert "modell" in checked.stdout

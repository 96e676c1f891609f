"""Generates the Python code of the contracts: `python protos/generate.py [--check]`.

`--check` generates into a temporary folder and fails when it differs from what is committed.
"""

import filecmp
import importlib.resources
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import mesh_stubs
from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).resolve().parent
GENERATED = ROOT / "gen"


def generate(target: Path) -> None:
    """Writes *_pb2, *_pb2_grpc (for clients outside the mesh) and *_mesh (for meshgate) below `target`."""
    contracts = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("meshgate_protos/**/*.proto"))
    scripts = Path(sysconfig.get_path("scripts"))
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"--proto_path={ROOT}",
            f"--proto_path={well_known}",
            f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
            f"--python_out={target}",
            f"--grpc_python_out={target}",
            f"--mypy_out=quiet:{target}",
            f"--mypy_grpc_out=quiet:{target}",
            f"--descriptor_set_out={target / 'contracts.binpb'}",
            *contracts,
        ],
        check=True,
        cwd=ROOT,
    )
    package = target / "meshgate_protos"
    descriptors = target / "contracts.binpb"
    for path, source in mesh_stubs.modules(FileDescriptorSet.FromString(descriptors.read_bytes())):
        (target / path).write_text(source)
    descriptors.unlink()
    shutil.copy(ROOT / "rpc.py", package / "rpc.py")
    (package / "py.typed").touch()
    for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").touch()


def differences(left: Path, right: Path) -> list[str]:
    """Relative paths of the files that differ or exist on one side only."""

    def files(root: Path) -> set[Path]:
        return {
            path.relative_to(root)
            for path in root.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    both = files(left) & files(right)
    lone = files(left) ^ files(right)
    changed = {path for path in both if not filecmp.cmp(left / path, right / path, shallow=False)}
    return sorted(str(path) for path in lone | changed)


def main() -> int:
    if sys.argv[1:] != ["--check"]:
        GENERATED.mkdir(exist_ok=True)
        generate(GENERATED)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        drift = differences(GENERATED, Path(folder))
    for path in drift:
        print(f"protos/gen/{path} is not what protoc makes of the contracts: run `make protos`")
    return 1 if drift else 0


if __name__ == "__main__":
    sys.exit(main())

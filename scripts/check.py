"""Run all static checks, each to its end, and say at the end which failed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
CHECKS = {
    "format": ["ruff", "format", "--check", "--quiet", "."],
    "lint": ["ruff", "check", "--quiet", "."],
    "types": ["mypy"],
    "layers": ["lint-imports"],
    "spelling": ["codespell"],
}


def find_uv() -> str | None:
    base = os.environ.get("XDG_CACHE_HOME")
    own = (Path(base) if base else Path.home() / ".cache") / "kairos" / "uv" / "bin" / "uv"
    return shutil.which("uv") or (str(own) if own.exists() else None)


def main() -> int:
    failed = []
    commands = {name: [str(BIN / words[0]), *words[1:]] for name, words in CHECKS.items()}
    uv = find_uv()
    if uv is None:
        failed.append("lock (there is no uv)")
    else:
        commands["lock"] = [uv, "lock", "--check", "--quiet"]
    for name, command in commands.items():
        print(f"--- {name}", file=sys.stderr, flush=True)
        if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Run all static checks, each to its end, and say at the end which failed."""

import subprocess
import sys

import setup

BIN = setup.ROOT / ".venv" / "bin"
CHECKS = {
    "format": ["ruff", "format", "--check", "--quiet", "."],
    "lint": ["ruff", "check", "--quiet", "."],
    "types": ["mypy"],
    "layers": ["lint-imports"],
    "spelling": ["codespell"],
}


def main() -> int:
    failed = []
    commands = {name: [str(BIN / words[0]), *words[1:]] for name, words in CHECKS.items()}
    commands["lock"] = [setup.find_uv(), "lock", "--check", "--quiet"]
    for name, command in commands.items():
        print(f"--- {name}", file=sys.stderr, flush=True)
        if subprocess.run(command, cwd=setup.ROOT, env=setup.uv_environment(), check=False).returncode != 0:
            failed.append(name)
    print(f"failed: {', '.join(failed)}" if failed else "all checks passed", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

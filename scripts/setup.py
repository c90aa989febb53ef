"""Get this checkout ready to run: uv, the packages of `uv.lock` in `.venv`, and Temporal.

Runs on the machine's own Python with nothing but its standard library, and installs nothing into it: where
`uv` is missing it goes into a folder of its own under the cache. A second run takes a second.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENSURE_TEMPORAL = [str(ROOT / ".venv" / "bin" / "python"), "-m", "engine.temporal.server", "ensure"]

SYSTEM_CERTIFICATES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")


class SetupFailed(Exception):
    """Something is missing that we cannot get. The text says what, and how to get it."""


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "kairos"


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--without-temporal"]):
        say("usage: setup.py [--without-temporal]")
        return 2
    try:
        sync(find_uv())
        if not arguments:
            run(ENSURE_TEMPORAL, "Temporal could not be had; the reasons stand above.")
    except SetupFailed as failure:
        say(f"error: {failure}")
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run(command: list[str], failure: str) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode != 0:
        raise SetupFailed(failure)


def find_uv() -> str:
    """The uv to use: the one on PATH, else our own copy, made now if need be."""
    for candidate in (shutil.which("uv"), str(own_uv())):
        # A version manager's shim can be on PATH without anything behind it.
        if candidate and works([candidate, "--version"]):
            return candidate
    say(f"Getting uv from PyPI into {own_uv().parent.parent} ...")
    for way in (install_by_venv, install_by_pip):
        if way() and works([str(own_uv()), "--version"]):
            return str(own_uv())
    if Path("/etc/debian_version").exists() and os.geteuid() == 0 and shutil.which("apt-get"):
        say("This Python lacks `venv`; installing python3-venv with apt-get ...")
        quiet(["apt-get", "update"])
        quiet(["apt-get", "install", "-y", "--no-install-recommends", "python3-venv"])
        if install_by_venv() and works([str(own_uv()), "--version"]):
            return str(own_uv())
    raise SetupFailed(
        "uv is missing and could not be got from PyPI. Either this machine does not reach PyPI, or this "
        f"Python ({sys.executable}) has neither `venv` nor `pip`: on Debian and Ubuntu "
        "`apt-get install python3-venv` brings it. Any other uv on PATH will do as well: "
        "https://docs.astral.sh/uv/getting-started/installation/"
    )


def own_uv() -> Path:
    return cache_folder() / "uv" / "bin" / "uv"


def install_by_venv() -> bool:
    folder = own_uv().parent.parent
    if not quiet([sys.executable, "-m", "venv", "--clear", str(folder)]):
        return False
    return quiet([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "uv"])


def install_by_pip() -> bool:
    # With --target nothing of the user's Python is changed; works too where it is "externally managed".
    folder = own_uv().parent.parent
    shutil.rmtree(folder, ignore_errors=True)
    return quiet([sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "uv"])


def works(command: list[str]) -> bool:
    return quiet(command)


def quiet(command: list[str]) -> bool:
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=600)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def sync(uv: str) -> None:
    fresh = not (ROOT / ".venv").exists()
    if fresh:
        say("Installing the packages of uv.lock into .venv ...")
    command = [uv, "sync", "--locked", "--quiet"]
    if fresh:
        command += ["--python", base_python()]
    done = subprocess.run(command, cwd=ROOT, env=uv_environment(), check=False)
    if done.returncode != 0:
        raise SetupFailed(
            "the packages could not be installed; uv says why above. If `uv.lock` does not fit "
            "`pyproject.toml`, run `uv lock`; if PyPI is not reached, check the connection."
        )


def uv_environment() -> dict[str, str]:
    environment = dict(os.environ)
    # Somebody's active environment is not ours, and uv warns about it at every call.
    environment.pop("VIRTUAL_ENV", None)
    environment.pop("UV_PROJECT_ENVIRONMENT", None)
    # uv brings certificates of its own, which do not know a company's proxy; the system's do.
    if sys.platform == "darwin" or any(Path(bundle).exists() for bundle in SYSTEM_CERTIFICATES):
        environment.setdefault("UV_SYSTEM_CERTS", "1")
    return environment


def base_python() -> str:
    """This Python, not a virtual environment on top of it that may vanish."""
    name = f"python{sysconfig.get_config_var('py_version_short')}"
    candidate = Path(sys.base_prefix) / "bin" / name
    return str(candidate) if candidate.exists() else sys.executable


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036  (run by whatever Python there is)
        sys.exit(f"Kairos needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}.")
    sys.exit(main(sys.argv[1:]))

"""The checks of the project; ``nox`` alone runs them all, ``nox -l`` lists them.

The tests come last.  They run against the installed wheel, never against the checkout; the Python
that runs nox measures their coverage.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2025.5"

ROOT = Path(__file__).parent
PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
THIS_PYTHON = "{}.{}".format(*sys.version_info[:2])
#: The version whose tests are measured.
MEASURED = THIS_PYTHON if THIS_PYTHON in PYTHONS else PYTHONS[0]
COVERAGE = ROOT / ".nox" / "coverage"
#: The version whose tests run on all paths of messages (tests/paths.py): the newest one
#: here, but the measured one only if there is no other.
ALL_PATHS = next(
    (each for each in reversed(PYTHONS) if each != MEASURED and shutil.which(f"python{each}")), MEASURED
)
#: The tests run in as many processes as there are processors.
PARALLEL = ("-n", "auto")
#: Seconds that an example may take.
EXAMPLE_TIME = 60

# The tests start many processes; without compiled modules each would compile them all anew.
os.environ.setdefault("UV_COMPILE_BYTECODE", "1")

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.stop_on_first_error = False
nox.options.sessions = [
    "lint",
    "types",
    "layers",
    "changelog",
    "docs",
    "examples",
    "build",
    f"tests-{MEASURED}",
    "cover",
    *[f"tests-{version}" for version in PYTHONS if version != MEASURED],
]


def install(session: nox.Session, *groups: str) -> None:
    """Install the named dependency groups only."""
    session.install(*nox.project.dependency_groups(PYPROJECT, *groups))


def install_package(session: nox.Session, *groups: str) -> None:
    """Install trionet from a wheel built just now, with all its extras and the named groups."""
    project = PYPROJECT["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    session.install(*project["dependencies"], *extras, *nox.project.dependency_groups(PYPROJECT, *groups))
    session.install("--no-deps", "--force-reinstall", ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    install(session, "lint")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types: mypy everywhere, pyright on the type tests and for completeness."""
    install_package(session, "types")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "trionet", "--ignoreexternal")


@nox.session
def layers(session: nox.Session) -> None:
    """Check that no layer imports one above it."""
    install(session, "layers")
    session.install("--no-deps", "--force-reinstall", ".")
    session.run("lint-imports", "--cache-dir", str(ROOT / ".nox" / "import-linter"))


@nox.session
def changelog(session: nox.Session) -> None:
    """Check that the fragments are well named and make a changelog."""
    install(session, "changelog")
    session.run("towncrier", "build", "--draft", "--version", "next")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; a warning is an error, and so is a reference to nothing."""
    install_package(session, "docs")
    session.run("sphinx-build", "-E", "-n", "-W", "--keep-going", "-q", "docs", "docs/_build/html")


@nox.session
def examples(session: nox.Session) -> None:
    """Run each example to its end through the command line."""
    install_package(session)
    trionet = Path(session.bin) / "trionet"
    for script in sorted(ROOT.glob("examples/*.py")):
        session.log(f"trionet run {script.relative_to(ROOT)}")
        subprocess.run([trionet, "run", script], stdin=subprocess.DEVNULL, timeout=EXAMPLE_TIME, check=True)


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel and the source archive, and use the wheel."""
    target = ROOT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    install(session, "build")
    session.run("hatchling", "build", "-d", str(target))
    (wheel,) = target.glob("*.whl")
    session.install("--force-reinstall", str(wheel))
    session.chdir(session.create_tmp())
    session.run("python", "-c", "import trionet, trionet.services, trionet.testing")
    session.run("trionet", "--version")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run the tests against the installed wheel; arguments go to pytest."""
    install_package(session, "test")
    paths = "all" if session.python == ALL_PATHS else "direct"
    arguments = ("-m", "pytest", *PARALLEL, "--paths", paths, *session.posargs)
    if session.python != MEASURED:
        session.run("python", "-P", *arguments)
        return
    shutil.rmtree(COVERAGE, ignore_errors=True)
    COVERAGE.mkdir(parents=True)
    env = {"COVERAGE_FILE": str(COVERAGE / "data")}
    session.run("python", "-P", "-m", "coverage", "run", *arguments, env=env)


@nox.session(requires=[f"tests-{MEASURED}"])
def cover(session: nox.Session) -> None:
    """Put the measurements of all processes together; fail below the limit in pyproject.toml."""
    session.install("coverage>=7.10")
    env = {"COVERAGE_FILE": str(COVERAGE / "data")}
    session.run("coverage", "combine", "--keep", "-q", env=env)
    session.run("coverage", "report", env=env)


@nox.session(name="tests-lowest", python=PYTHONS[0], venv_backend="uv")
def tests_lowest(session: nox.Session) -> None:
    """Run the tests with the oldest dependencies that pyproject.toml allows."""
    wanted = [*PYPROJECT["project"]["dependencies"], *nox.project.dependency_groups(PYPROJECT, "test")]
    session.install("--resolution", "lowest-direct", "--upgrade", *wanted)
    session.install("--no-deps", "--force-reinstall", ".")
    session.run("python", "-P", "-m", "pytest", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Run the benchmarks; they print a table and never fail for a slow machine."""
    install_package(session, "test", *(["bench-peers"] if "--peers" in session.posargs else []))
    session.run("python", "-m", "tests.benchmarks", *(session.posargs or ["speed"]))


@nox.session
def sim(session: nox.Session) -> None:
    """Run the simulations only; arguments go to pytest."""
    install_package(session, "test")
    session.run("python", "-P", "-m", "pytest", "tests/sim", *session.posargs)

"""The scenarios that come with the package: where they are, by name."""

from __future__ import annotations

from pathlib import Path

from bimu_hw.errors import ScenarioError, did_you_mean

_PACKAGE = Path(__file__).parents[1]


def shipped_folder() -> Path:
    """Return the folder of the shipped scenarios: in an installation inside the package, in a checkout beside it."""
    inside = _PACKAGE / "scenarios"
    return inside if inside.is_dir() else _PACKAGE.parent / "scenarios"


def shipped_scenarios() -> dict[str, Path]:
    """Return the shipped scenarios by name."""
    return {file.stem: file for file in sorted(shipped_folder().glob("*.toml"))}


def find_scenario(name: str) -> Path:
    """Return the path of a scenario: the file of that path, else the shipped one of that name.

    Raises
    ------
    ScenarioError
        If there is neither.
    """
    path = Path(name)
    if path.exists():
        return path
    shipped = shipped_scenarios()
    if name in shipped:
        return shipped[name]
    if path.suffix == ".toml" or path.parent != Path() or not shipped:
        raise ScenarioError(f"{name}: no such file; give the path of a scenario.")
    raise ScenarioError(f"scenario {name!r}: neither a file nor a shipped scenario. {did_you_mean(name, shipped)}")

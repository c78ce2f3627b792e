"""The repository's own habits: style, types, generated pages, commands in the README."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from mer_features.systems.registry import PRETRAINING, RECIPES
from mer_features.workflow.config import Config, ConfigError, validate

ROOT = Path(__file__).parents[1]
SCHEMA = json.loads((ROOT / "config" / "schema.json").read_text())
ALL_RECIPES = (*RECIPES.values(), *PRETRAINING.values())


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("snakefmt", "--check", "Snakefile", "workflow/rules"),
    ],
    ids=" ".join,
)
def test_tools_find_nothing(command: tuple[str, ...]):
    program = shutil.which(command[0], path=str(Path(sys.executable).parent)) or shutil.which(command[0])
    if program is None:
        pytest.skip(f"{command[0]} is not installed (extra: dev)")
    done = _run(program, *command[1:])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_page_and_the_schema_are_current():
    done = _run(sys.executable, "docs/make_configuration.py", "--check")
    assert done.returncode == 0, done.stderr


def _sections_of_the_page() -> list[set[str]]:
    text = (ROOT / "docs" / "configuration.md").read_text()
    return [set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) for section in text.split("\n## ")[1:]]


def test_every_key_of_every_model_is_on_the_configuration_page():
    """Found here through pydantic's schema, not through the script that writes the page."""
    definitions = Config.model_json_schema(by_alias=True)["$defs"]
    models = {name: item["properties"].keys() for name, item in definitions.items() if "properties" in item}
    recipes = {item.__name__: item.model_json_schema(by_alias=True)["properties"].keys() for item in ALL_RECIPES}
    assert {"Descriptors", "OwnerDatabase", "Faces"} <= models.keys()
    pages = _sections_of_the_page()
    assert [name for name, keys in (models | recipes).items() if set(keys) not in pages] == []
    assert set(Config.model_json_schema(by_alias=True)["properties"]) in pages


SHIPPED = [*sorted((ROOT / "config").glob("*.yaml")), *sorted((ROOT / "config").glob("papers/*/table*.yaml"))]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(ROOT / "config")))
def test_the_schema_accepts_what_the_package_accepts(path: Path):
    jsonschema.validate(yaml.safe_load(path.read_text()), SCHEMA)


@pytest.mark.parametrize(
    "tree",
    [
        {"databases": {"d": {"adapter": "synthetic", "presett": "demo"}}},
        {"databases": {"d": {"adapter": "synthetic"}}, "faces": {"size": "large"}},
        {"databases": {"d": {"adapter": "synthetic"}}, "faces": {"size": 8}},
        {
            "databases": {"d": {"adapter": "synthetic"}},
            "systems": {"s": {"system": "fr", "protocols": ["p"], "recipe": {"epocs": 3}}},
        },
        {"databases": {"d": {"adapter": "nowhere"}}},
    ],
)
def test_the_schema_refuses_what_the_package_refuses(tree: dict):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tree, SCHEMA)
    with pytest.raises(ConfigError):
        validate(tree)


def test_the_readme_names_files_that_exist():
    text = (ROOT / "README.md").read_text()
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []

"""Every adapter has a page whose example is a configuration, and which names all variants."""

import re
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest
import yaml

from mer_features.config import OwnerAdapter, validate

PAGES = Path(__file__).parents[2] / "docs" / "databases"


@pytest.mark.parametrize("adapter", get_args(OwnerAdapter))
def test_the_page_s_example_is_a_configuration_and_names_all_variants(adapter: str):
    page = (PAGES / f"{adapter}.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    databases = validate(yaml.safe_load(example[1])).databases
    assert adapter in {database.adapter for database in databases.values()}
    module = import_module(f"mer_features.databases.{adapter.replace('4dme', 'fourdme')}")
    for variant in getattr(module, "VARIANTS", ()):
        assert variant.removesuffix("-cropped") in page  # a suffix that pages may explain once

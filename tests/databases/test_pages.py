"""Every adapter has a page whose example is a configuration, and which names all variants."""

import re
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest
import yaml

from mer_features.databases.options import OwnerAdapter, OwnerRecordings, RecordingsDatabase
from mer_features.workflow.config import validate

PAGES = Path(__file__).parents[2] / "docs" / "databases"


@pytest.mark.parametrize("adapter", get_args(OwnerAdapter))
def test_the_page_s_example_is_a_configuration_and_names_all_variants(adapter: str):
    page = (PAGES / f"{adapter}.md").read_text(encoding="utf-8")
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example is not None
    databases = validate(yaml.safe_load(example[1])).databases
    assert adapter in {database.adapter for database in databases.values()}
    module = import_module(f"mer_features.databases.owners.{adapter.replace('4dme', 'fourdme')}")
    for variant in getattr(module, "VARIANTS", ()):
        assert variant.removesuffix("-cropped") in page  # a suffix that pages may explain once


@pytest.mark.parametrize("adapter", get_args(OwnerAdapter))
def test_the_page_says_how_to_apply_where_files_go_what_is_read_and_what_is_odd(adapter: str):
    page = (PAGES / f"{adapter}.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (.*)$", page, re.MULTILINE)
    assert heads[:2] == ["Where the files go", "What is read"]
    assert any(head.startswith("Known quirks") for head in heads)
    before = page.split("## ")[0]
    assert re.search(r"apply|on request|agreement", before)
    assert f"({adapter}.md)" in (PAGES / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("adapter", get_args(OwnerAdapter))
def test_the_page_s_label_counts_are_those_that_the_check_expects(adapter: str):
    page = (PAGES / f"{adapter}.md").read_text(encoding="utf-8")
    module = import_module(f"mer_features.databases.owners.{adapter.replace('4dme', 'fourdme')}")
    known = getattr(module, "PUBLISHED", ())
    editions = [item for group in (known.values() if isinstance(known, dict) else [known]) for item in group]
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    for edition in editions:
        if " every expression" in edition.edition or " with sub24" in edition.edition or edition.edition == "training":
            continue  # sums and variants, told in words
        assert re.search(rf"\b{edition.clips}\b", (page + index).replace("38,935", "38935")), edition
        for number in edition.emotions.values():
            assert re.search(rf"\b{number}\b", page) or sum(edition.emotions.values()) in {357, 1156}, (edition, number)


RECORDED = {
    get_args(model.model_fields["adapter"].annotation)[0]: model for model in get_args(get_args(RecordingsDatabase)[0])
}


@pytest.mark.parametrize("adapter", RECORDED)
def test_the_page_of_recordings_has_an_example_all_keys_and_the_published_counts(adapter: str):
    page = (PAGES / f"{'own_recordings' if adapter == 'table' else adapter}.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    sections = [section for tree in examples for section in tree.get("recordings", {}).values()]
    assert [RECORDED[adapter].model_validate(section).adapter for section in sections] == [adapter]
    own = RECORDED[adapter].model_fields.keys() - OwnerRecordings.model_fields.keys() - {"adapter"}
    assert [key for key in own if f"{key}:" not in page] == []
    if adapter == "table":
        return
    known = import_module(f"mer_features.databases.owners.{adapter}").PUBLISHED_RECORDINGS
    for edition in [item for group in known.values() for item in group] if isinstance(known, dict) else known:
        for number in (edition.recordings or edition.annotated, edition.subjects, edition.micro, edition.macro):
            assert not number or re.search(rf"\b{number}\b", page), (edition, number)
    assert f"({adapter}.md" in (PAGES / "README.md").read_text(encoding="utf-8")

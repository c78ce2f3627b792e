"""The plain tree of a configuration: YAML files, the files that they include, and Snakemake's own merging."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

#: What was found, for messages: a few kB of YAML can expand to a tree of any size.
SHORT = reprlib.Repr()
SHORT.maxlevel, SHORT.maxstring, SHORT.maxother = 2, 80, 80


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names file, key, what was found and what is accepted."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise yaml.YAMLError(f"line {node.start_mark.line + 1}: given twice: {', '.join(sorted(twice))}")
        return super().construct_mapping(node, deep=deep)


#: Key with the files that a configuration is completed from.
INCLUDE = "include"
#: Sections of named entries, from which `name: null` leaves out an entry of an included file.
_NAMED = ("databases", "recordings", "spotting", "protocols", "pretraining", "systems")


def read_tree(path: Path | str) -> dict[str, Any]:
    """The plain tree of a YAML file, with the files that its key ``include`` names.

    An included file, named from the folder of the file that names it, gives what the including file leaves open. Of
    several included files, a later one wins. Sections are merged key by key; lists are replaced. ``name: null`` leaves
    out an entry of one of the sections of named entries, such as a database or a system of an included file.

    Raises
    ------
    ConfigError
        If a file cannot be read, is not a tree of sections, or includes itself.
    """
    return _read_with_included(Path(path), ())


def _read_with_included(path: Path, including: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in including:
        raise ConfigError(f"{path}: {INCLUDE}: the file includes itself, directly or through another")
    tree = dict(_read_one(path))
    names = tree.pop(INCLUDE, ())
    if (
        isinstance(names, str)
        or not isinstance(names, list | tuple)
        or not all(isinstance(name, str) for name in names)
    ):
        raise ConfigError(f"{path}: {INCLUDE}: expected a list of files, found {SHORT.repr(names)}")
    merged: dict[str, Any] = {}
    for name in names:
        included = path.parent / name
        if not included.is_file():
            found = "a folder" if included.is_dir() else "no such file"
            raise ConfigError(f"{path}: {INCLUDE}: {included}: expected a configuration file, found {found}")
        merged = merge(merged, _read_with_included(included, (*including, path.resolve())))
    left_out = {
        section: {name for name, item in entries.items() if item is None}
        for section, entries in tree.items()
        if section in _NAMED and isinstance(entries, Mapping)
    }
    merged = merge(merged, tree)
    for section, names in left_out.items():
        merged[section] = {name: item for name, item in merged[section].items() if name not in names}
    return merged


def completed(tree: Mapping[str, Any], files: Iterable[Path | str]) -> dict[str, Any]:
    """Snakemake's merged configuration with what its files include.

    Of several files, a later one wins with all that it includes. Values that differ from those of the files come from
    the command line and win over all.

    Raises
    ------
    ConfigError
        If a file cannot be read, or if the command line gives ``include``.
    """
    as_written: dict[str, Any] = {}
    whole: dict[str, Any] = {}
    for file in files:
        as_written = merge(as_written, _read_one(Path(file)))
        whole = merge(whole, read_tree(file))
    given = _changed(as_written, tree)
    if INCLUDE in given:
        raise ConfigError(f"{INCLUDE}: expected in a configuration file, found on the command line")
    return merge(whole, given)


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What differs in ``after``, key by key."""
    changed: dict[str, Any] = {}
    for key, value in after.items():
        known = before.get(key)
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            if inner := _changed(known, value):
                changed[key] = inner
        elif key not in before or value != known:
            changed[key] = value
    return changed


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Two trees as one; where both have a value, that of ``above`` holds, and sections are merged key by key."""
    both = {key for key in above if isinstance(above[key], Mapping) and isinstance(below.get(key), Mapping)}
    return {**below, **above, **{key: merge(below[key], above[key]) for key in both}}


def _read_one(path: Path) -> Mapping[str, Any]:
    """The plain tree of one YAML file; raises :class:`ConfigError` if it is not one."""
    try:
        tree = _Loader(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text ({error.reason})") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date or number
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply to be a configuration") from None
    if not isinstance(tree, Mapping):
        raise ConfigError(f"{path}: expected a tree of sections, found {type(tree).__name__}")
    return tree

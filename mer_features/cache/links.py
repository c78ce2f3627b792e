"""Opens what is inside a cache file and nothing outside it.

HDF5 can point to other files by external links, virtual datasets and external storage. A cache holds none of them;
a file that does is refused, so that reading a stranger's cache opens no other file.
"""

from __future__ import annotations

import h5py

from mer_features.cache.schema import CacheError
from mer_features.shards import unstored


def open_object(file: h5py.File, name: str) -> h5py.Group | h5py.Dataset:
    """The object at a path of ordinary links.

    Raises
    ------
    KeyError
        If there is none.
    CacheError
        If the path crosses a soft or external link or the object's data lie outside the file.
    """
    node = file
    walked = ""
    for part in filter(None, name.split("/")):
        walked += f"/{part}"
        if not isinstance(node, h5py.Group) or part not in node.keys():  # noqa: SIM118  # `in` on a group follows links
            raise KeyError(f"{walked} is not in the file")
        check_link(node, part, walked)
        node = node[part]
    if isinstance(node, h5py.Dataset):
        check_storage(node, walked)
    return node


def check_link(group: h5py.Group, name: str, where: str) -> None:
    """Refuse anything but an ordinary (hard) link."""
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        raise CacheError(f"{where}: a {type(link).__name__}; a cache holds no links to elsewhere")


def check_storage(dataset: h5py.Dataset, where: str) -> None:
    """Refuse data that lie in other files, or nowhere."""
    if dataset.is_virtual or dataset.external:
        raise CacheError(f"{where}: its data lie in another file; a cache holds all its data")
    if claim := unstored(dataset):
        raise CacheError(f"{where}: {claim}; a cache holds all its data")

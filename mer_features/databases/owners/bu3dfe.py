"""Adapter for BU-3DFE, a database of single face scans of posed expressions.

A file name such as ``BU_3DFE/F0001/F0001_AN01WH_F2D.bmp`` holds the subject, two letters for the emotion, the intensity
01 to 04 (00 for neutral) and two letters for the ethnicity. ``_F2D.bmp`` is the texture image; ``_F3D.wrl`` is the
surface, which is not read. Source: public loaders.

Each texture image is listed as a clip whose source is the image file itself. The database is declared as one of still
images (:mod:`mer_features.databases.options`): the single frame of such a clip is its onset and its apex, and nothing
is measured between frames. The neutral image and the expression are not paired as onset and apex, because it is not
known whether the scans of a subject have the same head pose.
"""

from __future__ import annotations

import re
from pathlib import Path

from mer_features.core.clips import IMAGE_SUFFIXES, Clip
from mer_features.core.quality import Issue
from mer_features.databases import adapter
from mer_features.databases.folders import Tree
from mer_features.databases.listing import DatabaseError, Listing, Published
from mer_features.databases.options import OwnerDatabase

EMOTIONS = {
    "AN": "anger", "DI": "disgust", "FE": "fear", "HA": "happiness", "NE": "neutral", "SA": "sadness", "SU": "surprise",
}  # fmt: skip
#: 100 subjects with four intensities of six emotions and one neutral face.
PUBLISHED = (
    Published("owners' page", 2500, 100, {word: 100 if word == "neutral" else 400 for word in EMOTIONS.values()}),
)

_TEXTURE = re.compile(
    r"(?P<subject>[FM]\d{4})_(?P<emotion>[A-Z]{2})(?P<intensity>\d\d)[A-Z]{2}_F2D\.bmp", re.IGNORECASE
)


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Every texture image as a clip of one frame.

    Parameters
    ----------
    root
        The folder ``BU_3DFE`` or a folder that contains it.

    Raises
    ------
    DatabaseError
        If no texture image is found, or a sheet or variant is configured.
    """
    adapter.refuse(name, options, "sheet", "variant")
    tree = Tree(root)
    top = next((root / folder for folder in tree.entries(root).folders if folder.casefold() == "bu_3dfe"), root)
    clips, foreign = [], []
    for subject in tree.entries(top).folders:
        here = tree.entries(top / subject)
        for image in sorted([*here.files, *here.leaving]):
            match = _TEXTURE.fullmatch(image)
            if match and match["emotion"].upper() in EMOTIONS and match["subject"].upper() == subject.upper():
                clips.append(_clip(name, top / subject / image, match, outside=image in here.leaving))
            elif Path(image).suffix.lower() in IMAGE_SUFFIXES:
                foreign.append(f"{subject}/{image}")
    if not clips:
        raise DatabaseError(f"{top}: expected images like F0001/F0001_AN01WH_F2D.bmp; found {tree.contents()}")
    notes = adapter.note_count("foreign_file", "images are not textures of the subject of their folder", foreign)
    return Listing(tuple(clips), notes, PUBLISHED)


def _clip(name: str, image: Path, match: re.Match[str], *, outside: bool) -> Clip:
    issues = (Issue("unsafe_path", f"{image.name} leaves the root"),) if outside else ()
    emotion = EMOTIONS[match["emotion"].upper()]
    return adapter.clip_of(name, image.parent.name, image.stem, image, emotion, issues, first=0, last=0)

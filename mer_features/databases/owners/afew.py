"""Adapter for AFEW, a database of macro-expressions in films.

The videos are ``Train_AFEW/Angry/000046280.avi``; the faces cut from them are in
``Train_AFEW/AlignedFaces_LBPTOP_Points/Faces/000046280/*.jpg``. The validation part is ``Val_AFEW``, with its faces in
``AlignedFaces_LBPTOP_Points_Val/Faces``. The label is the name of the folder of the video. The test part has no labels;
``unlabelled`` lists its videos, ``Test_AFEW/000029320.avi`` or ``Test/Test_vid_Distribute/000029320.avi``. The owners
do not identify the people in the clips. Source: public loaders.
"""

from __future__ import annotations

from pathlib import Path

from mer_features.core.clips import Clip
from mer_features.core.quality import Issue
from mer_features.databases import adapter
from mer_features.databases.folders import Entries, Tree
from mer_features.databases.listing import DatabaseError, Listing, Note, Published
from mer_features.databases.options import OwnerDatabase

#: Part -> folder of aligned faces.
PARTS = {"Train_AFEW": "AlignedFaces_LBPTOP_Points", "Val_AFEW": "AlignedFaces_LBPTOP_Points_Val"}
VARIANTS = ("video", "aligned")
EMOTIONS = ("Angry", "Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise")
_TRAIN, _VALIDATION = (
    {emotion.lower(): number for emotion, number in zip(EMOTIONS, numbers, strict=True)}
    for numbers in ((133, 74, 81, 150, 144, 117, 74), (64, 40, 46, 63, 63, 61, 46))
)
PUBLISHED = (
    Published("training and validation", 1156, 0, {word: _TRAIN[word] + _VALIDATION[word] for word in _TRAIN}),
    Published("training", 773, 0, _TRAIN),
    Published("validation", 383, 0, _VALIDATION),
)
#: With the test part, of which the owners give no labels.
ALL = Published("training, validation and test", 1809)
#: Number of folders in which the videos of the test part may be nested.
_TEST_DEPTH = 3


def read(name: str, root: Path, options: OwnerDatabase) -> Listing:
    """Training clips, then validation clips, ordered by emotion, then test clips; each clip is its own subject.

    Parameters
    ----------
    root
        The folder that holds ``Train_AFEW``, ``Val_AFEW`` or both.
    options
        ``variant``: ``video`` reads the videos, ``aligned`` the owners' face crops. In both cases the labels come
        from the folders of the videos. ``unlabelled``: list also the videos of the test part, with an empty emotion.

    Raises
    ------
    DatabaseError
        If there is no labelled video in either part, if a sheet is configured, or if ``unlabelled`` is combined with
        the face crops, which the test part does not have in this layout.
    """
    adapter.refuse(name, options, "sheet")
    chosen = adapter.variant(name, options, VARIANTS)
    if options.unlabelled and chosen != "video":
        raise DatabaseError(f"databases.{name}.unlabelled: the test part is read as videos; set `variant: video`")
    tree = Tree(root)
    clips: list[Clip] = []
    notes = [adapter.NO_SUBJECTS]
    for part, aligned in PARTS.items():
        folder, missing = adapter.source(tree, root, part)
        if missing:
            notes.append(Note("layout", f"the part {part} was not read: {missing[0].detail}"))
            continue
        faces, no_faces = adapter.source(tree, folder, aligned, "Faces")
        videos = _videos(tree, folder)
        for video, emotion in videos:
            source, issues = _video(tree, video) if chosen == "video" else adapter.source(tree, faces, video.stem)
            clips.append(_clip(name, folder.name, source, emotion, issues))
        stems = {video.stem.casefold() for video, _ in videos}
        on_disk = [] if no_faces else tree.entries(faces).folders
        unlisted = [clip for clip in on_disk if clip.casefold() not in stems]
        notes += adapter.note_count(
            "unlisted_folder", f"clips of faces in {folder.name} have no labelled video", unlisted
        )
    if not clips:
        raise DatabaseError(f"{root}: expected videos like Train_AFEW/Angry/000046280.avi; found {tree.contents()}")
    if options.unlabelled:
        tests, more = _test_clips(name, tree)
        return Listing((*clips, *tests), (*notes, *more), (ALL, *PUBLISHED))
    return Listing(tuple(clips), tuple(notes), PUBLISHED)


def _test_clips(name: str, tree: Tree) -> tuple[list[Clip], list[Note]]:
    """Videos of the first folder whose name and whose parents' names start with ``test``, without a label."""
    level, found = [tree.root], []
    for _ in range(_TEST_DEPTH):
        level = [
            parent / child
            for parent in level
            for child in tree.entries(parent).folders
            if child.casefold().startswith("test")
        ]
        found += [folder for folder in level if _video_names(tree.entries(folder))]
    if not found:
        expected = "Test_AFEW or Test/Test_vid_Distribute"
        return [], [Note("layout", f"the test part was not read: expected videos in {expected}; found none")]
    videos = (found[0] / video for video in _video_names(tree.entries(found[0])))
    others = [tree.shown(folder) for folder in found[1:]]
    notes = adapter.note_count("layout", f"folders of test videos beside {tree.shown(found[0])} were not read", others)
    clips = []
    for video in videos:
        source, issues = _video(tree, video)
        clips.append(_clip(name, "Test_AFEW", source, "", issues))
    return clips, list(notes)


def _videos(tree: Tree, part: Path) -> list[tuple[Path, str]]:
    """Videos of one part, each with its emotion word."""
    videos = []
    for emotion in EMOTIONS:
        folder, missing = adapter.source(tree, part, emotion)
        here = Entries() if missing else tree.entries(folder)
        videos += [(folder / name, emotion.lower()) for name in _video_names(here)]
    return videos


def _video_names(here: Entries) -> list[str]:
    """Names of the videos of a folder, including links that leave the root."""
    return sorted(name for name in [*here.files, *here.leaving] if name.lower().endswith(".avi"))


def _video(tree: Tree, video: Path) -> tuple[Path, tuple[Issue, ...]]:
    return video, () if tree.inside(video) else (Issue("unsafe_path", tree.shown(video)),)


def _clip(name: str, part: str, source: Path, emotion: str, issues: tuple[Issue, ...]) -> Clip:
    return adapter.clip_of(name, f"{part}_{source.stem}", source.stem, source, emotion, issues)

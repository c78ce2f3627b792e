"""Label maps: class -> the owners' emotion words in lower case. Clips with other words are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

LabelMap = Mapping[str, tuple[str, ...]]

#: The sheets and folders of SMIC use the names of the classes.
SMIC_3: LabelMap = {"negative": ("negative",), "positive": ("positive",), "surprise": ("surprise",)}

#: CASME II in MEGC 2019 and in the dual-branch paper, without sadness (7 clips) and fear (2 clips). Published flow maps
#: have the names of the classes, which are not words of the owners' sheets; so have those of SAMM.
CASME2_MEGC: LabelMap = {
    "negative": ("negative", "disgust", "repression"),
    "positive": ("positive", "happiness"),
    "surprise": ("surprise",),
}

#: CASME II in the cross-database benchmark, without repression and with sadness and fear.
CASME2_CDMER: LabelMap = {
    "negative": ("disgust", "sadness", "fear"),
    "positive": ("happiness",),
    "surprise": ("surprise",),
}

#: FR, Table 12: the three classes of the benchmark; repression belongs to the class "others".
CASME2_4: LabelMap = {**CASME2_CDMER, "others": ("others", "repression")}

CASME2_5: LabelMap = {word: (word,) for word in ("disgust", "happiness", "others", "repression", "surprise")}

CASME2_7: LabelMap = {**CASME2_5, "fear": ("fear",), "sadness": ("sadness",)}

#: MEGC 2019 and the table of the dual-branch paper, whose text mentions only contempt and anger.
SAMM_3: LabelMap = {
    "negative": ("negative", "anger", "contempt", "disgust", "fear", "sadness"),
    "positive": ("positive", "happiness"),
    "surprise": ("surprise",),
}

#: FR, Table 12. The sheet writes "Other".
SAMM_4: LabelMap = {**SAMM_3, "others": ("other", "others")}

SAMM_5: LabelMap = {
    "anger": ("anger",),
    "contempt": ("contempt",),
    "happiness": ("happiness",),
    "others": ("other", "others"),
    "surprise": ("surprise",),
}

#: MA2MI, without the word "others" of the sheet.
MMEW_6: LabelMap = {word: (word,) for word in ("anger", "disgust", "fear", "happiness", "sadness", "surprise")}

#: Macro-expressions of EIDNet (CK+) in three classes, grouped as its micro-expressions.
CKPLUS_3: LabelMap = {
    "negative": ("anger", "contempt", "disgust", "fear", "sadness"),
    "positive": ("happy", "happiness"),
    "surprise": ("surprise",),
}

#: Macro-expressions of EIDNet in the five classes of CASME II; repression and others have no counterpart.
CKPLUS_5: LabelMap = {"disgust": ("disgust",), "happiness": ("happy", "happiness"), "surprise": ("surprise",)}

#: Teacher of SA-AT (BU-3DFE), without neutral.
BU3DFE_3: LabelMap = {
    "negative": ("anger", "disgust", "fear", "sadness"),
    "positive": ("happy", "happiness"),
    "surprise": ("surprise",),
}

#: Label maps by their names in a configuration. `megc2019` accepts the words of all three databases and is meant for
#: data without an own map; the preset `megc2019` uses one map per database.
LABEL_MAPS: dict[str, LabelMap] = {
    "megc2019": {
        "negative": ("negative", "disgust", "repression", "anger", "contempt", "fear", "sadness"),
        "positive": ("positive", "happiness"),
        "surprise": ("surprise",),
    },
    "smic-3": SMIC_3,
    "casme2-megc": CASME2_MEGC,
    "casme2-cdmer": CASME2_CDMER,
    "casme2-4": CASME2_4,
    "casme2-5": CASME2_5,
    "casme2-7": CASME2_7,
    "samm-3": SAMM_3,
    "samm-4": SAMM_4,
    "samm-5": SAMM_5,
    "mmew-6": MMEW_6,
    "ckplus-3": CKPLUS_3,
    "ckplus-5": CKPLUS_5,
    "bu3dfe-3": BU3DFE_3,
}


def words(labels: LabelMap) -> dict[str, str]:
    """Emotion word in lower case -> class.

    Raises
    ------
    ValueError
        If a word belongs to two classes or there are fewer than two classes.
    """
    pairs = [(word.lower(), label) for label, names in labels.items() for word in names]
    occurrences = Counter(word for word, _ in pairs)
    if duplicates := sorted(word for word, n in occurrences.items() if n > 1):
        raise ValueError(f"emotions listed more than once: {', '.join(duplicates)}")
    if len(labels) < 2:
        raise ValueError(f"at least two classes are needed, found {len(labels)}")
    return dict(pairs)


def configured(labels: str | LabelMap) -> dict[str, str]:
    """:func:`words` of a configured map, given by name or in full; raises ``ValueError`` for an unknown name."""
    if not isinstance(labels, str):
        return words(labels)
    if labels not in LABEL_MAPS:
        raise ValueError(
            f"unknown label map {labels!r}; known: {', '.join(LABEL_MAPS)}, or give a map class: [emotion, ...]"
        )
    return words(LABEL_MAPS[labels])

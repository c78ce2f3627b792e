"""Label maps: class -> the owners' emotion words, lower case. Words that a map does not name leave the clip out."""

from __future__ import annotations

from collections.abc import Mapping

LabelMap = Mapping[str, tuple[str, ...]]

#: SMIC's sheets and folders hold the classes themselves.
SMIC_3: LabelMap = {"negative": ("negative",), "positive": ("positive",), "surprise": ("surprise",)}

#: CASME II in MEGC 2019 and in the dual-branch paper: sadness (7 clips) and fear (2) are out.
CASME2_MEGC: LabelMap = {
    "negative": ("disgust", "repression"),
    "positive": ("happiness",),
    "surprise": ("surprise",),
}

#: CASME II in the cross-database benchmark: repression is out, sadness and fear are in.
CASME2_CDMER: LabelMap = {
    "negative": ("disgust", "sadness", "fear"),
    "positive": ("happiness",),
    "surprise": ("surprise",),
}

#: FR, Table 12: the benchmark's three classes, repression joins the others.
CASME2_4: LabelMap = {**CASME2_CDMER, "others": ("others", "repression")}

CASME2_5: LabelMap = {word: (word,) for word in ("disgust", "happiness", "others", "repression", "surprise")}

CASME2_7: LabelMap = {**CASME2_5, "fear": ("fear",), "sadness": ("sadness",)}

#: MEGC 2019 and the dual-branch paper's table (its text names contempt and anger alone).
SAMM_3: LabelMap = {
    "negative": ("anger", "contempt", "disgust", "fear", "sadness"),
    "positive": ("happiness",),
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

#: MA2MI; the sheet's "others" are out.
MMEW_6: LabelMap = {word: (word,) for word in ("anger", "disgust", "fear", "happiness", "sadness", "surprise")}

#: EIDNet's macro side (CK+) under the three classes; the same grouping as its micro side.
CKPLUS_3: LabelMap = {
    "negative": ("anger", "contempt", "disgust", "fear", "sadness"),
    "positive": ("happy", "happiness"),
    "surprise": ("surprise",),
}

#: EIDNet's macro side under CASME II's five classes: repression and others have no counterpart.
CKPLUS_5: LabelMap = {"disgust": ("disgust",), "happiness": ("happy", "happiness"), "surprise": ("surprise",)}

#: SA-AT's teacher (BU-3DFE); neutral is out.
BU3DFE_3: LabelMap = {
    "negative": ("anger", "disgust", "fear", "sadness"),
    "positive": ("happy", "happiness"),
    "surprise": ("surprise",),
}

#: Label maps by the name a configuration gives. `megc2019` takes every word of the three databases at once and suits
#: data that has no map of its own; the preset `megc2019` maps each database by its own list.
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
    seen = [word for word, _ in pairs]
    if twice := sorted({word for word in seen if seen.count(word) > 1}):
        raise ValueError(f"emotions listed more than once: {', '.join(twice)}")
    if len(labels) < 2:
        raise ValueError(f"at least two classes are needed, found {len(labels)}")
    return dict(pairs)


def configured(labels: str | LabelMap) -> dict[str, str]:
    """:func:`words` of a map that a configuration names or writes out; raises ``ValueError`` for an unknown name."""
    if not isinstance(labels, str):
        return words(labels)
    if labels not in LABEL_MAPS:
        raise ValueError(
            f"unknown label map {labels!r}; known: {', '.join(LABEL_MAPS)}, or write out class: [emotion, ...]"
        )
    return words(LABEL_MAPS[labels])

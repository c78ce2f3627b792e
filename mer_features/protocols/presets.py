"""Named protocols: the clip lists of the papers as rules on clip tables, with the counts that they must give.

A preset has roles, one per database; a configuration says which of its databases has which role. Counts and clip names
are from the published list of the challenge, from public copies of the owners' sheets and from the tables of the
papers; docs/protocols.md says where these disagree.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mer_features.protocols import labels
from mer_features.protocols.labels import LabelMap

Counts = Mapping[str, Mapping[str, int]]  # role -> class or "subjects" -> number


@dataclass(frozen=True)
class Remark:
    """A known fact about a clip that differs between copies of a database; reported if counts differ.

    ``label`` is the class of the clip in the published list; "" if the clip is not in the list.
    """

    role: str
    clip: str
    label: str
    text: str


@dataclass(frozen=True)
class Preset:
    """One protocol.

    Attributes
    ----------
    title
        Content and source, in one line.
    labels
        Role -> label map. The order of the roles is the order of the databases and so of the folds.
    counts
        Role -> number of clips per class and of ``subjects`` in the published list.
    folds
        As in the configuration.
    test
        Roles that are tested if ``folds`` is ``transfer``; the others are only used for training.
    without
        Role -> clip -> reason why it is left out.
    words
        Role -> clip -> emotion word in the edition of the sheet that the list is based on.
    remarks
        Facts about clips, reported if counts differ.
    """

    title: str
    labels: Mapping[str, LabelMap]
    counts: Counts
    folds: Literal["loso", "transfer"] | int = "loso"
    test: tuple[str, ...] = ()
    without: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()

    @property
    def roles(self) -> tuple[str, ...]:
        """Roles of the databases."""
        return tuple(self.labels)


# ---- facts about clips

#: CASME II, three clips of one subject whose emotion word differs between the sheets of 2014 and 2019.
_RELABELLED = ("sub24/EP07_01", "sub24/EP07_04f", "sub24/EP10_03")
_2014 = {"casme2": dict.fromkeys(_RELABELLED, "sadness")}
_2019 = {"casme2": dict.fromkeys(_RELABELLED, "surprise")}

_NO_ROW = "on disk without a row in the public sheets of 255 rows; a sheet of 256 rows has it (61/91/106, disgust)"
_ADD_IT = f"{_NO_ROW}; `unlisted: true` at the database adds it"
_WITHOUT_ROW = {"casme2": {"sub24/EP02_07": _NO_ROW}}

_MEGC_CASME2 = {
    "sub04/EP12_01f": "the sheet has no apex",
    "sub05/EP09_05f": "the sheet's apex is the onset",
    "sub24/EP02_07": _NO_ROW,
}

#: Three surprise clips that are missing from the table of the dual-branch paper.
_DUAL_BRANCH = {
    "casme2": dict.fromkeys(("sub03/EP01_2", "sub15/EP04_02", "sub17/EP01_13"), "not in the paper's table")
    | _WITHOUT_ROW["casme2"]
}

_LONG_SHEET = "no row of its own in the sheet of the long recordings, which has 157 rows; the short clips have it"
_NOT_LONG = ("s3/s3_ne_03", "s4/s4_ne_05", "s4/s4_ne_06", "s1/s1_ne_02", "s3/s3_ne_20")
_SECOND = ("s20/s20_ne_06_2", "s20/s20_ne_09_2", "s20/s20_sur_02_2", "s18/s18_ne_01_2", "s18/s18_sur_03_2")
_NOT_SHORT = "the second expression of a long recording, which the short clips do not have"
_SMIC_COLUMN = "a surprise by folder and name, negative by the sheet's Emotion column"


def _smic_remarks(role: str) -> tuple[Remark, ...]:
    surprises = ("s9/s9_sur_02", "s2/s2_sur_05")
    return (
        Remark(role, "s18/s18_sur_03", "surprise", _SMIC_COLUMN),
        *(Remark(role, clip, "negative", _LONG_SHEET) for clip in _NOT_LONG),
        *(Remark(role, clip, "surprise", _LONG_SHEET) for clip in surprises),
        *(Remark(role, clip, "", _NOT_SHORT) for clip in _SECOND),
    )


_MEGC_REMARKS = (
    Remark(
        "samm", "032/032_3_1", "negative", "one published version of the challenge's list (441 clips) lacks its row"
    ),
    Remark("casme2", "sub05/EP12_03f", "surprise", "one public loader drops it in place of sub05/EP09_05f"),
    *_smic_remarks("smic"),
)

# ---- counts


def _three(negative: int, positive: int, surprise: int, subjects: int) -> dict[str, int]:
    return {"negative": negative, "positive": positive, "surprise": surprise, "subjects": subjects}


def _casme2_5(disgust: int, surprise: int) -> dict[str, dict[str, int]]:
    rest = {"happiness": 32, "others": 99, "repression": 27, "subjects": 26}
    return {"casme2": {"disgust": disgust, "surprise": surprise} | rest}


_SMIC_HS = _three(70, 51, 43, 16)
_SMIC_VIS = _three(23, 28, 20, 8)  # the clips of NIR are the same

# ---- the cross-database benchmark

_CDMER_LABELS = {
    "smic-hs": labels.SMIC_3,
    "smic-vis": labels.SMIC_3,
    "smic-nir": labels.SMIC_3,
    "casme2": labels.CASME2_CDMER,
}
_CDMER_COUNTS = {
    "smic-hs": _SMIC_HS,
    "smic-vis": _SMIC_VIS,
    "smic-nir": _SMIC_VIS,
    "casme2": _three(73, 32, 25, 22),
}
_H, _V, _N, _C = _CDMER_LABELS
#: Source and target of the twelve tasks: 1 to 6 are within SMIC, 7 to 12 between SMIC and CASME II.
_CDMER_TASKS = (
    (_H, _V), (_V, _H), (_H, _N), (_N, _H), (_V, _N), (_N, _V),
    (_C, _H), (_H, _C), (_C, _V), (_V, _C), (_C, _N), (_N, _C),
)  # fmt: skip


def _cdmer(number: int, source: str, target: str) -> Preset:
    remarks = {
        "casme2": (Remark("casme2", "sub24/EP02_07", "negative", _ADD_IT),),
        "smic-hs": _smic_remarks("smic-hs"),
        "smic-vis": (Remark("smic-vis", "s18/s18_sur_03", "surprise", _SMIC_COLUMN),),
        "smic-nir": (Remark("smic-nir", "s18/s18_sur_03", "surprise", _SMIC_COLUMN),),
    }
    pair = (source, target)
    return Preset(
        title=f"Cross-database benchmark, task {number}: trained on all of {source}, tested on all of {target}",
        labels={role: _CDMER_LABELS[role] for role in pair},
        counts={role: _CDMER_COUNTS[role] for role in pair},
        folds="transfer",
        test=(target,),
        words=_2014 if "casme2" in pair else {},
        remarks=remarks[source] + remarks[target],
    )


# ---- all presets

PRESETS: dict[str, Preset] = {
    "megc2019": Preset(
        title="MEGC 2019 composite database evaluation: 442 clips, 68 subjects left out in turn",
        labels={"casme2": labels.CASME2_MEGC, "smic": labels.SMIC_3, "samm": labels.SAMM_3},
        counts={"casme2": _three(88, 32, 25, 24), "smic": _SMIC_HS, "samm": _three(92, 26, 15, 28)},
        without={"casme2": _MEGC_CASME2},
        words=_2014,
        remarks=_MEGC_REMARKS,
    ),
    **{f"cdmer-{n}": _cdmer(n, *pair) for n, pair in enumerate(_CDMER_TASKS, start=1)},
    "casme2-5-2019": Preset(
        title="CASME II, five classes, labels of 2019: 249 clips (EIDNet and MA2MI by their numbers of clips)",
        labels={"casme2": labels.CASME2_5},
        counts=_casme2_5(63, 28),
        words=_2019,
        without=_WITHOUT_ROW,
    ),
    "casme2-5-2014": Preset(
        title="CASME II, five classes, labels of 2014: 246 clips",
        labels={"casme2": labels.CASME2_5},
        counts=_casme2_5(63, 25),
        words=_2014,
        without=_WITHOUT_ROW,
    ),
    "casme2-5-dual-branch": Preset(
        title="CASME II, five classes, the dual-branch paper's own table: 246 clips, not those of 2014",
        labels={"casme2": labels.CASME2_5},
        counts=_casme2_5(63, 25),
        words=_2019,
        without=_DUAL_BRANCH,
    ),
    "casme2-5-benchmark": Preset(
        title="CASME II, five classes, the benchmark's list: 247 clips with sub24/EP02_07 (FR, Table 13)",
        labels={"casme2": labels.CASME2_5},
        counts=_casme2_5(64, 25),
        words=_2014,
        remarks=(Remark("casme2", "sub24/EP02_07", "disgust", _ADD_IT),),
    ),
    "casme2-4": Preset(
        title="CASME II, four classes: 256 clips with sub24/EP02_07 (FR, Table 12)",
        labels={"casme2": labels.CASME2_4},
        counts={"casme2": _three(73, 32, 25, 26) | {"others": 126}},
        words=_2014,
        remarks=(Remark("casme2", "sub24/EP02_07", "negative", _ADD_IT),),
    ),
    "casme2-3": Preset(
        title="CASME II, three classes, the dual-branch paper's own table: 147 clips",
        labels={"casme2": labels.CASME2_MEGC},
        counts={"casme2": _three(90, 32, 25, 24)},
        words=_2019,
        without=_DUAL_BRANCH,
    ),
    "casme2-7-2014": Preset(
        title="CASME II, all seven words, labels of 2014: 255 clips",
        labels={"casme2": labels.CASME2_7},
        counts={"casme2": _casme2_5(63, 25)["casme2"] | {"fear": 2, "sadness": 7}},
        words=_2014,
        without=_WITHOUT_ROW,
    ),
    "casme2-7-2019": Preset(
        title="CASME II, all seven words, labels of 2019: 255 clips",
        labels={"casme2": labels.CASME2_7},
        counts={"casme2": _casme2_5(63, 28)["casme2"] | {"fear": 2, "sadness": 4}},
        words=_2019,
        without=_WITHOUT_ROW,
    ),
    "samm-5": Preset(
        title="SAMM, five classes: 136 clips (MA2MI, dual-branch paper)",
        labels={"samm": labels.SAMM_5},
        counts={"samm": {"anger": 57, "contempt": 12, "happiness": 26, "others": 26, "surprise": 15, "subjects": 27}},
    ),
    "samm-4": Preset(
        title="SAMM, four classes: 159 clips (FR, Table 12, which prints 32 participants; 29 have clips)",
        labels={"samm": labels.SAMM_4},
        counts={"samm": _three(92, 26, 15, 29) | {"others": 26}},
    ),
    "samm-3": Preset(
        title="SAMM, three classes: 133 clips (dual-branch paper)",
        labels={"samm": labels.SAMM_3},
        counts={"samm": _three(92, 26, 15, 28)},
    ),
    "smic-hs-3": Preset(
        title="SMIC-HS, three classes: 164 clips (EIDNet, FR)",
        labels={"smic-hs": labels.SMIC_3},
        counts={"smic-hs": _SMIC_HS},
        remarks=_smic_remarks("smic-hs"),
    ),
    "mmew-6": Preset(
        title="MMEW, six classes: 234 clips, five folds of whole subjects (MA2MI)",
        labels={"mmew": labels.MMEW_6},
        counts={
            "mmew": {
                "anger": 8,
                "disgust": 72,
                "fear": 16,
                "happiness": 36,
                "sadness": 13,
                "surprise": 89,
                "subjects": 30,
            }
        },
        folds=5,
    ),
}


def find(name: object) -> Preset:
    """The preset of a name; for an unknown name, a ``ValueError`` that suggests the closest one."""
    if isinstance(name, str) and name in PRESETS:
        return PRESETS[name]
    near = difflib.get_close_matches(str(name), PRESETS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"preset: {name!r} is unknown{hint} Known: {', '.join(PRESETS)}")


def by_role(name: str, databases: object, roles: object = None) -> dict[str, Any]:
    """The database of each role of a preset.

    Parameters
    ----------
    name
        The preset.
    databases
        ``{role: database}``, or databases in the order of ``roles``, or the only database of a preset with one role.
    roles
        Roles in the order of the databases.

    Raises
    ------
    ValueError
        If a role has no database or a database has no role.
    """
    parts = PRESETS[name].roles
    names: dict[Any, Any] = {}
    if isinstance(databases, Mapping):
        names = dict(databases)
    elif isinstance(databases, list | tuple):
        order = roles if isinstance(roles, list | tuple) and roles else parts if len(parts) == 1 else ()
        if len(order) == len(databases):
            names = {str(part): database for part, database in zip(order, databases, strict=True)}
    if set(names) != set(parts):
        wanted = ", ".join(f"{part}: <database>" for part in parts)
        raise ValueError(f"databases: preset {name!r} needs {{{wanted}}}; found {databases!r}")
    return names

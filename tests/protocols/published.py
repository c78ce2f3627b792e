"""The published lists as clips, read from the annotation tables that the project may not ship."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from mer_features.core.clips import Clip
from mer_features.protocols import PRESETS
from mer_features.protocols.options import Protocol
from tests.shared import shared

#: What stands in the configuration for the database that plays a part.
MINE = {"casme2": "c2", "samm": "mine-samm", "smic": "hs", "smic-hs": "hs", "smic-vis": "vis", "smic-nir": "nir"} | {
    "mmew": "mmew"
}
TABLES = {
    2014: "casme2_coding_20140508.csv",
    2019: "casme2_coding_20190701.csv",
}


def lines(name: str) -> list[list[str]]:
    with shared("datasets", "annotations", name).open(newline="", encoding="utf-8") as handle:
        return [line for line in csv.reader(handle) if any(cell.strip() for cell in line)]


def rows(name: str) -> Iterator[dict[str, str]]:
    header, *rest = lines(name)
    return (dict(zip(header, line, strict=True)) for line in rest)


def clip(database: str, subject: str, name: str, emotion: str) -> Clip:
    return Clip(f"{subject}/{name}", database, subject, "unused", emotion=emotion.lower())


def casme2(year: int) -> list[Clip]:
    return [clip("c2", f"sub{row['Subject']}", row["Filename"], row["Estimated Emotion"]) for row in rows(TABLES[year])]


#: The clip that a sheet of 256 rows has and the public ones lack.
EP02_07 = clip("c2", "sub24", "EP02_07", "disgust")


def samm() -> list[Clip]:
    table = rows("samm_micro_facs_codes_v2.csv")
    return [clip("mine-samm", row["Subject"], row["Filename"], row["Estimated Emotion"]) for row in table]


def smic_hs() -> list[Clip]:
    emotions = {"ne": "negative", "po": "positive", "sur": "surprise"}
    found = []
    for subject, name, *_ in lines("smic_3class_xia.csv"):
        number, rest = f"s{int(subject[1:])}", name.split("_", 1)[1]
        found.append(clip("hs", number, f"{number}_{rest}", emotions[rest.split("_")[0]]))
    return found


def smic_camera(camera: str, *, by_column: bool = False) -> list[Clip]:
    emotions = {"ne": "negative", "po": "positive", "sur": "surprise"}
    return [
        clip(
            camera, f"s{row['Subject']}", row["Filename"],
            row["Emotion"] if by_column else emotions[row["Filename"].split("_")[1]],
        )
        for row in rows("smic_vis_e_annotation.csv")
    ]  # fmt: skip


def mmew() -> list[Clip]:
    table = rows("mmew_234_htnet.csv")
    return [clip("mmew", f"S{int(row['Subject']):02d}", row["Filename"], row["Estimated Emotion"]) for row in table]


def everything(year: int = 2014, *, with_ep02_07: bool = False) -> list[Clip]:
    extra = [EP02_07] if with_ep02_07 else []
    return [*casme2(year), *extra, *samm(), *smic_hs(), *smic_camera("vis"), *smic_camera("nir"), *mmew()]


def preset(name: str, *, accept_counts: bool = False) -> Protocol:
    databases = {role: MINE[role] for role in PRESETS[name].roles}
    tree = {"preset": name, "databases": databases, "accept_counts": accept_counts}
    return Protocol.model_validate(tree)

"""Small results of spotting: what was found in each recording, and what is annotated there."""

from __future__ import annotations

from mer_features.spotting import Event, Recording, Spot

#: Name -> recordings, each a pair of spots and events, intervals as ``onset-offset``.
CASES: dict[str, list[tuple[str, str]]] = {
    "equality": [("1-10", "1-20")],
    "10 of 19": [("10-19", "1-19")],
    "wide over two": [("1-20", "1-10 11-20")],
    "overlapping events": [("100-150", "100-140 105-150")],
    "double": [("10-20 11-21", "10-20")],
    "order": [("10-29 14-29", "10-25 15-30")],
    "without event": [("10-20", "10-20"), ("1-9 30-40 60-70", "")],
    "silent": [("10-20", "10-20"), ("", "5-15")],
    "poor then good": [("1-14 5-20", "6-20")],
    "one frame": [("5-5", "5-5")],
    "greedy": [("1-30 2-32", "1-30 1-40")],
}


def rows(recordings: list[tuple[str, str]], kind: str = "micro") -> tuple[list[Recording], list[Event], list[Spot]]:
    """One subject's recordings at 30 fps, their events and their spots."""
    films = [Recording(f"s1/{number}", "s1", first=1, last=1800, fps=30.0) for number in range(len(recordings))]
    events = [
        Event(film.recording_id, onset, offset, kind)
        for film, (_, annotated) in zip(films, recordings, strict=True)
        for onset, offset in intervals(annotated)
    ]
    spots = [
        Spot(film.recording_id, onset, offset, kind)
        for film, (found, _) in zip(films, recordings, strict=True)
        for onset, offset in intervals(found)
    ]
    return films, events, spots


def intervals(text: str) -> list[tuple[int, int]]:
    """Onset and offset of each ``onset-offset``."""
    return [(int(onset), int(offset)) for onset, offset in (item.split("-") for item in text.split())]

"""Whether the rendered recordings are hard for the right reasons: trivial detectors must fail, an oracle must not.

Every detector is scored against the sheet of events, micro- and macro-expressions pooled, as `mer-features score` does.
Most of them read the ground truth and need no pixels. With `--root`, the recordings are rendered there, and detectors
of frame differences and file sizes are added.

    python benchmarks/recordings.py [tiny-long|long] [--seed 0] [--root FOLDER]

Ends with status 1 if a detector is outside its bounds.
"""

import argparse
import itertools
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from scipy.ndimage import median_filter, uniform_filter1d
from scipy.signal import find_peaks

from mer_features import frames
from mer_features.spotting import Event, Recording, Spot, match, read_events, read_recordings
from mer_features.stages.signals.regions import MOUTH, REGIONS
from mer_features.synthetic.recordings import (
    Course,
    RecordingPlan,
    RecordingTruth,
    plan,
    recording_preset,
    sheets,
    write_recordings,
)

#: A micro-expression rises from 5 to 95 % of its peak in less than this, seconds.
RISE_S = 0.22
_MOUTH = [REGIONS.index(name) for name in MOUTH]


@dataclass(frozen=True)
class Film:
    """A recording with what detectors may read."""

    plan: RecordingPlan
    truth: RecordingTruth
    recording: Recording
    events: list[Event]
    frame_signal: np.ndarray | None = None  # mean absolute difference to the frame before
    size_signal: np.ndarray | None = None  # bytes of each image file

    def spot(self, first, last, kind, score=1.0):
        """The spot between two rows."""
        number = self.truth.number
        first, last = max(int(first), 0), min(int(last), len(number) - 1)
        return Spot(self.plan.recording_id, int(number[first]), int(number[last]), kind, score=float(score))

    def frames_of(self, seconds):
        """A duration in frames, at least one."""
        return max(1, round(seconds * self.plan.fps))


def load(preset, seed, root):
    """Films of a preset; with a root, also what can be read from their pixels."""
    settings = recording_preset(preset)
    plans = plan(preset, seed)
    with tempfile.TemporaryDirectory() as folder:
        for name, text in sheets(plans).items():
            Path(folder, name).write_text(text)
        recordings = read_recordings(Path(folder, "recordings.tsv"))
        events = read_events(Path(folder, "events.tsv"), recordings)[0].inside
    films = []
    for one, recording in zip(plans, recordings, strict=True):
        own = [event for event in events if event.recording_id == one.recording_id]
        film = Film(one, Course(one, settings).truth(), recording, own)
        films.append(with_pixels(film, root) if root else film)
    return films


def with_pixels(film, root):
    """Differences between frames and, of folders, the sizes of the files."""
    source = root / film.plan.source
    means, last = [0.0], None
    for frame in frames.open_frames(source):
        grey = cv2.resize(frame.image.mean(axis=2).astype(np.float32), (64, 64), interpolation=cv2.INTER_AREA)
        if last is not None:
            means.append(float(np.abs(grey - last).mean()))
        last = grey
    sizes = [path.stat().st_size for path in sorted(source.glob("*.jpg"))] if source.is_dir() else None
    return replace(film, frame_signal=np.array(means), size_signal=np.array(sizes, float) if sizes else None)


# Detectors: spots of one film.


def nothing(_):
    """No spot."""
    return []


def everything(film):
    """One interval per recording and kind."""
    return [film.spot(0, len(film.truth.number), kind) for kind in ("micro", "macro")]


def central(film):
    """One interval of typical length in the middle."""
    middle = len(film.truth.number) // 2
    return [film.spot(middle - half, middle + half, kind) for kind, half in halves(film).items()]


def halves(film):
    """Half of a typical length in frames, by kind: 0.3 and 1.4 s."""
    return {"micro": film.frames_of(0.15), "macro": film.frames_of(0.7)}


def tiles(kind, length_s, stride_s):
    """Intervals of one length at a fixed distance."""

    def spots(film):
        length, stride = film.frames_of(length_s), film.frames_of(stride_s)
        count = len(film.truth.number)
        return [film.spot(first, first + length - 1, kind) for first in range(0, count, stride)]

    return spots


def peaks(signal, share=0.55):
    """Spots at peaks above mean + share * (max - mean), with typical lengths, of a signal of each film."""

    def spots(film):
        values = signal(film)
        if values is None:
            return []
        found = []
        for kind, half in halves(film).items():
            smooth = uniform_filter1d(values, max(1, half))
            height = smooth.mean() + share * (smooth.max() - smooth.mean())
            found += [
                film.spot(peak - half, peak + half, kind)
                for peak in find_peaks(smooth, height=height, distance=max(1, half))[0]
            ]
        return found

    return spots


def change(film, half, positions):
    """Largest change of any region between frames k before and after, distances between the eyes."""
    index = np.arange(len(positions))
    before, after = np.clip(index - half, 0, None), np.clip(index + half, None, len(positions) - 1)
    return np.linalg.norm(positions[after] - positions[before], axis=2).max(axis=1) / film.truth.eye_px


def with_head(film):
    """Regions as seen without registration, frame pixels."""
    truth = film.truth
    places = truth.regions + truth.displacement_px + truth.yaw[:, None, None] * truth.parallax_px
    return np.einsum("tij,tkj->tki", truth.head[:, :, :2], places) + truth.head[:, None, :, 2]


def relative(positions, share=0.55):
    """The rule of MDMD, SOFTNet and MEAN: peaks of the change over k frames above mean + share * (max - mean)."""

    def spots(film):
        found = []
        for kind, half in halves(film).items():
            values = change(film, half, positions(film))
            smooth = uniform_filter1d(values, 2 * half)
            height = smooth.mean() + share * (smooth.max() - smooth.mean())
            at = find_peaks(smooth, height=height, distance=half)[0]
            found += [film.spot(peak - half, peak + half, kind, smooth[peak]) for peak in at]
        return found

    return spots


def absolute(positions, least):
    """Intervals in which a region is at least so far from its running median, by their duration micro or macro."""

    def spots(film):
        places = positions(film) / film.truth.eye_px
        step = max(1, round(film.plan.fps / 30))
        coarse = places[::step]
        middle = median_filter(coarse, size=(round(4 * film.plan.fps / step), 1, 1), mode="nearest")
        far = np.linalg.norm(coarse - middle, axis=2).max(axis=1) > least
        found = []
        for first, last in runs(far):
            seconds = (last - first + 1) * step / film.plan.fps
            if 0.08 < seconds < 5:
                found.append(film.spot(first * step, last * step, "micro" if seconds < 0.5 else "macro"))
        return found

    return spots


def runs(mask):
    """First and last position of each run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return list(zip(edges[::2], edges[1::2] - 1, strict=True))


def blinking(film):
    """Every blink is a micro-expression."""
    shut = film.truth.blink.max(axis=1) > 0.05
    return [film.spot(first, last, "micro") for first, last in runs(shut)]


def mouth_opening(film):
    """An open mouth is a macro-expression; openings less than 0.3 s apart are one."""
    lower, upper = REGIONS.index("lower_lip"), REGIONS.index("upper_lip")
    gap = (film.truth.displacement[:, lower, 1] - film.truth.displacement[:, upper, 1]) > 0.004
    joined = uniform_filter1d(gap.astype(float), film.frames_of(0.3)) > 0.05
    return [film.spot(first, last, "macro") for first, last in runs(joined)]


def at_true_apexes(film):
    """Intervals of typical length around the true apexes."""
    found = []
    for event in film.events:
        row = int(np.searchsorted(film.truth.number, event.apex))
        half = halves(film)[event.kind]
        found.append(film.spot(row - half, row + half, event.kind))
    return found


# The oracle: movements to and fro in the true displacement of the regions.


@dataclass(frozen=True)
class Stroke:
    """A movement in one direction, from row to row; ``vector`` (17, 2) is its displacement."""

    first: int
    last: int
    vector: np.ndarray


def strokes(film, places):
    """Movements in one direction: the speed is above a threshold, and the direction stays the same."""
    steps = np.diff(places, axis=0) / np.diff(film.truth.time_s)[:, None, None]
    speed = np.linalg.norm(steps, axis=2).max(axis=1)
    flat = steps.reshape(len(steps), -1)
    flat = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    turns = np.flatnonzero(np.sum(flat[1:] * flat[:-1], axis=1) < 0.3) + 1
    last = len(places) - 1
    found = [Stroke(0, 0, places[0]), Stroke(last, last, -places[-1])]  # movements that the film cuts off
    for first, end in runs(speed > 0.001):
        inner = turns[(turns > first) & (turns <= end)].tolist()
        bounds = sorted({first, *inner, *(first + pause for pause in pauses(speed[first : end + 1])), end + 1})
        found += [trimmed(places, begin, stop) for begin, stop in itertools.pairwise(bounds)]
    return sorted((one for one in found if size(one.vector) > 0.0008), key=lambda one: (one.first, one.last))


def pauses(speed):
    """Where a movement slows down before it becomes fast again: below half of both speeds."""
    padded = np.concatenate([[0.0], speed, [0.0]])
    fast, about = find_peaks(padded, prominence=0)
    fast = fast[about["prominences"] > 0.5 * padded[fast]] - 1
    return [int(one + speed[one:other].argmin()) for one, other in itertools.pairwise(fast)]


def trimmed(places, first, last):
    """The stroke between two rows, where it has between 5 and 95 % of its length."""
    part = (places[first : last + 1] - places[first]).reshape(last - first + 1, -1)
    along = part @ part[-1] / max(part[-1] @ part[-1], 1e-12)
    inner = np.flatnonzero((along >= 0.05) & (along <= 0.95))
    low, high = (inner[0], inner[-1]) if len(inner) else (0, last - first)
    return Stroke(first + low, first + high, places[last] - places[first])


def size(vector):
    """Largest displacement of a region."""
    return float(np.linalg.norm(vector, axis=-1).max())


def oracle(film):
    """Pairs of strokes that cancel: out and back. During speech, regions of the mouth are not used."""
    places = film.truth.displacement.astype(np.float64)
    upper = places.copy()
    upper[:, _MOUTH] = 0
    moves = strokes(film, places)
    speech = speaking(film, moves)
    moves = [one for one in moves if not speech[one.first : one.last + 1].any()]
    moves += [
        one for one in strokes(film, upper) if speech[one.first : one.last + 1].any() and size(one.vector) > 0.003
    ]
    moves.sort(key=lambda one: (one.first, one.last))
    found = []
    for i, j in cancelling(film, moves):
        first = moves[j] if moves[i].first == moves[i].last == 0 else moves[i]  # a cut rise is not known
        peak = size(moves[i].vector)
        kind = "micro" if (first.last - first.first + 1) / film.plan.fps < RISE_S else "macro"
        if kind == "micro" or peak > 0.004:
            found.append(film.spot(moves[i].first, moves[j].last, kind, peak))
    return found


def cancelling(film, moves):
    """Pairs of strokes whose displacements cancel, the best and nearest first."""
    pairs = []
    for i, j in itertools.combinations(range(len(moves)), 2):
        if moves[j].first - moves[i].last <= film.frames_of(5.5):
            out, back = moves[i].vector.copy(), moves[j].vector.copy()
            for one, other in ((out, back), (back, out)):
                if not one[_MOUTH].any():
                    other[_MOUTH] = 0
            error = np.linalg.norm(out + back) / max(np.linalg.norm(out), 1e-12)
            if error < 0.5:
                pairs.append((error + 0.02 * (j - i), i, j))
    used = set()
    for _, i, j in sorted(pairs):
        if not used & {i, j}:
            used |= {i, j}
            yield i, j


def by_mouth(stroke):
    """Whether nearly all of a movement is in the regions of the mouth."""
    energy = np.sum(stroke.vector**2, axis=1)
    return energy[_MOUTH].sum() > 0.8 * energy.sum()


def speaking(film, moves):
    """Whether the mouth moves to and fro all the time: at least five strokes within 1.2 s."""
    count = np.zeros(len(film.truth.number))
    for stroke in moves:
        if by_mouth(stroke):
            count[(stroke.first + stroke.last) // 2] += 1
    window = film.frames_of(1.2)
    dense = uniform_filter1d(count, window) * window >= 4.5
    return uniform_filter1d(dense.astype(float), max(1, round(0.5 * window))) > 0.01


# Scores.


def f1(films, detector, kind=None):
    """F1 of all films, pooled over kinds or of one."""
    events = [event for film in films for event in film.events]
    spots = [spot for film in films for spot in detector(film)]
    matching = match(events, spots)
    return (matching.of_kind(kind) if kind else matching).counts


def best_tiling(films):
    """The best F1 over lengths and strides, of each kind and pooled."""
    lengths = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
    best = {
        kind: max(
            ((f1(films, tiles(kind, length, stride * length), kind).f1, length, stride * length)
             for length in lengths for stride in (0.5, 0.75, 1.0, 1.5, 2.0, 3.0)),
        )
        for kind in ("micro", "macro")
    }  # fmt: skip
    both = [tiles(kind, length, stride) for kind, (_, length, stride) in best.items()]
    choices = [*((one,) for one in both), tuple(both)]
    pooled = [f1(films, lambda film, some=some: [s for one in some for s in one(film)]).f1 for some in choices]
    return max(pooled), best


def kind_accuracy(films, values, cut=None):
    """Share of events whose kind follows from a threshold on one value, by default the best one."""
    events = [
        (value, event.kind == "macro") for film in films for value, event in zip(values(film), film.events, strict=True)
    ]
    cuts = [cut] if cut else [value for value, _ in events]
    return max(np.mean([(value >= cut) == macro for value, macro in events]) for cut in cuts)


def amplitudes(film):
    """Largest displacement of a region by each event."""
    return [size(vector) for vector in film.truth.event_px / film.truth.eye_px]


def durations(film):
    """Duration of each event in seconds."""
    return [event.frames / film.plan.fps for event in film.events]


def table(films):
    """Rows of name, value, lower and upper bound, remark."""
    quiet = [film for film in films if not film.events]
    tiling, best = best_tiling(films)
    rule = relative(lambda film: film.truth.displacement_px)
    silent = sum(not rule(film) for film in quiet)
    apexes = {kind: f1(films, at_true_apexes, kind).recall for kind in ("micro", "macro")}
    solved = {kind: f1(films, oracle, kind) for kind in ("micro", "macro", None)}
    unregistered = max(
        (f1(films, detector).f1, name)
        for name, detector in (
            *((f"relative {share}", relative(with_head, share)) for share in (0.2, 0.35, 0.55)),
            *((f"absolute {least}", absolute(with_head, least)) for least in (0.01, 0.02, 0.04)),
        )
    )
    # The best of many tilings is high by chance where there are few events.
    few = sum(len(film.events) for film in films) < 40
    rows = [
        ("nothing", f1(films, nothing).f1, 0, 0, ""),
        ("everything", f1(films, everything).f1, 0, 0.05, ""),
        (
            "best blind tiling",
            tiling,
            0,
            0.20 if few else 0.10,
            f"micro {best['micro'][0]:.3f}, macro {best['macro'][0]:.3f}",
        ),
        ("central interval", f1(films, central).f1, 0, 0.10, ""),
        ("region motion without registration", unregistered[0], 0, 0.15, unregistered[1]),
        ("blinks as micro-expressions", f1(films, blinking, "micro").f1, 0, 0.05, "micro"),
        ("mouth opening as macro-expressions", f1(films, mouth_opening, "macro").f1, 0, 0.25, "macro"),
        ("relative threshold on true signals", f1(films, rule).f1, 0, 0.5, ""),
        ("  event-less recordings without false spot", silent, 0, 0, f"of {len(quiet)}"),
        ("fixed length at true apexes, micro recall", apexes["micro"], 0.5, 1, ""),
        ("fixed length at true apexes, macro recall", apexes["macro"], 0, 0.6, ""),
        ("kind by amplitude alone, accuracy", kind_accuracy(films, amplitudes), 0, 0.8, ""),
        ("kind by duration alone (0.5 s), accuracy", kind_accuracy(films, durations, 0.5), 0, 0.9, ""),
        ("oracle on true region displacement", solved[None].f1, 0.9, 1, counts_by_kind(solved)),
    ]
    if films[0].frame_signal is not None:
        rows.append(("global frame difference", f1(films, peaks(lambda film: film.frame_signal)).f1, 0, 0.10, ""))
        rows.append(("size of the image files", f1(films, peaks(lambda film: film.size_signal)).f1, 0, 0.10, ""))
    return rows


def counts_by_kind(solved):
    """Hits, false spots and missed events as text."""
    return ", ".join(f"{kind} {c.tp}-{c.fp}-{c.fn}" for kind, c in solved.items() if kind)


def main():
    """Print the table of one preset."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset", nargs="?", default="tiny-long")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--root", type=Path)
    arguments = parser.parse_args()
    if arguments.root:
        write_recordings(arguments.root, arguments.preset, arguments.seed)
    films = load(arguments.preset, arguments.seed, arguments.root)
    failed = False
    print(f"{arguments.preset}, seed {arguments.seed}: {sum(len(film.events) for film in films)} events")
    for name, value, low, high, remark in table(films):
        wrong = not (low <= value <= high or np.isnan(value))
        failed |= wrong
        print(f"{name:45s} {value:6.3f}  {low:4.2f}..{high:4.2f}  {'MISSED ' if wrong else ''}{remark}")
    sys.exit(failed)


if __name__ == "__main__":
    main()

"""Plan of a database: subjects, emotions, action units and timing of all clips, before rendering."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mer_features.synthetic import emotions
from mer_features.synthetic.action_units import Action
from mer_features.synthetic.presets import CLASSES, Preset, stream
from mer_features.synthetic.presets import preset as named_preset


@dataclass(frozen=True)
class ClipPlan:
    """Plan of one clip; frame numbers are those of the files."""

    preset: str
    seed: int
    subject: str
    name: str
    emotion: str
    actions: tuple[Action, ...]
    frames: int
    apex_index: int
    onset: int

    @property
    def clip_id(self) -> str:
        """Subject and name; unique in the database."""
        return f"{self.subject}/{self.name}"

    @property
    def apex(self) -> int:
        """Frame number of the apex."""
        return self.onset + self.apex_index

    @property
    def offset(self) -> int:
        """Frame number of the last frame."""
        return self.onset + self.frames - 1

    def stream(self, purpose: str) -> np.random.Generator:
        """Random generator of this clip for one purpose."""
        return stream(self.preset, self.seed, self.clip_id, purpose)


def plan(preset: str | Preset, seed: int) -> list[ClipPlan]:
    """Plans of all clips of a preset, in the order of subjects and names.

    The totals of the emotions are exact. Each subject's share of a class is as close as possible to the share in the
    whole database, so that the subject gives no information about the emotion.
    """
    settings = named_preset(preset) if isinstance(preset, str) else preset
    words = _emotions_by_subject(settings, seed)
    return [
        _clip(settings, seed, subject, index, word)
        for subject in settings.subjects
        for index, word in enumerate(words[subject])
    ]


def _emotions_by_subject(settings: Preset, seed: int) -> dict[str, list[str]]:
    random = stream(settings.name, seed, "emotions")
    pools = {
        name: [word for word in words for _ in range(settings.emotions.get(word, 0))] for name, words in CLASSES.items()
    }
    for pool in pools.values():
        random.shuffle(pool)
    # Subjects with many clips come first, equal ones in random order, so that leftovers are spread over subjects.
    order = sorted(random.permutation(len(settings.clips)), key=lambda index: -settings.clips[index])
    chosen: dict[str, list[str]] = {}
    for index in order:
        counts = _shares({name: len(pool) for name, pool in pools.items()}, settings.clips[index], random)
        words = [pools[name].pop() for name, count in counts.items() for _ in range(count)]
        random.shuffle(words)
        chosen[settings.subjects[index]] = words
    return chosen


def _shares(left: dict[str, int], clips: int, random: np.random.Generator) -> dict[str, int]:
    """Clips of each class for one subject, proportional to the remaining clips (largest remainder method)."""
    total = sum(left.values())
    exact = {name: clips * count / total for name, count in left.items()}
    shares = {name: int(value) for name, value in exact.items()}
    ties = {name: random.uniform() for name in left}
    by_remainder = sorted(left, key=lambda name: (shares[name] - exact[name], ties[name]))
    for name in by_remainder[: clips - sum(shares.values())]:
        shares[name] += 1
    return shares


def _clip(settings: Preset, seed: int, subject: str, index: int, emotion: str) -> ClipPlan:
    name = f"EP{index // 9 + 1:02d}_{index % 9 + 1:02d}"
    random = stream(settings.name, seed, f"{subject}/{name}", "plan")
    frames = int(random.integers(settings.frames[0], settings.frames[1] + 1))
    return ClipPlan(
        preset=settings.name,
        seed=seed,
        subject=subject,
        name=name,
        emotion=emotion,
        actions=emotions.draw(emotion, settings.intensity_px, settings.nuisance.distractor_rate, random),
        frames=frames,
        apex_index=int(np.clip(round(random.uniform(0.3, 0.6) * (frames - 1)), 2, frames - 3)),
        onset=int(random.integers(1, 2000)),
    )

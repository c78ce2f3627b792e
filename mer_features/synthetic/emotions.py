"""Action units of each emotion: prototypes with the variation of real annotation sheets.

The prototypes follow EMFACS (Ekman and Friesen) and the action units in published micro-expression sheets.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mer_features.synthetic.action_units import MEDIAL, UNITS, Action


@dataclass(frozen=True)
class Prototype:
    """``cores``: one of them is drawn; ``options``: units with their probability; ``one_sided``: its probability."""

    cores: tuple[tuple[int, ...], ...]
    options: tuple[tuple[int, float], ...] = ()
    one_sided: float = 0.1


PROTOTYPES: dict[str, Prototype] = {
    "happiness": Prototype(((12,), (6, 12), (6, 12)), ((25, 0.15), (7, 0.1), (14, 0.1)), 0.2),
    "surprise": Prototype(((1, 2), (1, 2), (1, 2, 5), (2, 5), (1,), (2,), (5, 25)), ((25, 0.3), (5, 0.1))),
    "disgust": Prototype(((9,), (4, 9), (10,), (4, 10), (4, 7), (6, 9)), ((17, 0.15), (7, 0.15)), 0.2),
    "repression": Prototype(((15,), (17,), (15, 17), (14, 17), (24,), (17, 23), (12, 17), (12, 24)), ((14, 0.1),)),
    "anger": Prototype(((4, 7), (4, 5), (4, 23), (4, 7, 23), (7, 24), (4,)), ((17, 0.15),)),
    "contempt": Prototype(((14,), (12,), (12, 14), (10, 14)), (), 0.8),
    "fear": Prototype(((1, 2, 4), (1, 4, 5), (1, 4, 20), (20,), (1, 2, 20)), ((25, 0.2), (7, 0.15)), 0.05),
    "sadness": Prototype(((1,), (1, 4), (15,), (1, 4, 15), (4, 15)), ((17, 0.2), (7, 0.1)), 0.05),
    "others": Prototype(((4,), (7,), (4, 14), (2, 14), (2, 17), (9, 12), (1, 15), (4, 25)), ((24, 0.2),), 0.15),
}


def draw(
    emotion: str, intensity_px: tuple[float, float], distractor_rate: float, random: np.random.Generator
) -> tuple[Action, ...]:
    """Draw the action units of one clip, in ascending order.

    The main peak is log-uniform over ``intensity_px``. Further units have 50 to 100 % of it. The two sides of a face
    differ by up to a fifth.
    """
    prototype = PROTOTYPES[emotion]
    units = set(prototype.cores[random.integers(len(prototype.cores))])
    units |= {unit for unit, chance in prototype.options if random.uniform() < chance}
    main = float(np.exp(random.uniform(*np.log(intensity_px))))
    one_sided = random.uniform() < prototype.one_sided
    left = random.uniform() < 0.5
    actions = []
    for unit in sorted(units):
        peak = main * random.uniform(0.5, 1.0)
        actions.append(_sided(unit, peak, one_sided, left, random))
    strongest = max(action.peak_px for action in actions)
    actions = [_scaled(action, main / strongest) for action in actions]
    if random.uniform() < distractor_rate:
        unit = int(random.choice(sorted(set(UNITS) - units)))
        actions.append(_sided(unit, main * random.uniform(0.3, 0.7), False, left, random))
    return tuple(sorted(actions, key=lambda action: action.unit))


def rest(peak_px: float, random: np.random.Generator) -> tuple[Action, ...]:
    """Draw the resting expression of a clip: two weak units that do not depend on the emotion."""
    units = random.choice(sorted(UNITS), size=2, replace=False)
    return tuple(_sided(int(unit), peak_px * random.uniform(0.1, 1.0), False, False, random) for unit in units)


def text(actions: tuple[Action, ...]) -> str:
    """Action units in the notation of annotation sheets, e.g. "1+2+L12"."""
    return "+".join(action.text for action in actions)


def _sided(unit: int, peak: float, one_sided: bool, left: bool, random: np.random.Generator) -> Action:
    weaker = peak * random.uniform(0.8, 1.0)
    if unit in MEDIAL:
        return Action(unit, peak, peak)
    if one_sided:
        return Action(unit, peak, 0.0) if left else Action(unit, 0.0, peak)
    return Action(unit, peak, weaker) if random.uniform() < 0.5 else Action(unit, weaker, peak)


def _scaled(action: Action, factor: float) -> Action:
    return Action(action.unit, action.left_px * factor, action.right_px * factor)

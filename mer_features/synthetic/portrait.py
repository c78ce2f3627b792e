"""The photograph from which all virtual subjects are made, with masks of the regions that can be recoloured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from skimage import data

from mer_features.synthetic import portrait_parts
from mer_features.synthetic.resample import polygon_mask


@dataclass(frozen=True)
class Portrait:
    """Photograph and soft masks, all (H, W), H = W = 512; ``image`` (H, W, 3) float32 R, G, B in 0..1.

    The flag and the model rocket of the original are replaced by backdrop, and the teeth by a dark line, so that the
    mouth can be closed (:data:`portrait_parts.RELAXED_MOUTH`).
    """

    image: np.ndarray
    hair: np.ndarray
    skin: np.ndarray
    eyes: np.ndarray
    brows: np.ndarray
    lips: np.ndarray
    suit: np.ndarray
    backdrop: np.ndarray


@lru_cache(maxsize=1)
def load() -> Portrait:
    """Load the portrait: NASA photograph of Eileen Collins, public domain, part of scikit-image."""
    image = data.astronaut().astype(np.float32) / 255
    shape = image.shape[:2]
    hair, skin, suit = (
        polygon_mask(np.array(points), shape, feather)
        for points, feather in ((portrait_parts.HAIR, 2.0), (portrait_parts.SKIN, 1.2), (portrait_parts.SUIT, 1.0))
    )
    person = np.clip(hair + skin + suit, 0, 1)
    image = _clear_backdrop(image, person)
    image = _fill_mouth(image)
    return Portrait(
        image=image,
        hair=hair * (1 - skin),
        skin=skin,
        eyes=_eyes(shape),
        brows=_brows(shape),
        lips=polygon_mask(landmarks()[48:60], shape, 1.0),
        suit=suit * (1 - skin),
        backdrop=1 - person,
    )


def _clear_backdrop(image: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Replace the area behind the person by smooth backdrop, but keep the photograph close to the person."""
    near = cv2.GaussianBlur(cv2.dilate(person, np.ones((19, 19))), (0, 0), 4)
    known = cv2.erode((person < 0.01).astype(np.float32), np.ones((7, 7)))
    left, right, bottom = portrait_parts.BACKDROP
    known[:, :left] = known[:, right:] = known[bottom:] = 0
    smooth = _spread(image, known)
    left_edge = np.clip((np.arange(image.shape[1], dtype=np.float32) - left) / 25, 0, 1)
    near = person + left_edge * (near - person)  # the flag touches the suit
    return image * near[..., None] + smooth * (1 - near[..., None])


def _spread(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Blur the known part of an image and extend it over the rest; computed at an eighth of the size."""
    size = (image.shape[1] // 8, image.shape[0] // 8)
    colours = cv2.resize(image * known[..., None], size, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    blurred, total = np.zeros_like(colours), np.zeros_like(weight)
    for sigma, share in ((4, 1.0), (16, 1e-3)):  # the wide kernel only matters where the narrow one is zero
        blurred += share * cv2.GaussianBlur(colours, (0, 0), sigma)
        total += share * cv2.GaussianBlur(weight, (0, 0), sigma)
    return cv2.resize(blurred / total[..., None], image.shape[1::-1], interpolation=cv2.INTER_CUBIC)


def _fill_mouth(image: np.ndarray) -> np.ndarray:
    mask = polygon_mask(np.array(portrait_parts.MOUTH_OPENING), image.shape[:2], 0.4)[..., None]
    slit = np.array([0.4, 0.19, 0.17], np.float32)  # the colour between closed lips
    image = image * (1 - mask) + slit * mask
    gleam = polygon_mask(np.array(portrait_parts.LIP_GLEAM), image.shape[:2], 1.0)[..., None]
    lip = np.array([0.86, 0.6, 0.6], np.float32)
    return image * (1 - gleam) + lip * gleam


def _eyes(shape: tuple[int, int]) -> np.ndarray:
    points = landmarks()
    return np.maximum(polygon_mask(points[36:42], shape, 1.0), polygon_mask(points[42:48], shape, 1.0))


def landmarks() -> np.ndarray:
    """The 68 landmarks of the photograph, (68, 2) float64."""
    return np.array(portrait_parts.LANDMARKS)


def closed_landmarks() -> np.ndarray:
    """The landmarks after the lips are closed (:func:`portrait_parts.closed`), before the smile is relaxed."""
    points = landmarks()
    points[48:] = portrait_parts.closed(points[48:])
    return points


def relaxed_landmarks() -> np.ndarray:
    """The landmarks of the face at rest."""
    points = landmarks()
    points[48:] = portrait_parts.RELAXED_MOUTH
    return points


def _brows(shape: tuple[int, int]) -> np.ndarray:
    """Mask of both brows, thick at the inner ends and thin at the outer ends."""
    points = landmarks()
    thickness = np.array([0.6, 1.3, 1.8, 2.1, 1.9])
    masks = []
    for brow, half in ((points[17:22], thickness), (points[22:27], thickness[::-1])):
        edges = np.vstack([brow - half[:, None] * [0, 1], (brow + half[:, None] * [0, 1])[::-1]])
        masks.append(polygon_mask(edges + np.array([0.0, 1.0]), shape, 1.1))
    return np.maximum(*masks)

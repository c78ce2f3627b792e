"""Colours, lighting and skin texture of a subject."""

from __future__ import annotations

import cv2
import numpy as np

from mer_features.core.grey import LUMA
from mer_features.synthetic import portrait
from mer_features.synthetic.identities import Identity


def recolour(person: Identity) -> np.ndarray:
    """The photograph in the colours of the subject; (512, 512, 3), float32, 0..1."""
    parts = portrait.load()
    grey = parts.image @ LUMA
    hair = _tint(person.hair) * ((grey / 0.36) ** 0.75)[..., None]
    out = _blend(parts.image, parts.hair, hair)
    out = _blend(out, parts.suit * _saturation(parts.image), _tint(person.suit) * (grey / 0.5)[..., None])
    out = _blend(out, parts.backdrop, parts.image * _tint(person.backdrop))
    return _blend(out, parts.skin * (1 - 0.75 * parts.eyes), _skin(person, _features(person, parts)))


def _skin(person: Identity, image: np.ndarray) -> np.ndarray:
    dark, red = person.skin, person.ruddiness
    gain = _tint((1.02 - 0.34 * dark, 1.0 - 0.42 * dark, 1.0 - 0.5 * dark)) * _tint(
        (1 + 0.05 * red, 1.0, 1 - 0.04 * red)
    )
    return np.clip(image, 0, 1) ** np.float32(1 + 0.35 * dark) * gain


def _features(person: Identity, parts: portrait.Portrait) -> np.ndarray:
    """The photograph with the brows and lips of the subject, before the skin tone is changed."""
    around = cv2.GaussianBlur(parts.image, (0, 0), 6)  # the surrounding skin, which replaces the brows
    brows = parts.image * np.float32(0.4) if person.brow_tone > 0 else 1.05 * around
    out = _blend(parts.image, parts.brows * abs(person.brow_tone), brows)
    tone = person.lip_tone
    lips = _tint((0.8, 0.5, 0.52)) if tone > 0 else _tint((1.0, 1.12, 1.1))
    return _blend(out, parts.lips * abs(tone), out * lips)


def _tint(colour: tuple[float, float, float]) -> np.ndarray:
    return np.array(colour, np.float32)


def _blend(base: np.ndarray, mask: np.ndarray, other: np.ndarray) -> np.ndarray:
    return base + mask[..., None] * (other - base)


def _saturation(image: np.ndarray) -> np.ndarray:
    """Saturation (H, W) float32: 1 for strong colours such as the orange of the suit, 0 for grey."""
    spread = image.max(axis=2) - image.min(axis=2)
    return np.clip((spread - 0.2) / 0.2, 0, 1)


def shading(person: Identity, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Shading of an ellipsoid head under the subject's lighting at photograph positions, about 1; float32."""
    across, down = (x - 225) / 75, (y - 115) / 95
    reach = np.exp(-0.5 * (across**2 + down**2) ** 2)
    angle = np.deg2rad(person.light_degrees)
    towards = across * np.cos(angle) - down * np.sin(angle)
    return (1 + 0.42 * (0.3 + 0.7 * person.light) * towards * reach).astype(np.float32)


def skin_detail(
    person: Identity, skin: np.ndarray, pores: float, face_px: float, random: np.random.Generator
) -> np.ndarray:
    """Draw band-limited pores and moles, which move with the skin.

    Parameters
    ----------
    skin : ndarray, shape (h, w), float32
        1 on skin; the texture is drawn on this grid.
    pores : float
        Root mean square of the pores, grey levels.
    face_px : float
        Height of the face, pixels; it determines the size of moles.

    Returns
    -------
    ndarray, shape (h, w), float32
        Texture to be added, grey levels.
    """
    detail = np.zeros(skin.shape, np.float32)
    for sigma in (1.0, 2.2):
        noise = cv2.GaussianBlur(random.standard_normal(skin.shape, dtype=np.float32), (0, 0), sigma)
        detail += np.float32(0.7 * 2 * np.sqrt(np.pi) * sigma) * noise  # each band has an rms of 0.7
    detail *= np.float32(pores * (0.7 + 0.6 * person.pores))
    inside = np.argwhere(skin > 0.95)
    for row, column in inside[random.integers(len(inside), size=person.moles)]:
        _add_mole(detail, row, column, face_px * random.uniform(0.006, 0.012), random.uniform(15, 40))
    return detail * skin


def _add_mole(detail: np.ndarray, row: int, column: int, sigma: float, depth: float) -> None:
    y = np.arange(detail.shape[0], dtype=np.float32)[:, None] - row
    x = np.arange(detail.shape[1], dtype=np.float32)[None] - column
    detail -= np.float32(depth) * np.exp(-0.5 * (y / sigma) ** 2) * np.exp(-0.5 * (x / sigma) ** 2)

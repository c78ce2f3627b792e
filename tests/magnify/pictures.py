"""Pictures whose motion is known in closed form."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from skimage import data


def texture(size: int = 160, sigma: float = 2.0, seed: int = 0) -> np.ndarray:
    """Smooth random texture of 40..200 grey levels, (size, size) float64."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), sigma)
    return 40 + 160 * (field - field.min()) / np.ptp(field)


def face(size: int = 128) -> np.ndarray:
    """The portrait's face in colour, (size, size, 3) float64."""
    return data.astronaut()[20 : 20 + size, 145 : 145 + size].astype(float)


def shifted(image: np.ndarray, right: float, down: float) -> np.ndarray:
    """The image moved to the right and down, by quintic splines."""
    return ndimage.shift(image, (down, right, *[0] * (image.ndim - 2)), order=5, mode="mirror")


def bump(size: int, peak: tuple[float, float], sigma: float = 20.0) -> np.ndarray:
    """A displacement field (2, size, size) with its peak (right, down) in the middle."""
    y, x = np.mgrid[:size, :size] - size / 2
    return np.array(peak)[:, None, None] * np.exp(-(x**2 + y**2) / (2 * sigma**2))


def moved(image: np.ndarray, field: np.ndarray) -> np.ndarray:
    """What is at x goes to x + field(x); quintic splines at positions found by fixed-point iteration."""
    at = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    origin = at.copy()
    for _ in range(30):
        found = [cv2.remap(plane.astype(np.float32), origin[1], origin[0], cv2.INTER_LINEAR) for plane in field[::-1]]
        origin = at - np.stack(found)
    planes = np.moveaxis(image.reshape(*image.shape[:2], -1), 2, 0)
    out = [ndimage.map_coordinates(plane, origin, order=5, mode="mirror") for plane in planes]
    return np.stack(out, axis=-1).reshape(image.shape)


def grating(size: int, wavelength: float, shift: float, degrees: float = 0.0) -> np.ndarray:
    """A sinusoidal grating of amplitude 60 whose waves run along ``degrees`` and are moved on by ``shift``."""
    y, x = np.mgrid[:size, :size]
    angle = np.deg2rad(degrees)
    return 128 + 60 * np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle) - shift) / wavelength)


def grating_shift(image: np.ndarray, wavelength: float, degrees: float = 0.0) -> float:
    """Shift of a grating along ``degrees`` by the phase of its Fourier coefficient, in (-λ/2, λ/2]."""
    size = image.shape[0]
    y, x = np.mgrid[:size, :size]
    angle = np.deg2rad(degrees)
    window = np.outer(np.hanning(size), np.hanning(size))
    wave = np.exp(-2j * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / wavelength)
    coefficient = ((image - 128.0) * window * wave).sum()
    return float(-np.angle(coefficient * 1j) * wavelength / (2 * np.pi))


def registered(reference: np.ndarray, image: np.ndarray, margin: int = 24) -> np.ndarray:
    """Shift (right, down) that brings the reference onto the image: least squares on grey levels, Gauss-Newton."""
    first, second = (item if item.ndim == 2 else item.mean(axis=2) for item in (reference, image))
    inner = np.s_[margin:-margin, margin:-margin]
    found = np.zeros(2)
    for _ in range(6):
        now = shifted(first.astype(float), *found)
        slope = np.stack(np.gradient(now)[::-1])[:, *inner].reshape(2, -1)
        found = found - np.linalg.lstsq(slope.T, (second - now)[inner].ravel())[0]
    return found


def stored(image: np.ndarray, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """As a camera stores it, uint8."""
    random = np.random.default_rng(seed)
    return np.clip(np.rint(image + noise * random.standard_normal(image.shape)), 0, 255).astype(np.uint8)

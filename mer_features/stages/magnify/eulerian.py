"""Linear Eulerian magnification: the baseline, which amplifies changes of brightness in each band.

Wu, Rubinstein, Shih, Guttag, Durand and Freeman 2012, "Eulerian video magnification for revealing subtle changes in
the world". A displacement changes the brightness by slope times displacement. Amplified changes of brightness therefore
look like amplified motion, as long as the displacement is small compared with the wavelength. Changes of lighting and
noise are amplified as well, in contrast to the phase-based methods.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mer_features.stages.magnify.image import to_uint8
from mer_features.stages.magnify.pyramid import collapse, laplacian

#: Wavelength at which the finest band of a Laplacian pyramid is strongest; it doubles with each coarser band.
_WAVELENGTH_PX = 4.0


class Linear:
    """Amplifies the change of every band of a Laplacian pyramid, in all channels.

    Parameters
    ----------
    motion_px
        Largest expected displacement δ, in pixels. The total factor of a band of wavelength λ is limited to λ / (8 δ)
        (the bound ``(1 + α) δ < λ / 8`` of the paper), but never below 1 (no amplification).
    """

    def __init__(self, motion_px: float = 1.0) -> None:
        self._motion_px = motion_px

    def analyse(self, image: np.ndarray) -> list[np.ndarray]:
        """Bands and low-pass residue of a frame (H, W), (H, W, 1) or (H, W, 3), uint8."""
        bands, residue = laplacian(image.astype(np.float32))
        return [*bands, residue]

    def changes(self, reference: Sequence[np.ndarray], moved: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Change of every band and of the residue, in grey levels."""
        return tuple(second - first for first, second in zip(reference, moved, strict=True))

    def render(self, moved: np.ndarray, changes: Sequence[np.ndarray], factor: float) -> np.ndarray:
        """The moved frame plus (m - 1) times its change, with m limited in fine bands; shape and dtype of ``moved``."""
        added = [np.float32(self.limited(factor, band) - 1) * change for band, change in enumerate(changes[:-1])]
        return to_uint8(moved + collapse(added, np.float32(factor - 1) * changes[-1]))

    def limited(self, factor: float, band: int) -> float:
        """The factor of one band; band 0 is the finest."""
        bound = _WAVELENGTH_PX * 2**band / (8 * self._motion_px)
        result: float = min(factor, max(bound, 1.0))
        return result

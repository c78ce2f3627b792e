"""Linear Eulerian magnification: the baseline that amplifies changes of brightness band by band.

Wu, Rubinstein, Shih, Guttag, Durand and Freeman 2012, "Eulerian video magnification for revealing subtle changes in
the world". What moves changes brightness by slope times displacement, so amplified change looks like amplified
motion while the displacement stays small against the wavelength; a change of lighting and noise are amplified as
well, which phases leave alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mer_features.stages.magnify.image import to_uint8
from mer_features.stages.magnify.pyramid import collapse, laplacian

#: Wavelength at which a Laplacian pyramid's finest band is strongest; at each next one it is twice that.
_WAVELENGTH_PX = 4.0


class Linear:
    """Amplifies the change of every band of a Laplacian pyramid, all channels alike.

    Parameters
    ----------
    motion_px
        Largest displacement δ expected, pixels. A band of wavelength λ is amplified by at most λ / (8 δ) in all (the
        bound ``(1 + α) δ < λ / 8`` of the paper), but never less than not at all.
    """

    def __init__(self, motion_px: float = 1.0) -> None:
        self._motion_px = motion_px

    def analyse(self, image: np.ndarray) -> list[np.ndarray]:
        """Bands and residue of a frame (H, W), (H, W, 1) or (H, W, 3), uint8."""
        bands, residue = laplacian(image.astype(np.float32))
        return [*bands, residue]

    def changes(self, reference: Sequence[np.ndarray], moved: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Change of every band and of the residue, grey levels."""
        return tuple(second - first for first, second in zip(reference, moved, strict=True))

    def render(self, moved: np.ndarray, changes: Sequence[np.ndarray], factor: float) -> np.ndarray:
        """The moved frame plus (m - 1) times its change, m limited on fine bands; shape and dtype as ``moved``."""
        added = [np.float32(self.limited(factor, band) - 1) * change for band, change in enumerate(changes[:-1])]
        return to_uint8(moved + collapse(added, np.float32(factor - 1) * changes[-1]))

    def limited(self, factor: float, band: int) -> float:
        """The factor of one band, 0 being the finest."""
        bound = _WAVELENGTH_PX * 2**band / (8 * self._motion_px)
        result: float = min(factor, max(bound, 1.0))
        return result

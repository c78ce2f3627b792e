"""The TV-L1 of :mod:`mer_features.tvl1` in PyTorch, for batches on a GPU.

It does the same iterations and stops each pair by the same rule, so it agrees with the numba kernels but for rounding:
1e-5 px on average. On a CPU it is many times slower than they are. No stage uses it: the pipeline's features must not
depend on whether there is a GPU, and need no PyTorch.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from mer_features.tvl1.comparators import MEDIAN_OF_SORTED_COLUMNS, MEDIAN_WIRE, SORT_5
from mer_features.tvl1.parameters import FAR, PRESETS, Parameters


def estimate_batch(
    references: np.ndarray | torch.Tensor,
    moveds: np.ndarray | torch.Tensor,
    parameters: Parameters = PRESETS["tvl1_fast"],
    *,
    device: str | torch.device = "cpu",
) -> torch.Tensor:
    """Flow of many pairs of one size.

    Parameters
    ----------
    references, moveds : ndarray or tensor, shape (N, H, W)
        Grey levels 0..255, any real type; sides of at least 16 pixels.
    parameters
        The solver's, see :mod:`mer_features.tvl1`.
    device
        Where to compute, e.g. ``"cuda"``.

    Returns
    -------
    tensor, shape (N, 2, H, W), float32, on ``device``
        u (right) and v (down) in pixels with ``moved(x + flow(x)) = reference(x)``.

    Raises
    ------
    ValueError
        For other shapes.
    """
    images = torch.stack([torch.as_tensor(part).to(device, torch.float32) for part in (references, moveds)], dim=1)
    if images.ndim != 4 or min(images.shape[2:]) < 16:
        raise ValueError(f"found shape {tuple(images.shape[:1] + images.shape[2:])}, expected (N, H, W), sides >= 16")
    with torch.inference_mode():
        sizes = parameters.sizes(images.shape[2:])
        levels = [images]
        for size in sizes[1:]:
            levels.append(_resized(levels[-1], size, (1 / parameters.step,) * 2))
        flow = torch.zeros_like(levels[-1])
        for level in reversed(levels):
            if flow.shape != level.shape:
                ratio = flow.shape[2] / level.shape[2], flow.shape[3] / level.shape[3]
                flow = _resized(flow, (level.shape[2], level.shape[3]), ratio) / parameters.step
            flow = _solve(level[:, 0], level[:, 1], flow, parameters)
    return _median(flow) if parameters.last_median else flow


def _resized(images: torch.Tensor, size: tuple[int, int], step: tuple[float, float]) -> torch.Tensor:
    """Bilinear, pixel centres on ``(i + 1/2) step - 1/2`` of the source."""
    for axis in (2, 3):
        count = images.shape[axis]
        place = (torch.arange(size[axis - 2], device=images.device, dtype=torch.float64) + 0.5) * step[axis - 2] - 0.5
        place = place.clamp(0, count - 1)
        low = place.long()
        shape = [-1 if number == axis else 1 for number in range(4)]
        weight = (place - low).float().reshape(shape)
        first = images.index_select(axis, low)
        images = first + weight * (images.index_select(axis, (low + 1).clamp(max=count - 1)) - first)
    return images


def _solve(reference: torch.Tensor, moved: torch.Tensor, flow: torch.Tensor, parameters: Parameters) -> torch.Tensor:
    """Refine a flow (N, 2, H, W) on one level."""
    enough = parameters.epsilon**2 * reference.shape[1] * reference.shape[2]
    images = torch.stack([moved, *_central_differences(moved)], dim=1)
    dual = torch.zeros((2, *flow.shape), device=flow.device)  # along x and y
    for _ in range(parameters.warps):
        data = _data_term(images, reference, flow)
        change = torch.full((len(flow),), torch.inf, dtype=torch.float64, device=flow.device)
        for _ in range(parameters.outer):
            if not bool((change > enough).any()):
                break
            flow = torch.where(_as_mask(change > enough), _median(flow), flow)
            flow, dual, change = _inner(flow, dual, change, data, parameters)
    return flow


def _inner(
    flow: torch.Tensor,
    dual: torch.Tensor,
    change: torch.Tensor,
    data: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    parameters: Parameters,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Iterations up to the next median; a pair that has converged is left as it is."""
    enough = parameters.epsilon**2 * flow.shape[2] * flow.shape[3]
    untested = (change > FAR * enough) & (parameters.inner > 1)
    for left in range(parameters.inner - 1, -1, -1):
        active = change > enough
        if not bool(active.any()):
            break
        keep = _as_mask(active)
        new = flow + _step(flow, dual, data, parameters)
        squares = (new - flow).square().sum(dim=(1, 2, 3), dtype=torch.float64)
        flow = torch.where(keep, new, flow)
        dual = torch.where(keep, _dual_step(flow, dual, parameters), dual)
        change = torch.where(active & ~untested, squares, change)
        untested = ~untested & (change > FAR * enough) & (left > 1)
    return flow, dual, change


def _as_mask(pairs: torch.Tensor) -> torch.Tensor:
    return pairs[:, None, None, None]


def _step(
    flow: torch.Tensor,
    dual: torch.Tensor,
    data: tuple[torch.Tensor, torch.Tensor, torch.Tensor],
    parameters: Parameters,
) -> torch.Tensor:
    """Change of the flow: thresholding step plus divergence."""
    gradient, inverse, constant = data
    bound = parameters.lambda_ * parameters.theta
    rho = constant + (gradient * flow).sum(dim=1)
    gain = (rho * inverse).clamp(-bound, bound)
    along_x, along_y = dual
    divergence = (along_x - F.pad(along_x, (1, 0))[..., :-1]) + (along_y - F.pad(along_y, (0, 0, 1, 0))[..., :-1, :])
    return gain[:, None] * gradient + divergence


def _dual_step(flow: torch.Tensor, dual: torch.Tensor, parameters: Parameters) -> torch.Tensor:
    """Dual variables, times theta, from the forward differences of the flow."""
    along_x = F.pad(flow[..., 1:] - flow[..., :-1], (0, 1))
    along_y = F.pad(flow[..., 1:, :] - flow[..., :-1, :], (0, 0, 0, 1))
    norm = 1 + parameters.tau / parameters.theta * (along_x.square() + along_y.square()).sqrt()
    return (dual + parameters.tau * torch.stack([along_x, along_y])) / norm


def _central_differences(image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    wide = F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    return 0.5 * (wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]), 0.5 * (wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1])


def _data_term(
    images: torch.Tensor, reference: torch.Tensor, flow: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradient where the flow points, minus one over its square, and the residual's constant part."""
    height, width = reference.shape[1:]
    here_y, here_x = torch.meshgrid(
        torch.arange(height, device=flow.device), torch.arange(width, device=flow.device), indexing="ij"
    )
    there_x, there_y = here_x + flow[:, 0], here_y + flow[:, 1]
    x, y = there_x.clamp(0, width - 1), there_y.clamp(0, height - 1)
    sampled = _sampled(images, x, y)
    inside = ((there_x - x).abs() <= 0.5) & ((there_y - y).abs() <= 0.5)
    gradient = sampled[:, 1:] * inside[:, None]
    square = gradient.square().sum(dim=1)
    flat = torch.finfo(torch.float32).eps
    inverse = torch.where(square > flat, -1 / square.clamp(min=flat), 0)
    return gradient, inverse, sampled[:, 0] - (gradient * flow).sum(dim=1) - reference


def _sampled(images: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Catmull-Rom samples (N, C, H, W) of images (N, C, H, W) at x, y (N, H, W)."""
    count, channels, height, width = images.shape
    left, top = x.floor().long(), y.floor().long()
    along_x, along_y = _catmull_rom(x - left), _catmull_rom(y - top)
    flat = images.reshape(count, channels, height * width)
    out = torch.zeros_like(images)
    for down, weight_y in enumerate(along_y, start=-1):
        row = (top + down).clamp(0, height - 1) * width
        for right, weight_x in enumerate(along_x, start=-1):
            place = (row + (left + right).clamp(0, width - 1)).reshape(count, 1, -1).expand(-1, channels, -1)
            out += (weight_y * weight_x)[:, None] * flat.gather(2, place).reshape(images.shape)
    return out


def _catmull_rom(f: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weights of the pixels at -1 .. 2."""
    hill = 0.5 * f * (1 - f)
    behind, beyond = -hill * (1 - f), -hill * f
    ahead = f + behind - 2 * beyond
    return behind, 1 - behind - ahead - beyond, ahead, beyond


def _median(flow: torch.Tensor) -> torch.Tensor:
    """5 x 5, borders replicated; by comparators, as ``torch.median`` over windows takes several times as long."""
    height, width = flow.shape[2:]
    wide = F.pad(flow, (2, 2, 2, 2), mode="replicate")
    columns = _compared([wide[:, :, row : row + height] for row in range(5)], SORT_5)
    wires = [rank[..., column : column + width] for rank in columns for column in range(5)]
    return _compared(wires, MEDIAN_OF_SORTED_COLUMNS)[MEDIAN_WIRE]


def _compared(wires: list[torch.Tensor], comparators: tuple[tuple[int, int], ...]) -> list[torch.Tensor]:
    for low, high in comparators:
        wires[low], wires[high] = torch.minimum(wires[low], wires[high]), torch.maximum(wires[low], wires[high])
    return wires

"""Frames and ground truth of one clip.

Geometry: a point X of the neutral face of the subject (canvas pixels) is at M_t(H(X + R(X) + p_t E(X))) in frame t. R
is the resting expression, E the displacement by the action units, p_t the profile, H the pose of the clip and M_t the
head motion since the onset. Frames are sampled backwards: invert M_t and H, solve X + e(X) = Y by fixed-point iteration
and sample the texture at X. Neck and backdrop do not move with the head; in between, the motion decreases smoothly.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mer_features.synthetic import action_units, dynamics, emotions, lids
from mer_features.synthetic.action_units import Action, Window
from mer_features.synthetic.nuisance import Lighting, Sensor
from mer_features.synthetic.planning import ClipPlan
from mer_features.synthetic.presets import Preset
from mer_features.synthetic.resample import apply, compose, grid, invert, sample, similarity
from mer_features.synthetic.subjects import Subject, canvas_margin, subject

#: The fixed-point iteration stops below this error, pixels.
TOLERANCE_PX = 0.002
#: Largest slope of the displacement of an expression. Below 1 the fixed point exists and the skin does not fold.
MAX_SLOPE = 0.8


@dataclass(frozen=True)
class Truth:
    """Ground truth of a rendered clip. Positions and displacements are in pixels of the onset frame (x, y).

    Attributes
    ----------
    onset, apex, offset : int
        Frame numbers.
    flow : ndarray, shape (2, H, W), float32
        Displacement by the expression from onset to apex without head motion; apex(y + flow(y)) = onset(y).
    head_motion : ndarray, shape (T, 2, 3), float64
        Transform of the head from onset pixels to pixels of frame t.
    landmarks : ndarray, shape (68, 2), float32
        Landmarks on the onset frame.
    face_mask : ndarray, shape (H, W), bool
        Skin of the face on the onset frame.
    au_names : tuple of str
        Action units as in the sheet, e.g. ("1", "2", "L12").
    au_intensity_px : ndarray, shape (A,), float32
        Peak displacement of the stronger side at the apex.
    au_sides_px : ndarray, shape (A, 2), float32
        Peak displacement of the person's left and right side.
    profile : ndarray, shape (T,), float64
        Strength of the expression, 0..1.
    blink : ndarray, shape (T,), float64
        Closure of the lids, 0..1; 0 at onset and apex.
    emotion : str
        Emotion word.
    """

    onset: int
    apex: int
    offset: int
    flow: np.ndarray
    head_motion: np.ndarray
    landmarks: np.ndarray
    face_mask: np.ndarray
    au_names: tuple[str, ...]
    au_intensity_px: np.ndarray
    au_sides_px: np.ndarray
    profile: np.ndarray
    blink: np.ndarray
    emotion: str


@dataclass(frozen=True)
class RenderedClip:
    """Frames (T, H, W, C) uint8, RGB or grey, and their ground truth."""

    frames: np.ndarray
    truth: Truth


def render_clip(plan: ClipPlan, preset: Preset) -> RenderedClip:
    """Render one clip; the same plan and preset give the same bytes."""
    scene = _ClipScene(plan, preset)
    light = Lighting.draw(preset.nuisance, plan.frames, preset.fps, plan.stream("light"))
    sensor = Sensor(preset.nuisance, (3 if preset.style.colour else 1, *preset.size), plan.stream("sensor"))
    frames = np.stack([sensor.expose(light.apply(scene.frame(t), t)) for t in range(plan.frames)])
    return RenderedClip(frames, scene.truth())


class Scene:
    """A face in front of a camera: the geometry that the frames of a clip or of a recording have in common.

    Parameters
    ----------
    face : Subject
        The neutral face.
    preset : Preset
        Size and style of the frames.
    pose : ndarray, shape (2, 3)
        H, from canvas pixels to frame pixels.
    reach_px : int
        How far the head may leave its place, so that the part of the frame that is rendered again is large enough.
    """

    def __init__(self, face: Subject, preset: Preset, pose: np.ndarray, reach_px: int = 0) -> None:
        self.face, self.preset, self.pose = face, preset, pose
        self.to_canvas = invert(pose)
        self.window: Window = action_units.window(face.landmarks)
        self._prepare_frame(reach_px)

    def _prepare_frame(self, reach_px: int) -> None:
        """Compute what is the same in all frames: canvas positions without motion, head weight, backdrop."""
        height, width = self.preset.size
        x, y = grid(height, width)
        self._x, self._y = _affine(self.to_canvas, x, y)
        weight = sample(self.face.head, self._x, self._y, cv2.BORDER_CONSTANT)
        rows, columns = np.flatnonzero(weight.any(axis=1)), np.flatnonzero(weight.any(axis=0))
        self._head = (
            slice(max(rows[0] - reach_px, 0), rows[-1] + 1 + reach_px),
            slice(max(columns[0] - reach_px, 0), columns[-1] + 1 + reach_px),
        )
        self._weight = weight[self._head]
        self._pixel = x[self._head], y[self._head]
        self._still = self._texture(self._x, self._y)

    def _texture(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        k = np.float32(self.preset.style.oversample)
        return sample(self.face.texture, x * k, y * k)

    def draw(
        self,
        motion: np.ndarray,
        field: np.ndarray,
        iterations: int,
        closure: tuple[float, float] = (0.0, 0.0),
        gaze: tuple[float, float] = (0.0, 0.0),
    ) -> np.ndarray:
        """A frame before lighting and sensor.

        Parameters
        ----------
        motion : ndarray, shape (2, 3)
            M_t, frame pixels.
        field : ndarray, shape (2, h, w), float32
            Displacement of the skin on the window, canvas pixels.
        iterations
            Number of steps in which the field is inverted.
        closure
            Closure of the lids of the person's right and left eye, 0..1.
        gaze
            Displacement of the pupils in x and y, canvas pixels.

        Returns
        -------
        ndarray, shape (C, H, W), float32
            Grey levels.
        """
        x, y = self._before_motion(motion)
        skin = self._visible(self.window, motion)
        x[skin], y[skin] = self._invert(field, x[skin], y[skin], iterations)
        if max(closure) > 0 or gaze != (0.0, 0.0):
            eyes = self._visible(lids.window(self.face.landmarks), motion)
            if max(closure) > 0:
                y[eyes] += lids.close(self.face.landmarks, closure, x[eyes], y[eyes])
            if gaze != (0.0, 0.0):
                weight = lids.opening(self.face.landmarks, x[eyes], y[eyes])
                x[eyes] -= np.float32(gaze[0]) * weight
                y[eyes] -= np.float32(gaze[1]) * weight
        out = self._still.copy()
        out[(slice(None), *self._head)] = self._texture(x, y)
        return out

    def _before_motion(self, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Canvas positions Y of the head pixels, with the expression."""
        dx, dy = self._way_back(motion)
        return self._x[self._head] + self._weight * dx, self._y[self._head] + self._weight * dy

    def _way_back(self, motion: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far head pixels have to go on the canvas to undo the head motion."""
        return _affine(compose(self.to_canvas, invert(motion)) - self.to_canvas, *self._pixel)

    def _visible(self, area: Window, motion: np.ndarray) -> tuple[slice, slice]:
        """Rows and columns, relative to the head, of the pixels that may show a rectangle of the canvas."""
        left, top, right, bottom = area.left, area.top, area.left + area.width, area.top + area.height
        corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)], float)
        pixels = apply(compose(motion, self.pose), corners) - [self._head[1].start, self._head[0].start]
        low, high = np.floor(pixels.min(axis=0) - 2).astype(int), np.ceil(pixels.max(axis=0) + 3).astype(int)
        low = np.maximum(low, 0)
        return slice(low[1], max(high[1], 0)), slice(low[0], max(high[0], 0))

    def _invert(
        self, field: np.ndarray, x: np.ndarray, y: np.ndarray, iterations: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Solve X + field(X) = (x, y) for X."""
        left, top = np.float32(self.window.left), np.float32(self.window.top)
        at_x, at_y = x, y
        for _ in range(iterations):
            moved_x, moved_y = sample(field, at_x - left, at_y - top, cv2.BORDER_CONSTANT)
            at_x, at_y = x - moved_x, y - moved_y
        return at_x, at_y

    def landmarks(self, field: np.ndarray) -> np.ndarray:
        """Landmarks (68, 2), float32, of the face with this displacement of the skin, frame pixels without motion."""
        points = self.face.landmarks
        x, y = (points[:, i].astype(np.float32)[None] - (self.window.left, self.window.top)[i] for i in (0, 1))
        return apply(self.pose, points + sample(field, x, y)[:, 0].T).astype(np.float32)


class _ClipScene(Scene):
    """Geometry of one clip."""

    def __init__(self, plan: ClipPlan, preset: Preset) -> None:
        face = subject(preset, plan.seed, plan.subject)
        random = plan.stream("head")
        super().__init__(face, preset, draw_pose(face.landmarks, preset, random))
        self.plan = plan
        self._expression(plan, preset)
        pivot = apply(self.pose, self.face.landmarks[8] + [0.0, 0.4 * preset.face_px])
        motion = dynamics.HeadMotion.draw(preset.nuisance, random)
        self.motion = dynamics.head_motion(motion, plan.frames, preset.fps, pivot, random)
        self.profile = dynamics.profile(plan.frames, plan.apex_index)
        rate = preset.nuisance.blink_rate
        self.blink = dynamics.blink(plan.frames, plan.apex_index, preset.fps, rate, plan.stream("blink"))

    def _expression(self, plan: ClipPlan, preset: Preset) -> None:
        rest = emotions.rest(preset.nuisance.rest_px, plan.stream("rest"))
        self.rest, _ = action_units.displacement(rest, self.face.landmarks)
        self.move, self.actions = action_units.displacement(plan.actions, self.face.landmarks)
        steepest = max(action_units.slope(self.rest), action_units.slope(self.rest + self.move))
        if steepest > MAX_SLOPE:
            factor = MAX_SLOPE / steepest
            self.rest, self.move, steepest = self.rest * factor, self.move * factor, MAX_SLOPE
            self.actions = tuple(Action(a.unit, a.left_px * factor, a.right_px * factor) for a in self.actions)
        longest = float(np.linalg.norm(np.abs(self.rest) + np.abs(self.move), axis=0).max())
        self.iterations = iterations(longest, steepest)

    def frame(self, t: int) -> np.ndarray:
        """Frame t before lighting and sensor, (C, H, W) float32 grey levels."""
        field = self.rest + np.float32(self.profile[t]) * self.move
        closure = float(self.blink[t])
        return self.draw(self.motion[t], field, self.iterations, (closure, closure))

    def truth(self) -> Truth:
        """Ground truth of the clip."""
        names = tuple(action.text for action in self.actions)
        sides = np.array([(a.left_px, a.right_px) for a in self.actions], np.float32)
        return Truth(
            onset=self.plan.onset,
            apex=self.plan.apex,
            offset=self.plan.offset,
            flow=self._flow(),
            head_motion=self.motion,
            landmarks=self.landmarks(self.rest),
            face_mask=sample(self.face.face, self._x, self._y, cv2.BORDER_CONSTANT) > 0.5,
            au_names=names,
            au_intensity_px=sides.max(axis=1),
            au_sides_px=sides,
            profile=self.profile,
            blink=self.blink,
            emotion=self.plan.emotion,
        )

    def _flow(self) -> np.ndarray:
        """Flow from onset to apex on the onset frame, in steps of 1/4096 px, which halves the size of the file."""
        x, y = self._invert(self.rest, self._x[self._head], self._y[self._head], self.iterations)
        moved = sample(self.move, x - self.window.left, y - self.window.top, cv2.BORDER_CONSTANT)
        flow = np.zeros((2, *self.preset.size), np.float32)
        rotated = np.tensordot(self.pose[:, :2].astype(np.float32), moved, axes=1)
        flow[(slice(None), *self._head)] = rotated
        return np.round(flow * 4096) / np.float32(4096)


def draw_pose(landmarks: np.ndarray, preset: Preset, random: np.random.Generator) -> np.ndarray:
    """Draw the pose H (2, 3) of a clip or recording, from canvas pixels to frame pixels."""
    nuisance = preset.nuisance
    turn = random.uniform(-nuisance.pose_deg, nuisance.pose_deg)
    shift = random.uniform(-nuisance.pose_px, nuisance.pose_px, size=2) - canvas_margin(preset)
    return similarity(random.uniform(0.985, 1.015), turn, tuple(shift), landmarks[30])


def _affine(transform: np.ndarray, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a = transform.astype(np.float32)
    return a[0, 0] * x + a[0, 1] * y + a[0, 2], a[1, 0] * x + a[1, 1] * y + a[1, 2]


def iterations(longest: float, steepest: float) -> int:
    """Number of iterations n until the error, at most ``longest * steepest ** n`` pixels, is below the tolerance."""
    if longest <= TOLERANCE_PX or steepest <= 0:
        return 1
    return max(2, int(np.ceil(np.log(TOLERANCE_PX / longest) / np.log(steepest))))

import numpy as np
import pytest

from mer_features.synthetic import action_units, identities, portrait
from mer_features.synthetic.action_units import MEDIAL, UNITS, Action
from mer_features.synthetic.presets import preset
from mer_features.synthetic.resample import sample

LANDMARKS = 2 * portrait.relaxed_landmarks()
RIGHT_BROW, LEFT_BROW = (17, 21), (26, 22)  # the person's; outer end, inner end
RIGHT_CORNER, LEFT_CORNER = 48, 54  # of the mouth


def moved(actions, points=LANDMARKS):
    """Displacement (68, 2) of the landmarks by these actions, x to the right, y down."""
    field, _ = action_units.displacement(actions, points)
    area = action_units.window(points)
    x, y = (points[:, i].astype(np.float32)[None] - (area.left, area.top)[i] for i in (0, 1))
    return sample(field, x, y)[:, 0].T


def both(unit, peak=2.0):
    return moved((Action(unit, peak, peak),))


def outwards(displacement, landmark):
    return displacement[landmark, 0] * (1 if LANDMARKS[landmark, 0] > LANDMARKS[27, 0] else -1)


@pytest.mark.parametrize("unit", sorted(UNITS))
def test_the_peak_is_the_displacement_asked_for(unit):
    left = 1.5 if unit in MEDIAL else 1.1
    field, (action,) = action_units.displacement((Action(unit, left, 1.5),), LANDMARKS)
    assert np.linalg.norm(field, axis=0).max() == pytest.approx(1.5, rel=0.06)  # two sides may overlap a little
    assert action.peak_px == 1.5


@pytest.mark.parametrize("unit", sorted(UNITS))
def test_nothing_moves_at_the_windows_border(unit):
    field, _ = action_units.displacement((Action(unit, 2.0, 2.0),), LANDMARKS)
    for edge in (field[:, 0], field[:, -1], field[:, :, 0], field[:, :, -1]):
        assert np.abs(edge).max() == 0


@pytest.mark.parametrize("corner", [RIGHT_CORNER, LEFT_CORNER])
def test_lip_corners_obey_facs(corner):
    smile, dimple, depressed, stretched, tight = (both(unit) for unit in (12, 14, 15, 20, 23))
    assert outwards(smile, corner) > 0.5
    assert smile[corner, 1] < -0.5  # up
    assert outwards(dimple, corner) > 0.8
    assert abs(dimple[corner, 1]) < 0.3
    assert depressed[corner, 1] > 0.8
    assert outwards(stretched, corner) > 0.8
    assert outwards(tight, corner) < -0.5


@pytest.mark.parametrize(("outer", "inner"), [RIGHT_BROW, LEFT_BROW])
def test_brows_obey_facs(outer, inner):
    inner_raised, outer_raised, lowered = both(1), both(2), both(4)
    assert inner_raised[inner, 1] < -0.8
    assert abs(inner_raised[outer, 1]) < 0.2
    assert outer_raised[outer, 1] < -0.8
    assert abs(outer_raised[inner, 1]) < 0.2
    assert lowered[inner, 1] > 0.5
    assert outwards(lowered, inner) < -0.3  # together


def test_lids_cheeks_nose_chin_and_lips_obey_facs():
    assert both(5)[[37, 38, 43, 44], 1].max() < -0.8  # upper lids up
    assert both(7)[[40, 41, 46, 47], 1].max() < -0.8  # lower lids up
    assert both(6)[[40, 41, 46, 47], 1].max() < -0.3
    assert both(9)[[31, 35], 1].max() < -0.5  # wings of the nose up
    assert both(10)[[50, 52], 1].max() < -0.5  # upper lip up
    assert both(17)[57, 1] < -0.5  # lower lip pushed up
    pressed, parted = both(24), both(25)
    assert pressed[51, 1] > 0.5 > -0.5 > pressed[57, 1]
    assert parted[51, 1] < -0.3 < 0.5 < parted[57, 1]


@pytest.mark.parametrize("unit", sorted(set(UNITS) - MEDIAL))
def test_one_sided_units_move_their_side_of_the_person(unit):
    middle = round(LANDMARKS[27, 0]) - action_units.window(LANDMARKS).left
    shares = []
    for action in (Action(unit, 2.0, 0.0), Action(unit, 0.0, 2.0)):
        energy = (action_units.displacement((action,), LANDMARKS)[0] ** 2).sum(axis=(0, 1))
        shares.append(energy[middle:].sum() / energy.sum())  # of the right of the picture, the person's left
    assert shares[0] > 0.9
    assert shares[1] < 0.1


def test_a_mirrored_face_moves_as_the_mirror_image():
    mirrored = identities.mirror(LANDMARKS, width=1024)
    left = moved((Action(12, 2.0, 0.0), Action(1, 0.7, 1.0)))
    right = moved((Action(12, 0.0, 2.0), Action(1, 1.0, 0.7)), mirrored)
    np.testing.assert_allclose(identities.mirror(right, width=1), left, atol=2e-3)


def test_mirrored_subjects_keep_left_on_the_right_of_the_picture():
    demo = preset("demo")
    people = [identities.identity(demo, 0, name) for name in demo.subjects]
    assert {person.mirror for person in people} == {True, False}
    for person in people:
        points = identities.shaped_landmarks(person)
        corners = moved((Action(12, 2.0, 0.0),), 2 * points)[[RIGHT_CORNER, LEFT_CORNER]]
        assert points[RIGHT_CORNER, 0] < points[LEFT_CORNER, 0]
        assert np.abs(corners[0]).max() < 0.1
        assert corners[1, 0] > 0.5


def test_large_movements_saturate_before_the_skin_folds():
    field, (action,) = action_units.displacement((Action(7, 30.0, 30.0),), LANDMARKS)
    assert action_units.slope(field) <= action_units.MAX_SLOPE * 1.01
    assert 1 < action.peak_px < 30


def test_texts_are_those_of_annotation_sheets():
    assert [Action(12, 1.0, 0.5).text, Action(12, 1.0, 0.0).text, Action(4, 0.0, 2.0).text] == ["12", "L12", "R4"]

from itertools import combinations

import numpy as np
import pytest

from mer_features.synthetic import PRESETS, identities
from mer_features.synthetic.bending import Bend
from mer_features.synthetic.presets import preset
from mer_features.synthetic.resample import grid
from mer_features.synthetic.subjects import subject

TINY = preset("tiny")


@pytest.mark.parametrize("name", ["demo", "cde-samm"])
def test_no_face_is_folded(name):
    settings = PRESETS[name]
    x, y = grid(46, 46, 4.0)
    for who in settings.subjects:
        person = identities.identity(settings, 0, who)
        bend = Bend(person, identities.shaped_landmarks(person))
        at_x, at_y = bend(x + 130, y + 20)
        (down_x, across_x), (down_y, across_y) = np.gradient(at_x), np.gradient(at_y)
        area = (across_x * down_y - down_x * across_y) / 16 * (-1 if person.mirror else 1)
        assert area.min() > 0.2


def level(grey, k, place):
    """Mean grey level of the 2 x 2 canvas pixels around a place."""
    x, y = np.round(np.asarray(place) * k).astype(int)
    return grey[y - k : y + k + 1, x - k : x + k + 1].mean()


def test_landmarks_sit_on_the_features_they_name():
    for name in TINY.subjects:
        face = subject(TINY, 0, name)
        k = TINY.style.oversample
        grey = face.texture.mean(axis=0)

        skin = level(grey, k, face.landmarks[29])  # the bridge of the nose
        pupils = [level(grey, k, face.landmarks[eye].mean(axis=0)) for eye in (slice(36, 42), slice(42, 48))]
        assert max(pupils) < 0.85 * skin
        line = level(grey, k, face.landmarks[[62, 66]].mean(axis=0))  # between the lips
        assert line < 0.85 * level(grey, k, face.landmarks[57] + [0, 6])
        assert face.face[tuple(face.landmarks[30][::-1].astype(int))] == 1
        assert face.head[tuple(face.landmarks[8][::-1].astype(int))] == 1


def test_subjects_look_different():
    # Mean difference of grey level over the middle of the face; sensor noise is about one level.
    k = TINY.style.oversample
    faces = []
    for name in TINY.subjects:
        face = subject(TINY, 0, name)
        x, y = np.round(face.landmarks[30]).astype(int)
        faces.append(face.texture[:, (y - 45) * k : (y + 45) * k, (x - 35) * k : (x + 35) * k].mean(axis=0))
    for one, other in combinations(faces, 2):
        assert np.abs(one - other).mean() > 8
        assert np.abs((one - one.mean()) / one.std() - (other - other.mean()) / other.std()).mean() > 0.2


def test_databases_and_seeds_show_other_people():
    people = [
        identities.identity(PRESETS[name], seed, "sub01")
        for name in ("cde-smic", "cde-casme2", "cde-samm")
        for seed in (0, 1)
    ]
    assert len(set(people)) == 6

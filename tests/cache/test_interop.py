"""Readers that know nothing of this package see the planted values."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mer_features.features import schema

USED = ["s1/happy", "s1/startled", "s2/short"]


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_xarray(sample: ModuleType, built: Path, engine: str):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip({"netcdf4": "netCDF4"}.get(engine, engine))
    with (
        xarray.open_dataset(built, engine=engine) as root,
        xarray.open_dataset(built, engine=engine, group="flow") as flow,
        xarray.open_dataset(built, engine=engine, group="spotting") as spotting,
        xarray.open_dataset(built, engine=engine, group="rejected") as rejected,
    ):
        assert root["clip_id"].values.tolist() == USED
        assert root["apex"].values.tolist() == [12, 8, 1]
        assert root["action_units"].sel(au=12).values.tolist() == [3, 2, 0]
        assert flow["u"].dtype == np.float32
        assert flow["u"].attrs["units"] == "pixel"
        found = flow["v"].isel(clip=1).sel(pair="offset_apex").values
        np.testing.assert_allclose(found, sample.flow("s1/startled")[1, 1], atol=0.0005)
        curve = spotting["curve"].isel(clip=0).sel(spotter="interframe_diff").values
        np.testing.assert_array_equal(curve[:6], sample.curve("s1/happy", "interframe_diff").astype(np.float32))
        assert np.isnan(curve[6])
        assert rejected["code"].values.tolist() == ["no_face", "source_missing"]


@pytest.mark.parametrize("engine", ["h5netcdf", "netcdf4"])
def test_xarray_opens_the_whole_tree(built: Path, engine: str):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip({"netcdf4": "netCDF4"}.get(engine, engine))
    with xarray.open_datatree(built, engine=engine) as tree:
        assert sorted(tree.children) == ["faces", "flow", "rejected", "spotting"]
        assert tree["faces/keyframes"].shape == (3, 5, 32, 32, 3)


def test_netcdf4(sample: ModuleType, built: Path):
    netcdf4 = pytest.importorskip("netCDF4")
    with netcdf4.Dataset(built) as file:
        assert file.variables["clip_id"][:].tolist() == USED
        u = file["flow/u"][0]
        assert u.dtype == np.float32
        assert not np.ma.is_masked(u)
        np.testing.assert_allclose(u, sample.flow("s1/happy")[:, 0], atol=0.0005)
        assert np.ma.getmaskarray(file["spotting/frame_number"][0]).tolist() == [False] * 6 + [True]
        assert file["faces"].dimensions["channel"].size == 3
        assert file["flow/u"].dimensions == ("clip", "pair", "y", "x")
        assert file.complete == 1


def test_ncdump(built: Path):
    program = shutil.which("ncdump")
    if program is None:
        pytest.skip("ncdump is not installed (Debian: netcdf-bin)")
    done = subprocess.run(
        [program, "-v", "clip_id,/spotting/spotter", built], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    text = re.sub(r"\s+", " ", done.stdout)
    assert 'clip_id = "s1/happy", "s1/startled", "s2/short" ;' in text
    assert 'spotter = "interframe_diff", "midpoint" ;' in text
    assert "short u(clip, pair, y, x) ;" in text


def test_packed_fields_never_reach_the_default_fill_value():
    """Readers mask int16 -32767, netCDF's default."""
    assert schema.FLOW_LIMIT / schema.FLOW_SCALE < 32767
    assert schema.STRAIN_LIMIT / schema.STRAIN_SCALE < 32767

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import mujoco
import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from pgx_core.report.labels import group_colour
from pgx_core.report.painter import SHAPES, frame_view, paint_frames, place, silhouette, tick_spacing
from pgx_core.report.render import draw_caption, gl_frames, objective_stretches, plot_tracking, render_frames, write_gif

RUNNER = """
<mujoco><worldbody>
  <geom type="plane" size="40 5 .1" rgba=".8 .85 .9 1"/>
  <body name="torso" pos="0 0 .8">
    <joint type="slide" axis="1 0 0"/><joint type="slide" axis="0 0 1"/><joint axis="0 1 0"/>
    <geom type="capsule" fromto="-.3 0 0 .3 0 0" size=".07" rgba="0 0 1 1"/>
    <body pos="-.2 -.08 0"><joint axis="0 1 0"/>
      <geom type="capsule" fromto="0 0 0 0 0 -.6" size=".05" rgba="0 1 0 1"/></body>
    <body pos=".2 .08 0"><joint axis="0 1 0"/>
      <geom type="capsule" fromto="0 0 0 0 0 -.6" size=".05" rgba="1 0 0 1"/></body>
  </body>
</worldbody></mujoco>
"""
SOLIDS = """
<mujoco>
  <asset><mesh name="wedge" vertex="0 0 0  .3 0 0  0 .2 0  0 0 .4"/></asset>
  <worldbody>
    <geom type="sphere" size=".2"/> <geom type="capsule" size=".1 .3"/> <geom type="cylinder" size=".2 .1"/>
    <geom type="ellipsoid" size=".1 .2 .3"/> <geom type="box" size=".1 .2 .3"/> <geom type="mesh" mesh="wedge"/>
  </worldbody>
</mujoco>
"""


@pytest.fixture(scope="module")
def runner():
    return mujoco.MjModel.from_xml_string(RUNNER)


def walk(steps=6, distance=3.0):
    phase = np.linspace(0, 2 * np.pi, steps)
    zero = np.zeros(steps)
    return np.stack([np.linspace(0, distance, steps), zero, zero, 0.5 * np.sin(phase), -0.5 * np.sin(phase)], 1)


def near(frame, colour, tolerance=60):
    return (np.abs(frame.astype(int) - np.array(colour)) < tolerance).all(-1)


def has_gl():
    """Asks MuJoCo itself, in a process of its own."""
    program = "import mujoco; c = mujoco.GLContext(16, 16); c.make_current(); c.free()"
    platform = {} if os.environ.get("MUJOCO_GL") or os.environ.get("DISPLAY") else {"MUJOCO_GL": "egl"}
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **platform}, capture_output=True)
    return done.returncode == 0


def surface_points(kind, size, vertices, rng, count=20_000):
    """Points of a convex body in its own frame, dense at its surface."""
    d = rng.standard_normal((count, 3))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    if kind == SHAPES.mjGEOM_SPHERE:
        return d * size[0]
    if kind == SHAPES.mjGEOM_CAPSULE:
        return d * size[0] + [0, 0, 1] * rng.choice([-1, 1], (count, 1)) * size[1]
    if kind == SHAPES.mjGEOM_CYLINDER:
        angle = rng.uniform(0, 2 * np.pi, count)
        return np.stack([size[0] * np.cos(angle), size[0] * np.sin(angle), rng.choice([-1, 1], count) * size[1]], 1)
    if kind == SHAPES.mjGEOM_ELLIPSOID:
        return d * size
    if kind == SHAPES.mjGEOM_BOX:
        return rng.choice([-1, 1], (count, 3)) * size
    return vertices


@pytest.mark.parametrize("geom", range(6))
@pytest.mark.parametrize("seed", range(4))
def test_a_silhouette_is_the_hull_of_the_projected_surface(geom, seed):
    model = mujoco.MjModel.from_xml_string(SOLIDS)
    data, rng = mujoco.MjData(model), np.random.default_rng(seed)
    mujoco.mj_kinematics(model, data)
    turn = np.zeros(9)
    mujoco.mju_quat2Mat(turn, rng.standard_normal(4) / 2)
    turn = np.linalg.qr(turn.reshape(3, 3))[0]
    data.geom_xmat[geom], data.geom_xpos[geom] = turn.ravel(), rng.standard_normal(3)
    outline = silhouette(model, data, geom)
    points = surface_points(model.geom_type[geom], model.geom_size[geom], model.mesh_vert, rng) @ turn.T
    projected = (points + data.geom_xpos[geom])[:, [0, 2]]
    angles = np.linspace(0, 2 * np.pi, len(outline), endpoint=False)
    directions = np.stack([np.cos(angles), np.sin(angles)])
    ours, theirs = (outline @ directions).max(0), (projected @ directions).max(0)
    assert (theirs <= ours + 1e-6).all()  # nothing sticks out
    assert (ours - theirs).max() < 0.01  # and it is tight, up to the sampling


def test_the_painter_shows_every_part_and_the_near_leg_in_front(runner):
    (frame,) = paint_frames(runner, walk(1), 480, 270)
    assert frame.shape == (270, 480, 3) and frame.dtype == np.uint8
    blue, green, red = (near(frame, colour) for colour in ((0, 0, 255), (0, 255, 0), (255, 0, 0)))
    assert blue.sum() > 500 and green.sum() > 500 and red.sum() > 300
    rows = np.flatnonzero(green.any(1))
    # The near (green) hip covers the torso, the far (red) one is covered by it.
    assert rows[0] < np.flatnonzero(blue.any(1)).mean() < np.flatnonzero(red.any(1))[0]
    assert np.nonzero(green)[1].mean() < np.nonzero(red)[1].mean()  # +x is to the right


def test_the_painter_tracks_the_root_and_the_ground_moves(runner):
    frames = paint_frames(runner, walk(4, distance=1.1), 480, 270)
    torso = [np.nonzero(near(frame, (0, 0, 255)))[1].mean() for frame in frames]
    assert np.ptp(torso) < 12  # the near leg swings over it
    assert all(not (a[-40:] == b[-40:]).all() for a, b in itertools.pairwise(frames))


def test_the_view_holds_the_robot_at_every_pose(runner):
    poses = walk(5)
    poses[2, 1] = 1.5  # a jump
    frames = paint_frames(runner, poses, 320, 240)
    for frame in frames:
        seen = near(frame, (0, 0, 255)) | near(frame, (0, 255, 0)) | near(frame, (255, 0, 0))
        assert not seen[[0, -1]].any() and not seen[:, [0, -1]].any()
    view = frame_view(runner, poses, 320 / 240)
    assert view.ground_z == 0.0 and view.centre_z + view.height / 2 > 2.3


def test_a_robot_without_ground_or_moving_bodies_is_painted_too():
    model = mujoco.MjModel.from_xml_string(SOLIDS)
    (frame,) = paint_frames(model, np.zeros((1, 0)), 160, 120)
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 3


@pytest.mark.parametrize("half", [0.3, 1.0, 1.7, 4.0, 9.0])
def test_a_few_ground_marks_are_in_sight(half):
    assert 3 <= 2 * half / tick_spacing(half) <= 8


def test_opengl_frames_agree_with_painted_ones(runner):
    if not has_gl():
        pytest.skip("no OpenGL context here: install libegl1 or libosmesa6")
    poses = walk(3)
    drawn, painted = gl_frames(runner, poses, 320, 180), paint_frames(runner, poses, 320, 180)
    assert drawn is not None
    for ours, theirs in zip(drawn, painted, strict=True):
        assert ours.shape == theirs.shape == (180, 320, 3) and ours.dtype == np.uint8
        for channel in range(3):
            places = [np.argwhere(dominates(frame, channel)) for frame in (ours, theirs)]
            assert all(len(place) > 80 for place in places)
            # The same part at the same place, up to perspective.
            assert np.abs(places[0].mean(0) - places[1].mean(0)).max() < 16


def dominates(frame, channel):
    others = np.delete(frame, channel, 2).max(2).astype(int)
    return frame[..., channel].astype(int) - others > 60


def test_without_opengl_frames_are_painted(runner, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    assert gl_frames(runner, walk(2), 160, 90) is None
    frames = render_frames(runner, walk(2), 160, 90)
    assert all((a == b).all() for a, b in zip(frames, paint_frames(runner, walk(2), 160, 90), strict=True))


def test_rendering_leaves_the_model_and_the_environment_alone(runner, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    environment, width = dict(os.environ), runner.vis.global_.offwidth
    render_frames(runner, walk(1), 800, 450)
    assert dict(os.environ) == environment and runner.vis.global_.offwidth == width


def test_captions_are_drawn_one_per_frame(runner, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    plain = render_frames(runner, walk(2), 480, 270)
    captions = ["forward_1: commanded +1.0 m/s, achieved +0.9 m/s", "backward_2"]
    marked = render_frames(runner, walk(2), 480, 270, captions)
    for before, after in zip(plain, marked, strict=True):
        assert (before[40:] == after[40:]).all() and (after[:10, -1] < 60).all()
        assert near(after[:24], (255, 255, 255)).any()
    with pytest.raises(ValueError):
        render_frames(runner, walk(2), 480, 270, captions[:1])


def test_a_long_caption_stays_inside_the_frame():
    frame = draw_caption(np.full((90, 160, 3), 100, np.uint8), "commanded and achieved " * 6)
    assert not near(frame[:, -3:], (255, 255, 255)).any()


def test_poses_of_another_robot_are_refused(runner):
    for poses in (np.zeros((2, runner.nq + 1)), np.zeros((0, runner.nq))):
        with pytest.raises(ValueError):
            render_frames(runner, poses)


def test_a_gif_plays_every_frame_at_its_rate(runner, tmp_path):
    frames = paint_frames(runner, walk(8), 240, 136)
    write_gif(tmp_path / "walk.gif", frames, fps=25)
    with Image.open(tmp_path / "walk.gif") as gif:
        assert gif.n_frames == 8 and gif.info["duration"] == 40 and gif.info["loop"] == 0
        for index, frame in enumerate(frames):
            gif.seek(index)
            assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - frame).mean() < 4
    assert [path.name for path in tmp_path.iterdir()] == ["walk.gif"]
    with pytest.raises(ValueError):
        write_gif(tmp_path / "none.gif", [], fps=25)


def test_a_long_gif_stays_small(runner, tmp_path):
    frames = paint_frames(runner, walk(50), 480, 270)
    write_gif(tmp_path / "long.gif", frames * 5, fps=25)
    assert (tmp_path / "long.gif").stat().st_size < 3_000_000


def test_a_gif_too_large_is_drawn_smaller_before_its_colours_go(tmp_path):
    rng = np.random.default_rng(0)
    restless = [np.kron(rng.integers(0, 256, (68, 120, 3), np.uint8), np.ones((4, 4, 1), np.uint8)) for _ in range(120)]
    write_gif(tmp_path / "restless.gif", restless, fps=25)
    assert (tmp_path / "restless.gif").stat().st_size < 3_000_000
    with Image.open(tmp_path / "restless.gif") as gif:
        assert gif.width < 480 and gif.width / gif.height == pytest.approx(480 / 272, rel=0.02)
        assert len(gif.convert("RGB").getcolors(100_000)) >= 32


def test_stretches_cover_the_run_without_gaps():
    assert objective_stretches(["a", "a", "b", "a"]) == [(0, 2), (2, 3), (3, 4)]
    assert objective_stretches([]) == []


def test_tracking_shades_each_stretch_in_its_groups_colour():
    times = np.linspace(0, 3, 31)
    names, groups = ["forward"] * 10 + ["backward"] * 10 + ["stand"] * 11, [0] * 10 + [1] * 10 + [0] * 11
    commanded, achieved = np.sign(times - 1), np.tanh(times - 1)
    tracks = {"velocity, m/s": (commanded, achieved), "turn, rad/s": (achieved, commanded)}
    axes, below = plot_tracking(times, tracks, names, groups).axes
    assert (axes.get_ylabel(), below.get_ylabel()) == tuple(tracks) and not below.texts
    assert [line.get_ydata().tolist() for line in below.get_lines()[-2:]] == [achieved.tolist(), commanded.tolist()]
    assert [text.get_text() for text in axes.texts] == ["forward", "backward", "stand"]
    assert [to_hex(p.get_facecolor()) for p in axes.patches] == [group_colour(g).lower() for g in (0, 1, 0)]
    edges = [(p.get_x(), p.get_x() + p.get_width()) for p in axes.patches]
    assert edges == [pytest.approx(pair) for pair in ((0, 1), (1, 2), (2, 3))]
    lines = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert (lines["commanded"] == commanded).all() and (lines["achieved"] == achieved).all()


def test_what_nobody_commands_is_called_measured():
    times, nothing = np.linspace(0, 1, 11), np.full(11, np.nan)
    figure = plot_tracking(times, {"knob": (nothing, times)}, ["open"] * 11, [0] * 11)
    (line,) = figure.axes[0].get_lines()[-1:]
    assert line.get_label() == "measured" and line.get_ydata().tolist() == times.tolist()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["measured", "group 0"]


def test_placing_a_pose_reads_back(runner):
    data = mujoco.MjData(runner)
    place(runner, data, walk(3)[2])
    assert data.xpos[1, 0] == pytest.approx(3.0)


def test_the_camera_follows_over_the_ground():
    xml = '<mujoco><worldbody><body><freejoint/><geom size=".1" rgba="0 0 1 1"/></body></worldbody></mujoco>'
    model = mujoco.MjModel.from_xml_string(xml)
    poses = np.tile(np.array([0.0, 0.0, 0.5, 1.0, 0.0, 0.0, 0.0]), (2, 1))
    poses[1, :2] = 7.0, 30.0
    frames = gl_frames(model, poses, 96, 64)
    if frames is None:
        pytest.skip("no OpenGL here")
    blue = [np.argwhere(f[..., 2] > f[..., 0].astype(int) + 60).mean(0) for f in frames]
    np.testing.assert_allclose(blue[0], blue[1], atol=1.5, equal_nan=False)  # pixels

"""Warp for tests: without it they are skipped; its kernels are not optimised, since most time goes into compiling."""

from __future__ import annotations

import pytest

pytest.importorskip("mujoco_warp", reason="needs the extra 'warp'")
import warp

warp.config.optimization_level = 0

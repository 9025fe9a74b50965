"""Run a bundle's policies on a robot: numpy and onnxruntime only."""

from pgx_core.serving.bundle import Bundle, load_bundle, verify_bundle
from pgx_core.serving.checks import check_robot
from pgx_core.serving.server import PolicyServer, Tick

__all__ = ["Bundle", "PolicyServer", "Tick", "check_robot", "load_bundle", "verify_bundle"]

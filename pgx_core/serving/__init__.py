"""Run a bundle's policies on a robot: numpy and onnxruntime only."""

from pgx_core.serving.bundle import Bundle, load_bundle, verify_bundle
from pgx_core.serving.checks import check_robot
from pgx_core.serving.config import Answer, Event, Instant, Request, ServingConfig, Tick
from pgx_core.serving.controller import Controller
from pgx_core.serving.modes import Mode

__all__ = [
    "Answer",
    "Bundle",
    "Controller",
    "Event",
    "Instant",
    "Mode",
    "Request",
    "ServingConfig",
    "Tick",
    "check_robot",
    "load_bundle",
    "verify_bundle",
]

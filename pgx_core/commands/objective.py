"""`pgx objective`."""

from __future__ import annotations

from typing import Annotated

import tyro

from pgx_core.commands.ros import ros_module
from pgx_core.errors import ConfigError


def main(
    name: tyro.conf.Positional[str] = "",
    command: tuple[str, ...] = (),
    show: Annotated[bool, tyro.conf.arg(name="list")] = False,
    server: str = "policy_server",
) -> None:
    """Command an objective of a running policy server, and print its answer; or list what it can be asked for.

    Args:
        name: objective to pursue.
        command: instead of a name, numbers such as velocity=1.5; the nearest trained objective serves them.
        show: list the objectives; the one pursued is marked.
        server: name of the server's node.
    """
    ros = ros_module("objective")
    if show:
        print(ros.list_objectives(server))
    else:
        print(ros.command_objective(name, dict(map(_pair, command)), server))


def _pair(word: str) -> tuple[str, float]:
    key, _, value = word.partition("=")
    try:
        return key, float(value)
    except ValueError as error:
        raise ConfigError(f"--command: expected NAME=NUMBER such as velocity=1.5, got '{word}'") from error

"""`pgx objective`: command an objective of a running server, and print its answer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import rclpy
from pgx_policy_server.reports import LATCHED, TYPED
from pgx_policy_server.spinning import QuickestExecutor
from rclpy.exceptions import NameValidationException
from rclpy.node import Node
from std_msgs.msg import String

from pgx_core.errors import ConfigError, RunError

if TYPED:
    from pgx_msgs.msg import ObjectiveCommand
    from pgx_msgs.srv import ListObjectives, SetObjective

DISCOVERY = 5.0  # s to find the server
ANSWER = 3.0  # s to get its answer
ASKED = 5  # times in ANSWER


def command_objective(name: str, command: Mapping[str, float], server: str) -> str:
    """Ask for an objective by name or by a command; the answer says what is pursued.

    Raises:
        ConfigError: neither or both are given, or the plain interface cannot carry a command.
        RunError: there is no server, it refused, or it did not answer.
    """
    if bool(name) == bool(command):
        raise ConfigError("expected either the name of an objective or --command NAME=VALUE")
    if not TYPED:
        if command:
            raise ConfigError("--command needs the package pgx_msgs: `make ros` with a C++ compiler builds it")
        return _by_topic(name, server)
    wish = ObjectiveCommand(name=name, command_names=list(command), command_values=list(command.values()))
    answer = _call(SetObjective, f"{server}/set_objective", SetObjective.Request(command=wish))
    if not answer.accepted:
        raise RunError(f"refused: {answer.reason}")
    return f"{answer.objective} by {answer.group}" + (f" ({answer.reason})" if answer.reason else "")


def list_objectives(server: str) -> str:
    """What can be asked for, a line each; the one pursued is marked.

    Raises:
        RunError: there is no server, or it has only the plain interface.
    """
    if not TYPED:
        raise RunError("the list needs the package pgx_msgs: `make ros` with a C++ compiler builds it")
    answer = _call(ListObjectives, f"{server}/list_objectives", ListObjectives.Request())
    rows = zip(answer.objectives, answer.groups, answer.scores, strict=True)
    return "\n".join(f"{'*' if row[0] == answer.active else ' '} {row[0]:<20} {row[1]}  {row[2]:.2f}" for row in rows)


def _call(kind: Any, service: str, request: Any) -> Any:
    with _spinning() as (node, until):
        client = node.create_client(kind, service)
        if not until(client.service_is_ready, DISCOVERY):
            raise RunError(f"no policy server offers '{service}': start one with `pgx up` or ros2 launch")
        for _ in range(ASKED):  # what is asked here may be asked twice; an answer is lost if the server is new to us
            future = client.call_async(request)
            if until(future.done, ANSWER / ASKED):
                return future.result()
        raise RunError(f"'{service}' did not answer within {ANSWER:g} s")


def _by_topic(name: str, server: str) -> str:
    """The plain interface has no answer: an accepted objective shows in what is pursued."""
    heard: list[str] = []
    with _spinning() as (node, until):
        publisher = node.create_publisher(String, f"{server}/objective_name", 1)
        node.create_subscription(String, f"{server}/active_policy", lambda message: heard.append(message.data), LATCHED)
        if not until(lambda: publisher.get_subscription_count() > 0, DISCOVERY):
            raise RunError(f"no policy server hears '{server}/objective_name': start one with `pgx up` or ros2 launch")
        for _ in range(ASKED):  # it was perhaps a recorder that listened, and the server does not know us yet
            publisher.publish(String(data=name))
            if until(lambda: bool(heard) and heard[-1].endswith(f"/{name}"), ANSWER / ASKED):
                return f"{name} by {heard[-1].split('/')[0]}"
        raise RunError(f"'{name}' is not pursued after {ANSWER:g} s; the server's log says why")


@contextlib.contextmanager
def _spinning() -> Iterator[tuple[Node, Callable[[Callable[[], bool], float], bool]]]:
    """A node, and a function that spins it until a condition holds or some seconds have passed."""
    rclpy.init()
    node, executor = Node("pgx_objective"), QuickestExecutor()
    executor.add_node(node)

    def until(condition: Callable[[], bool], seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while not condition() and time.monotonic() < deadline:
            executor.spin_once(timeout_sec=0.02)
        return condition()

    try:
        yield node, until
    except NameValidationException as error:
        raise ConfigError(f"--server: expected the name of a node: {' '.join(str(error).split())}") from error
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown()

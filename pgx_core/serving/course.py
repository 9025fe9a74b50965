"""Which objective is pursued: the last wish, no sooner than the dwell allows, and no longer than it is fresh."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pgx_core.serving.checks import find_objective
from pgx_core.serving.config import Answer, Instant, Request, ServingConfig
from pgx_core.serving.manifest import BundleManifest
from pgx_core.serving.modes import Signals
from pgx_core.serving.router import resolve


@dataclass(frozen=True)
class Route:
    """Which policy pursues an objective."""

    objective: str
    group: str
    one_hot: np.ndarray  # [objectives]


NOWHERE = Route("", "", np.zeros(0))  # before the first objective


@dataclass(frozen=True)
class Wish:
    """An accepted request."""

    route: Route
    arrival: float  # s, monotonic
    reason: str


@dataclass(frozen=True)
class Switch:
    """A change of the objective whose first command is still to come."""

    source: str
    wish: Wish


class Course:
    """Requests come in, one route comes out.

    `request` may be called from another thread than `follow`: it leaves a wish in a slot.

    Args:
        manifest: the bundle's.
        config: settings.

    Raises:
        BundleError: an objective of the settings is unknown.
    """

    def __init__(self, manifest: BundleManifest, config: ServingConfig) -> None:
        self._manifest, self._config = manifest, config
        one_hots = np.eye(len(manifest.objectives))
        self._routes = {
            o.name: Route(o.name, o.group, one_hot) for o, one_hot in zip(manifest.objectives, one_hots, strict=True)
        }
        for name in filter(None, (config.initial_objective, config.neutral_objective)):
            find_objective(manifest, name)
        self.forget()

    def forget(self) -> None:
        """As before the first request."""
        self.route = NOWHERE
        self.switch: Switch | None = None
        self._wish: Wish | None = None
        self._seen: Wish | None = None
        self._switched_at = -math.inf

    def start(self, now: Instant) -> None:
        """Wish for the initial objective, if there is one."""
        if self._config.initial_objective:
            route = self._routes[self._config.initial_objective]
            self._wish = Wish(route, now.monotonic, "the initial objective")

    @property
    def wished(self) -> Route:
        """The route last wished for: followed at the next tick, or at the end of the dwell."""
        wish = self._wish
        return self.route if wish is None else wish.route

    def request(self, request: Request, now: Instant) -> Answer:
        """Wish for what is requested.

        Raises:
            RequestRefused: no objective serves it; the old wish stays.
        """
        resolved = resolve(self._manifest, request, self.wished.objective, self._config.nearest_distance)
        route = self._routes[resolved.objective]
        self._wish = Wish(route, now.monotonic, resolved.note)
        return Answer(True, route.objective, route.group, resolved.note)

    def age(self, now: Instant) -> float | None:
        """Seconds since the wish came; None before the first."""
        wish = self._wish
        return None if wish is None else now.monotonic - wish.arrival

    def follow(self, now: Instant) -> Signals:
        """Once a tick: set `route`, and `switch` where it is a new one, and say what came of it."""
        wish, config = self._wish, self._config
        renewed, self._seen = wish is not None and wish is not self._seen, wish
        if wish is None:
            return Signals(idle="no objective was commanded")
        age = now.monotonic - wish.arrival
        if config.command_timeout_s and not age <= config.command_timeout_s:
            if not config.neutral_objective:
                return Signals(idle=f"the objective was commanded {age:.2f} s ago")
            wish = Wish(self._routes[config.neutral_objective], now.monotonic, "the command is stale")
        if wish.route is self.route or not now.monotonic - self._switched_at >= config.dwell_s:
            return Signals(renewed=renewed)
        return Signals(renewed=renewed, switched=self._take(wish, now))

    def _take(self, wish: Wish, now: Instant) -> bool:
        """Follow the wish; the answer is whether the network, or what it is told, changes."""
        last, self.route = self.route, wish.route
        self.switch, self._switched_at = Switch(last.objective, wish), now.monotonic
        return self._manifest.conditioned or last.group != self.route.group

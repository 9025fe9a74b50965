"""Which objective is pursued: the last wish, no sooner than the dwell allows, and no longer than it is fresh."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pgx_core.serving.checks import find_objective
from pgx_core.serving.config import Answer, Instant, Request, ServingConfig
from pgx_core.serving.manifest import BundleManifest
from pgx_core.serving.modes import Signals
from pgx_core.serving.router import RequestRefused, resolve
from pgx_core.serving.ways import Way, Ways


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

    `request` may be called from another thread than `follow`: it leaves a wish in a slot. Where switches were
    measured, a moving robot goes only ways that are safe, and every switch waits until the one before has settled:
    that is how they were measured. A robot at rest starts with whatever is wished for.

    Args:
        manifest: the bundle's.
        config: settings.
        ways: between the objectives; None: unmeasured, so that every switch is direct.

    Raises:
        BundleError: an objective of the settings is unknown.
    """

    def __init__(self, manifest: BundleManifest, config: ServingConfig, ways: Ways | None = None) -> None:
        self._manifest, self._config, self._ways = manifest, config, ways
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
        self._barred: Wish | None = None  # from where the robot is by now, no way to it is safe
        self.refused: tuple[Wish, str] | None = None  # the same with the reason, until it is told
        self._switched_at = -math.inf
        self._settled_at = -math.inf  # s, monotonic: when the last start or switch has settled
        self._moving = False

    def start(self, now: Instant) -> None:
        """Wish for the initial objective, if there is one."""
        if self._config.initial_objective:
            route = self._routes[self._config.initial_objective]
            self._wish = Wish(route, now.monotonic, "the initial objective")

    @property
    def wished(self) -> Route:
        """The route last wished for: followed at the next tick, or as soon as dwell, settling and way allow."""
        wish = self._wish
        return self.route if wish is None or wish is self._barred else wish.route

    def request(self, request: Request, now: Instant, moving: bool = False) -> Answer:
        """Wish for what is requested.

        Args:
            request: from outside.
            now: the moment.
            moving: whether a policy moves the robot.

        Raises:
            RequestRefused: no objective serves it, or no way to it is safe; the old wish stays.
        """
        resolved = resolve(self._manifest, request, self.wished.objective, self._config.nearest_distance)
        route = self._routes[resolved.objective]
        way = self._way(route, moving)
        if not way.first:
            raise RequestRefused(way.reason)
        reason = ", ".join(filter(None, (resolved.note, way.reason)))
        self._wish = Wish(route, now.monotonic, reason)
        return Answer(True, route.objective, route.group, reason)

    def age(self, now: Instant) -> float | None:
        """Seconds since the wish came; None before the first."""
        wish = self._wish
        return None if wish is None else now.monotonic - wish.arrival

    def follow(self, now: Instant, moving: bool = False) -> Signals:
        """Once a tick: set `route`, and `switch` where it is a new one, and say what came of it.

        Args:
            now: the moment.
            moving: whether a policy moves the robot.
        """
        wish, config = self._wish, self._config
        renewed, self._seen = wish is not None and wish is not self._seen, wish
        if moving and not self._moving:
            self._unsettle("", now)
        self._moving = moving
        if wish is None:
            return Signals(idle="no objective was commanded")
        age = now.monotonic - wish.arrival
        stale = bool(config.command_timeout_s) and not age <= config.command_timeout_s
        if stale:
            if not config.neutral_objective:
                return Signals(idle=f"the objective was commanded {age:.2f} s ago")
            wish = Wish(self._routes[config.neutral_objective], now.monotonic, "the command is stale")
        # Whoever fell silent is not there to see it settle.
        if wish.route is self.route or wish is self._barred or not self._may_switch(now, moving and not stale):
            return Signals(renewed=renewed)
        way = self._way(wish.route, moving)
        if not way.first:
            self._barred, self.refused = wish, (wish, way.reason)
            return Signals(renewed=renewed)
        return Signals(renewed=renewed, switched=self._take(wish, self._routes[way.first], now, moving))

    def _way(self, target: Route, moving: bool) -> Way:
        if self._ways is None or not moving:
            return Way(target.objective, "")
        way = self._ways.way(self.route.objective, target.objective)
        if not way.first and target.objective == self._config.neutral_objective:  # a wish to stop is never refused
            return Way(target.objective, f"{way.reason}, but it is the neutral objective")
        return way

    def _may_switch(self, now: Instant, moving: bool) -> bool:
        dwelt = now.monotonic - self._switched_at >= self._config.dwell_s
        return dwelt and (not moving or now.monotonic >= self._settled_at)

    def _unsettle(self, source: str, now: Instant) -> None:
        """Note that a start (from "") or a switch began."""
        if self._ways is not None and self.route is not NOWHERE:
            self._settled_at = now.monotonic + self._ways.settling(source, self.route.objective)

    def _take(self, wish: Wish, route: Route, now: Instant, moving: bool) -> bool:
        """Follow a route to the wish; the answer is whether the network, or what it is told, changes."""
        last, self.route = self.route, route
        self.switch, self._switched_at = Switch(last.objective, wish), now.monotonic
        self._unsettle(last.objective if moving else "", now)
        return self._manifest.conditioned or last.group != self.route.group

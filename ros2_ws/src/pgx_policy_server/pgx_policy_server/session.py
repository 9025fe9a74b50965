"""Everything that exists between configure and cleanup: one bundle's controller, its messages and its loop."""

from __future__ import annotations

import contextlib
import gc
import math
import time
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
from rclpy.duration import Duration
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool, String
from std_srvs.srv import SetBool

from pgx_core.errors import BundleError, ConfigError
from pgx_core.serving import Bundle, Controller, Instant, Mode, Tick, load_bundle
from pgx_core.serving.output import OutputGate, SafeCommands
from pgx_policy_server.claim import Claim
from pgx_policy_server.inputs import DEPTH, RobotInputs
from pgx_policy_server.metronome import SIMULATED_DEPTH, SimulatedMetronome, WallMetronome
from pgx_policy_server.objectives import ObjectiveInterface
from pgx_policy_server.outputs import CommandOut
from pgx_policy_server.parameters import serving_config
from pgx_policy_server.reports import Reports, View
from pgx_policy_server.timing import Pulse, TickTiming

REST_TICKS = 10  # over which a velocity or effort command goes to 0 at the end
HEARTBEAT_RATE = 50.0  # Hz, at most
WATCHDOG_SILENCE = 1.0  # s after which the watchdog counts as gone
DISCOVERY = 1.0  # s in which nodes come to know of each other, on a machine that is not very busy
FLUSH = 0.5  # s for the last messages to arrive
QOS = QoSProfile(depth=1)
# Of the e-stop: presses and releases in quick succession are all heard.
RELIABLE = QoSProfile(depth=10)
BEST_EFFORT = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LEAST_HEARTBEATS = 3  # that the watchdog must miss


class Stopped(NamedTuple):
    """Who presses the e-stop."""

    by_input: bool = False
    by_hand: bool = False


class Session:
    """Serves one bundle.

    Args:
        node: whose topics these are.
        values: every parameter.
        reports: told of ticks and events.
        stopped: whether the e-stop is pressed already.

    Raises:
        BundleError: the bundle is refused.
        ConfigError: the parameters do not fit it, or each other.
    """

    def __init__(self, node: Node, values: dict[str, Any], reports: Reports, stopped: Stopped) -> None:
        self._bundle = _load(values)
        contract = self._bundle.manifest.contract
        self._node, self._reports, self._watchdog = node, reports, values["watchdog"]
        self._controller = Controller(self._bundle, serving_config(values))
        rate, self._patience = contract.control_rate, values["timeout_s"]
        self._period, self._ticks_per_heartbeat = 1.0 / rate, max(1, round(rate / HEARTBEAT_RATE))
        self._require_patience(rate)
        simulated = self._simulated = bool(node.get_parameter("use_sim_time").value)
        with contextlib.ExitStack() as opened:  # a configuration that is refused halfway leaves nothing open
            self._metronome = SimulatedMetronome(node, rate) if simulated else WallMetronome(rate)
            opened.callback(self._metronome.close)
            now = self._metronome.now
            if stopped.by_input:
                self._controller.estop(True, now())
            self._controller.stop_by_hand(stopped.by_hand)
            order = values["joint_order"]
            self._output = CommandOut(node, values["command_out_type"], values["controller"], contract, order)
            opened.callback(self._output.close)
            self._claim = Claim(node, self._output.topic)
            objectives = self._bundle.manifest.objectives
            self._objectives = ObjectiveInterface(node, self._controller, objectives, now, values, reports)
            opened.callback(self._objectives.close)
            self._inputs = RobotInputs(node, self._controller, now, SIMULATED_DEPTH if simulated else DEPTH)
            opened.callback(self._inputs.close)
            self._open_estop(opened)
            self._open_heartbeats(opened)
            self._wiring = self._output.wiring(self._bundle.manifest.digest, self._patience, self._heartbeat.topic_name)
            self._opened = opened.pop_all()
        self._opened_at = time.monotonic()
        self._reset()

    def activate(self) -> str:
        """Start the loop; the answer is why not, or empty."""
        gc.collect()  # before the robot is looked at: it takes longer than a tick
        refusal = self._refusal()
        if refusal:
            self._claim.release()
            return refusal
        self._reset()
        gc.freeze()  # what exists now stays: collections during the loop then have little to look at
        self._metronome.start(self._beat)
        return ""

    @property
    def stopped(self) -> Stopped:
        """Whether the e-stop is pressed."""
        return Stopped(self._controller.stopped, self._controller.stopped_by_hand)

    def deactivate(self, orderly: bool = True) -> None:
        """Stop the loop and leave the robot with a safe command.

        After a fault, `orderly` is False: the heartbeat then just ends, and the watchdog commands the safe state.
        """
        self._metronome.stop()
        command = self._tick.command if self._tick else None
        self._controller.deactivate(self._metronome.now())
        if command is not None:
            self._come_to_rest(command, orderly)
        if orderly:
            self._heartbeat.publish(Bool(data=False))
        self._claim.release()
        self._tick, self._reason = None, ""
        self._reports.active("", "")

    def close(self) -> None:
        """Wait until the last messages have arrived, and free everything."""
        self._output.flush(FLUSH)
        self._heartbeat.wait_for_all_acked(Duration(seconds=FLUSH))  # a watchdog that misses the last one sees a fault
        self._opened.close()
        gc.unfreeze()

    def look(self) -> None:
        """While inactive: read the inputs without commanding, so that reports say what activation waits for."""
        now = self._metronome.now()
        self._watch_clock(now)
        self._tick = self._controller.tick(now)
        for event in self._tick.events:
            self._reports.event(event, now)

    def survey(self) -> None:
        """Look at what changes slowly: who else commands the robot, and whether the loop keeps up."""
        self._errors = self._other_commanders()
        self._slow = self._timing.slowness()

    @property
    def settled(self) -> bool:
        """Whether others that command the robot should be known by now."""
        return time.monotonic() - self._opened_at > DISCOVERY

    @property
    def summary(self) -> str:
        """What is served, in one sentence."""
        manifest, sessions = self._bundle.manifest, self._bundle.sessions
        providers = ", ".join(sorted({session.provider for session in sessions.values()}))
        counts = f"{len(manifest.objectives)} objectives in {len(sessions)} groups"
        served = f"bundle '{manifest.name}': {counts} at {manifest.contract.control_rate:g} Hz on {providers}"
        return f"{served}; {self._controller.switching}"

    def check(self) -> None:
        """Raise what ended the loop."""
        if self._metronome.failure is not None:
            raise self._metronome.failure

    def view(self, state: str, note: str) -> View:
        """What there is to report."""
        tick, manifest = self._tick, self._bundle.manifest
        words = (tick.refusal if tick else "", self._unwatched(), self._slow)
        warnings = [note, *(one for one in words if one not in note)]
        return View(
            state=state,
            mode=tick.mode.name if tick else Mode.INACTIVE.name,
            reason=self._reason,
            objective=tick.objective if tick else "",
            group=tick.group if tick else "",
            bundle=manifest.name,
            digest=manifest.digest,
            ages=tick.ages if tick else {},
            refusals=dict(self._inputs.refusals),
            timing=self._timing.report(),
            ticks=self._ticks,
            refused_ticks=self._refused_ticks,
            clamps=tick.clamps if tick else 0,
            providers={group: session.provider for group, session in self._bundle.sessions.items()},
            warnings=tuple(filter(None, warnings)),
            errors=tuple(self._errors),
        )

    def _refusal(self) -> str:
        """Why it cannot be activated, or empty: then the controller is."""
        others = self._other_commanders()
        if not others and not self._claim.take():
            others = [f"{self._output.topic} is commanded by another process of this machine"]
        if others:
            return f"{others[0]}: two nodes must not command one robot"
        unwatched = self._unwatched()
        if unwatched:
            return f"{unwatched}; an empty parameter 'watchdog' says that there is none"
        return self._controller.activate(self._metronome.now())

    def _reset(self) -> None:
        self._timing, self._pulse = TickTiming(), Pulse()
        self._errors: list[str] = []
        self._slow = ""
        self._last_ros = -math.inf
        self._tick, self._reason = None, ""
        self._ticks = self._refused_ticks = 0
        self._commanded = 0  # ticks in a row

    def _beat(self, now: Instant, missed: int) -> None:
        """One control tick."""
        start = time.monotonic()
        self._watch_clock(now)
        stood = self._pulse.silence(start)
        if self._simulated:  # its clock may jump, or a message of it be lost
            stood = min(stood, missed * self._period)
        if stood >= self._patience:
            self._controller.stalled(stood, now)
            self._pulse.rest()
        self._pulse.begin(start)
        tick = self._controller.tick(now)
        # It stood still in here: the watchdog has taken over. A simulator loses no tick to a slow machine.
        looked = time.monotonic()
        late = not self._simulated and self._pulse.silence(looked) >= self._patience
        if tick.command is not None and not late:
            self._output.publish(tick.command)
            self._beat_heart(looked)
        else:
            self._commanded = 0
        if tick.command is None:
            self._pulse.rest()
        self._timing.add(start, time.monotonic(), missed)
        self._note(tick, now)

    def _watch_clock(self, now: Instant) -> None:
        if now.ros < self._last_ros:
            self._controller.clock_jumped(now)
        self._last_ros = now.ros

    def _come_to_rest(self, command: np.ndarray, alive: bool) -> None:
        """Hold the position, or bring velocity or effort to 0: the controller keeps the last command for ever."""
        contract = self._controller.contract
        gate, rest = OutputGate(contract, REST_TICKS), SafeCommands(contract).hold(command)
        for _ in range(1 if contract.command_type == "position" else REST_TICKS):
            command = gate.admit(rest, command, driven=False)
            self._output.publish(command)
            if alive:  # or the watchdog would command beside it
                self._heartbeat.publish(self._alive)
            time.sleep(1.0 / contract.control_rate)

    def _beat_heart(self, looked: float) -> None:
        """Only a server that commands is alive to the watchdog, which else leaves a robot that nobody commands.

        It counts from when the server last `looked` at the time, monotonic s: it may stand still right after that.
        """
        if self._commanded % self._ticks_per_heartbeat == 0:
            self._heartbeat.publish(self._alive)
            self._pulse.beat(looked)
        self._commanded += 1

    def _note(self, tick: Tick, now: Instant) -> None:
        self._tick = tick
        self._refused_ticks += bool(tick.refusal)
        self._ticks += 1
        for event in tick.events:
            self._reports.event(event, now)
            if event.kind == "mode":
                self._reason = event.reason
        self._reports.active(tick.group, tick.objective)

    def _open_estop(self, opened: contextlib.ExitStack) -> None:
        def on_message(message: Bool) -> None:
            self._controller.estop(message.data, self._metronome.now())

        def on_call(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
            self._controller.stop_by_hand(request.data)
            response.success = True
            response.message = "pressed" if request.data else "released: deactivate and activate to go on"
            return response

        opened.callback(self._node.destroy_service, self._node.create_service(SetBool, "~/estop", on_call))
        # A reliable reader does not hear a best-effort button, the other kind may lose a press, and neither is told
        # what a button said before: one of each.
        for qos in (RELIABLE, BEST_EFFORT, LATCHED):
            # Each button is heard by some, and no operator should read that the others do not hear it.
            unsaid = SubscriptionEventCallbacks(use_default_callbacks=False)
            heard = self._node.create_subscription(Bool, "~/estop", on_message, qos, event_callbacks=unsaid)
            opened.callback(self._node.destroy_subscription, heard)

    def _require_patience(self, rate: float) -> None:
        least = LEAST_HEARTBEATS * self._ticks_per_heartbeat / rate
        if self._watchdog and self._patience < least:
            raise ConfigError(
                f"timeout_s: expected {least:.3g} s or more, {LEAST_HEARTBEATS} heartbeats at {rate:g} Hz, got "
                f"{self._patience:g} s: the watchdog would command beside this server"
            )

    def _open_heartbeats(self, opened: contextlib.ExitStack) -> None:
        self._alive = Bool(data=True)
        self._heartbeat = self._node.create_publisher(Bool, "~/heartbeat", QOS)
        opened.callback(self._node.destroy_publisher, self._heartbeat)
        self._watchdog_heard, self._watchdog_wiring = 0.0, ""

        def on_watchdog(message: String) -> None:
            self._watchdog_heard, self._watchdog_wiring = time.monotonic(), message.data

        if self._watchdog:
            topic = f"{self._watchdog}/heartbeat"
            heard = self._node.create_subscription(String, topic, on_watchdog, QOS)
            opened.callback(self._node.destroy_subscription, heard)

    def _unwatched(self) -> str:
        """Why nobody would take the robot over if this process died, or empty."""
        if not self._watchdog:
            return ""
        if not self._watchdog_wiring:
            return f"the watchdog '{self._watchdog}' has not been heard"
        if time.monotonic() - self._watchdog_heard > WATCHDOG_SILENCE:
            return f"the watchdog '{self._watchdog}' has been silent for {WATCHDOG_SILENCE:g} s"
        if self._watchdog_wiring != self._wiring:
            got = f"got {self._watchdog_wiring}: restart it with the server's parameters"
            return f"the watchdog '{self._watchdog}': expected {self._wiring}, {got}"
        return ""

    def _other_commanders(self) -> list[str]:
        """Nodes besides this one and the watchdog that publish commands."""
        publishers = self._node.get_publishers_info_by_topic(self._output.topic)
        namespace = self._node.get_namespace().rstrip("/")
        names = [f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in publishers]
        names = [name for name in names if name != f"{namespace}/{self._watchdog}"]  # one that died lingers on
        own = f"{namespace}/{self._node.get_name()}"
        if own in names:
            names.remove(own)
        return [f"{self._output.topic} is published by {name} too" for name in names]


def _load(values: dict[str, Any]) -> Bundle:
    """The bundle, on the first of the wished providers that ONNX Runtime has here."""
    if not values["bundle_path"]:
        raise ConfigError("bundle_path: expected the folder of a bundle, got nothing")
    available = onnxruntime.get_available_providers()
    providers = tuple(provider for provider in values["providers"] if provider in available)
    if not providers:
        raise ConfigError(f"providers: ONNX Runtime has none of them; it has: {', '.join(available)}")
    bundle = load_bundle(values["bundle_path"], providers)
    required = values["require_provider"]
    for group, session in bundle.sessions.items():
        if required and session.provider != required:
            raise BundleError(f"require_provider: group '{group}' runs on {session.provider}, not on {required}")
    return bundle

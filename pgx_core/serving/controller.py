"""Everything between the robot's messages and its joint commands. No thread, no clock: every call gets the time."""

from __future__ import annotations

import math
import threading
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from pgx_core.contract import PolicyContract
from pgx_core.errors import require
from pgx_core.serving.bundle import Bundle
from pgx_core.serving.config import Answer, Event, Instant, Request, ServingConfig, Tick
from pgx_core.serving.course import Course
from pgx_core.serving.hazards import Hazards
from pgx_core.serving.inputs import InputGate, Inputs, Untrusted
from pgx_core.serving.modes import ACTIVATED, MOVING, Mode, ModeRules, ModeState, Signals, count, decide, why_deaf
from pgx_core.serving.output import OutputGate, SafeCommands
from pgx_core.serving.pilot import Pilot
from pgx_core.serving.router import RequestRefused, describe
from pgx_core.serving.switches import SwitchMatrix
from pgx_core.serving.ways import survey

JUST_ACTIVATED = "the first command is where the joints are"  # so that it is no step, whoever commanded before
BLEND_S = 0.3  # s: gentle; a robot in mid-stride may need less
STANDING_S = 0.5  # s after its last command in which a robot that is activated again counts as standing there
SAFE_S = 0.3  # s at most in which a safe velocity or effort command takes over, however slowly policies are blended
MOST_EVENTS = 1000  # kept between two ticks; the oldest go first


def blend_of(switches: SwitchMatrix | None, config: ServingConfig) -> float:
    """The time of a blend, s: the setting, or else that of the bundle's measured switches, or else `BLEND_S`."""
    if config.blend_s >= 0.0:
        return config.blend_s
    return BLEND_S if switches is None else switches.blend_s


@dataclass(frozen=True)
class _Estop:
    """The last word of the e-stop input."""

    pressed: bool
    arrival: float  # s, monotonic


class Controller:
    """Serves the policies of a bundle on a robot, and keeps it safe from what its software gets wrong.

    Inputs, `request` and `estop` may come from one thread and `tick` from another: each leaves an immutable value
    in a slot, which the tick reads. `activate`, `deactivate` and `tick` exclude each other.

    `switching` says in a sentence what is known of switches between the bundle's objectives.

    Raises:
        BundleError: an objective of the settings is unknown.
        ConfigError: a command may go stale, and the robot would stiffen in mid-step for want of a neutral objective.
    """

    def __init__(self, bundle: Bundle, config: ServingConfig = ServingConfig()) -> None:  # noqa: B008, it is frozen
        contract = bundle.manifest.contract
        stiffens = config.command_timeout_s > 0.0 and contract.safe_state == "damp" and not config.neutral_objective
        wanted = "an objective for when the command is stale, or command_timeout_s 0"
        require(not stiffens, "neutral_objective", wanted, "none")
        config = replace(config, blend_s=blend_of(bundle.switches, config))
        blend_ticks, safe_ticks = (
            max(1, round(seconds * contract.control_rate)) for seconds in (config.blend_s, min(config.blend_s, SAFE_S))
        )
        self.contract: PolicyContract = contract
        self._position = contract.command_type == "position"
        self._estop_timeout = config.estop_timeout_s
        self._rules = ModeRules(Mode(contract.safe_state), config.bad_ticks, config.recovery_s)
        self._inputs = InputGate(contract, config)
        self._hazards = Hazards(contract, config.overspeed, config.following_error)
        ways, self.switching = survey(bundle.switches, config)
        self._course, self._pilot = Course(bundle.manifest, config, ways), Pilot(bundle, blend_ticks)
        self._safe, self._gate = SafeCommands(contract), OutputGate(contract, safe_ticks)
        self._lock = threading.Lock()
        self._events: deque[Event] = deque(maxlen=MOST_EVENTS)
        self._estop: _Estop | None = None
        self._by_hand = False
        self._asked_at = -math.inf  # s, monotonic: when the last request came
        self._presses = self._presses_seen = 0  # counted, so that a press between two ticks is not lost
        self._command: np.ndarray | None = None  # the last published one; None while INACTIVE or unknown
        self._left: tuple[np.ndarray, float] | None = None  # the last one before INACTIVE, and when, s monotonic
        self._state: ModeState
        self._reset(ModeState(), None)

    @property
    def mode(self) -> Mode:
        """What the controller does now."""
        return self._state.mode

    @property
    def stopped(self) -> bool:
        """Whether the e-stop input was last heard pressed."""
        return self._estop is not None and self._estop.pressed

    @property
    def stopped_by_hand(self) -> bool:
        """Whether `stop_by_hand` holds it."""
        return self._by_hand

    def required_inputs(self) -> tuple[str, ...]:
        """The inputs that the policies need: of "joint_states", "imu", "odometry", "sensor:NAME"."""
        return self._inputs.required

    def joint_state(
        self, names: Untrusted, positions: Untrusted, velocities: Untrusted, stamp: Untrusted, now: Instant
    ) -> str:
        """Take the joints in any order: rad or m, and per s. The answer is "" or why they were refused."""
        return self._inputs.joint_state(names, positions, velocities, stamp, now)

    def imu(self, orientation_wxyz: Untrusted, angular_velocity: Untrusted, stamp: Untrusted, now: Instant) -> str:
        """Take the base's orientation in the world (w, x, y, z), and its angular velocity in its own frame, rad/s."""
        return self._inputs.imu(orientation_wxyz, angular_velocity, stamp, now)

    def odometry(self, linear_velocity: Untrusted, stamp: Untrusted, now: Instant) -> str:
        """Take the base's velocity in its own frame, m/s."""
        return self._inputs.odometry(linear_velocity, stamp, now)

    def sensor(self, name: str, values: Untrusted, stamp: Untrusted, now: Instant) -> str:
        """Take the reading of the contract's term "sensor:NAME"."""
        return self._inputs.sensor(name, values, stamp, now)

    def estop(self, pressed: bool, now: Instant) -> None:
        """Take the e-stop's state; it also counts as its sign of life. A press is never forgotten before a tick."""
        self._estop = _Estop(bool(pressed), now.monotonic)
        if pressed:
            self._presses += 1

    def stop_by_hand(self, pressed: bool) -> None:
        """Press the e-stop, or release it, beside its input: neither releases what the other has pressed."""
        self._by_hand = bool(pressed)
        if pressed:
            self._presses += 1

    def request(self, request: Request, now: Instant) -> Answer:
        """Ask for an objective. It is judged at once, and takes effect at a tick; a refused one changes nothing."""
        try:
            asked_at, self._asked_at = self._asked_at, now.monotonic
            closed = why_deaf(self._state, self._signals, now.monotonic - asked_at, now.monotonic, self._rules)
            if closed:
                raise RequestRefused(closed)
            return self._course.request(request, now, self.mode in MOVING)
        except RequestRefused as error:
            kept = self._course.wished
            asked = describe(request)
            self._events.append(Event("refused", kept.objective, asked, kept.objective, kept.group, str(error)))
            return Answer(False, kept.objective, kept.group, str(error))

    def activate(self, now: Instant) -> str:
        """INACTIVE to HOLD, where the joints are now. The answer is "", or why not."""
        with self._lock:
            if self.mode is not Mode.INACTIVE:
                return f"already active: {self.mode.value}"
            self._presses_seen = self._presses  # before the look at the slot: a press after it stops the first tick
            inputs = self._inputs.read(now)
            reason = self._stop(now) or inputs.fault
            if reason or inputs.positions is None:
                return reason
            reason = self._out_of_range(inputs.positions)
            if reason:
                return reason
            self._reset(ACTIVATED, self._first(inputs.positions, now))
            self._pause = JUST_ACTIVATED
            self._course.start(now)
            self._note_mode(Mode.INACTIVE, "activated")
            return ""

    def deactivate(self, now: Instant) -> None:
        """Command nothing any more, from whatever mode; what was wished for is forgotten."""
        with self._lock:
            before = self.mode
            if self._command is not None:
                self._left = (self._command, now.monotonic)
            self._reset(ModeState(), None)
            if before is not Mode.INACTIVE:
                self._note_mode(before, "deactivated")

    def clock_jumped(self, now: Instant) -> None:
        """Forget all readings: the ROS clock went backward, and their stamps cannot be compared to its time."""
        self._inputs.forget()

    def stalled(self, seconds: float, now: Instant) -> None:
        """The loop stood still for so long, s, that a watchdog commands the robot: to the safe state, and from there.

        A robot that holds still gets the same command from both. Any other is not where it was left: the next
        command starts from where its joints are measured, and there is none before. What was measured earlier, and
        waited in a queue meanwhile, does not say where they are.
        """
        with self._lock:
            if self.mode is Mode.INACTIVE:
                return
            self._inputs.forget(before=now.ros)
            self._stall = f"the loop stood still for {seconds:.2f} s"
            self._state = replace(self._state, bad=self._rules.bad_ticks)
            if self._rules.safe is not Mode.HOLD or not self._position:
                self._command = None

    def tick(self, now: Instant) -> Tick:
        """The next command; to be called at the contract's control rate."""
        with self._lock:
            inputs = self._inputs.read(now)
            if self._command is None and inputs.positions is not None and self.mode is not Mode.INACTIVE:
                self._command = self._standing(inputs.positions)
            course = self._course.follow(now, self.mode in MOVING)
            observation, fault = self._pilot.observe(inputs, self._course.route)
            signals = self._sense(course, inputs, fault, now)
            self._step(signals, now)
            wanted, signals = self._drive(observation, signals, now)
            self._publish(wanted, inputs)
            self._note_events(wanted is not None, signals, now)
            self._signals, self._stall, self._pause = signals, "", ""
            return self._report(now)

    def _reset(self, state: ModeState, command: np.ndarray | None) -> None:
        """As before the first tick, in the given state."""
        self._state, self._signals = state, Signals()
        self._command, self._stall, self._pause = command, "", ""
        self._course.forget()
        self._pilot.reset()

    def _sense(self, course: Signals, inputs: Inputs, fault: str, now: Instant) -> Signals:
        return replace(
            course,
            stop=self._stop(now),
            idle=self._pause or course.idle,
            fault=self._stall or inputs.fault or fault,
            danger=self._hazards.find(inputs, self._command),
            blended=self._pilot.blended and not course.switched,
        )

    def _stop(self, now: Instant) -> str:
        estop, timeout = self._estop, self._estop_timeout
        if self._presses != self._presses_seen or self.stopped or self._by_hand:
            return "the e-stop is pressed"
        if timeout and (estop is None or not now.monotonic - estop.arrival <= timeout):
            return "the e-stop is silent"
        return ""

    def _step(self, signals: Signals, now: Instant) -> None:
        """Let the mode machine decide; a policy that comes to the wheel starts from the last command."""
        before = self.mode
        self._state, reason = decide(count(self._state, signals, now.monotonic), signals, now.monotonic, self._rules)
        if self.mode is not before:
            self._note_mode(before, reason)
        if self.mode is Mode.RAMP and self._command is not None and (before is not Mode.RAMP or signals.switched):
            self._pilot.start_blend(self._command)

    def _drive(
        self, observation: np.ndarray | None, signals: Signals, now: Instant
    ) -> tuple[np.ndarray | None, Signals]:
        """What the policy wants, or None: it is not at the wheel, sees nothing, or has gone wrong."""
        if self.mode not in MOVING or observation is None:
            return None, signals
        output, wrong = self._pilot.ask(observation, self._course.route)
        if output is not None:
            return self._pilot.blend(output), signals
        signals = replace(signals, danger=wrong)
        self._step(signals, now)
        return None, signals

    def _publish(self, wanted: np.ndarray | None, inputs: Inputs) -> None:
        """Let what the policy wants, or else what is safe, through the output gate."""
        if self._command is None:
            return
        safe = self._safe_command(self._command, inputs) if wanted is None else wanted
        self._command = self._gate.admit(safe, self._command, driven=wanted is not None)

    def _standing(self, positions: np.ndarray) -> np.ndarray:
        """The command that moves nothing: where the joints are measured, or no velocity or effort."""
        return self._gate.limit(positions if self._position else np.zeros(self.contract.action_size))

    def _out_of_range(self, positions: np.ndarray) -> str:
        """Which joint is so far outside of its range that the first command, inside, would be a step, or ""."""
        outside = np.abs(positions - self._gate.limit(positions))
        if not self._position or (outside <= self._gate.reach).all():
            return ""
        worst = int(np.argmax(outside - self._gate.reach))
        joint = self.contract.joints[worst]
        return (
            f"joint '{joint.name}' is at {positions[worst]:.3f}, outside of its range of {joint.lower:g} to "
            f"{joint.upper:g}: move it there first, or it would jump"
        )

    def _first(self, positions: np.ndarray, now: Instant) -> np.ndarray:
        """Where the joints are; but soon after its last command a tick's reach from it at most, then further each tick.

        Whoever hears the commands cannot tell an activation from a late tick, and clocks differ by some ticks.
        """
        start = self._standing(positions)
        if self._left is None or not self._position:
            return start
        command, when = self._left
        reach = self._gate.reach * max(1, round((now.monotonic - when - STANDING_S) * self.contract.control_rate))
        return np.minimum(np.maximum(start, command - reach), command + reach)  # type: ignore[no-any-return]

    def _safe_command(self, previous: np.ndarray, inputs: Inputs) -> np.ndarray:
        if self.mode in MOVING:
            return previous  # one bad tick
        mode = self._rules.safe if self.mode is Mode.ESTOP else self.mode
        if mode is Mode.DAMP:
            return self._safe.damp(previous, inputs.positions, inputs.velocities)
        return self._safe.hold(previous)

    def _note_events(self, driven: bool, signals: Signals, now: Instant) -> None:
        course, objective, group = self._course, self._course.route.objective, self._course.route.group
        if driven and course.switch is not None:
            switch, course.switch = course.switch, None
            latency = now.monotonic - switch.wish.arrival
            self._events.append(
                Event("switch", switch.source, objective, objective, group, switch.wish.reason, latency)
            )
        if course.refused is not None:
            (wish, why), course.refused = course.refused, None
            self._events.append(Event("refused", objective, wish.route.objective, objective, group, why))
        if signals.renewed and self.mode in (Mode.DAMP, Mode.ESTOP):
            reason = signals.stop or signals.danger or signals.fault
            self._events.append(Event("refused", objective, objective, objective, group, reason))

    def _note_mode(self, before: Mode, reason: str) -> None:
        route = self._course.route
        self._events.append(Event("mode", before.value, self.mode.value, route.objective, route.group, reason))

    def _report(self, now: Instant) -> Tick:
        route, estop, ages = self._course.route, self._estop, self._inputs.ages(now)
        wished = self._course.age(now)
        if wished is not None:
            ages["objective"] = wished
        if estop is not None:
            ages["estop"] = now.monotonic - estop.arrival
        events = tuple(self._events.popleft() for _ in range(len(self._events)))
        return Tick(
            None if self._command is None else self._command.copy(),
            self._pilot.action.copy(),
            self.mode,
            route.objective,
            route.group,
            self._signals.fault or self._signals.danger,
            events,
            ages,
            self._gate.clamps,
        )

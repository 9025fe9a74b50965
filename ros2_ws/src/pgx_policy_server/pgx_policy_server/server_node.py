"""The lifecycle node `policy_server`: parameters, transitions and reports around a `Session`."""

from __future__ import annotations

import re
import traceback

from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.timer import Timer

from pgx_core.errors import PgxError
from pgx_policy_server.parameters import SERVER, declare, read
from pgx_policy_server.reports import Reports, View
from pgx_policy_server.session import Session, Stopped
from pgx_policy_server.spinning import run

STATUS_PERIOD = 0.1  # s
STATUSES_PER_DIAGNOSTIC = 10
RETRY_PERIOD = 0.25  # s between two tries to activate by itself
ACTIVE = "active"

Answer = TransitionCallbackReturn


class PolicyServerNode(LifecycleNode):
    """Serves a bundle to a robot.

    Configure loads, verifies and warms up every policy; activate needs fresh inputs; deactivate leaves the robot with
    a safe command; cleanup frees all, so that another bundle can be configured.

    Raises:
        ConfigError: a parameter has another type or is out of range.
    """

    def __init__(self) -> None:
        super().__init__("policy_server")
        declare(self, SERVER)
        self._session: Session | None = None
        self._state, self._note = "unconfigured", ""
        self._starting = False  # by itself
        self._stopped = Stopped()  # when the last session ended
        self._starter: Timer | None = None
        self._reports = Reports(self)
        self._rounds, self._headline = 0, ()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        self.create_timer(STATUS_PERIOD, self._report, clock=steady)
        if self.get_parameter("autostart").value:
            self._starter = self.create_timer(RETRY_PERIOD, self._start, clock=steady)

    @property
    def node(self) -> LifecycleNode:
        """This node."""
        return self

    def check(self) -> None:
        """Raise what ended the loop."""
        if self._session is not None:
            self._session.check()

    def close(self, orderly: bool = True) -> None:
        """Leave the robot with a safe command; after a fault the watchdog gives the next."""
        if self._session is not None:
            if self._state == ACTIVE:
                self._session.deactivate(orderly)
            self._session.close()

    def on_configure(self, state: LifecycleState) -> Answer:
        """Load and verify the bundle and open its topics."""
        try:
            self._session = Session(self, read(self, SERVER), self._reports, self._stopped)
        except PgxError as error:
            return self._refuse(f"configuration refused: {error}")
        except Exception as error:  # rclpy would swallow it, unsaid
            self.get_logger().debug(traceback.format_exc())
            return self._refuse(f"configuration refused: {' '.join(str(error).split())}")
        # Worth saying, and said here: rclpy's first message takes 20 ms, which the first tick does not have.
        self.get_logger().info(self._session.summary)
        return self._become("inactive")

    def on_activate(self, state: LifecycleState) -> Answer:
        """Start the loop, if the inputs are fresh."""
        refusal = self._session.activate()
        if refusal:
            return self._refuse(f"activation refused: {refusal}")
        self._leave_to_operator()
        return self._become(ACTIVE)

    def on_deactivate(self, state: LifecycleState) -> Answer:
        """Stop the loop with a safe command."""
        self._session.deactivate()
        return self._become("inactive")

    def on_cleanup(self, state: LifecycleState) -> Answer:
        """Free the bundle."""
        self._leave_to_operator()
        self._session.close()
        self._stopped = self._session.stopped  # the e-stop is not released by another bundle
        self._session = None
        return self._become("unconfigured")

    def on_shutdown(self, state: LifecycleState) -> Answer:
        """Leave the robot with a safe command."""
        self._leave_to_operator()
        self.close()
        self._session = None
        return self._become("finalized")

    def _become(self, state: str) -> Answer:
        self._state, self._note = state, ""
        self._report()
        return Answer.SUCCESS

    def _refuse(self, note: str) -> Answer:
        if without_ages(note) != without_ages(self._note):  # autostart tries again and again, and ages grow
            log = self.get_logger()
            log.info(note) if self._starting else log.error(note)
        self._note = note
        return Answer.FAILURE

    def _start(self) -> None:
        """Configure once: the same bundle would be refused again. Then activate as soon as the inputs are there."""
        if self._state == "unconfigured":
            self.trigger_configure()
        elif any(self._session.stopped):  # whoever releases it does not expect the robot to start
            self._refuse("the e-stop is pressed: activate by hand when it is released")
            self._leave_to_operator()
        elif self._session.settled:
            self._starting = True
            self.trigger_activate()
            self._starting = False
        if self._state == "unconfigured":
            self._leave_to_operator()

    def _leave_to_operator(self) -> None:
        """From the first activation or cleanup on, whoever it came from, nothing happens by itself any more."""
        if self._starter is not None:
            self._starter.cancel()

    def _on_set_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        """Everything is read in configure, so what is set after it would do nothing, unsaid."""
        free = self._session is None
        return SetParametersResult(successful=free, reason="" if free else "deactivate and clean up first")

    def _report(self) -> None:
        """Status each time; diagnostics when something changed, and once a second."""
        self._rounds += 1
        slow = self._rounds % STATUSES_PER_DIAGNOSTIC == 0
        if self._session is not None:
            if self._state != ACTIVE:
                self._session.look()
            if slow:
                self._session.survey()
        view = self._view()
        self._reports.status(view)
        headline = (view.state, view.mode, view.objective, view.reason)
        if slow or headline != self._headline:
            self._headline = headline
            self._reports.diagnostics(view)

    def _view(self) -> View:
        if self._session is None:
            return View(self._state, errors=(self._note,) if self._note else ())
        return self._session.view(self._state, self._note)


def without_ages(note: str) -> str:
    """What it is about, however old a reading is by now: refusals that are alike here are told once."""
    return re.sub(r"\d+\.\d{3} s", "", note)


def main() -> None:
    """Entry point of the executable `policy_server`."""
    run(PolicyServerNode)


if __name__ == "__main__":
    main()

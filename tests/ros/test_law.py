"""The law itself: what it hears, and what it does not let pass."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from pgx_core.serving.manifest import BundleManifest

from .law import STILL, Law, Sent
from .processes import wait_until

FORWARD, JOINTS, TRAJECTORY = "/odd/commands", "/left/joint_commands", "/any/joint_trajectory"


@pytest.fixture
def judge(manifest: BundleManifest) -> Iterator[Law]:
    """One that judges the nodes of this process too, as the tests' other one does not."""
    law = Law(manifest.contract, lenient=False)
    law.open()
    yield law
    law.close()


@pytest.fixture
def publish(laws: Law, judge: Law) -> Iterator[Any]:
    """Publish commands of one number for all joints, as a robot's server would."""
    import rclpy

    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node("policy_server", context=context)
    publishers = {
        topic: node.create_publisher(kind, topic, 10)
        for topic, kind in ((FORWARD, Float64MultiArray), (JOINTS, JointState), (TRAJECTORY, JointTrajectory))
    }

    def say(topic: str, *numbers: float) -> None:
        publisher = publishers[topic]
        wait_until(lambda: publisher.get_subscription_count() >= 2, 10.0, "both to listen")
        count = len(judge._heard[topic])
        for number in numbers:
            values = [number] * 6
            if topic == FORWARD:
                publisher.publish(Float64MultiArray(data=values))
            elif topic == JOINTS:
                publisher.publish(JointState(position=values))
            else:
                publisher.publish(JointTrajectory(points=[JointTrajectoryPoint(positions=values)]))
        wait_until(lambda: len(judge._heard[topic]) >= count + len(numbers), 10.0, "commands")

    yield say
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.parametrize("topic", [FORWARD, JOINTS, TRAJECTORY])
def test_every_kind_of_command_is_judged_in_any_namespace(judge: Law, publish, topic: str) -> None:
    step = judge.contract.joints[0].velocity_limit / judge.contract.control_rate
    publish(topic, 0.0, step, 0.0, -step)
    judge.check()
    assert judge.judged == 3
    publish(topic, *[-step, 0.01] * 5)  # often: a busy machine may keep two so far apart that it is no jump
    with pytest.raises(AssertionError, match=r"a command moved by 0\.81"):
        judge.check()


def test_a_jump_is_one_however_long_the_next_command_took(judge: Law) -> None:
    step = judge.contract.joints[0].velocity_limit / judge.contract.control_rate
    now = time.time()
    later = now + 2.0 / judge.contract.control_rate  # two ticks
    assert later < now + STILL, "less than a silence"
    judge._heard["/x/commands"] = [Sent(now, b"a", 1, np.zeros(6)), Sent(later, b"a", 2, np.full(6, 1.1 * step))]
    with pytest.raises(AssertionError, match="in 1 ticks"):
        judge.check()


def test_one_that_hands_over_may_be_a_tick_away_and_no_more(judge: Law) -> None:
    step = judge.contract.joints[0].velocity_limit / judge.contract.control_rate
    sent = [(b"a", 1, 0.0), (b"b", 1, -0.5), (b"a", 2, 0.5), (b"b", 2, -0.5), (b"a", 3, 1.5)]
    now = time.time()
    heard = [Sent(now + 0.01 * k, sender, n, np.full(6, ticks * step)) for k, (sender, n, ticks) in enumerate(sent)]
    judge._heard["/x/commands"] = heard.copy()
    judge.check()
    far = Sent(now + 0.05, b"b", 3, np.full(6, -1.4 * step))  # near to its own last one
    judge._heard["/x/commands"].append(far)
    with pytest.raises(AssertionError, match="in 2 ticks"):
        judge.check()
    judge._heard["/x/commands"] = [*heard, replace(far, values=np.full(6, 0.6 * step))]  # near to the other's
    with pytest.raises(AssertionError, match="in 1 ticks"):
        judge.check()


def test_what_is_out_of_range_or_of_another_robot_is_found(judge: Law, publish) -> None:
    highest = max(joint.upper for joint in judge.contract.joints)
    publish(FORWARD, 1.01 * highest)
    with pytest.raises(AssertionError, match="out of range"):
        judge.check()
    publish(FORWARD, 0.0)
    judge.hold(replace(judge.contract, joints=judge.contract.joints[:2]))
    judge.check()  # that was the other robot's
    publish(FORWARD, 0.0)
    with pytest.raises(AssertionError, match="expected a command for 2 joints, got one for 6"):
        judge.check()


@pytest.mark.parametrize("numbers", [(math.nan,), (0.0, math.nan), (0.0, math.inf)])
def test_what_is_no_number_is_found_in_the_first_command_too(judge: Law, publish, numbers: tuple[float, ...]) -> None:
    publish(FORWARD, *numbers)
    with pytest.raises(AssertionError, match="NaN or infinity"):
        judge.check()

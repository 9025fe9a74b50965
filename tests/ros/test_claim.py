"""One process of a machine commands a topic: known at once, without DDS, and over when that process ends."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: make ros")
from pgx_policy_server.claim import Claim

TOPIC = "/claimed_by_tests/commands"
HOLDER = f"""
from types import SimpleNamespace
from pgx_policy_server.claim import Claim
context = SimpleNamespace(get_domain_id=lambda: 231)
claim = Claim(SimpleNamespace(context=context), {TOPIC!r})
print(claim.take(), flush=True)
input()
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="abstract sockets are Linux's")


def claim(domain: int = 231, topic: str = TOPIC) -> Claim:
    return Claim(SimpleNamespace(context=SimpleNamespace(get_domain_id=lambda: domain)), topic)


def test_one_at_a_time() -> None:
    first, second = claim(), claim()
    assert first.take() and first.take(), "to ask twice does no harm"
    assert not second.take()
    second.release()
    assert not second.take(), "who has nothing releases nothing"
    first.release()
    assert second.take() and not first.take()
    second.release()


def test_other_robots_and_other_domains_are_no_matter() -> None:
    claims = [claim(), claim(domain=230), claim(topic="/" + "long/" * 50)]
    assert all(each.take() for each in claims)
    for each in claims:
        each.release()


def test_it_ends_with_its_process() -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "True\n"
        mine = claim()
        assert not mine.take()
    finally:
        holder.kill()
        holder.communicate()
    assert mine.take()
    mine.release()

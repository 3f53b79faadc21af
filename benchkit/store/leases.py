"""Leases on keys of a cache that several machines share.

A lease is an object in the bucket. It becomes void when its holder's heartbeat stops.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchkit.errors import BenchkitError
from benchkit.store.artifacts import ArtifactBusy, CacheUnwritable
from benchkit.store.encoding import json_to_bytes, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchkit.store.bucket import Bucket

BEAT = 15.0  # seconds between two heartbeats
DEAD_AFTER = 60.0  # seconds without one, by the clock of the waiting process: clocks of machines are never compared
POLL = 1.0
LEASES, HOLDERS = "leases", "holders"

_log = logging.getLogger(__name__)


class Leases:
    """The leases of this process in a bucket.

    Two processes may hold one lease if the store has no conditional write, or if a heartbeat was late. The work is then
    done twice, and either result is complete. machine: name of the folder whose locks separate the processes of one
    machine. A process that has that lock and finds a lease of the same machine knows that its holder is dead.
    """

    def __init__(self, bucket: Bucket, machine: str) -> None:
        self._bucket = bucket
        self._machine = machine
        self._heartbeat = _Heartbeat(bucket)
        self._depth: dict[str, int] = {}
        self._seen: dict[str, tuple[bytes | None, float]] = {}

    @contextmanager
    def hold(self, key: str, timeout: float | None) -> Iterator[None]:
        """Hold the lease of a key, whose local lock the caller has; wait and raise as ArtifactStore.lease."""
        if not self._depth.get(key):
            self._wait(key, timeout)
        self._depth[key] = self._depth.get(key, 0) + 1
        try:
            yield
        finally:
            self._depth[key] -= 1
            if not self._depth[key]:
                del self._depth[key]
                self._release(key)

    def is_live(self, key: str, seconds: float) -> bool:
        """Return whether a key has a holder with a heartbeat in the last `seconds`, by the server's clock."""
        entries = self._bucket.list_entries(HOLDERS)
        holder = self._read_holder(key)
        return holder is not None and holder[1] in entries and time.time() - entries[holder[1]].changed < seconds

    def _wait(self, key: str, timeout: float | None) -> None:
        began = time.monotonic()
        while not self._try_lease(key):
            if timeout is not None and time.monotonic() - began >= timeout:
                raise ArtifactBusy(f"another process is still computing artifact {key[:12]}")
            time.sleep(POLL if timeout is None else min(POLL, timeout))
        try:
            self._heartbeat.start()
        except BaseException:
            self._release(key)
            raise

    def _try_lease(self, key: str) -> bool:
        name, mine = f"{LEASES}/{key}", json_to_bytes([self._machine, self._heartbeat.name])
        holder = self._read_holder(key)
        if holder is None:
            return self._bucket.create(name, mine)
        if holder[0] == self._machine:
            self._bucket.write(name, mine)
            return True
        if not self._is_dead(holder[1]):
            return False
        _log.warning("the process that computed %s is gone: its lease is void", key[:12])
        self._bucket.remove(name)
        return self._bucket.create(name, mine)

    def _read_holder(self, key: str) -> tuple[str, str] | None:
        """Return machine and name of the process that leases a key; of an unreadable lease an unknown process."""
        data = self._bucket.read(f"{LEASES}/{key}")
        if data is None:
            return None
        try:
            machine, name = parse_json(data)
            return str(machine), str(name)
        except (BenchkitError, ValueError, TypeError):
            return "", "nobody"

    def _is_dead(self, holder: str) -> bool:
        beat, now = self._bucket.read(f"{HOLDERS}/{holder}"), time.monotonic()
        last, since = self._seen.get(holder, (b"never looked", now))
        if beat != last:
            self._seen[holder] = (beat, now)
            return False
        return now - since >= DEAD_AFTER

    def _release(self, key: str) -> None:
        try:
            self._bucket.remove(f"{LEASES}/{key}")
            self._heartbeat.stop()
        except CacheUnwritable as error:  # the work is done; the lease ends with this process
            _log.info("a lease could not be released: %s", error)


class _Heartbeat:
    """The heartbeat of this process: an object that is rewritten while it holds any lease."""

    def __init__(self, bucket: Bucket) -> None:
        self.name = f"{os.getpid()}-{secrets.token_hex(8)}"
        self._bucket = bucket
        self._lock = threading.Lock()
        self._users = 0
        self._over = threading.Event()

    def start(self) -> None:
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            self._over = threading.Event()
        self._beat()
        threading.Thread(target=self._run, args=(self._over,), daemon=True, name="benchkit-leases").start()

    def stop(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            self._over.set()
        self._bucket.remove(f"{HOLDERS}/{self.name}")

    def _run(self, over: threading.Event) -> None:
        while not over.wait(BEAT):
            try:
                self._beat()
            except CacheUnwritable as error:  # the work itself will raise it
                _log.info("no heartbeat could be written: %s", error)

    def _beat(self) -> None:
        self._bucket.write(f"{HOLDERS}/{self.name}", secrets.token_hex(8).encode())

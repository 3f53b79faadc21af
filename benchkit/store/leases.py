"""Leases on keys of a cache that several machines share: an object each, void when its holder's pulse stands still."""

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

BEAT = 15.0  # seconds between two signs of life
DEAD_AFTER = 60.0  # seconds without one, by the watch of whoever waits: the machines' clocks are never compared
POLL = 1.0
LEASES, HOLDERS = "leases", "holders"

_log = logging.getLogger(__name__)


class Leases:
    """What this process leases in a bucket. Two may hold one lease where the store cannot create conditionally, or a
    holder was slow to show a sign of life: the work is then done twice, and either result is whole.

    machine: names the folder whose locks keep the processes of one machine apart. Whoever holds that lock and finds a
    lease of the same machine knows that its holder is dead.
    """

    def __init__(self, bucket: Bucket, machine: str) -> None:
        self._bucket = bucket
        self._machine = machine
        self._pulse = _Pulse(bucket)
        self._depth: dict[str, int] = {}
        self._seen: dict[str, tuple[bytes | None, float]] = {}

    @contextmanager
    def held(self, key: str, timeout: float | None) -> Iterator[None]:
        """Keep a key; the caller has its local lock. Waits and raises ArtifactBusy as ArtifactStore.lease does."""
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

    def is_live(self, key: str, young: float) -> bool:
        """Whether somebody leases a key whose pulse was felt within `young` seconds, by the server's clock."""
        entries = self._bucket.entries(HOLDERS)
        holder = self._holder(key)
        return holder is not None and holder[1] in entries and time.time() - entries[holder[1]].changed < young

    def _wait(self, key: str, timeout: float | None) -> None:
        began = time.monotonic()
        while not self._taken(key):
            if timeout is not None and time.monotonic() - began >= timeout:
                raise ArtifactBusy(f"another process is still computing artifact {key[:12]}")
            time.sleep(POLL if timeout is None else min(POLL, timeout))
        try:
            self._pulse.start()
        except BaseException:
            self._release(key)
            raise

    def _taken(self, key: str) -> bool:
        name, mine = f"{LEASES}/{key}", json_to_bytes([self._machine, self._pulse.name])
        holder = self._holder(key)
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

    def _holder(self, key: str) -> tuple[str, str] | None:
        """The machine and the name of whoever leases a key; a lease that nobody can read is one of nobody's."""
        data = self._bucket.read(f"{LEASES}/{key}")
        if data is None:
            return None
        try:
            machine, name = parse_json(data)
            return str(machine), str(name)
        except (BenchkitError, ValueError, TypeError):
            return "", "nobody"

    def _is_dead(self, holder: str) -> bool:
        pulse, now = self._bucket.read(f"{HOLDERS}/{holder}"), time.monotonic()
        last, since = self._seen.get(holder, (b"never looked", now))
        if pulse != last:
            self._seen[holder] = (pulse, now)
            return False
        return now - since >= DEAD_AFTER

    def _release(self, key: str) -> None:
        try:
            self._bucket.remove(f"{LEASES}/{key}")
            self._pulse.stop()
        except CacheUnwritable as error:  # what was leased is done, or has failed by itself; the lease dies with us
            _log.info("a lease could not be given back: %s", error)


class _Pulse:
    """A sign of life of this process, written again and again while anything is leased."""

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
            except CacheUnwritable as error:  # the work itself will meet it, and say so
                _log.info("no sign of life could be given: %s", error)

    def _beat(self) -> None:
        self._bucket.write(f"{HOLDERS}/{self.name}", secrets.token_hex(8).encode())

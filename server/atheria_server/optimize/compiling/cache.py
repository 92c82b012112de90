"""Compiled code as an object: the first pod compiles and publishes, later ones unpack what it made and compile nothing.

    <directory>/compiled/<key>/{manifest.json, manifest.sig, content.tar}
    <directory>/compiled/<key>.lease

An entry is published by one rename and never changed. It is executable code: see `manifest` for what is checked before it
is used. Work happens in a private folder, which torch is pointed at; torch never sees the shared one. Nothing that goes
wrong here keeps a model from being served: it is compiled then. Called by the pipeline.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from atheria_contract.optimization import CacheConfig
from atheria_server.core.compile_key import (
    KEY_CHARACTERS,
    CompileFacts,
    compile_key,
    different_facts,
    key_of_document,
)
from atheria_server.optimize.cache_secret import read_secret
from atheria_server.optimize.compiling import entry
from atheria_server.optimize.compiling.lease import STALE_SECONDS, Lease, LeaseWatch
from atheria_server.optimize.compiling.manifest import EntryError, Manifest

_LOG = logging.getLogger("atheria.compile")
KEPT_ENTRIES: Final = 16
"""The newest of a directory; older ones are removed when one is published."""
POLL_SECONDS: Final = 0.5
"""Between two looks at another pod's lease."""
ABANDONED_SECONDS: Final = 86_400
"""What an ended process left half-written is removed after so long."""

State = Literal["hit", "miss", "rejected", "off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """What the cache did for this start."""

    state: State
    """`rejected`: an entry was there, and must not be used."""
    why: str = ""
    """Where it is not simply a hit."""
    key: str = ""
    seconds: float = 0.0
    """Spent on waiting, unpacking and publishing."""
    saved_seconds: float = 0.0
    """What the pod that made the entry took for compiling, less what this one took for all of it; 0 without a hit."""
    published: bool = False


class CompileCache:
    """Compiled code of one start. `with` it: `directory` is ready inside, and other pods may compile after it."""

    def __init__(
        self,
        config: CacheConfig,
        facts: CompileFacts,
        *,
        wait_seconds: float,
        progress: Callable[[str], None] = lambda _: None,
        stale_seconds: float = STALE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`wait_seconds` bounds the wait for another pod, of which `progress` is told in words."""
        self._config = config
        self._facts = facts
        self._key = compile_key(facts)
        self._wait_seconds = wait_seconds
        self._progress = progress
        self._stale_seconds = stale_seconds
        self._clock = clock
        self._sleep = sleep
        self._lease: Lease | None = None
        self._entry_seconds = 0.0
        self._secret: bytes | None = None
        self._entries = Path(config.directory) / "compiled"
        private = tempfile.mkdtemp(prefix="atheria-compiled-")
        atexit.register(shutil.rmtree, private, ignore_errors=True)
        self.directory = Path(private) / "work"
        """Private: where torch and mode aot keep what they compile."""
        self.report = CacheReport(state="miss", key=self._key)
        """Until now."""

    def __enter__(self) -> Self:
        began = self._clock()
        self.report = self._open()
        self.directory.mkdir(parents=True, exist_ok=True)
        # Torch and Triton read these whenever they look something up.
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(self.directory / "torch")
        os.environ["TRITON_CACHE_DIR"] = str(self.directory / "triton")
        self.report = replace(self.report, seconds=self._clock() - began)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def finish(self, compile_seconds: float) -> CacheReport:
        """After the warm-up, whose compilations took so long: publish what is new, and say what was saved."""
        began = self._clock()
        report = self.report
        if report.state == "hit":
            ours = compile_seconds + report.seconds
            report = replace(report, saved_seconds=max(0.0, self._entry_seconds - ours))
        elif report.state != "off":
            published, why = self._publish(compile_seconds)
            report = replace(
                report, published=published, why="; ".join(text for text in (report.why, why) if text)
            )
        self.report = replace(report, seconds=report.seconds + self._clock() - began)
        _LOG.info(
            "event=compile_cache state=%s key=%s seconds=%.2f saved_seconds=%.2f published=%s why=%r",
            *(self.report.state, self._key, self.report.seconds, self.report.saved_seconds),
            *(self.report.published, self.report.why),
        )
        return self.report

    def _open(self) -> CacheReport:
        """Unpack the entry, or get the right to make it, or wait for who has it."""
        if why := self._off():
            return CacheReport(state="off", why=why, key=self._key)
        report = self._load()
        if report.state == "hit":
            return report
        watch = LeaseWatch(self._lease_path, self._clock, stale_seconds=self._stale_seconds)
        end = self._clock() + self._wait_seconds
        told = False
        while True:
            try:
                self._lease = Lease.acquire(self._lease_path, stale_seconds=self._stale_seconds)
            except OSError as error:
                return replace(report, why=_joined(report.why, f"no lease: {_text(error)}"))
            if self._lease is not None:
                # Whoever had it may have published and left between the two looks.
                return self._load_again(report)
            if self._clock() >= end:
                waited = (
                    f"another pod compiles since more than {self._wait_seconds:g} s (compile.waitSeconds)"
                )
                _LOG.warning("event=compile_not_waited_for key=%s reason=%r", self._key, waited)
                return replace(report, why=_joined(report.why, waited))
            if not told:
                self._progress("another pod compiles the same; waiting for what it publishes")
                told = True
            self._sleep(POLL_SECONDS)
            if self._path.exists() or watch.is_free():
                again = self._load_again(report)
                if again.state == "hit":
                    return again

    def _load_again(self, before: CacheReport) -> CacheReport:
        """A hit gives the lease back; without one what was rejected before is told."""
        found = self._load()
        if found.state == "hit" and self._lease is not None:
            self._lease.release()
            self._lease = None
        return found if found.state != "miss" else before

    @property
    def _path(self) -> Path:
        return self._entries / self._key

    @property
    def _lease_path(self) -> Path:
        return self._entries / f"{self._key}.lease"

    def _off(self) -> str:
        """Why there is nothing to share; reads the key."""
        secret = read_secret(self._config)
        if secret.refusal:
            return secret.refusal
        self._secret = secret.value
        try:
            self._entries.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            return f"cache.directory cannot be used: {_text(error)}"
        return ""

    def _load(self) -> CacheReport:
        """Unpack the entry if it is there and right; set one aside that is not."""
        try:
            manifest = entry.read_manifest(self._path, secret=self._secret)
            self._check_facts(manifest)
            entry.unpack(self._path, manifest, self.directory)
        except FileNotFoundError as error:
            if not self._path.exists():
                return CacheReport(state="miss", key=self._key)
            return self._rejected(f"it lacks {Path(str(error.filename)).name}")
        except EntryError as error:
            return self._rejected(str(error))
        except OSError as error:
            # No fault of the entry: this process cannot read it, or has no room for it.
            why = f"the entry cannot be unpacked: {_text(error)}"
            _LOG.warning("event=compile_entry_unusable key=%s reason=%r", self._key, why)
            return CacheReport(state="miss", key=self._key, why=why)
        self._entry_seconds = manifest.warm_seconds
        return CacheReport(state="hit", key=self._key)

    def _check_facts(self, manifest: Manifest) -> None:
        if manifest.key != self._key or key_of_document(manifest.facts) != self._key:
            differences = different_facts(manifest.facts, self._facts)
            raise EntryError(f"it was made for something else: {'; '.join(differences) or 'another key'}")

    def _rejected(self, why: str) -> CacheReport:
        _LOG.warning("event=compile_entry_rejected key=%s reason=%r", self._key, why)
        try:
            self._discard(self._path)
        except OSError as error:
            why = f"{why}; it cannot be removed: {_text(error)}"
        return CacheReport(state="rejected", why=why, key=self._key)

    def _publish(self, compile_seconds: float) -> tuple[bool, str]:
        """Whether this process published, and why not."""
        unfinished = self._entries / f".unfinished-{uuid.uuid4().hex}"
        try:
            unfinished.mkdir()
            entry.pack(
                self.directory,
                unfinished,
                key=self._key,
                facts=asdict(self._facts),
                warm_seconds=compile_seconds,
                secret=self._secret,
            )
            if self._path.exists():
                return False, "another pod published first"
            unfinished.rename(self._path)
            entry.flush_folder(self._entries)
        except (OSError, EntryError) as error:
            if self._path.exists():
                return False, "another pod published first"
            why = f"not published: {_text(error)}"
            _LOG.warning("event=compile_not_published key=%s reason=%r", self._key, why)
            return False, why
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        self._remove_old()
        return True, ""

    def _remove_old(self) -> None:
        """Keep the newest entries; what fails here is tried again when the next entry is published."""
        with suppress(OSError):
            entries = sorted(
                (path for path in self._entries.iterdir() if _is_entry(path)),
                key=lambda path: path.stat().st_mtime,
                reverse=True,
            )
            for path in entries[KEPT_ENTRIES:]:
                if path != self._path:
                    self._discard(path)
            for path in self._entries.glob(".*"):
                if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)

    def _discard(self, path: Path) -> None:
        """Away under its name at once, so that nobody begins to read it."""
        gone = self._entries / f".discarded-{uuid.uuid4().hex}"
        with suppress(FileNotFoundError):
            path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _is_entry(path: Path) -> bool:
    return len(path.name) == KEY_CHARACTERS and path.is_dir()


def _joined(*texts: str) -> str:
    return "; ".join(text for text in texts if text)


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)

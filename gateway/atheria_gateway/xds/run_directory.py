"""The folder of unix sockets that Envoy and the activator share; the settings and Envoy's bootstrap both name its files by this."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDirectory:
    """What lies in the folder."""

    run_directory: str
    """Folder of the unix sockets that Envoy and the activator share."""

    @property
    def activator_socket(self) -> str:
        """Where the activator serves ADS and checks."""
        return f"{self.run_directory}/activator.sock"

    @property
    def hold_socket(self) -> str:
        """Where Envoy's hold listener listens."""
        return f"{self.run_directory}/hold.sock"

    @property
    def check_socket(self) -> str:
        """Where Envoy's check listener listens."""
        return f"{self.run_directory}/check.sock"

    @property
    def live_socket(self) -> str:
        """Where the activator serves what the live page asks for."""
        return f"{self.run_directory}/live.sock"

    @property
    def admin_socket(self) -> str:
        """Where Envoy's admin interface listens."""
        return f"{self.run_directory}/admin.sock"

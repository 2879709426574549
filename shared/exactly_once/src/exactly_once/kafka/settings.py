"""How to reach the cluster, and the time-outs that the protocol depends on."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from exactly_once.kafka.security import Auth, security

SESSION_TIMEOUT_MS = 6_000
REBALANCE_TIMEOUT_MS = 20_000
TRANSACTION_TIMEOUT_MS = 6_000
PRODUCER_REQUEST_TIMEOUT_MS = 5_000
CONSUMER_REQUEST_TIMEOUT_MS = 30_000  # above the rebalance time-out: JoinGroup waits as long as that
BACKOFF_MS = 3  # aiokafka waits 20 ms, twice, in each transaction; 1 ms is no better
START_DEADLINE_S = 20.0


@dataclass(frozen=True)
class KafkaSettings:
    """Where the brokers are and who we are to them. `prefix` is the namespace's, before every name.

    `credential` is the file that proves it, as `auth` says: a password, a key with its certificate, or a token.
    """

    bootstrap: str
    user: str
    credential: Path
    ca_file: Path
    prefix: str = ""
    auth: Auth = "scram"

    @cached_property
    def _security(self) -> dict[str, Any]:
        return security(self.auth, self.user, self.credential, self.ca_file)

    def checked(self) -> Self:
        """Return these settings once their files have been read. OSError: one of them can't be."""
        self.client_options("")
        return self

    def client_options(self, client_id: str) -> dict[str, Any]:
        """Return what every aiokafka client needs: where, who, and a name in the brokers' logs."""
        return {"bootstrap_servers": self.bootstrap, "client_id": client_id, **self._security}

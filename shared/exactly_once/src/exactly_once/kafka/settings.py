"""How to reach the cluster, and the time-outs that the protocol depends on."""

import ssl
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

SESSION_TIMEOUT_MS = 6_000
REBALANCE_TIMEOUT_MS = 20_000
TRANSACTION_TIMEOUT_MS = 6_000
PRODUCER_REQUEST_TIMEOUT_MS = 5_000
CONSUMER_REQUEST_TIMEOUT_MS = 30_000  # above the rebalance time-out: JoinGroup waits as long as that
BACKOFF_MS = 3  # aiokafka waits 20 ms, twice, in each transaction; 1 ms is no better
START_DEADLINE_S = 20.0


@dataclass(frozen=True)
class KafkaSettings:
    """Where the brokers are and who we are to them. `prefix` is the namespace's, before every name."""

    bootstrap: str
    user: str
    password: str = field(repr=False)
    ca_file: Path
    prefix: str = ""

    @cached_property
    def _ssl_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context

    def client_options(self, client_id: str) -> dict[str, Any]:
        """Return what every aiokafka client needs: TLS 1.3, SCRAM-SHA-512, a name in the brokers' logs."""
        return {
            "bootstrap_servers": self.bootstrap,
            "client_id": client_id,
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": self.user,
            "sasl_plain_password": self.password,
            "ssl_context": self._ssl_context,
        }

"""Where the parts of the stack in containers are: seen from its network, and from the host."""

from functools import cached_property
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from waybill.brokers import Broker, Endpoint
from waybill.errors import UsageError
from waybill.stack import Stack

LOOPBACK = "127.0.0.1"
COMPOSE_FILE = "docker-compose.yml"
BROKERS = ("kafka-1", "kafka-2", "kafka-3")
SERVICES = ("checkout", "inventory", "accounting", "fulfillment", "letters")
DATA = Path("/var/lib/kafka/data")
GIVEN = Path("/run/waybill")  # in a container: what it was given, a folder a part
CLIENT, CONTROLLER, INTERNAL, HOST = 9092, 9093, 9094, 19092
HTTP = 8000


class Layout(BaseSettings):
    """What may differ between two stacks on one machine: WAYBILL_COMPOSE_<NAME>, or a line of `.env`."""

    model_config = SettingsConfigDict(env_prefix="WAYBILL_COMPOSE_", frozen=True, extra="ignore")

    home: Path = Path("infra/docker/home")
    kafka_1_port: int = Field(19_011, ge=1, le=65_535)
    kafka_2_port: int = Field(19_012, ge=1, le=65_535)
    kafka_3_port: int = Field(19_013, ge=1, le=65_535)
    postgres_port: int = Field(19_041, ge=1, le=65_535)
    registry_port: int = Field(19_051, ge=1, le=65_535)
    gateway_port: int = Field(19_061, ge=1, le=65_535)
    checkout_port: int = Field(19_100, ge=1, le=65_535)
    inventory_port: int = Field(19_110, ge=1, le=65_535)
    accounting_port: int = Field(19_120, ge=1, le=65_535)
    fulfillment_port: int = Field(19_130, ge=1, le=65_535)
    letters_port: int = Field(19_140, ge=1, le=65_535)

    @cached_property
    def ports(self) -> dict[str, int]:
        """The published ports by the part that answers there."""
        return {
            name.removesuffix("_port").replace("_", "-"): port
            for name, port in self.model_dump().items()
            if name.endswith("_port")
        }

    def outside(self, home: Path) -> Stack:
        """Return how commands on the host reach the stack."""
        return Stack(
            home=home,
            namespace="",
            brokers=len(BROKERS),
            kafka_bootstrap=",".join(f"{LOOPBACK}:{self.ports[name]}" for name in BROKERS),
            postgres_host=LOOPBACK,
            postgres_port=self.postgres_port,
            registry_url=f"http://{LOOPBACK}:{self.registry_port}/apis/ccompat/v7",
            services={name: [f"http://{LOOPBACK}:{self.ports[name]}"] for name in SERVICES},
            gateway_url=f"http://{LOOPBACK}:{self.gateway_port}",
        )

    def broker(self, node: int) -> Broker:
        """Return what a broker is told: as locally, and beside that a listener whom the host can reach."""
        name = BROKERS[node - 1]
        return Broker(
            node=node,
            voters=[f"{each}:{CONTROLLER}" for each in BROKERS],
            listeners=[
                Endpoint("CLIENT", f":{CLIENT}", f"{name}:{CLIENT}"),
                Endpoint("HOST", f":{HOST}", f"{LOOPBACK}:{self.ports[name]}"),
                Endpoint("INTERNAL", f":{INTERNAL}", f"{name}:{INTERNAL}"),
                Endpoint("CONTROLLER", f":{CONTROLLER}"),
            ],
            data=DATA,
            tls=GIVEN / "kafka",
        )


def inside(home: Path) -> Stack:
    """Return how the parts reach each other; `home` holds the operator's secrets."""
    return Stack(
        home=home,
        namespace="",
        brokers=len(BROKERS),
        kafka_bootstrap=",".join(f"{name}:{CLIENT}" for name in BROKERS),
        postgres_host="postgres",
        postgres_port=5432,
        registry_url="http://registry:8080/apis/ccompat/v7",
        services={name: [f"http://{name}:{HTTP}"] for name in SERVICES},
        gateway_url=f"http://gateway:{HTTP}",
    )


def read_layout(env_file: Path | None = None) -> Layout:
    """Return the environment's layout, else a `.env` file's, else the default. UsageError: no such port."""
    try:
        return Layout(_env_file=env_file)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = f"WAYBILL_COMPOSE_{wrong['loc'][0]}".upper()
        raise UsageError(f"{name} is no port: {wrong['input']!r}") from error

"""An event is a fact in the past tense; its class carries its topic, its key and its schema."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from exactly_once.avro import schema_of


class Event(BaseModel):
    """The base of every event and of every command that a service gives itself.

        class OrderPlaced(Event, topic="orders", key="customer_id"):
            order_id: UUID
            customer_id: str

    `topic` is the logical name (a namespace's prefix is put on at the edge), `key` names the field that decides
    the partition.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: ClassVar[str] = ""
    key: ClassVar[str] = ""

    def __init_subclass__(cls, *, topic: str = "", key: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.topic = topic or cls.topic
        cls.key = key or cls.key

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Refuse a class whose key is not one of its fields."""
        if cls.topic and cls.key not in cls.model_fields:
            raise TypeError(f"{cls.__name__} has no field {cls.key!r} to be its key")

    @classmethod
    def avro_schema(cls) -> dict[str, Any]:
        """Return the Avro schema that this class stands for."""
        return schema_of(cls)

    def partition_key(self) -> bytes:
        """Return the key that decides the partition."""
        return str(getattr(self, self.key)).encode()

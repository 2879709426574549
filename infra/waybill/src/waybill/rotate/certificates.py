"""Certificates: a broker loads its own when it is told to; a service presents its own at its next connection."""

import asyncio

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from contracts import OPERATOR
from waybill.local.certificates import broker_file, issue_to_broker, issue_to_user
from waybill.provision.kafka.broker import Broker
from waybill.rotate import Renewal
from waybill.seen import behind, brokers, lets_in, shows
from waybill.stack import Stack


def rotate_user_certificate(stack: Stack, name: str, renew: Renewal) -> list[str]:
    """Give a logical user a new key and certificate; return the brokers that do not let it in with them."""
    issue_to_user(stack.home, stack.names.user(name))
    renew()
    return behind(stack, lets_in(stack.kafka_client(name)))


def rotate_broker_certificate(stack: Stack, name: str, renew: Renewal) -> list[str]:
    """Give a broker a new key and certificate; return it if it does not show them. UsageError: it does not answer."""
    number = list(brokers(stack)).index(name) + 1
    issue_to_broker(stack.home, number)
    renew()
    asyncio.run(Broker(stack.kafka_client(OPERATOR), stack.names).reload_files(number))
    new = x509.load_pem_x509_certificate(broker_file(stack.home, number).read_bytes())
    one = stack.model_copy(update={"kafka_bootstrap": brokers(stack)[name]})
    return [name] if behind(one, shows(new.public_bytes(Encoding.PEM).decode())) else []

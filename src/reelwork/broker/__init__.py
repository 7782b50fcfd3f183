"""Brokers: they carry hints between processes; the ledger decides what is done."""

from reelwork.broker.base import DELIVERIES_MAX, Broker, Delivery, Depth, Topology
from reelwork.broker.memory import Faults, MemoryBroker
from reelwork.broker.open import open_broker
from reelwork.broker.sql import SqlBroker
from reelwork.message import Message

__all__ = [
    "DELIVERIES_MAX",
    "Broker",
    "Delivery",
    "Depth",
    "Faults",
    "MemoryBroker",
    "Message",
    "SqlBroker",
    "Topology",
    "open_broker",
]

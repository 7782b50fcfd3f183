"""A broker on RabbitMQ 3.10 or later: quorum queues, publisher confirms, delay queues for retries."""

from reelwork.broker.rabbitmq.broker import RabbitBroker

__all__ = ["RabbitBroker"]

"""A broker on Amazon SQS: standard queues, batches, copies instead of returns."""

from reelwork.broker.sqs.broker import SqsBroker

__all__ = ["SqsBroker"]

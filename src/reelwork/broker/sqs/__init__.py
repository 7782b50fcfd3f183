"""A broker on Amazon SQS: standard queues, batches, copies instead of returns."""

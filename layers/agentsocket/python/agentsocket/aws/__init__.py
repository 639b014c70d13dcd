"""The other AWS services: the @connections management API and the two SQS queues."""

"""What is remembered of a user or a thread: one contract, kept in DynamoDB, in Redis, or in both."""

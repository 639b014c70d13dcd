"""DynamoDB: keys, rows, and every operation on them. Storage opens for a principal."""

"""Programs that stand in for AWS services and for an identity provider on one machine."""

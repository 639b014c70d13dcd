"""The laptop stack: everything that stands in for AWS on one machine. Never deployed, never imported by what is."""

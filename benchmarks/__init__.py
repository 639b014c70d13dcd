"""What is measured, and against what. Run by `make bench`; nothing here is a test, and no figure passes or fails."""

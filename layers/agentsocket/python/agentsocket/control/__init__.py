"""What is due on connections that say nothing, revocations, and erasing a user."""

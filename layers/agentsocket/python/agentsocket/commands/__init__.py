"""What each command of a client does, over both channels. `registry` maps commands to functions."""

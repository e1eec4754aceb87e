"""What a command printed when it had nothing to do, kept for the next time: see `recalling`."""

"""The processes of steps: kept hosts that fork, single ones, and the end of either."""

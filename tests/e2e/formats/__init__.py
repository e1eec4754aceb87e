"""Every format of every project by one command each, run and judged."""

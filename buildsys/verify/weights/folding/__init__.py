"""What converters make of weights before they store them: norms folded into layers, and the like."""

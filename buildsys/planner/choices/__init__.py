"""What searches choose from, and what they have chosen."""

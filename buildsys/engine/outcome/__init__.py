"""What a build comes to: verdicts, files placed, and ways out of failures."""

"""Answers about finished deployables: where one goes wrong, which bounds fit it, what makes it anew."""

"""Answers about finished deployables: where one goes wrong, which bounds fit it, and making it again."""

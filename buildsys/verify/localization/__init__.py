"""Localizes a fault: the first operation of an artifact that differs from the original."""

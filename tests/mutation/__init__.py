"""Every declared field is changed in turn, and must be seen; what means nothing must be overlooked.

Recipes are planned with the real backends and built by a stand-in for workers: no toolchain is needed.
"""

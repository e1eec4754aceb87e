"""Model archives for TorchServe, served by a real one."""

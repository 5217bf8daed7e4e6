"""Hypothesis without a clock: how long an example takes says more about the machine than about the protocol."""

from hypothesis import HealthCheck, settings

settings.register_profile("clockless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clockless")

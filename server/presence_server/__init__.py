"""The presence server: who is ONLINE, AWAY, BUSY or OFFLINE, and everyone who watches them told at once.

``presence-server`` (``python -m presence_server``) runs it. Inside, arrows point one way: ``domain`` is pure and
imports nothing of ours, ``application`` decides, ``engines`` and ``transports`` do the input and output, and
``app`` puts them together from ``settings``.
"""

from presence_protocol import __version__ as __version__

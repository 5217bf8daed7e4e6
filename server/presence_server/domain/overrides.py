"""What a user says, said on top of what they said before: a stack of one.

Whoever is AWAY or invisible and says BUSY until three does not take the first back: at three it holds again. So an
override with an end lies on top of what was in force, if that outlasts it. What is said without an end takes the place
of all that was said before, and so does taking it back.

- A stack of one: said on top of something that lies on top already, it takes that one's place; what is beneath stays.
  That keeps an invisible user from being shown by the second of two short overrides.
- The same status said anew with an earlier end is a correction, and not a second thing to go back to; unless the first
  had no end.
"""

from presence_server.domain.model import Override


def on_top(wanted: Override, held: Override) -> Override:
    """What is in force when `wanted` is said while `held` is in force."""
    if wanted.until is None:
        return wanted
    beneath = held.beneath
    if beneath is None and (held.until is None or held.status is not wanted.status):
        beneath = held
    if beneath is None or (beneath.until is not None and beneath.until <= wanted.until):
        return wanted
    return wanted._replace(beneath=beneath)


def ended(override: Override, utc: float) -> Override | None:
    """What is in force once `override` is over: what is beneath, unless that is over at `utc` (since 1970), too."""
    beneath = override.beneath
    return None if beneath is None or (beneath.until is not None and beneath.until <= utc) else beneath

"""REQUEST authorizer of $connect. Identity: whatever token the upgrade carries; everyone else trusts this answer."""

from agentsocket import wiring
from agentsocket.handlers import decorators
from agentsocket.inputs import Upgrade
from agentsocket.principal import Principal

admit = wiring.admit()


@decorators.authorizer
def handler(upgrade: Upgrade) -> Principal:
    return admit(upgrade)

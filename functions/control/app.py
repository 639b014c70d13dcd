"""Control queue (SQS): what is due on quiet sockets. Identity: in the order, which only our own functions can send."""

from agentsocket import wiring
from agentsocket.handlers import decorators
from agentsocket.inputs import Check, Revocation

control = wiring.control()


@decorators.control
def handler(order: Check | Revocation) -> None:
    control.act(order)

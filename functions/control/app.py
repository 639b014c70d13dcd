"""Control queue (SQS): what is due on quiet sockets. Identity: in the order, which only our own functions can send."""

from agentsocket import edge, wiring
from agentsocket.inputs import Check, Revocation

control = wiring.control()


@edge.control
def handler(order: Check | Revocation) -> None:
    control.act(order)

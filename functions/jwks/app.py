"""CloudFormation custom resource: publishes the key set. Identity: CloudFormation alone may invoke it."""

from authservice import decorators, key_set, wiring

handler = decorators.resource(wiring.publish, report=key_set.report)

"""CloudFormation custom resource: publishes the key set. Identity: CloudFormation alone may invoke it."""

from authservice import edge, keyset, wiring

handler = edge.resource(wiring.publish, report=keyset.report)

"""The wire, version 1: every payload in both directions, frames, strict JSON, and the published schema. No I/O."""

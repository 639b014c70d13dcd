#!/bin/sh
# A Python that is not there: answers the questions bootstrap.py asks an interpreter, and writes down what it was asked.
# VERSION is what it claims to be; PIP says how installing ends: ok, missing, slow, or a text to print before failing.
echo "$*" >>"$CALLS"
case "$*" in
    "-c import sys"*) echo "$VERSION $0" ;;
    "-c "*) ;;
    "-m venv"*)
        mkdir -p "$4/bin"
        cp "$0" "$4/bin/python"
        echo "version = $VERSION" >"$4/pyvenv.cfg"
        ;;
    *ensurepip*) echo "No module named ensurepip" && exit 1 ;;
    *--version) [ "$PIP" != missing ] ;;
    *"install --retries"*)
        [ "$PIP" != slow ] || { echo "$$" >"$CALLS.pid" && exec sleep 600; }
        [ "$PIP" = ok ] || { printf '%s\n' "$PIP" && exit 1; }
        cp "$0" .venv/bin/uv
        ;;
    "pip install --python"*) [ "$UV" != broken ] || { echo "uv is broken" && exit 1; } ;;
    *) [ "$PIP" = ok ] ;;
esac

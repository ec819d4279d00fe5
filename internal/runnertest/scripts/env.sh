#!/bin/bash
# Stand-in for the official env.sh: keeps some of what it sees for the listener.
touch .env
echo "$PATH" >.path
for name in LANG JAVA_HOME LD_LIBRARY_PATH; do
    if [ -n "${!name}" ] && ! grep -q "^$name=" .env; then
        echo "$name=${!name}" >>.env
    fi
done

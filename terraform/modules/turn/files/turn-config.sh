#!/bin/sh
# Puts the secret into the configuration, in a folder of memory that coturn alone can read.
set -eu
awk '
  FNR == NR { secret = $0; next }
  /^static-auth-secret=/ { print "static-auth-secret=" secret; next }
  { print }
' /etc/sluice/turn-secret /etc/sluice/turnserver.conf >/run/sluice-turn/turnserver.conf

#!/bin/sh
# Puts the secret into the configuration, in a folder of memory that coturn alone can read. While it is
# rotated there are two, each on a line of its own, and coturn takes credentials of both.
set -eu
awk '
  FNR == NR { if ($0 != "") secrets[++count] = $0; next }
  /^static-auth-secret=/ { for (i = 1; i <= count; i++) print "static-auth-secret=" secrets[i]; next }
  { print }
' /etc/sluice/turn-secret /etc/sluice/turnserver.conf >/run/sluice-turn/turnserver.conf

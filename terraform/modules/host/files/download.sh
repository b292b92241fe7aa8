#!/bin/sh
# download PATH URL SHA256 MODE: keeps what URL gives only when it is what was meant.
set -eu
path=$1 url=$2 sha256=$3 mode=$4
mkdir -p "$(dirname "$path")"
curl --proto =https --tlsv1.2 -fsSL --retry 10 --retry-all-errors -o "$path.new" "$url"
printf '%s  %s\n' "$sha256" "$path.new" | sha256sum -c --quiet -
chmod "$mode" "$path.new"
mv "$path.new" "$path"

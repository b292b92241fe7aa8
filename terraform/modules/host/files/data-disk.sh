#!/bin/sh
# Mounts the second disk at /var/lib/sluice. A file system on it is kept, whatever machine made it.
set -eu
label=sluice-data
for _ in $(seq 60); do
  blkid -L "$label" >/dev/null && break
  # The one disk without partitions, file system and mounts.
  for disk in $(lsblk -dnpo NAME,TYPE | awk '$2 == "disk" { print $1 }'); do
    [ "$(lsblk -nro NAME "$disk" | wc -l)" = 1 ] || continue
    [ -z "$(blkid "$disk")" ] || continue
    mkfs.ext4 -q -L "$label" "$disk"
  done
  blkid -L "$label" >/dev/null && break
  sleep 5
done
mkdir -p /var/lib/sluice
grep -q "LABEL=$label" /etc/fstab || echo "LABEL=$label /var/lib/sluice ext4 defaults,nofail 0 2" >>/etc/fstab
systemctl daemon-reload
mountpoint -q /var/lib/sluice || mount /var/lib/sluice
chown sluice:sluice /var/lib/sluice
chmod 0750 /var/lib/sluice

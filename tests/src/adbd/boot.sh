#!/bin/sh
# Makes the stand-in's surroundings in the namespaces that it is started in, and becomes the first process of the device.
# $1: the folder that is to be the root; then the folders of the host that are seen at their own place.
set -e
root=$1
shift
ip link set lo up
mount --make-rprivate /
mount --bind "$root" "$root"
for folder in usr etc opt; do
    [ -d "/$folder" ] || continue
    mkdir -p "$root/$folder"
    mount --bind -o ro "/$folder" "$root/$folder"
done
for name in bin sbin lib lib32 lib64; do
    [ -L "/$name" ] && [ ! -e "$root/$name" ] && cp -P "/$name" "$root/$name"
    [ -L "/$name" ] || [ ! -d "/$name" ] || { mkdir -p "$root/$name"; mount --bind -o ro "/$name" "$root/$name"; }
done
for folder in "$@"; do
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
done
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/debug_ramdisk"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
[ ! -d "$root/sys/fs/cgroup" ] || mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup" || true
[ ! -d "$root/sys/fs/bpf" ] || mount -t bpf bpf "$root/sys/fs/bpf" || true
[ ! -d "$root/sys/kernel/tracing" ] || mount -t tracefs tracefs "$root/sys/kernel/tracing" || true
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty ptmx net; do
    [ -e "/dev/$node" ] || continue
    if [ -d "/dev/$node" ]; then mkdir "$root/dev/$node"; else : >"$root/dev/$node"; fi
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
# The host's own ways to root are none of the device's.
for name in su sudo pkexec doas; do
    [ ! -e "$root/usr/bin/$name" ] || mount --bind /dev/null "$root/usr/bin/$name"
done
# What gives root to the shell, and to nobody else: as su's folder in Magisk, in memory.
mount -t tmpfs -o mode=755 tmpfs "$root/debug_ramdisk"
cp /usr/bin/setpriv "$root/debug_ramdisk/setpriv"
chown 0:2000 "$root/debug_ramdisk/setpriv"
chmod 4750 "$root/debug_ramdisk/setpriv"
exec chroot "$root" /usr/bin/env -i PATH=/system/bin:/usr/bin:/bin:/usr/sbin /system/bin/init

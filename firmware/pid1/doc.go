// Package pid1 is the first process of the card image: it mounts what is there, loads
// modules, repairs and grows the partition for data, brings up the network, keeps the
// program running and the watchdog quiet, and takes the machine down in order.
//
// # What it expects
//
// In the initramfs, beside /init (its time is the least that the clock is set to):
//
//	/lib/modules/RELEASE/            modules.dep, modules.alias, modules.softdep, and what they name
//	/sbin/e2fsck                     linked statically; without it nothing is repaired
//	/etc/cheeseboard/data.ext4.gz    an empty ext4 (label cheeseboard-data, made to be grown), at most 64 MiB;
//	                                 without it what cannot be repaired is not begun anew
//	/etc/cheeseboard/release.json, /etc/cheeseboard/keys/*.pem   see firmware/update
//	/etc/ssl/certs/ca-certificates.crt
//
// On the card: a Master Boot Record of the four partitions in package disk; on the first
// one cheeseboard.toml, on the slot the program as cheeseboard, and, where a slot has
// them, modules below modules/RELEASE/.
//
// On the kernel's command line, each as cheeseboard.NAME=VALUE: disk (the hexadecimal ID
// of the card's partition table; without it any card with our partitions), slot (2 or 3,
// where no boot firmware says it), watchdog (off: it is not opened), log (debug).
package pid1

package sqlite

import "syscall"

// Numbers of file systems that are elsewhere, from linux/magic.h and the file systems' own headers.
var networks = map[uint32]string{
	0x6969: "NFS", 0x517b: "SMB", 0xff534d42: "CIFS", 0xfe534d42: "SMB2", 0x01021997: "9P", 0x5346414f: "AFS", 0x00c36400: "Ceph",
}

// network names the file system of path if it is elsewhere; "" if it is not, as far as is known.
func network(path string) string {
	var stat syscall.Statfs_t
	if syscall.Statfs(path, &stat) != nil {
		return ""
	}
	return networks[uint32(stat.Type)] //nolint:gosec // the numbers have 32 bits
}

package replica

import "syscall"

// freeSpace gives the room on the disk that a directory is on.
func freeSpace(dir string) (space, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return space{}, err
	}
	block := uint64(s.Frsize)
	if block == 0 { // a file system that has no fragments
		block = uint64(s.Bsize)
	}
	return space{free: s.Bavail * block, total: s.Blocks * block}, nil
}

package replica

import "syscall"

// freeSpace gives the room on the disk that a directory is on.
func freeSpace(dir string) (space, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return space{}, err
	}
	return space{free: s.Bavail * uint64(s.Bsize), total: s.Blocks * uint64(s.Bsize)}, nil
}

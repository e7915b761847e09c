//go:build !linux && !darwin

package replica

// freeSpace does not know how this system tells it.
func freeSpace(string) (space, error) { return space{}, errSpaceUnknown }

//go:build !linux

package confine

// Apply confines the process. ErrUnsupported.
func Apply(Access) (version int, err error) { return 0, ErrUnsupported }

//go:build !linux

package durable

import (
	"errors"
	"fmt"
)

// Allocate gives errors.ErrUnsupported here.
func Allocate(path string, _ int64) error {
	return fmt.Errorf("allocate %s: %w", path, errors.ErrUnsupported)
}

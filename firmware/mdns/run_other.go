//go:build !linux

package mdns

import (
	"context"
	"errors"
)

// Run is for Linux: elsewhere the machine has a responder of its own.
func (r *Responder) Run(context.Context) error {
	return errors.New("make the name known: only Linux can")
}

// Package demo convinces a newcomer in a minute, on this machine alone.
package demo

import (
	"context"
	"errors"
	"io"
)

// Run shows it, and writes what happened to w.
func Run(context.Context, io.Writer) error { return errors.New("not yet") }

package durable

import (
	"errors"
	"strings"
	"syscall"
)

// wanting are reasons for which what is sound cannot be opened at this moment.
var wanting = []syscall.Errno{
	syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EPERM,
}

// Passing tells whether an error says nothing of the bytes on the disk: the process, the
// machine or the file system wants for something. Some libraries hand such errors on as
// text only.
func Passing(err error) bool {
	for _, e := range wanting {
		if errors.Is(err, e) || strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}

package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// shares is what the memory of a server consists of, in bytes. All but what is anonymous
// is pages of files, which the kernel takes back when it needs them.
type shares struct {
	anonymous int64 // with the tables that Badger has in memory
	store     int64 // Badger's tables and logs
	program   int64 // its own code, and libraries
}

// sharesOf looks what is mapped by some processes, of which data is the folder with the
// store; "" where there is none.
func sharesOf(pids []int, data string) (s shares, err error) {
	for _, pid := range pids {
		err = errors.Join(err, s.add(fmt.Sprintf("/proc/%d/smaps", pid), data))
	}
	return s, err
}

func (s *shares) add(path, data string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	into := &s.program
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 5 && strings.Contains(fields[0], "-"):
			into = &s.program
			if len(fields) > 5 && data != "" && strings.HasPrefix(fields[5], data+string(filepath.Separator)) {
				into = &s.store
			}
		case len(fields) > 1 && (fields[0] == "Pss:" || fields[0] == "Anonymous:"):
			kb, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return fmt.Errorf("look at the memory of a process: %w", err)
			}
			if fields[0] == "Pss:" {
				*into += kb << 10
				continue
			}
			*into -= kb << 10
			s.anonymous += kb << 10
		}
	}
	return lines.Err()
}

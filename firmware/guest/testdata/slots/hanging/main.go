// Command hanging stands in for an init that hangs: it is ours until it has opened the
// watchdog and begun its trial, and then it does nothing any more, for ever.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"cheeseboard/firmware/machine"
	"cheeseboard/firmware/pid1"
)

func main() {
	go hang()
	pid1.Main()
}

func hang() {
	for !watched() || !answers() {
		time.Sleep(100 * time.Millisecond)
	}
	_, full, err := os.Pipe()
	if err != nil {
		fmt.Println("the machine cannot hang:", err)
		return
	}
	fmt.Println("init hangs now")
	// While the heap is written nothing else of the process runs; and nobody reads it.
	debug.WriteHeapDump(full.Fd())
}

// answers tells whether init answers the program already: what came before is noted.
func answers() bool {
	_, err := os.Stat(machine.Socket)
	return err == nil
}

// watched tells whether this process has the watchdog open.
func watched() bool {
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return false
	}
	for _, path := range open {
		if target, err := os.Readlink(path); err == nil && strings.HasPrefix(target, "/dev/watchdog") {
			return true
		}
	}
	return false
}

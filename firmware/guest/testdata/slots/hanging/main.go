// Command hanging stands in for an init under which the machine hangs: it is ours until
// it has opened the watchdog, and then nothing but itself ever runs again.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"cheeseboard/firmware/pid1"
)

func main() {
	go hang()
	pid1.Main()
}

func hang() {
	for !watched() {
		time.Sleep(100 * time.Millisecond)
	}
	fmt.Println("the machine hangs now")
	if err := os.WriteFile("/proc/sys/kernel/sched_rt_runtime_us", []byte("-1"), 0); err != nil {
		fmt.Println(err)
	}
	processors := runtime.NumCPU()
	runtime.GOMAXPROCS(4 * processors)
	for range 2 * processors {
		go spin()
	}
}

// spin keeps a processor for ever from all others: SCHED_FIFO, with the highest priority.
func spin() {
	runtime.LockOSThread()
	const fifo = 1
	priority := int32(99)
	if _, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, fifo, uintptr(unsafe.Pointer(&priority))); errno != 0 {
		fmt.Println(errno)
	}
	for {
	}
}

func watched() bool {
	open, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return false
	}
	for _, path := range open {
		if target, err := os.Readlink(path); err == nil && filepath.Dir(target) == "/dev" && filepath.Base(target)[:1] == "w" {
			return true
		}
	}
	return false
}

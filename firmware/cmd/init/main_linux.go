// Command init is the first process of the card image; it is for nothing else.
package main

import (
	"fmt"
	"os"

	"cheeseboard/firmware/pid1"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init is the first process of a machine, and cannot be run in another")
		os.Exit(2)
	}
	pid1.Main()
}

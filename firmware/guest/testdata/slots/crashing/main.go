// Command crashing stands in for a program that ends as soon as it was started.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "this release cannot read its own settings")
	os.Exit(3)
}

// Command mend prepares the copies of dependencies that programs for use are built
// with, and prints the path of a go.mod that uses them, for the -modfile flag of the
// go command.
//
// badger, and ristretto, which it brings in, have faults that lose data without an
// error (faults.go tells which). mend copies the modules from the module cache to a
// folder of its own, corrects those lines, and writes go.mod and go.sum beside them
// with replace directives. Nothing in the module cache or in the repository is
// changed.
//
// The result lies in the user's cache folder, named by its content, so it is
// made once per version; concurrent runs wait for one another.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	dir := flag.String("C", ".", "the `folder` of the go.mod to start from")
	cache := flag.String("cache", "", "the `folder` for copies (default: cheeseboard/mended in the user's cache folder)")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "mend: unexpected argument %q\n", flag.Arg(0))
		os.Exit(2)
	}
	path, err := Prepare(*dir, *cache)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mend:", err)
		os.Exit(1)
	}
	fmt.Println(path)
}

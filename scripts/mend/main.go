// Command mend prepares the dependency copy that 32-bit builds need, and prints
// the path of a go.mod that uses it, for the -modfile flag of the go command.
//
// ristretto, which badger brings in, computes a buffer position as
// uint64((bufIdx+1)<<32). Where int has 32 bits this is always 0, buffers
// overlap, and badger writes corrupt tables without reporting an error. mend
// copies the module from the module cache to a folder of its own, corrects that
// one expression, and writes go.mod and go.sum beside it with a replace
// directive. Nothing in the module cache or in the repository is changed.
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

// Command inspect checks that built programs are what a board needs, and prints
// their sizes as a table. Its arguments are TARGET=FILE, with a target such as
// linux/arm64 or linux/arm/6. A file passes if it is an ELF program for that
// target, statically linked, stripped, stamped with the version, and built with
// the mended badger and ristretto (see scripts/mend).
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

func main() {
	version := flag.String("version", "", "the `text` that must be stamped into every file")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "inspect: name at least one TARGET=FILE")
		os.Exit(2)
	}
	if err := inspectAll(os.Stdout, *version, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "inspect:", err)
		os.Exit(1)
	}
}

// inspectAll checks every file and prints the table if all of them pass.
func inspectAll(w io.Writer, version string, args []string) error {
	var rows bytes.Buffer
	rows.WriteString("target\tprogram\tMiB\tbytes\n")
	for _, arg := range args {
		target, file, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("read %q: it is not TARGET=FILE", arg)
		}
		if err := inspect(file, target, version); err != nil {
			return fmt.Errorf("inspect %s: %w", file, err)
		}
		info, err := os.Stat(file)
		if err != nil {
			return fmt.Errorf("measure: %w", err)
		}
		fmt.Fprintf(&rows, "%s\t%s\t%.1f\t%d\n", target, filepath.Base(file), float64(info.Size())/(1<<20), info.Size())
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, err := table.Write(rows.Bytes())
	if err := errors.Join(err, table.Flush()); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	return nil
}
